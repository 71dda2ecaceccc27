"""Latency: from the call of `produce` to the pane being durable, and to the first reading that contains the event.

The worker is the real command, `kpistream worker`, with its default settings. An event is durable when the pane topic
holds its agent's pane with at least as many calls as were sent for that pane up to and with it, and shown when its
agent's reading of the last 15 minutes does. At the end the last readings must show exactly the calls that were sent.
"""

import asyncio
import random
import time
from collections import defaultdict, deque
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import msgspec
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

from bench.processes import WorkerProcess, cpu_s
from bench.runs import make_topics
from bench.say import say
from bench.workload import PANE_MS, PARTITIONS, call, key_of
from kpistream.core.measures import CALLS
from kpistream.log.topics import Topics
from tests.live.broker import Broker

AGENT: Final = b"/agent:"
WINDOW: Final = b"/rolling-15m"
SHARES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}
_PATIENCE_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Load:
    """How much is sent."""

    events_per_second: int
    seconds: int
    agents: int
    warm_up_s: int = 30
    """Sent at the same pace before, and not measured: a broker that has just started compiles itself for as long, and
    that takes a whole core from the worker; and all agents are new to the worker."""


class _Measures(msgspec.Struct):
    calls: int = 0


class _Reading(msgspec.Struct):
    measures: _Measures


_decode: Final = msgspec.json.Decoder(_Reading).decode


def calls_shown(value: bytes) -> int:
    """Calls in a reading."""
    return _decode(value).measures.calls


_decode_pane: Final = msgspec.msgpack.Decoder(
    tuple[msgspec.Raw, str, int, int, msgspec.Raw, list[int | str], msgspec.Raw]
).decode


class Waiting:
    """Events that were sent and not seen yet, by a key; each with how many came before it under that key."""

    def __init__(self) -> None:
        self._sent: dict[Any, int] = defaultdict(int)
        self._queues: dict[Any, deque[tuple[int, float]]] = defaultdict(deque)
        self.count = 0
        self.latencies_s: list[float] = []

    def sent(self, key: Any, at_s: float) -> None:
        """One more event under a key."""
        self._sent[key] += 1
        self._queues[key].append((self._sent[key], at_s))
        self.count += 1

    def seen(self, key: Any, events: int, at_s: float) -> None:
        """So many events of the key are there now."""
        queue = self._queues.get(key)
        if events > self._sent[key]:
            raise RuntimeError(f"{key}: {events} calls, {self._sent[key]} were sent")
        while queue and queue[0][0] <= events:
            self.latencies_s.append(at_s - queue.popleft()[1])
            self.count -= 1


class Watch:
    """Sends events and watches for them in panes and readings. A context manager: disconnected at its end."""

    def __init__(self, bootstrap: str, topics: Topics) -> None:
        self._topics = topics
        self._chance = random.Random(2)
        self.durable, self.shown = Waiting(), Waiting()
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
        watched = (topics.readings, topics.panes)
        self._consumer.assign([TopicPartition(name, number, 0) for name in watched for number in range(PARTITIONS)])

    def send(self, agent: str) -> None:
        """One call that ends now."""
        now_ms = time.time_ns() // 1_000_000
        value, now_s = call(self._chance, agent, now_ms), time.perf_counter()
        self.shown.sent(agent, now_s)
        self.durable.sent((agent, now_ms - now_ms % PANE_MS), now_s)
        self._producer.produce(self._topics.events, value, key_of(agent))
        self._producer.poll(0)

    def watch(self, timeout_s: float) -> None:
        """Take in what was published."""
        messages = self._consumer.consume(1000, timeout_s)
        now_s = time.perf_counter()
        for message in messages:
            if message.error():
                raise KafkaException(message.error())
            if message.topic() == self._topics.panes:
                self._take_pane(message, now_s)
            elif (message.key() or b"").endswith(WINDOW) and AGENT in message.key():
                self._take_reading(message, now_s)

    def wait(self) -> None:
        """Until every event was seen. Raises RuntimeError when that takes too long."""
        limit_s = time.perf_counter() + _PATIENCE_S
        while self.shown.count or self.durable.count:
            self.watch(0.01)
            if time.perf_counter() > limit_s:
                left = f"{self.shown.count} events are in no reading, {self.durable.count} in no pane"
                raise RuntimeError(f"{left} after {_PATIENCE_S} s")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._producer.flush(10)
        self._consumer.close()

    def _take_pane(self, message: Message, now_s: float) -> None:
        key, value = message.key() or b"", message.value()
        if value is None or not key.startswith(b"P/"):
            return
        _, place, start_ms, _, _, sums, _ = _decode_pane(value)
        calls = dict(zip(sums[::2], sums[1::2], strict=True)).get(CALLS, 0)
        self.durable.seen((place.partition("/agent:")[2], start_ms), int(calls), now_s)

    def _take_reading(self, message: Message, now_s: float) -> None:
        agent = (message.key() or b"").split(b"/")[1].removeprefix(b"agent:").decode()
        self.shown.seen(agent, calls_shown(message.value() or b""), now_s)


def measure(broker: Broker, load: Load) -> dict[str, Any]:
    """Send at an even pace and say how long it took until each event was durable, and in a reading."""
    topics = Topics(f"latency-{load.events_per_second}-{load.agents}.")
    asyncio.run(make_topics(broker.bootstrap, topics.specs()))
    with Watch(broker.bootstrap, topics) as watch, WorkerProcess(broker.bootstrap, topics.prefix) as worker:
        for probe in range(4 * PARTITIONS):
            watch.send(f"probe-{probe}")
        watch.wait()
        pace(watch, load.events_per_second, load.warm_up_s, load.agents)
        watch.wait()
        watch.shown.latencies_s.clear()
        watch.durable.latencies_s.clear()
        began_cpu_s, began_s = cpu_s(worker.pid), time.perf_counter()
        pace(watch, load.events_per_second, load.seconds, load.agents)
        sent_s = time.perf_counter() - began_s
        used_s = cpu_s(worker.pid) - began_cpu_s
        watch.wait()
    broker.delete_topics(*(spec.name for spec in topics.specs()))
    result = {
        "events_per_second": load.events_per_second,
        "seconds": load.seconds,
        "warm_up_seconds": load.warm_up_s,
        "agents": load.agents,
        "events": len(watch.shown.latencies_s),
        "sent_in_seconds": sent_s,
        "durable_ms": quantiles(watch.durable.latencies_s),
        "reading_ms": quantiles(watch.shown.latencies_s),
        "worker_cpu_share": used_s / sent_s,
    }
    say(" ".join(shown([result])[-1:]))
    return result


def quantiles(latencies_s: list[float]) -> dict[str, float]:
    """Quantiles in ms, by name."""
    found = sorted(latencies_s)
    last = len(found) - 1
    return {name: found[min(last, int(len(found) * share))] * 1000 for name, share in SHARES.items()} | {
        "max": found[-1] * 1000
    }


def pace(watch: Watch, events_per_second: int, seconds: int, agents: int) -> None:
    """Send each event when it is due, and watch in between."""
    chance, began_s = random.Random(3), time.perf_counter()
    total = events_per_second * seconds
    sent = 0
    while sent < total:
        due = min(total, int((time.perf_counter() - began_s) * events_per_second))
        while sent < due:
            watch.send(f"agent-{chance.randrange(agents):05}")
            sent += 1
        watch.watch(0.002)


def shown(results: list[dict[str, Any]]) -> list[str]:
    """A table: one line a load for durable panes, one for readings."""
    names = (*SHARES, "max")
    lines = [
        f"| events/s | agents | until | {' | '.join(f'{name}, ms' for name in names)} | cores used by the worker |",
        "| " + " | ".join(["---"] * (len(names) + 4)) + " |",
    ]
    for found in results:
        for until in (until for until in ("durable", "reading") if f"{until}_ms" in found):
            times_ms = found[f"{until}_ms"]
            times = " | ".join(f"{times_ms[name]:,.0f}" if name in times_ms else "not measured" for name in names)
            load = f"{found['events_per_second']:,} | {found['agents']:,}"
            lines.append(f"| {load} | {until} | {times} | {found['worker_cpu_share']:.2f} |")
    return lines
