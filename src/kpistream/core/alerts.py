"""Alerts: the state of each target for each scope, and the transitions between states, as a table.

A transition is a record with a sequence number and an id made of target, tenant, scope and sequence, so
delivering it twice is harmless. The state is the log's: the first record of the highest sequence. Two
workers that both believe they own a scope may write one sequence twice; the first stands, for everybody.
"""

from collections.abc import Iterable
from enum import StrEnum
from fractions import Fraction
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

from kpistream.core.contributing import MISSED, Contributor
from kpistream.core.kpis import BY_NAME, Value, definition, shape
from kpistream.core.outages import OUTAGE_KPI
from kpistream.core.own_kpis import Shape
from kpistream.core.targets import Direction, Judgement, Severity, Target, Verdict, Why
from kpistream.core.windows import CALENDAR_WINDOWS, LIVE_WINDOWS, Window


class State(StrEnum):
    """Where an alert stands."""

    OK = "ok"
    PENDING = "pending"
    """Missed, but not for as long as the target's hold time."""
    FIRING = "firing"
    RECOVERING = "recovering"
    """Met again, but not for as long as the target's recover hold time."""
    NO_DATA = "no-data"
    SUSPENDED = "suspended"


class Subject(NamedTuple):
    """Whom an alert is about: one target for one scope."""

    target: str
    tenant: str
    scope: str
    """`agent:ID`, `team:NAME`, `tenant` or `source:NAME`."""


class Alert(msgspec.Struct, frozen=True):
    """The state of a subject, as the log has it."""

    subject: Subject
    state: State = State.OK
    since_ms: int = 0
    sequence: int = 0
    """Number of the last transition; 0 when there has been none."""
    before: State = State.OK
    """What an alert in `no-data` or `suspended` goes back to; else the state itself."""
    window_from_ms: int = 0
    """Begin of the window that the last transition was about."""
    severity: Severity = Severity.WARNING
    """While it fires or recovers: it rises with a graver miss, and falls only when the alert ends."""
    reached_from_ms: int | None = None
    """Begin of the last window in which it was said that the target is reached; None: never."""


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """A change of state: one record of the alert log."""

    alert_id: str
    """`target/tenant/scope/sequence`: the same on whoever wrote it, at every delivery."""
    target: str
    tenant: str
    scope: str
    sequence: int
    from_state: State = msgspec.field(name="from")
    to_state: State = msgspec.field(name="to")
    at_ms: int
    reason: Why
    kpi: str
    window: str
    window_from_ms: int
    window_to_ms: int
    direction: Direction
    low: float | None
    high: float | None
    value: float | int | None
    numerator: int | None
    denominator: int | None
    before: State
    team: str | None = None
    display_name: str | None = None
    owner: str | None = None
    against: float | None = None
    """Evidence against the target, the log of an e-value; None when it was judged on the point."""
    alpha: float | None = None
    """Share of days on which a target that holds shows so much evidence, at most."""
    expected: float | None = None
    """Of a count against pace: how many the time at work lets expect by then."""
    basis: str | None = None
    """What that rests on: `shift`, or `business-hours` where no shift is known."""
    severity: Severity = Severity.WARNING
    since_ms: int | None = None
    """When the state that is left had begun; None for a first transition."""
    slip_from_ms: int | None = None
    """Start of the pane from which on most speaks against the target, an estimate; None where nobody has looked."""
    bound_from: str | None = None
    """Where the bound comes from, when it is not the target's own as it is: `tier new, week 3 of the ramp (60 %)`."""
    hidden: int | None = None
    """Of a source: people at work of whom nothing is known while it is silent."""
    sources: tuple[str, ...] = ()
    """Of an agent: the sources that they were heard through lately; empty where nobody has looked."""
    last_pane: str | None = None
    """Of what fires: the sums of the pane that was not over, as they were; None where nobody has kept them."""
    judged_by: str | None = None
    """Of what fires: a hash of all that it was judged by, but for what a count is held against."""
    corrects: int | None = None
    """Sequence with which an alert fired that was not true."""
    told_at_ms: int | None = None
    """When that was; and the numbers that were told then."""
    told_value: float | int | None = None
    told_numerator: int | None = None
    told_denominator: int | None = None
    reached_from_ms: int | None = None
    """Begin of the last window in which it was said that the target is reached; carried along by what comes after."""
    contributors: tuple[Contributor, ...] = ()
    """The events, or agents of a team, that have most to do with it; none where nobody has looked."""

    shape: Shape | msgspec.UnsetType = msgspec.UNSET
    """Of a KPI of the settings; left out for one of the catalogue."""

    @property
    def own(self) -> Shape | None:
        """The shape, None for a KPI of the catalogue."""
        return self.shape if isinstance(self.shape, Shape) else None

    @property
    def begins(self) -> bool:
        """True when it begins, or fires on, because the number misses its target: then contributors are named."""
        return self.to_state in (State.PENDING, State.FIRING) and self.reason in MISSED

    @property
    def contributor_names(self) -> list[str]:
        """Identities of these events, or scopes of these agents."""
        return [each.name for each in self.contributors]


_HOLDING: Final = "holding"
_HELD: Final = "held"
Next = dict[str, State]

TABLE: Final[dict[State, dict[Verdict, Next]]] = {
    State.OK: {
        Verdict.MET: {},
        Verdict.NEAR: {},
        Verdict.MISSED: {_HOLDING: State.PENDING, _HELD: State.FIRING},
    },
    State.PENDING: {
        Verdict.MET: {_HOLDING: State.OK, _HELD: State.OK},
        Verdict.NEAR: {_HOLDING: State.OK, _HELD: State.OK},
        Verdict.MISSED: {_HELD: State.FIRING},
    },
    State.FIRING: {
        Verdict.MET: {_HOLDING: State.RECOVERING, _HELD: State.OK},
        Verdict.NEAR: {},
        Verdict.MISSED: {},
    },
    State.RECOVERING: {
        Verdict.MET: {_HELD: State.OK},
        Verdict.NEAR: {_HOLDING: State.FIRING, _HELD: State.FIRING},
        Verdict.MISSED: {_HOLDING: State.FIRING, _HELD: State.FIRING},
    },
}
"""The next state for a state and a verdict, while the hold time still runs and when it has passed.

A missing entry is: stay. Too little data stays. `no-data` and `suspended` are entered from everywhere
on their verdicts, and left to the state before, which then meets the verdict.
"""
RESTING: Final = {Verdict.NO_DATA: State.NO_DATA, Verdict.OFF_SHIFT: State.SUSPENDED}


def next_state(alert: Alert, target: Target, verdict: Verdict, now_ms: int, window_from_ms: int = 0) -> State:
    """The state after a verdict on a window: the same one for no change.

    Evidence is that of one day: what a target with a level was found to be yesterday says nothing of today.
    """
    if verdict in RESTING:
        # An alert that never left ok has nothing to rest from: a restart writes no record for each agent, and neither
        # does the end of each shift.
        rests = alert.sequence and (verdict is not Verdict.OFF_SHIFT or alert.state is not State.OK)
        return RESTING[verdict] if rests else alert.state
    resting = alert.state in RESTING.values()
    state = alert.before if resting else alert.state
    if verdict is not Verdict.MISSED:
        state = _carried(alert, target, window_from_ms)
    if verdict is Verdict.TOO_LITTLE:
        return state
    hold_ms = target.hold_ms if verdict is Verdict.MISSED else target.recover_hold_ms
    waiting = not resting and state in (State.PENDING, State.RECOVERING)
    since_ms = max(alert.since_ms, window_from_ms) if _begins_anew(target) else alert.since_ms
    held = now_ms - since_ms >= hold_ms if waiting else hold_ms <= 0
    return TABLE[state][verdict].get(_HELD if held else _HOLDING, state)


def _carried(alert: Alert, target: Target, window_from_ms: int) -> State:
    """The state that a look at a window begins with."""
    if _begins_anew(target) and window_from_ms > alert.window_from_ms:
        return State.OK
    return alert.before if alert.state in RESTING.values() else alert.state


def _begins_anew(target: Target) -> bool:
    """True when what was found of one window says nothing of the next: evidence, and what takes a week or longer."""
    longer = target.window in CALENDAR_WINDOWS and target.window not in LIVE_WINDOWS
    return target.level is not None or longer


def alert_id(subject: Subject, sequence: int) -> str:
    """Id of a transition, the same on every machine and at every delivery."""
    return f"{subject.target}/{subject.tenant}/{subject.scope}/{sequence}"


class Reached(NamedTuple):
    """All that a window asks for is done, before or when it ends."""

    value: Value
    asked: Fraction
    """The bound for the whole window, prorated where there is a schedule; the best before, for a personal best."""
    basis: str | None
    """What proration rests on."""
    why: Why = Why.REACHED


class Look(NamedTuple):
    """One look at a target: what was judged, over which window, for whom to show."""

    target: Target
    judgement: Judgement
    window: Window
    team: str | None = None
    display_name: str | None = None
    bound_from: str | None = None
    """Where the bound comes from, when it is not the target's own as it is."""
    reached: Reached | None = None
    """When all that the window asks for is done."""


def step(alert: Alert, look: Look, now_ms: int) -> Transition | None:
    """The transition that a look at the target makes; None when the state stays."""
    target, judgement = look.target, look.judgement
    state = next_state(alert, target, judgement.verdict, now_ms, look.window.from_ms)
    severity = _severity(alert, look, state)
    if state is alert.state and severity is alert.severity and not _renewed(alert, look):
        return None
    return _made(alert, look, state, severity, now_ms)


def good_news(alert: Alert, look: Look, now_ms: int) -> Transition | None:
    """The record that says that a target is reached, or a best day: once a window, and only while nothing is wrong."""
    reached, from_ms = look.reached, look.window.from_ms
    if reached is None or alert.state is not State.OK or alert.reached_from_ms == from_ms:
        return None
    return replace(
        _made(alert, look, State.OK, Severity.WARNING, now_ms),
        reason=reached.why,
        value=reached.value.value,
        numerator=reached.value.numerator,
        denominator=reached.value.denominator,
        low=float(reached.asked),
        against=None,
        expected=None,
        basis=reached.basis,
        reached_from_ms=from_ms,
    )


def _made(alert: Alert, look: Look, state: State, severity: Severity, now_ms: int) -> Transition:
    target, judgement = look.target, look.judgement
    value = judgement.value
    return Transition(
        alert_id=alert_id(alert.subject, alert.sequence + 1),
        target=alert.subject.target,
        tenant=alert.subject.tenant,
        scope=alert.subject.scope,
        sequence=alert.sequence + 1,
        from_state=alert.state,
        to_state=state,
        at_ms=now_ms,
        reason=judgement.reason,
        kpi=target.kpi,
        window=target.window,
        window_from_ms=look.window.from_ms,
        window_to_ms=look.window.to_ms,
        direction=target.direction,
        low=None if target.low is None else float(target.low),
        high=None if target.high is None else float(target.high),
        value=None if value is None else value.value,
        numerator=None if value is None else value.numerator,
        denominator=None if value is None else value.denominator,
        before=_carried(alert, target, look.window.from_ms) if state in RESTING.values() else state,
        team=look.team,
        display_name=look.display_name,
        owner=target.owner,
        against=judgement.against,
        alpha=None if target.level is None else target.level.alpha,
        expected=None if judgement.due is None else float(judgement.due.expected),
        basis=None if judgement.due is None else judgement.due.basis,
        severity=severity,
        since_ms=alert.since_ms if alert.sequence else None,
        bound_from=look.bound_from,
        reached_from_ms=alert.reached_from_ms,
        shape=shape(target.own) or msgspec.UNSET,
    )


_GRAVE: Final = (State.FIRING, State.RECOVERING)


def _renewed(alert: Alert, look: Look) -> bool:
    """True when what fired on evidence of an earlier day is missed on this day's, too: the record says so."""
    newer = _begins_anew(look.target) and look.window.from_ms > alert.window_from_ms
    return newer and alert.state is State.FIRING and look.judgement.verdict is Verdict.MISSED


def _severity(alert: Alert, look: Look, state: State) -> Severity:
    """The severity after a look: of what fires, or rests and will fire on."""
    if state is alert.state and state in RESTING.values():
        return alert.severity
    carried = _carried(alert, look.target, look.window.from_ms)
    stands = carried if state in RESTING.values() else state
    if stands not in _GRAVE:
        return Severity.WARNING
    grave = look.judgement.severity is Severity.CRITICAL or (carried in _GRAVE and alert.severity is Severity.CRITICAL)
    return Severity.CRITICAL if grave else Severity.WARNING


def alert_after(transition: Transition) -> Alert:
    """The alert in the state to which a transition has led."""
    same = transition.from_state is transition.to_state
    return Alert(
        Subject(transition.target, transition.tenant, transition.scope),
        transition.to_state,
        transition.at_ms if transition.since_ms is None or not same else transition.since_ms,
        transition.sequence,
        transition.before,
        transition.window_from_ms,
        transition.severity,
        transition.reached_from_ms,
    )


def as_it_was(transition: Transition) -> Target:
    """The target that a transition was about, as far as the record says: for one that has left the settings."""
    low, high = (None if each is None else Fraction(repr(each)) for each in (transition.low, transition.high))
    return Target(
        name=transition.target,
        kpi=transition.kpi,
        window=transition.window,
        direction=transition.direction,
        low=low,
        high=high,
        owner=transition.owner,
    )


def states_from_log(transitions: Iterable[Transition]) -> dict[Subject, Alert]:
    """State of every subject: the first record of its highest sequence, in the order of the log."""
    out: dict[Subject, Alert] = {}
    for transition in transitions:
        take_from_log(out, transition)
    return out


def take_from_log(states: dict[Subject, Alert], transition: Transition) -> None:
    """Take in the next record of the log: it is the state unless one of its sequence, or a later one, was there."""
    subject = Subject(transition.target, transition.tenant, transition.scope)
    known = states.get(subject)
    if known is None or transition.sequence > known.sequence:
        states[subject] = alert_after(transition)


def alert_key(transition: Transition) -> bytes:
    """Kafka key of a transition: `target/tenant/scope`, so that a subject has one ordered log."""
    return f"{transition.target}/{transition.tenant}/{transition.scope}".encode("utf-8", "surrogatepass")


encode_transition: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Transition).decode


def decode_transition(value: bytes) -> Transition:
    """The transition in a record of the alert log; raises `msgspec.DecodeError` when it is none."""
    return _decode(value)


def unit_and_formula(transition: Transition) -> tuple[str, str]:
    """Of the transition's KPI: no unit and its name for one that this version does not know."""
    if transition.own is not None:
        return transition.own.unit, transition.own.formula
    kpi = BY_NAME.get(transition.kpi)
    if kpi is None:
        return "ms" if transition.kpi == OUTAGE_KPI else "", transition.kpi
    return kpi.unit, definition(kpi)
