"""Strikes on the broker and its groups: killed, stopped, frozen, members thrown out, compaction at a bad moment."""

import asyncio
import time
from collections import Counter
from typing import Final

from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.protocol.group import LeaveGroupRequest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from tests.faults.scene import Scene
from tests.faults.strikes import strike
from tests.faults.strikes_inside import struck_inside
from tests.faults.strikes_process import ASLEEP_S, SHORT_S
from tests.live.system import System


@strike("broker-killed")
def broker_killed(scene: Scene) -> None:
    """kill -9 of the broker, and its restart."""
    scene.kafka.kill()
    scene.kafka.start()


@strike("broker-restarted")
def broker_restarted(scene: Scene) -> None:
    """The broker stopped in order and started again."""
    scene.kafka.stop()
    scene.kafka.start()


@strike("broker-away")
def broker_away(scene: Scene) -> None:
    """The broker killed, and back only after sessions have run out."""
    scene.kafka.kill()
    time.sleep(ASLEEP_S)
    scene.kafka.start()


@strike("broker-paused-short")
def broker_paused_short(scene: Scene) -> None:
    """The broker frozen for less than a session: connections stay open and nothing answers."""
    _paused(scene, SHORT_S)


@strike("broker-paused-long")
def broker_paused_long(scene: Scene) -> None:
    """The broker frozen for longer than a session."""
    _paused(scene, ASLEEP_S)


def _paused(scene: Scene, seconds: float) -> None:
    scene.kafka.pause()
    time.sleep(seconds)
    scene.kafka.resume()


@strike("power-cut")
def power_cut(scene: Scene) -> None:
    """Broker, workers and sinks killed at once."""
    for member in (*scene.workers, *scene.sinks):
        scene.kill(member)
    scene.kafka.kill()
    scene.kafka.start()


# ---- rebalance storm


@strike("rebalance-storm", workers=2)
def rebalance_storm(scene: Scene) -> None:
    """A member of the workers' group thrown out every second, ten times; it joins again at once."""
    _storm(scene, scene.system.worker_group)


@strike("sink-rebalance-storm", sinks=2)
def sink_rebalance_storm(scene: Scene) -> None:
    """A member of the sinks' group thrown out every second, ten times; it joins again at once."""
    _storm(scene, scene.system.sink_group)


def _storm(scene: Scene, group: str) -> None:
    thrown = 0
    for _ in range(10):
        members = members_of(scene.system, group)
        if members:
            asyncio.run(throw_out(scene.system.kafka.bootstrap, group, scene.random.choice(members)))
            thrown += 1
        time.sleep(1)
    scene.note(f"{thrown} members thrown out of {group.rpartition('-')[2]}s")


def members_of(system: System, group: str) -> list[str]:
    """Member ids of a group, in a fixed order."""
    described = system._admin.describe_consumer_groups([group])[group].result(timeout=30)
    return sorted(member.member_id for member in described.members)


async def throw_out(bootstrap: str, group: str, member: str) -> None:
    """Leave the group in a member's name: the coordinator knows it no more and a rebalance begins."""
    client = AIOKafkaClient(bootstrap_servers=bootstrap)
    await client.bootstrap()
    try:
        coordinator = await client.coordinator_lookup(CoordinationType.GROUP, group)
        assert await client.ready(coordinator, group=ConnectionGroup.COORDINATION)
        await client.send(coordinator, LeaveGroupRequest(group, member), group=ConnectionGroup.COORDINATION)
    finally:
        await client.close()


# ---- compaction

EAGER: Final = {
    "segment.ms": "300",
    "min.cleanable.dirty.ratio": "0.001",
    "min.compaction.lag.ms": "0",
    "max.compaction.lag.ms": "500",
    "delete.retention.ms": "0",
}
"""A cleaner that takes whatever it may, at once."""


def compact_eagerly(scene: Scene) -> None:
    """Let the cleaner of the pane topic run all the time."""
    entries = [ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in EAGER.items()]
    topic = ConfigResource(ResourceType.TOPIC, scene.system.topic("panes"), incremental_configs=entries)
    for future in scene.system._admin.incremental_alter_configs([topic]).values():
        future.result(timeout=30)


def compacted_away(system: System) -> int:
    """How many records of the pane topic the cleaner has taken so far."""
    held = Counter(message.partition() for message in system.read("panes"))
    return sum(end - held[partition] for partition, end in system.ends("panes").items())


def _cleaned(scene: Scene) -> None:
    """Wait until the cleaner has taken more than it had."""
    before = compacted_away(scene.system)
    scene.until("compaction", lambda: compacted_away(scene.system) > before + 100)


@strike("compaction-and-kill", prepare=compact_eagerly)
def compaction_and_kill(scene: Scene) -> None:
    """Workers killed again and again while the cleaner takes what it may of the changelog."""
    for _ in range(2):
        _cleaned(scene)
        scene.kill(scene.one("worker"))
        scene.flow(300)
    scene.note(f"the cleaner took {compacted_away(scene.system)} records")


@strike("compaction-and-zombie", workers=2, prepare=compact_eagerly)
def compaction_and_zombie(scene: Scene) -> None:
    """A worker frozen before the changelog, the cleaner runs over what its successor wrote, it writes late."""
    member = scene.one("worker")
    struck_inside(scene, member, at="panes", when="before", act="stop")
    time.sleep(ASLEEP_S)
    _cleaned(scene)
    member.role.resume()
    scene.flow(300)
    for each in scene.workers:
        scene.kill(each)
    scene.note(f"the cleaner took {compacted_away(scene.system)} records")


@strike("compaction-and-recovery", prepare=compact_eagerly)
def compaction_and_recovery(scene: Scene) -> None:
    """The cleaner runs while workers recover: all are killed, and come back while records vanish before them."""
    for _ in range(2):
        _cleaned(scene)
        for member in scene.workers:
            scene.kill(member)
    scene.note(f"the cleaner took {compacted_away(scene.system)} records")
