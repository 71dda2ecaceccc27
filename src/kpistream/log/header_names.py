"""Header names: a record whose header has a name that is no UTF-8 is read like any other.

Kafka takes any bytes as a name; aiokafka raises in the middle of a fetch (record/default_records.py,
_read_msg), so that one such record would stop every consumer of its topic for good. Such a name is read with
`\\xNN` in place of each byte that is no UTF-8. Importing this module installs it for all consumers of the
process; it costs nothing until a record needs it. It can go when aiokafka hands names out as bytes.
"""

import struct
from typing import Any, Final

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

_LENGTH_AT: Final = 8
_HEAD_BYTES: Final = 12
_MAGIC_AT: Final = 16
_LAST_DELTA_AT: Final = 23


class _Bytes(bytearray):
    """Bytes whose parts decode whatever they hold."""

    def __getitem__(self, key: Any) -> Any:
        part = super().__getitem__(key)
        return _Bytes(part) if isinstance(key, slice) else part

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The text, `\\xNN` for what is none."""
        return super().decode(encoding, "backslashreplace")


class _Batch(_DefaultRecordBatchPy):  # type: ignore[misc]
    """A batch read in Python, one record at a time."""

    _buffer: Any

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        if type(self._buffer) is not _Bytes:
            self._buffer = _Bytes(self._buffer)


class Records(MemoryRecords):  # type: ignore[misc]
    """The batches of a fetch, which can be read a second time."""

    def __init__(self, held: bytes) -> None:
        super().__init__(held)
        self.held = held


class Again:
    """The batches of a fetch from that of `offset` on, read in Python.

    Not those before: at the end of each, aiokafka moves on to the offset behind it, which would be back.
    """

    def __init__(self, held: bytes, offset: int) -> None:
        self._held, self._at = held, 0
        while self.has_next() and self._last_offset() < offset:
            self._at = self._end()

    def _last_offset(self) -> int:
        base = struct.unpack_from(">q", self._held, self._at)[0]
        return int(base + struct.unpack_from(">i", self._held, self._at + _LAST_DELTA_AT)[0])

    def _end(self) -> int:
        if len(self._held) - self._at < _HEAD_BYTES:
            return len(self._held) + 1
        return int(self._at + _HEAD_BYTES + struct.unpack_from(">i", self._held, self._at + _LENGTH_AT)[0])

    def has_next(self) -> bool:
        """Whether a whole batch is left."""
        return self._end() <= len(self._held)

    def next_batch(self) -> Any:
        """The next batch. Formats before 2 know no headers and do not come here."""
        begin, self._at = self._at, self._end()
        assert self._held[begin + _MAGIC_AT] >= 2, "only format 2 has headers"
        return _Batch(memoryview(self._held)[begin : self._at])


class PartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    """The records of a fetch; where a name cannot be decoded, the rest is read again in Python."""

    _records: Any

    def __next__(self) -> Any:
        try:
            return super().__next__()
        except UnicodeDecodeError:
            self._records = Again(self._records.held, self.next_fetch_offset)
            self._records_iterator = self._unpack_records()  # skips what was handed out
            return super().__next__()


fetcher.MemoryRecords, fetcher.PartitionRecords = Records, PartitionRecords
