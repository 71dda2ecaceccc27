"""Keys: which keys of the changelog one partition knows, and which of them may be tombstoned.

Two kinds may go. A key of a closed pane or of a mark, once the sink has committed past the last record seen under
it. And a key of an earlier writer, of a live pane or a frontier, once a record of this writer that holds everything
in it is durable and a commit has succeeded since: then this writer owned the partition, so whatever earlier ones
had acknowledged was joined, and no owner ever writes under that key again (a writer names one assignment).

Keys of closed panes wait for as long as the sink is away: they are packed, 5 to 15 bytes a key instead of 160.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, NamedTuple
from zlib import compress, decompress

import msgspec

from kpistream.core.changelog import start_of_key

BLOCK_KEYS: Final = 8192
"""Closed keys that wait unpacked, at most about; as many are in one packed block."""
TOMBSTONES_A_FLUSH: Final = 5000
"""A flush carries this many at most: after a day without a sink a million are due, and live panes must not wait."""

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[bytes]).decode


class _Block(NamedTuple):
    """Packed keys of closed panes and marks."""

    newest_ms: int
    """Greatest pane start among them."""
    last_offset: int
    """Greatest offset of a record seen under any of them."""
    packed: bytes


class Keys:
    """The changelog keys of one partition. The shell says what was read and published; nothing is decided twice."""

    def __init__(self, block_keys: int = BLOCK_KEYS) -> None:
        self.block_keys = block_keys
        self._live: dict[int, dict[bytes, int]] = {}
        """By pane start: the last offset seen under each key."""
        self._closed: dict[int, dict[bytes, int]] = {}
        """The same, below the frontier."""
        self._frontiers: set[bytes] = set()
        self._tails: dict[int, set[bytes]] = {}
        """By pane start: the ends of keys (`writer/chunk`) that were seen."""
        self._closed_count = 0
        self._blocks: list[_Block] = []
        self._due: dict[bytes, None] = {}
        """Keys that may be tombstoned, whatever happens, until their tombstones are published."""
        self._frontier_ms = -1

    def __len__(self) -> int:
        live, closed = self._live.values(), self._closed.values()
        packed = sum(len(_unpacked(block)) for block in self._blocks)
        return sum(map(len, live)) + sum(map(len, closed)) + packed + len(self._due) + len(self._frontiers)

    # ---- what was seen

    def seen(self, key: bytes, offset: int) -> bool:
        """A record was read or published under the key; True when it is the first. Raises ValueError for no key."""
        return self.seen_at(start_of_key(key), key, offset)

    def seen_at(self, start_ms: int | None, key: bytes, offset: int) -> bool:
        """`seen` of a key whose pane start is known."""
        if start_ms is None:
            first = key not in self._frontiers
            self._frontiers.add(key)
            return first
        below = start_ms < self._frontier_ms
        by_start = self._closed if below else self._live
        by_key = by_start.get(start_ms)
        if by_key is None:
            by_key = by_start[start_ms] = {}
        first = key not in by_key
        by_key[key] = offset
        if below:
            self._closed_count += first
        elif first and key.startswith(b"P/"):
            tails = self._tails.get(start_ms)
            if tails is None:
                tails = self._tails[start_ms] = set()
            tails.add(key.rpartition(b"#")[2])
        return first

    def gone(self, key: bytes) -> None:
        """A tombstone was read or published under the key. Raises ValueError for no key."""
        self._due.pop(key, None)
        start_ms = start_of_key(key)
        if start_ms is None:
            self._frontiers.discard(key)
            return
        below = start_ms < self._frontier_ms
        by_start = self._closed if below else self._live
        by_key = by_start.get(start_ms)
        if by_key is not None:
            self._closed_count -= below and key in by_key
            by_key.pop(key, None)
            if not by_key:
                del by_start[start_ms]

    def earlier(self, key: bytes, writer: str) -> Iterator[bytes]:
        """Keys of other writers for what `key`, of this writer, is about."""
        own = writer.encode() + b"/"
        start_ms = start_of_key(key)
        if start_ms is None:
            yield from (other for other in self._frontiers if other != key)
        elif key.startswith(b"P/"):
            known, head = self._live.get(start_ms, {}), key.rpartition(b"#")[0] + b"#"
            for tail in self._tails.get(start_ms, ()):
                if not tail.startswith(own) and head + tail in known:
                    yield head + tail

    # ---- what may go

    @property
    def due(self) -> bool:
        """True when keys may be tombstoned whatever happens: a worker that dies before it did leaves them behind."""
        return bool(self._due)

    def superseded(self, keys: Iterable[bytes]) -> None:
        """Everything under these keys is durable under another one, and a commit has succeeded since."""
        self._due.update(dict.fromkeys(keys))

    def close(self, frontier_ms: int) -> None:
        """Panes before the frontier are closed: nothing new is written under their keys."""
        self._frontier_ms = max(self._frontier_ms, frontier_ms)
        for start_ms in [start_ms for start_ms in self._live if start_ms < self._frontier_ms]:
            by_key = self._closed[start_ms] = self._live.pop(start_ms)
            self._closed_count += len(by_key)
            self._tails.pop(start_ms, None)

    def pack(self) -> None:
        """Keep closed keys small. Not during recovery: the last record under a key may still be to come."""
        while self._closed_count > self.block_keys:
            self._pack()

    def tombstones(self, buried_ms: int, sink_committed: int | None) -> list[bytes]:
        """Keys to tombstone now: below `buried_ms` if the sink has committed past them (None: nothing), and superseded.

        Not more than `TOMBSTONES_A_FLUSH`; they are listed again until `gone` says that their tombstones are out.
        """
        out = list(islice(self._due, TOMBSTONES_A_FLUSH))
        if sink_committed is None:
            return out
        closed = (
            key
            for start_ms, by_key in self._closed.items()
            if start_ms < buried_ms
            for key, offset in by_key.items()
            if offset < sink_committed and key not in self._due
        )
        out.extend(islice(closed, TOMBSTONES_A_FLUSH - len(out)))
        for block in [it for it in self._blocks if it.newest_ms < buried_ms and it.last_offset < sink_committed]:
            if len(out) >= TOMBSTONES_A_FLUSH:
                break
            self._blocks.remove(block)
            keys = _unpacked(block)
            self.superseded(keys)
            out.extend(keys[: TOMBSTONES_A_FLUSH - len(out)])
        return out

    def _pack(self) -> None:
        keys: list[bytes] = []
        newest_ms = last_offset = -1
        while self._closed and len(keys) < self.block_keys:
            start_ms, by_key = self._closed.popitem()
            keys.extend(by_key)
            newest_ms, last_offset = max(newest_ms, start_ms), max(last_offset, *by_key.values())
        self._closed_count -= len(keys)
        self._blocks.append(_Block(newest_ms, last_offset, compress(_encode(sorted(keys)), 1)))


def _unpacked(block: _Block) -> list[bytes]:
    return _decode(decompress(block.packed))
