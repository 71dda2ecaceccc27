"""Periods: business days, weeks, months, quarters and years that are over, the newest first.

A period is over when it has ended and nothing that belongs to it can still be on its way: that is for whoever asks to
know. Nobody asks the clock.
"""

from collections.abc import Iterator
from typing import Final

from kpistream.core.windows import BUSINESS_DAY, Window, window_at

LOOKED_AT: Final[dict[str, int]] = {BUSINESS_DAY: 7, "week": 2, "month": 2, "quarter": 1, "year": 1}
"""How many periods back a result is computed, and computed again for what came late."""


def over(name: str, now_ms: int, pane_ms: int, zone: str, day_starts_at_min: int = 0) -> Iterator[Window]:
    """The periods of a calendar window that have ended at `now_ms`, the newest first, as many as are looked at."""
    from_ms = window_at(name, now_ms, pane_ms, zone, day_starts_at_min).from_ms
    for _ in range(LOOKED_AT[name]):
        window = window_at(name, from_ms - pane_ms, pane_ms, zone, day_starts_at_min)
        yield window
        from_ms = window.from_ms
