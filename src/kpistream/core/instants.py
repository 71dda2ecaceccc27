"""Instants: RFC 3339 text or epoch milliseconds become epoch milliseconds.

A time without a zone is refused, never guessed. Digits behind the millisecond are cut off. Text is split
after the seconds: `HEADS` knows the left part as if it were UTC, `TAILS` what the fraction and the zone
add to it; both only ever hold what `instant` has checked, so a look-up in them is as strict as `instant`.
"""

import re
from datetime import date, datetime
from typing import Final

from kpistream.core.quoting import quoted
from kpistream.errors import EventRejected, Reason

MIN_MS: Final = 631_152_000_000
"""1990-01-01T00:00:00Z, the first instant that the contract takes."""
END_MS: Final = 4_102_444_800_000
"""2100-01-01T00:00:00Z, the first instant that it does not take any more."""
MILLISECONDS_FROM: Final = 100_000_000_000
"""Smaller integers would be before March 1973 in ms: somebody has sent seconds."""

_TEXT: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})"
    r"(?:\.([0-9]{1,9}))?([Zz]|[+-][0-9]{2}:[0-9]{2})?"
)
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_CACHE_LIMIT: Final = 65_536
_HINT_TEXT: Final = "write RFC 3339 with a zone, such as 2026-03-04T08:17:02.118Z, or epoch milliseconds"

HEADS: Final[dict[str, int]] = {}
"""`YYYY-MM-DDTHH:MM:SS` -> ms as if UTC; a bounded cache."""
TAILS: Final[dict[str, int]] = {}
"""`.mmmZ`, `Z`, `+02:00`, ... -> ms to add to the head; a bounded cache, never more than three decimals."""


def instant(value: object) -> int:
    """Epoch ms of RFC 3339 text, of whole epoch milliseconds or of an aware datetime.

    Raises EventRejected; its detail does not name the field.
    """
    if isinstance(value, str):
        return _in_range(_from_text(value), value)
    if isinstance(value, datetime):
        return _in_range(_from_datetime(value), value.isoformat())
    if isinstance(value, int) and not isinstance(value, bool):
        if 0 <= value < MILLISECONDS_FROM:
            raise EventRejected(
                Reason.SECONDS_NOT_MILLISECONDS,
                f"{value} is too small for epoch milliseconds",
                "multiply epoch seconds by 1000",
            )
        return _in_range(value, quoted(value))
    raise EventRejected(Reason.INVALID_FIELD, f"{quoted(value)} is not a time", _HINT_TEXT)


def instant_or_zero(value: str | float) -> int:
    """Like `instant` for a decoded JSON value, with 0 for everything that it would refuse. Looks up first."""
    if isinstance(value, str):
        head, tail = HEADS.get(value[:19]), value[19:]
        offset = TAILS.get(tail)
        if offset is None and len(tail) > 5:
            offset = TAILS.get(_cut_tail(tail))
        if head is not None and offset is not None:
            return head + offset
    try:
        return instant(value)
    except EventRejected:
        return 0


def to_text(at_ms: int) -> str:
    """RFC 3339 in UTC with milliseconds."""
    seconds, ms = divmod(at_ms, 1000)
    days, second = divmod(seconds, 86_400)
    day = date.fromordinal(_EPOCH_DAY + days)
    return f"{day.isoformat()}T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}.{ms:03}Z"


def _in_range(at_ms: int, seen: str) -> int:
    if MIN_MS <= at_ms < END_MS:
        return at_ms
    raise EventRejected(Reason.TIME_OUT_OF_RANGE, f"{seen} is outside 1990-01-01 to 2100-01-01")


def _from_datetime(value: datetime) -> int:
    offset = value.utcoffset()
    if offset is None:
        raise EventRejected(Reason.NO_ZONE, f'"{value.isoformat()}" has no zone', "use an aware datetime")
    day = value.toordinal() - _EPOCH_DAY
    seconds = day * 86_400 + value.hour * 3600 + value.minute * 60 + value.second
    offset_us = (offset.days * 86_400 + offset.seconds) * 1_000_000 + offset.microseconds
    return (seconds * 1_000_000 + value.microsecond - offset_us) // 1000


def _from_text(text: str) -> int:
    match = _TEXT.fullmatch(text)
    if match is None:
        raise EventRejected(Reason.INVALID_FIELD, f"{quoted(text)} is not a time", _HINT_TEXT)
    if match[8] is None:
        raise EventRejected(
            Reason.NO_ZONE, f"{quoted(text)} has no zone", "end the time with Z or an offset such as +02:00"
        )
    head_ms = _head_ms(match)
    tail_ms = int((match[7] or "").ljust(3, "0")[:3]) - _offset_ms(match[8])
    if head_ms is None or tail_ms < -86_400_000:
        raise EventRejected(Reason.INVALID_FIELD, f"{quoted(text)} is not on the calendar or the clock")
    tail = text[19:]
    for cache, part, ms in ((HEADS, text[:19], head_ms), (TAILS, _cut_tail(tail) or tail, tail_ms)):
        if len(cache) >= _CACHE_LIMIT:
            cache.clear()
        cache[part] = ms
    return head_ms + tail_ms


def _head_ms(match: re.Match[str]) -> int | None:
    year, month, day, hour, minute, second = (int(match[group]) for group in range(1, 7))
    if hour > 23 or minute > 59 or second > 59:
        return None
    try:
        days = date(year, month, day).toordinal() - _EPOCH_DAY
    except ValueError:
        return None
    return (days * 86_400 + hour * 3600 + minute * 60 + second) * 1000


def _cut_tail(tail: str) -> str:
    """The tail without the digits behind the millisecond; empty when it has none, or is no tail."""
    zone = tail[-1:] if tail[-1:] in ("Z", "z") else tail[-6:]
    behind = tail[4 : len(tail) - len(zone)]
    return tail[:4] + zone if 0 < len(behind) <= 6 and behind.isascii() and behind.isdigit() else ""


def _offset_ms(zone: str) -> int:
    """Offset in ms; two days when it is not on the clock."""
    if zone in "Zz":
        return 0
    hours, minutes = int(zone[1:3]), int(zone[4:6])
    if hours > 23 or minutes > 59:
        return 2 * 86_400_000
    return (-1 if zone[0] == "-" else 1) * (hours * 60 + minutes) * 60_000
