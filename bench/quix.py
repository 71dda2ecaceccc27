"""Quix: Quix Streams beside the worker on the same events, and both after a kill -9 in the middle.

What an engine's totals are after the kill is a result here, not a condition: exact, or so many panes with too little or
too much. The worker must be exact.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import time
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from bench import throughput, truth
from bench.group import Group
from bench.meter import Job
from bench.processes import WorkerProcess, wait_for
from bench.runs import ENGINES, Engine, Wanted, make_topics, result_of, run, worker_topics
from bench.say import say
from bench.throughput import CPU_RATE, RATE, spread
from bench.workload import Workload
from kpistream.log.topics import TopicSpec
from tests.live.broker import Broker

REQUIREMENTS: Final = Path(__file__).resolve().parent / "engines" / "quix-requirements.txt"
HOME: Final = Path(__file__).resolve().parent / ".cache" / "quix"
GUARANTEES: Final = ("at-least-once", "exactly-once")
_IDLE_S: Final = 15.0
_LIMIT_S: Final = 1800


def install() -> str:
    """The interpreter of Quix's own environment, made when it is not there or its versions have changed."""
    python, stamp = HOME / "bin" / "python", HOME / "requirements.txt"
    if not stamp.exists() or stamp.read_bytes() != REQUIREMENTS.read_bytes():
        say(f"making {HOME} from {REQUIREMENTS.name}")
        venv.create(HOME, with_pip=True, clear=True)
        # The constraints of the product are not those of its peer.
        environment = {name: value for name, value in os.environ.items() if name != "PIP_CONSTRAINT"}
        command = [str(python), "-m", "pip", "install", "--quiet", "-r", str(REQUIREMENTS)]
        subprocess.run(command, check=True, env=environment)
        shutil.copy(REQUIREMENTS, stamp)
    return str(python)


def topics(prefix: str, events: str) -> tuple[TopicSpec, ...]:
    """Output and dead letters; Quix makes its changelog itself."""
    return (
        TopicSpec(f"{prefix}output", (("cleanup.policy", "delete"),), True, "sums of a window after each event"),
        TopicSpec(f"{prefix}dead-letters", (("cleanup.policy", "delete"),), False, "refused records"),
    )


def cells(bootstrap: str, prefix: str) -> truth.Cells:
    """What the output says: the last record of each window."""
    found: truth.Cells = {}
    for key, value in committed_records(bootstrap, f"{prefix}output"):
        place, _, start_s = key.decode().partition("|")
        found[place.partition("/agent:")[2], int(start_s)] = msgspec.json.decode(value)["sums"]
    return found


def committed_records(bootstrap: str, topic: str) -> list[tuple[bytes, bytes]]:
    """All records of a topic that are not of an open or aborted transaction."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "bench-quix",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
        }
    )
    numbers = list(truth.end_offsets(bootstrap, topic))
    consumer.assign([TopicPartition(topic, number, 0) for number in numbers])
    out: list[tuple[bytes, bytes]] = []
    ended: set[int] = set()
    try:
        while len(ended) < len(numbers):
            for message in consumer.consume(10_000, 1.0):
                if message.error() and message.error().code() == KafkaError._PARTITION_EOF:
                    ended.add(message.partition())
                elif message.error():
                    raise KafkaException(message.error())
                else:
                    out.append((message.key() or b"", message.value() or b""))
    finally:
        consumer.close()
    return out


def engine(python: str, guarantee: str) -> Engine:
    """Quix as an engine of the bench."""
    state = tempfile.mkdtemp(prefix="kpistream-quix-")
    environment = {"QUIX_STATE": state, "QUIX_GUARANTEE": guarantee, **_paths()}
    return Engine(
        f"quix, {guarantee}",
        "bench.engines.quix_panes",
        topics,
        cells,
        python=python,
        environment=tuple(environment.items()),
        letters=lambda bootstrap, prefix: len(committed_records(bootstrap, f"{prefix}dead-letters")),
    )


def _paths() -> dict[str, str]:
    root = Path(__file__).resolve().parents[1]
    return {"PYTHONPATH": f"{root}{os.pathsep}{root / 'src'}"}


@dataclass(frozen=True, slots=True)
class Comparison:
    """How much, how often."""

    events: int
    rounds: int


def measure(broker: Broker, comparison: Comparison) -> dict[str, Any]:
    """Both engines in turn, then both with a kill."""
    python = install()
    workload = Workload(comparison.events, end_ms=time.time_ns() // 1_000_000)
    wanted = throughput.prepare(broker, workload, workload.events)
    results = []
    for number in range(comparison.rounds):
        for each in (ENGINES["kpistream"], *(engine(python, guarantee) for guarantee in GUARANTEES)):
            results.append(run(broker, each, wanted, number))
            say(f"{each.name}: {results[-1][CPU_RATE]:,.0f}/CPU-s, exact")
    killed = [killed_worker(broker, workload)]
    killed += [killed_quix(broker, engine(python, guarantee), wanted) for guarantee in GUARANTEES]
    return {"runs": results, "killed": killed}


def killed_quix(broker: Broker, quix: Engine, wanted: Wanted) -> dict[str, Any]:
    """Half of the records, kill -9, a new process with the same state directory; what the totals are."""
    prefix = f"killed-{quix.name.replace(', ', '-')}."
    make(broker, quix.topics(prefix, wanted.events))
    job = Job(broker.bootstrap, wanted.events, prefix, truth.end_offsets(broker.bootstrap, wanted.events))
    group = Group(broker.bootstrap, f"{prefix}quix", wanted.events)
    command = [quix.python, "-m", quix.module, job.to_json()]
    environment = {**os.environ, **dict(quix.environment)}
    first = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    left = kill_midway(group, job.ends, lambda: os.kill(first.pid, signal.SIGKILL))
    first.wait()
    done = subprocess.run(
        command, env={**environment, "QUIX_IDLE_S": str(_IDLE_S)}, capture_output=True, text=True, timeout=_LIMIT_S
    )
    result_of(quix.name, done)
    found, letters = quix.cells(broker.bootstrap, prefix), quix.letters(broker.bootstrap, prefix)
    return {**verdict(quix.name, wanted, found, letters), "left": left}


def killed_worker(broker: Broker, workload: Workload) -> dict[str, Any]:
    """The same with `kpistream worker`. Raises RuntimeError when it is not exact."""
    prefix = "killed-kpistream."
    make(broker, worker_topics(prefix, f"{prefix}events"))
    wanted = throughput.fill(broker, workload, f"{prefix}events", workload.events)
    group = Group(broker.bootstrap, f"{prefix}-worker", wanted.events)
    ends = group.ends()
    with WorkerProcess(broker.bootstrap, prefix, session_timeout_s=6) as first:
        left = kill_midway(group, ends, first.kill)
    with WorkerProcess(broker.bootstrap, prefix, session_timeout_s=6) as second:
        wait_for("everything is committed", lambda: second.check() or group.behind(ends) == 0, _LIMIT_S)
    found = truth.cells_of_worker(broker.bootstrap, prefix)
    result = verdict("kpistream", wanted, found, truth.dead_letters(broker.bootstrap, prefix))
    if result["different"]:
        raise RuntimeError(f"kpistream after kill -9: {result}")
    return {**result, "left": left}


def make(broker: Broker, specs: tuple[TopicSpec, ...]) -> None:
    """Make topics."""
    asyncio.run(make_topics(broker.bootstrap, specs))


def kill_midway(group: Group, ends: dict[int, int], kill: Callable[[], None]) -> int:
    """Kill when a third of the records is committed; how many were not. With few records all may be."""
    total = sum(ends.values())
    wait_for("a third is committed", lambda: group.behind(ends) <= total * 2 // 3, _LIMIT_S)
    kill()
    left = group.behind(ends)
    say(f"killed with {left:,} of {total:,} records not committed")
    return left


def verdict(name: str, wanted: Wanted, found: truth.Cells, letters: int) -> dict[str, Any]:
    """Calls that are missing or too many, over all panes, and dead letters."""
    calls = {place: cell.get("calls", 0) for place, cell in found.items()}
    differences = [calls.get(place, 0) - cell["calls"] for place, cell in wanted.cells.items()]
    places = wanted.cells.keys() | found.keys()
    return {
        "engine": name,
        "panes": len(wanted.cells),
        "different": sum(wanted.cells.get(place) != found.get(place) for place in places),
        "lost": -sum(difference for difference in differences if difference < 0),
        "double": sum(difference for difference in differences if difference > 0),
        "dead_letters": letters,
        "refused": wanted.refused,
    }


def shown(measured: dict[str, Any]) -> list[str]:
    """Two tables: without a fault, and after kill -9."""
    lines = ["| engine | runs | events/s | events per CPU-second | peak memory, MB |", "| --- " * 5 + "|"]
    by_engine: dict[str, list[dict[str, Any]]] = {}
    for result in measured["runs"]:
        by_engine.setdefault(result["engine"], []).append(result)
    for name, found in by_engine.items():
        columns = [spread(found, key) for key in (RATE, CPU_RATE, "rss_mb")]
        lines.append(f"| {name} | {len(found)} | {' | '.join(columns)} |")
    lines += [
        "",
        "| after kill -9 | records not committed | panes | different | calls lost | calls double "
        "| dead letters (refused records) |",
        "| --- " * 7 + "|",
    ]
    for found in measured["killed"]:
        lines.append(
            f"| {found['engine']} | {found['left']:,} | {found['panes']:,} | {found['different']:,} "
            f"| {found['lost']:,} | {found['double']:,} | {found['dead_letters']:,} ({found['refused']:,}) |"
        )
    return lines
