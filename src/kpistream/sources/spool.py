"""Spool: records sorted by their time in bounded memory, by sorted chunks on disk and one merge.

Records of the same time keep the order in which they were added. At most one chunk is in memory while adding;
merging holds one record a chunk. The folder is the caller's; its files are deleted with the spool.
"""

import heapq
from collections.abc import Iterable, Iterator
from operator import attrgetter
from pathlib import Path
from struct import Struct
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import BinaryIO, Final, Self

from kpistream.sources.mapping import Record

CHUNK_BYTES: Final = 64 << 20
"""Bytes of events in memory before they are sorted and written, 64 MiB; Python's own share is about as much again."""
FAN_IN: Final = 64
"""Files merged at a time, well below the usual limit of 1,024 open files."""

_OVERHEAD_BYTES: Final = 200
_HEAD: Final = Struct("<qIII")
_at: Final = attrgetter("occurred_at_ms")


class Spool:
    """Add records in any order, then take them in order of time. A context manager."""

    def __init__(self, folder: Path | None = None, chunk_bytes: int = CHUNK_BYTES) -> None:
        self._folder = TemporaryDirectory(prefix="kpistream-spool-", dir=folder)
        self._chunk_bytes = chunk_bytes
        self._records: list[Record] = []
        self._bytes = 0
        self._chunks: list[Path] = []
        self._written = 0
        self.count = 0
        """Records added so far."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Delete the files."""
        self._records.clear()
        self._folder.cleanup()

    def add(self, record: Record) -> None:
        """Add one record; writes a chunk when the memory for one is full."""
        self._records.append(record)
        self.count += 1
        self._bytes += len(record.value) + len(record.key) + _OVERHEAD_BYTES
        if self._bytes >= self._chunk_bytes:
            self._records.sort(key=_at)
            self._chunks.append(self._write(self._records))
            self._records.clear()
            self._bytes = 0

    def in_order(self) -> Iterator[Record]:
        """Every record that was added, by time; may be taken again, until the spool is closed."""
        self._records.sort(key=_at)
        while len(self._chunks) > FAN_IN:
            # Neighbours are merged, so that equal times keep the order in which they were added.
            self._chunks = [
                self._write(_merged(self._chunks[n : n + FAN_IN])) for n in range(0, len(self._chunks), FAN_IN)
            ]
        return heapq.merge(*map(_read, self._chunks), self._records, key=_at)

    def _write(self, records: Iterable[Record]) -> Path:
        path = Path(self._folder.name) / f"{self._written:06d}"
        self._written += 1
        with path.open("wb", buffering=1 << 20) as file:
            for value, key, at_ms, event_type in records:
                place, name = key.encode(), event_type.encode()
                file.write(_HEAD.pack(at_ms, len(value), len(place), len(name)) + value + place + name)
        return path


def _merged(paths: list[Path]) -> Iterator[Record]:
    yield from heapq.merge(*map(_read, paths), key=_at)
    for path in paths:
        path.unlink()


def _read(path: Path) -> Iterator[Record]:
    with path.open("rb", buffering=1 << 16) as file:
        while head := file.read(_HEAD.size):
            at_ms, value_length, key_length, type_length = _HEAD.unpack(head)
            value = _exactly(file, value_length)
            key = _exactly(file, key_length).decode()
            yield Record(value, key, at_ms, _exactly(file, type_length).decode())


def _exactly(file: BinaryIO, length: int) -> bytes:
    found = file.read(length)
    assert len(found) == length, "a chunk of the spool is cut short"
    return found
