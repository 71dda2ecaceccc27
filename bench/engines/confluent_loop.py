"""A hand-written confluent-kafka loop.

Every 250 ms the dirty panes go with their ids to a changelog, acks are awaited, offsets committed.
"""

import time

import msgspec
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

from bench.engines.call import Pane, pane_start_s, parse
from bench.meter import Job, Meter, job_of_process

FLUSH_S = 0.25


class Loop:
    """The state of one run."""

    def __init__(self, job: Job, producer: Producer) -> None:
        self.job = job
        self.producer = producer
        self.panes: dict[tuple[int, str, int], Pane] = {}
        self.dirty: set[tuple[int, str, int]] = set()
        self.refused: list[bytes] = []
        self.next: dict[int, int] = {}
        self.failures: list[object] = []

    def take(self, messages: list[Message]) -> None:
        """Count the records of one call of `consume`."""
        panes, dirty, following = self.panes, self.dirty, self.next
        for message in messages:
            if message.error():
                raise KafkaException(message.error())
            partition = message.partition()
            following[partition] = message.offset() + 1
            call = parse(message.value())
            if call is None:
                self.refused.append(message.value())
                continue
            place = partition, call.agent_id, pane_start_s(call)
            pane = panes.get(place)
            if pane is None:
                pane = panes[place] = Pane()
            if call.event_id not in pane.ids:
                pane.add(call)
                dirty.add(place)

    def publish(self) -> None:
        """Make everything durable that was counted."""
        encode, send = msgspec.msgpack.encode, self._send
        for place in self.dirty:
            partition, agent, start_s = place
            send(f"{self.job.prefix}changelog", encode(self.panes[place].to_fields()), f"{agent}|{start_s}", partition)
        for value in self.refused:
            send(f"{self.job.prefix}dead-letters", value, None, 0)
        if self.producer.flush(60) or self.failures:
            raise RuntimeError(f"not durable: {self.failures[:3]}")
        self.dirty.clear()
        self.refused.clear()

    def _send(self, topic: str, value: bytes, key: str | None, partition: int) -> None:
        while True:
            try:
                self.producer.produce(topic, value, key, partition, on_delivery=self._delivered)
                return
            except BufferError:
                self.producer.poll(0.1)

    def _delivered(self, error: object, message: object) -> None:
        if error is not None:
            self.failures.append(error)


def drain(job: Job) -> None:
    """Run until the group has committed the end of every partition."""
    consumer = Consumer(
        {
            "bootstrap.servers": job.bootstrap,
            "group.id": job.prefix,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    producer = Producer(
        {
            "bootstrap.servers": job.bootstrap,
            "compression.type": "lz4",
            "linger.ms": 20,
            "acks": "all",
            "enable.idempotence": True,
        }
    )
    consumer.subscribe([job.events])
    loop, meter, flushed_s = Loop(job, producer), Meter(), time.monotonic()
    records, durable, wanted = 0, 0, sum(job.ends.values())
    while durable < wanted:
        messages = consumer.consume(2000, 0.1)
        loop.take(messages)
        records += len(messages)
        if records:
            meter.begin(records)
        if time.monotonic() - flushed_s >= FLUSH_S and loop.next:
            loop.publish()
            offsets = [TopicPartition(job.events, number, at) for number, at in loop.next.items()]
            consumer.commit(offsets=offsets, asynchronous=False)
            flushed_s, durable = time.monotonic(), records
    meter.end(records)
    consumer.close()


if __name__ == "__main__":
    drain(job_of_process())
