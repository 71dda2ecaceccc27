"""Ticker: live numbers and alerts of the agents, queues and campaigns that this worker holds.

It reads panes and never changes them. Before a partition has caught up with what was there at its assignment,
readings say `provisional` and nothing is judged.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final

from kpistream.core.alerts import Transition
from kpistream.core.partition import NOTHING
from kpistream.core.readings import About, Reading
from kpistream.core.roster import Dated
from kpistream.core.settings import Settings
from kpistream.core.settings_changes import touched
from kpistream.core.settling import Delays, Settling, delays
from kpistream.core.targets import paced
from kpistream.core.windows import Window
from kpistream.log.tail import PATIENCE_S, read_on
from kpistream.log.topics import partition_of
from kpistream.stream.judging import AGENT_KINDS, Bench
from kpistream.stream.live import LiveWindows, scope_window
from kpistream.stream.showing import Known, Show, TickerPorts, add_counts
from kpistream.stream.state import Shard, Shards

BEHIND_MS: Final = 10_000
"""How often a partition that still reads what was there at its assignment is looked at: its numbers are
provisional, nothing is judged, and reading comes first."""


class _View(Show):
    """One partition as the ticker sees it, for one generation."""

    def __init__(self, generation: int, live: LiveWindows, bench: Bench, settling: Settling) -> None:
        super().__init__(live, bench)
        self.generation = generation
        self.settling = settling
        self.swept_pane = self.kept_pane = -1
        self.looked_ms = -BEHIND_MS


class Ticker:
    """Looks at every held partition when asked to."""

    def __init__(self, shards: Shards, settings: Settings, ports: TickerPorts, partitions: int) -> None:
        self._shards = shards
        self._partitions = partitions
        self._awaited: dict[int, list[tuple[str, Dated]]] | None = None
        """By partition: keys of agents whose counts are held against their time at work, and when they work here."""
        self._settings = settings
        self._homes: dict[str, int] = {}
        """Partitions of agents: they are hashes, and asked for with each version of the settings."""
        self._ports = ports
        self._views: dict[int, _View] = {}
        self._loading: set[asyncio.Task[None]] = set()

    async def tick(self, now_ms: int) -> None:
        """One pass: take in what changed, publish what may go out."""
        await asyncio.gather(*(self._tick_shard(shard, now_ms) for shard in self._shards.held()))

    def adopt(self, settings: Settings) -> None:
        """Run by other settings from the next look on."""
        who = touched(self._settings, settings)
        self._settings, self._awaited = settings, None
        for number, view in self._views.items():
            loaded = view.bench.loaded
            view.adopt(settings, self._window_of(), who)
            view.settling.adopt(self._delays())
            view.swept_pane = view.kept_pane = -1
            if loaded and not view.bench.loaded:
                self._start_loading(view, number)

    def _window_of(self) -> Callable[[str, str, int], Window]:
        return scope_window(self._settings.roster, self._shards.settings.pane_ms)

    def _delays(self) -> Delays:
        return delays(self._settings.roster, self._shards.settings.pane_ms)

    @property
    def behind(self) -> bool:
        """True when the last pass left slots over: the next one should not wait."""
        return any(shard.caught_up and self._behind(shard) for shard in self._shards.held())

    def _behind(self, shard: Shard) -> bool:
        view = self._views.get(shard.partition.number)
        return view is not None and (view.behind or view.settling.behind)

    async def _tick_shard(self, shard: Shard, now_ms: int) -> None:
        readings, transitions = self._look(shard, now_ms)
        await self._ports.publish(shard.partition.number, readings, transitions)

    def _look(self, shard: Shard, now_ms: int) -> tuple[list[Reading], list[Transition]]:
        view = self._view(shard)
        if not shard.caught_up and 0 <= now_ms - view.looked_ms < BEHIND_MS:
            return [], []
        view.looked_ms = now_ms
        pane = now_ms // self._shards.settings.pane_ms
        if view.kept_pane != pane:
            view.kept_pane = pane
            view.live.keep(key for key, active in self._paced(shard.partition.number) if active.holds(now_ms))
        known = Known(shard.partition.frontier_ms, shard.caught_up)
        changed = shard.take_changed()
        silently = {*view.settling.due(now_ms, changed), *shard.take_recounted()}
        readings, transitions = view.look(now_ms, changed, view.settling, known, silently)
        if shard.caught_up and view.bench.loaded and view.swept_pane != pane:
            view.swept_pane = pane
            transitions += view.bench.sweep(view.live, now_ms)
        return readings, transitions

    def _paced(self, number: int) -> list[tuple[str, Dated]]:
        """Agents of a partition who are looked at also when nothing has happened."""
        if self._awaited is None:
            self._awaited = {}
            tenants = {target.tenant for target in self._settings.targets if paced(target)}
            for name in self._settings.schedules.tenants:
                people = self._settings.roster.tenant(name).people if tenants & {None, name} else {}
                for agent, person in people.items():
                    key = f"{name}/agent:{agent}"
                    self._awaited.setdefault(self._home(key), []).append((key, person.active))
        return self._awaited.get(number, [])

    def _home(self, key: str) -> int:
        home = self._homes.get(key)
        if home is None:
            home = self._homes[key] = partition_of(key.encode("utf-8", "surrogatepass"), self._partitions)
        return home

    def _view(self, shard: Shard) -> _View:
        number = shard.partition.number
        view = self._views.get(number)
        if view is None or view.generation != shard.generation:
            live = LiveWindows(self._shards.settings.pane_ms, self._window_of())
            bench = Bench(self._settings, self._about, AGENT_KINDS)
            bench.parts, bench.sources_of = shard.parts, shard.sources_of
            bench.own.own_from, bench.own.own_state = lambda key, window: shard.own_from, lambda: shard.own_from
            settling = Settling(shard, self._delays(), self._shards.settings.pane_ms)
            view = self._views[number] = _View(shard.generation, live, bench, settling)
            keys = {pane.key: pane.start_ms for pane in shard.partition.live_panes()}  # one is enough: all are taken in
            shard.changed.update(keys.items())
            self._start_loading(view, number)
        return view

    def _start_loading(self, view: _View, number: int) -> None:
        task = asyncio.ensure_future(self._load(view, number))
        self._loading.add(task)
        task.add_done_callback(self._loading.discard)

    async def _load(self, view: _View, number: int) -> None:
        try:
            topic = self._ports.topics.alerts
            records = await read_on(self._ports.connection, topic, {number: 0}, patience_s=PATIENCE_S)
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
