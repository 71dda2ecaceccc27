"""A hand-written aiokafka loop.

Every 250 ms the dirty panes go with their ids to a changelog, acks are awaited, offsets committed.
"""

import asyncio
import time
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from bench.engines.call import Pane, pane_start_s, parse
from bench.meter import Job, Meter, job_of_process

FLUSH_S = 0.25


class Loop:
    """The state of one run."""

    def __init__(self, job: Job, producer: AIOKafkaProducer) -> None:
        self.job = job
        self.producer = producer
        self.panes: dict[tuple[int, str, int], Pane] = {}
        self.dirty: set[tuple[int, str, int]] = set()
        self.refused: list[bytes] = []
        self.next: dict[int, int] = {}

    def take(self, partition: int, records: list[Any]) -> None:
        """Count the records of one fetch of one partition."""
        panes, dirty = self.panes, self.dirty
        for record in records:
            call = parse(record.value)
            if call is None:
                self.refused.append(record.value)
                continue
            place = partition, call.agent_id, pane_start_s(call)
            pane = panes.get(place)
            if pane is None:
                pane = panes[place] = Pane()
            if call.event_id not in pane.ids:
                pane.add(call)
                dirty.add(place)
        self.next[partition] = records[-1].offset + 1

    async def publish(self) -> None:
        """Make everything durable that was counted."""
        encode, send = msgspec.msgpack.encode, self.producer.send
        for place in self.dirty:
            partition, agent, start_s = place
            key = f"{agent}|{start_s}".encode()
            await send(f"{self.job.prefix}changelog", encode(self.panes[place].to_fields()), key, partition=partition)
        for value in self.refused:
            await send(f"{self.job.prefix}dead-letters", value)
        await self.producer.flush()
        self.dirty.clear()
        self.refused.clear()


async def drain(job: Job) -> None:
    """Run until the group has committed the end of every partition."""
    consumer = AIOKafkaConsumer(
        job.events,
        bootstrap_servers=job.bootstrap,
        group_id=job.prefix,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    # zstd as in kpistream: aiokafka's lz4 takes 8 times the CPU.
    producer = AIOKafkaProducer(
        bootstrap_servers=job.bootstrap, compression_type="zstd", linger_ms=20, acks="all", enable_idempotence=True
    )
    await consumer.start()
    await producer.start()
    loop, meter, flushed_s = Loop(job, producer), Meter(), time.monotonic()
    records, durable, wanted = 0, 0, sum(job.ends.values())
    while durable < wanted:
        for tp, batch in (await consumer.getmany(timeout_ms=100, max_records=5000)).items():
            loop.take(tp.partition, batch)
            records += len(batch)
        if records:
            meter.begin(records)
        if time.monotonic() - flushed_s >= FLUSH_S and loop.next:
            await loop.publish()
            await consumer.commit({TopicPartition(job.events, number): at for number, at in loop.next.items()})
            flushed_s, durable = time.monotonic(), records
    meter.end(records)
    await consumer.stop()
    await producer.stop()


if __name__ == "__main__":
    asyncio.run(drain(job_of_process()))
