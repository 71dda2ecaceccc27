"""Partition: what a worker holds of one partition, and every rule about it, without the log itself.

The shell reads records and hands them in; `snapshot` says in one step what must be published; the shell
reports what was acknowledged and committed. Rules that keep the numbers right:

- a record that is replayed marks its pane dirty even if joining changes nothing: memory is not durability;
- nothing is tombstoned in memory: a place that lost an event changes when its retraction is read back;
- a pane below the frontier is never created, recovered or published again: history answers for it;
- a changelog key gets its tombstone only after the sink has committed past it, in a generation whose
  commit succeeded after the frontier was durable; or after everything under it is durable under another one.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from sys import intern
from typing import Final

from kpistream.core.changelog import (
    FrontierRecord,
    MarkRecord,
    PaneRecord,
    encode_frontier,
    encode_mark,
    encode_pane,
    entries_of,
    parse,
)
from kpistream.core.homes import Homes
from kpistream.core.keys import Keys
from kpistream.core.linking import link_of
from kpistream.core.links import Links
from kpistream.core.measures import Contribution
from kpistream.core.panes import ADDED as JOINED_ADDED
from kpistream.core.panes import Joined, Pane, PaneSum, chunk_count, unpack
from kpistream.core.placing import REVISION_SHIFT, Accepted, Place
from kpistream.core.sealing import Sealer

NOTHING = -1
_FOR_NOBODY: Final = 1 << 62
_WHOLE: Final = b"/0.1"
"""The end of a changelog key whose record holds all entries of its pane."""


class Outcome(Enum):
    """What became of one accepted record."""

    ADDED = auto()
    CORRECTED = auto()
    DUPLICATE = auto()
    STALE = auto()
    CONFLICT = auto()
    RETRACTED = auto()
    CLOSED = auto()
    """Its pane is closed; history answers (or nobody, when history is switched off)."""


_ADDED: Final = Outcome.ADDED
_OUTCOMES = {
    Joined.ADDED: Outcome.ADDED,
    Joined.REPLACED: Outcome.CORRECTED,
    Joined.SAME: Outcome.DUPLICATE,
    Joined.STALE: Outcome.STALE,
    Joined.CONFLICT_WON: Outcome.CONFLICT,
    Joined.CONFLICT_LOST: Outcome.CONFLICT,
}


@dataclass(frozen=True, slots=True)
class PartitionSettings:
    """What all partitions of a worker share."""

    writer: str
    """Names this process, for changelog keys; never used by another process."""
    pane_ms: int = 300_000
    horizon_ms: int = 36 * 3_600_000
    """How long panes stay live, behind the newest committed record."""
    chunk_bytes: int = 800_000
    """A pane's record stays below this; larger panes are split."""
    seal_after: int = 8192
    """A pane that so many records, or up to twice as many, have not touched is sealed."""
    history: bool = True
    """False: no sink will ever read, so closed panes are closed for good and tombstones wait for nobody."""


@dataclass(frozen=True, slots=True)
class Retraction:
    """`identity` no longer counts at `place`: something of `rank` stands elsewhere."""

    identity: str
    rank: int
    place: Place


@dataclass(slots=True)
class Flush:
    """Everything that must be durable before the records up to `upto` may be acknowledged."""

    changelog: list[tuple[bytes, bytes | None]]
    retractions: list[Retraction]
    sums: list[PaneSum]
    upto: int
    """Next offset of the events after this flush."""
    newest_ms: int
    """Greatest record timestamp joined so far."""
    frontier_ms: int | None

    def __bool__(self) -> bool:
        return bool(self.changelog or self.retractions)


@dataclass(slots=True)
class _Fence:
    upto: int
    newest_ms: int
    frontier_ms: int | None
    superseded: list[bytes]
    """Keys of earlier writers: what is under them is in this flush."""


@dataclass(slots=True)
class _Position:
    """What belongs to one assignment and is forgotten with it."""

    next_offset: int = NOTHING
    acknowledged: int = NOTHING
    snapshot_at: int = NOTHING
    joined_newest_ms: int = NOTHING
    committed_newest_ms: int = NOTHING
    buried_ms: int = NOTHING
    recovered: bool = False
    fences: list[_Fence] = field(default_factory=list)
    dirty: dict[Pane, None] = field(default_factory=dict)
    retractions: dict[Retraction, None] = field(default_factory=dict)
    marks: dict[Place, int] = field(default_factory=dict)
    superseded: list[bytes] = field(default_factory=list)


class Partition:
    """Panes of one partition. Not thread-safe; no method awaits or reads a clock."""

    def __init__(self, number: int, settings: PartitionSettings) -> None:
        self.number = number
        self.settings = settings
        self.panes: dict[int, dict[str, Pane]] = {}
        """Live panes by start, then by key."""
        self.homes = Homes(settings.horizon_ms)
        self.links = Links()
        self.keys = Keys()
        self.assignments = 0
        self.frontier_ms = NOTHING
        self.persisted = NOTHING
        """Last changelog offset joined into this memory; -1 when it holds nothing."""
        self.at = _Position()
        self._sealer = Sealer(settings.seal_after)

    # ---- assignment and recovery

    def assigned(self) -> None:
        """A new assignment: memory stays, positions and everything unpublished go; replay brings it back."""
        self.at = _Position()
        self.assignments += 1

    @property
    def writer(self) -> str:
        """Names this assignment in changelog keys: no late tombstone for an earlier one can hide a record."""
        return f"{self.settings.writer}.{self.assignments}"

    def forget(self) -> None:
        """The partition is somebody else's now: hold nothing."""
        self.panes, self.homes, self.keys = {}, Homes(self.settings.horizon_ms), Keys(self.keys.block_keys)
        self.frontier_ms, self.persisted, self.links = NOTHING, NOTHING, Links()
        self.at, self._sealer = _Position(), Sealer(self.settings.seal_after)

    def recover(self, offset: int, key: bytes, value: bytes | None) -> None:
        """Join one changelog record. Raises ValueError when the record is not one of ours."""
        if offset <= self.persisted:
            return
        if value is None:
            self.keys.gone(key)
        else:
            record = parse(key, value)
            start_ms = None if isinstance(record, FrontierRecord) else record.start_ms
            self.keys.seen_at(start_ms, key, offset)
            self._join_record(key, record)
        self.persisted = offset

    def recovered(self, end: int) -> None:
        """Recovery has read the changelog up to `end` (exclusive): from here on records may be accepted.

        `end` is the end of the changelog as it is when reading stops, not as it was at assignment: a record
        that compaction removed before it was read may live on only in what a zombie published since.
        """
        self.persisted = max(self.persisted, end - 1)
        self.at.recovered = True
        self._sealer.seal_all()
        self.at.buried_ms = self.frontier_ms
        self._close()

    def _join_record(self, key: bytes, record: PaneRecord | MarkRecord | FrontierRecord) -> None:
        if isinstance(record, FrontierRecord):
            self.frontier_ms = max(self.frontier_ms, record.start_ms)
        elif isinstance(record, PaneRecord) and record.start_ms >= self.frontier_ms:
            if record.pane_ms != self.settings.pane_ms:
                raise ValueError(f"pane of {record.pane_ms} ms in a changelog of {self.settings.pane_ms} ms panes")
            pane, homes = self._pane(record.key, record.start_ms), self.homes
            self.links.reread(pane)
            if not pane.size:
                for identity in pane.fill(record.packed_entries, record.packed_tally if key.endswith(_WHOLE) else b""):
                    homes.add(identity, pane)
                return
            self._sealer.touched((pane,))
            for entry in entries_of(record):
                if pane.join(*entry) is JOINED_ADDED:
                    homes.add(entry.identity, pane)

    # ---- records

    def accept(self, event: Accepted, offset: int) -> Outcome:
        """Join one record that was read at `offset`."""
        start_ms = event.start_ms
        if start_ms < self.frontier_ms:
            return self._accept_closed(event, offset)
        by_key = self.panes.get(start_ms)
        if by_key is None:
            by_key = self.panes[start_ms] = {}
        pane = by_key.get(event.key)
        if pane is None:
            pane = by_key[event.key] = Pane(intern(event.key), start_ms)
        identity, link = event.identity, link_of(event.fields)
        joined = pane.join(identity, event.rank, event.contribution, event.retracts, link)
        if link or joined is not JOINED_ADDED:
            self.links.took(pane, link, joined)
        at = self.at
        at.dirty[pane] = None
        if joined is JOINED_ADDED and self.homes.settle(identity, pane):
            outcome = Outcome.RETRACTED if event.retracts else _ADDED
        else:
            outcome = self._settle(event, pane, joined)
        if event.moved_from is not None:
            at.retractions[Retraction(identity, event.rank, event.moved_from)] = None
        return outcome

    def advance(self, next_offset: int, newest_ms: int) -> None:
        """All records before `next_offset` were handed in; `newest_ms` is the greatest record timestamp."""
        self.at.next_offset = next_offset
        self.at.joined_newest_ms = max(self.at.joined_newest_ms, newest_ms)

    def _accept_closed(self, event: Accepted, offset: int) -> Outcome:
        if self.settings.history:
            place = Place(event.key, event.start_ms)
            self.at.marks[place] = max(offset, self.at.marks.get(place, NOTHING))
        if event.moved_from is not None:
            self.at.retractions[Retraction(event.identity, event.rank, event.moved_from)] = None
        self._retract_below(event.identity, event.rank)
        return Outcome.CLOSED

    def _settle(self, event: Accepted, pane: Pane, joined: Joined) -> Outcome:
        """The slow path: the identity was known on this partition."""
        if joined is Joined.ADDED:
            self.homes.add(event.identity, pane)
        conflict = self._retract_below(event.identity, event.rank)
        if event.retracts:
            return Outcome.DUPLICATE if joined is Joined.SAME else Outcome.RETRACTED
        if joined is not Joined.ADDED:
            return _OUTCOMES[joined]
        if conflict:
            return Outcome.CONFLICT
        stale = any((home.rank(event.identity) or 0) > event.rank for home in self._opened(event.identity))
        return Outcome.STALE if stale else Outcome.CORRECTED

    def _retract_below(self, identity: str, rank: int) -> bool:
        """Retract every live place that holds the identity below its highest known rank.

        True when another place holds the same revision with other content: a conflict.
        """
        homes = self._opened(identity)
        ranks = [pane.rank(identity) or 0 for pane in homes]
        top = max([rank, *ranks])
        for pane, held in zip(homes, ranks, strict=True):
            if held < top:
                self.at.retractions[Retraction(identity, top, pane.place)] = None
        return any(held != rank and held >> REVISION_SHIFT == rank >> REVISION_SHIFT for held in ranks)

    # ---- flush

    def snapshot(self, sink_committed: int | None) -> Flush:
        """What must be published now, in one step; takes it out of this object.

        `sink_committed`: the offset of kpi.panes that the sink has committed for this partition, None if
        it has committed nothing.
        """
        at, settings = self.at, self.settings
        changelog: list[tuple[bytes, bytes | None]] = []
        sums: list[PaneSum] = []
        for pane in at.dirty:
            chunks = chunk_count(pane.size, settings.chunk_bytes)
            changelog.extend(encode_pane(pane, settings.pane_ms, self.writer, chunks))
            sums.append(PaneSum(pane.place, pane.version, pane.packed_tally, pane.sources()))
        changelog.extend(encode_mark(place, offset) for place, offset in at.marks.items())
        changelog.extend((key, None) for key in self._buried_keys(sink_committed))
        frontier_ms = self._next_frontier()
        if frontier_ms is not None:
            changelog.append(encode_frontier(self.number, self.writer, frontier_ms))
        flush = Flush(changelog, list(at.retractions), sums, at.next_offset, at.joined_newest_ms, frontier_ms)
        self._sealer.touched(at.dirty)
        self._sealer.passed(at.next_offset - max(at.snapshot_at, 0))
        at.dirty, at.retractions, at.marks, at.snapshot_at = {}, {}, {}, at.next_offset
        return flush

    def published(self, key: bytes, offset: int, tombstone: bool) -> None:
        """The broker has taken a changelog record of a flush of this assignment."""
        if tombstone:
            self.keys.gone(key)
        elif self.keys.seen(key, offset):
            self.at.superseded.extend(self.keys.earlier(key, self.writer))

    def acknowledged(self, flush: Flush) -> None:
        """All records of the flush are durable."""
        self.at.acknowledged = flush.upto
        self.at.fences.append(_Fence(flush.upto, flush.newest_ms, flush.frontier_ms, self.at.superseded))
        self.at.superseded = []
        self.keys.pack()
        if flush.frontier_ms is not None:
            self.frontier_ms = max(self.frontier_ms, flush.frontier_ms)
            self._close()

    def committed(self, offset: int) -> None:
        """The group has committed `offset` (next to read) in the current generation."""
        at = self.at
        while at.fences and at.fences[0].upto <= offset:
            fence = at.fences.pop(0)
            self.keys.superseded(fence.superseded)
            at.committed_newest_ms = max(at.committed_newest_ms, fence.newest_ms)
            if fence.frontier_ms is not None:
                at.buried_ms = max(at.buried_ms, fence.frontier_ms)

    @property
    def unpublished(self) -> bool:
        """True when a snapshot would hold something new."""
        at = self.at
        due = self.keys.due and at.next_offset != NOTHING  # or it would acknowledge before anything was read
        return bool(at.dirty or at.retractions or at.marks or due) or at.next_offset > at.acknowledged

    def standing(self, identity: str) -> list[tuple[Place, int, Contribution]]:
        """Live entries of an identity: place, rank and contribution."""
        entries = [(pane.place, unpack(pane.entries[identity])) for pane in self._opened(identity)]
        return [(place, entry.rank, entry.contribution) for place, entry in entries]

    def live_panes(self) -> Iterator[Pane]:
        """All live panes, in no order."""
        for by_key in self.panes.values():
            yield from by_key.values()

    # ---- inside

    def _next_frontier(self) -> int | None:
        newest_ms = self.at.committed_newest_ms - self.settings.horizon_ms
        frontier_ms = newest_ms - newest_ms % self.settings.pane_ms
        return frontier_ms if frontier_ms > self.frontier_ms else None

    def _buried_keys(self, sink_committed: int | None) -> list[bytes]:
        if not self.settings.history:
            sink_committed = _FOR_NOBODY
        return self.keys.tombstones(self.at.buried_ms, sink_committed)

    def _close(self) -> None:
        """Drop what is below the frontier; what became dirty since the frontier was published gets a mark."""
        at = self.at
        self.keys.close(self.frontier_ms)
        for start_ms in [start_ms for start_ms in self.panes if start_ms < self.frontier_ms]:
            for pane in self.panes.pop(start_ms).values():
                self._sealer.forget(pane)
                self.links.leave(pane, self.frontier_ms)
                for identity in pane.identities():
                    self.homes.leave(identity, pane)
                if pane in at.dirty:
                    del at.dirty[pane]
                    if self.settings.history:
                        at.marks[pane.place] = at.next_offset - 1

    def _pane(self, key: str, start_ms: int) -> Pane:
        by_key = self.panes.get(start_ms)
        if by_key is None:
            by_key = self.panes[start_ms] = {}
        pane = by_key.get(key)
        if pane is None:
            pane = by_key[key] = Pane(intern(key), start_ms)
        return pane

    def _opened(self, identity: str) -> tuple[Pane, ...]:
        """The panes that hold the identity, to look into: that opens them."""
        homes = self.homes.of(identity)
        self._sealer.touched(homes)
        return homes
