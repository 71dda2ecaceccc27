"""Standstill: how long a partition with work stood still, seen from outside by its committed offsets.

A thread asks the broker twice a second. While the broker does not answer nobody knows, so that time
counts, too. The worker commits once a second: about a second of standstill is no fault at all.
"""

import threading
import time
from collections.abc import Callable
from typing import Final

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from tests.live.system import group_reader

_EVERY_S: Final = 0.5
_PATIENCE_S: Final = 2.0


class Clockwork:
    """Longest standstill since `restart`, of the partition that stood longest. Knows no Kafka."""

    def __init__(self, now_s: float) -> None:
        self._began_s = now_s
        self._committed: dict[int, int] = {}
        self._moved_s: dict[int, float] = {}
        self._behind: set[int] = set()
        self._looks = 0
        self.longest_s = 0.0

    def restart(self, now_s: float) -> float | None:
        """Begin a new window; the longest standstill of the one before, None when nobody could look."""
        longest_s = self.longest_s if self._looks else None
        self.longest_s, self._looks, self._began_s = 0.0, 0, now_s
        return longest_s

    def look(self, now_s: float, ends: dict[int, int], committed: dict[int, int]) -> None:
        """Take one look at the offsets."""
        self._looks += 1
        for partition, end in ends.items():
            at = committed.get(partition, 0)
            since_s = max(self._moved_s.get(partition, now_s), self._began_s)
            if partition in self._behind:
                self.longest_s = max(self.longest_s, now_s - since_s)
            if at != self._committed.get(partition) or at >= end or partition not in self._behind:
                self._moved_s[partition] = now_s
                self._committed[partition] = at
            (self._behind.add if at < end else self._behind.discard)(partition)


class Standstill:
    """Watches the groups of a system in a thread of its own."""

    def __init__(self, bootstrap: str, topic: str, partitions: int, groups: tuple[str, ...]) -> None:
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        self._readers = {group: group_reader(bootstrap, group) for group in groups}
        self._tps = [TopicPartition(topic, number) for number in range(partitions)]
        self._works = {group: Clockwork(time.monotonic()) for group in groups}
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def restart(self) -> dict[str, float | None]:
        """Begin a new window; the longest standstill of the one before, by group. Raises what ended the watch."""
        if self._failure is not None:
            raise self._failure
        with self._lock:
            return {group: works.restart(time.monotonic()) for group, works in self._works.items()}

    def end(self) -> None:
        """Watch no longer."""
        self._end.set()
        self._thread.join(5 * _PATIENCE_S)
        if not self._thread.is_alive():
            for reader in self._readers.values():
                reader.close()

    def _watch(self) -> None:
        try:
            while not self._end.wait(_EVERY_S):
                self._look(self._ends)
        except BaseException as error:
            self._failure = error

    def _look(self, ends_of: Callable[[], dict[int, int]]) -> None:
        try:
            ends = ends_of()
            seen = {group: self._committed(group) for group in self._works}
        except KafkaException:
            return
        with self._lock:
            for group, committed in seen.items():
                self._works[group].look(time.monotonic(), ends, committed)

    def _ends(self) -> dict[int, int]:
        # Or the client asks with the epoch of a leader that is gone, after each restart of a broker, for ever.
        self._admin.list_topics(self._tps[0].topic, timeout=_PATIENCE_S)
        asked = self._admin.list_offsets({tp: OffsetSpec.latest() for tp in self._tps}, request_timeout=_PATIENCE_S)
        return {tp.partition: future.result().offset for tp, future in asked.items()}

    def _committed(self, group: str) -> dict[int, int]:
        found = self._readers[group].committed(self._tps, timeout=_PATIENCE_S)
        return {tp.partition: max(0, tp.offset) for tp in found}
