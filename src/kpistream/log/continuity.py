"""Continuity: is this still the log that the roles began with, and does it still hold what comes next?

A topic that was deleted and made again has the same name and offsets that mean something else: going on would
skip or repeat records in silence. So the ids of the topics that carry state are on record in the settings topic
beside pane size and partition count; whoever starts compares, and whoever runs keeps looking. Only
`kpistream topics accept` puts other ids on record.
"""

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from kpistream.errors import ConfigError
from kpistream.log.metadata import TopicFacts, describe
from kpistream.log.publisher import Publisher
from kpistream.log.records import Outgoing
from kpistream.log.tail import values_of
from kpistream.log.topics import Topics

log = logging.getLogger(__name__)

TOPICS_KEY: Final = b"topics"
LOOK_S: Final = 5.0
"""Time between two looks of a role that runs, in s."""
_MISSING_LOOKS: Final = 3
"""A broker that has just started may not know a topic yet; one that is missing so often is gone."""


class Reader(NamedTuple):
    """Who reads, for texts that tell what to do."""

    group: str

    def reset(self, topic: str, partition: int) -> str:
        """The command that lets the group begin with what is there."""
        return (
            f"kafka-consumer-groups --group {self.group} --topic {topic}:{partition} "
            "--reset-offsets --to-earliest --execute"
        )

    def fault(self, tp: TopicPartition, offset: int, oldest: int, end: int) -> str | None:
        """What is wrong with going on at `offset` in a log from `oldest` to `end` (exclusive); None: nothing."""
        if offset < oldest:
            return (
                f"{tp.topic}[{tp.partition}]: offset {offset} is gone, oldest is {oldest}: "
                f"{oldest - offset} records lost to retention\n"
                f"hint: keep the topic longer than group {self.group!r} is ever behind; to go on without these "
                f"records: {self.reset(tp.topic, tp.partition)}"
            )
        if offset > end:
            return (
                f"{tp.topic}[{tp.partition}]: offset {offset} is next for group {self.group!r}, the log ends at {end}: "
                "the topic was made again, or its end was lost\n"
                f"hint: what is there was not read as this log; to read it from the beginning: "
                f"{self.reset(tp.topic, tp.partition)}"
            )
        return None


async def missing(consumer: AIOKafkaConsumer, group: str, nexts: Mapping[TopicPartition, int]) -> list[str]:
    """What is wrong with reading on from these offsets."""
    if not nexts:
        return []
    tps = list(nexts)
    oldest, ends = await asyncio.gather(consumer.beginning_offsets(tps), consumer.end_offsets(tps))
    reader = Reader(group)
    found = (reader.fault(tp, offset, oldest[tp], ends[tp]) for tp, offset in sorted(nexts.items()))
    return [fault for fault in found if fault]


def watched_topics(topics: Topics) -> tuple[str, ...]:
    """Topics that carry state: made again, they are not the log that the roles began with."""
    return (topics.events, topics.panes, topics.team_panes, topics.alerts)


def made_again(topic: str, here: str, recorded: str, settings_topic: str) -> str:
    """The fault of a topic whose id is another than the one on record."""
    return (
        f"topic {topic!r} was deleted and made again: id {here} here, {recorded} on record in {settings_topic!r}\n"
        "hint: docs/how-to/run-on-kafka.md, 'When a role refuses'; afterwards `kpistream topics accept`"
    )


def changed_count(topic: str, here: int, recorded: int) -> str:
    """The fault of a topic with another number of partitions."""
    if not here:
        return f"topic {topic!r} is missing: it was there when this process began"
    return (
        f"topic {topic!r}: {here} partitions, {recorded} when the roles began: keys go to other partitions now\n"
        "hint: docs/how-to/run-on-kafka.md, 'When a role refuses'"
    )


async def recorded_ids(connection: Mapping[str, Any], settings_topic: str) -> dict[str, str]:
    """Ids of topics on record, the last one written; empty when there are none."""
    written = await values_of(connection, settings_topic, TOPICS_KEY)
    return dict(json.loads(written[-1])) if written else {}


async def put_on_record(connection: Mapping[str, Any], settings_topic: str, ids: Mapping[str, str]) -> None:
    """Write the ids of topics down; the last record stands."""
    publisher = Publisher(connection)
    await publisher.start()
    try:
        await publisher.publish(settings_topic, 0, [Outgoing(TOPICS_KEY, json.dumps(dict(ids)).encode())])
    finally:
        await publisher.stop()


async def identity_faults(connection: Mapping[str, Any], topics: Topics, *, write: bool = True) -> list[str]:
    """Topics that are other ones than those on record; with `write`, put ids on record that are not there yet.

    Nothing is found on brokers older than Kafka 2.8, which know no ids.
    """
    here = {
        name: facts.topic_id
        for name, facts in (await describe(connection, watched_topics(topics))).items()
        if facts.topic_id
    }
    recorded = await recorded_ids(connection, topics.settings)
    if write and here.keys() - recorded.keys():
        await put_on_record(connection, topics.settings, {**here, **recorded})
    return [
        made_again(name, here[name], recorded[name], topics.settings)
        for name in watched_topics(topics)
        if name in here and name in recorded and here[name] != recorded[name]
    ]


class LogWatch:
    """Looks whether the topics are still those that were there at the first look. `run` raises ConfigError."""

    def __init__(self, connection: Mapping[str, Any], topics: Topics, partitions: int) -> None:
        self._connection = connection
        self._topics = topics
        self._partitions = partitions
        self._ids: dict[str, str] = {}
        self._missing: dict[str, int] = {}

    async def run(self) -> None:
        """Look until cancelled. Raises `ConfigError` when the topics are not those of the beginning any more."""
        while True:
            try:
                if not self._ids:
                    self._ids = await recorded_ids(self._connection, self._topics.settings)
                self.compare(await describe(self._connection, watched_topics(self._topics)))
            except (KafkaError, OSError) as error:
                log.debug("topics not seen, will try again error=%r", error)
            await asyncio.sleep(LOOK_S)

    def compare(self, found: Mapping[str, TopicFacts]) -> None:
        """Take one look. Raises `ConfigError` with all faults."""
        faults = []
        for name in watched_topics(self._topics):
            facts = found.get(name)
            self._missing[name] = 0 if facts else self._missing.get(name, 0) + 1
            if facts is None:
                if self._missing[name] >= _MISSING_LOOKS:
                    faults.append(changed_count(name, 0, self._partitions))
                continue
            known = self._ids.setdefault(name, facts.topic_id) if facts.topic_id else ""
            if facts.topic_id and known != facts.topic_id:
                faults.append(made_again(name, facts.topic_id, known, self._topics.settings))
            if facts.partitions > self._partitions:
                faults.append(changed_count(name, facts.partitions, self._partitions))
        if faults:
            raise ConfigError(faults)
