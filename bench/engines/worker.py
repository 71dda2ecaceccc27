"""kpistream's worker, composed as `kpistream worker` composes it, until everything is acknowledged and committed.

Everything runs that runs in production: decoding and judging of the full contract, dead letters, panes with their
entries, changelog, team sums, readings and alerts, metrics, watchdog. Only the events topic is shared between runs.
"""

import asyncio
import contextlib
import dataclasses
import logging

from prometheus_client import CollectorRegistry

from bench.meter import Job, Meter, job_of_process
from kpistream import service
from kpistream.core.settings import Settings
from kpistream.log.topics import Topics
from kpistream.metrics import WorkerMetrics
from kpistream.stream.agents import Worker


@dataclasses.dataclass(frozen=True, slots=True)
class SharedEvents(Topics):
    """Topics of one run, except that the events are those of all runs."""

    shared: str = ""

    @property
    def events(self) -> str:
        """The events of all runs."""
        return self.shared


def make_worker(job: Job) -> Worker:
    """A worker with the default settings of `kpistream worker`."""
    config = service.load_config(broker=job.bootstrap, topic_prefix=job.prefix, group=job.prefix)
    settings = service.worker_settings(config, len(job.ends), Settings())
    topics = SharedEvents(job.prefix, shared=job.events)
    return Worker(dataclasses.replace(settings, topics=topics), service.clocks(), WorkerMetrics(CollectorRegistry()))


async def drain(job: Job) -> None:
    """Run until the group has committed the end of every partition."""
    worker = make_worker(job)
    service.tame_collector()
    watch = asyncio.ensure_future(_watch(worker, job))
    async with service.watched(worker.health, 120):
        with contextlib.suppress(asyncio.CancelledError):
            await worker.run()
    await watch


async def _watch(worker: Worker, job: Job) -> None:
    records, meter = worker.metrics.events._value, Meter()
    while not records.get():
        await asyncio.sleep(0.002)
    meter.begin(int(records.get()))
    while not _done(worker, job):
        await asyncio.sleep(0.02)
    meter.end(int(records.get()))
    worker.stop()


def _done(worker: Worker, job: Job) -> bool:
    """Everything before the ends is durable, and no acknowledged flush waits for its commit."""
    positions = {number: shard.partition.at for number, shard in worker.shards.items()}
    return all(
        number in positions and positions[number].acknowledged >= end and not positions[number].fences
        for number, end in job.ends.items()
    )


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(drain(job_of_process()))
