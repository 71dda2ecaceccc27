"""Tail: reads a partition from its beginning to where it ends now."""

from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition


async def read_on(connection: Mapping[str, Any], topic: str, starts: Mapping[int, int]) -> dict[int, list[Any]]:
    """All records from `starts` (offset by partition) to the end as it is when this returns."""
    consumer = AIOKafkaConsumer(**connection, enable_auto_commit=False, auto_offset_reset="earliest")
    out: dict[int, list[Any]] = {number: [] for number in starts}
    try:
        await consumer.start()
        tps = {number: TopicPartition(topic, number) for number in starts}
        consumer.assign(list(tps.values()))
        for number, start in starts.items():
            consumer.seek(tps[number], start)
        while True:
            ends = await consumer.end_offsets(list(tps.values()))
            behind = [tp for tp, end in ends.items() if await consumer.position(tp) < end]
            if not behind:
                return out
            for tp, records in (await consumer.getmany(*behind, timeout_ms=200)).items():
                out[tp.partition].extend(records)
    finally:
        await consumer.stop()


async def read_to_end(connection: Mapping[str, Any], topic: str, partition: int) -> list[Any]:
    """All records that the partition holds at the moment of the call, in order."""
    consumer = AIOKafkaConsumer(**connection, enable_auto_commit=False, auto_offset_reset="earliest")
    try:
        await consumer.start()
        tp = TopicPartition(topic, partition)
        consumer.assign([tp])
        end = (await consumer.end_offsets([tp]))[tp]
        await consumer.seek_to_beginning(tp)
        out: list[Any] = []
        while await consumer.position(tp) < end:
            out.extend(
                record for records in (await consumer.getmany(tp, timeout_ms=500)).values() for record in records
            )
        return out
    finally:
        await consumer.stop()
