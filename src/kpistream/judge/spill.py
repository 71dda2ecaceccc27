"""Spill: items on disk, parted by a hash of their key, so that what belongs together fits memory together.

All items of one key come back in one bucket. A bucket whose file is larger than the bound is parted again
by other bits of the hash; only a single key that is larger than the bound stays whole. What is in memory at
any time is the buffers, a quarter of the limit at most, and what the reader keeps of one bucket.
"""

import marshal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

Item = tuple[Any, ...]

FAN_OUT_BITS: Final = 5
"""Every parting makes 32 buckets."""
DEEPEST: Final = 8
"""Partings of one bucket: a thousand thousand million keys."""
GROWTH: Final = 16
"""How much more an item takes as Python objects, folded, than as bytes in a file: measured 6 to 12."""
_LENGTH_BYTES: Final = 4


class Spill:
    """Items by key, on disk below `directory`, within `limit_bytes` of memory."""

    def __init__(self, directory: Path, limit_bytes: int, depth: int = 0) -> None:
        self._directory = directory
        self._limit_bytes = limit_bytes
        self._depth = depth
        self._buffers = [bytearray() for _ in range(1 << FAN_OUT_BITS)]
        self._buffered_bytes = 0
        directory.mkdir(parents=True)

    def put(self, key: str, *item: Any) -> None:
        """Keep an item: plain values, tuples and dictionaries of them."""
        blob = marshal.dumps((key, *item))
        index = hash(key) >> (self._depth * FAN_OUT_BITS) & (1 << FAN_OUT_BITS) - 1
        self._buffers[index] += len(blob).to_bytes(_LENGTH_BYTES, "big") + blob
        self._buffered_bytes += len(blob) + _LENGTH_BYTES
        if self._buffered_bytes > self._limit_bytes // 4:
            self._write()

    def buckets(self) -> Iterator["Bucket"]:
        """Every bucket that holds something; each is deleted when the next one is asked for."""
        self._write()
        for path in sorted(self._directory.iterdir()):
            bucket = Bucket(path)
            if path.stat().st_size * GROWTH <= self._limit_bytes or self._depth + 1 >= DEEPEST:
                yield bucket
            else:
                yield from self._parted(bucket).buckets()
            path.unlink()
        self._directory.rmdir()

    def _parted(self, bucket: "Bucket") -> "Spill":
        inner = Spill(self._directory.with_name(f"{self._directory.name}-"), self._limit_bytes, self._depth + 1)
        for item in bucket:
            inner.put(*item)
        return inner

    def _write(self) -> None:
        for index, buffer in enumerate(self._buffers):
            if buffer:
                with (self._directory / f"{index:03}").open("ab") as file:
                    file.write(buffer)
                buffer.clear()
        self._buffered_bytes = 0


class Bucket:
    """Items whose keys fall together: `(key, ...)` in the order in which they were put. Can be read again."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[Item]:
        with self._path.open("rb") as file:
            while head := file.read(_LENGTH_BYTES):
                yield _item(file, int.from_bytes(head, "big"))


def _item(file: BinaryIO, size: int) -> Item:
    item: Item = marshal.loads(file.read(size))
    return item
