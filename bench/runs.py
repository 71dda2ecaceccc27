"""Runs: topics of one run are made, an engine's process works them off, its totals are checked, topics go."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from bench import truth
from bench.engines.worker import SharedEvents
from bench.meter import Job
from bench.workload import PARTITIONS
from kpistream.log import admin as log_admin
from kpistream.log.topics import TopicSpec
from tests.live.broker import Broker

TIMEOUT_S: Final = 900


@dataclass(frozen=True, slots=True)
class Engine:
    """One way to do the work."""

    name: str
    module: str
    topics: Callable[[str, str], tuple[TopicSpec, ...]]
    """Topics of a run, by prefix and events topic."""
    cells: Callable[[str, str], truth.Cells]
    keeps: tuple[str, ...] = ()
    """The sums that it keeps; empty: all."""
    slow: bool = False
    """Works off only the first part of the events."""
    python: str = sys.executable
    """Interpreter; that of another environment for an engine that does not go with ours."""
    environment: tuple[tuple[str, str], ...] = ()
    letters: Callable[[str, str], int] = truth.dead_letters
    """How many records it has refused, by prefix."""


def worker_topics(prefix: str, events: str) -> tuple[TopicSpec, ...]:
    """What `kpistream topics apply` makes, except that the events are there already."""
    return SharedEvents(prefix, shared=events).specs()


def loop_topics(prefix: str, events: str) -> tuple[TopicSpec, ...]:
    """Changelog and dead letters."""
    return (
        TopicSpec(f"{prefix}changelog", (("cleanup.policy", "compact"),), True, "panes with their ids"),
        TopicSpec(f"{prefix}dead-letters", (("cleanup.policy", "delete"),), False, "refused records"),
    )


def faust_topics(prefix: str, events: str) -> tuple[TopicSpec, ...]:
    """Changelog of the table, output, dead letters."""
    return (
        TopicSpec(f"{prefix}faust-panes-changelog", (("cleanup.policy", "compact"),), True, "the table"),
        TopicSpec(f"{prefix}readings", (("cleanup.policy", "delete"),), True, "output"),
        TopicSpec(f"{prefix}dead-letters", (("cleanup.policy", "delete"),), False, "refused records"),
    )


ENGINES: Final = {
    engine.name: engine
    for engine in (
        Engine("kpistream", "bench.engines.worker", worker_topics, truth.cells_of_worker),
        Engine("faust", "bench.engines.faust_table", faust_topics, truth.cells_of_faust, truth.FAUST_KEEPS, True),
        Engine("aiokafka", "bench.engines.aiokafka_loop", loop_topics, truth.cells_of_loop),
        Engine("confluent", "bench.engines.confluent_loop", loop_topics, truth.cells_of_loop),
    )
}


async def make_topics(bootstrap: str, specs: tuple[TopicSpec, ...], partitions: int = PARTITIONS) -> None:
    """Make topics with the code behind `kpistream topics apply`, and wait until the broker serves them."""
    admin = await log_admin.connect({"bootstrap_servers": bootstrap})
    try:
        await log_admin.apply_topics(admin, specs, partitions, 1)
        faults = await log_admin.settled_faults(admin, specs)
    finally:
        await admin.close()
    if faults:
        raise RuntimeError("; ".join(faults))


@dataclass(frozen=True, slots=True)
class Wanted:
    """The events of a run and what must come out."""

    events: str
    cells: truth.Cells
    refused: int


def run(broker: Broker, engine: Engine, wanted: Wanted, number: int) -> dict[str, Any]:
    """One run of one engine. Raises RuntimeError when it fails or its totals are wrong."""
    prefix = f"bench-{engine.name.replace(', ', '-')}-{number}."
    specs = engine.topics(prefix, wanted.events)
    asyncio.run(make_topics(broker.bootstrap, specs))
    job = Job(broker.bootstrap, wanted.events, prefix, truth.end_offsets(broker.bootstrap, wanted.events))
    load = os.getloadavg()[0]
    result = _process(engine, job)
    found = engine.cells(broker.bootstrap, prefix)
    want = truth.kept(wanted.cells, engine.keeps) if engine.keeps else wanted.cells
    fault = truth.difference(want, found)
    refused = engine.letters(broker.bootstrap, prefix)
    if refused != wanted.refused:
        fault = f"{refused} dead letters, must be {wanted.refused}; {fault}"
    if fault:
        raise RuntimeError(f"{engine.name}: {fault}")
    broker.delete_topics(*(spec.name for spec in specs if spec.name != wanted.events))
    return {
        "engine": engine.name,
        "run": number,
        **result,
        "events_per_second": result["records"] / result["seconds"],
        "events_per_cpu_second": result["records"] / result["cpu_seconds"],
        "panes_checked": len(want),
        "load_before": load,
    }


def _process(engine: Engine, job: Job) -> dict[str, Any]:
    done = subprocess.run(
        [engine.python, "-m", engine.module, job.to_json()],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env=dict(os.environ, PYTHONHASHSEED="0", **dict(engine.environment)),
    )
    return result_of(engine.name, done)


def result_of(name: str, done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What an engine's process has said at its end. Raises RuntimeError when it failed."""
    results = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if done.returncode or not results:
        raise RuntimeError(f"{name} ended with {done.returncode}\n{done.stderr[-3000:]}")
    return dict(json.loads(results[-1].removeprefix("RESULT ")))
