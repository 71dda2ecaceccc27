"""Observing: what roles tell of their work, counted as metrics."""

from collections.abc import Mapping

from kpistream.history import tables
from kpistream.metrics import ReviewMetrics, SinkMetrics


class SinkWatch:
    """Counts what a sink tells."""

    def __init__(self, metrics: SinkMetrics) -> None:
        self._metrics = metrics

    def wrote(self, table: str, rows: int, seconds: float) -> None:
        """Rows of a table were confirmed."""
        counters = {
            tables.FACTS: self._metrics.facts,
            tables.PANES: self._metrics.rows,
            tables.ALERTS: self._metrics.alerts,
            tables.RESULTS: self._metrics.results,
            "marks": self._metrics.marks,
        }
        counters[table].inc(rows)
        self._metrics.insert_seconds.observe(seconds)

    def retried(self, error: str) -> None:
        """A write failed."""
        self._metrics.retries.inc()

    def committed(self, topic: str, partition: int, offset: int, lag: int) -> None:
        """The group has committed."""
        self._metrics.lag.labels(topic, str(partition)).set(lag)


class ReviewWatch:
    """Counts what a review tells."""

    def __init__(self, metrics: ReviewMetrics) -> None:
        self._metrics = metrics

    def reviewed(self, transitions: int, results: int, seconds: float) -> None:
        """A round has published so many."""
        self._metrics.transitions.inc(transitions)
        self._metrics.results.inc(results)
        self._metrics.round_seconds.observe(seconds)

    def standing(self, on: bool, firing: Mapping[str, int], behind_s: float) -> None:
        """Whether it is on, what fires, and since when history is not whole."""
        self._metrics.on.set(on)
        self._metrics.behind.set(behind_s)
        self._metrics.firing.clear()
        for tenant, count in firing.items():
            self._metrics.firing.labels(tenant).set(count)
