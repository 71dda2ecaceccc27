"""Values: how a single field of an event is checked, and what it becomes.

Each check takes a decoded JSON value and returns what the judge computes with, or raises EventRejected.
Like the rest of the judge: written from the words of the contract, sharing no code with the engine.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from math import isfinite
from typing import Any, Final, NoReturn

from kpistream.errors import EventRejected, Reason

Check = Callable[[object], Any]

SMALLEST_MS: Final = 10**11
"""A whole number below this is a time in seconds: as milliseconds it would be 1973 or before."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FROM: Final = datetime(1990, 1, 1, tzinfo=UTC)
_TO: Final = datetime(2100, 1, 1, tzinfo=UTC)
_TIME: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)?", re.ASCII
)
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CODES: Final = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE "
    "CHF CHW CLF CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF "
    "GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR "
    "LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN "
    "PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS "
    "TMT TND TOP TRY TTD TWD TZS UAH UGX USD USN UYI UYU UYW UZS VED VES VND VUV WST XAD XAF XAG XAU XBA XBB XBC "
    "XBD XCD XCG XDR XOF XPD XPF XPT XSU XTS XUA XXX YER ZAR ZMW ZWG "
)
CURRENCIES: Final = frozenset(_CODES.split())
"""ISO 4217:2015, list one, alphabetic codes."""


def refuse(reason: Reason, detail: str) -> NoReturn:
    """Raise the rejection of a record."""
    raise EventRejected(reason, detail)


def invalid(value: object, wanted: str) -> NoReturn:
    """Raise the rejection of one value."""
    refuse(Reason.INVALID_FIELD, f"{value!r:.80} is not {wanted}")


def text(longest: int) -> Check:
    """Check text of 1 to `longest` characters without control characters."""

    def check(value: object) -> str:
        if not isinstance(value, str) or not 1 <= len(value) <= longest or _CONTROL.search(value):
            invalid(value, f"text of 1 to {longest} characters")
        return value

    return check


def name(value: object) -> str:
    """Check the name of a tenant or source."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        invalid(value, "a name of letters, digits, '.', '_' and '-'")
    return value


def place(value: object) -> str:
    """Check the scope that a retraction leaves."""
    kind, _, named = text(265)(value).partition(":")
    if kind not in ("agent", "queue", "campaign") or not named:
        invalid(value, "agent:ID, queue:NAME or campaign:NAME")
    return str(value)


def one_of(*words: str) -> Check:
    """Check that the value is one of the words."""

    def check(value: object) -> str:
        if not isinstance(value, str) or value not in words:
            invalid(value, " or ".join(words))
        return value

    return check


def whole(low: int, high: int) -> Check:
    """Check a whole number between both ends, themselves included."""

    def check(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            invalid(value, f"a whole number from {low} to {high}")
        return value

    return check


def instant(value: object) -> int:
    """Turn RFC 3339 text with a zone, or whole epoch milliseconds, into epoch milliseconds.

    Text may go down to the nanosecond; what is below the millisecond is cut off.
    """
    if isinstance(value, str):
        moment = _moment(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        if 0 <= value < SMALLEST_MS:
            refuse(Reason.SECONDS_NOT_MILLISECONDS, f"{value}")
        if not 0 <= value <= 10**14:
            refuse(Reason.TIME_OUT_OF_RANGE, f"{value!r:.80}")
        moment = _EPOCH + timedelta(milliseconds=value)
    else:
        invalid(value, "a time")
    if not _FROM <= moment < _TO:
        refuse(Reason.TIME_OUT_OF_RANGE, f"{value!r}")
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _moment(value: str) -> datetime:
    found = _TIME.fullmatch(value)
    if found is None:
        invalid(value, "RFC 3339 text")
    *clock, fraction, zone = found.groups()
    if zone is None:
        refuse(Reason.NO_ZONE, f"{value!r}")
    micros = int((fraction or "")[:6].ljust(6, "0"))
    try:
        return datetime(*map(int, clock), micros, tzinfo=_zone(zone))  # type: ignore[misc,arg-type]
    except ValueError:
        invalid(value, "a time on the calendar")


def _zone(text_: str) -> timezone:
    if text_ in "Zz":
        return UTC
    hours, minutes = int(text_[1:3]), int(text_[4:])
    if hours > 23 or minutes > 59:
        raise ValueError(text_)
    away = timedelta(hours=hours, minutes=minutes)
    return timezone(-away if text_[0] == "-" else away)


def thousandths(value: object) -> int:
    """Turn a number with at most three decimals into thousandths; what is on no scale is not looked at closely."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        invalid(value, "a number")
    try:
        finite = isfinite(float(value))
    except OverflowError:
        finite = False
    if not finite:
        invalid(value, "a finite number")
    if abs(value) > 1_000_000:
        return 10**9 if value > 0 else -(10**9)
    exact = Decimal(repr(value)) * 1000
    if abs(exact) <= 100_000 and exact != int(exact):
        invalid(value, "a number with at most 3 decimals")
    return int(exact)


def currency(value: object) -> str:
    """Check an ISO 4217 code."""
    if not isinstance(value, str):
        invalid(value, "a currency")
    if value not in CURRENCIES:
        refuse(Reason.UNKNOWN_CURRENCY, f"{value!r:.80}")
    return value


def texts(value: object) -> dict[str, str]:
    """Check attributes: up to 64 texts of up to 1024 characters by name."""
    if not isinstance(value, dict) or len(value) > 64:
        invalid(value, "at most 64 texts by name")
    key = text(128)
    for each, held in value.items():
        key(each)
        if not isinstance(held, str) or len(held) > 1024:
            invalid(held, "text of up to 1024 characters")
    return value
