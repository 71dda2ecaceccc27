"""Workers: one, two and three workers drain the same events; what they reach together, and for each CPU-second.

The workers are frozen (SIGSTOP) while the events are appended, and all go on at once: joining the group, imports and
the first rebalance are not in the numbers. Every run is checked pane by pane.
"""

import asyncio
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

from bench import truth
from bench.group import Group
from bench.processes import WorkerProcess, cpu_s, rss_mb, wait_for
from bench.runs import make_topics
from bench.say import say
from bench.throughput import CPU_RATE, RATE, spread
from bench.workload import Workload, calls, produce
from kpistream.log.topics import Topics
from tests.live.broker import Broker

PARTITIONS: Final = 6
"""One, two and three share them evenly."""
_SETTINGS: Final = {"session_timeout_s": 59, "stall_timeout_s": 900, "loop_timeout_s": 900}
"""Frozen workers must stay in the group, and wake up without their watchdog ending them."""
_LIMIT_S: Final = 1800.0


@dataclass(frozen=True, slots=True)
class Team:
    """How many workers, and what they drain."""

    workers: int
    events: int


def measure(broker: Broker, team: Team, number: int) -> dict[str, Any]:
    """One run. Raises RuntimeError when a pane is wrong."""
    topics = Topics(f"workers-{team.workers}-{number}.")
    asyncio.run(make_topics(broker.bootstrap, topics.specs(), PARTITIONS))
    group = Group(broker.bootstrap, f"{topics.prefix}-worker", topics.events)
    records = list(calls(Workload(team.events, end_ms=time.time_ns() // 1_000_000)))
    with ExitStack() as stack:
        workers = [
            stack.enter_context(WorkerProcess(broker.bootstrap, topics.prefix, **_SETTINGS))
            for _ in range(team.workers)
        ]
        wait_for("all workers share the partitions", lambda: group.balanced(team.workers, PARTITIONS))
        for worker in workers:
            worker.pause()
        began_cpu_s = [cpu_s(worker.pid) for worker in workers]
        produce(broker.bootstrap, topics.events, records)
        ends = group.ends()
        began_s = time.perf_counter()
        for worker in workers:
            worker.resume()
        wait_for(
            "everything is committed",
            lambda: [worker.check() for worker in workers] and group.behind(ends) == 0,
            _LIMIT_S,
        )
        seconds = time.perf_counter() - began_s
        used_s = [cpu_s(worker.pid) - before_s for worker, before_s in zip(workers, began_cpu_s, strict=True)]
        peaks_mb = [rss_mb(worker.pid, "VmHWM:") for worker in workers]
        for worker in workers:
            worker.stop()
    cells, refused = truth.expected(broker.bootstrap, topics.events)
    fault = truth.difference(cells, truth.cells_of_worker(broker.bootstrap, topics.prefix))
    letters = truth.dead_letters(broker.bootstrap, topics.prefix)
    if fault or letters != refused:
        raise RuntimeError(f"{letters} dead letters, must be {refused}; {fault}")
    broker.delete_topics(*(spec.name for spec in topics.specs()))
    result = {
        "workers": team.workers,
        "events": team.events,
        "seconds": seconds,
        "cpu_seconds": used_s,
        RATE: team.events / seconds,
        CPU_RATE: team.events / sum(used_s),
        "peak_mb": peaks_mb,
        "panes_checked": len(cells),
    }
    say(f"{team.workers} workers: {result[RATE]:,.0f}/s, {result[CPU_RATE]:,.0f}/CPU-s, exact")
    return result


def shown(results: list[dict[str, Any]]) -> list[str]:
    """One line for each number of workers."""
    lines = [
        "| workers | runs | events/s | events per CPU-second of all workers | peak memory of the largest, MB |",
        "| --- " * 5 + "|",
    ]
    for count in sorted({result["workers"] for result in results}):
        found = [result for result in results if result["workers"] == count]
        peak_mb = max(max(result["peak_mb"]) for result in found)
        lines.append(f"| {count} | {len(found)} | {spread(found, RATE)} | {spread(found, CPU_RATE)} | {peak_mb:,.0f} |")
    return lines
