"""Refilling when the log does not answer, loses records, or partitions go: numbers stay partial until they are whole.

That a log is really read again is shown on a real Kafka, in `tests/live/test_own_measures.py`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from prometheus_client import CollectorRegistry

from kpistream.core import measures as m
from kpistream.core.partition import PartitionSettings
from kpistream.core.settings import Settings, read_settings
from kpistream.core.shadow import NOT_YET
from kpistream.log.reading import EventReader
from kpistream.log.records import Located, Outgoing
from kpistream.log.topics import Topics
from kpistream.metrics import WorkerMetrics
from kpistream.stream import refilling
from kpistream.stream.decode import Decoder
from kpistream.stream.refilling import Refilling, RefillPorts
from kpistream.stream.state import Shard, Shards
from kpistream.stream.teams import TeamSums
from tests.unit.test_own_measures import DEMOS, NOW_MS, PANE_MS, SETTINGS, record

OLD_MS = NOW_MS - 30 * 86_400_000


class Log:
    """A partition of the events, whose faults are ours."""

    def __init__(self, *records: Located) -> None:
        self.records = list(records)
        self.first = 0
        self.fails = 0
        self.read = 0
        self.then: Any = lambda: None
        """Called while records are read."""

    async def begins_between(self, _: Any, topic: str, number: int, from_ms: int, end: int) -> tuple[int, int]:
        if self.fails:
            self.fails -= 1
            raise KafkaConnectionError("nobody answers")
        there = [each.offset for each in self.records if each.offset >= self.first and each.timestamp >= from_ms]
        return self.first, max(self.first, min([end, *there]))

    async def read_between(
        self, _: Any, topic: str, starts: dict[int, int], ends: dict[int, int]
    ) -> AsyncIterator[Sequence[Located]]:
        for each in self.records:
            if starts[0] <= each.offset < ends[0]:
                self.read += 1
                yield [each]
                self.then()


class Floor:
    """A worker's one partition with its log; the events before `begins_at` were read by somebody else."""

    def __init__(self, log: Log, begins_at: int, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("begins_between", "read_between"):
            monkeypatch.setattr(refilling, name, getattr(log, name))
        monkeypatch.setattr(refilling, "_AGAIN_S", 0.0)
        monkeypatch.setattr(refilling, "_LOOK_S", 0.001)
        self.shards = Shards(PartitionSettings("w", PANE_MS))
        self.metrics = WorkerMetrics(CollectorRegistry())
        self.told: list[Outgoing] = []
        ports = RefillPorts({}, Topics(), lambda: NOW_MS, self._tell, self.metrics)
        self.refilling = Refilling(self.shards, SETTINGS, ports, 1)
        self.shard: Shard = self.shards.shard(0)
        self.shard.assigned(1)
        self.shard.partition.recovered(0)
        self.shard.begins_at = self.shard.catch_up_to = begins_at
        self._decoder = Decoder(EventReader(PANE_MS, 1), PANE_MS, "events")
        for each in log.records[:begins_at]:  # what recovery brought
            self.shard.partition.accept(EventReader(PANE_MS, 1).read(each), each.offset)
        self.shard.partition.at.dirty.clear()

    async def _tell(self, records: list[Outgoing]) -> None:
        self.told += records

    def take(self, *records: Located) -> None:
        self._decoder.take(self.shard, list(records))

    def until(self, condition: Any) -> None:
        """Refill until something holds."""

        async def run() -> None:
            task = asyncio.ensure_future(self.refilling.run(lambda: None))
            while not condition():
                assert not task.done(), task.result()
                await asyncio.sleep(0.001)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

        asyncio.run(asyncio.wait_for(run(), 20))

    def demos(self) -> int:
        assert self.shard.shadow is not None
        return self.shard.shadow.sums("acme/agent:ann", NOW_MS).get(DEMOS, 0)


def log_of(count: int) -> Log:
    return Log(*(record(offset, "demo booked") for offset in range(count)))


def old(offset: int) -> Located:
    return record(offset, "demo booked")._replace(timestamp=OLD_MS, value=b"not of today, and not even JSON")


def test_what_was_read_before_is_counted_and_told_to_teams_once(monkeypatch: pytest.MonkeyPatch) -> None:
    log = log_of(5)
    floor = Floor(log, 3, monkeypatch)
    floor.take(*log.records[3:])
    floor.shard.partition.at.dirty.clear()  # as a flush leaves it
    assert (floor.demos(), floor.shard.own_from.passes) == (2, True)

    floor.until(lambda: floor.told)

    assert (floor.demos(), floor.shard.own_from.passes, log.read) == (5, False, 3)
    assert floor.shard.own_from.from_ms <= NOW_MS - 3_600_000
    assert floor.metrics.own.partial._value.get() == 0
    assert ("acme/agent:ann", NOW_MS) in floor.shard.recounted
    assert len(floor.told) == 1


def test_panes_that_the_next_flush_tells_are_not_told_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    log = log_of(5)
    floor = Floor(log, 3, monkeypatch)
    floor.take(*log.records[3:])
    assert floor.shard.partition.at.dirty

    floor.until(lambda: floor.shard.shadow is not None and floor.shard.shadow.refilled)

    assert floor.told == []


def test_a_log_that_does_not_answer_is_asked_again_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    log = log_of(5)
    log.fails = 3
    floor = Floor(log, 4, monkeypatch)

    floor.until(lambda: floor.metrics.own.failures._value.get() == 2)
    assert floor.shard.own_from.from_ms == NOT_YET
    floor.until(lambda: floor.shard.shadow is not None and floor.shard.shadow.refilled)

    assert floor.metrics.own.failures._value.get() == 3
    assert floor.demos() == 4


def test_records_of_before_the_day_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(old(0), old(1), record(2, "demo booked"), record(3, "x"))
    floor = Floor(Log(), 0, monkeypatch)
    floor = Floor(log, 0, monkeypatch)
    floor.shard.begins_at = floor.shard.catch_up_to = 3
    floor.take(log.records[3])

    floor.until(lambda: floor.shard.shadow is not None and floor.shard.shadow.refilled)

    assert (log.read, floor.demos(), floor.shard.own_from.from_ms <= NOW_MS) == (1, 1, True)


def test_where_the_log_has_lost_the_morning_it_is_whole_behind_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    log = log_of(5)
    log.first = 2
    floor = Floor(log, 4, monkeypatch)
    floor.take(log.records[4])

    floor.until(lambda: floor.shard.shadow is not None and floor.shard.shadow.refilled)

    assert floor.shard.own_from == (NOW_MS + PANE_MS, False)
    assert floor.metrics.own.partial._value.get() == 1
    assert floor.told == [], "what is not whole is not told"


def test_a_partition_that_goes_while_it_is_refilled_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    log = log_of(5)
    floor = Floor(log, 4, monkeypatch)
    log.then = floor.shard.lost

    floor.until(lambda: floor.shard.shadow is None and log.read)

    assert floor.told == []
    assert floor.shard.own_from.from_ms == NOT_YET


def test_another_version_while_it_is_refilled_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    log = log_of(5)
    floor = Floor(log, 4, monkeypatch)
    other = read_settings({"k.yaml": "measures: {d: {of: call, where: {disposition: demo booked}, description: d}}"})
    log.then = lambda: floor.refilling.adopt(other)

    floor.until(lambda: floor.shard.shadow is not None and floor.shard.shadow.refilled)

    assert floor.shard.counting.numbers == other.own.counting.numbers
    assert floor.shard.shadow is not None
    assert sum(floor.shard.shadow.sums("acme/agent:ann", NOW_MS).values()) == 4


def test_a_zone_whose_day_began_earlier_is_read_back_to(monkeypatch: pytest.MonkeyPatch) -> None:
    log = log_of(5)
    floor = Floor(log, 4, monkeypatch)
    floor.until(lambda: floor.shard.shadow is not None and floor.shard.shadow.refilled)
    before_ms = floor.shard.own_from.from_ms

    tenants = {"north": SETTINGS.roster.tenants["acme"].__class__("north", "Asia/Tokyo")}
    roster = SETTINGS.roster.__class__({**SETTINGS.roster.tenants, **tenants})
    floor.refilling.adopt(SETTINGS._replace(roster=roster))
    floor.until(lambda: floor.shard.shadow is not None and floor.shard.shadow.refilled)

    assert floor.shard.own_from.from_ms < before_ms
    assert floor.demos() == 4


def test_without_own_measures_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    log = log_of(5)
    floor = Floor(log, 4, monkeypatch)
    floor.refilling.adopt(Settings())

    floor.until(lambda: True)

    assert (floor.shard.shadow, log.read) == (None, 0)


def test_what_is_told_again_is_what_teams_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    log = log_of(5)
    floor = Floor(log, 4, monkeypatch)
    sums = TeamSums(SETTINGS, PANE_MS)
    for pane in floor.shard.partition.live_panes():
        value = refilling.sum_record(refilling.PaneSum(pane.place, pane.version, pane.packed_tally)).value
        assert value is not None
        sums.put(value)
    assert sums.panes["acme/tenant"] == {NOW_MS: {m.CALLS: 4, m.FIRST_LEGS: 4, m.OUTBOUND_CALLS: 4}}

    floor.until(lambda: floor.told)
    for each in floor.told:
        sums.put(each.value or b"")

    assert sums.panes["acme/tenant"] == {NOW_MS: {m.CALLS: 4, m.FIRST_LEGS: 4, m.OUTBOUND_CALLS: 4, DEMOS: 4}}
