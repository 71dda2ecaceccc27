"""kpistream's worker, composed as `kpistream worker` composes it; says what it holds once it has recovered.

It works on until it is killed. Times count from the start of the process (before the interpreter), and from the
assignment of its partitions.
"""

import asyncio
import json
import logging
import os
import sys
import time
from typing import Any

from prometheus_client import CollectorRegistry

from bench.processes import rss_mb
from bench.workload import PARTITIONS
from kpistream import service
from kpistream.core.measures import CALLS, TALK_MS
from kpistream.core.settings import Settings
from kpistream.metrics import WorkerMetrics
from kpistream.stream.agents import Worker


def held(worker: Worker) -> dict[str, int]:
    """Sums over all panes."""
    panes = [pane for shard in worker.shards.values() for pane in shard.partition.live_panes()]
    return {
        "panes": len(panes),
        "events": sum(len(pane.entries) for pane in panes),
        "versions": sum(pane.version for pane in panes),
        "calls": sum(pane.tally.get(CALLS, 0) for pane in panes),
        "talk_ms": sum(pane.tally.get(TALK_MS, 0) for pane in panes),
    }


async def recover(job: dict[str, Any]) -> None:
    """Run until the share of partitions has recovered."""
    config = service.load_config(broker=job["bootstrap"], topic_prefix=job["prefix"], group=job["prefix"])
    settings = service.worker_settings(config, PARTITIONS, Settings())
    worker = Worker(settings, service.clocks(), WorkerMetrics(CollectorRegistry()))
    service.tame_collector()
    watch = asyncio.ensure_future(_watch(worker, job))
    async with service.watched(worker.health, 600):
        await worker.run()
    await watch


async def _watch(worker: Worker, job: dict[str, Any]) -> None:
    before_mb, assigned_s = rss_mb(os.getpid()), 0.0
    while len(worker.shards.held()) != job["share"]:
        if not assigned_s and any(shard.generation >= 0 for shard in worker.shards.values()):
            assigned_s = time.monotonic()
        await asyncio.sleep(0.01)
    now_s, cpu_s = time.monotonic(), time.process_time()
    result = {
        "ready_s": now_s - job["started_s"],
        "recovery_s": now_s - assigned_s,
        "cpu_s": cpu_s,
        "rss_before_mb": before_mb,
        "rss_mb": rss_mb(os.getpid()),
        "peak_rss_mb": rss_mb(os.getpid(), "VmHWM:"),
        **held(worker),
    }
    print("RESULT " + json.dumps(result), flush=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(recover(json.loads(sys.argv[1])))
