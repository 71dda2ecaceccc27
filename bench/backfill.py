"""Back-fill: a year of old events is loaded while live traffic flows, with a real worker, sink, broker and engine.

Says the latency from `produce` to a reading before, during and after, and the peak memory of worker and sink. `load`
keeps the workers 20,000 records a partition behind at most; `flat_out` appends as fast as the broker takes it. At the
end `kpistream audit` compares every cell of the year with the log: what it finds stops the bench.
"""

import asyncio
import dataclasses
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from confluent_kafka import Producer

from bench.group import Group
from bench.latency import Watch, pace, quantiles
from bench.processes import KPISTREAM, SinkProcess, WorkerProcess, environment_of, rss_mb, wait_for
from bench.runs import make_topics
from bench.say import say
from bench.workload import PARTITIONS, call, key_of
from kpistream.log.topics import Topics
from tests.live.broker import Broker

YEAR_MS: Final = 365 * 86_400_000
DAY_MS: Final = 86_400_000
AGENTS: Final = 500
LIVE_EVENTS_PER_SECOND: Final = 50
LIVE_AGENTS: Final = 50
PHASE_S: Final = 20
_PATIENCE_S: Final = 1800.0
PHASES: Final = ("before", "during", "after")


@dataclass(frozen=True, slots=True)
class BackFill:
    """How many old events, and whether they are appended without waiting for the workers."""

    events: int
    flat_out: bool = False


def old_calls(events: int, now_ms: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and calls of a year that ended three days ago, in the order of time."""
    chance = random.Random(11)
    for number in range(events):
        agent = f"old-{chance.randrange(AGENTS):05}"
        yield key_of(agent), call(chance, agent, now_ms - YEAR_MS + number * (YEAR_MS - 3 * DAY_MS) // events)


def measure(broker: Broker, job: BackFill) -> dict[str, Any]:
    """All three phases, and the audit. Raises RuntimeError when a cell is wrong."""
    topics = Topics(f"backfill-{'flat' if job.flat_out else 'load'}.")
    asyncio.run(make_topics(broker.bootstrap, topics.specs()))
    began_ms = time.time_ns() // 1_000_000
    with tempfile.TemporaryDirectory() as directory:
        store, file = f"{directory}/store", Path(directory) / "year.jsonl"
        with file.open("wb") as out:
            out.writelines(value + b"\n" for _, value in old_calls(job.events, began_ms))
        told = {"broker": broker.bootstrap, "topic_prefix": topics.prefix, "group": topics.prefix, "store": store}
        _run(told, "ddl", "apply")
        with (
            WorkerProcess(broker.bootstrap, topics.prefix) as worker,
            SinkProcess(broker.bootstrap, topics.prefix, store=store) as sink,
            Watch(broker.bootstrap, topics) as watch,
        ):
            found = _phases(watch, job, lambda: _loader(job, told, file, topics.events))
            for group, topic in ((f"{topics.prefix}-worker", topics.events), (f"{topics.prefix}-sink", topics.panes)):
                _wait_committed(Group(broker.bootstrap, group, topic), (worker, sink))
            found |= {"worker_mb": rss_mb(worker.pid, "VmHWM:"), "sink_mb": rss_mb(sink.pid, "VmHWM:")}
            worker.stop()
            sink.stop()
        found["cells_checked"] = _audit(told, began_ms)
    broker.delete_topics(*(spec.name for spec in topics.specs()))
    return dataclasses.asdict(job) | found


def _phases(watch: Watch, job: BackFill, load: Callable[[], AbstractContextManager[Any]]) -> dict[str, Any]:
    for number in range(4 * PARTITIONS):
        watch.send(f"probe-{number}")
    watch.wait()
    _live(watch, PHASE_S)  # the frontier moves behind what was committed, and the broker warms up
    found = {"before": _timed(watch, lambda: _live(watch, PHASE_S))}
    began_s = time.perf_counter()
    with load() as loader:

        def during() -> None:
            while loader.poll() is None:
                _live(watch, 1)

        found["during"] = _timed(watch, during)
        if loader.returncode:
            raise RuntimeError(f"the loader ended with {loader.returncode}")
    load_s = time.perf_counter() - began_s
    say(f"backfill: {job.events:,} old events appended in {load_s:.0f} s")
    found["after"] = _timed(watch, lambda: _live(watch, PHASE_S))
    return found | {"load_seconds": load_s}


def _timed(watch: Watch, work: Callable[[], None]) -> dict[str, float]:
    """Latencies until a reading of what was sent while `work` ran."""
    watch.shown.latencies_s.clear()
    work()
    watch.wait()
    return {"events": len(watch.shown.latencies_s), **quantiles(watch.shown.latencies_s)}


def _live(watch: Watch, seconds: int) -> None:
    pace(watch, LIVE_EVENTS_PER_SECOND, seconds, LIVE_AGENTS)


def _loader(job: BackFill, told: dict[str, str], file: Path, topic: str) -> "subprocess.Popen[bytes]":
    load = [*KPISTREAM, "load", str(file), "--as", "canonical", "--tenant", "acme"]
    if job.flat_out:
        load = [sys.executable, "-m", "bench.backfill", str(file), told["broker"], topic]
    return subprocess.Popen(load, env=environment_of(told), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def append(path: str, bootstrap: str, topic: str) -> None:
    """Append the file as fast as the broker takes it."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5, "partitioner": "murmur2_random"})
    with Path(path).open("rb") as lines:
        for line in lines:
            while True:
                try:
                    producer.produce(topic, line.rstrip(b"\n"), key_of(json.loads(line)["agent_id"]))
                    break
                except BufferError:
                    producer.poll(0.05)
    if producer.flush(120):
        raise RuntimeError("not everything was appended within 120 s")


def _wait_committed(group: Group, roles: tuple[WorkerProcess, ...]) -> None:
    def done() -> bool:
        for role in roles:
            role.check()
        return group.behind(group.ends()) == 0

    wait_for("everything is committed", done, _PATIENCE_S, pause_s=1.0)


def _audit(told: dict[str, str], began_ms: int) -> int:
    """Cells that `kpistream audit` has compared. Raises RuntimeError when any differs."""
    first_day, day_after = (
        time.strftime("%Y-%m-%d", time.gmtime(at_ms / 1000)) for at_ms in (began_ms - YEAR_MS, began_ms + 2 * DAY_MS)
    )
    found = _run(told, "audit", "--from", first_day, "--to", day_after, "--json", "--memory", "2048")
    return int(json.loads(found)["account"]["cells_by_log"])


def _run(told: dict[str, str], *command: str) -> str:
    done = subprocess.run([*KPISTREAM, *command], env=environment_of(told), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"kpistream {' '.join(command)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def shown(measured: list[dict[str, Any]]) -> list[str]:
    """A table: a line for each way to load."""
    times = " | ".join(f"{phase}: p50 / p99, ms" for phase in PHASES)
    lines = [
        f"| old events | appended | in, s | {times} | worker, peak MB | sink, peak MB | cells compared, all equal |",
        "| --- " * 9 + "|",
    ]
    for found in measured:
        times = " | ".join(f"{found[phase]['p50']:,.0f} / {found[phase]['p99']:,.0f}" for phase in PHASES)
        how = "flat out" if found["flat_out"] else "by `kpistream load`"
        lines.append(
            f"| {found['events']:,} | {how} | {found['load_seconds']:,.0f} | {times} | {found['worker_mb']:,.0f} "
            f"| {found['sink_mb']:,.0f} | {found['cells_checked']:,} |"
        )
    return lines


if __name__ == "__main__":
    append(*sys.argv[1:])
