"""Settings versions: reads, publishes and follows those in the settings topic.

Two that apply at the same time both write; whose record comes first in the log has the number, and the other one
learns it by reading back. Whoever follows adopts a version only at the end of what is there, so that two that follow
the same log run the same settings.
"""

import asyncio
import logging
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from kpistream.core.versions import Draft, Rejected, Version, VersionLog, records
from kpistream.errors import ConfigError
from kpistream.log.publisher import Publisher
from kpistream.log.records import Outgoing
from kpistream.log.tail import read_on

log = logging.getLogger(__name__)

_POLL_MS: Final = 500
_PARTITION: Final = 0


async def read_versions(connection: Mapping[str, Any], topic: str, versions: VersionLog | None = None) -> VersionLog:
    """All versions in the topic, to its end as it is now; goes on where `versions` ends when it is given."""
    found = VersionLog() if versions is None else versions
    for record in (await read_on(connection, topic, {_PARTITION: found.next_offset}))[_PARTITION]:
        found.put(record.offset, record.key, record.value)
    return found


async def publish_version(connection: Mapping[str, Any], topic: str, versions: VersionLog, draft: Draft) -> int | None:
    """Write a version behind those that were read; its number, None when somebody else was first to have it.

    `versions` has all that is in the topic afterwards.
    """
    number, token = versions.highest + 1, uuid.uuid4().hex
    publisher = Publisher(connection)
    await publisher.start()
    try:
        written = [Outgoing(key, value) for key, value in records(draft, number, token, versions)]
        await publisher.publish(topic, _PARTITION, written)
    finally:
        await publisher.stop()
    await read_versions(connection, topic, versions)
    return number if versions.stands(number, token) else None


def log_rejected(rejected: Rejected, running: int) -> None:
    """Say that a version cannot be read, and which one goes on (0: the local directory)."""
    faults = "; ".join(rejected.faults)
    log.error("settings rejected version=%s running=%s faults=%s", rejected.number, running, faults)


class Follower:
    """Follows the versions from where `versions` ends. `run` until cancelled."""

    def __init__(self, connection: Mapping[str, Any], topic: str, versions: VersionLog, number: int) -> None:
        """`number`: the version that its user runs, 0 for none."""
        self._connection = connection
        self._topic = topic
        self._versions = versions
        self._number = number
        self.turned: Callable[[], None] = lambda: None
        """The loop has turned."""
        self.adopted: Callable[[Version], None] = lambda version: None
        """A version is to be run from now on."""
        self.refused: Callable[[Rejected, int], None] = lambda rejected, number: None
        """A version cannot be read; the one with that number goes on."""

    async def run(self) -> None:
        """Read on and say what is new. Raises ConfigError when the topic no longer holds what comes next."""
        consumer = AIOKafkaConsumer(**self._connection, enable_auto_commit=False, auto_offset_reset="none")
        tp = TopicPartition(self._topic, _PARTITION)
        await consumer.start()
        try:
            consumer.assign([tp])
            consumer.seek(tp, self._versions.next_offset)
            while True:
                self.turned()
                await self._take(consumer, tp)
        except OffsetOutOfRangeError as error:
            hint = "hint: was it made again? the next process reads it from its beginning"
            raise ConfigError(f"{self._topic}: offset {self._versions.next_offset} is gone\n{hint}") from error
        finally:
            await consumer.stop()

    async def _take(self, consumer: AIOKafkaConsumer, tp: TopicPartition) -> None:
        for batch in (await consumer.getmany(tp, timeout_ms=_POLL_MS)).values():
            for record in batch:
                self._versions.put(record.offset, record.key, record.value)
        end = consumer.highwater(tp)
        # Not before the end: compaction may have moved a text behind the first version that has it.
        if end is None or await consumer.position(tp) < end or not self._versions.news(self._number):
            return
        before = set(self._versions.rejected)
        version = await asyncio.to_thread(self._versions.newest, self._number)
        for number in sorted(self._versions.rejected.keys() - before):
            self.refused(self._versions.rejected[number], self._number)
        if version is not None:
            self._number = version.number
            self.adopted(version)
