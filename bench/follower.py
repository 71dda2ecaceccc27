"""Follower: reads the pane topic as a sink that keeps up would, and commits, so that tombstones do not wait.

It keeps the highest version of every place: what it holds at the end must be what the raw events give, also for panes
that were closed and buried meanwhile.
"""

import threading
import time
from typing import Final, Self

import msgspec
from confluent_kafka import Consumer, KafkaException, TopicPartition

from bench import truth
from bench.workload import PARTITIONS

_COMMIT_S: Final = 1.0
_decode: Final = msgspec.msgpack.Decoder(tuple[str, str, int, int, bytes, list[int | str], msgspec.Raw]).decode


class Follower:
    """A context manager: while it is open, a thread follows the topic."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self._bootstrap = bootstrap
        self._topic = f"{prefix}panes"
        self._stop = threading.Event()
        self._failed: list[BaseException] = []
        self._held: dict[tuple[str, int], tuple[bytes, list[int | str]]] = {}
        self._next: dict[int, int] = {}
        self._consumer = Consumer(
            {"bootstrap.servers": bootstrap, "group.id": f"{prefix}-sink", "enable.auto.commit": False}
        )
        self._consumer.assign([TopicPartition(self._topic, number, 0) for number in range(PARTITIONS)])
        self._thread = threading.Thread(target=self._follow)

    def cells(self) -> truth.Cells:
        """The sums of every place, once everything that is in the topic was read."""
        ends = truth.end_offsets(self._bootstrap, self._topic)
        deadline_s = time.monotonic() + 120
        while any(self._next.get(number, 0) < end for number, end in ends.items()):
            if self._failed:
                raise self._failed[0]
            if time.monotonic() > deadline_s:
                raise RuntimeError(f"{self._topic}: read to {self._next}, ends are {ends}")
            time.sleep(0.1)
        return {place: truth.cell(sums) for place, (_, sums) in self._held.items()}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._consumer.close()

    def _follow(self) -> None:
        try:
            committed_s = time.monotonic()
            while not self._stop.is_set():
                self._take()
                if time.monotonic() - committed_s > _COMMIT_S and self._next:
                    offsets = [TopicPartition(self._topic, number, at) for number, at in self._next.items()]
                    self._consumer.commit(offsets=offsets, asynchronous=False)
                    committed_s = time.monotonic()
        except BaseException as error:
            self._failed.append(error)

    def _take(self) -> None:
        for message in self._consumer.consume(5000, 0.1):
            if message.error():
                raise KafkaException(message.error())
            key, value = message.key() or b"", message.value()
            if value and key.startswith(b"P/"):
                _, place, start_ms, _, version, sums, _ = _decode(value)
                where = place.partition("/agent:")[2], start_ms // 1000
                if version > self._held.get(where, (b"", []))[0]:
                    self._held[where] = version, sums
            self._next[message.partition()] = message.offset() + 1
