"""Agenda: what will happen on the simulated floor, and the records that come of it, in order of time.

Simulated time only: no clock is read. An action at an instant may plan others and send records that are
due at that instant or later, so that everything can be handed out in due order as it becomes known.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Final, NamedTuple

EVENT: Final = "event"
DUPLICATE: Final = "duplicate"
"""The same bytes once more."""
CORRECTION: Final = "correction"
"""A higher revision in the same place."""
MOVE: Final = "move"
"""A higher revision for another agent, queue or time, announced by `moved_from`."""
CONFLICT: Final = "conflict"
"""Other content under a revision that was sent before."""
BAD: Final = "bad"
"""A record that the contract refuses."""


class Sent(NamedTuple):
    """One record for the topic of events."""

    due_ms: int
    """When to send it, simulated epoch ms; no event is due before it happened."""
    key: bytes
    value: bytes
    what: str = EVENT
    """`event`, `duplicate`, `correction`, `move`, `conflict` or `bad`."""
    kind: str = ""
    """`call`, `deal` or `survey`."""
    reason: str = ""
    """Why a bad record must be refused, from the closed list of reasons; empty for all others."""


@dataclass(slots=True)
class Account:
    """The truth about what was sent."""

    sent: int = 0
    what: Counter[str] = field(default_factory=Counter)
    """Records by `Sent.what`."""
    kind: Counter[str] = field(default_factory=Counter)
    """Records that are not bad, by kind of event."""
    reason: Counter[str] = field(default_factory=Counter)
    """Bad records by the reason for which they must be refused."""

    def add(self, sent: Sent) -> None:
        """Count one record."""
        self.sent += 1
        self.what[sent.what] += 1
        if sent.reason:
            self.reason[sent.reason] += 1
        else:
            self.kind[sent.kind] += 1


Action = Callable[[int], None]
"""Something that happens at an instant (epoch ms)."""


class Agenda:
    """Two queues by time: actions to take and records to hand out."""

    def __init__(self) -> None:
        self._number = count()
        self._actions: list[tuple[int, int, Action]] = []
        self._records: list[tuple[int, int, Sent]] = []

    def at(self, at_ms: int, action: Action) -> None:
        """Plan an action."""
        heapq.heappush(self._actions, (at_ms, next(self._number), action))

    def send(self, sent: Sent) -> None:
        """Hand the record out when it is due."""
        heapq.heappush(self._records, (sent.due_ms, next(self._number), sent))

    def run(self, until_ms: int) -> Iterator[Sent]:
        """Records in due order, up to but without `until_ms`; what is due later is never sent."""
        while self._actions or self._records:
            if self._records and (not self._actions or self._records[0][0] <= self._actions[0][0]):
                if self._records[0][0] >= until_ms:
                    return
                yield heapq.heappop(self._records)[2]
                continue
            if self._actions[0][0] >= until_ms:
                self._actions.clear()
                continue
            at_ms, _, action = heapq.heappop(self._actions)
            action(at_ms)
