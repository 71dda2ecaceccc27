"""Dates in settings: days of the calendar, and from when to when something holds, in the zone of its tenant.

A date is the start of its business day, and `to` is the first moment that no longer counts. Schedules know the years
1990 to 2200 only: earlier offsets need not be quarters of an hour, and at the ends of the calendar local times have no
instant. A roster may reach back further: people began when they did.
"""

import re
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Final

from kpistream.core.roster import ALWAYS_FROM_MS, ALWAYS_TO_MS
from kpistream.core.settings_values import label, moment_ms
from kpistream.core.windows import day_start_ms
from kpistream.core.yaml_nodes import Section

SCHEDULE_YEARS: Final = range(1990, 2201)
"""Years of which dates of schedules and absences may be."""
_ANY_YEAR: Final = range(10_000)
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_YEAR: Final = re.compile(r"\d{4}")


@dataclass(frozen=True, slots=True)
class Calendar:
    """How dates of a tenant are read."""

    zone: str
    day_starts_at_min: int
    years: range = _ANY_YEAR
    """Those of which a date may be."""

    def moment(self, text: str) -> int:
        """Epoch ms of a date or of a time with zone; raises ValueError."""
        return moment_ms(of_years(text, self.years), self.zone, self.day_starts_at_min)

    def start_ms(self, day: date) -> int:
        """Start of the business day of a date, epoch ms."""
        return day_start_ms(day, self.zone, self.day_starts_at_min)


def of_years(text: str, years: range) -> str:
    """The text of a date or time, unless it begins with another year; raises ValueError."""
    found = _YEAR.match(text)
    if found is not None and int(found[0]) not in years:
        raise ValueError(f'"{text}" must be of the years {years[0]} to {years[-1]}')
    return text


@lru_cache(maxsize=4096)
def calendar_date(text: str) -> date:
    """The date of `2026-12-24`, of the years of schedules; raises ValueError."""
    of_years(text, SCHEDULE_YEARS)
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise ValueError(f'"{text}" is no date, write 2026-12-24')


def span(section: Section, calendar: Calendar) -> tuple[int, int] | None:
    """The `from` and `to` of a section, all of time when it has none; None, with a fault, when they contradict."""
    begin, end = section.read("from", calendar.moment), section.read("to", calendar.moment)
    if begin is not None and end is not None and end <= begin:
        section.fault("must be after from", "to")
        return None
    return (ALWAYS_FROM_MS if begin is None else begin, ALWAYS_TO_MS if end is None else end)


def listed_dates(section: Section, key: str) -> list[date]:
    """The dates of a list, or the one of a text."""
    out = []
    for text in section.texts(key):
        try:
            out.append(calendar_date(text))
        except ValueError as error:
            section.fault(str(error), key)
    return out


def named_dates(section: Section, key: str) -> dict[date, str]:
    """Names by date."""
    node = section.node(key)
    if node is None:
        return {}
    inner = Section(node, section.faults)
    out = {}
    for text in inner:
        name = inner.read(text, label)
        try:
            out[calendar_date(text)] = name or text
        except ValueError as error:
            inner.fault(str(error), text)
    return out
