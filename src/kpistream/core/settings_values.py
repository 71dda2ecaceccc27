"""Values in settings: durations, bounds and moments out of text, each with its unit.

Every function returns the value, or raises ValueError with one fact for the person who wrote the text.
Numbers are read exactly: `33.3 %` is 333/1000, never a float.
"""

import re
from datetime import date, datetime
from fractions import Fraction
from typing import Final

from kpistream.core.conversion import MAX_SETTLE_MS
from kpistream.core.evidence import Level
from kpistream.core.windows import QUARTER_HOUR_MS, day_start_ms, zone_of_name
from kpistream.errors import ConfigError

_UNIT_MS: Final = {"ms": 1, "s": 1000, "m": 60_000, "min": 60_000, "h": 3_600_000}
_NUMBER: Final = r"-?\d{1,18}(?:\.\d{1,9})?"
_DURATION: Final = re.compile(rf"({_NUMBER}) ?(ms|s|m|min|h)")
_SHARE: Final = re.compile(rf"({_NUMBER}) ?%")
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_CLOCK: Final = re.compile(r"(\d{2}):(\d{2})")
_TEXT_LIMIT: Final = 256
_OFF: Final = ("off", "no", "false")
_SILENT_MS: Final = (60_000, 86_400_000)
_LEVEL: Final = re.compile(r"(\d{1,3}) a (day|week|month) for (\d{1,6})")
_WORKING_DAYS: Final = {"day": 1, "week": 5, "month": 21}


def duration_ms(text: str) -> int:
    """Milliseconds of `90 s`, `1.5 m`, `250 ms` or `2 h`; never negative."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(f'"{text}" is no duration, write 90 s, 1.5 m or 2 h')
    exact = Fraction(found[1]) * _UNIT_MS[found[2]]
    if exact < 0 or exact.denominator != 1:
        raise ValueError(f'"{text}" must be a whole number of milliseconds, 0 or more')
    return int(exact)


def silent_after_ms(text: str) -> int:
    """How long a source may be silent: 1 minute to 24 hours; 0 for `off`."""
    if text in _OFF:
        return 0
    found_ms = duration_ms(text)
    if not _SILENT_MS[0] <= found_ms <= _SILENT_MS[1]:
        raise ValueError(f'"{text}" must be 1 m to 24 h, or off')
    return found_ms


def settle_time_ms(text: str) -> int:
    """A settle time: a duration of 10 hours at most."""
    settle_ms = duration_ms(text)
    if settle_ms > MAX_SETTLE_MS:
        raise ValueError(f'"{text}" must be at most {MAX_SETTLE_MS // 3_600_000} h: calls are live no longer than that')
    return settle_ms


def bound(text: str, unit: str) -> Fraction:
    """A bound in the unit of its KPI: a share as `25 %` or `0.25`, a time as `90 s`, else a number."""
    if unit == "ms":
        return Fraction(duration_ms(text))
    percent = _SHARE.fullmatch(text)
    if percent is not None:
        if unit != "share":
            raise ValueError(f'"{text}" is a share, but the KPI is in {unit}')
        return Fraction(percent[1]) / 100
    if re.fullmatch(_NUMBER, text) is None:
        raise ValueError(f'"{text}" is no number')
    number = Fraction(text)
    if unit == "share" and abs(number) > 1:
        raise ValueError(f'"{text}" is more than the whole, write {text} % or a share such as 0.25')
    return number


def whole(text: str, low: int, high: int) -> int:
    """A whole number in `[low, high]`."""
    if re.fullmatch(r"-?\d{1,18}", text) is None or not low <= int(text) <= high:
        raise ValueError(f'"{text}" is no whole number from {low} to {high}')
    return int(text)


def level(text: str) -> Level:
    """False alarms that somebody will bear: `1 a week for 20` agents. A week is 5 working days, a month 21."""
    found = _LEVEL.fullmatch(text)
    if found is None:
        raise ValueError(f'"{text}" says no level, write 1 a week for 20, which is how many people it is about')
    out = Level(int(found[1]), _WORKING_DAYS[found[2]], int(found[3]))
    if faults := out.faults():
        raise ValueError(f'"{text}": {faults[0]}')
    return out


def clock_min(text: str) -> int:
    """Minutes after midnight of `04:00`; a multiple of 15, because days are unions of panes."""
    found = _CLOCK.fullmatch(text)
    if found is None or int(found[1]) > 23 or int(found[2]) > 59:
        raise ValueError(f'"{text}" is no time of day, write 00:00 to 23:45')
    minutes = int(found[1]) * 60 + int(found[2])
    if minutes % 15:
        raise ValueError(f'"{text}" is no quarter of an hour')
    return minutes


def moment_ms(text: str, zone: str, day_starts_at_min: int) -> int:
    """Epoch ms of a date (the start of its business day in the zone) or of a time with zone."""
    try:
        if _DATE.fullmatch(text):
            return day_start_ms(date.fromisoformat(text), zone, day_starts_at_min)
        when = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise ValueError(f'"{text}" is no date, write 2026-03-01') from error
    if when.tzinfo is None:
        raise ValueError(f'"{text}" has no zone, write a date or a time such as 2026-03-01T12:00+01:00')
    exact_ms = round(when.timestamp() * 1000)
    if exact_ms % QUARTER_HOUR_MS:
        raise ValueError(f'"{text}" must be a quarter of an hour, because a pane belongs to one team')
    return exact_ms


def zone_name(text: str) -> str:
    """The IANA name of a time zone."""
    try:
        zone_of_name(text)
    except ConfigError as error:
        raise ValueError(str(error)) from error
    return text


def identifier(text: str) -> str:
    """An id as the contract allows it for tenants, sources and names of settings."""
    if re.fullmatch(r"[A-Za-z0-9._-]{1,64}", text) is None:
        raise ValueError(f'"{text}" must be 1 to 64 of the characters A-Z a-z 0-9 . _ -')
    return text


def label(text: str) -> str:
    """A text for people or an id of another system: 1 to 256 characters, no control characters."""
    if not 1 <= len(text) <= _TEXT_LIMIT or re.search(r"[\x00-\x1f\x7f]", text):
        raise ValueError(f'"{text[:40]}" must be 1 to {_TEXT_LIMIT} characters without control characters')
    return text
