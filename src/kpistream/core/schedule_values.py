"""Values in schedules: times of day, weekdays, moments and part-time shares out of text.

Every function returns the value, or raises ValueError with one fact for the person who wrote the text.
"""

import re
from datetime import datetime
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import Final

from kpistream.core.patterns import Hours, LocalSpan
from kpistream.core.settings_dates import SCHEDULE_YEARS, calendar_date, of_years
from kpistream.core.settings_values import bound
from kpistream.core.windows import day_start_ms, local_ms

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MIN: Final = 24 * 60
_TIME: Final = re.compile(r"(\d{2}):(\d{2})(?::00)?")
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


def time_min(text: str) -> int:
    """Minutes after midnight of `08:30`; `24:00` is the end of the day."""
    found = _TIME.fullmatch(text)
    if found is None or int(found[2]) > 59 or int(found[1]) * 60 + int(found[2]) > DAY_MIN:
        raise ValueError(f'"{text}" is no time of day, write 00:00 to 24:00')
    return int(found[1]) * 60 + int(found[2])


@lru_cache(maxsize=4096)
def local_span(begin: str, end: str) -> LocalSpan:
    """From one time of day to another; an end that is not later is of the next morning."""
    from_min, to_min = time_min(begin), time_min(end)
    if from_min in (DAY_MIN, to_min):
        raise ValueError(f'"{begin}-{end}" is empty, a whole day is 00:00-24:00')
    return LocalSpan(from_min, to_min if to_min > from_min else to_min + DAY_MIN)


def local_spans(texts: list[str]) -> tuple[LocalSpan, ...]:
    """The spans of `[08:00-12:00, 13:00-17:00]`, or of one such text with commas; none of `off`."""
    if texts == ["off"]:
        return ()
    out = []
    for part in (part.strip() for text in texts for part in text.split(",")):
        begin, dash, end = part.partition("-")
        if not dash:
            raise ValueError(f'"{part}" is no span of time, write 08:00-12:00, or off')
        out.append(local_span(begin.strip(), end.strip()))
    ordered = sorted(out)
    for earlier, later in pairwise(ordered):
        if later.from_min < earlier.to_min:
            raise ValueError(f"{shown(earlier)} and {shown(later)} overlap")
    return tuple(ordered)


def shown(span: LocalSpan) -> str:
    """The span as people write it."""
    begin, end = span.from_min % DAY_MIN, span.to_min if span.to_min <= DAY_MIN else span.to_min - DAY_MIN
    return f"{begin // 60:02}:{begin % 60:02}-{end // 60:02}:{end % 60:02}"


@lru_cache(maxsize=4096)
def hours_of(work: tuple[LocalSpan, ...], breaks: tuple[LocalSpan, ...]) -> Hours:
    """Hours of a date; a break after midnight belongs to the span that reaches there."""
    placed = []
    for pause in breaks:
        options = (pause, LocalSpan(pause.from_min + DAY_MIN, pause.to_min + DAY_MIN))
        inside = [each for each in options if any(span[0] <= each[0] and each[1] <= span[1] for span in work)]
        if not inside:
            raise ValueError(f"the break {shown(pause)} is in no working time of its day")
        placed.append(inside[0])
    return Hours(work, tuple(placed))


def weekday_numbers(text: str) -> tuple[int, ...]:
    """Days of `mon`, `mon-fri`, `sun-thu` or `mon, wed`, 0 for Monday."""
    out: list[int] = []
    for part in (part.strip() for part in text.split(",")):
        first, dash, last = part.partition("-")
        if first not in WEEKDAYS or (dash and last not in WEEKDAYS):
            raise ValueError(f'"{part}" is no weekday, write mon, mon-fri or "sat, sun"')
        begin = WEEKDAYS.index(first)
        count = (WEEKDAYS.index(last) - begin) % 7 + 1 if dash else 1
        out += [(begin + day) % 7 for day in range(count)]
    return tuple(out)


def part_time(text: str) -> Fraction:
    """A share above 0, at most the whole: `50 %` or `0.5`."""
    share = bound(text, "share")
    if not 0 < share <= 1:
        raise ValueError(f'"{text}" must be above 0 % and at most 100 %')
    return share


def local_moment_ms(text: str, zone: str, day_starts_at_min: int) -> int:
    """Epoch ms of a date (start of its business day) or of a time `2026-12-24 12:00`, local unless it has a zone."""
    if _DATE.fullmatch(of_years(text, SCHEDULE_YEARS)):
        return day_start_ms(calendar_date(text), zone, day_starts_at_min)
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f'"{text}" is no date or time, write 2026-12-24 or 2026-12-24 12:00') from error
    if when.second or when.microsecond:
        raise ValueError(f'"{text}" must be a whole minute')
    if when.tzinfo is None:
        return local_ms(when.date(), zone, when.hour * 60 + when.minute)
    return int(when.timestamp()) * 1000
