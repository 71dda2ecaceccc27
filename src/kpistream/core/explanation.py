"""Explanation: everything that a person needs to know of one transition, as one structure for all channels.

Facts only, no sentences: who writes them chooses language, zone and length, so that a mail, a chat and a webhook
cannot differ in what they say. An alert that rests, or of which nothing is known, is never over.
"""

import math
import shlex
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

import msgspec

from kpistream.core.alerts import State, Transition, unit_and_formula
from kpistream.core.contributing import Contributor
from kpistream.core.kpis import BY_NAME
from kpistream.core.outages import SOURCE_KIND
from kpistream.core.own_kpis import PER_HOUR
from kpistream.core.targets import Direction, Severity, Why
from kpistream.core.windows import BUSINESS_DAY

_MOST_DAYS: Final = 1_000_000
_FIGURES: Final = 2
_MET: Final = (Why.WITHIN_BOUND, Why.NEAR_BOUND, Why.ON_PACE, Why.SOURCE_HEARD)
_MISSED: Final = (Why.BELOW_BOUND, Why.ABOVE_BOUND, Why.BEHIND_PACE, Why.SOURCE_SILENT)
BUSINESS_HOURS: Final = "business-hours"
"""Basis of a pace where no shift is known."""


class Happened(StrEnum):
    """What a transition means to somebody who is told."""

    SLIPS = "slips"
    GOES_ON = "goes-on"
    """Fires again after a rest, or after it was nearly over; no number of now says that the target is missed."""
    MAY_SLIP = "may-slip"
    """Missed, and not for long enough."""
    RECOVERS = "recovers"
    """Met again, and not for long enough."""
    RECOVERED = "recovered"
    """The number says so: the target is met again."""
    REACHED = "reached"
    """Good news: all that the period asks for is done."""
    BEST = "best"
    """Good news: more than on any other day of twelve weeks; `low` is the best before."""
    NEVER_TRUE = "never-true"
    """By what is known now the target was not missed: late events or corrections say so."""
    ENDED = "ended"
    """Over without having recovered: its period has ended, or too little is known of the new one."""
    UNKNOWN = "unknown"
    """Data are missing: what was known still holds."""
    RESTS = "rests"
    """Nobody is at work, or the target does not hold here any more: what was known still holds."""


class Next(StrEnum):
    """What comes next without anybody doing anything."""

    FIRES_IF_IT_STAYS = "fires-if-it-stays"
    OVER_WHEN_MET = "over-when-met"
    OVER_IF_IT_STAYS = "over-if-it-stays"
    JUDGED_ANEW = "judged-anew"
    GOES_ON_WITH_DATA = "goes-on-with-data"
    GOES_ON_AT_WORK = "goes-on-at-work"
    NOTHING = "nothing"


_NEXT: Final = {
    State.OK: Next.JUDGED_ANEW,
    State.PENDING: Next.FIRES_IF_IT_STAYS,
    State.FIRING: Next.OVER_WHEN_MET,
    State.RECOVERING: Next.OVER_IF_IT_STAYS,
    State.NO_DATA: Next.GOES_ON_WITH_DATA,
    State.SUSPENDED: Next.GOES_ON_AT_WORK,
}
_HAPPENED: Final = {
    State.PENDING: Happened.MAY_SLIP,
    State.FIRING: Happened.SLIPS,
    State.RECOVERING: Happened.RECOVERS,
    State.NO_DATA: Happened.UNKNOWN,
    State.SUSPENDED: Happened.RESTS,
}


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """One transition, explained. Numbers are in the KPI's unit, times in epoch ms."""

    alert_id: str
    happened: Happened
    severity: Severity
    target: str
    kpi: str
    unit: str
    """Empty for a KPI that this version does not know; `ms` of a silence."""
    formula: str
    tenant: str
    scope: str
    who: str
    """Name to show of the agent, the team or the tenant."""
    team: str | None
    owner: str | None
    value: float | int | None
    numerator: int | None
    denominator: int | None
    worked_ms: int | None
    """Of a KPI by the hour: the working time that it is over, which is its denominator."""
    direction: Direction
    low: float | None
    high: float | None
    bound_from: str | None
    """Where the bound comes from; None: the target's own, for all."""
    reason: Why
    chance_days: int | None
    """Chance alone brings so much evidence on fewer than one in this many days; None: judged on the point."""
    alarm_days: int | None
    """The target's level: a false alarm on one in this many days, at most."""
    window: str
    window_from_ms: int
    window_to_ms: int
    at_ms: int
    since_ms: int
    """Since when it is so: of a slip, since when it was missed."""
    expected: float | None
    """By now, of a count against pace."""
    behind: float | None
    """How many are missing to that."""
    basis: str | None
    no_shift_known: bool
    source: str | None
    """The source that the alert is about; None: it is about a target."""
    hidden: int | None
    """Of a source: people at work of whom nothing is known while it is silent."""
    last_ms: int | None
    """Of a source: it was heard before this instant last."""
    corrects: int | None
    """Sequence of the alert that was not true; `value` is what is known now of the moment `told_at_ms`."""
    told_at_ms: int | None
    told_value: float | int | None
    """What was told then, and what it was made of."""
    told_numerator: int | None
    told_denominator: int | None
    previous: State
    state: State
    resumes: State | None
    """The state that a resting alert goes on with; None for one that does not rest."""
    next: Next
    contributors: tuple[Contributor, ...]
    """Events, or agents of a team, that have most to do with it."""
    open_command: str | None
    """What to type to see them in full; None where there are none."""
    ack_command: str | None
    """What to type to acknowledge; None where there is nothing to acknowledge."""


_SAME: Final = (
    "alert_id",
    "severity",
    "target",
    "kpi",
    "tenant",
    "scope",
    "team",
    "owner",
    "value",
    "numerator",
    "denominator",
    "direction",
    "low",
    "high",
    "bound_from",
    "reason",
    "window",
    "window_from_ms",
    "window_to_ms",
    "at_ms",
    "expected",
    "basis",
    "contributors",
    "hidden",
    "corrects",
    "told_at_ms",
    "told_value",
    "told_numerator",
    "told_denominator",
)
"""Fields that are the transition's own."""


def explained(transition: Transition) -> Explanation:
    """The transition with everything that follows from it."""
    (unit, formula), state = unit_and_formula(transition), transition.to_state
    scope_kind, _, name = transition.scope.partition(":")
    source = name if scope_kind == SOURCE_KIND else None
    resting = state in (State.NO_DATA, State.SUSPENDED)
    return Explanation(
        **{name: getattr(transition, name) for name in _SAME},
        happened=happened(transition),
        unit=unit,
        formula=formula,
        worked_ms=transition.denominator if _by_the_hour(transition) else None,
        who=transition.display_name or name or transition.tenant,
        source=source,
        last_ms=None if source is None else transition.window_from_ms,
        chance_days=chance_days(transition),
        alarm_days=_alarm_days(transition),
        since_ms=_since_ms(transition),
        behind=_behind(transition),
        no_shift_known=transition.expected is not None and transition.basis == BUSINESS_HOURS,
        previous=transition.from_state,
        state=state,
        resumes=transition.before if resting else None,
        next=Next.NOTHING if transition.reason is Why.NOT_COVERED else _NEXT[state],
        open_command=open_command(transition),
        ack_command=ack_command(transition.alert_id) if state in (State.FIRING, State.RECOVERING) else None,
    )


def _by_the_hour(transition: Transition) -> bool:
    return transition.own is not None and transition.own.form == PER_HOUR


def happened(transition: Transition) -> Happened:
    """What the transition means; only a number that meets its target has recovered."""
    if transition.to_state is State.FIRING and transition.reason not in _MISSED:
        return Happened.GOES_ON
    if transition.to_state is not State.OK:
        return _HAPPENED[transition.to_state]
    named = {Why.CORRECTED: Happened.NEVER_TRUE, Why.REACHED: Happened.REACHED, Why.PERSONAL_BEST: Happened.BEST}
    if transition.reason in named:
        return named[transition.reason]
    return Happened.RECOVERED if transition.reason in _MET else Happened.ENDED


def chance_days(transition: Transition) -> int | None:
    """The whole days in one of which chance alone may bring so much evidence, rounded down to two figures.

    Evidence is the log of an e-value E: on a day on which the target holds it reaches E with a chance of 1/E at most,
    however often one looks (Ville's inequality). None where that says nothing about the transition.
    """
    if transition.against is None or transition.reason not in _MISSED or transition.against <= 0:
        return None
    if transition.window != BUSINESS_DAY:
        return None
    days = math.floor(math.exp(min(transition.against, math.log(_MOST_DAYS))) + 1e-9)
    step: int = 10 ** max(0, len(str(days)) - _FIGURES)
    return days // step * step


def ack_command(alert_id: str) -> str:
    """The command that acknowledges an alert, ready for a shell."""
    return f'kpistream alerts ack {shlex.quote(alert_id)} --note "..."'


def value_of(found: Explanation, part: Contributor) -> float | int | None:
    """The KPI of a contributor alone; None where it has none: a deal of a share of calls, a mean of the settings."""
    known = BY_NAME.get(found.kpi)
    if part.denominator is None:
        return part.numerator
    if not part.denominator:
        return None
    if known is None:
        return part.numerator / part.denominator if found.unit == "share" else None
    return known.times * part.numerator / (known.over * part.denominator)


def open_command(transition: Transition) -> str | None:
    """The command that shows the contributors in full, ready for a shell."""
    if not transition.contributors:
        return None
    if transition.contributors[0].from_ms is not None:
        return f"kpistream alerts events {shlex.quote(transition.alert_id)}"
    begin, end = (utc(at_ms) for at_ms in (transition.window_from_ms, transition.window_to_ms))
    return f"kpistream report agents --tenant {shlex.quote(transition.tenant)} --from {begin} --to {end}"


def utc(at_ms: int) -> str:
    """An instant as RFC 3339, to the second."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds")


def _alarm_days(transition: Transition) -> int | None:
    if not transition.alpha or transition.window != BUSINESS_DAY:
        return None
    return math.floor(1 / transition.alpha + 1e-9)


def _behind(transition: Transition) -> float | None:
    if transition.expected is None or transition.numerator is None:
        return None
    return max(0.0, transition.expected - transition.numerator)


def _since_ms(transition: Transition) -> int:
    """Of a slip: from when on its panes speak against the target, or when it became pending, or fired."""
    if transition.to_state is not State.FIRING:
        return transition.at_ms
    if transition.slip_from_ms is not None:
        return transition.slip_from_ms
    waited = transition.from_state in (State.PENDING, State.FIRING)
    return transition.since_ms if waited and transition.since_ms is not None else transition.at_ms
