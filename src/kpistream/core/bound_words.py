"""Words for bounds: a value in its KPI's unit, as settings are written; `settings_values.bound` reads it back."""

from fractions import Fraction
from typing import Final

from kpistream.core.targets import Target

_MINUTE_MS: Final = 60_000
_SECOND_MS: Final = 1000
_PLACES: Final = 9
"""Decimals that settings may have."""


def decimal(value: Fraction, places: int = _PLACES) -> str:
    """The number without an exponent or idle zeros: exact when it has so few decimals, else rounded."""
    scaled = round(value * 10**places)
    sign, digits = "-" if scaled < 0 else "", f"{abs(scaled):0{places + 1}}"
    whole, rest = digits[:-places], digits[-places:].rstrip("0")
    return f"{sign}{whole}.{rest}" if rest else f"{sign}{whole}"


def bound_text(unit: str, value: Fraction) -> str:
    """A bound as settings say it: `25 %`, `5 m`, `90 s`, `4.5`."""
    if unit == "share":
        return f"{decimal(100 * value)} %"
    if unit != "ms":
        return decimal(value)
    if value % _MINUTE_MS == 0:
        return f"{value // _MINUTE_MS} m"
    return f"{value // _SECOND_MS} s" if value % _SECOND_MS == 0 else f"{round(value)} ms"


def bound_words(target: Target, value: Fraction) -> str:
    """A bound of a target for people: with its unit and member."""
    unit = target.defined.unit
    text = bound_text(unit, value)
    if unit in ("share", "ms"):
        return text
    return " ".join([text, unit, *([target.member] if target.member else [])])


def bounds_words(target: Target, low: Fraction | None, high: Fraction | None) -> str:
    """One bound or both: `at least 36 calls`, `4 m to 6 m`."""
    if low is not None and high is not None:
        return f"{bound_words(target, low)} to {bound_words(target, high)}"
    if low is not None:
        return f"at least {bound_words(target, low)}"
    return f"at most {bound_words(target, high)}" if high is not None else "no bound"
