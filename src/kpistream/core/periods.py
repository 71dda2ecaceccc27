"""Periods: business days, weeks, months, quarters and years by their dates, each with its window in every zone.

A period is the same dates everywhere, and begins and ends with them in each zone. It is over in a zone when its window
has ended there and nothing that belongs to it can still be on its way: that is for whoever asks to know. Nobody asks
the clock.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from kpistream.core.windows import BUSINESS_DAY, Window, business_date, local_ms, window_at

LOOKED_AT: Final[dict[str, int]] = {BUSINESS_DAY: 7, "week": 2, "month": 2, "quarter": 1, "year": 1}
"""How many periods back a result is computed, and computed again for what came late."""
_NOON_MIN: Final = 12 * 60


class Period(NamedTuple):
    """A calendar window by its dates."""

    name: str
    """The window's."""
    windows: dict[str, Window]
    """By zone."""
    last_ms: int
    """The last moment of it in the tenant's own zone: who is where then is there for the whole period."""


def periods(name: str, now_ms: int, pane_ms: int, zones: Iterable[str], day_starts_at_min: int = 0) -> Iterator[Period]:
    """The period that goes on in the first of the zones, the tenant's own, and those before it that are looked at."""
    home, *others = zones
    window = window_at(name, now_ms, pane_ms, home, day_starts_at_min)
    for _ in range(LOOKED_AT[name] + 1):
        begins = business_date(window.from_ms, home, day_starts_at_min)
        windows = {home: window}
        for zone in others:
            noon_ms = local_ms(begins, zone, day_starts_at_min + _NOON_MIN)
            windows[zone] = window_at(name, noon_ms, pane_ms, zone, day_starts_at_min)
        yield Period(name, windows, window.to_ms - 1)
        window = window_at(name, window.from_ms - pane_ms, pane_ms, home, day_starts_at_min)
