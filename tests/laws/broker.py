"""Broker: the events and changelog logs in memory, and producers that write to the events log.

Events come with duplicates, disorder, conflicts, corrections and moves: announced ones between any places, others
only between places on one partition that are live when they are appended. Time is in panes here: one tick of the
clock is `PANE_MS`.
"""

import random
from bisect import bisect_left
from typing import NamedTuple

from kpistream.core.measures import CALLS, TALK_MS
from kpistream.core.partition import Retraction
from kpistream.core.placing import Accepted, Place, rank_of

PANE_MS = 1000
DIGESTS = 8
Sums = tuple[tuple[int, int], ...]


class Record(NamedTuple):
    """One record of the events log."""

    event: Accepted | None
    """None: the contract rejects it."""
    timestamp_ms: int


def agent(scope: int) -> str:
    """The key of an agent."""
    return f"acme/agent:{scope}"


def event_of(
    identity: str, rank: tuple[int, int], place: Place, talk: int, moved_from: Place | None = None
) -> Accepted:
    """An accepted call."""
    added = (CALLS, 1, TALK_MS, talk) if talk else (CALLS, 1)
    return Accepted(identity, *place, rank_of(1, *rank), added, False, moved_from, place.start_ms, None)  # type: ignore[arg-type]


def retraction_of(it: Retraction) -> Accepted:
    """A retraction as it is read back from the log."""
    return Accepted(it.identity, *it.place, it.rank, (), True, None, it.place.start_ms, None)  # type: ignore[arg-type]


def sums_of(events: list[Accepted]) -> Sums:
    """Sums of what events add, by plain addition."""
    sums: dict[int, int] = {}
    for event in events:
        for number, value in zip(event.contribution[::2], event.contribution[1::2], strict=True):
            sums[number] = sums.get(number, 0) + value
    return tuple(sorted((number, value) for number, value in sums.items() if value))


def event_words(event: Accepted) -> tuple[object, ...]:
    """An event in a trace."""
    revision, digest = event.rank >> 32 & 0xFFFF, event.rank & 0xFF
    moved = f"moved_from={tuple(event.moved_from)}" if event.moved_from else ""
    return event.identity, f"rank=({revision}, {digest}) at={event.key}@{event.start_ms}", event.contribution, moved


class Broker:
    """The logs of all partitions, and what producers still have to send."""

    def __init__(self, seed: int, traced: bool) -> None:
        self.rnd = r = random.Random(seed)
        self.trace: list[str] | None = [] if traced else None
        self.count = r.choice((1, 2, 2, 3))
        self.horizon = r.choice((1, 2, 4, 8))
        self.chunk_bytes = r.choice((1_000_000, 1_000_000, 120, 60))
        self.noise = r.choice((0, 0.2, 0.6))
        self.scopes = range(r.choice((1, 2, 4, 6)))
        self.events: list[list[Record]] = [[] for _ in range(self.count)]
        self.panes: list[list[tuple[int, bytes, bytes | None]]] = [[] for _ in range(self.count)]
        self.end = [0] * self.count
        self.committed = [0] * self.count
        self.clock = 6
        self.skew = [0] * self.count
        """How far the clock of each partition's broker is off: the log's timestamps are not in order."""
        self.todo: list[tuple[float, Accepted]] = []
        self.live_only: set[str] = set()
        self.sent: dict[str, list[Accepted]] = {}

    @property
    def accepted(self) -> list[Accepted]:
        """All events and retractions in the logs that the contract accepts."""
        return [record.event for log in self.events for record in log if record.event is not None]

    def log(self, *words: object) -> None:
        """Remember a step, when a trace is wanted."""
        if self.trace is not None:
            self.trace.append(" ".join(map(str, words)))

    def partition_of(self, key: str) -> int:
        """The partition of a key."""
        return int(key.rpartition(":")[2]) % self.count

    def plan(self, identity: str) -> None:
        """A chain of revisions. Announced: any place. Unannounced: one partition, all places live when appended."""
        r = self.rnd
        unannounced, revision = r.random() < 0.4, 0
        home = r.choice(self.scopes) % self.count
        scopes = [scope for scope in self.scopes if not unannounced or scope % self.count == home]
        if unannounced:
            self.live_only.add(identity)
        base, at = r.randint(4, 8), None
        for _ in range(r.choice((1, 1, 2, 3, 4))):
            revision += r.choice((1, 1, 2))
            before = at
            if at is None or r.random() >= 0.3:
                start = max(0, base + r.randint(-3, 1) - r.choice((0, 0, 0, 0, 3)))
                at = Place(agent(r.choice(scopes)), start * PANE_MS)
            announced = before is not None and before != at and (not unannounced or r.random() < 0.2)
            talk = r.choice((0, r.randint(1, 99), r.randint(1, 99), r.randint(1, 99)))
            for digest in r.sample(range(DIGESTS), r.choice((1, 1, 1, 2))):  # two digests: a conflict, at one place
                event = event_of(identity, (revision, digest), at, talk + digest, before if announced else None)
                when = base + r.choice((0, 0, 1, 1, 2, 3, 5))
                for _ in range(r.choice((1, 1, 2))):
                    self.todo.append((when + r.random(), event))
                    when += r.choice((0, 1, 4))

    def produce(self) -> None:
        """Append the next event that is due; outside the promise it is never sent."""
        if not self.todo:
            return
        if self.todo[0][0] > self.clock + 1:  # nothing is due: time passes, now and then
            self.clock += self.rnd.random() < 0.2
            if self.rnd.random() < self.noise:
                self.events[self.rnd.randrange(self.count)].append(Record(None, self.clock * PANE_MS))
            return
        event = self.todo.pop(0)[1]
        before = self.sent.setdefault(event.identity, [])
        if event.identity in self.live_only and event not in before:
            log = self.events[self.partition_of(event.key)]
            newest_ms = max([self.clock * PANE_MS, *(record.timestamp_ms for record in log)])
            limit_ms = newest_ms - newest_ms % PANE_MS - self.horizon * PANE_MS
            if any(other.start_ms < limit_ms for other in (*before, event)):
                return
        before.append(event)
        self.append_event(event)

    def append_event(self, event: Accepted) -> None:
        """The broker takes an event."""
        p = self.partition_of(event.key)
        self.events[p].append(Record(event, (self.clock + self.skew[p]) * PANE_MS + PANE_MS // 2))
        what = "RETRACT" if event.retracts else "event"
        self.log(f"t={self.clock} events[{p}]@{len(self.events[p]) - 1} {what}", *event_words(event))

    def append_pane(self, p: int, key: bytes, value: bytes | None) -> int:
        """The broker takes a changelog record."""
        self.panes[p].append((self.end[p], key, value))
        self.end[p] += 1
        return self.end[p] - 1

    def panes_from(self, p: int, offset: int) -> int:
        """Index of the first changelog record at or after `offset`."""
        return bisect_left(self.panes[p], (offset,))

    def compact(self) -> None:
        """The broker compacts one changelog partition up to any offset."""
        p = self.rnd.randrange(self.count)
        self.compact_to(p, self.rnd.randint(0, self.end[p]))

    def compact_to(self, p: int, upto: int) -> None:
        """The broker compacts a changelog partition below an offset; tombstones go, too."""
        seen: set[bytes] = set()
        keep = []
        for offset, key, value in reversed(self.panes[p]):
            if offset >= upto or (key not in seen and value is not None):
                keep.append((offset, key, value))
            if offset < upto:
                seen.add(key)
        if len(keep) < len(self.panes[p]):
            self.log(f"compaction of panes[{p}] below {upto}")
        self.panes[p] = keep[::-1]
