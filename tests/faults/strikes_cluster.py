"""Strikes on three brokers: the coordinator of a group dies, a leader dies, two die at once, all restart in turn."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.faults.cluster import Cluster
from tests.faults.scene import Scene
from tests.faults.strikes import stage, strike

CLUSTER: Final = "cluster"


@stage(CLUSTER)
@contextmanager
def three_brokers(directory: Path) -> Iterator[Cluster]:
    """Three brokers, three replicas, two of which must have every record."""
    with Cluster() as cluster:
        yield cluster


@contextmanager
def _whole_after(scene: Scene) -> Iterator[None]:
    try:
        yield
    finally:
        scene.kafka.start()
    scene.until("replicas in sync", lambda: scene.kafka.in_sync(scene.system.prefix))


@strike("coordinator-killed", stage=CLUSTER)
def coordinator_killed(scene: Scene) -> None:
    """kill -9 of the broker that coordinates the workers, or the sinks; another one takes over."""
    group = scene.random.choice((scene.system.worker_group, scene.system.sink_group))
    with _whole_after(scene):
        scene.kafka.coordinator(group).kill()
        scene.flow(scene.random.randrange(300, 2000))


@strike("leader-killed", stage=CLUSTER)
def leader_killed(scene: Scene) -> None:
    """kill -9 of the broker that leads a partition of events or panes."""
    topic = scene.system.topic(scene.random.choice(("events", "panes")))
    with _whole_after(scene):
        scene.kafka.leader(topic, scene.random.randrange(scene.system.partitions)).kill()
        scene.flow(scene.random.randrange(300, 2000))


@strike("two-of-three-down", stage=CLUSTER)
def two_of_three_down(scene: Scene) -> None:
    """Two brokers killed: not enough replicas, nothing is accepted, until both are back."""
    with _whole_after(scene):
        for broker in scene.random.sample(scene.kafka.brokers, 2):
            broker.kill()
        time.sleep(scene.random.uniform(1, 15))  # the fault itself


@strike("brokers-restart-in-turn", stage=CLUSTER)
def brokers_restart_in_turn(scene: Scene) -> None:
    """Every broker stopped in order and started again, one after the other."""
    for broker in scene.random.sample(scene.kafka.brokers, len(scene.kafka.brokers)):
        with _whole_after(scene):
            broker.stop()
            scene.flow(scene.random.randrange(50, 500))
