"""Clocks of machines hours off, on a real broker: its own clock is the only one that counts."""

import asyncio
import time
from pathlib import Path

from prometheus_client import CollectorRegistry

from kpistream import service
from kpistream.core.settings import Settings
from kpistream.log.publisher import Publisher
from kpistream.log.records import Outgoing
from kpistream.metrics import WorkerMetrics
from kpistream.stream.agents import Clocks, Worker
from tests.live.broker import Broker
from tests.live.floor import HOUR_MS, Floor
from tests.live.system import LIMIT_S, System

WRITTEN_BY_WORKERS = ("panes", "readings", "team-panes", "alerts", "dead-letters", "events")


def now_ms() -> int:
    return int(time.time() * 1000)


def test_records_of_a_machine_whose_clock_is_days_off_are_taken_at_the_brokers_time(
    kafka: Broker, tmp_path: Path
) -> None:
    """A broker refuses what says to be an hour ahead, and deletes at once what says to be old, unless it stamps it."""

    async def publish(system: System) -> None:
        publisher = Publisher({"bootstrap_servers": kafka.bootstrap})
        await publisher.start()
        try:
            for off_h in (-200, -5, 5, 200):
                record = Outgoing(b"k", b"v", (), now_ms() + off_h * HOUR_MS)
                for name in WRITTEN_BY_WORKERS:
                    await publisher.publish(system.topic(name), 0, [record])
        finally:
            await publisher.stop()

    with System(kafka, tmp_path, partitions=1) as system:
        began_ms = now_ms()
        asyncio.run(publish(system))

        for name in WRITTEN_BY_WORKERS:
            stamps = [message.timestamp()[1] for message in system.read(name)]
            assert len(stamps) == 4
            assert all(began_ms - HOUR_MS < stamp < now_ms() + HOUR_MS for stamp in stamps), name


async def work_with_clocks_apart(system: System, floor: Floor) -> list[int]:
    """Two workers ten hours apart share the partitions, the first leaves in the middle; frontiers of the second."""
    config = service.configuration.load(system.environment())
    settings = service.worker_settings(config, system.partitions, Settings())
    workers, running = [], []
    for off_h in (5, -5):
        clocks = Clocks(lambda off_h=off_h: now_ms() + off_h * HOUR_MS, time.monotonic)
        own = service.worker_settings(config, system.partitions, Settings())
        workers.append(Worker(own, clocks, WorkerMetrics(CollectorRegistry())))
        running.append(asyncio.ensure_future(workers[-1].run()))
    assert settings.partition.writer != own.partition.writer

    async def worked() -> None:
        deadline_s = time.monotonic() + LIMIT_S
        while not await asyncio.to_thread(system.at_end, system.worker_group, "events"):
            assert not any(task.done() for task in running), running
            assert time.monotonic() < deadline_s, system.offsets()
            await asyncio.sleep(0.1)

    for _ in range(3):
        await asyncio.to_thread(system.produce, floor.records(700))
        await worked()
    workers[0].stop()
    await asyncio.wait_for(running.pop(0), LIMIT_S)
    await asyncio.to_thread(system.produce, floor.records(700))
    await asyncio.to_thread(system.produce, floor.one_each())
    await worked()
    frontiers = [shard.partition.frontier_ms for shard in workers[1].shards.held()]
    workers[1].stop()
    await asyncio.wait_for(running.pop(), LIMIT_S)
    return frontiers


def test_workers_whose_clocks_are_hours_apart_agree(kafka: Broker, tmp_path: Path) -> None:
    with System(kafka, tmp_path, partitions=2, horizon_hours=1) as system:
        sink = system.sink()
        floor = Floor(now_ms(), seed=12, agents=12, partitions=2, history_ms=3 * HOUR_MS)

        frontiers = asyncio.run(work_with_clocks_apart(system, floor))

        assert len(frontiers) == 2
        assert all(abs(now_ms() - HOUR_MS - frontier_ms) < HOUR_MS for frontier_ms in frontiers)
        system.drained(sink)
        sink.stop()
        system.exact()
