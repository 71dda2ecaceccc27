"""Completeness: whether everything that was appended to a log by an instant has gone through what follows it.

A log, a group that reads it, and the log that this group writes, which another group reads, beside the first one: when
both groups have read everything of the first log from before the instant, the end of the second log is noted, and when
the second group has read up to there, all of it is through. Instants are of the broker's clock.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from kpistream.log.admin import committed_offsets


class Way(NamedTuple):
    """What records go through."""

    log: str
    reader: str
    """The group that reads the log and writes what follows from it."""
    followed: str
    """The log that it writes."""
    last: str
    """The group that must have read both."""


class Completeness:
    """Asks a cluster, again and again; `start` it, and `stop` it."""

    def __init__(self, connection: Mapping[str, Any], way: Way, partitions: int) -> None:
        self._way = way
        self._partitions = partitions
        self._connection = dict(connection)
        self._admin: AIOKafkaAdminClient | None = None
        self._consumer: AIOKafkaConsumer | None = None
        self._noted: tuple[int, dict[int, int]] | None = None
        """An instant that the reader has passed, and the ends of what it had written by then."""
        self.whole_to_ms = -1
        """Everything that was appended before is through; -1: not known yet."""

    async def start(self) -> None:
        """Connect."""
        self._admin = AIOKafkaAdminClient(**self._connection, request_timeout_ms=15_000)
        self._consumer = AIOKafkaConsumer(**self._connection, enable_auto_commit=False)
        await self._admin.start()
        await self._consumer.start()

    async def stop(self) -> None:
        """Disconnect."""
        if self._consumer is not None:
            await self._consumer.stop()
        if self._admin is not None:
            await self._admin.close()

    def forget(self) -> None:
        """Begin anew: somebody else may have looked meanwhile."""
        self._noted, self.whole_to_ms = None, -1

    async def look(self, at_ms: int) -> list[str]:
        """Who holds it up, as `group topic[partition]`; nobody: `whole_to_ms` has moved on, at most to `at_ms`."""
        if self._noted is None:
            passed = await self._offsets(self._way.log, at_ms)
            behind = await self._behind(self._way.reader, self._way.log, passed)
            behind += await self._behind(self._way.last, self._way.log, passed)
            if behind:
                return behind
            self._noted = at_ms, await self.ends(self._way.followed)
        noted_ms, ends = self._noted
        behind = await self._behind(self._way.last, self._way.followed, ends)
        if not behind:
            self._noted, self.whole_to_ms = None, noted_ms
        return behind

    async def unread(self, at_ms: int) -> list[str]:
        """Where the reader of the log has not read what was appended before an instant."""
        return await self._behind(self._way.reader, self._way.log, await self._offsets(self._way.log, at_ms))

    async def ends(self, topic: str) -> dict[int, int]:
        """End of every partition of a topic."""
        assert self._consumer is not None, "start() first"
        found: dict[TopicPartition, int] = await self._consumer.end_offsets(self._tps(topic))
        return {tp.partition: end for tp, end in found.items()}

    async def firsts(self, topic: str) -> dict[int, int]:
        """First offset of every partition of a topic."""
        assert self._consumer is not None, "start() first"
        found: dict[TopicPartition, int] = await self._consumer.beginning_offsets(self._tps(topic))
        return {tp.partition: first for tp, first in found.items()}

    def _tps(self, topic: str) -> list[TopicPartition]:
        return [TopicPartition(topic, number) for number in range(self._partitions)]

    async def _offsets(self, topic: str, at_ms: int) -> dict[int, int]:
        """Of every partition the first offset that was appended at the instant or later, or its end."""
        assert self._consumer is not None, "start() first"
        ends = await self.ends(topic)
        since = await self._consumer.offsets_for_times(dict.fromkeys(self._tps(topic), at_ms))
        return {tp.partition: ends[tp.partition] if found is None else found.offset for tp, found in since.items()}

    async def _behind(self, group: str, topic: str, needed: Mapping[int, int]) -> list[str]:
        assert self._admin is not None and self._consumer is not None, "start() first"
        tps = self._tps(topic)
        first = await self._consumer.beginning_offsets(tps)
        committed = await committed_offsets(self._admin, group, topic, self._partitions)
        done = {tp.partition: max(first[tp], committed.get(tp.partition, -1)) for tp in tps}
        return [f"{group} {topic}[{number}]" for number, offset in needed.items() if done[number] < offset]
