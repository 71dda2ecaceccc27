"""Team records: the sums that workers publish for readers of teams, and which of them lack own measures."""

from typing import Final

import msgspec

from kpistream.core.measures import Tally
from kpistream.core.windows import Window


class PaneTotal(msgspec.Struct, array_like=True, gc=False):
    """A record of the topic: sums of a pane, and every own measure where those are whole."""

    tenant: str
    scope: str
    start_ms: int
    version: bytes
    """16 bytes, most significant first."""
    sums: list[int]
    own: list[int] | None = None

    @property
    def tally(self) -> Tally:
        """All of it."""
        return _tally(self.sums) if self.own is None else _tally(self.sums) | _tally(self.own)


decode_sum: Final = msgspec.msgpack.Decoder(PaneTotal, strict=False).decode
"""A sum too large for an integer of msgpack is written as text; it becomes the integer again."""


def _tally(items: list[int]) -> Tally:
    pairs = iter(items)
    return dict(zip(pairs, pairs, strict=True))


class Partial:
    """Panes whose record lacks own measures, by tenant and start."""

    def __init__(self) -> None:
        self._keys: dict[str, dict[int, set[str]]] = {}

    def __bool__(self) -> bool:
        return any(self._keys.values())

    def note(self, key: str, start_ms: int, *, whole: bool) -> None:
        """The record of a pane that stands lacks some, or has all."""
        by_start = self._keys.setdefault(key.partition("/")[0], {})
        if not whole:
            by_start.setdefault(start_ms, set()).add(key)
        elif start_ms in by_start:
            by_start[start_ms].discard(key)
            if not by_start[start_ms]:
                del by_start[start_ms]

    def last_ms(self, tenant: str, window: Window) -> int | None:
        """Start of the last pane of the window that lacks some of one of the tenant's scopes."""
        return max((start_ms for start_ms in self._keys.get(tenant, ()) if window.holds(start_ms)), default=None)

    def forget_before(self, limit_ms: int) -> None:
        """Drop earlier panes."""
        for by_start in self._keys.values():
            for start_ms in [start_ms for start_ms in by_start if start_ms < limit_ms]:
                del by_start[start_ms]
