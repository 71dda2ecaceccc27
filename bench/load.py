"""Load: what the measurements of endurance share: a log with a past, samples of a process, and a line through them."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from bench import truth
from bench.follower import Follower
from bench.processes import WorkerProcess, cpu_s, rss_mb
from bench.runs import make_topics
from bench.say import say
from bench.workload import Workload, produce, timed_calls
from kpistream.log.topics import Topics

HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Sample:
    """A process at a moment."""

    seconds: float
    records: int
    """Committed so far."""
    rss_mb: float
    cpu_s: float


def write_past(bootstrap: str, topics: Topics, workload: Workload) -> None:
    """Make the topics and fill the events as if the records had come when their calls ended.

    The topic takes the producer's timestamps meanwhile; afterwards it has LogAppendTime again, which a worker checks.
    Records keep what they were appended with, so the frontier moves as it does with an old backlog.
    """
    asyncio.run(make_topics(bootstrap, topics.specs()))
    _timestamps(bootstrap, topics.events, "CreateTime")
    size = produce(bootstrap, topics.events, timed_calls(workload))
    _timestamps(bootstrap, topics.events, "LogAppendTime")
    hours = workload.span_ms / HOUR_MS
    say(f"{workload.events:,} records of {size // workload.events} bytes over {hours:.1f} h in {topics.events}")


def _timestamps(bootstrap: str, topic: str, kind: str) -> None:
    entry = ConfigEntry("message.timestamp.type", kind, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(timeout=30)


class Sampler:
    """Takes samples of a worker."""

    def __init__(self, worker: WorkerProcess, committed: Callable[[], dict[int, int]]) -> None:
        self._worker = worker
        self._committed = committed
        self._began_s = time.perf_counter()
        self.samples: list[Sample] = []

    def take(self) -> Sample:
        """One more. Raises RuntimeError when the worker has ended."""
        self._worker.check()
        pid = self._worker.pid
        records = sum(self._committed().values())
        sample = Sample(time.perf_counter() - self._began_s, records, rss_mb(pid), cpu_s(pid))
        self.samples.append(sample)
        return sample


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Slope of the straight line through the points, by least squares; 0 for fewer than two."""
    if len(points) < 2:
        return 0.0
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def check_totals(bootstrap: str, topics: Topics, follower: Follower) -> dict[str, Any]:
    """Compare every pane with a naive recomputation. Raises RuntimeError when one differs."""
    cells, refused = truth.expected(bootstrap, topics.events)
    fault = truth.difference(cells, follower.cells())
    letters = truth.dead_letters(bootstrap, topics.prefix)
    if letters != refused:
        fault = f"{letters} dead letters, must be {refused}; {fault}"
    if fault:
        raise RuntimeError(fault)
    return {"panes_checked": len(cells), "refused": refused}
