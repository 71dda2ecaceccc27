"""Patterns: what people write down of working hours, before anybody asks when somebody works.

Times are minutes of a local day; `schedules.py` makes instants of them. What holds for a while is half-open.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from typing import Final, NamedTuple

from kpistream.core.public_holidays import public_holidays
from kpistream.core.roster import ALWAYS_FROM_MS, ALWAYS_TO_MS
from kpistream.core.spans import Span, Spans, minus, union
from kpistream.core.windows import local_ms


class LocalSpan(NamedTuple):
    """Minutes after the midnight with which a date begins; 1440 and more are of the next morning."""

    from_min: int
    to_min: int


class Hours(NamedTuple):
    """Working time of one date."""

    work: tuple[LocalSpan, ...] = ()
    breaks: tuple[LocalSpan, ...] = ()
    """Parts of `work` that are none."""

    def at_work(self, day: date, zone: str) -> Spans:
        """From the first minute to the last, breaks included."""
        return union(Span(local_ms(day, zone, begin), local_ms(day, zone, end)) for begin, end in self.work)

    def spans(self, day: date, zone: str) -> Spans:
        """Without the breaks."""
        pauses = union(Span(local_ms(day, zone, begin), local_ms(day, zone, end)) for begin, end in self.breaks)
        return minus(self.at_work(day, zone), pauses)


OFF: Final = Hours()
NO_WEEK: Final = (OFF,) * 7
"""A week without working hours."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A week that repeats."""

    name: str
    week: tuple[Hours, ...] = NO_WEEK
    """Seven, Monday first."""
    works_holidays: bool = False
    zone: str | None = None
    """Zone of its times; None: that of the agent, for business hours that of the team."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """A pattern that holds in `[from_ms, to_ms)`."""

    pattern: Pattern
    share: Fraction = Fraction(1)
    """Part-time share: what is expected in a week, or longer, of what a full-timer does."""
    day_share: Fraction = Fraction(1)
    """The same of a day that is worked: 1 for three full days a week."""
    from_ms: int = ALWAYS_FROM_MS
    to_ms: int = ALWAYS_TO_MS


@dataclass(frozen=True, slots=True)
class HolidayCalendar:
    """Public holidays that hold in `[from_ms, to_ms)`."""

    country: str | None
    """ISO 3166-1, two letters; None for days of one's own only."""
    subdivision: str | None = None
    also: Mapping[date, str] = field(default_factory=dict)
    """Further free days, with their names."""
    without: frozenset[date] = frozenset()
    """Public holidays that are worked."""
    from_ms: int = ALWAYS_FROM_MS
    to_ms: int = ALWAYS_TO_MS

    def name(self, day: date) -> str | None:
        """Name of the holiday on a date, None for any other day."""
        if day in self.also:
            return self.also[day]
        if self.country is None or day in self.without:
            return None
        return public_holidays(self.country, self.subdivision, day.year).get(day)


class Absence(NamedTuple):
    """A span in which an agent does not work, whatever the schedule says."""

    agent: str
    from_ms: int
    to_ms: int
    reason: str = ""
