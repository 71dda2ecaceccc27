"""Teams: live numbers and alerts of teams and tenants, out of the sums that workers publish by tenant.

A plain consumer of the team-panes topic: on assignment it reads each partition from its beginning, the
highest version of a pane stands, and the roster (effective-dated at pane starts) says which team a pane
belongs to. It keeps nothing that the topic does not hold, so it commits nothing.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from sys import intern
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor

from kpistream.core.alerts import Transition
from kpistream.core.contributing import SUMS_LOOKED_AT, Part
from kpistream.core.measures import Contribution, Tally, add, difference
from kpistream.core.readings import WHOLE, About, OwnFrom, Reading
from kpistream.core.roster import Roster
from kpistream.core.settings import Settings
from kpistream.core.settings_changes import Touched, touched
from kpistream.core.tallies import pack_tally
from kpistream.core.targets import TENANT_SCOPE, team_scope
from kpistream.core.windows import Window, window_at
from kpistream.log.records import sources_of
from kpistream.log.tail import PATIENCE_S, read_on
from kpistream.log.topics import FETCH_MIN_BYTES
from kpistream.stream.committed import FETCH_WAIT_MS
from kpistream.stream.fetching import getmany
from kpistream.stream.judging import TEAM_KINDS, Bench
from kpistream.stream.live import LiveWindows
from kpistream.stream.outages import Outages
from kpistream.stream.showing import Known, Show, TickerPorts, add_counts
from kpistream.stream.team_records import Partial, decode_sum
from kpistream.stream.whole import Whole

log = logging.getLogger(__name__)

_FETCH_S: Final = 0.2
_SLICE: Final = 1000
"""Sums that are taken in in one go: about 10 ms, in which nothing else runs."""

REPLACED_A_LOOK: Final = 1000
"""Panes that one look places anew after somebody has moved, about 16 ms; a mover counts as one."""


@dataclass(frozen=True, slots=True)
class Member:
    """Which group follows the topic, and as whom."""

    group: str
    instance: str
    """Static member name: a restart within the session timeout moves no partition. Empty: dynamic."""


class TeamSums:
    """Sums of one partition: panes of agents folded into panes of teams and tenants."""

    def __init__(self, settings: Settings, pane_ms: int) -> None:
        self._settings = settings
        self._pane_ms = pane_ms
        self._held: dict[int, dict[str, bytes]] = {}
        """The record that stands for each pane, by start, then by key."""
        self.panes: dict[str, dict[int, Tally]] = {}
        """Tallies by team key (`tenant/team:NAME`, `tenant/tenant`), then pane start."""
        self.changed: set[tuple[str, int]] = set()
        self._wanted: frozenset[int] = frozenset()
        self._partial = Partial()
        self._want(settings)
        self.bench = Bench(settings, self._about, TEAM_KINDS)
        self.bench.parts = self.parts
        self.bench.own.own_from, self.bench.own.own_state = self._own_from, lambda: bool(self._partial)
        self.show = Show(LiveWindows(pane_ms, self._window), self.bench)
        self.catch_up_to = -1
        self.next_offset = 0
        self._forget_at_ms = 0
        self._moving: dict[str, Roster] = {}
        """Whose panes still stand in the teams of another roster than that of the settings, and of which."""
        self._swept_pane = -1
        self.outages = Outages(settings, pane_ms)

    def put(self, value: bytes, sources: Iterable[str] = ()) -> None:
        """Take one record; an older version than the one that stands is ignored, and a pane that is forgotten.

        Of one version there is one content; own measures may come to it later, and stay.
        """
        new = decode_sum(value)
        tenant, scope, start_ms = new.tenant, new.scope, new.start_ms
        self.outages.note(tenant, scope, start_ms, sources)
        if start_ms < self.complete_from_ms:
            return  # else a backlog of years would be held until the next look
        key = f"{tenant}/{scope}"
        held = self._held.setdefault(start_ms, {})
        old_value = held.get(key)
        old: Tally = {}
        if old_value is not None:
            known = decode_sum(old_value)
            if new.version < known.version or (new.version == known.version and new.own in (None, known.own)):
                return
            old = known.tally
        held[intern(key)] = value
        if self._wanted:
            self._partial.note(key, start_ms, whole=self._wanted <= set((new.own or ())[::2]))
        team = self._moving.get(key, self._settings.roster).team_of_scope(tenant, scope, start_ms)
        change = difference(new.tally, old)
        self._add(f"{tenant}/{team_scope(team)}", start_ms, change)
        self._add(f"{tenant}/{TENANT_SCOPE}", start_ms, change)

    def _add(self, key: str, start_ms: int, change: Contribution) -> None:
        add(self.panes.setdefault(key, {}).setdefault(start_ms, {}), change)
        self.changed.add((key, start_ms))

    def adopt(self, settings: Settings, everybody: bool, moved: Iterable[str]) -> None:
        """Run by other settings from the next look on; panes of those who `moved` are placed anew by `replace`.

        `everybody`: the settings are about more than single agents.
        """
        for key in moved:
            self._moving.setdefault(key, self._settings.roster)
        self._want(settings)
        self._settings, self._swept_pane = settings, -1
        self.outages.adopt(settings)
        self.show.adopt(settings, self._window, Touched(everybody))

    def _want(self, settings: Settings) -> None:
        """From now on own measures of these settings are asked for; what is held has none that are new."""
        if self._wanted != settings.own.counting.numbers:
            self._wanted = settings.own.counting.numbers
            self._partial = Partial()
            for start_ms, held in self._held.items() if self._wanted else ():
                for key in held:
                    self._partial.note(key, start_ms, whole=False)

    def _own_from(self, key: str, window: Window) -> OwnFrom:
        """From when on own measures of a team or tenant are whole: behind the last pane that lacks some."""
        last_ms = self._partial.last_ms(key.partition("/")[0], window)
        return WHOLE if last_ms is None else OwnFrom(last_ms + self._pane_ms, passes=True)

    def replace(self, panes: int) -> bool:
        """Place about so many panes of those who moved into the teams of the roster; True when none is left.

        All panes of one agent at once: the sums are whole between two calls, whatever comes in between.
        """
        left = panes
        while self._moving and left > 0:
            key = next(iter(self._moving))
            left -= 1 + self._replace(key, self._moving.pop(key))
        return not self._moving

    def _replace(self, key: str, before: Roster) -> int:
        tenant, _, scope = key.partition("/")
        count = 0
        for start_ms, held in self._held.items():
            value = held.get(key)
            if value is None:
                continue
            teams = [roster.team_of_scope(tenant, scope, start_ms) for roster in (before, self._settings.roster)]
            if teams[0] == teams[1]:
                continue
            count += 1
            sums = decode_sum(value).tally
            for team, change in zip(teams, (difference({}, sums), difference(sums, {})), strict=True):
                self._add(f"{tenant}/{team_scope(team)}", start_ms, change)
        return count

    def look(self, now_ms: int, whole_to_ms: int | None = None) -> tuple[list[Reading], list[Transition]]:
        """Take in what changed; what may go out, nothing while teams stand between two rosters.

        Once for each pane of time, alerts of targets that are over rest. `whole_to_ms`: all that was sent before is
        here; None: nobody knows.
        """
        if not self.replace(REPLACED_A_LOOK):
            return [], []
        changed, self.changed = self.changed, set()
        known = Known(self.complete_from_ms, self.next_offset >= self.catch_up_to)
        readings, transitions = self.show.look(now_ms, changed, self, known)
        pane = now_ms // self._pane_ms
        if known.caught_up and self.bench.loaded and self._swept_pane != pane:
            self._swept_pane = pane
            transitions += self.bench.sweep(self.show.live, now_ms)
        if known.caught_up:
            self.outages.forget(now_ms)
            transitions += self.outages.look(now_ms, whole_to_ms)
        return readings, transitions

    @property
    def behind(self) -> bool:
        """True when panes are still to be placed anew: the next look should not wait."""
        return bool(self._moving)

    def starts_of(self, key: str) -> list[int]:
        """Pane starts at which a team or tenant has sums."""
        return list(self.panes.get(key, ()))

    def packed_at(self, key: str, start_ms: int) -> bytes:
        """The packed tally of a team or tenant at a pane start."""
        return pack_tally(self.panes.get(key, {}).get(start_ms, {}))

    def parts(self, key: str, starts: Sequence[int]) -> Iterator[Part]:
        """The sums of a team's or a tenant's agents over panes at these starts, of the newest when there are many."""
        tenant, _, scope = key.partition("/")
        sums: dict[str, Tally] = {}
        left = SUMS_LOOKED_AT
        for start_ms in reversed(starts):
            held = self._held.get(start_ms, {}) if left > 0 else {}
            left -= len(held)
            for member, value in held.items():
                whose, _, member_scope = member.partition("/")
                team = self._settings.roster.team_of_scope(tenant, member_scope, start_ms)
                if whose == tenant and scope in (TENANT_SCOPE, team_scope(team)):
                    add(sums.setdefault(member_scope, {}), tuple(decode_sum(value).sums))
        return (Part(member, None, difference(tally, {})) for member, tally in sums.items())

    @property
    def complete_from_ms(self) -> int:
        """Panes from there on are held."""
        return self._forget_at_ms - self._pane_ms

    def forget_before(self, limit_ms: int) -> None:
        """Drop panes that no live window can reach any more; looks at all of them once for each pane of time."""
        if limit_ms < self._forget_at_ms:
            return
        self._forget_at_ms = limit_ms + self._pane_ms
        for start_ms in [start_ms for start_ms in self._held if start_ms < limit_ms]:
            del self._held[start_ms]
        self._partial.forget_before(limit_ms)
        for by_start in self.panes.values():
            for start_ms in [start_ms for start_ms in by_start if start_ms < limit_ms]:
                del by_start[start_ms]

    def _window(self, key: str, name: str, now_ms: int) -> Window:
        tenant, _, scope = key.partition("/")
        roster = self._settings.roster
        known = roster.tenant(tenant)
        zone = known.zone if scope == TENANT_SCOPE else roster.zone_of_team(tenant, scope.partition(":")[2])
        return window_at(name, now_ms, self._pane_ms, zone, known.day_starts_at_min)

    def _about(self, key: str, now_ms: int) -> About:
        tenant, _, scope = key.partition("/")
        if scope == TENANT_SCOPE:
            return About(tenant, scope, None, tenant)
        team = scope.partition(":")[2]
        return About(tenant, scope, team, self._settings.roster.team_name(tenant, team))


class Teams(ConsumerRebalanceListener):  # type: ignore[misc]
    """Follows the team-panes topic and publishes readings and alerts of teams."""

    def __init__(self, settings: Settings, ports: TickerPorts, pane_ms: int, keep_ms: int, member: Member) -> None:
        self._settings = settings
        self._ports = ports
        self._pane_ms = pane_ms
        self._keep_ms = keep_ms
        self._member = member
        self.whole: Whole | None = None
        """Says whether all that was sent is here; None: then nobody is told of a silent source."""
        self._sums: dict[int, TeamSums] = {}
        self._consumer: AIOKafkaConsumer | None = None
        self._loading: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Follow the topic until cancelled."""
        self._consumer = AIOKafkaConsumer(
            **self._ports.connection,
            group_id=self._member.group,
            group_instance_id=self._member.instance or None,
            fetch_max_wait_ms=FETCH_WAIT_MS,
            fetch_min_bytes=FETCH_MIN_BYTES,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            partition_assignment_strategy=[RangePartitionAssignor],
        )
        self._consumer.subscribe([self._ports.topics.team_panes], listener=self)
        try:
            await self._consumer.start()
            while True:
                self._ports.turned()
                fetched = await getmany(self._consumer, _FETCH_S)
                for tp, records in fetched.items():
                    await self._take(tp.partition, records)
                await asyncio.sleep(0)
        finally:
            if self.whole is not None:
                await self.whole.stop()
            await self._consumer.stop()

    async def _take(self, partition: int, records: list[Any]) -> None:
        for first in range(0, len(records), _SLICE):
            sums = self._sums.get(partition)
            if sums is None:
                return
            for record in records[first : first + _SLICE]:
                if record.value:
                    sums.put(record.value, sources_of(record.headers))
                sums.next_offset = record.offset + 1
            await asyncio.sleep(0)

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Somebody else may follow them now, and show their numbers."""
        self._ports.following(False)
        self._sums.clear()
        self._ports.metrics.team_kpi.clear()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Read each partition from its beginning: the topic is the state. aiokafka swallows what this raises."""
        try:
            await self._follow(list(assigned))
            self._ports.following(True)
        except Exception as error:
            self._ports.failed(error)
            raise

    async def _follow(self, tps: list[TopicPartition]) -> None:
        assert self._consumer is not None
        ends = await self._consumer.end_offsets(tps)
        starts = {tp.partition: 0 for tp in tps}
        alerts = await read_on(self._ports.connection, self._ports.topics.alerts, starts, patience_s=PATIENCE_S)
        for tp in tps:
            sums = TeamSums(self._settings, self._pane_ms)
            sums.catch_up_to = ends[tp]
            values = [record.value for record in alerts[tp.partition] if record.value]
            sums.bench.load(values)
            sums.outages.load(values)
            # Only now, and before the seek: what is fetched without a place to put it would be lost.
            self._sums[tp.partition] = sums
            await self._consumer.seek_to_beginning(tp)

    def adopt(self, settings: Settings) -> None:
        """Run by other settings from the next look on."""
        everybody = touched(self._settings, settings).everybody
        moved = self._settings.roster.placed_otherwise(settings.roster)
        if everybody:
            self._ports.metrics.team_kpi.clear()  # a team may be gone; those that are there are shown again
        self._settings = settings
        for partition, sums in self._sums.items():
            loaded = sums.bench.loaded
            sums.adopt(settings, everybody, moved)
            if loaded and not sums.bench.loaded:
                task = asyncio.ensure_future(self._load_again(sums, partition))
                self._loading.add(task)
                task.add_done_callback(self._loading.discard)

    async def _load_again(self, sums: TeamSums, partition: int) -> None:
        """Take in what the review has written of targets that are judged here from now on."""
        try:
            alerts = await read_on(self._ports.connection, self._ports.topics.alerts, {partition: 0})
            sums.bench.load(record.value for record in alerts[partition] if record.value)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._ports.failed(error)

    @property
    def behind(self) -> bool:
        """True when the next look should not wait."""
        return any(sums.behind for sums in self._sums.values())

    def firing(self) -> Counter[str]:
        """Alerts of teams, tenants and sources that fire, by tenant."""
        sources = Counter(tenant for (tenant, _), silent in self.silent().items() if silent)
        return add_counts([*(sums.bench.firing() for sums in self._sums.values()), sources])

    def silent(self) -> dict[tuple[str, str], bool]:
        """Tenants and sources that are known here, and whether they are silent."""
        return {known: silent for sums in self._sums.values() for known, silent in sums.outages.silent.items()}

    async def tick(self, now_ms: int) -> None:
        """One pass: take in what changed, publish what may go out."""
        for partition, sums in list(self._sums.items()):
            sums.forget_before(now_ms - self._keep_ms)
            whole_to_ms = None if self.whole is None else self.whole.to_ms(partition, sums.next_offset)
            readings, transitions = sums.look(now_ms, whole_to_ms)
            await self._ports.publish(partition, readings, transitions)
            if sums.outages.suspects and self.whole is not None:
                self.whole.find_out(now_ms)
