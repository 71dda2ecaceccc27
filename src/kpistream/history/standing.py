"""Standing: whether a sink goes on, for the watchdog and for readiness.

Progress is a commit, by topic and partition, while there is something to commit or to read. Time that is spent
in the store, or in waiting for one that is unavailable, is not the sink's and does not count: an outage is
waited for, however long, and makes the sink not ready instead. Only a single call that does not come back is a
fault. The event loop writes notes; the watchdog and the endpoint read them from threads of their own.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError

from kpistream.health import Fault, Health
from kpistream.history.progress import Progress

LOOK_S: Final = 1.0
"""How often notes are taken."""
_GROUP_HINT: Final = "look at the brokers and at the group: kafka-consumer-groups --describe --state"
_LOOP_HINT: Final = "read the log lines before this one; restart the process, and report this if it comes again"
_PROGRESS_HINT: Final = (
    "read the log lines before this one, and look at the brokers; nothing is lost, the next process reads again from "
    "the committed offsets"
)
_CALL_HINT: Final = "look at ClickHouse (system.processes, system.merges); restart the process"


@dataclass(frozen=True, slots=True)
class StandingLimits:
    """How long what must go on may stand still."""

    stall_timeout_s: float = 120.0
    store_timeout_s: float = 600.0
    """For one call to the store."""


class Standing:
    """Notes of one sink."""

    def __init__(self, health: Health, limits: StandingLimits, group: str, progress: Progress) -> None:
        self._limits = limits
        self._group = group
        self._progress = progress
        self._steady_s = health.steady_s
        self._round = health.pulse("sink loop has not turned", _LOOP_HINT, limits.stall_timeout_s)
        self._call = health.pulse("a call to the store has not come back", _CALL_HINT, limits.store_timeout_s)
        self._open = False
        self._unassigned_since_s: float | None = None
        self._unstarted = 0
        self._unstarted_since_s: float | None = None
        self._away_s = 0.0
        """Time spent in the store so far."""
        self._away_since_s: float | None = None
        self._waiting: dict[tuple[str, int], tuple[object, float]] = {}
        """Topic and partition with work to do -> how far it was, and since when (own time)."""
        health.watch(self)

    # ---- read by other threads

    def faults(self, now_s: float) -> list[Fault]:
        """An assignment that does not come or does not start, and partitions that stand still."""
        now_s, limit_s, found = self._own_s(now_s), self._limits.stall_timeout_s, []
        since_s = self._unassigned_since_s
        if since_s is not None and now_s - since_s > limit_s:
            found.append(Fault(f"group {self._group!r} has given no assignment", now_s - since_s, _GROUP_HINT))
        since_s = self._unstarted_since_s
        if since_s is not None and now_s - since_s > limit_s:
            found.append(Fault(f"{self._unstarted} assigned partitions have not started", now_s - since_s, _GROUP_HINT))
        for (topic, number), (_, since_s) in self._waiting.copy().items():
            if now_s - since_s > limit_s:
                what = f"{topic}[{number}]: no progress, records wait and nothing was committed"
                found.append(Fault(what, now_s - since_s, _PROGRESS_HINT))
        return found

    def waits_for(self) -> list[str]:
        """The store, the assignment, or where to begin."""
        waits, since_s = [], self._progress.unavailable_since_s
        if since_s is not None:
            waits.append(f"store unavailable for {self._steady_s() - since_s:.0f} s: {self._progress.last_error}")
        elif not self._open:
            waits.append("store is not open yet")
        if self._open and self._unassigned_since_s is not None:
            waits.append(f"group {self._group!r} has given no assignment")
        elif self._unstarted:
            waits.append(f"{self._unstarted} partitions are assigned and not started")
        return waits

    # ---- written by the event loop

    def opened(self) -> None:
        """The store is open; an assignment is waited for."""
        self._open = True
        self.unassigned()

    def unassigned(self) -> None:
        """The partitions may be somebody else's."""
        self._unassigned_since_s = self._own_s(self._steady_s())
        self._unstarted, self._unstarted_since_s, self._waiting = 0, None, {}

    def assigned(self) -> None:
        """The group has given the sink its share, which may be nothing."""
        self._unassigned_since_s = None

    def turned(self, unstarted: int) -> None:
        """The loop has turned; so many partitions are not started yet."""
        if not unstarted:
            self._unstarted_since_s = None
        elif self._unstarted_since_s is None:
            self._unstarted_since_s = self._own_s(self._steady_s())
        self._unstarted = unstarted
        self._round.beat()

    def away(self) -> None:
        """What follows is the store's time."""
        self._away_since_s = self._steady_s()
        self._round.rest()

    def calls(self) -> None:
        """A call to the store begins."""
        self._call.beat()

    def called(self) -> None:
        """The call has come back, with whatever outcome."""
        self._call.rest()

    def back(self) -> None:
        """The store's time is over."""
        if self._away_since_s is not None:
            self._away_s += self._steady_s() - self._away_since_s
            self._away_since_s = None
        self._call.rest()
        self._round.beat()

    def look(self, markers: Mapping[tuple[str, int], object]) -> None:
        """How far each topic and partition is that has something to read or to commit; the others have not."""
        now_s = self._own_s(self._steady_s())
        known = self._waiting
        self._waiting = {
            where: known[where] if where in known and known[where][0] == marker else (marker, now_s)
            for where, marker in markers.items()
        }

    def _own_s(self, now_s: float) -> float:
        since_s = self._away_since_s
        return (now_s if since_s is None else since_s) - self._away_s


async def position(consumer: Any, tp: TopicPartition) -> int:
    """The next offset to fetch, -1 when there is none yet; it passes markers of transactions, which are no records."""
    try:
        return int(await asyncio.wait_for(consumer.position(tp), LOOK_S))
    except (TimeoutError, IllegalStateError):
        return -1
