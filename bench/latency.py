"""Latency: from the call of `produce` to the first reading that contains the event, on a running worker.

The worker is the real command, `kpistream worker`, with its default settings. An event is contained when its agent's
reading of the last 15 minutes shows at least as many calls as were sent for that agent up to and with it.
"""

import asyncio
import os
import random
import subprocess
import sys
import time
from collections import defaultdict, deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from bench.runs import make_topics
from bench.workload import PARTITIONS, call, key_of
from kpistream.log.topics import Topics
from tests.live.broker import Broker

WINDOW: Final = b"/rolling-15m"
_PATIENCE_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Load:
    """How much is sent."""

    events_per_second: int
    seconds: int
    agents: int


class _Measures(msgspec.Struct):
    calls: int = 0


class _Reading(msgspec.Struct):
    measures: _Measures


_decode: Final = msgspec.json.Decoder(_Reading).decode


class Watch:
    """Sends events and watches for them in the readings."""

    def __init__(self, bootstrap: str, topics: Topics) -> None:
        self._topics = topics
        self._chance = random.Random(2)
        self._sent: dict[str, int] = defaultdict(int)
        self._waiting: dict[str, deque[tuple[int, float]]] = defaultdict(deque)
        self.waiting = 0
        self.latencies_s: list[float] = []
        self._producer = Producer(
            {"bootstrap.servers": bootstrap, "linger.ms": 5, "acks": "all", "partitioner": "murmur2_random"}
        )
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "bench-latency",
                "fetch.wait.max.ms": 10,
                "enable.auto.commit": False,
            }
        )
        self._consumer.assign([TopicPartition(topics.readings, number, 0) for number in range(PARTITIONS)])

    def send(self, agent: str) -> None:
        """One call that ends now."""
        value = call(self._chance, agent, time.time_ns() // 1_000_000)
        self._sent[agent] += 1
        self._waiting[agent].append((self._sent[agent], time.perf_counter()))
        self.waiting += 1
        self._producer.produce(self._topics.events, value, key_of(agent))
        self._producer.poll(0)

    def watch(self, timeout_s: float) -> None:
        """Take in what was read; a latency for every event that a reading contains for the first time."""
        messages = self._consumer.consume(1000, timeout_s)
        now_s = time.perf_counter()
        for message in messages:
            if message.error():
                raise KafkaException(message.error())
            key = message.key() or b""
            if not key.endswith(WINDOW):
                continue
            agent = key.split(b"/")[1].removeprefix(b"agent:").decode()
            shown, waiting = _decode(message.value() or b"").measures.calls, self._waiting.get(agent)
            while waiting and waiting[0][0] <= shown:
                self.latencies_s.append(now_s - waiting.popleft()[1])
                self.waiting -= 1

    def wait(self) -> None:
        """Until every event was seen. Raises RuntimeError when that takes too long."""
        limit_s = time.perf_counter() + _PATIENCE_S
        while self.waiting:
            self.watch(0.01)
            if time.perf_counter() > limit_s:
                raise RuntimeError(f"{self.waiting} events are in no reading after {_PATIENCE_S} s")

    def close(self) -> None:
        """Disconnect."""
        self._producer.flush(10)
        self._consumer.close()


def measure(broker: Broker, load: Load) -> dict[str, Any]:
    """Send at an even pace and say how long it took until each event was in a reading."""
    topics = Topics(f"latency-{load.agents}.")
    asyncio.run(make_topics(broker.bootstrap, topics.specs()))
    worker = subprocess.Popen(
        [sys.executable, "-c", "from kpistream.cli import main; main()", "worker"],
        env=dict(
            os.environ,
            KPISTREAM_BROKER=broker.bootstrap,
            KPISTREAM_TOPIC_PREFIX=topics.prefix,
            KPISTREAM_GROUP=topics.prefix,
            KPISTREAM_METRICS_PORT="-1",
        ),
        stderr=subprocess.DEVNULL,
    )
    watch = Watch(broker.bootstrap, topics)
    try:
        for partition_probe in range(4 * PARTITIONS):
            watch.send(f"probe-{partition_probe}")
        watch.wait()
        watch.latencies_s.clear()
        began_cpu_s = _cpu_s(worker.pid)
        pace(watch, load)
        watch.wait()
        cpu_s = _cpu_s(worker.pid) - began_cpu_s
    finally:
        worker.terminate()
        worker.wait(20)
        watch.close()
        broker.delete_topics(*(spec.name for spec in topics.specs()))
    found = sorted(watch.latencies_s)
    return {
        "events_per_second": load.events_per_second,
        "seconds": load.seconds,
        "agents": load.agents,
        "events": len(found),
        **{f"p{share}_ms": found[len(found) * share // 100] * 1000 for share in (50, 90, 99)},
        "max_ms": found[-1] * 1000,
        "worker_cpu_share": cpu_s / load.seconds,
    }


def pace(watch: Watch, load: Load) -> None:
    """Send each event when it is due, and watch in between."""
    chance, began_s = random.Random(3), time.perf_counter()
    total = load.events_per_second * load.seconds
    sent = 0
    while sent < total:
        due = min(total, int((time.perf_counter() - began_s) * load.events_per_second))
        while sent < due:
            watch.send(f"agent-{chance.randrange(load.agents):05}")
            sent += 1
        watch.watch(0.002)


def _cpu_s(pid: int) -> float:
    """CPU that a process has used; 0 where there is no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def shown(found: dict[str, Any]) -> str:
    """The result in words."""
    return (
        f"latency from produce to reading at {found['events_per_second']:,} events/s for {found['seconds']} s over "
        f"{found['agents']:,} agents: p50 {found['p50_ms']:.0f} ms, p90 {found['p90_ms']:.0f} ms, "
        f"p99 {found['p99_ms']:.0f} ms, max {found['max_ms']:.0f} ms; "
        f"the worker used {found['worker_cpu_share']:.2f} cores"
    )
