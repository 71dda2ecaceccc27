"""Metrics: every Prometheus metric of every role, named and documented once.

Base units only (seconds, bytes); conversions happen here. Labels are bounded: partitions, reasons,
outcomes, windows, teams; agents only by opt-in with a cap.
"""

from collections.abc import Iterable
from contextlib import suppress

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_FLUSH_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class SettingsMetrics:
    """What a role shows of the settings that it runs."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.version = Gauge(
            "kpistream_settings_version", "Settings version that is run; 0: the local directory.", registry=registry
        )
        self.rejected = Counter(
            "kpistream_settings_rejected_total", "Settings versions that could not be read.", registry=registry
        )


class OwnMetrics:
    """What a worker shows of measures that settings define."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.partial = Gauge(
            "kpistream_own_measures_partial_partitions",
            "Partitions whose own measures do not reach back to where live windows do.",
            registry=registry,
        )
        self.failures = Counter(
            "kpistream_own_measures_refill_failures_total",
            "Failures to read the log again for own measures.",
            registry=registry,
        )


class WorkerMetrics:
    """What a worker shows."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, labels: Iterable[str] = ()) -> Counter:
            return Counter(name, text, list(labels), registry=registry)

        def gauge(name: str, text: str, labels: Iterable[str] = ()) -> Gauge:
            return Gauge(name, text, list(labels), registry=registry)

        def histogram(name: str, text: str) -> Histogram:
            return Histogram(name, text, registry=registry, buckets=_FLUSH_BUCKETS)

        self.events = counter("kpistream_events_total", "Records read from the events topic.")
        self.outcomes = counter("kpistream_event_outcomes_total", "Accepted records by their outcome.", ["outcome"])
        self.rejected = counter("kpistream_events_rejected_total", "Records sent to dead letters.", ["reason"])
        self.bad_input = gauge("kpistream_bad_input", "1 while too much is refused (KPISTREAM_BAD_*).", ["partition"])
        self.moves = counter("kpistream_retractions_total", "Retractions written to the events topic.")
        self.late = counter("kpistream_events_late_total", "Accepted events from over one pane before their record.")
        self.forwarded = counter("kpistream_events_forwarded_total", "Records sent on to the right partition.")
        self.unknown_fields = counter(
            "kpistream_unknown_fields_total",
            "Accepted records that carry a field outside the contract; at most 100 names, then *.",
            ["field"],
        )
        self.lag = gauge("kpistream_lag_records", "Records not yet acknowledged.", ["partition"])
        self.flush_seconds = histogram("kpistream_flush_seconds", "From snapshot to acknowledgement of one flush.")
        self.publish_seconds = histogram("kpistream_publish_seconds", "Waiting for the broker in one flush.")
        self.commit_seconds = histogram("kpistream_commit_seconds", "One successful commit of offsets.")
        self.commit_age = gauge("kpistream_commit_age_seconds", "Since the last successful commit.", ["partition"])
        self.panes = gauge("kpistream_live_panes", "Live panes in memory.", ["partition"])
        self.state_bytes = gauge("kpistream_state_bytes", "Bytes of packed entries in memory.", ["partition"])
        self.frontier_age = gauge("kpistream_frontier_age_seconds", "Distance of the frontier from now.", ["partition"])
        self.team_kpi = gauge("kpistream_team_kpi", "KPI of a team in a window.", ["tenant", "team", "kpi", "window"])
        self.agent_kpi = gauge(
            "kpistream_agent_kpi", "KPI of an agent (opt-in, capped).", ["tenant", "agent", "kpi", "window"]
        )
        self.alerts_firing = gauge("kpistream_alerts_firing", "Alerts that fire now.", ["tenant"])
        self.source_silent = gauge(
            "kpistream_source_silent", "1 while nothing comes from a source though people work.", ["tenant", "source"]
        )
        self.tick_seconds = histogram("kpistream_tick_seconds", "One pass of the ticker.")
        self.settings, self.own = SettingsMetrics(registry), OwnMetrics(registry)


class NotifyMetrics:
    """What a notify role shows."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, labels: Iterable[str] = ("receiver",)) -> Counter:
            return Counter(f"kpistream_notify_{name}", text, list(labels), registry=registry)

        def gauge(name: str, text: str, labels: Iterable[str] = ("receiver",)) -> Gauge:
            return Gauge(f"kpistream_notify_{name}", text, list(labels), registry=registry)

        self.sent = counter("sent_total", "Messages that a receiver has taken.")
        self.alerts = counter("alerts_total", "Transitions in messages that a receiver has taken, repeats included.")
        self.results = counter("results_total", "Results in messages that a receiver has taken.")
        self.failed = counter("failed_total", "Attempts that failed.")
        self.retried = counter("retried_total", "Attempts after a first one.")
        self.dead_letters = counter("dead_letters_total", "Messages given up after a day, now in dead letters.")
        self.silent = counter("silent_total", "Transitions that a receiver is not told of, by reason.", ["reason"])
        self.waiting = gauge("waiting", "Transitions that a receiver is still to be told of.")
        self.failing = gauge("failing", "1 while the last attempt at a receiver has failed.")
        self.last_success = gauge("last_success_timestamp_seconds", "When a receiver has last taken a message.")
        self.active = gauge("active", "1 for the process that tells people, 0 for one that stands by.", ())
        self.lag = gauge("lag_records", "Transitions not read yet.", ["partition"])
        self.send_seconds = Histogram(
            "kpistream_notify_send_seconds",
            "One attempt.",
            ["receiver"],
            registry=registry,
            buckets=_FLUSH_BUCKETS,
        )
        self.settings = SettingsMetrics(registry)
        self.counted = (self.sent, self.alerts, self.results, self.failed, self.retried, self.dead_letters)
        """What counts by receiver."""

    def forget(self, receiver: str) -> None:
        """Show nothing any more of a receiver that has left the settings."""
        for each in (*self.counted, self.waiting, self.failing, self.last_success, self.send_seconds):
            with suppress(KeyError):
                each.remove(receiver)


class SinkMetrics:
    """What a sink shows."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.facts = Counter("kpistream_sink_facts_total", "Fact rows confirmed by the store.", registry=registry)
        self.rows = Counter("kpistream_sink_pane_rows_total", "Pane rows confirmed by the store.", registry=registry)
        self.marks = Counter("kpistream_sink_marks_total", "Closed panes computed again from facts.", registry=registry)
        self.alerts = Counter("kpistream_sink_alerts_total", "Alert rows confirmed by the store.", registry=registry)
        self.results = Counter("kpistream_sink_results_total", "Result rows confirmed by the store.", registry=registry)
        self.retries = Counter("kpistream_sink_retries_total", "Inserts tried again.", registry=registry)
        self.insert_seconds = Histogram(
            "kpistream_sink_insert_seconds", "One confirmed insert.", registry=registry, buckets=_FLUSH_BUCKETS
        )
        self.lag = Gauge(
            "kpistream_sink_lag_records", "Records not yet committed.", ["topic", "partition"], registry=registry
        )
        self.settings = SettingsMetrics(registry)


class ReviewMetrics:
    """What a review shows."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.on = Gauge("kpistream_review_on", "1 while this process reviews, 0 while it stands by.", registry=registry)
        self.behind = Gauge(
            "kpistream_review_behind_seconds",
            "Since history was last whole: else nothing is judged.",
            registry=registry,
        )
        self.firing = Gauge(
            "kpistream_review_alerts_firing", "Alerts of weeks and longer that fire now.", ["tenant"], registry=registry
        )
        self.transitions = Counter("kpistream_review_transitions_total", "Transitions published.", registry=registry)
        self.results = Counter("kpistream_review_results_total", "Results published.", registry=registry)
        self.round_seconds = Histogram(
            "kpistream_review_round_seconds", "One round of the review.", registry=registry, buckets=_FLUSH_BUCKETS
        )
        self.settings = SettingsMetrics(registry)
