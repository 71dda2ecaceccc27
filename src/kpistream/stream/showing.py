"""Showing: what is shown of the scopes of one partition, and when it goes out.

The same for agents (from a shard's panes) and for teams (from sums by tenant): changed panes move windows, the pace
says which slots may go out, slots are judged, and readings and transitions are published. What is published is a
view: readings need no acknowledgement to be right, transitions are awaited.
"""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple

from kpistream.core.alerts import Transition, alert_key, encode_transition
from kpistream.core.readings import Pacer, Reading, encode_reading, reading_key
from kpistream.core.settings import Settings
from kpistream.core.settings_changes import Touched
from kpistream.core.windows import Window
from kpistream.log.publisher import Publisher
from kpistream.log.records import Outgoing
from kpistream.log.topics import Topics
from kpistream.metrics import WorkerMetrics
from kpistream.stream.judging import Bench
from kpistream.stream.live import LiveWindows, PaneSource, Slot

log = logging.getLogger(__name__)

SLOTS_A_TICK: Final = 400
"""Slots that one pass handles: it must not hold up reading for long. The rest follows in the next pass."""


class Known(NamedTuple):
    """How much of the panes is known."""

    complete_from_ms: int
    """Panes before are closed; those from there on are known once `caught_up`."""
    caught_up: bool
    """False while it is still read what was there at the start, or while records wait for long."""


class Show:
    """Windows, pace and judgements of the scopes of one partition."""

    def __init__(self, live: LiveWindows, bench: Bench) -> None:
        self.live = live
        self.bench = bench
        self._pacer: Pacer[Slot] = Pacer()
        self._queue: dict[Slot, None] = {}
        self._complete_from_ms = -1

    @property
    def behind(self) -> bool:
        """True when the last look left something over: the next one should not wait."""
        return self.live.behind or bool(self._queue)

    def adopt(self, settings: Settings, window_of: Callable[[str, str, int], Window], who: Touched) -> None:
        """Run by other settings from the next look on; whom they are about is shown again, before everybody else."""
        slots = self.live.renew(window_of, None if who.everybody else sorted(who.keys))
        self.bench.adopt(settings)
        self._queue = dict.fromkeys(slots) | self._queue

    def look(
        self,
        now_ms: int,
        changed: Collection[tuple[str, int]],
        source: PaneSource,
        known: Known,
        silently: Iterable[tuple[str, int]] = (),
    ) -> tuple[list[Reading], list[Transition]]:
        """Take in changed panes (key, start) and the passing of time; what may go out.

        `silently`: panes whose sums have changed without a sound of anybody: calls have settled, or were counted again.
        """
        queue, live, bench = self._queue, self.live, self.bench
        bench.listen(now_ms, changed, live)
        standing = bench.left_standing(now_ms)
        live.begin(standing)
        for slot in live.look(now_ms, (*changed, *silently), source):
            if self._pacer.changed(slot, now_ms):
                queue[slot] = None
        early = bench.shown_too_early(not known.caught_up)
        closing = live.begin_in(self._complete_from_ms, known.complete_from_ms)
        self._complete_from_ms = known.complete_from_ms
        for slot in (
            *self._pacer.due(now_ms),
            *bench.holding,
            *bench.due_again(now_ms),
            *early,
            *closing,
            *standing,
            *bench.own.whole_again(),
        ):
            queue[slot] = None
        complete_from_ms = known.complete_from_ms if known.caught_up else None
        corrected = bench.correct(live, source, now_ms, complete_from_ms)  # before a look finds that it has recovered
        for each in corrected:
            queue[f"{each.tenant}/{each.scope}", each.window] = None
        now = list(queue)[:SLOTS_A_TICK]
        for slot in now:
            del queue[slot]
        slots = [slot for slot in now if slot[0] in live]
        readings, transitions = bench.look(live, slots, now_ms, complete_from_ms)
        return readings, corrected + transitions


class TickerPorts:
    """What tickers need of the rest of the worker, and how they publish."""

    def __init__(
        self, publisher: Publisher, topics: Topics, connection: Mapping[str, Any], metrics: WorkerMetrics, failed: Any
    ) -> None:
        self.publisher = publisher
        self.topics = topics
        self.connection = connection
        self.metrics = metrics
        self.failed = failed
        self.turned: Callable[[], None] = lambda: None
        """The loop that follows the team panes has turned."""
        self.following: Callable[[bool], None] = lambda done: None
        """Partitions of the team panes are waited for (False), or were given and read up to their alerts (True)."""
        self._agents: set[str] = set()
        self.agent_cap = 0

    async def publish(self, partition: int, readings: list[Reading], transitions: list[Transition]) -> None:
        """Transitions first: a reading shows the state that they have led to."""
        publish = self.publisher.publish
        if transitions:
            records = [Outgoing(alert_key(each), encode_transition(each)) for each in transitions]
            await publish(self.topics.alerts, partition, records)
            log.info("alerts partition=%s transitions=%s", partition, len(transitions))
        if readings:
            records = [Outgoing(reading_key(each), encode_reading(each)) for each in readings]
            await publish(self.topics.readings, partition, records)
            self.seen(readings)

    def seen(self, readings: list[Reading]) -> None:
        """Show readings as metrics: teams always, agents only up to the cap, and from their first measure on."""
        for reading in readings:
            kind, _, name = reading.scope.partition(":")
            if kind in ("team", "tenant"):
                gauge, labels = self.metrics.team_kpi, (reading.tenant, name or "*")
            elif kind == "agent" and self._within_cap(f"{reading.tenant}/{name}", bool(reading.measures)):
                gauge, labels = self.metrics.agent_kpi, (reading.tenant, name)
            else:
                continue
            shown = {name: value.value for name, value in reading.kpis.items()}
            shown |= {name: value.value for name, value in reading.own.items()}
            for kpi, number in shown.items():
                gauge.labels(*labels, kpi, reading.window).set(float("nan") if number is None else number)

    def _within_cap(self, agent: str, active: bool) -> bool:
        if active and agent not in self._agents and len(self._agents) < self.agent_cap:
            self._agents.add(agent)
        return agent in self._agents


def add_counts(counts: Iterable[Counter[str]]) -> Counter[str]:
    """Sum of counts; names that count 0 stay."""
    out: Counter[str] = Counter()
    for each in counts:
        out.update(each)
    return out
