"""Workers and a sink as processes on a real Apache Kafka: whatever happens to them, every cell is exact."""

import asyncio
import time
from collections import Counter
from pathlib import Path

from prometheus_client import CollectorRegistry

from kpistream import service
from kpistream.core.settings import Settings
from kpistream.metrics import WorkerMetrics
from kpistream.stream.agents import Worker
from tests.live.broker import Broker
from tests.live.floor import Floor
from tests.live.system import LIMIT_S, System


def now_ms() -> int:
    return int(time.time() * 1000)


def test_steady_work_is_exact(kafka: Broker, tmp_path: Path) -> None:
    with System(kafka, tmp_path) as system:
        floor = Floor(now_ms())
        worker, sink = system.worker(), system.sink()
        system.produce(floor.records(20_000))

        system.drained(worker, sink)
        worker.stop()
        sink.stop()

        seen = system.exact()
        assert seen.duplicates > 300 and seen.corrections > 600 and seen.retractions > 500
        assert set(seen.rejected) == {"empty", "not-json", "missing-field", "schema-registry-framing", "unknown-type"}
        letters = Counter(dict(message.headers())["kpi-reason"].decode() for message in system.read("dead-letters"))
        assert letters == seen.rejected


def test_killed_worker_loses_nothing(kafka: Broker, tmp_path: Path) -> None:
    with System(kafka, tmp_path) as system:
        floor = Floor(now_ms(), seed=2)
        first, second, sink = system.worker(), system.worker(), system.sink()
        with system.feeding(floor.records(20_000)):
            system.progressed(0.2, 20_000, first, second, sink)
            first.kill()
            system.progressed(0.5, 20_000, second, sink)
            third = system.worker()

        system.drained(second, third, sink)
        for role in (second, third, sink):
            role.stop()
        system.exact()


def test_paused_worker_that_wakes_up_changes_nothing(kafka: Broker, tmp_path: Path) -> None:
    """The group takes its partitions away while it sleeps; what it had under way comes late."""
    with System(kafka, tmp_path) as system:
        floor = Floor(now_ms(), seed=3)
        zombie, sink = system.worker(), system.sink()
        with system.feeding(floor.records(20_000)):
            system.progressed(0.1, 20_000, zombie, sink)
            zombie.pause()
            other = system.worker()
            system.progressed(0.5, 20_000, other, sink)
            zombie.resume()

        system.drained(other, sink)
        assert zombie.code in (None, service.EXIT_FAILED)
        other.stop()
        if zombie.code is None:
            system.produce(floor.records(500))
            system.drained(zombie, sink)
            zombie.stop()
        sink.stop()
        system.exact()


def test_stopped_worker_leaves_in_time_and_loses_nothing(kafka: Broker, tmp_path: Path) -> None:
    with System(kafka, tmp_path) as system:
        floor = Floor(now_ms(), seed=4)
        worker, sink = system.worker(), system.sink()
        with system.feeding(floor.records(12_000)):
            system.progressed(0.3, 12_000, worker, sink)
            worker.stop()
            committed = system.committed(system.worker_group, "events")
            worker = system.worker()

        assert sum(committed.values()) > 0
        system.drained(worker, sink)
        worker.stop()
        sink.stop()
        system.exact()


def test_panes_outlive_rebalances(kafka: Broker, tmp_path: Path) -> None:
    """One more event for every pane shows what its worker still knows of it: an emptied store would lose."""
    with System(kafka, tmp_path) as system:
        floor = Floor(now_ms(), seed=5, agents=20, late_share=0)
        first, sink = system.worker(), system.sink()
        system.produce(floor.records(4_000))
        system.worked(first)
        second = system.worker()
        system.until("a second member", lambda: "assigned" in second.said and "recovered" in second.said, first, second)
        system.produce(floor.one_each())
        system.worked(first, second)
        second.stop()
        system.produce(floor.one_each())

        system.drained(first, sink)
        first.stop()
        sink.stop()
        system.exact()


def held(worker: Worker) -> dict[int, dict[tuple[str, int], tuple[int, dict[int, int]]]]:
    """What a worker holds: version and tally of every pane, by partition."""
    return {
        shard.partition.number: {
            (pane.key, pane.start_ms): (pane.version, dict(pane.tally)) for pane in shard.partition.live_panes()
        }
        for shard in worker.shards.held()
    }


def test_kept_partition_holds_the_same_panes_after_a_rebalance(kafka: Broker, tmp_path: Path) -> None:
    with System(kafka, tmp_path) as system:
        floor = Floor(now_ms(), seed=6, agents=20, late_share=0)
        system.produce(floor.records(4_000))
        asyncio.run(_rebalance(system, floor))


async def _rebalance(system: System, floor: Floor) -> None:
    config = service.configuration.load(system.environment())
    clocks = service.clocks()
    settings = service.worker_settings(config, system.partitions, Settings())
    worker = Worker(settings, clocks, WorkerMetrics(CollectorRegistry()))
    running = asyncio.ensure_future(worker.run())
    sink = system.sink()

    async def until(what: str, condition: object) -> None:
        deadline_s = time.monotonic() + LIMIT_S
        while not await asyncio.to_thread(condition):  # type: ignore[arg-type]
            assert not running.done(), running
            assert time.monotonic() < deadline_s, what
            await asyncio.sleep(0.05)

    await until("all events", lambda: system.at_end(system.worker_group, "events"))
    before = held(worker)
    assert sorted(before) == [0, 1, 2, 3] and all(before.values())

    second = system.worker()
    await until("half of the partitions", lambda: "recovered" in second.said and len(held(worker)) == 2)
    kept = held(worker)
    assert kept == {number: before[number] for number in kept}

    second.stop()
    await until("all partitions", lambda: len(held(worker)) == 4)
    assert held(worker) == before

    await asyncio.to_thread(system.produce, floor.one_each())
    await until("everything", system._idle)
    worker.stop()
    await asyncio.wait_for(running, LIMIT_S)
    sink.stop()
    await asyncio.to_thread(system.exact)
