"""Ticker: live numbers and alerts of the agents, queues and campaigns that this worker holds.

It reads panes and never changes them. What it publishes is a view: readings need no acknowledgement to be
right, transitions are awaited. Before a partition has caught up with what was there at its assignment,
readings say `provisional` and nothing is judged.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from kpistream.core.alerts import alert_key, encode_transition
from kpistream.core.partition import NOTHING
from kpistream.core.readings import About, Pacer, Reading, encode_reading, reading_key
from kpistream.core.settings import Settings
from kpistream.log.publisher import Publisher
from kpistream.log.records import Outgoing
from kpistream.log.tail import read_on
from kpistream.log.topics import Topics
from kpistream.metrics import WorkerMetrics
from kpistream.stream.judging import AGENT_KINDS, Bench
from kpistream.stream.live import LiveWindows, Slot, scope_window
from kpistream.stream.state import Shard, Shards

log = logging.getLogger(__name__)

BEHIND_MS: Final = 10_000
"""How often a partition that still reads what was there at its assignment is looked at: its numbers are
provisional, nothing is judged, and reading comes first."""
SLOTS_A_TICK: Final = 400
"""Slots that one pass handles: it must not hold up reading for long. The rest follows in the next pass."""


class _View:
    """One partition as the ticker sees it, for one generation."""

    def __init__(self, generation: int, live: LiveWindows, bench: Bench) -> None:
        self.generation = generation
        self.live = live
        self.bench = bench
        self.pacer: Pacer[Slot] = Pacer()
        self.queue: dict[Slot, None] = {}
        self.swept_pane = -1
        self.looked_ms = -BEHIND_MS
        self.frontier_ms = NOTHING


class Ticker:
    """Looks at every held partition when asked to."""

    def __init__(
        self,
        shards: Shards,
        settings: Settings,
        ports: "TickerPorts",
    ) -> None:
        self._shards = shards
        self._settings = settings
        self._ports = ports
        self._views: dict[int, _View] = {}
        self._loading: set[asyncio.Task[None]] = set()

    async def tick(self, now_ms: int) -> None:
        """One pass: take in what changed, publish what may go out."""
        await asyncio.gather(*(self._tick_shard(shard, now_ms) for shard in self._shards.held()))

    @property
    def behind(self) -> bool:
        """True when the last pass left slots over: the next one should not wait."""
        return any(shard.caught_up and self._queued(shard) for shard in self._shards.held())

    def _queued(self, shard: Shard) -> bool:
        view = self._views.get(shard.partition.number)
        return view is not None and (view.live.behind or bool(view.queue))

    async def _tick_shard(self, shard: Shard, now_ms: int) -> None:
        readings, transitions = self._look(shard, now_ms)
        number, publish = shard.partition.number, self._ports.publisher.publish
        if transitions:
            records = [Outgoing(alert_key(t), encode_transition(t)) for t in transitions]
            await publish(self._ports.topics.alerts, number, records)
            log.info("alerts partition=%s transitions=%s", number, len(transitions))
        if readings:
            records = [Outgoing(reading_key(r), encode_reading(r)) for r in readings]
            await publish(self._ports.topics.readings, number, records)
            self._ports.seen(readings)

    def _look(self, shard: Shard, now_ms: int) -> tuple[list[Reading], list[Any]]:
        view = self._view(shard)
        if not shard.caught_up and 0 <= now_ms - view.looked_ms < BEHIND_MS:
            return [], []
        view.looked_ms = now_ms
        changed = shard.take_changed()
        for slot in view.live.look(now_ms, changed, shard):
            if view.pacer.changed(slot, now_ms):
                view.queue[slot] = None
        early = view.bench.shown_too_early(not shard.caught_up)
        frontier_ms = shard.partition.frontier_ms
        closing = view.live.begin_in(view.frontier_ms, frontier_ms)
        view.frontier_ms = frontier_ms
        for slot in (*view.pacer.due(now_ms), *view.bench.holding, *early, *closing):
            view.queue[slot] = None
        now = list(view.queue)[:SLOTS_A_TICK]
        for slot in now:
            del view.queue[slot]
        slots = [slot for slot in now if slot[0] in view.live]
        complete_from_ms = frontier_ms if shard.caught_up else None
        readings, transitions = view.bench.look(view.live, slots, now_ms, complete_from_ms)
        if shard.caught_up and view.bench.loaded and view.swept_pane != now_ms // self._shards.settings.pane_ms:
            view.swept_pane = now_ms // self._shards.settings.pane_ms
            transitions += view.bench.sweep(view.live, now_ms)
        return readings, transitions

    def _view(self, shard: Shard) -> _View:
        number = shard.partition.number
        view = self._views.get(number)
        if view is None or view.generation != shard.generation:
            live = LiveWindows(
                self._shards.settings.pane_ms, scope_window(self._settings.roster, self._shards.settings.pane_ms)
            )
            view = self._views[number] = _View(shard.generation, live, Bench(self._settings, self._about, AGENT_KINDS))
            keys = {pane.key: pane.start_ms for pane in shard.partition.live_panes()}  # one is enough: all are taken in
            shard.changed.update(keys.items())
            task = asyncio.ensure_future(self._load(view, number))
            self._loading.add(task)
            task.add_done_callback(self._loading.discard)
        return view

    async def _load(self, view: _View, number: int) -> None:
        try:
            records = await read_on(self._ports.connection, self._ports.topics.alerts, {number: 0})
            view.bench.load(record.value for record in records[number] if record.value)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._ports.failed(error)

    def _about(self, key: str, now_ms: int) -> About:
        tenant, _, scope = key.partition("/")
        kind, _, name = scope.partition(":")
        roster = self._settings.roster
        shown = roster.display_name(tenant, name, now_ms) if kind == "agent" else name
        return About(tenant, scope, roster.team_of_scope(tenant, scope, now_ms), shown)

    def forget_lost(self) -> None:
        """Drop the view of partitions that are somebody else's now."""
        for number in [number for number in self._views if self._shards.shard(number).generation == NOTHING]:
            del self._views[number]

    def firing(self) -> Counter[str]:
        """Alerts of agents, queues and campaigns that fire, by tenant."""
        return add_counts(view.bench.firing() for view in self._views.values())


def add_counts(counts: Iterable[Counter[str]]) -> Counter[str]:
    """Sum of counts; names that count 0 stay."""
    out: Counter[str] = Counter()
    for each in counts:
        out.update(each)
    return out


class TickerPorts:
    """What tickers need of the rest of the worker."""

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

    def seen(self, readings: list[Reading]) -> None:
        """Show readings as metrics: teams always, agents only up to the cap."""
        for reading in readings:
            kind, _, name = reading.scope.partition(":")
            if kind in ("team", "tenant"):
                gauge, labels = self.metrics.team_kpi, (reading.tenant, name or "*")
            elif kind == "agent" and self._within_cap(f"{reading.tenant}/{name}"):
                gauge, labels = self.metrics.agent_kpi, (reading.tenant, name)
            else:
                continue
            for kpi, value in reading.kpis.items():
                number = float("nan") if value.value is None else value.value
                gauge.labels(*labels, kpi, reading.window).set(number)

    def _within_cap(self, agent: str) -> bool:
        if agent not in self._agents and len(self._agents) < self.agent_cap:
            self._agents.add(agent)
        return agent in self._agents
