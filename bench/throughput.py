"""Throughput: the worker and its peers drain the same events, in turn, each run checked sum by sum.

Every run is a process with topics of its own; `runs.py` says what each engine is.
"""

import asyncio
import itertools
import statistics
import time
from dataclasses import dataclass
from typing import Any, Final

from bench import runs, truth
from bench.say import say
from bench.workload import Workload, calls, produce
from kpistream.log.topics import Topics
from tests.live.broker import Broker

RATE: Final = "events_per_second"
CPU_RATE: Final = "events_per_cpu_second"
_COMPARED: Final = ("faust", "aiokafka", "confluent")


@dataclass(frozen=True, slots=True)
class Race:
    """Who runs how often over how much."""

    engines: tuple[str, ...]
    events: int
    slow_events: int
    """Of slow engines: the first of the same events."""
    rounds: int


def measure(broker: Broker, race: Race) -> list[dict[str, Any]]:
    """All runs of all engines, in turn: A B C A B C. Raises RuntimeError when a run is wrong."""
    engines = [runs.ENGINES[name] for name in race.engines]
    workload = Workload(race.events, end_ms=time.time_ns() // 1_000_000)
    wanted: dict[bool, runs.Wanted] = {}
    for slow in sorted({engine.slow for engine in engines}):
        wanted[slow] = prepare(broker, workload, race.slow_events if slow else workload.events)
    results = []
    for number, engine in itertools.product(range(race.rounds), engines):
        result = runs.run(broker, engine, wanted[engine.slow], number)
        rate, cpu_rate = result[RATE], result[CPU_RATE]
        say(f"{engine.name} run {number + 1}: {rate:,.0f}/s, {cpu_rate:,.0f}/CPU-s, {result['rss_mb']:.0f} MB, exact")
        results.append(result)
    return results


def prepare(broker: Broker, workload: Workload, events: int) -> runs.Wanted:
    """Produce the first `events` records of the workload and compute what must come out of them."""
    topics = Topics(f"bench-{events}.")
    specs = tuple(spec for spec in topics.specs() if spec.name == topics.events)
    asyncio.run(runs.make_topics(broker.bootstrap, specs))
    return fill(broker, workload, topics.events, events)


def fill(broker: Broker, workload: Workload, topic: str, events: int) -> runs.Wanted:
    """Produce into a topic that is there."""
    size = produce(broker.bootstrap, topic, itertools.islice(calls(workload), events))
    cells, refused = truth.expected(broker.bootstrap, topic)
    say(f"{events:,} records of {size // events} bytes in {topic}: {len(cells):,} panes, {refused} to refuse")
    return runs.Wanted(topic, cells, refused)


def shown(results: list[dict[str, Any]]) -> list[str]:
    """Minimum, median and maximum of each engine, and the ratios of the medians."""
    by_engine: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        by_engine.setdefault(result["engine"], []).append(result)
    lines = [
        "| engine | runs | events/s | events per CPU-second | peak memory, MB |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, found in by_engine.items():
        columns = [spread(found, key) for key in (RATE, CPU_RATE, "rss_mb")]
        lines.append(f"| {name} | {len(found)} | {' | '.join(columns)} |")
    if "kpistream" in by_engine and len(by_engine) > 1:
        lines += ["", "Medians of kpistream over theirs, events per CPU-second (events per second in brackets):", ""]
        ours = by_engine["kpistream"]
        for name in (name for name in _COMPARED if name in by_engine):
            cpu, wall = (median(ours, key) / median(by_engine[name], key) for key in (CPU_RATE, RATE))
            lines.append(f"- {name}: {cpu:.2f} ({wall:.2f})")
    return lines


def median(found: list[dict[str, Any]], key: str) -> float:
    """Median of one number over the runs."""
    return float(statistics.median(result[key] for result in found))


def spread(found: list[dict[str, Any]], key: str) -> str:
    """Minimum, median, maximum."""
    values = [result[key] for result in found]
    return f"{min(values):,.0f} – **{statistics.median(values):,.0f}** – {max(values):,.0f}"
