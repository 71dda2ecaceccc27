"""Publisher: appends records and returns only when the broker has all of them.

Batches are built here, one future for hundreds of records. The producer is idempotent and waits for all
in-sync replicas. A failed publish raises, and so does one that the broker has not confirmed within the limit;
nothing is dropped, retried in silence or reordered within a partition.
"""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaTimeoutError, MessageSizeTooLargeError

from kpistream.errors import ConfigError, Stalled
from kpistream.log.records import Outgoing
from kpistream.log.topics import MESSAGE_BYTES

Result = TypeVar("Result")

_BATCH_BYTES = 900_000
_REQUEST_BYTES = 1_000_000
_HINT = "look at the brokers: is there a leader, are there min.insync.replicas, is the disk full"


class Publisher:
    """One producer, shared by everything in a process that publishes."""

    def __init__(self, connection: Mapping[str, Any], *, timeout_s: float = 60.0, sole_id: str = "") -> None:
        """`sole_id`: of all publishers that start under one id only the last can publish; the others fail.

        A process that was thought dead and wakes up changes nothing any more. It is Kafka's transactional id.
        """
        self._connection = dict(connection)
        self._timeout_s = timeout_s
        self._sole_id = sole_id
        self._one_by_one = asyncio.Lock()
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Connect; raises when the broker cannot be reached."""
        self._producer = AIOKafkaProducer(
            **self._connection,
            acks="all",
            enable_idempotence=True,
            transactional_id=self._sole_id or None,
            # aiokafka compresses lz4 at level 9: 8 times the CPU of zstd for a fifth more bytes (bench/README.md).
            compression_type="zstd",
            linger_ms=2,
            max_batch_size=_BATCH_BYTES,
            max_request_size=_REQUEST_BYTES,
            request_timeout_ms=int(self._timeout_s * 1000),
        )
        await self._producer.start()
        if self._sole_id:
            async with self._producer.transaction():
                """Of nothing: the broker has shut out whoever had this id before."""

    async def stop(self) -> None:
        """Send what is under way and disconnect."""
        if self._producer is not None:
            await self._producer.stop()
            self._producer = None

    async def publish(self, topic: str, partition: int, records: Sequence[Outgoing]) -> list[int]:
        """Append to one partition; the offsets, in the order of `records`, once all are durable.

        Raises `ConfigError` when the topic's settings do not let a message in, and `Stalled` when the broker confirms
        nothing for `timeout_s`: an idempotent producer would retry for ever (aiokafka/producer/sender.py, _can_retry).
        """
        assert self._producer is not None, "start() first"
        if not self._sole_id:
            return await self._append(topic, partition, records)
        async with self._one_by_one, self._producer.transaction():
            return await self._append(topic, partition, records)

    async def _append(self, topic: str, partition: int, records: Sequence[Outgoing]) -> list[int]:
        assert self._producer is not None
        futures: list[tuple[int, Any]] = []
        batch, count = self._producer.create_batch(), 0
        for record in records:
            if not _append(batch, record):
                futures.append((count, await self._send(batch, topic, partition)))
                batch, count = self._producer.create_batch(), 0
                if not _append(batch, record):
                    raise ValueError(f"record of {len(record.value or b'')} bytes does not fit a batch for {topic}")
            count += 1
        if count:
            futures.append((count, await self._send(batch, topic, partition)))
        offsets: list[int] = []
        for size, future in futures:
            try:
                base = (await self._confirmed(future, f"{topic}[{partition}]", len(records) - len(offsets))).offset
            except MessageSizeTooLargeError as error:
                raise ConfigError(too_large(topic, partition, size)) from error
            offsets.extend(range(base, base + size))
        return offsets

    async def publish_keyed(self, topic: str, records: Iterable[Outgoing], partition_for: Any) -> dict[int, int]:
        """Append each record to the partition that `partition_for(key)` names; returns when all are durable.

        Returns the offset behind the last one, by partition.
        """
        ends: dict[int, int] = {}
        by_partition: dict[int, list[Outgoing]] = {}
        for record in records:
            by_partition.setdefault(partition_for(record.key or b""), []).append(record)
        for partition, batch in by_partition.items():
            ends[partition] = (await self.publish(topic, partition, batch))[-1] + 1
        return ends

    async def _send(self, batch: Any, topic: str, partition: int) -> Any:
        assert self._producer is not None
        batch.close()
        sending = self._producer.send_batch(batch, topic, partition=partition)
        return await self._confirmed(sending, f"{topic}[{partition}]", batch.record_count())

    async def _confirmed(self, answer: Awaitable[Result], where: str, count: int) -> Result:
        try:
            async with asyncio.timeout(self._timeout_s) as limit:
                return await answer
        except (TimeoutError, KafkaTimeoutError) as error:
            if isinstance(error, TimeoutError) and not limit.expired():
                raise
            what = f"{where}: {count} records sent and not confirmed for {self._timeout_s:g} s"
            raise Stalled(what, _HINT) from error

    async def partitions(self, topic: str) -> int:
        """How many partitions the topic has."""
        assert self._producer is not None
        return len(await self._producer.partitions_for(topic))


def too_large(topic: str, partition: int, records: int) -> str:
    """The fault of a topic that lets no whole message in."""
    return (
        f"{topic}[{partition}]: a message of {records} records, up to {_BATCH_BYTES} bytes before compression: "
        "the broker refuses it as too large\n"
        f"hint: set max.message.bytes of {topic} to at least {MESSAGE_BYTES}"
    )


def _append(batch: Any, record: Outgoing) -> bool:
    metadata = batch.append(
        timestamp=record.timestamp_ms, key=record.key, value=record.value, headers=list(record.headers)
    )
    return metadata is not None
