"""Back-fill: a year of old events is loaded while live traffic flows, with a real worker, sink, broker and engine.

Says the latency from `produce` to reading before, during and after, and the peak memory of worker and sink.
`python -m bench.backfill --events 200000 [--flat-out]`; `--flat-out` appends without waiting for the worker.
"""

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from confluent_kafka import Producer

from bench.latency import Load, Watch, pace
from bench.runs import make_topics
from bench.workload import PARTITIONS, call, key_of
from kpistream.log.topics import Topics
from tests.live.broker import Broker

YEAR_MS: Final = 365 * 24 * 3_600_000
AGENTS: Final = 500
LIVE: Final = Load(events_per_second=50, seconds=15, agents=50)


def old_calls(events: int, now_ms: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and calls of a year, in the order of time."""
    chance = random.Random(11)
    for number in range(events):
        agent = f"old-{chance.randrange(AGENTS):05}"
        yield key_of(agent), call(chance, agent, now_ms - YEAR_MS + number * (YEAR_MS - 3 * 86_400_000) // events)


def peak_mb(pid: int) -> int:
    """Peak memory of a process, MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) // 1024
    return 0


def phase(watch: Watch, work: Callable[[], None]) -> dict[str, float]:
    """Latencies of what was sent while `work` ran."""
    watch.latencies_s.clear()
    work()
    watch.wait()
    found = sorted(watch.latencies_s)
    return {
        "events": len(found),
        "p50_ms": found[len(found) // 2] * 1000,
        "p99_ms": found[len(found) * 99 // 100] * 1000,
        "max_ms": found[-1] * 1000,
    }


def during(watch: Watch, loader: "subprocess.Popen[bytes]") -> None:
    """Live traffic until the loader ends."""
    while loader.poll() is None:
        pace(watch, Load(LIVE.events_per_second, 1, LIVE.agents))
    assert loader.returncode == 0, loader.returncode


def flat_out(path: str, bootstrap: str, topic: str) -> None:
    """Append the file as fast as the broker takes it."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5, "partitioner": "murmur2_random"})
    for line in Path(path).read_bytes().splitlines():
        while True:
            try:
                producer.produce(topic, line, key_of(json.loads(line)["agent_id"]))
                break
            except BufferError:
                producer.poll(0.05)
    producer.flush(120)


def measure(broker: Broker, events: int, flat: bool) -> dict[str, Any]:
    """All three phases."""
    topics = Topics("backfill.")
    asyncio.run(make_topics(broker.bootstrap, topics.specs()))
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "year.jsonl"
        with file.open("wb") as out:
            out.writelines(value + b"\n" for _, value in old_calls(events, time.time_ns() // 1_000_000))
        told = dict(
            os.environ,
            KPISTREAM_BROKER=broker.bootstrap,
            KPISTREAM_TOPIC_PREFIX=topics.prefix,
            KPISTREAM_GROUP="backfill",
            KPISTREAM_METRICS_PORT="-1",
            KPISTREAM_STORE=f"{directory}/store",
        )
        run = [sys.executable, "-c", "from kpistream.cli import main; main()"]
        subprocess.run([*run, "ddl", "apply"], env=told, check=True, stdout=subprocess.DEVNULL)
        worker, sink = (
            subprocess.Popen([*run, role], env=told, stderr=subprocess.DEVNULL) for role in ("worker", "sink")
        )
        watch = Watch(broker.bootstrap, topics)
        try:
            for number in range(4 * PARTITIONS):
                watch.send(f"probe-{number}")
            watch.wait()
            for _ in range(2):  # the frontier moves behind what was committed, with the flush after
                pace(watch, Load(50, 3, 50))
                watch.wait()
            found: dict[str, Any] = {"events": events, "flat_out": flat}
            found["before"] = phase(watch, lambda: pace(watch, LIVE))
            found["worker_mb_before"], found["sink_mb_before"] = peak_mb(worker.pid), peak_mb(sink.pid)
            began_s = time.perf_counter()
            load = (
                [sys.executable, "-m", "bench.backfill", "--send", str(file), broker.bootstrap, topics.events]
                if flat
                else [*run, "load", str(file), "--as", "canonical", "--tenant", "acme"]
            )
            loader = subprocess.Popen(load, env=told, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            found["during"] = phase(watch, lambda: during(watch, loader))
            found["load_s"] = time.perf_counter() - began_s
            found["after"] = phase(watch, lambda: pace(watch, LIVE))
            found["worker_mb"], found["sink_mb"] = peak_mb(worker.pid), peak_mb(sink.pid)
            assert worker.poll() is None and sink.poll() is None
        finally:
            for role in (worker, sink):
                role.kill()
                role.wait()
            watch.close()
    return found


def main() -> int:
    """By hand."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--flat-out", action="store_true")
    parser.add_argument("--send", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.send:
        flat_out(*options.send)
        return 0
    with Broker() as broker:
        print(json.dumps(measure(broker, options.events, options.flat_out), indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
