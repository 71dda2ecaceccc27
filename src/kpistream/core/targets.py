"""Targets: what a KPI should reach, and whether a tally reaches it.

A target is met at exactly its bound. The comparison is exact: integers and fractions, never floats. Too few cases are
no verdict: a share of four calls says nothing. A target with a level of false alarms is missed only when evidence says
so (`weighing.py`): it may be looked at all day. Without one it is judged on the point, which fires often by chance.
"""

from collections.abc import Mapping
from enum import StrEnum
from fractions import Fraction
from typing import Final, NamedTuple

import msgspec

from kpistream.core.evidence import Level, count_at_least, evidence, threshold
from kpistream.core.kpis import BY_NAME, DEFAULT_LIMITS, Better, Kpi, Limits, Value, evaluate
from kpistream.core.overrides import Override, Split
from kpistream.core.ramps import Ramp, Season
from kpistream.core.roster import ALWAYS_FROM_MS, ALWAYS_TO_MS
from kpistream.core.weighing import Bounded, in_doubt, weigh
from kpistream.core.windows import CALENDAR_WINDOWS


class Direction(StrEnum):
    """On which side of its bound a target is met."""

    AT_LEAST = "at_least"
    AT_MOST = "at_most"
    BETWEEN = "between"


class Scope(StrEnum):
    """For whom a target is judged, each on their own."""

    TENANT = "tenant"
    TEAM = "team"
    AGENT = "agent"


class Severity(StrEnum):
    """How much an alert matters to whoever is told."""

    WARNING = "warning"
    CRITICAL = "critical"


BEST: Final = ".best"
"""Behind the name of a target in the records of its best days. No target of the settings ends so."""


class Target(msgspec.Struct, frozen=True):
    """A KPI, a window and a bound that should hold, for every agent, team or tenant it covers."""

    name: str
    kpi: str
    window: str
    direction: Direction
    low: Fraction | None = None
    """Bound from below, in the KPI's unit: of `at_least` and `between`."""
    high: Fraction | None = None
    """Bound from above, in the KPI's unit: of `at_most` and `between`."""
    minimum_sample: int = 1
    """Cases (the KPI's denominator) below which there is no verdict; not for KPIs that only count."""
    scope: Scope = Scope.AGENT
    member: str | None = None
    """Currency or scale, for a KPI with one value for each."""
    tenant: str | None = None
    """Only this tenant, None for all."""
    team: str | None = None
    """Only this team and its agents, None for all."""
    owner: str | None = None
    hold_ms: int = 0
    """How long the target must be missed before its alert fires."""
    recover_hold_ms: int = 0
    """How long the target must be met again before its alert is over."""
    level: Level | None = None
    """Judged on evidence, with so many false alarms at most; None: on the point."""
    alerts: bool = True
    """False: it closes with a result at the end of its period, and nobody is alarmed before."""
    recover_low: Fraction | None = None
    """Not below `low`: an alert ends only when the value is back here. None: at the bound."""
    recover_high: Fraction | None = None
    """Not above `high`: the same from above."""
    critical_low: Fraction | None = None
    """Below `low`: from here on an alert is critical, by the same evidence. None: never."""
    critical_high: Fraction | None = None
    """Above `high`: the same from above."""
    from_ms: int = ALWAYS_FROM_MS
    """It is judged in `[from_ms, to_ms)` only."""
    to_ms: int = ALWAYS_TO_MS
    reason: str | None = None
    """Why this bound."""
    overrides: tuple[Override, ...] = ()
    """Other bounds for some; `resolution.py` says which holds."""
    ramp: Ramp = Ramp()
    """Share of the bound that is asked of newcomers."""
    seasons: tuple[Season, ...] = ()
    split: Split | None = None
    """What each agent carries of a team's count; nothing is judged by it."""
    good_news: bool = False
    """Said when a count has reached what its period asks for."""
    own: Kpi | None = None
    """The KPI, when it is one of the settings and not of the catalogue."""

    @property
    def defined(self) -> Kpi:
        """What the KPI's name means."""
        return self.own or BY_NAME[self.kpi]

    @property
    def best(self) -> str:
        """What the record of a best day is called."""
        return self.name + BEST


class Verdict(StrEnum):
    """What a look at a target found."""

    MET = "met"
    NEAR = "near"
    """Met, but not by as much as the target asks before an alert ends."""
    MISSED = "missed"
    TOO_LITTLE = "too-little"
    """Too few cases to say anything: whatever was known still is."""
    NO_DATA = "no-data"
    """The data are not there or not complete: nothing may be concluded."""
    OFF_SHIFT = "off-shift"
    """Nobody is at work; the target rests."""


class Why(StrEnum):
    """Reason of a verdict: the closed list that alerts, readings and docs share."""

    WITHIN_BOUND = "within-bound"
    NEAR_BOUND = "near-bound"
    """At its bound or better, but short of the recover level: no reason for an alert, and none to end one."""
    BELOW_BOUND = "below-bound"
    ABOVE_BOUND = "above-bound"
    NO_CASES = "no-cases"
    SAMPLE_TOO_SMALL = "sample-too-small"
    ON_PACE = "on-pace"
    """As many as the time at work lets expect by now."""
    BEHIND_PACE = "behind-pace"
    NO_SCHEDULE = "no-schedule"
    """Nobody has said when this agent works: nothing is expected by now."""
    SOURCE_SILENT = "source-silent"
    """Nothing is heard of anybody although people are at work: that says nothing about this agent. Of a source: it is
    its outage."""
    SOURCE_HEARD = "source-heard"
    """Of a source: events of it come."""
    REACHED = "reached"
    """All that the window asks for is done; good news, and no reason for an alert."""
    PERSONAL_BEST = "personal-best"
    """More than on any other day of twelve weeks; good news."""
    CORRECTED = "corrected"
    """By what is known now the alert was never true: late events or corrections say so."""
    EVIDENCE_OPEN = "evidence-open"
    """Beyond its bound, but so little or so few that chance does that: no alarm, and no proof that all is well."""
    CATCHING_UP = "catching-up"
    PANES_CLOSED = "panes-closed"
    """The window begins before the panes that are still live: the horizon is shorter than the window."""
    HISTORY_UNREACHABLE = "history-unreachable"
    REFILLING = "refilling"
    """The KPI's own measures are being counted for the part of the window before they were defined, or a restart."""
    COUNTED_LATER = "counted-later"
    """The KPI's own measures are counted from a moment in the window on: the log reaches back no further."""
    OFF_SHIFT = "off-shift"
    NOT_COVERED = "not-covered"
    """The scope has left the team, or the target has left the settings."""


class Due(NamedTuple):
    """What a count's target lets expect by now."""

    expected: Fraction
    basis: str
    """What is known of the time at work: `shift` or `business-hours`."""


class Judgement(msgspec.Struct, frozen=True):
    """A verdict with its reason and the numbers that it rests on."""

    verdict: Verdict
    reason: Why
    value: Value | None = None
    """None when there was nothing to evaluate."""
    against: float | None = None
    """Evidence against the target, the log of an e-value; None when it was judged on the point."""
    due: Due | None = None
    """For a count against pace."""
    severity: Severity = Severity.WARNING
    """Of a miss: critical when the critical bound is missed, too."""


GOOD_NEWS: Final = (Why.REACHED, Why.PERSONAL_BEST)
"""Reasons of records that tell good news and change no state."""
CATCHING_UP: Final = Judgement(Verdict.NO_DATA, Why.CATCHING_UP)
"""For a worker that recovers or lags: it knows too little of the present to judge."""
PANES_CLOSED: Final = Judgement(Verdict.NO_DATA, Why.PANES_CLOSED)
"""For a window of which panes are closed: a restart forgets them, and late events go to history only."""
HISTORY_UNREACHABLE: Final = Judgement(Verdict.NO_DATA, Why.HISTORY_UNREACHABLE)
REFILLING: Final = Judgement(Verdict.NO_DATA, Why.REFILLING)
"""For a KPI with own measures whose window is not whole yet, which passes."""
COUNTED_LATER: Final = Judgement(Verdict.NO_DATA, Why.COUNTED_LATER)
"""For a KPI with own measures of which the begin of the window is lost."""
OFF_SHIFT: Final = Judgement(Verdict.OFF_SHIFT, Why.OFF_SHIFT)
SOURCE_SILENT: Final = Judgement(Verdict.NO_DATA, Why.SOURCE_SILENT)
"""For counts against pace while the source sends nothing: from time at work alone nothing can be concluded."""
NOT_COVERED: Final = Judgement(Verdict.OFF_SHIFT, Why.NOT_COVERED)
"""For an alert whose target no longer covers its scope: it is suspended, not recovered."""


def default_direction(kpi: Kpi) -> Direction:
    """The side on which the KPI is good; a band needs both bounds."""
    return {Better.HIGHER: Direction.AT_LEAST, Better.LOWER: Direction.AT_MOST, Better.BAND: Direction.BETWEEN}[
        kpi.better
    ]


def exact(kpi: Kpi, value: Value) -> Fraction | None:
    """The value as a fraction, None when there is none."""
    if value.value is None:
        return None
    if value.denominator is None:
        return Fraction(value.numerator)
    return Fraction(kpi.times * value.numerator, kpi.over * value.denominator)


def measured(target: Target, tally: Mapping[int, int], limits: Limits = DEFAULT_LIMITS) -> Value:
    """The value of the target's KPI over a tally, for its member where there is one for each."""
    kpi = target.defined
    found = evaluate(kpi, tally, limits)
    if not isinstance(found, dict):
        return found
    assert target.member is not None, target
    none = Value(None, 0, 0) if kpi.denominator is not None else Value(0, 0, None)
    return found.get(target.member, none)


def paced(target: Target) -> bool:
    """True for a target on a count that is judged on evidence: against what the time at work lets expect by now."""
    return target.level is not None and target.defined.denominator is None


def may_be_reached(target: Target) -> bool:
    """True for a count that should reach something by the end of a day or a longer period."""
    counts = target.defined.denominator is None
    return counts and target.direction is Direction.AT_LEAST and target.window in CALENDAR_WINDOWS


def judge(
    target: Target,
    tally: Mapping[int, int],
    limits: Limits = DEFAULT_LIMITS,
    due: Due | None = None,
    against: float | None = None,
) -> Judgement:
    """Whether a tally of the target's window meets it.

    `due`: what a count is held against, None without a schedule. `against`: evidence found in the window's panes, where
    somebody has gone through them; else it is that of the tally.
    """
    kpi, value = target.defined, measured(target, tally, limits)
    if paced(target):
        return _judge_pace(target, value, due)
    seen = exact(kpi, value)
    if seen is None:
        return Judgement(Verdict.TOO_LITTLE, Why.NO_CASES, value)
    if value.denominator is not None and value.denominator < target.minimum_sample:
        return Judgement(Verdict.TOO_LITTLE, Why.SAMPLE_TOO_SMALL, value)
    doubt = in_doubt(kpi, tally)
    best = seen + Fraction(doubt, value.denominator) if doubt and value.denominator else seen
    why = beyond(target, seen)
    if target.level is not None and against is None:
        against = weigh(kpi, target, tally, value)
    if why is Why.BELOW_BOUND and beyond(target, best) is None:
        return Judgement(Verdict.TOO_LITTLE, Why.EVIDENCE_OPEN, value, against)
    if why is None:
        near = beyond(_Bounds(target.recover_low, target.recover_high), seen) is not None
        return _met(near, Judgement(Verdict.MET, Why.WITHIN_BOUND, value, against))
    critical = _Bounds(target.critical_low, target.critical_high, target.member)
    grave = beyond(critical, best if why is Why.BELOW_BOUND else seen) is not None and (
        target.level is None or _proven(target.level, weigh(kpi, critical, tally, value))
    )
    return _missed(target.level, Judgement(Verdict.MISSED, why, value, against, severity=_severity(grave)))


def _judge_pace(target: Target, value: Value, due: Due | None) -> Judgement:
    assert target.level is not None and target.low, target
    if due is None:
        return Judgement(Verdict.NO_DATA, Why.NO_SCHEDULE, value)
    done, expected = value.numerator, due.expected
    against = evidence(count_at_least(float(expected), done))
    if done >= expected:
        near = target.recover_low is not None and done < expected * target.recover_low / target.low
        return _met(near, Judgement(Verdict.MET, Why.ON_PACE, value, against, due))
    grave = False
    if target.critical_low is not None:
        least = expected * target.critical_low / target.low
        grave = done < least and _proven(target.level, evidence(count_at_least(float(least), done)))
    return _missed(target.level, Judgement(Verdict.MISSED, Why.BEHIND_PACE, value, against, due, _severity(grave)))


class _Bounds(NamedTuple):
    low: Fraction | None
    high: Fraction | None
    member: str | None = None


def beyond(bounds: Bounded, seen: Fraction) -> Why | None:
    """On which side a value lies beyond bounds; None when it meets them."""
    if bounds.low is not None and seen < bounds.low:
        return Why.BELOW_BOUND
    if bounds.high is not None and seen > bounds.high:
        return Why.ABOVE_BOUND
    return None


def _met(near: bool, judgement: Judgement) -> Judgement:
    return msgspec.structs.replace(judgement, verdict=Verdict.NEAR, reason=Why.NEAR_BOUND) if near else judgement


def _missed(level: Level | None, judgement: Judgement) -> Judgement:
    if level is None or _proven(level, judgement.against):
        return judgement
    open_ = {"verdict": Verdict.TOO_LITTLE, "reason": Why.EVIDENCE_OPEN, "severity": Severity.WARNING}
    return msgspec.structs.replace(judgement, **open_)


def _proven(level: Level, against: float | None) -> bool:
    """True when chance brings so much against a target that holds as rarely as the level asks."""
    return against is not None and against >= threshold(level.alpha)


def _severity(grave: bool) -> Severity:
    return Severity.CRITICAL if grave else Severity.WARNING


def covers(target: Target, tenant: str, scope: str, team: str) -> bool:
    """True when the target is judged for a scope (`agent:ID`, `team:NAME` or `tenant`) of a tenant and team."""
    return scope.partition(":")[0] == target.scope and target.tenant in (None, tenant) and target.team in (None, team)


def team_scope(team: str) -> str:
    """Scope text of a team in readings and alerts: `team:NAME`."""
    return f"team:{team}"


TENANT_SCOPE: Final = "tenant"
"""Scope text of a whole tenant in readings and alerts."""
