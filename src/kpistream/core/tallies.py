"""Tallies as bytes: how sums are kept small in memory and carried in records.

A packed tally is a msgpack array: number, value, number, value. Two with the same sums may differ in their bytes;
equal bytes always mean equal sums.
"""

from collections.abc import Mapping
from itertools import chain
from typing import Final

import msgspec

from kpistream.core.measures import Tally

_INTEGER_END: Final = 1 << 63
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[int], strict=False).decode
"""Text becomes the integer that it says."""


def flat(tally: Mapping[int, int]) -> list[int | str]:
    """The tally as number, value, number, value; a value that msgpack has no integer for is decimal text."""
    if not tally or max(tally.values()) < _INTEGER_END:
        return list(chain.from_iterable(tally.items()))
    return [item if item < _INTEGER_END else str(item) for pair in tally.items() for item in pair]


def pack_tally(tally: Mapping[int, int]) -> bytes:
    """The flat tally as msgpack."""
    return _encode(flat(tally))


def unpack_tally(packed: bytes) -> Tally:
    """The tally that `pack_tally` has packed; raises `msgspec.DecodeError` when it is none."""
    pairs = iter(_decode(packed))
    return dict(zip(pairs, pairs, strict=True))


NOTHING: Final = pack_tally({})
"""A tally with nothing in it."""
