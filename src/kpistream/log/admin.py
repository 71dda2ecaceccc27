"""Admin: makes the topics as they must be, and says everything that is wrong with them.

Also keeps the two facts that may never change while the topics live, pane size and partition count, in a
record of the settings topic: the first process writes it, every other one compares.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.codec import has_gzip, has_lz4, has_snappy, has_zstd
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from kpistream.errors import ConfigError
from kpistream.log.publisher import Publisher
from kpistream.log.records import Outgoing
from kpistream.log.tail import values_of
from kpistream.log.topics import Topics, TopicSpec

CLUSTER_KEY: Final = b"cluster"


async def connect(connection: Mapping[str, Any]) -> AIOKafkaAdminClient:
    """A started admin client. Raises ConfigError when the broker cannot be reached."""
    admin = AIOKafkaAdminClient(**connection, request_timeout_ms=15_000)
    try:
        await admin.start()
    except (KafkaError, OSError) as error:
        await admin.close()
        raise ConfigError(f"broker {connection['bootstrap_servers']!r} cannot be reached: {error}") from error
    return admin


async def partition_counts(admin: AIOKafkaAdminClient) -> dict[str, int]:
    """Partitions of every topic that the broker that was asked knows: one made just now may have none there yet."""
    described = await admin.describe_topics(await admin.list_topics())
    return {topic["topic"]: len(topic["partitions"]) for topic in described if topic["partitions"]}


async def committed_offsets(admin: AIOKafkaAdminClient, group: str, topic: str, partitions: int) -> dict[int, int]:
    """What a group has committed of a topic, by partition; without those of which it has committed nothing."""
    wanted = [TopicPartition(topic, number) for number in range(partitions)]
    found = await admin.list_consumer_group_offsets(group, partitions=wanted)
    return {tp.partition: committed.offset for tp, committed in found.items() if committed.offset >= 0}


async def apply_topics(
    admin: AIOKafkaAdminClient, specs: tuple[TopicSpec, ...], partitions: int, replication: int
) -> list[str]:
    """Make the topics that are missing; their names."""
    there = await partition_counts(admin)
    made = []
    for spec in specs:
        if spec.name in there:
            continue
        topic = NewTopic(
            name=spec.name,
            num_partitions=partitions if spec.co_partitioned else 1,
            replication_factor=replication,
            topic_configs={**dict(spec.config), **_durable(replication)},
        )
        response = await admin.create_topics([topic])
        for name, code, *rest in response.topic_errors:
            error = for_code(code)
            if code and error is not TopicAlreadyExistsError:
                raise ConfigError(f"topic {name!r} cannot be made: {rest[0] if rest and rest[0] else error.__name__}")
        made.append(spec.name)
    return made


def _durable(replication: int) -> dict[str, str]:
    """Settings under which what the broker has confirmed is not lost with one broker."""
    return {"min.insync.replicas": str(min(2, replication)), "unclean.leader.election.enable": "false"}


async def topic_faults(admin: AIOKafkaAdminClient, specs: tuple[TopicSpec, ...]) -> list[str]:
    """Everything that is wrong with the topics, one line each; empty when they are fit."""
    there = await partition_counts(admin)
    faults = [_missing(spec.name) for spec in specs if spec.name not in there]
    present = [spec for spec in specs if spec.name in there]
    counts = {spec.name: there[spec.name] for spec in present if spec.co_partitioned}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name} {count}" for name, count in counts.items())
        faults.append(f"topics must have the same number of partitions: {listed}")
    found = await _configs(admin, [spec.name for spec in present])
    for spec in present:
        for key, wanted in spec.config:
            fault = _config_fault(spec.name, key, wanted, found.get(spec.name, {}).get(key))
            if fault:
                faults.append(fault)
    replicas = await _replicas(admin, [spec.name for spec in present])
    faults += [_missing(name) for name, count in replicas.items() if not count]
    return faults + [fault for name in replicas for fault in _durability_faults(name, replicas[name], found)]


def _missing(topic: str) -> str:
    return f"topic {topic!r} is missing (make it with `kpistream topics apply`)"


async def _replicas(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, int]:
    """The fewest replicas that a partition of each topic has; 0 where the broker that was asked knows of none."""
    described = await admin.describe_topics(names) if names else []
    counts = {each["topic"]: [len(part["replicas"]) for part in each["partitions"]] for each in described}
    return {topic: min(found, default=0) for topic, found in counts.items()}


def _durability_faults(topic: str, replicas: int, configs: Mapping[str, Mapping[str, str | None]]) -> list[str]:
    """What lets a cluster lose what it has confirmed; nothing with one replica, where nothing can be done."""
    found, faults = configs.get(topic, {}), []
    for key, wanted in _durable(replicas).items():
        value = found.get(key)
        if value is not None and (value == "true" if wanted == "false" else int(value) < int(wanted)):
            faults.append(
                f"topic {topic!r}: {key} is {value}, must be {wanted} with {replicas} replicas: "
                "accepted events could be lost with a broker"
            )
    return faults


async def settled_faults(admin: AIOKafkaAdminClient, specs: tuple[TopicSpec, ...]) -> list[str]:
    """Faults once the cluster knows of topics that were just made."""
    faults: list[str] = []
    for _ in range(20):
        faults = await topic_faults(admin, specs)
        if not any("is missing" in fault for fault in faults):
            break
        await asyncio.sleep(0.25)
    return faults


_CHECKED: Final = ("cleanup.policy", "message.timestamp.type", "retention.ms", "max.message.bytes")


def _config_fault(topic: str, key: str, wanted: str, found: str | None) -> str | None:
    if key not in _CHECKED or found is None:
        return None
    if key in ("retention.ms", "max.message.bytes"):
        short = 0 <= int(found) < int(wanted)
        return f"topic {topic!r}: {key} is {found}, at least {wanted} is needed" if short else None
    same = sorted(found.split(",")) == sorted(wanted.split(","))
    return None if same else f"topic {topic!r}: {key} is {found!r}, must be {wanted!r}"


async def _configs(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, dict[str, str | None]]:
    if not names:
        return {}
    responses = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names])
    out: dict[str, dict[str, str | None]] = {}
    for response in responses:
        for _code, _message, _kind, name, entries in response.resources:
            out[name] = {entry[0]: entry[1] for entry in entries}
    return out


def codec_faults() -> list[str]:
    """Compression codecs that this installation cannot read."""
    has = {"gzip": has_gzip, "lz4": has_lz4, "snappy": has_snappy, "zstd": has_zstd}
    return [
        f"codec {name!r} is missing (install cramjam): a producer that uses it would stop the worker"
        for name, there in has.items()
        if not there()
    ]


async def cluster_faults(
    connection: Mapping[str, Any], topics: Topics, pane_ms: int, partitions: int, *, write: bool = True
) -> list[str]:
    """Compare pane size and partition count with those on record; with `write`, put them there when nothing is."""
    wanted = {"pane_ms": pane_ms, "partitions": partitions}
    found = await _read_cluster(connection, topics.settings)
    if found is None and not write:
        return []
    if found is None:
        publisher = Publisher(connection)
        await publisher.start()
        try:
            await publisher.publish(topics.settings, 0, [Outgoing(CLUSTER_KEY, json.dumps(wanted).encode())])
        finally:
            await publisher.stop()
        found = await _read_cluster(connection, topics.settings) or wanted
    units = {"pane_ms": "pane size in ms", "partitions": "partitions of the events topic"}
    return [
        f"{units[name]}: {value} here, {found.get(name)} on record in {topics.settings!r}: "
        "it may not change while the topics live"
        for name, value in wanted.items()
        if found.get(name) != value
    ]


async def _read_cluster(connection: Mapping[str, Any], topic: str) -> dict[str, int] | None:
    """The first record on record: two processes that write at once agree on it."""
    written = await values_of(connection, topic, CLUSTER_KEY)
    return dict(json.loads(written[0])) if written else None
