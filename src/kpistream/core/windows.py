"""Windows: spans of time as unions of panes, in any time zone.

Every interval is half-open, `[from_ms, to_ms)`, in epoch ms. Panes start at multiples of their size
since the epoch; a size divides 15 minutes, and every offset of every time zone since 1990 is a
multiple of 15 minutes, so a business day is always a union of whole panes. Nobody asks the clock:
`now_ms` is a parameter. The only tables read are those of the time-zone database.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from kpistream.core.measures import Contribution, Tally, add, difference, total
from kpistream.core.tallies import NOTHING, unpack_tally
from kpistream.errors import ConfigError

MINUTE_MS: Final = 60_000
QUARTER_HOUR_MS: Final = 15 * MINUTE_MS
DEFAULT_PANE_MS: Final = 5 * MINUTE_MS
PANE_SIZES_MS: Final[tuple[int, ...]] = tuple(
    size for size in range(1000, QUARTER_HOUR_MS + 1, 1000) if QUARTER_HOUR_MS % size == 0
)
"""Sizes that a pane may have: whole seconds that divide 15 minutes."""

ROLLING_15M: Final = "rolling-15m"
ROLLING_60M: Final = "rolling-60m"
BUSINESS_DAY: Final = "business-day"
ROLLING_MS: Final[dict[str, int]] = {ROLLING_15M: 15 * MINUTE_MS, ROLLING_60M: 60 * MINUTE_MS}
LIVE_WINDOWS: Final[tuple[str, ...]] = (ROLLING_15M, ROLLING_60M, BUSINESS_DAY)
"""Windows that workers keep up to date."""
CALENDAR_WINDOWS: Final[tuple[str, ...]] = (BUSINESS_DAY, "week", "month", "quarter", "year")


class Window(NamedTuple):
    """A union of panes: `[from_ms, to_ms)`, epoch ms."""

    from_ms: int
    to_ms: int

    def holds(self, at_ms: int) -> bool:
        """True when the instant lies in the window."""
        return self.from_ms <= at_ms < self.to_ms


def pane_start(at_ms: int, pane_ms: int) -> int:
    """Start of the pane that holds the instant."""
    return at_ms - at_ms % pane_ms


def rolling(now_ms: int, length_ms: int, pane_ms: int) -> Window:
    """The panes whose start lies in `(now_ms - length_ms, now_ms]`; the last is the current one.

    Whole panes only, so up to one pane less than `length_ms` of the past is covered, and the rest of
    the current pane is still to come. `length_ms` is a multiple of `pane_ms`.
    """
    assert length_ms % pane_ms == 0 and length_ms > 0, (length_ms, pane_ms)
    to_ms = pane_start(now_ms, pane_ms) + pane_ms
    return Window(to_ms - length_ms, to_ms)


@lru_cache(maxsize=1024)
def zone_of_name(zone: str) -> ZoneInfo:
    """The time zone of an IANA name; raises ConfigError when the database has none."""
    try:
        return ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(f'unknown time zone "{zone}"') from error


@lru_cache(maxsize=16384)
def _local_ms(ordinal: int, zone: str, minute: int) -> int:
    tz = zone_of_name(zone)
    local = datetime.combine(date.fromordinal(ordinal), time(minute // 60, minute % 60))
    first = local.replace(tzinfo=tz, fold=0).astimezone(UTC)
    second = local.replace(tzinfo=tz, fold=1).astimezone(UTC)
    if second > first:
        before = (second - timedelta(microseconds=1)).astimezone(tz).replace(tzinfo=None)
        if before < local:
            first = second
    return int(first.timestamp()) * 1000


def local_ms(day: date, zone: str, minute: int) -> int:
    """Instant at which the clocks of a zone show a time of a local date, epoch ms.

    `minute` counts from local midnight; 1440 and more are times of the days that follow. A time that the clock skips
    (spring) is read with the offset before the change, as RFC 5545 3.3.5 does. A time that the clock
    shows twice (autumn) is the one after which the clock never shows an earlier time: Havana goes from 01:00 back to
    00:00 and the first midnight counts, St. John's went from 00:01 back to 23:01 and the second did.
    """
    return _local_ms(day.toordinal() + minute // (24 * 60), zone, minute % (24 * 60))


def day_start_ms(day: date, zone: str, day_starts_at_min: int = 0) -> int:
    """Instant at which the business day of a local date begins, epoch ms, by the rules of `local_ms`.

    `day_starts_at_min` is minutes after local midnight, a multiple of 15.
    """
    assert 0 <= day_starts_at_min < 24 * 60 and day_starts_at_min % 15 == 0, day_starts_at_min
    return _local_ms(day.toordinal(), zone, day_starts_at_min)


def business_date(at_ms: int, zone: str, day_starts_at_min: int = 0) -> date:
    """Local date whose business day holds the instant."""
    day = datetime.fromtimestamp(at_ms // 1000, zone_of_name(zone)).date() + timedelta(days=1)
    while day_start_ms(day, zone, day_starts_at_min) > at_ms:
        day -= timedelta(days=1)
    return day


def business_day(now_ms: int, zone: str, day_starts_at_min: int = 0) -> Window:
    """The business day that holds `now_ms`: 23, 24 or 25 hours, whatever the clocks of the zone do."""
    day = business_date(now_ms, zone, day_starts_at_min)
    return _span(day, day + timedelta(days=1), zone, day_starts_at_min)


def week(now_ms: int, zone: str, day_starts_at_min: int = 0) -> Window:
    """The week of business days, Monday to Sunday (ISO 8601), that holds `now_ms`."""
    day = business_date(now_ms, zone, day_starts_at_min)
    monday = day - timedelta(days=day.weekday())
    return _span(monday, monday + timedelta(days=7), zone, day_starts_at_min)


def month(now_ms: int, zone: str, day_starts_at_min: int = 0) -> Window:
    """The calendar month of business days that holds `now_ms`."""
    return _months(now_ms, 1, zone, day_starts_at_min)


def quarter(now_ms: int, zone: str, day_starts_at_min: int = 0) -> Window:
    """The calendar quarter of business days that holds `now_ms`."""
    return _months(now_ms, 3, zone, day_starts_at_min)


def year(now_ms: int, zone: str, day_starts_at_min: int = 0) -> Window:
    """The calendar year of business days that holds `now_ms`."""
    return _months(now_ms, 12, zone, day_starts_at_min)


def window_at(name: str, now_ms: int, pane_ms: int, zone: str, day_starts_at_min: int = 0) -> Window:
    """The window called `name` at `now_ms`; raises KeyError for a name that is none of ours."""
    return _window_of_pane(name, pane_start(now_ms, pane_ms), pane_ms, zone, day_starts_at_min)


@lru_cache(maxsize=8192)
def _window_of_pane(name: str, start_ms: int, pane_ms: int, zone: str, day_starts_at_min: int) -> Window:
    """Every window is a union of panes, so it is the same at each moment of a pane, and for everybody in a zone."""
    if name in ROLLING_MS:
        return rolling(start_ms, ROLLING_MS[name], pane_ms)
    calendar = {BUSINESS_DAY: business_day, "week": week, "month": month, "quarter": quarter, "year": year}
    return calendar[name](start_ms, zone, day_starts_at_min)


def _months(now_ms: int, count: int, zone: str, day_starts_at_min: int) -> Window:
    day = business_date(now_ms, zone, day_starts_at_min)
    first = (day.month - 1) // count * count + 1
    begin = day.replace(month=first, day=1)
    end = date(day.year + (first + count > 12), (first + count - 1) % 12 + 1, 1)
    return _span(begin, end, zone, day_starts_at_min)


def _span(begin: date, end: date, zone: str, day_starts_at_min: int) -> Window:
    return Window(day_start_ms(begin, zone, day_starts_at_min), day_start_ms(end, zone, day_starts_at_min))


@lru_cache(maxsize=8)
def _change(old: bytes, new: bytes) -> Contribution:
    """What must be added to get from one packed tally to another: the windows of a scope ask one after the other."""
    return difference(unpack_tally(new), unpack_tally(old))


OPEN_PANES: Final = 3
"""Newest panes of a scope to which something often comes still: calls that end, and corrections of them."""


class RunningWindow:
    """The sum of one agent's panes in a window, kept up to date by what enters, leaves and changes.

    Equal at any moment to the plain sum over the agent's panes that lie in the window. `put` costs one
    pane, `move_to` the panes that leave and the starts that enter. What a pane has added is kept packed:
    a day of panes is most of what it holds, and the windows of an agent share the bytes with the panes.
    """

    __slots__ = ("_panes", "_starts", "edits", "pane_ms", "tally", "window")

    def __init__(self, window: Window, pane_ms: int) -> None:
        self.window = window
        self.tally: Tally = {}
        """Sum over the panes in the window. Read it, do not change it."""
        self.pane_ms = pane_ms
        self._panes: dict[int, bytes] = {}
        self._starts: list[int] = []
        self.edits = 0
        """Counts changes before the `OPEN_PANES` newest panes: who has gone through the panes begins anew."""

    @property
    def starts(self) -> Sequence[int]:
        """Starts of the panes that have something in them, ascending. Read it, do not change it."""
        return self._starts

    def packed_at(self, start_ms: int) -> bytes:
        """The packed tally of one of these panes."""
        return self._panes[start_ms]

    def pane_at(self, at_ms: int) -> bytes:
        """The packed tally of the pane that holds an instant."""
        return self._panes.get(pane_start(at_ms, self.pane_ms), NOTHING)

    def sum_from(self, from_ms: int) -> Tally:
        """Sum over the panes that start then or later."""
        later = self._starts[bisect_left(self._starts, from_ms) :]
        return total(unpack_tally(self._panes[start_ms]) for start_ms in later)

    def put(self, start_ms: int, packed: bytes) -> bool:
        """The pane at `start_ms` now has this packed tally, whatever it had before; True when it was another.

        A pane outside the window is ignored: `move_to` asks for it when it enters.
        """
        if not self.window.holds(start_ms):
            return False
        old = self._panes.get(start_ms, NOTHING)
        if old == packed:
            return False
        change = _change(old, packed)
        if not change:
            return False
        add(self.tally, change)
        self.edits += len(self._starts) >= OPEN_PANES and start_ms < self._starts[-OPEN_PANES]
        if packed == NOTHING:
            self._forget(start_ms)
            return True
        if old is NOTHING:
            insort(self._starts, start_ms)
        self._panes[start_ms] = packed
        return True

    def move_to(self, window: Window, packed_at: Callable[[int], bytes]) -> bool:
        """Go to another window; `packed_at` gives the agent's packed tally of the pane at a start.

        True when a pane with something in it has left or entered.
        """
        leaving = self._leaving(window)
        for start_ms in leaving:
            add(self.tally, _change(self._panes[start_ms], NOTHING))
            self._forget(start_ms)
        old, self.window = self.window, window
        changed = bool(leaving)
        before = range(window.from_ms, min(window.to_ms, old.from_ms), self.pane_ms)
        after = range(max(window.from_ms, old.to_ms), window.to_ms, self.pane_ms)
        for start_ms in (*before, *after):
            changed |= self.put(start_ms, packed_at(start_ms))
        return changed

    def _leaving(self, window: Window) -> list[int]:
        first = bisect_left(self._starts, window.from_ms)
        last = bisect_left(self._starts, window.to_ms)
        return self._starts[:first] + self._starts[max(first, last) :]

    def _forget(self, start_ms: int) -> None:
        self.edits += 1
        del self._panes[start_ms]
        del self._starts[bisect_left(self._starts, start_ms)]
