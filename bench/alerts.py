"""Alerts: from the append of the event that tips a target to the append of its transition on `kpi.alerts`.

Both times are the broker's own (LogAppendTime), so no clock of the bench is in them. Beside an even pace of calls of
one tenant, agents of another are tipped one after the other: each has a target of two calls at most in the last hour,
two calls well before, and a third one, known to the bench, that tips it. Every tipped agent must have exactly one
transition, made by three calls, and nobody else any.
"""

import asyncio
import random
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from bench.processes import WorkerProcess, cpu_s, wait_for
from bench.runs import make_topics
from bench.say import say
from bench.workload import PARTITIONS, call, key_of
from kpistream.core.alerts import State, Transition, decode_transition
from kpistream.log.topics import Topics
from tests.live.broker import Broker

SHARES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
LIMIT_MS: Final = 1000
"""What p99 should stay below."""
_TENANT: Final = "tipped"
_BEFORE_S: Final = 10.0
"""How long before the third call an agent has the first two."""
_PATIENCE_S: Final = 300.0
_SETTINGS: Final = """
tenants: {tipped: {}}
targets:
  - {name: few, kpi: calls, window: rolling-60m, direction: at_most, bound: 2, scope: agent, tenant: tipped}
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent, to how many workers."""

    events_per_second: int
    agents: int
    """Of the even pace; a tipped agent is another one each time."""
    seconds: int
    workers: int = 1
    tips_a_second: int = 10
    warm_up_s: int = 30


class Tipping:
    """Sends calls and tips agents. A context manager: disconnected at its end."""

    def __init__(self, bootstrap: str, topics: Topics) -> None:
        self._topics = topics
        self._chance = random.Random(4)
        self._producer = Producer(
            {"bootstrap.servers": bootstrap, "linger.ms": 5, "acks": "all", "partitioner": "murmur2_random"}
        )
        self._consumer = Consumer(
            {"bootstrap.servers": bootstrap, "group.id": "bench-alerts", "enable.auto.commit": False}
        )
        self._consumer.assign([TopicPartition(topics.alerts, number, 0) for number in range(PARTITIONS)])
        self.tipped_ms: dict[str, int] = {}
        """When the broker appended the call that tips an agent."""
        self.told_ms: dict[str, int] = {}
        """When it appended the transition."""
        self.asked = 0

    def call(self, agent: str) -> None:
        """One call of the even pace."""
        self._produce(call(self._chance, agent, _now_ms()), key_of(agent))

    def prepare(self, agent: str) -> None:
        """The two calls that are allowed."""
        for _ in range(2):
            self._produce(_call_of(self._chance, agent), _key(agent))

    def tip(self, agent: str) -> None:
        """The call that is one too many."""
        self.asked += 1

        def appended(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                raise KafkaException(error)
            self.tipped_ms[agent] = message.timestamp()[1]

        self._produce(_call_of(self._chance, agent), _key(agent), appended)

    def watch(self, timeout_s: float) -> None:
        """Take in what the workers tell. Raises RuntimeError for what nobody has tipped."""
        for message in self._consumer.consume(1000, timeout_s):
            if message.error():
                raise KafkaException(message.error())
            self._take(decode_transition(message.value() or b""), message.timestamp()[1])

    def _take(self, transition: Transition, at_ms: int) -> None:
        agent = transition.scope.removeprefix("agent:")
        said = (transition.tenant, transition.to_state, transition.sequence, transition.numerator)
        if said != (_TENANT, State.FIRING, 1, 3) or agent in self.told_ms:
            raise RuntimeError(f"nobody has tipped {transition}")
        self.told_ms[agent] = at_ms

    def wait(self) -> None:
        """Until every tipped agent has its transition. Raises RuntimeError when that takes too long."""
        self._producer.flush(30)
        limit_s = time.perf_counter() + _PATIENCE_S
        while len(self.told_ms) < self.asked:
            self.watch(0.05)
            if time.perf_counter() > limit_s:
                raise RuntimeError(f"{self.asked - len(self.told_ms)} of {self.asked} were tipped and never told")
        if self.told_ms.keys() != self.tipped_ms.keys():
            raise RuntimeError("others were told than were tipped")

    def latencies_ms(self) -> list[int]:
        """From append to append, of every tipped agent."""
        return [self.told_ms[agent] - tipped_ms for agent, tipped_ms in self.tipped_ms.items()]

    def forget(self) -> None:
        """Begin the measurement."""
        self.tipped_ms, self.told_ms, self.asked = {}, {}, 0

    def _produce(self, value: bytes, key: bytes, appended: Any = None) -> None:
        while True:
            try:
                self._producer.produce(self._topics.events, value, key, on_delivery=appended)
                break
            except BufferError:
                self._producer.poll(0.05)
        self._producer.poll(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._producer.flush(10)
        self._consumer.close()


def measure(broker: Broker, load: Load) -> dict[str, Any]:
    """Tip agents at an even pace beside the load, and say how long it took until each was told."""
    topics = Topics(f"alerts-{load.events_per_second}-{load.workers}.")
    asyncio.run(make_topics(broker.bootstrap, topics.specs()))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "settings.yaml").write_text(_SETTINGS, encoding="utf-8")
        tipping = stack.enter_context(Tipping(broker.bootstrap, topics))
        workers = [
            stack.enter_context(WorkerProcess(broker.bootstrap, topics.prefix, settings=folder))
            for _ in range(load.workers)
        ]
        for worker in workers:
            wait_for("a worker that has recovered", lambda worker=worker: "recovered" in worker.said)
        pace(tipping, load, load.warm_up_s, "warm")
        tipping.wait()
        tipping.forget()
        began_cpu_s, began_s = sum(cpu_s(worker.pid) for worker in workers), time.perf_counter()
        sent = pace(tipping, load, load.seconds, "tip")
        sent_s = time.perf_counter() - began_s
        used_s = sum(cpu_s(worker.pid) for worker in workers) - began_cpu_s
        tipping.wait()
        for worker in workers:
            worker.check()
    broker.delete_topics(*(spec.name for spec in topics.specs()))
    result = {
        "events_per_second": load.events_per_second,
        "agents": load.agents,
        "workers": load.workers,
        "seconds": load.seconds,
        "sent_per_second": sent / sent_s,
        "tipped": tipping.asked,
        "alert_ms": quantiles(tipping.latencies_ms()),
        "worker_cpu_share": used_s / sent_s,
    }
    say(" ".join(shown([result])[-1:]))
    return result


def pace(tipping: Tipping, load: Load, seconds: int, name: str) -> int:
    """Send each call and tip each agent when it is due, and watch in between; how many calls of the even pace."""
    chance, began_s = random.Random(5), time.perf_counter()
    agents = [f"{name}-{number:06}" for number in range(load.tips_a_second * seconds)]
    sent, prepared, tipped = 0, 0, 0
    while tipped < len(agents):
        passed_s = time.perf_counter() - began_s
        while prepared < min(len(agents), passed_s * load.tips_a_second):
            tipping.prepare(agents[prepared])
            prepared += 1
        while tipped < min(prepared, (passed_s - _BEFORE_S) * load.tips_a_second):
            tipping.tip(agents[tipped])
            tipped += 1
        while sent < passed_s * load.events_per_second:
            tipping.call(f"agent-{chance.randrange(load.agents):05}")
            sent += 1
        tipping.watch(0.002)
    return sent


def quantiles(latencies_ms: list[int]) -> dict[str, float]:
    """Quantiles by name."""
    found = sorted(latencies_ms)
    last = len(found) - 1
    return {name: float(found[min(last, int(len(found) * share))]) for name, share in SHARES.items()} | {
        "max": float(found[-1]),
        "within_limit_share": sum(each < LIMIT_MS for each in found) / len(found),
    }


def shown(results: list[dict[str, Any]]) -> list[str]:
    """A table, one line a load."""
    names = (*SHARES, "max")
    titles = (
        "events/s",
        "sent/s",
        "workers",
        "alerts",
        *(f"{name}, ms" for name in names),
        "below 1 s",
        "cores of workers",
    )
    lines = [f"| {' | '.join(titles)} |", "| " + " | ".join(["---"] * len(titles)) + " |"]
    for found in results:
        times = " | ".join(f"{found['alert_ms'][name]:,.0f}" for name in names)
        counts = f"{found['events_per_second']:,} | {found['sent_per_second']:,.0f} | {found['workers']}"
        within = f"{100 * found['alert_ms']['within_limit_share']:.1f} %"
        lines.append(f"| {counts} | {found['tipped']:,} | {times} | {within} | {found['worker_cpu_share']:.2f} |")
    return lines


def _call_of(chance: random.Random, agent: str) -> bytes:
    return call(chance, agent, _now_ms()).replace(b'"tenant":"acme"', f'"tenant":"{_TENANT}"'.encode(), 1)


def _key(agent: str) -> bytes:
    return f"{_TENANT}/agent:{agent}".encode()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
