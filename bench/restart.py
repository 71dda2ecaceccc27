"""Restart: workers are stopped and started again one by one while calls go on; how long is an agent without readings?

Every agent has a call every second, so a reading of it is due about every second. The gap of an agent is the longest
time between two of its readings of the last 15 minutes. At the end every agent's reading must show exactly the calls
that were sent for it.
"""

import asyncio
import random
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from bench.group import Group
from bench.latency import AGENT, WINDOW, calls_shown
from bench.processes import WorkerProcess, wait_for
from bench.runs import make_topics
from bench.say import say
from bench.workload import call, key_of
from kpistream.log.topics import Topics, partition_of
from tests.live.broker import Broker

PARTITIONS: Final = 6
STEADY_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Rolling:
    """One rolling restart."""

    workers: int
    agents: int
    static: bool
    """Every worker has a KPISTREAM_INSTANCE of its own."""


class Traffic:
    """Sends one call a second for each agent from a thread, and notes when readings of it come."""

    def __init__(self, bootstrap: str, topics: Topics, agents: int) -> None:
        self._topics = topics
        self._agents = [f"agent-{number:05}" for number in range(agents)]
        self.sent = dict.fromkeys(self._agents, 0)
        self.shown = dict.fromkeys(self._agents, 0)
        self.last_s = dict.fromkeys(self._agents, 0.0)
        self.gap_s = dict.fromkeys(self._agents, 0.0)
        self._stop = threading.Event()
        self._failed: list[BaseException] = []
        self._producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "partitioner": "murmur2_random"})
        self._consumer = Consumer(
            {"bootstrap.servers": bootstrap, "group.id": "bench-restart", "enable.auto.commit": False}
        )
        self._consumer.assign([TopicPartition(topics.readings, number, 0) for number in range(PARTITIONS)])
        self._threads = [threading.Thread(target=self._guard, args=(each,)) for each in (self._send, self._watch)]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        """Send no more, and wait until every call that was sent is shown. Raises RuntimeError when one is not."""
        self._stop.set()
        self._threads[0].join()
        wait_for("every call is shown", lambda: self.check() or self.shown == self.sent)

    def close(self) -> None:
        """End the threads."""
        self._stop.set()
        self._agents = []
        for thread in self._threads:
            if thread.is_alive():
                thread.join()
        self._consumer.close()

    def check(self) -> None:
        """Raise what a thread failed with."""
        if self._failed:
            raise self._failed[0]

    def seen_since(self, at_s: float) -> bool:
        """Every agent has been shown since."""
        self.check()
        return min(self.last_s.values()) >= at_s

    def begin(self) -> None:
        """Gaps count from here; one that is open counts from its agent's last reading."""
        self.gap_s = dict.fromkeys(self.gap_s, 0.0)

    def gaps_by_partition(self) -> list[float]:
        """The longest gap of each partition's agents."""
        gaps = [0.0] * PARTITIONS
        for agent, gap_s in self.gap_s.items():
            number = partition_of(key_of(agent), PARTITIONS)
            gaps[number] = max(gaps[number], gap_s)
        return gaps

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            self._failed.append(error)

    def _send(self) -> None:
        chance, began_s = random.Random(5), time.perf_counter()
        rate, sent = len(self._agents), 0
        while not self._stop.wait(0.01):
            for _ in range(int((time.perf_counter() - began_s) * rate) - sent):
                agent = self._agents[sent % rate]
                self._producer.produce(
                    self._topics.events, call(chance, agent, time.time_ns() // 1_000_000), key_of(agent)
                )
                self.sent[agent] += 1
                sent += 1
            self._producer.poll(0)
        self._producer.flush(30)

    def _watch(self) -> None:
        while self._agents:
            for message in self._consumer.consume(1000, 0.05):
                if message.error():
                    raise KafkaException(message.error())
                key = message.key() or b""
                if key.endswith(WINDOW) and AGENT in key:
                    self._take(key.split(b"/")[1].removeprefix(b"agent:").decode(), message.value() or b"")

    def _take(self, agent: str, value: bytes) -> None:
        now_s = time.perf_counter()
        self.shown[agent] = calls_shown(value)
        if self.last_s[agent]:
            self.gap_s[agent] = max(self.gap_s[agent], now_s - self.last_s[agent])
        self.last_s[agent] = now_s


def measure(broker: Broker, rolling: Rolling) -> dict[str, Any]:
    """Restart every worker once. Raises RuntimeError when a call is missing from the readings at the end."""
    topics = Topics(f"restart-{'static' if rolling.static else 'dynamic'}.")
    asyncio.run(make_topics(broker.bootstrap, topics.specs(), PARTITIONS))
    group = Group(broker.bootstrap, f"{topics.prefix}-worker", topics.events)
    traffic = Traffic(broker.bootstrap, topics, rolling.agents)

    def start(number: int) -> WorkerProcess:
        instance = f"worker-{number}" if rolling.static else ""
        return WorkerProcess(broker.bootstrap, topics.prefix, instance=instance)

    with ExitStack() as stack:
        stack.callback(traffic.close)
        workers = [stack.enter_context(start(number)) for number in range(rolling.workers)]
        wait_for("all workers share the partitions", lambda: group.balanced(rolling.workers, PARTITIONS))
        traffic.start()
        wait_for("every agent is shown", lambda: traffic.seen_since(1.0))
        traffic.begin()
        time.sleep(STEADY_S)
        steady = traffic.gaps_by_partition()
        restarts = []
        for number, worker in enumerate(workers):
            traffic.begin()
            restarts.append(_restart(worker, lambda n=number: stack.enter_context(start(n)), traffic, group, rolling))
            say(f"restart of worker {number + 1}: {restarts[-1]}")
        traffic.finish()
    broker.delete_topics(*(spec.name for spec in topics.specs()))
    return {
        "workers": rolling.workers,
        "agents": rolling.agents,
        "static": rolling.static,
        "calls": sum(traffic.sent.values()),
        "steady_gap_s": max(steady),
        "restarts": restarts,
    }


def _restart(
    worker: WorkerProcess, start: Callable[[], WorkerProcess], traffic: Traffic, group: Group, rolling: Rolling
) -> dict[str, Any]:
    before = group.assigned()
    began_s = time.perf_counter()
    worker.stop()
    stopped_s = time.perf_counter()
    start()
    wait_for("all workers share the partitions", lambda: group.balanced(rolling.workers, PARTITIONS))
    back_s = time.perf_counter()
    wait_for("every agent is shown again", lambda: traffic.seen_since(back_s))
    time.sleep(STEADY_S)
    after = group.assigned()
    return {
        "stop_s": stopped_s - began_s,
        "gap_s_by_partition": traffic.gaps_by_partition(),
        "partitions_of_others": sorted(
            partition for member in before.keys() & after.keys() for partition in before[member]
        ),
        "others_kept_their_partitions": all(before[member] == after[member] for member in before.keys() & after.keys()),
    }


def shown(results: list[dict[str, Any]]) -> list[str]:
    """One line for static and one for dynamic membership."""
    lines = [
        "| membership | workers | agents | calls, all shown | before, s | restarted worker's, s | others', s |",
        "| --- " * 7 + "|",
    ]
    for found in results:
        own, others = 0.0, 0.0
        for restart in found["restarts"]:
            stays = set(restart["partitions_of_others"])
            for partition, gap_s in enumerate(restart["gap_s_by_partition"]):
                if partition in stays:
                    others = max(others, gap_s)
                else:
                    own = max(own, gap_s)
        lines.append(
            f"| {'static' if found['static'] else 'dynamic'} | {found['workers']} | {found['agents']:,} "
            f"| {found['calls']:,} | {found['steady_gap_s']:.1f} | **{own:.1f}** | {others:.1f} |"
        )
    return lines
