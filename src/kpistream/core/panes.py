"""Panes: what one agent did in five minutes, as a set of events.

A pane maps identities to entries. `join` keeps the entry with the highest rank and is commutative,
associative and idempotent, so the order, number and time of joins never matter. The tally is the sum
of the contributions, kept up to date; the version grows strictly with every join that changes
anything. Entries are kept packed (one bytes object each): a pane is encoded by concatenation, and
the garbage collector has nothing to walk.
"""

from enum import Enum, auto
from typing import Final, NamedTuple
from zlib import crc32

import msgspec

from kpistream.core.measures import Contribution, Tally, add
from kpistream.core.placing import EPOCH_SHIFT, MAX_REVISION, REVISION_SHIFT, Place, rank_of, rank_parts


class Joined(Enum):
    """What a join did."""

    ADDED = auto()
    """The identity was not there."""
    REPLACED = auto()
    """A higher revision took the place of a lower one."""
    SAME = auto()
    """The very entry was there: a duplicate or a replay."""
    STALE = auto()
    """A higher revision stands already; nothing changed."""
    CONFLICT_WON = auto()
    """Same revision, other content: the higher digest came now and stands."""
    CONFLICT_LOST = auto()
    """Same revision, other content: the higher digest was there and stands."""


ADDED: Final = Joined.ADDED


class Entry(NamedTuple):
    """One identity in one pane. A tombstone holds a rank and adds nothing."""

    identity: str
    rank: int
    contribution: Contribution
    tombstone: bool


_encode: Final = msgspec.msgpack.Encoder().encode
_Packed = tuple[str, int, int, int, bool, tuple[int, ...]]
_decode: Final = msgspec.msgpack.Decoder(_Packed).decode
_DIGEST_MASK: Final = (1 << REVISION_SHIFT) - 1


def pack(identity: str, rank: int, contribution: Contribution, tombstone: bool) -> bytes:
    """The entry as msgpack: identity, epoch, revision, digest, tombstone, contribution."""
    epoch, revision, digest = rank_parts(rank)
    return _encode((identity, epoch, revision, digest, tombstone, contribution))


def unpack(packed: bytes) -> Entry:
    """The entry in `packed`; raises `msgspec.DecodeError` when it is not one."""
    identity, epoch, revision, digest, tombstone, contribution = _decode(packed)
    return Entry(identity, rank_of(epoch, revision, digest), contribution, tombstone)


class Pane:
    """The entries of one place. Only `join` changes it."""

    __slots__ = ("entries", "key", "size", "start_ms", "tally", "version")

    def __init__(self, key: str, start_ms: int) -> None:
        self.key = key
        self.start_ms = start_ms
        self.entries: dict[str, bytes] = {}
        self.version = 0
        """Sum over the entries of rank + 1; < 2^128 for up to 2^32 entries."""
        self.tally: Tally = {}
        self.size = 0
        """Bytes of all packed entries."""

    @property
    def place(self) -> Place:
        """Where this pane is."""
        return Place(self.key, self.start_ms)

    def rank(self, identity: str) -> int | None:
        """Rank of the entry that stands for `identity`, None when there is none."""
        packed = self.entries.get(identity)
        return None if packed is None else unpack(packed).rank

    def join(self, identity: str, rank: int, contribution: Contribution, tombstone: bool = False) -> Joined:
        """Join one entry; the higher rank stands."""
        old_packed = self.entries.get(identity)
        if old_packed is None:
            self._put(identity, rank, contribution, tombstone)
            return ADDED
        old = unpack(old_packed)
        if rank == old.rank:
            return Joined.SAME
        conflict = rank >> REVISION_SHIFT == old.rank >> REVISION_SHIFT
        if rank < old.rank:
            return Joined.CONFLICT_LOST if conflict else Joined.STALE
        add(self.tally, old.contribution, -1)
        self.version -= old.rank + 1
        self.size -= len(old_packed)
        self._put(identity, rank, contribution, tombstone)
        return Joined.CONFLICT_WON if conflict else Joined.REPLACED

    def _put(self, identity: str, rank: int, contribution: Contribution, tombstone: bool) -> None:
        # `pack` and `add` written out: they are a third of the cost of an event.
        packed = _encode(
            (
                identity,
                rank >> EPOCH_SHIFT,
                rank >> REVISION_SHIFT & MAX_REVISION,
                rank & _DIGEST_MASK,
                tombstone,
                contribution,
            )
        )
        self.entries[identity] = packed
        self.version += rank + 1
        self.size += len(packed)
        tally = self.tally
        get, pairs = tally.get, iter(contribution)
        for number, value in zip(pairs, pairs):  # noqa: B905 - a contribution is pairs
            total = get(number, 0) + value
            if total:
                tally[number] = total
            else:
                tally.pop(number, None)

    def join_pane(self, other: "Pane") -> bool:
        """Join every entry of another pane of the same place; True when anything changed."""
        before = self.version
        for packed in other.entries.values():
            entry = unpack(packed)
            self.join(entry.identity, entry.rank, entry.contribution, entry.tombstone)
        return self.version != before


def chunk_count(size: int, limit: int) -> int:
    """Chunks for a pane of `size` bytes so that each holds about half of `limit` bytes at most: a power of two."""
    count = 1
    while size > count * (limit // 2):
        count *= 2
    return count


def chunk_of(identity: str, count: int) -> int:
    """The chunk of an identity among `count` (a power of two): fixed by its hash alone."""
    return crc32(identity.encode("utf-8", "surrogatepass")) & (count - 1)
