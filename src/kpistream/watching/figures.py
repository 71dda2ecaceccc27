"""Figures: KPIs, targets and alerts as short text for people, with n beside every ratio.

Three widths of the same thing. A value that does not exist is `-`, never 0; currencies and scales stand
side by side and are never added or mixed.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import Enum
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from kpistream.core.acks import Ack
from kpistream.core.alerts import State, Transition, unit_and_formula
from kpistream.core.currencies import DIGITS
from kpistream.core.kpis import BY_NAME, Value
from kpistream.core.own_kpis import PER_HOUR
from kpistream.core.readings import Reading, TargetReading
from kpistream.core.schedules import NO_SHIFT_KNOWN, Basis
from kpistream.core.targets import Why

NOTHING: Final = "-"


class Width(Enum):
    """How much room there is."""

    FULL = "full"
    """`31.4 % (n 70)`; currencies on one line."""
    STACKED = "stacked"
    """The same, currencies below each other."""
    COMPACT = "compact"
    """`31.4% (70)`."""
    TIGHT = "tight"
    """`31% (70)`."""


class Mark(Enum):
    """Where the targets of a KPI stand, the worst of them."""

    NONE = ""
    """No target."""
    MET = "met"
    OPEN = "-"
    """Too few cases, or not judged: nothing to say."""
    MISSED = "missed"


class Cell(NamedTuple):
    """What one column shows of one reading."""

    lines: tuple[str, ...]
    mark: Mark = Mark.NONE


class Column(NamedTuple):
    """One column: its title, the KPI that it shows, and the title where room is short."""

    title: str
    kpi: str
    short: str = ""


COLUMNS: Final = (
    Column("calls", "calls", "calls"),
    Column("connect", "connect_share", "conn. (n)"),
    Column("talk", "average_talk_time", "talk (n)"),
    Column("conversion", "conversion_per_connected", "conv. (n)"),
    Column("revenue", "revenue", "revenue"),
    Column("CSAT", "csat_mean", "CSAT (n)"),
)
INBOUND: Final = (
    Column("answered", "answer_share"),
    Column("service level", "service_level"),
    Column("abandoned", "abandoned_share"),
)
"""What a team that takes calls shows besides."""

_TITLES: Final = {column.kpi: column.title for column in (*COLUMNS, *INBOUND)}
_RANK: Final = {mark: rank for rank, mark in enumerate(Mark)}
_MARK_OF_REASON: Final = {
    Why.WITHIN_BOUND: Mark.MET,
    Why.ON_PACE: Mark.MET,
    Why.BELOW_BOUND: Mark.MISSED,
    Why.ABOVE_BOUND: Mark.MISSED,
    Why.BEHIND_PACE: Mark.MISSED,
}


def mark(target: TargetReading) -> Mark:
    """Whether a target is met, missed or open."""
    return _MARK_OF_REASON.get(target.reason, Mark.OPEN)


def mark_of(reading: Reading, kpi: str) -> Mark:
    """The worst of the targets on a KPI."""
    marks = (mark(target) for target in reading.targets.values() if target.kpi == kpi)
    return max(marks, key=_RANK.__getitem__, default=Mark.NONE)


def cell(reading: Reading, column: Column, width: Width = Width.FULL) -> Cell:
    """What a column shows of a reading."""
    lines = figures(reading, column.kpi, width)
    if len(lines) > 1 and width is Width.FULL:
        lines = (", ".join(lines),)
    return Cell(lines, mark_of(reading, column.kpi)) if lines else Cell((NOTHING,))


def figures(reading: Reading, kpi: str, width: Width = Width.FULL) -> tuple[str, ...]:
    """The KPI of a reading: one text, or one for each currency or scale; none when there is nothing."""
    if kpi in reading.kpis:
        return _present((figure(kpi, reading.kpis[kpi], "", width),))
    family = reading.kpis_by_member.get(kpi, {})
    several = len(family) > 1
    out = []
    for member, value in sorted(family.items(), key=lambda item: (-_deals(reading, item[0]), item[0])):
        text = figure(kpi, value, member, width)
        scale = several and BY_NAME[kpi].per == "scale" and text != NOTHING
        out.append(f"{text} of {member}" if scale else text)
    return _present(out)


def _deals(reading: Reading, currency: str) -> int:
    deals = reading.measures.get("won_deals", 0)
    return deals.get(currency, 0) if isinstance(deals, dict) else 0


def _present(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(text for text in texts if text != NOTHING)


def own_figures(reading: Reading, width: Width = Width.FULL, zone: str | None = None) -> dict[str, str]:
    """The KPIs of the settings that have a value, by their names as words; since when, or `~`, if not all along."""
    out: dict[str, str] = {}
    for name, each in reading.own.items():
        kpi, _, member = name.partition("/")
        number = amount_in(each.unit, each.value, member, width)
        if number != NOTHING:
            out[words(kpi)] = number + _rests_on(each.denominator, each.form, width) + _since(each.since_ms, zone)
    return out


def _since(since_ms: int | None, zone: str | None) -> str:
    if since_ms is None:
        return ""
    return " ~" if zone is None else f" since {clock(since_ms, zone, '%H:%M')}"


def figure(kpi: str, value: Value, member: str = "", width: Width = Width.FULL) -> str:
    """A value with its unit, and n where there is one."""
    number = amount(kpi, value.value, member, width)
    return number if number == NOTHING else number + _rests_on(value.denominator, "", width)


def _rests_on(denominator: int | None, form: str, width: Width) -> str:
    """How many cases a value rests on, or how long a time at work."""
    if denominator is None:
        return ""
    if form == PER_HOUR:
        return f" ({minutes(denominator)})"
    return f" ({denominator})" if width in (Width.COMPACT, Width.TIGHT) else f" (n {denominator})"


def amount(kpi: str, value: float | None, member: str = "", width: Width = Width.FULL) -> str:
    """A number in the unit of a KPI of the catalogue: `31.4 %`, `4:05`, `1,234 EUR`."""
    return amount_in(BY_NAME[kpi].unit, value, member, width)


def amount_in(unit: str, value: float | None, member: str = "", width: Width = Width.FULL) -> str:
    """A number in its unit."""
    if value is None:
        return NOTHING
    if unit == "share":
        if width is Width.TIGHT:
            return f"{100 * value:.0f}%"
        return f"{100 * value:.1f}%" if width is Width.COMPACT else f"{100 * value:.1f} %"
    if unit == "ms":
        return minutes(value)
    if unit == "minor units":
        if member not in DIGITS:
            return f"{value:,.0f} minor units"
        return f"{value / 10 ** DIGITS[member]:,.0f} {member}"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.1f}" if width is Width.TIGHT else f"{value:.2f}"


def minutes(ms: float) -> str:
    """A duration as `m:ss`, with hours in front when there are any."""
    seconds = int(ms + 500) // 1000
    hours, rest = divmod(seconds, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def name_of(reading: Reading) -> str:
    """Whom a reading is about, in words."""
    kind, _, name = reading.scope.partition(":")
    if kind in ("queue", "campaign"):
        return f"{kind} {reading.display_name or name}"
    return reading.display_name or name or reading.tenant


def words(name: str) -> str:
    """A name of the catalogue or of a window as words: `business-day` is `business day`."""
    return name.replace("_", " ").replace("-", " ")


def clock(at_ms: int, zone: str, form: str = "%H:%M:%S") -> str:
    """Time of day of an instant in a zone."""
    return datetime.fromtimestamp(at_ms / 1000, ZoneInfo(zone)).strftime(form)


_STATE_WORDS: Final = {
    State.FIRING: "MISSED",
    State.OK: "met again",
    State.PENDING: "missed, waiting",
    State.RECOVERING: "met, waiting",
    State.NO_DATA: "no data",
    State.SUSPENDED: "suspended",
}


_REASON_WORDS: Final = {Why.REACHED: "reached", Why.PERSONAL_BEST: "best day", Why.CORRECTED: "was not missed"}


def state_words(transition: Transition) -> str:
    """What a transition says, in a word or two."""
    return _REASON_WORDS.get(transition.reason) or _STATE_WORDS[transition.to_state]


def bounds(transition: Transition) -> str:
    """The target's bounds: `>= 30.0 %`, `<= 20.0 %` or `3:00 to 5:30`."""
    unit, _ = unit_and_formula(transition)
    low, high = (amount_in(unit, bound) for bound in (transition.low, transition.high))
    if transition.low is not None and transition.high is not None:
        return f"{low} to {high}"
    return f">= {low}" if transition.low is not None else f"<= {high}"


def ack_words(ack: Ack, said: tuple[str, ...], zone: str) -> str:
    """What people said of an alert, until when, and who spoke last: `snoozed until 14:30, acknowledged by eva`."""
    until = f"snoozed until {clock(ack.snoozed_until_ms, zone, '%H:%M')}"
    return f"{', '.join(until if word == 'snoozed' else word for word in said)} by {ack.by}"


def alert_words(transition: Transition, shown: str = "", *, short: bool = False) -> str:
    """A transition in one line, without its time and state: who, how much, the target and whose it is, the window.

    The window is left out when it is the one `shown` anyway; `short` takes the title of the KPI's column.
    """
    kpi = _TITLES.get(transition.kpi, words(transition.kpi)) if short else words(transition.kpi)
    window = "" if transition.window == shown else f", {words(transition.window)}"
    who = transition.display_name or transition.scope.partition(":")[2] or transition.tenant
    number = amount_in(unit_and_formula(transition)[0], transition.value)
    if number != NOTHING:
        number += _rests_on(transition.denominator, transition.own.form if transition.own else "", Width.FULL)
    pace = ""
    if transition.expected is not None:
        unknown = "" if transition.basis == Basis.SHIFT else f", {NO_SHIFT_KNOWN}"
        pace = f" of {transition.expected:.0f} expected by now{unknown}"
    bound_from = "" if transition.bound_from is None else f" ({transition.bound_from})"
    return f"{who}: {kpi} {number}{pace}, target {bounds(transition)}{bound_from}{window}"
