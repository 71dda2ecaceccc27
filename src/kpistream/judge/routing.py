"""Routing: on which partition a key belongs, written again from the description of Kafka's default partitioner.

The judge places events by their content. It needs the partition of a place only to know whose frontier
closes it, from which record on its partition's log is complete, and whether a record that was sent on once
went astray again.
"""

import struct
from functools import lru_cache
from typing import Final

_MASK: Final = 0xFFFF_FFFF
_MIX: Final = 0x5BD1_E995
_SEED: Final = 0x9747_B28C


@lru_cache(maxsize=100_000)
def home(key: str, partitions: int) -> int:
    """Partition of a place's key: murmur2 of its bytes, without the sign, modulo the partitions."""
    return (_murmur2(key.encode("utf-8", "surrogatepass")) & 0x7FFF_FFFF) % partitions


def _murmur2(text: bytes) -> int:
    whole = len(text) // 4
    found = _SEED ^ len(text)
    for (word,) in struct.iter_unpack("<I", text[: 4 * whole]):
        mixed = word * _MIX & _MASK
        mixed = (mixed ^ mixed >> 24) * _MIX & _MASK
        found = (found * _MIX & _MASK) ^ mixed
    rest = text[4 * whole :]
    if rest:
        found = (found ^ int.from_bytes(rest, "little")) * _MIX & _MASK
    found = (found ^ found >> 13) * _MIX & _MASK
    return found ^ found >> 15
