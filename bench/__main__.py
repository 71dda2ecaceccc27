"""The bench: one command starts a real Apache Kafka, measures the worker beside its peers, and prints a table."""

import asyncio
import itertools
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Final

import click

from bench import latency, machine, runs, truth
from bench.workload import Workload, calls, produce
from kpistream.log.topics import Topics
from tests.live.broker import Broker, missing

SLOW_EVENTS: Final = 40_000
RATE: Final = "events_per_second"
CPU_RATE: Final = "events_per_cpu_second"
_COMPARED: Final = ("faust", "aiokafka", "confluent")


def say(text: str) -> None:
    """Progress, beside the results."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


@click.command(epilog="Example: make bench ARGS='--events 200000 --engines kpistream,confluent --latency-seconds 0'")
@click.option("--events", default=1_000_000, show_default=True, help="Records that the engines work off.")
@click.option("--slow-events", default=SLOW_EVENTS, show_default=True, help="Records for Faust: the first of the same.")
@click.option("--runs", "rounds", default=3, show_default=True, help="Runs of each engine, in turn.")
@click.option("--engines", default=",".join(runs.ENGINES), show_default=True, help="Which engines, comma separated.")
@click.option("--latency-seconds", default=60, show_default=True, help="How long latency is measured; 0: not at all.")
@click.option("--latency-rate", default=2000, show_default=True, help="Events per second of the latency run.")
@click.option("--latency-agents", default="20000,2000", show_default=True, help="Agents of each latency run.")
@click.option("--results", default="bench/results.json", show_default=True, help="Where all numbers go, as JSON.")
def bench_command(**options: Any) -> None:
    """Events per second and per CPU-second, memory and latency, on a real Apache Kafka."""
    unknown = [name for name in options["engines"].split(",") if name and name not in runs.ENGINES]
    if unknown:
        raise click.UsageError(f"no engine {unknown[0]!r}; there are {', '.join(runs.ENGINES)}")
    if missing():
        raise click.ClickException(f"a real Kafka is needed: {missing()} (`make live-tools` installs it)")
    report: dict[str, Any] = {"machine": machine.description(), "options": options, "runs": [], "latency": []}
    with Broker() as broker:
        report["runs"] = throughput(broker, options)
        for agents in options["latency_agents"].split(",") if options["latency_seconds"] else ():
            say(f"latency: {options['latency_rate']} events/s over {agents} agents")
            load = latency.Load(options["latency_rate"], options["latency_seconds"], int(agents))
            report["latency"].append(latency.measure(broker, load))
    Path(options["results"]).write_text(json.dumps(report, indent=1) + "\n")
    print(table(report))


def throughput(broker: Broker, options: dict[str, Any]) -> list[dict[str, Any]]:
    """All runs of all engines, in turn: A B C A B C."""
    engines = [runs.ENGINES[name] for name in options["engines"].split(",") if name]
    workload = Workload(options["events"], end_ms=time.time_ns() // 1_000_000)
    wanted: dict[bool, runs.Wanted] = {}
    for slow in sorted({engine.slow for engine in engines}):
        wanted[slow] = prepare(broker, workload, options["slow_events"] if slow else workload.events)
    results = []
    for number, engine in itertools.product(range(options["rounds"]), engines):
        result = runs.run(broker, engine, wanted[engine.slow], number)
        rate, cpu_rate = result["events_per_second"], result["events_per_cpu_second"]
        say(f"{engine.name} run {number + 1}: {rate:,.0f}/s, {cpu_rate:,.0f}/CPU-s, {result['rss_mb']:.0f} MB, exact")
        results.append(result)
    return results


def prepare(broker: Broker, workload: Workload, events: int) -> runs.Wanted:
    """Produce the first `events` records of the workload and compute what must come out of them."""
    topics = Topics(f"bench-{events}.")
    specs = tuple(spec for spec in topics.specs() if spec.name == topics.events)
    asyncio.run(runs.make_topics(broker.bootstrap, specs))
    size = produce(broker.bootstrap, topics.events, itertools.islice(calls(workload), events))
    cells, refused = truth.expected(broker.bootstrap, topics.events)
    say(f"{events:,} records of {size // events} bytes in {topics.events}: {len(cells):,} panes, {refused} to refuse")
    return runs.Wanted(topics.events, cells, refused)


def table(report: dict[str, Any]) -> str:
    """Results for people: minimum, median and maximum of each engine, and the ratios of the medians."""
    by_engine: dict[str, list[dict[str, Any]]] = {}
    for result in report["runs"]:
        by_engine.setdefault(result["engine"], []).append(result)
    lines = [f"machine: {report['machine']}", ""]
    if by_engine:
        lines += [
            "| engine | runs | events/s | events per CPU-second | peak memory, MB |",
            "| --- | --- | --- | --- | --- |",
        ]
    for name, found in by_engine.items():
        columns = [spread(found, key) for key in (RATE, CPU_RATE, "rss_mb")]
        lines.append(f"| {name} | {len(found)} | {' | '.join(columns)} |")
    if "kpistream" in by_engine and len(by_engine) > 1:
        lines += ["", "kpistream's events per CPU-second (events/s) against", ""]
        ours = by_engine["kpistream"]
        for name in (name for name in _COMPARED if name in by_engine):
            cpu, wall = (median(ours, key) / median(by_engine[name], key) for key in (CPU_RATE, RATE))
            lines.append(f"- {name}: {cpu:.2f} ({wall:.2f}) times")
    for found in report["latency"]:
        lines += ["", latency.shown(found)]
    return "\n".join(lines)


def median(found: list[dict[str, Any]], key: str) -> float:
    """Median of one number over the runs."""
    return float(statistics.median(result[key] for result in found))


def spread(found: list[dict[str, Any]], key: str) -> str:
    """Minimum, median, maximum."""
    values = [result[key] for result in found]
    return f"{min(values):,.0f} – **{statistics.median(values):,.0f}** – {max(values):,.0f}"


if __name__ == "__main__":
    bench_command(prog_name="python -m bench")
