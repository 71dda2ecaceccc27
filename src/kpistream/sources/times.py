"""Times and durations of files as integers: local texts with a format and a zone to epoch ms, durations to ms.

A local time that happens twice (clocks go back) is the first occurrence, unless it must not be before another
time of the event and the second one is not. A local time that does not exist (clocks go forward) is read with
the offset before the change: 02:30 becomes 03:30. A local time more than 12 hours before the time that it must
not precede belongs to the next day; a smaller step back is clock noise and stays.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

HALF_DAY_MS: Final = 12 * 3_600_000
ISO: Final = "iso"
EPOCHS: Final = {"epoch-s": 1000, "epoch-ms": 1}
UNITS: Final = {"ms": 1, "s": 1_000, "min": 60_000, "h": 3_600_000}
CLOCK: Final = "hh:mm:ss"
_DAY: Final = timedelta(days=1)
_MAX_DIGITS: Final = 18
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)
_PROBE: Final = datetime(2001, 2, 3, 4, 5, 6)

Parse = Callable[[str], datetime]


def format_fault(form: str) -> str | None:
    """Why a format cannot be used, None when it can."""
    if form == ISO or form in EPOCHS:
        return None
    if "%" not in form:
        return f'"{form}" is none of iso, epoch-s, epoch-ms and has no % directive'
    try:
        datetime.strptime(_PROBE.replace(tzinfo=UTC).strftime(form), form)
    except ValueError as error:
        return f'"{form}" is not a format: {error}'
    return None


def parser(form: str) -> Parse:
    """A function from text to datetime, aware when the text names its zone. It raises ValueError."""
    if form == ISO:
        return datetime.fromisoformat
    if form in EPOCHS:
        scale = EPOCHS[form]
        return lambda text: _EPOCH + _MS * int((number(text) * scale).to_integral_value())
    return lru_cache(maxsize=1 << 17)(lambda text: datetime.strptime(text, form))


def to_ms(at: datetime, zone: ZoneInfo | None, not_before_ms: int | None = None) -> int:
    """Epoch ms of a time; one without zone is local time of `zone`. Raises: ValueError without any zone."""
    if at.tzinfo is not None:
        return (at - _EPOCH) // _MS
    if zone is None:
        raise ValueError("has no zone")
    found = (at.replace(tzinfo=zone) - _EPOCH) // _MS
    if not_before_ms is None or found >= not_before_ms:
        return found
    if found < not_before_ms - HALF_DAY_MS:
        return ((at + _DAY).replace(tzinfo=zone) - _EPOCH) // _MS
    second = (at.replace(tzinfo=zone, fold=1) - _EPOCH) // _MS
    return second if second > found and second >= not_before_ms else found


def number(text: str) -> Decimal:
    """A finite number below 10^18, exactly. Raises: ValueError."""
    try:
        found = Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f'"{text}" is not a number') from error
    # Without the bound, a cell like 1e999999 would become an integer of a million digits.
    if not found.is_finite() or found.adjusted() >= _MAX_DIGITS:
        raise ValueError(f'"{text}" is not a number below 10^{_MAX_DIGITS}')
    return found


def duration_ms(text: str, unit: str) -> int:
    """A duration in ms, rounded half to even. Raises: ValueError."""
    try:
        if unit == CLOCK:
            return _clock_ms(text)
        return int((number(text) * UNITS[unit]).to_integral_value())
    except ValueError as error:
        raise ValueError(f'"{text}" is not a duration in {unit}') from error


def _clock_ms(text: str) -> int:
    parts = text.split(":")
    if not 2 <= len(parts) <= 3:
        raise ValueError("needs mm:ss or hh:mm:ss")
    total = Decimal(0)
    for part in parts:
        if not part.replace(".", "", 1).isdecimal():
            raise ValueError("needs digits")
        total = total * 60 + number(part)
    return int((total * 1000).to_integral_value())
