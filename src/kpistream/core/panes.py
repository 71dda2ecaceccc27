"""Panes: what one agent did in five minutes, as a set of events.

A pane maps identities to entries. `join` keeps the entry with the highest rank and is commutative,
associative and idempotent, so the order, number and time of joins never matter. The tally is the sum
of the contributions, kept up to date; the version grows strictly with every join that changes
anything. Entries are kept packed (one bytes object each): a pane is encoded by concatenation. A pane
that nothing comes to any more is sealed: its entries and its sums, one bytes object each, which is what
readers ask for; looking for one entry or joining opens it again.
"""

from collections.abc import Iterable
from enum import Enum, auto
from functools import lru_cache
from itertools import islice
from typing import Final, NamedTuple
from zlib import crc32

import msgspec

from kpistream.core.linking import NO_LINK, read_link
from kpistream.core.measures import Contribution, Tally, add
from kpistream.core.placing import EPOCH_SHIFT, MAX_REVISION, REVISION_SHIFT, Place, rank_of, rank_parts
from kpistream.core.tallies import pack_tally, unpack_tally


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
    link: int = NO_LINK
    """The call that it is or names, see `linking.py`."""


class _Packed(msgspec.Struct, array_like=True, gc=False):
    """An entry on the wire."""

    identity: str
    epoch: int
    revision: int
    digest: int
    tombstone: bool
    contribution: tuple[int, ...]
    link: int = NO_LINK
    """Left out when there is none, and in what an earlier release has written."""


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Packed).decode
_DIGEST_MASK: Final = (1 << REVISION_SHIFT) - 1


def pack(identity: str, rank: int, contribution: Contribution, tombstone: bool, link: int = NO_LINK) -> bytes:
    """The entry as msgpack: identity, epoch, revision, digest, tombstone, contribution, and its link if it has one."""
    head = (identity, *rank_parts(rank), tombstone, contribution)
    return _encode((*head, link) if link else head)


def unpack(packed: bytes) -> Entry:
    """The entry in `packed`; raises `msgspec.DecodeError` when it is not one."""
    return _entry(_decode(packed))


def _entry(found: _Packed) -> Entry:
    rank = rank_of(found.epoch, found.revision, found.digest)
    return Entry(found.identity, rank, found.contribution, found.tombstone, found.link)


_NO_SUMS: Final[Tally] = {}
"""Of sealed panes, which do not look at it."""
_UNKNOWN: Final = b""
"""Packed sums that were not asked for since the last join."""
_decode_all: Final = msgspec.msgpack.Decoder(list[_Packed]).decode


class _Named(msgspec.Struct, array_like=True, gc=False):
    """The identity of a packed entry; the rest is passed over."""

    identity: str


_decode_named: Final = msgspec.msgpack.Decoder(list[_Named]).decode


def _sum(entries: Iterable[Entry]) -> Tally:
    tally: Tally = {}
    for entry in entries:
        add(tally, entry.contribution)
    return tally


def _version(entries: Iterable[Entry]) -> int:
    return sum(entry.rank + 1 for entry in entries)


def array(items: Iterable[bytes], count: int) -> bytes:
    """A msgpack array of elements that are msgpack already."""
    return b"".join((array_head(count), *items))


def array_head(count: int) -> bytes:
    """What a msgpack array of so many elements begins with."""
    if count < 16:
        return bytes((0x90 | count,))
    if count < 1 << 16:
        return b"\xdc" + count.to_bytes(2, "big")
    return b"\xdd" + count.to_bytes(4, "big")


def unpack_all(packed_array: bytes) -> list[Entry]:
    """The entries of a msgpack array of packed entries."""
    return list(map(_entry, _decode_all(packed_array)))


def contributions_of(packed_array: bytes) -> list[tuple[str, Contribution]]:
    """Identity and contribution of each of the packed entries, without tombstones: a third of the cost of all."""
    return [(found.identity, found.contribution) for found in _decode_all(packed_array) if not found.tombstone]


_NO_SOURCES: Final[tuple[str, ...]] = ()


def _with(sources: tuple[str, ...], identities: Iterable[str]) -> tuple[str, ...]:
    """These sources and those of identities; the very same when there are no others."""
    for identity in identities:
        source = identity.split("/", 2)[1]
        if source not in sources:
            sources = _shared(frozenset((*sources, source)))
    return sources


@lru_cache(maxsize=4096)
def _shared(sources: frozenset[str]) -> tuple[str, ...]:
    """One object for nearly all panes of an installation."""
    return tuple(sorted(sources))


class Pane:
    """The entries of one place. Only `join` changes it."""

    __slots__ = (
        "_entries",
        "_packed_tally",
        "_sealed",
        "_sourced",
        "_sources",
        "_tally",
        "_version",
        "key",
        "size",
        "start_ms",
    )

    def __init__(self, key: str, start_ms: int) -> None:
        self.key = key
        self.start_ms = start_ms
        self.size = 0
        """Bytes of all packed entries."""
        self._entries: dict[str, bytes] | None = {}
        self._tally: Tally = {}
        self._packed_tally = _UNKNOWN
        self._version = 0
        self._sourced = 0
        """Entries, the first ones, whose sources are in `_sources`: none ever goes, and new ones come behind."""
        self._sources = _NO_SOURCES
        self._sealed = b""
        """The packed entries as one msgpack array, when `_entries` is None."""

    @property
    def place(self) -> Place:
        """Where this pane is."""
        return Place(self.key, self.start_ms)

    @property
    def entries(self) -> dict[str, bytes]:
        """Packed entries by identity. Opens a sealed pane."""
        entries = self._entries
        return self._open() if entries is None else entries

    @property
    def tally(self) -> Tally:
        """Sum of the contributions. Of a sealed pane it is unpacked each time."""
        return self._tally if self._entries is not None else unpack_tally(self.packed_tally)

    @property
    def packed_tally(self) -> bytes:
        """The tally, packed; the same object until the pane is joined or opened, so that windows share it."""
        packed = self._packed_tally
        if not packed:
            tally = self._tally if self._entries is not None else _sum(unpack_all(self._sealed))
            packed = self._packed_tally = pack_tally(tally)
        return packed

    @property
    def summed(self) -> bool:
        """True when `packed_tally` has been asked for since the last join."""
        return bool(self._packed_tally)

    @property
    def version(self) -> int:
        """Sum over the entries of rank + 1; < 2^128 for up to 2^32 entries."""
        return self._version if self._entries is not None else _version(unpack_all(self._sealed))

    @property
    def sealed(self) -> bool:
        """True when all that is kept are the packed entries and sums."""
        return self._entries is None

    def seal(self) -> None:
        """Keep only the packed entries and sums, in two objects: a tenth of the memory of a small pane."""
        if self._entries is not None:
            self._packed_tally = self.packed_tally
            self._sealed = array(self._entries.values(), len(self._entries))
            self._entries, self._tally, self._version = None, _NO_SUMS, 0

    def packed(self) -> bytes:
        """The packed entries as one msgpack array."""
        return self._sealed if self._entries is None else array(self._entries.values(), len(self._entries))

    def identities(self) -> list[str]:
        """The identities of all entries. Leaves a sealed pane sealed."""
        if self._entries is None:
            return [entry.identity for entry in _decode_named(self._sealed)]
        return list(self._entries)

    def sources(self) -> tuple[str, ...]:
        """Sources that its entries come from, sorted; of tombstones, too. Costs what is new since the last time."""
        entries = self._entries
        if entries is None:
            return _with(_NO_SOURCES, self.identities())
        new = len(entries) - self._sourced
        if new:
            self._sources = _with(self._sources, islice(reversed(entries), new))
            self._sourced += new
        return self._sources

    def links(self) -> list[int]:
        """The links of all entries that have one. Leaves a sealed pane sealed."""
        return [link for found in _decode_all(self.packed()) if (link := found.link or read_link(found.contribution))]

    def fill(self, packed: bytes, packed_tally: bytes = _UNKNOWN) -> list[str]:
        """Become the sealed pane with these entries, as `packed` gave them, and their sums, if they are known.

        Returns the identities. Only for an empty pane.
        """
        assert not self.size, "only an empty pane is filled"
        identities = [entry.identity for entry in _decode_named(packed)]
        self.size = len(packed) - len(array_head(len(identities)))
        self._entries, self._sealed, self._tally, self._packed_tally = None, packed, _NO_SUMS, packed_tally
        return identities

    def _open(self) -> dict[str, bytes]:
        found = unpack_all(self._sealed)
        self._tally, self._version = _sum(found), _version(found)
        self._entries = entries = {entry.identity: pack(*entry) for entry in found}
        self.size = sum(map(len, entries.values()))
        self._sealed, self._packed_tally = b"", _UNKNOWN
        return entries

    def rank(self, identity: str) -> int | None:
        """Rank of the entry that stands for `identity`, None when there is none."""
        packed = self.entries.get(identity)
        return None if packed is None else unpack(packed).rank

    def join(
        self,
        identity: str,
        rank: int,
        contribution: Contribution,
        tombstone: bool = False,
        link: int = NO_LINK,
    ) -> Joined:
        """Join one entry; the higher rank stands."""
        entries = self._entries
        if entries is None:
            entries = self._open()
        old_packed = entries.get(identity)
        if old_packed is not None:
            old = unpack(old_packed)
            if rank == old.rank:
                return Joined.SAME
            conflict = rank >> REVISION_SHIFT == old.rank >> REVISION_SHIFT
            if rank < old.rank:
                return Joined.CONFLICT_LOST if conflict else Joined.STALE
            add(self._tally, old.contribution, -1)
            self._version -= old.rank + 1
            self.size -= len(old_packed)
        # `pack` and `add` written out: they are a third of the cost of an event.
        digest = rank & _DIGEST_MASK
        epoch, revision = rank >> EPOCH_SHIFT, rank >> REVISION_SHIFT & MAX_REVISION
        if link:
            packed = _encode((identity, epoch, revision, digest, tombstone, contribution, link))
        else:
            packed = _encode((identity, epoch, revision, digest, tombstone, contribution))
        entries[identity] = packed
        self._packed_tally = _UNKNOWN
        self._version += rank + 1
        self.size += len(packed)
        tally = self._tally
        get, pairs = tally.get, iter(contribution)
        for number, value in zip(pairs, pairs):  # noqa: B905 - a contribution is pairs
            total = get(number, 0) + value
            if total:
                tally[number] = total
            else:
                tally.pop(number, None)
        if old_packed is None:
            return ADDED
        return Joined.CONFLICT_WON if conflict else Joined.REPLACED

    def join_pane(self, other: "Pane") -> bool:
        """Join every entry of another pane of the same place; True when anything changed."""
        before = self.version
        for entry in unpack_all(other.packed()):
            self.join(*entry)
        return self.version != before


class PaneSum(NamedTuple):
    """Version and tally of a pane that changed, for readers that want sums only."""

    place: Place
    version: int
    packed_tally: bytes
    sources: tuple[str, ...] = ()
    """Where its events come from."""

    @property
    def tally(self) -> Tally:
        """The sums."""
        return unpack_tally(self.packed_tally)


def chunk_count(size: int, limit: int) -> int:
    """Chunks for a pane of `size` bytes so that each holds about half of `limit` bytes at most: a power of two."""
    count = 1
    while size > count * (limit // 2):
        count *= 2
    return count


def chunk_of(identity: str, count: int) -> int:
    """The chunk of an identity among `count` (a power of two): fixed by its hash alone."""
    return crc32(identity.encode("utf-8", "surrogatepass")) & (count - 1)
