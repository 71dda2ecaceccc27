"""Measures: the integers that an event adds and a pane sums.

A measure has a number (its name on the wire, never reused), a name (its name everywhere else) and a
unit. Families hold one number for each member: a histogram bin, a currency, a survey scale. Everything
here adds; a ratio is not a measure and lives in `kpis.py`. A tally is `{number: sum}`, zero left out.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from kpistream.core.currencies import ALPHA_BY_NUMERIC

Contribution = tuple[int, ...]
"""What one event adds, flat: number, value, number, value. Zero values are left out."""
Tally = dict[int, int]
"""Sums by measure number; a measure that is absent is zero."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One sum that panes keep."""

    number: int
    name: str
    unit: str
    meaning: str


CALLS: Final = 1
FIRST_LEGS: Final = 2
OUTBOUND_CALLS: Final = 3
INBOUND_CALLS: Final = 4
CONNECTED: Final = 5
OUTBOUND_CONNECTED: Final = 6
INBOUND_CONNECTED: Final = 7
VOICEMAILS: Final = 8
ANSWERER_UNKNOWN: Final = 9
ABANDONED: Final = 10
TALK_MS: Final = 11
TALK_SQ_MS2: Final = 12
HOLD_MS: Final = 13
RING_MS: Final = 14
WRAP_UP_MS: Final = 15
WRAP_UP_KNOWN: Final = 16
HANDLE_MS: Final = 17
QUEUE_WAIT_MS: Final = 18
ANSWERED_WAIT_KNOWN: Final = 19
ABANDONED_WAIT_KNOWN: Final = 20
FOLLOW_UPS_DONE: Final = 21
FOLLOW_UPS_ON_TIME: Final = 22
FOLLOW_UPS_LATE: Final = 23
FOLLOW_UPS_PROMISED: Final = 24
DEALS_WON: Final = 30
DEALS_LOST: Final = 31
DEALS_VOIDED: Final = 32
DEALS_REPEAT: Final = 33
DEALS_CUSTOMER_KNOWN: Final = 34
SURVEYS: Final = 40
CSAT_RATED: Final = 41
CSAT_SATISFIED: Final = 42
NPS_RATED: Final = 43
NPS_PROMOTERS: Final = 44
NPS_DETRACTORS: Final = 45
SETTLED_CALLS: Final = 50
SETTLED_CALLS_WON: Final = 51
SETTLED_CALLS_IN_DOUBT: Final = 52

SCALARS: Final[tuple[Measure, ...]] = (
    Measure(CALLS, "calls", "calls", "call legs, attempts included"),
    Measure(FIRST_LEGS, "first_legs", "calls", "call legs that no transfer made: one for each call"),
    Measure(OUTBOUND_CALLS, "outbound_calls", "calls", "outbound call legs"),
    Measure(INBOUND_CALLS, "inbound_calls", "calls", "inbound call legs, abandoned ones included"),
    Measure(CONNECTED, "connected", "calls", "calls answered by a person"),
    Measure(OUTBOUND_CONNECTED, "outbound_connected", "calls", "outbound calls answered by a person"),
    Measure(INBOUND_CONNECTED, "inbound_connected", "calls", "inbound calls answered by an agent"),
    Measure(VOICEMAILS, "voicemails", "calls", "calls answered by a machine"),
    Measure(
        ANSWERER_UNKNOWN,
        "answerer_unknown",
        "calls",
        "connected outbound calls of which nobody said whether a machine answered",
    ),
    Measure(ABANDONED, "abandoned", "calls", "inbound calls given up by the caller before an agent answered"),
    Measure(TALK_MS, "talk_ms", "ms", "talk time of connected calls, without hold, ring and wrap-up"),
    Measure(TALK_SQ_MS2, "talk_sq_ms2", "ms2", "sum of squared talk times of connected calls"),
    Measure(HOLD_MS, "hold_ms", "ms", "hold time of connected calls"),
    Measure(RING_MS, "ring_ms", "ms", "ringing time of all calls"),
    Measure(WRAP_UP_MS, "wrap_up_ms", "ms", "after-call work of connected calls"),
    Measure(WRAP_UP_KNOWN, "wrap_up_known", "calls", "connected calls whose wrap-up is known"),
    Measure(HANDLE_MS, "handle_ms", "ms", "talk, hold and wrap-up of connected calls whose wrap-up is known"),
    Measure(QUEUE_WAIT_MS, "queue_wait_ms", "ms", "time in queue of all calls"),
    Measure(ANSWERED_WAIT_KNOWN, "answered_wait_known", "calls", "inbound connected calls whose queue wait is known"),
    Measure(ABANDONED_WAIT_KNOWN, "abandoned_wait_known", "calls", "abandoned calls whose queue wait is known"),
    Measure(FOLLOW_UPS_DONE, "follow_ups_done", "calls", "calls that follow up an earlier call"),
    Measure(FOLLOW_UPS_ON_TIME, "follow_ups_on_time", "calls", "follow-up calls started no later than they were due"),
    Measure(FOLLOW_UPS_LATE, "follow_ups_late", "calls", "follow-up calls started after they were due"),
    Measure(FOLLOW_UPS_PROMISED, "follow_ups_promised", "calls", "calls that promised a next follow-up"),
    Measure(DEALS_WON, "deals_won", "deals", "deals won"),
    Measure(DEALS_LOST, "deals_lost", "deals", "deals lost"),
    Measure(DEALS_VOIDED, "deals_voided", "deals", "deals taken back after they were closed"),
    Measure(DEALS_REPEAT, "deals_repeat", "deals", "deals won from repeat customers"),
    Measure(
        DEALS_CUSTOMER_KNOWN, "deals_customer_known", "deals", "deals won whose customer is known to be new or repeat"
    ),
    Measure(SURVEYS, "surveys", "surveys", "surveys answered, of every kind"),
    Measure(CSAT_RATED, "csat_rated", "surveys", "CSAT answers on a scale of 3, 5, 7 or 10 points"),
    Measure(CSAT_SATISFIED, "csat_satisfied", "surveys", "CSAT answers in the top box of their scale"),
    Measure(NPS_RATED, "nps_rated", "surveys", "NPS answers (0 to 10)"),
    Measure(NPS_PROMOTERS, "nps_promoters", "surveys", "NPS answers of 9 and 10"),
    Measure(NPS_DETRACTORS, "nps_detractors", "surveys", "NPS answers of 0 to 6"),
)

DERIVED: Final[tuple[Measure, ...]] = (
    Measure(
        SETTLED_CALLS,
        "settled_calls",
        "calls",
        "connected calls that have come of age: the settle time has passed since their pane ended",
    ),
    Measure(
        SETTLED_CALLS_WON,
        "settled_calls_won",
        "calls",
        "settled calls that a won deal of the same agent names, counted once however many do",
    ),
    Measure(
        SETTLED_CALLS_IN_DOUBT,
        "settled_calls_in_doubt",
        "calls",
        "settled calls that no deal names, and that a won deal without a call id may have won",
    ),
)
"""Sums that no single event adds: they come of calls and deals together. Live windows have them, panes do not."""

TALK_EDGES_MS: Final[tuple[int, ...]] = tuple(
    1000 * s
    for s in (0, 1, 2, 3, 5, 7, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 300, 360, 420, 480, 600, 720, 900)
    + (1200, 1500, 1800, 2400, 2700, 3600, 5400, 7200, 10800, 14400, 28800)
)
"""Lower edges of the talk-time bins, in ms. A limit for too short or too long must be one of them."""
WAIT_EDGES_MS: Final[tuple[int, ...]] = tuple(
    1000 * s
    for s in (
        0,
        2,
        3,
        5,
        8,
        10,
        12,
        15,
        20,
        25,
        30,
        40,
        45,
        60,
        75,
        90,
        120,
        180,
        240,
        300,
        420,
        600,
        900,
        1200,
        1800,
        3600,
    )
)
"""Lower edges of the queue-wait bins, in ms. Service level and short abandon limits must be among them."""

TALK_BIN: Final = 100
ANSWERED_WAIT_BIN: Final = 200
ABANDONED_WAIT_BIN: Final = 300
WON_MINOR: Final = 1000
WON_DEALS: Final = 2000
CSAT_ANSWERS: Final = 20_000
CSAT_SCORE_MILLI: Final = 40_000
CSAT_SCORE_SQ_MILLI2: Final = 60_000
OWN_FIRST: Final = 1 << 31
"""From here on numbers are no part of what panes keep: sums that settings define, and time at work."""
SCHEDULED_MS: Final = OWN_FIRST
"""Working time of an agent, ms: whoever evaluates puts it beside the sums, for KPIs by the hour."""
SCALE_LIMIT: Final = 100
"""A survey scale runs from 0..100 to 0..100."""


@dataclass(frozen=True, slots=True)
class Family:
    """Measures of one meaning, one for each member (bin, currency, scale)."""

    first: int
    last: int
    name: str
    unit: str
    meaning: str


FAMILIES: Final[tuple[Family, ...]] = (
    Family(
        TALK_BIN,
        TALK_BIN + len(TALK_EDGES_MS) - 1,
        "talk_bin",
        "calls",
        "connected calls by talk time, member = lower edge in ms",
    ),
    Family(
        ANSWERED_WAIT_BIN,
        ANSWERED_WAIT_BIN + len(WAIT_EDGES_MS) - 1,
        "answered_wait_bin",
        "calls",
        "answered inbound calls by queue wait, member = lower edge in ms",
    ),
    Family(
        ABANDONED_WAIT_BIN,
        ABANDONED_WAIT_BIN + len(WAIT_EDGES_MS) - 1,
        "abandoned_wait_bin",
        "calls",
        "abandoned calls by queue wait, member = lower edge in ms",
    ),
    Family(WON_MINOR, WON_MINOR + 999, "won_minor", "minor units", "amount of deals won, member = ISO 4217 currency"),
    Family(WON_DEALS, WON_DEALS + 999, "won_deals", "deals", "deals won, member = ISO 4217 currency"),
    Family(CSAT_ANSWERS, CSAT_ANSWERS + 19_999, "csat_answers", "surveys", "CSAT answers, member = scale as min-max"),
    Family(
        CSAT_SCORE_MILLI,
        CSAT_SCORE_MILLI + 19_999,
        "csat_score_milli",
        "milli-points",
        "sum of CSAT scores, member = scale as min-max",
    ),
    Family(
        CSAT_SCORE_SQ_MILLI2,
        CSAT_SCORE_SQ_MILLI2 + 19_999,
        "csat_score_sq_milli2",
        "milli-points2",
        "sum of squared CSAT scores, member = scale as min-max",
    ),
)

BY_NUMBER: Final[dict[int, Measure]] = {m.number: m for m in (*SCALARS, *DERIVED)}
BY_NAME: Final[dict[str, Measure]] = {m.name: m for m in BY_NUMBER.values()}


def talk_bin(talk_ms: int) -> int:
    """Number of the talk-time bin that holds `talk_ms` (>= 0)."""
    return TALK_BIN + bisect_right(TALK_EDGES_MS, talk_ms) - 1


def wait_bin(first: int, wait_ms: int) -> int:
    """Number of the queue-wait bin of family `first` that holds `wait_ms` (>= 0)."""
    return first + bisect_right(WAIT_EDGES_MS, wait_ms) - 1


def scale_code(scale_min: int, scale_max: int) -> int:
    """Offset of a survey scale inside its families; both ends are 0..100."""
    return scale_min * (SCALE_LIMIT + 1) + scale_max


@lru_cache(maxsize=65_536)
def member(number: int) -> tuple[str, str] | None:
    """Family name and member of a measure number, or None for a scalar; raises KeyError when unknown."""
    if number in BY_NUMBER:
        return None
    for family in FAMILIES:
        if family.first <= number <= family.last:
            return family.name, _member_name(family, number - family.first)
    raise KeyError(number)


def _member_name(family: Family, offset: int) -> str:
    if family.first == TALK_BIN:
        return str(TALK_EDGES_MS[offset])
    if family.first in (ANSWERED_WAIT_BIN, ABANDONED_WAIT_BIN):
        return str(WAIT_EDGES_MS[offset])
    if family.first in (WON_MINOR, WON_DEALS):
        return ALPHA_BY_NUMERIC[offset]
    low, high = divmod(offset, SCALE_LIMIT + 1)
    return f"{low}-{high}"


def add(tally: Tally, contribution: Contribution, sign: int = 1) -> None:
    """Add (or with sign -1 take away) a contribution, in place; zero sums leave the tally."""
    pairs = iter(contribution)
    for number, value in zip(pairs, pairs, strict=True):
        total = tally.get(number, 0) + sign * value
        if total:
            tally[number] = total
        else:
            tally.pop(number, None)


def difference(new: Mapping[int, int], old: Mapping[int, int]) -> Contribution:
    """What must be added to get from the old tally to the new one."""
    out: list[int] = []
    for number, value in new.items():
        before = old.get(number, 0)
        if value != before:
            out.append(number)
            out.append(value - before)
    for number in old.keys() - new.keys():
        if old[number]:
            out.append(number)
            out.append(-old[number])
    return tuple(out)


def total(tallies: Iterable[Mapping[int, int]]) -> Tally:
    """Sum of tallies, a new one."""
    out: Tally = {}
    for tally in tallies:
        for number, value in tally.items():
            out[number] = out.get(number, 0) + value
    return {number: value for number, value in out.items() if value}


class _Names(dict[int, tuple[str, str]]):
    """Family and member by number, worked out once; of a scalar, no family and its name."""

    def __missing__(self, number: int) -> tuple[str, str]:
        self[number] = member(number) or ("", BY_NUMBER[number].name)
        return self[number]


name_of: Final = _Names().__getitem__
"""Family name and member of a measure number, "" and the name for a scalar; raises KeyError when unknown."""


def named(tally: Mapping[int, int]) -> dict[str, int | dict[str, int]]:
    """The tally under the measures' names: scalars as integers, families as `{member: integer}`; no own measures."""
    out: dict[str, Any] = {}
    for number in sorted(tally):
        if number >= OWN_FIRST:
            break
        family, name = name_of(number)
        if family:
            inner = out.get(family)
            if inner is None:
                inner = out[family] = {}
            inner[name] = tally[number]
        else:
            out[name] = tally[number]
    return out
