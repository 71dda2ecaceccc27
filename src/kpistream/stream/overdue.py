"""Overdue: slots that time alone may have changed, a few at a time."""

from itertools import islice
from typing import Final

from kpistream.stream.live import Slot
from kpistream.stream.rota import Rota

LOOK_AGAIN_MS: Final = 60_000
"""Pace falls due and shifts end without an event: where there is a schedule, targets are looked at so often."""
DUE_A_LOOK: Final = 50
"""Slots that time alone brings to one look, 12 ms of it: looks come ten times a second, so in a minute 30,000 do."""
_RESTING_A_LOOK: Final = 500
"""Slots that one look goes through at most: those that rest on need no look."""


class Overdue:
    """When slots with a schedule were looked at, the longest ago first."""

    def __init__(self, rota: Rota) -> None:
        self._rota = rota
        self._looked_ms: dict[Slot, int] = {}

    def looked(self, slot: Slot, now_ms: int) -> None:
        """It is looked at now."""
        self._looked_ms.pop(slot, None)
        self._looked_ms[slot] = now_ms

    def take(self, now_ms: int) -> list[Slot]:
        """Slots that were looked at a while ago, or later, by a clock that has gone back; at most 50.

        Without those that rested then and still do.
        """
        due: list[Slot] = []
        for slot, looked_ms in list(islice(self._looked_ms.items(), _RESTING_A_LOOK)):
            if 0 <= now_ms - looked_ms < LOOK_AGAIN_MS or len(due) == DUE_A_LOOK:
                break
            del self._looked_ms[slot]
            if self._rota.rests(slot[0], looked_ms, now_ms):
                self._looked_ms[slot] = now_ms
            else:
                due.append(slot)
        return due
