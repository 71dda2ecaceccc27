"""Fetching: the records handed on are those that aiokafka hands on, and so is the position behind them."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer.fetcher import READ_COMMITTED, READ_UNCOMMITTED, FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException, KafkaError
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from kpistream.log import header_names
from kpistream.stream.committed import CommittedThread
from kpistream.stream.fetching import fetched_records, records_of

TP = TopicPartition("kpi.events", 3)
CONTROL = 0x20
_ATTRIBUTES_AT = 22


def batch(first: int, count: int, codec: int = 0, producer: int = -1, ends: int | None = None) -> bytes:
    """A record batch as a broker sends it; `ends`: the mark of a transaction, 0 for aborted, 1 for committed."""
    builder = DefaultRecordBatchBuilder(2, codec, producer >= 0, producer, 0, 0, 1 << 20)
    for number in range(count):
        key = b"k%d" % (first + number) if ends is None else b"\x00\x00\x00" + bytes([ends])
        headers = [("kpi-hop", b"1")] if number % 2 else []
        builder.append(number, 1000 + number, key, None if number == 2 else b"v" * number, headers)
    out = bytearray(builder.build())
    out[0:8] = first.to_bytes(8, "big")
    if ends is not None:
        out[_ATTRIBUTES_AT] |= CONTROL
    return bytes(out)


class Position:
    """The subscription's state of one partition."""

    paused = False

    def __init__(self, position: int) -> None:
        self.position = position

    def consumed_to(self, position: int) -> None:
        self.position = position


def result(
    held: bytes,
    offset: int,
    crc: bool = True,
    isolation: int = READ_UNCOMMITTED,
    aborted: tuple[tuple[int, int], ...] = (),
) -> tuple[Any, Position]:
    """What a fetch from `offset` has brought."""
    position = Position(offset)
    assignment = SimpleNamespace(active=True, state_value=lambda tp: position)
    found = PartitionRecords(TP, MemoryRecords(held), aborted, offset, None, None, crc, isolation)
    return FetchResult(TP, assignment=assignment, partition_records=found, backoff=0), position


def content(records: list[Any]) -> list[tuple[Any, ...]]:
    return [(r.offset, r.timestamp, r.timestamp_type, r.key, r.value, tuple(r.headers)) for r in records]


@pytest.mark.parametrize("isolation", [READ_UNCOMMITTED, READ_COMMITTED])
@pytest.mark.parametrize("codec", [DefaultRecordBatch.CODEC_NONE, DefaultRecordBatch.CODEC_ZSTD])
@pytest.mark.parametrize("offset", [100, 103, 104])
def test_records_and_position_are_those_of_aiokafka(offset: int, codec: int, isolation: int) -> None:
    held = batch(100, 5, codec) + batch(110, 5, codec)
    theirs, their_position = result(held, offset, isolation=isolation)
    ours, our_position = result(held, offset, isolation=isolation)

    expected = content(theirs.getall())

    assert content(records_of(ours)) == expected
    assert [it[0] for it in expected] == [it for it in (*range(100, 105), *range(110, 115)) if it >= offset]
    assert our_position.position == their_position.position == 115
    assert not ours.has_more()


@pytest.mark.parametrize(
    ("isolation", "offsets"),
    [(READ_UNCOMMITTED, [100, 101, 102, 103, 105, 107, 109]), (READ_COMMITTED, [102, 103, 107])],
)
def test_marks_are_passed_over_and_so_is_what_was_aborted(isolation: int, offsets: list[int]) -> None:
    """Producer 7: 100-101 aborted, 107 committed; 8: 105 aborted, 109 aborted; 102-103 without transaction."""
    held = batch(100, 2, producer=7) + batch(102, 2) + batch(104, 1, producer=7, ends=0) + batch(105, 1, producer=8)
    held += batch(106, 1, producer=8, ends=0) + batch(107, 1, producer=7) + batch(108, 1, producer=7, ends=1)
    held += batch(109, 1, producer=8) + batch(110, 1, producer=8, ends=0)
    aborted = ((8, 105), (7, 100), (8, 109))
    theirs, their_position = result(held, 100, False, isolation, aborted)
    ours, our_position = result(held, 100, False, isolation, aborted)

    expected = content(theirs.getall())

    assert content(records_of(ours)) == expected
    assert [it[0] for it in expected] == offsets
    assert our_position.position == their_position.position == 111


def test_a_header_whose_name_is_no_utf8_stops_nothing_and_repeats_nothing() -> None:
    held = batch(100, 2) + batch(102, 3).replace(b"kpi-hop", b"kpi-h\xffp") + batch(105, 2)
    position = Position(101)
    assignment = SimpleNamespace(active=True, state_value=lambda tp: position)

    def result_again() -> Any:
        found = header_names.PartitionRecords(
            TP, header_names.Records(held), [], 101, None, None, False, READ_UNCOMMITTED
        )
        return FetchResult(TP, assignment=assignment, partition_records=found, backoff=0)

    records = records_of(result_again())

    assert [record.offset for record in records] == list(range(101, 107))
    assert [list(record.headers) for record in records[1:4]] == [[], [("kpi-h\\xffp", b"1")], []]
    assert position.position == 107
    position.position = 101
    assert content(result_again().getall()) == content(records), "as other consumers read them"


def test_a_partition_that_was_moved_or_paused_meanwhile_gives_nothing() -> None:
    moved, position = result(batch(100, 2), 100)
    position.position = 90

    assert records_of(moved) == []
    assert position.position == 90


def test_a_damaged_batch_is_refused_and_the_position_stays() -> None:
    damaged = bytearray(batch(102, 3))
    damaged[-1] ^= 1
    ours, position = result(batch(100, 2) + bytes(damaged), 100)

    with pytest.raises(CorruptRecordException, match="Invalid CRC"):
        records_of(ours)
    assert position.position == 100


class Fetcher:
    """What is used of aiokafka's fetcher."""

    _closed = False
    _wait_consume_future = None

    def __init__(self, records: dict[TopicPartition, Any]) -> None:
        self._records = records
        self._subscriptions = SimpleNamespace(reassignment_in_progress=False, is_assigned=lambda tp: True)
        self.waiters: list[asyncio.Future[None]] = []

    def _notify(self, future: object) -> None:
        pass

    def _create_fetch_waiter(self) -> "asyncio.Future[None]":
        self.waiters.append(asyncio.get_running_loop().create_future())
        return self.waiters[-1]


class Failed:
    """A fetch that failed."""

    def check_raise(self) -> None:
        raise KafkaError("not authorized")


def test_records_come_before_the_fault_of_another_partition() -> None:
    other = TopicPartition("kpi.events", 4)
    damaged = bytearray(batch(100, 3))
    damaged[-1] ^= 1
    for fault in (Failed(), result(bytes(damaged), 100)[0]):
        fetcher = Fetcher({TP: result(batch(100, 2), 100)[0], other: fault})

        first = asyncio.run(fetched_records(fetcher, {TP, other}, 0))

        assert {tp: [r.offset for r in records] for tp, records in first.items()} == {TP: [100, 101]}
    failing = Fetcher({other: Failed()})
    with pytest.raises(KafkaError, match="not authorized"):
        asyncio.run(fetched_records(failing, {TP, other}, 0))
    assert failing._records == {}


def test_a_partition_that_was_not_asked_for_stays_where_it_is() -> None:
    fetcher = Fetcher({TP: result(batch(100, 2), 100)[0]})

    assert asyncio.run(fetched_records(fetcher, {TopicPartition("kpi.events", 4)}, 0)) == {}
    assert TP in fetcher._records


def test_it_waits_for_a_fetch() -> None:
    fetcher = Fetcher({})

    async def arrive() -> None:
        while not fetcher.waiters:
            await asyncio.sleep(0)
        fetcher._records[TP] = result(batch(100, 2), 100)[0]
        fetcher.waiters[-1].set_result(None)

    async def both() -> Any:
        return (await asyncio.gather(arrive(), fetched_records(fetcher, {TP}, 60)))[1]

    found = asyncio.run(both())

    assert [record.offset for record in found[TP]] == [100, 101]


def test_partitions_of_a_changelog_are_not_held_to_be_stuck_streams(caplog: pytest.LogCaptureFixture):
    """Faust logs an error for each after five minutes: no stream reads them."""
    thread = object.__new__(CommittedThread)

    thread.verify_event_path(1e9, TP)
    assert caplog.records == []
