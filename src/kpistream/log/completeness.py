"""Completeness: whether groups have read a log up to an instant of the broker's clock."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient


class Follower(NamedTuple):
    """A group and a topic that it reads."""

    group: str
    topic: str


class Looker:
    """Asks a cluster; `start` it, and `stop` it."""

    def __init__(self, connection: Mapping[str, Any], partitions: int) -> None:
        self._partitions = partitions
        self._connection = dict(connection)
        self._admin: AIOKafkaAdminClient | None = None
        self._consumer: AIOKafkaConsumer | None = None

    async def start(self) -> None:
        """Connect."""
        self._admin = AIOKafkaAdminClient(**self._connection, request_timeout_ms=15_000)
        self._consumer = AIOKafkaConsumer(**self._connection, enable_auto_commit=False)
        await self._admin.start()
        await self._consumer.start()

    async def stop(self) -> None:
        """Disconnect."""
        for client in (self._consumer and self._consumer.stop(), self._admin and self._admin.close()):
            if client is not None:
                await client

    async def behind(self, followers: Sequence[Follower], at_ms: int) -> list[str]:
        """Who has not committed all records that were appended before `at_ms`: `group topic[partition]`."""
        assert self._admin is not None and self._consumer is not None, "start() first"
        out: list[str] = []
        for group, topic in followers:
            tps = [TopicPartition(topic, number) for number in range(self._partitions)]
            first = await self._consumer.beginning_offsets(tps)
            ends = await self._consumer.end_offsets(tps)
            since = await self._consumer.offsets_for_times(dict.fromkeys(tps, at_ms))
            committed = await self._admin.list_consumer_group_offsets(group, partitions=tps)
            for tp in tps:
                needed = ends[tp] if since[tp] is None else since[tp].offset
                done = committed[tp].offset if tp in committed else -1
                if max(done, first[tp]) < needed:
                    out.append(f"{group} {tp.topic}[{tp.partition}]")
        return out
