"""Accepting: topics that were made again become the log of the roles, and no number in history turns wrong.

Two things may follow from a lost topic. Panes of a new log lack the events of the old one, so what history knows
already is closed before the first role starts: its events are answered from facts. Panes that are lost while the
events are still there are made from them again, so the workers' group must begin at the oldest record.
"""

from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from kpistream.config import Config
from kpistream.core.changelog import encode_frontier
from kpistream.errors import ConfigError
from kpistream.history import queries
from kpistream.history.store import Store, open_store
from kpistream.log import admin as log_admin
from kpistream.log import continuity
from kpistream.log.metadata import describe
from kpistream.log.publisher import Publisher
from kpistream.log.records import Outgoing
from kpistream.log.topics import Topics


async def accept_topics(config: Config) -> list[str]:
    """Put the ids of the topics that are there on record; what was done, in lines. Raises ConfigError."""
    topics, connection = Topics(config.topic_prefix), config.connection()
    found = await describe(connection, continuity.watched_topics(topics))
    recorded = await continuity.recorded_ids(connection, topics.settings)
    changed = [name for name in continuity.watched_topics(topics) if name in found and _other(found, recorded, name)]
    if not changed:
        return ["nothing to accept: every topic is the one on record"]
    offsets = await _offsets(config, topics, found[topics.events].partitions)
    faults = await _members(config) + _unread(config, topics, changed, offsets)
    if faults:
        raise ConfigError(faults)
    said = []
    if topics.events in changed and config.history and not offsets.panes_end:
        with open_store(config.store) as store:
            partitions = found[topics.events].partitions
            frontier_ms = await close_known(connection, topics, partitions, config.pane_ms, store)
        if frontier_ms is not None:
            said.append(f"closed every pane before {frontier_ms} ms: history knows them, and answers from facts")
    here = {name: facts.topic_id for name, facts in found.items() if facts.topic_id}
    await continuity.put_on_record(connection, topics.settings, {**recorded, **here})
    return [*said, *(f"accepted {name} {here[name]}" for name in changed)]


async def close_known(
    connection: Mapping[str, Any], topics: Topics, partitions: int, pane_ms: int, store: Store
) -> int | None:
    """A new log continues a store: every pane up to the newest fact in it is closed, and answered from facts.

    Returns the frontier, epoch ms; None when the store holds no fact.
    """
    end_ms = queries.facts_end(store)
    if end_ms is None:
        return None
    publisher = Publisher(connection)
    await publisher.start()
    try:
        for number in range(partitions):
            key, value = encode_frontier(number, "store", end_ms + pane_ms)
            await publisher.publish(topics.panes, number, [Outgoing(key, value)])
    finally:
        await publisher.stop()
    return end_ms + pane_ms


class _Offsets:
    """Where the worker's group is, and where the log begins."""

    def __init__(self, committed: dict[int, int | None], oldest: dict[int, int], panes_end: int) -> None:
        self.begun = {n: offset for n, offset in committed.items() if offset is not None and offset > oldest[n]}
        """Partitions of the events that the group has read, and how far."""
        self.panes_end = panes_end
        """Records that were ever appended to the panes."""


def _other(found: Mapping[str, Any], recorded: Mapping[str, str], name: str) -> bool:
    return bool(found[name].topic_id) and recorded.get(name) != found[name].topic_id


async def _offsets(config: Config, topics: Topics, partitions: int) -> _Offsets:
    consumer = AIOKafkaConsumer(**config.connection(), group_id=config.worker_group, enable_auto_commit=False)
    try:
        await consumer.start()
        events = [TopicPartition(topics.events, n) for n in range(partitions)]
        committed = {tp.partition: await consumer.committed(tp) for tp in events}
        oldest = {tp.partition: offset for tp, offset in (await consumer.beginning_offsets(events)).items()}
        ends = await consumer.end_offsets([TopicPartition(topics.panes, n) for n in range(partitions)])
    finally:
        await consumer.stop()
    return _Offsets(committed, oldest, sum(ends.values()))


async def _members(config: Config) -> list[str]:
    """Roles that still run: they would go on with the log that they knew."""
    admin = await log_admin.connect(config.connection())
    faults = []
    try:
        for group in (config.worker_group, config.sink_group):
            for response in await admin.describe_consumer_groups([group]):
                for described in response.groups:
                    members = len(described[5])
                    if members:
                        wait = f"one that failed may count for {config.session_timeout_s} s"
                        faults.append(f"group {group!r} has {members} members: stop every role first ({wait})")
    finally:
        await admin.close()
    return faults


def _unread(config: Config, topics: Topics, changed: list[str], offsets: _Offsets) -> list[str]:
    """What stands against going on with the topics that were made again."""
    if topics.events in changed and topics.panes not in changed and offsets.panes_end:
        return [
            f"topic {topics.events!r} was made again and {topics.panes!r} was not: its marks name offsets of a log "
            "that is gone\n"
            f"hint: delete {topics.panes!r}, too, then `kpistream topics apply` and this again"
        ]
    lost = [name for name in (topics.panes, topics.team_panes) if name in changed]
    if lost and offsets.begun:
        number, offset = next(iter(offsets.begun.items()))
        return [
            f"group {config.worker_group!r} has read {topics.events}[{number}] to {offset}, and what it made of that "
            f"was in {lost[0]!r}\n"
            f"hint: kafka-consumer-groups --group {config.worker_group} --topic {topics.events} --reset-offsets "
            "--to-earliest --execute, then this again"
        ]
    return []
