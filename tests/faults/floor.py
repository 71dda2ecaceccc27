"""A floor that makes it hard: everything of the plain floor, and what a bad month brings.

Chains of moves (there and back again) whose revisions arrive in any order, so that a retraction may be read
before the event that it retracts; two contents of one revision; deals taken back; surveys that come days late;
records that were forwarded and are wrong again. All moves are announced, as the promise assumes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

from kpistream.log.records import HOP
from kpistream.log.topics import partition_of
from tests.live.floor import HOUR_MS, Floor
from tests.live.system import Sent

_WEIGHTS: Final = {
    "_fresh": 800,
    "_again": 40,
    "_corrected": 40,
    "_moved": 40,
    "_bad": 6,
    "_astray": 20,
    "_chained": 15,
    "_conflicting": 8,
    "_voided": 8,
    "_late_survey": 4,
    "_misrouted": 3,
}
_WAITING_SHARE: Final = 0.2
"""How often a revision that waits goes before something new."""


@dataclass
class HardFloor(Floor):
    """Records without end."""

    _waiting: list[Sent] = field(default_factory=list)

    def endless(self) -> Iterator[Sent]:
        """Records as long as somebody asks."""
        kinds = [getattr(self, name) for name in _WEIGHTS]
        for _ in count():
            if self._waiting and self._random.random() < _WAITING_SHARE:
                yield self._waiting.pop(self._random.randrange(len(self._waiting)))
            elif len(self._events) < 20:
                yield self._fresh()
            else:
                yield self._random.choices(kinds, weights=list(_WEIGHTS.values()))[0]()

    def rest(self) -> list[Sent]:
        """The revisions that wait: without them a chain would be no chain."""
        waiting, self._waiting = self._waiting, []
        self._random.shuffle(waiting)
        return waiting

    def _chained(self) -> Sent:
        """A fresh event and two to five moves of it, in any order; the last may lead back to the first place."""
        self._fresh()
        index, chance = len(self._events) - 1, self._random
        first = dict(self._events[index])
        chain = [self._sent(first)]
        for _ in range(chance.randrange(2, 6)):
            chain.append(self._moved_at(index))
        if chance.random() < 0.5:
            chain.append(self._moved_back(index, first))
        chance.shuffle(chain)
        self._waiting += chain[1:]
        return chain[0]

    def _moved_at(self, index: int) -> Sent:
        """Move the event at an index."""
        whole, self._events = self._events, [self._events[index]]
        try:
            sent = self._moved()
            whole[index] = self._events[0]
        finally:
            self._events = whole
        return sent

    def _moved_back(self, index: int, first: dict[str, Any]) -> Sent:
        """A higher revision where the event stood at first."""
        now = self._events[index]
        own = next(name for name in ("ended_at", "closed_at", "completed_at") if name in now)
        left = {name: now[name] for name in ("agent_id", "queue") if now.get(name) is not None}
        back = {**first, "revision": now["revision"] + 1, "moved_from": {**left, "occurred_at": now[own]}}
        self._events[index] = back
        return self._sent(back)

    def _conflicting(self) -> Sent:
        """The same revision with another content, at the same place."""
        event = dict(self._random.choice(self._events))
        event["attributes"] = {"said": str(self._random.randrange(1 << 30))}
        return self._sent(event)

    def _voided(self) -> Sent:
        """A deal that was won and is taken back."""
        deals = [index for index, event in enumerate(self._events[-400:]) if event["type"] == "deal.closed"]
        if not deals:
            return self._fresh()
        index = self._random.choice(deals) + max(0, len(self._events) - 400)
        event = {**self._events[index], "outcome": "voided"}
        event.pop("moved_from", None)
        event["revision"] = event.get("revision", 0) + 1
        self._events[index] = event
        return self._sent(event)

    def _late_survey(self) -> Sent:
        """A survey of days ago."""
        at_ms = self.now_ms - self._random.randrange(1, 7 * 24) * HOUR_MS
        event = self._survey(f"{self.crew}-{self._random.randrange(self.agents)}", at_ms)
        self._events.append(event)
        return self._sent(event)

    def _misrouted(self) -> Sent:
        """A record that somebody forwarded to a wrong partition; counts for nobody, so nothing follows it."""
        self._fresh()
        sent = self._sent(self._events.pop())
        wrong = (partition_of(sent.key, self.partitions) + 1) % self.partitions
        return sent._replace(headers=(*sent.headers, (HOP, b"1")), partition=wrong)
