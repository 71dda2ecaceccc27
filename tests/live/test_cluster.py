"""Three brokers of which one dies: the coordinator of a group, the leader of a partition, two at once."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.cluster import Cluster
from tests.live.floor import Floor
from tests.live.system import System


def now_ms() -> int:
    return int(time.time() * 1000)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster() as three:
        yield three


def test_brokers_that_die_one_after_the_other(cluster: Cluster, tmp_path: Path) -> None:
    """Coordinator and leader die in the middle of the load, each back before the next one goes."""
    with System(cluster, tmp_path) as system:
        floor = Floor(now_ms(), seed=61)
        worker, sink = system.worker(), system.sink()
        system.produce(floor.records(500))
        system.drained(worker, sink)
        for choose in (
            lambda: cluster.coordinator(system.worker_group),
            lambda: cluster.leader(system.topic("panes"), 1),
        ):
            broker, ends = choose(), system.committed(system.worker_group, "events")
            with system.feeding(floor.records(2_000)):
                broker.kill()
                system.until(
                    "work without it",
                    lambda ends=ends: (
                        sum(system.committed(system.worker_group, "events").values()) > sum(ends.values()) + 500
                    ),
                    worker,
                    sink,
                )
                broker.start()
            system.until("replicas in sync", lambda: cluster.in_sync(system.prefix), worker, sink)

        system.drained(worker, sink)
        worker.stop()
        sink.stop()
        system.exact()


@pytest.mark.long
def test_two_of_three_down_accept_nothing_and_lose_nothing(cluster: Cluster, tmp_path: Path) -> None:
    with System(cluster, tmp_path) as system:
        floor = Floor(now_ms(), seed=62)
        worker, sink = system.worker(), system.sink()
        system.produce(floor.records(1_000))
        system.progressed(0.3, 1_000, worker, sink)
        for broker in cluster.brokers[:2]:
            broker.kill()
        system.until("the roles notice", lambda: "WARNING" in worker.said or "ERROR" in worker.said, worker)
        cluster.start()
        system.until("replicas in sync", lambda: cluster.in_sync(system.prefix), worker, sink)
        system.produce(floor.records(500))

        system.drained(worker, sink)
        worker.stop()
        sink.stop()
        system.exact()
