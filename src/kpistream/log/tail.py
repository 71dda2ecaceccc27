"""Tail: reads partitions from given offsets to where they end now, without a group."""

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
