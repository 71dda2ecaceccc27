"""Changelog: the records that carry panes, marks and frontiers, as bytes.

Values are plain msgpack arrays whose first element names the kind; any msgpack library reads them.
A pane's record carries the version and tally of the *whole* pane, also when its entries are split into
chunks, so that a reader who only wants the sums needs no entries. Keys name the writer: two workers
that believe they own one partition never hide each other's record from compaction.
"""

from typing import Final, NamedTuple

import msgspec

from kpistream.core.measures import Tally
from kpistream.core.panes import Entry, Pane, array, chunk_of, unpack_all
from kpistream.core.placing import Place
from kpistream.core.tallies import unpack_tally

VERSION_BYTES: Final = 16


class PaneRecord(NamedTuple):
    """One chunk of a pane, with the version and tally of the whole pane."""

    key: str
    start_ms: int
    pane_ms: int
    version: int
    packed_tally: bytes
    packed_entries: bytes
    """msgpack array of entries; see `entries_of`."""

    @property
    def place(self) -> Place:
        """Where the pane is."""
        return Place(self.key, self.start_ms)

    @property
    def tally(self) -> Tally:
        """Sums of the whole pane."""
        return unpack_tally(self.packed_tally)


class MarkRecord(NamedTuple):
    """A closed pane has changed: its row must be computed again from facts up to `offset` of the events."""

    key: str
    start_ms: int
    offset: int

    @property
    def place(self) -> Place:
        """Where the closed pane is."""
        return Place(self.key, self.start_ms)


class FrontierRecord(NamedTuple):
    """Panes that start before `start_ms` are closed on this partition."""

    start_ms: int


_encode: Final = msgspec.msgpack.Encoder().encode
_PaneBody = tuple[str, str, int, int, bytes, msgspec.Raw, msgspec.Raw]
_decode_pane: Final = msgspec.msgpack.Decoder(_PaneBody).decode
_decode_mark: Final = msgspec.msgpack.Decoder(tuple[str, str, int, int]).decode
_decode_frontier: Final = msgspec.msgpack.Decoder(tuple[str, int]).decode
_ARRAY_OF_7: Final = b"\x97"


def pane_key(place: Place, pane_ms: int, writer: str, chunk: int, chunks: int) -> bytes:
    """Key of one chunk of a pane: `P/tenant/scope/start/size#writer/chunk.chunks`."""
    text = f"P/{place.key}/{place.start_ms}/{pane_ms}#{writer}/{chunk}.{chunks}"
    return text.encode("utf-8", "surrogatepass")


def mark_key(place: Place, offset: int) -> bytes:
    """Key of a recompute mark: `M/tenant/scope/start/offset`."""
    return f"M/{place.key}/{place.start_ms}/{offset}".encode("utf-8", "surrogatepass")


def frontier_key(partition: int, writer: str) -> bytes:
    """Key of the frontier that one writer has moved: `F/partition#writer`."""
    return f"F/{partition}#{writer}".encode()


def start_of_key(key: bytes) -> int | None:
    """Pane start in the key of a pane or a mark; None for a frontier. Raises ValueError for anything else."""
    text = key.decode("utf-8", "surrogatepass")
    parts = (text.rpartition("#")[0] if text.startswith("P/") else text).rsplit("/", 2)
    if text[:2] in ("P/", "M/") and len(parts) == 3:
        return int(parts[1])
    if text.startswith("F/"):
        return None
    raise ValueError(f"not a changelog key: {key[:80]!r}")


def encode_pane(pane: Pane, pane_ms: int, writer: str, chunks: int) -> list[tuple[bytes, bytes]]:
    """Keys and values of all chunks of a pane."""
    place, version = pane.place, pane.version.to_bytes(VERSION_BYTES, "big")
    # Written as an array of 5; the tally and the entries, packed already, make it 7.
    head = _ARRAY_OF_7 + _encode(("P", place.key, place.start_ms, pane_ms, version))[1:] + pane.packed_tally
    if chunks == 1:
        return [(pane_key(place, pane_ms, writer, 0, 1), head + pane.packed())]
    parts: list[list[bytes]] = [[] for _ in range(chunks)]
    for identity, packed in pane.entries.items():
        parts[chunk_of(identity, chunks)].append(packed)
    return [
        (pane_key(place, pane_ms, writer, chunk, chunks), head + array(part, len(part)))
        for chunk, part in enumerate(parts)
    ]


def encode_mark(place: Place, offset: int) -> tuple[bytes, bytes]:
    """Key and value of a recompute mark."""
    return mark_key(place, offset), _encode(("M", place.key, place.start_ms, offset))


def encode_frontier(partition: int, writer: str, start_ms: int) -> tuple[bytes, bytes]:
    """Key and value of a frontier."""
    return frontier_key(partition, writer), _encode(("F", start_ms))


def parse(key: bytes, value: bytes) -> PaneRecord | MarkRecord | FrontierRecord:
    """The record in a changelog message (not a tombstone); raises ValueError when it is not one."""
    kind = key[:2]
    if kind == b"P/":
        _, place_key, start_ms, pane_ms, version, sums, entries = _decode_pane(value)
        return PaneRecord(place_key, start_ms, pane_ms, int.from_bytes(version, "big"), bytes(sums), bytes(entries))
    if kind == b"M/":
        return MarkRecord(*_decode_mark(value)[1:])
    if kind == b"F/":
        return FrontierRecord(_decode_frontier(value)[1])
    raise ValueError(f"not a changelog key: {key[:80]!r}")


def entries_of(record: PaneRecord) -> list[Entry]:
    """The entries that the record carries."""
    return unpack_all(record.packed_entries)
