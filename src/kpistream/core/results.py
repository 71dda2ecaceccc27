"""Results: how a target closed at the end of its period, by the plain number.

Evidence is for interrupting people; the plain number is for the record. A result never pages anybody. It is a function
of the sums of its period: when late events or corrections change them, the result is published again under its id, and
the one that was computed last stands.
"""

from collections.abc import Mapping
from enum import StrEnum
from fractions import Fraction
from typing import Final

import msgspec

from kpistream.core.kpis import DEFAULT_LIMITS, Limits, shape
from kpistream.core.measures import SCHEDULED_MS
from kpistream.core.own_kpis import Shape
from kpistream.core.pace import Proration, pace, proration
from kpistream.core.readings import About
from kpistream.core.resolution import Held
from kpistream.core.schedules import Basis, Plan
from kpistream.core.targets import Direction, Due, Judgement, Severity, Target, Verdict, Why, judge
from kpistream.core.windows import Window
from kpistream.core.working_time import by_the_hour, with_working_time


class Outcome(StrEnum):
    """How a target closed."""

    MET = "met"
    MISSED = "missed"
    TOO_LITTLE = "too-little-data"
    """No case, or fewer than the minimum sample: neither met nor missed."""


_OUTCOMES: Final = {
    Verdict.MET: Outcome.MET,
    Verdict.MISSED: Outcome.MISSED,
    Verdict.TOO_LITTLE: Outcome.TOO_LITTLE,
}


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How one target closed for one scope: a record of `kpi.results`."""

    result_id: str
    """`target/tenant/scope/window/window_from_ms`: the same whenever it is computed."""
    target: str
    tenant: str
    scope: str
    """`agent:ID`, `team:NAME` or `tenant`."""
    window: str
    window_from_ms: int
    window_to_ms: int
    as_of_ms: int
    """When it was computed: of two results with one id the later one stands."""
    outcome: Outcome
    severity: Severity
    """Of a miss: critical when the critical bound was missed, too."""
    reason: Why
    kpi: str
    direction: Direction
    low: float | None
    """What was asked for: of a count that follows the time at work, the prorated bound."""
    high: float | None
    value: float | int | None
    numerator: int | None
    denominator: int | None
    basis: str | None = None
    """What proration rests on, `shift` or `business-hours`; None when nothing was prorated."""
    bound_from: str | None = None
    """Where the bound comes from, when it is not the target's own for all: `tier new`, `agent anna`."""
    team: str | None = None
    display_name: str | None = None
    owner: str | None = None
    was: Outcome | None = None
    """Of a correction: how it had closed before."""
    was_severity: Severity | msgspec.UnsetType = msgspec.UNSET
    """Of a correction: the gravest severity that any record of it had before; left out of what is none."""
    shape: Shape | msgspec.UnsetType = msgspec.UNSET
    """Of a KPI of the settings; left out for one of the catalogue."""


def asks_for_plan(target: Target, tally: Mapping[int, int]) -> bool:
    """True when how a target closes depends on an agent's working time: it costs more to know than the sums."""
    kpi = target.defined
    return not tally or by_the_hour(kpi) or (bool(target.low) and proration(kpi) is Proration.BY_TIME)


def close(
    target: Target, tally: Mapping[int, int], limits: Limits = DEFAULT_LIMITS, plan: Plan | None = None
) -> Judgement | None:
    """How a target closes over the sums of its whole window; None when there is nothing to tell.

    `plan`: the working time of an agent in the window, None for teams and tenants. What a count asks for at least is
    prorated by it; what it allows at most, shares and means never are. Nothing is told of somebody who has no sums and
    was not expected to work: no shift, a holiday, absent, or nobody has said when.
    """
    known = plan is not None and plan.basis is not Basis.NONE
    if not tally and not (known and plan is not None and plan.working):
        return None
    plain = msgspec.structs.replace(target, level=None, recover_low=None, recover_high=None)
    if not known or plan is None or not target.low or proration(target.defined) is not Proration.BY_TIME:
        return judge(plain, _beside(target, tally, plan), limits)
    asked = pace(target.low, plan, plan.window.to_ms).prorated
    if not asked and target.high is None:
        return None
    critical = None if target.critical_low is None else target.critical_low * asked / target.low
    judgement = judge(msgspec.structs.replace(plain, low=asked, critical_low=critical), tally, limits)
    return msgspec.structs.replace(judgement, due=Due(asked, str(plan.basis)))


def _beside(target: Target, tally: Mapping[int, int], plan: Plan | None) -> Mapping[int, int]:
    """The sums; of a target by the hour with the working time of the whole window beside them."""
    if plan is None or not by_the_hour(target.defined):
        return tally
    return with_working_time(tally, plan, plan.window.to_ms)


def beside_told(target: Target, told: Result, tally: Mapping[int, int]) -> Mapping[int, int]:
    """The sums of a result that was told; of a target by the hour with the working time that was told."""
    if not by_the_hour(target.defined) or not told.denominator:
        return tally
    return {**tally, SCHEDULED_MS: told.denominator}


def close_again(target: Target, told: Result, tally: Mapping[int, int], limits: Limits = DEFAULT_LIMITS) -> Judgement:
    """How a target that was closed closes over other sums: by the bounds that were told, whatever holds today.

    Without any sums nothing is left of it, unless so much was asked for: then there is a count of none.
    """
    if not tally and told.basis is None:
        return GONE
    plain = msgspec.structs.replace(target, level=None, **dict.fromkeys(_MARKS))
    bounds = {"direction": told.direction, "low": _exact(told.low), "high": _exact(told.high)}
    judgement = judge(msgspec.structs.replace(plain, **bounds), beside_told(target, told, tally), limits)
    return msgspec.structs.replace(judgement, severity=told.severity) if told.outcome is Outcome.MISSED else judgement


def corrected(told: Result, judgement: Judgement, as_of_ms: int) -> Result:
    """A result that was told, over other sums: all but the numbers and what they say is as it was told."""
    value, missed = judgement.value, judgement.verdict is Verdict.MISSED
    return msgspec.structs.replace(
        told,
        as_of_ms=max(as_of_ms, told.as_of_ms + 1),
        was=told.outcome,
        was_severity=Severity.CRITICAL if Severity.CRITICAL in (told.severity, told.was_severity) else Severity.WARNING,
        outcome=_OUTCOMES[judgement.verdict],
        severity=judgement.severity if missed else Severity.WARNING,
        reason=judgement.reason,
        value=None if value is None else value.value,
        numerator=None if value is None else value.numerator,
        denominator=None if value is None else value.denominator,
    )


GONE: Final = Judgement(Verdict.TOO_LITTLE, Why.NO_CASES)
"""Of a result that was told, when corrections have taken away everything it was made of."""


_MARKS: Final = ("recover_low", "recover_high", "critical_low", "critical_high")


def _exact(bound: float | None) -> Fraction | None:
    """The fraction that a bound was before it was written as a float."""
    return None if bound is None else Fraction(repr(bound)).limit_denominator(1_000_000_000)


def result(held: Held | Target, judgement: Judgement, about: About, window: Window, as_of_ms: int) -> Result:
    """The record of a target that closed so, by the bound that held or by its own."""
    target, bound_from = (held.target, held.bound_from) if isinstance(held, Held) else (held, None)
    value, due = judgement.value, judgement.due
    low = target.low if due is None else due.expected
    return Result(
        result_id=f"{target.name}/{about.tenant}/{about.scope}/{target.window}/{window.from_ms}",
        target=target.name,
        tenant=about.tenant,
        scope=about.scope,
        window=target.window,
        window_from_ms=window.from_ms,
        window_to_ms=window.to_ms,
        as_of_ms=as_of_ms,
        outcome=_OUTCOMES[judgement.verdict],
        severity=judgement.severity,
        reason=judgement.reason,
        kpi=target.kpi,
        direction=target.direction,
        low=None if low is None else float(low),
        high=None if target.high is None else float(target.high),
        value=None if value is None else value.value,
        numerator=None if value is None else value.numerator,
        denominator=None if value is None else value.denominator,
        basis=None if due is None else due.basis,
        bound_from=bound_from,
        team=about.team,
        display_name=about.display_name,
        owner=target.owner,
        shape=shape(target.own) or msgspec.UNSET,
    )


def same(one: Result, other: Result) -> bool:
    """True when two results say the same, whenever they were computed, and whatever was said before."""
    told = {"as_of_ms": other.as_of_ms, "was": other.was, "was_severity": other.was_severity}
    return msgspec.structs.replace(one, **told) == other


def result_key(each: Result) -> bytes:
    """Kafka key of a result: its id."""
    return each.result_id.encode("utf-8", "surrogatepass")


encode_result: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Result).decode


def decode_result(value: bytes) -> Result:
    """The result in a record of `kpi.results`; raises `msgspec.DecodeError` when it is none."""
    return _decode(value)
