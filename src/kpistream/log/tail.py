"""Tail: reads partitions from given offsets to where they end now, without a group."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, KafkaTimeoutError, OffsetOutOfRangeError

from kpistream.errors import ConfigError

log = logging.getLogger(__name__)

PATIENCE_S: Final = 60.0
"""How long a role that runs waits for a broker that is not there; its next process would wait, too."""
_AGAIN_S: Final = 0.5
_AT_ONCE: Final = 5000
_FETCH_BYTES: Final = 16 << 20

_FETCH_WAIT_MS: Final = 20
"""The question for the end waits at the broker behind the fetch before it."""


def passes(error: KafkaError) -> bool:
    """True for errors that pass when a broker is back. aiokafka calls a request that took too long not retriable."""
    return bool(error.retriable) or isinstance(error, KafkaTimeoutError)


async def read_on(
    connection: Mapping[str, Any], topic: str, starts: Mapping[int, int], *, patience_s: float = 0.0
) -> dict[int, list[Any]]:
    """All records from `starts` (offset by partition) to the end as it is when this returns.

    A broker that is not there is waited for: once `patience_s` has passed without a record its error is raised.
    """
    out: dict[int, list[Any]] = {number: [] for number in starts}
    read, deadline_s = 0, time.monotonic() + patience_s
    while True:
        try:
            await _read_on(connection, topic, starts, out)
            return out
        except KafkaError as error:
            before, read = read, sum(map(len, out.values()))
            if read > before:
                deadline_s = time.monotonic() + patience_s
            if not passes(error) or time.monotonic() >= deadline_s:
                raise
            log.warning("will read on topic=%s records=%s error=%s", topic, read, error)
            await asyncio.sleep(_AGAIN_S)


async def _read_on(
    connection: Mapping[str, Any], topic: str, starts: Mapping[int, int], out: dict[int, list[Any]]
) -> None:
    """Add records to `out`, behind those that are there."""
    consumer = AIOKafkaConsumer(
        **connection, enable_auto_commit=False, auto_offset_reset="earliest", fetch_max_wait_ms=_FETCH_WAIT_MS
    )
    try:
        await consumer.start()
        tps = {number: TopicPartition(topic, number) for number in starts}
        consumer.assign(list(tps.values()))
        for number, start in starts.items():
            consumer.seek(tps[number], out[number][-1].offset + 1 if out[number] else start)
        while True:
            ends = await consumer.end_offsets(list(tps.values()))
            behind = [tp for tp, end in ends.items() if await consumer.position(tp) < end]
            if not behind:
                return
            for tp, records in (await consumer.getmany(*behind, timeout_ms=200)).items():
                out[tp.partition].extend(records)
    finally:
        await consumer.stop()


async def values_of(connection: Mapping[str, Any], topic: str, key: bytes) -> list[bytes]:
    """Values that a topic of one partition holds under a key now, oldest first; tombstones left out."""
    records = (await read_on(connection, topic, {0: 0}))[0]
    return [record.value for record in records if record.key == key and record.value]


async def bounds(connection: Mapping[str, Any], topic: str, partitions: int) -> tuple[dict[int, int], dict[int, int]]:
    """First and end offset of every partition of a topic, as they are now; an open transaction is behind the end."""
    consumer = AIOKafkaConsumer(**connection, enable_auto_commit=False, isolation_level="read_committed")
    await consumer.start()
    try:
        tps = [TopicPartition(topic, number) for number in range(partitions)]
        first, ends = await consumer.beginning_offsets(tps), await consumer.end_offsets(tps)
        return {tp.partition: first[tp] for tp in tps}, {tp.partition: ends[tp] for tp in tps}
    finally:
        await consumer.stop()


async def read_between(
    connection: Mapping[str, Any], topic: str, starts: Mapping[int, int], ends: Mapping[int, int]
) -> AsyncIterator[Sequence[Any]]:
    """Records from `starts` to `ends` (exclusive, by partition), some of one partition at a time, in bounded memory.

    Of transactions only those that were committed.

    Raises `ConfigError` when the log no longer holds the records that follow `starts`.
    """
    open_ = {TopicPartition(topic, number): end for number, end in ends.items() if starts[number] < end}
    if not open_:
        return
    consumer = AIOKafkaConsumer(
        **connection,
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_max_bytes=_FETCH_BYTES,
        isolation_level="read_committed",
    )
    await consumer.start()
    try:
        consumer.assign(list(open_))
        for tp in open_:
            consumer.seek(tp, starts[tp.partition])
        while open_:
            try:
                batches = await consumer.getmany(*open_, timeout_ms=200, max_records=_AT_ONCE)
            except OffsetOutOfRangeError as error:
                raise ConfigError(f"topic {topic!r}: records were deleted while they were read: {error}") from error
            for tp, records in batches.items():
                wanted = [record for record in records if record.offset < open_[tp]]
                if wanted:
                    yield wanted
            for tp in [tp for tp, end in open_.items() if await consumer.position(tp) >= end]:
                consumer.pause(tp)
                del open_[tp]
    finally:
        await consumer.stop()


async def begins_between(
    connection: Mapping[str, Any], topic: str, number: int, from_ms: int, end: int
) -> tuple[int, int]:
    """First offset that a partition holds, and the one from which on records before `end` are of `from_ms` or later.

    The second is no less than the first, and `end` when no such record is before it.
    """
    consumer = AIOKafkaConsumer(**connection, enable_auto_commit=False, isolation_level="read_committed")
    await consumer.start()
    try:
        tp = TopicPartition(topic, number)
        first = (await consumer.beginning_offsets([tp]))[tp]
        found = (await consumer.offsets_for_times({tp: max(0, from_ms)}))[tp]
        start = end if found is None else min(found.offset, end)
        return first, max(first, start)
    finally:
        await consumer.stop()
