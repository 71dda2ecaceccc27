"""Holding: what keeps back an errand that is due: people's words, and outages that explain it.

Quiet hours and rate limits are the receiver's, and not decided here.
"""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from kpistream.core.acks import Ack
from kpistream.core.alerts import State, Transition
from kpistream.core.errands import Errand, Silence, subject_key
from kpistream.core.receivers import Inhibition, Receiver, Route, label_of
from kpistream.core.targets import GOOD_NEWS, Why

_ACTIVE = (State.FIRING, State.RECOVERING, State.NO_DATA)


class Held(NamedTuple):
    """An errand after a look."""

    errand: Errand
    until_ms: int | None
    """Not before; None: for as long as something else says so."""
    repeats: bool = False
    """May be told again what it was told."""
    silenced: tuple[tuple[Transition, Silence], ...] = ()


class Holding:
    """Knows which alerts are active that silence others."""

    def __init__(self, rules: Iterable[Inhibition]) -> None:
        self._rules = tuple(rules)
        self._causes: dict[str, Transition] = {}
        """By subject."""
        self._passed: dict[str, int] = {}
        """Sequences of those that were causes, and are none any more."""

    def note(self, transition: Transition) -> bool:
        """Take note of a transition, told or not; True when it changes what is silenced."""
        subject = subject_key(transition)
        known = self._causes.get(subject)
        if transition.sequence < (known.sequence if known is not None else self._passed.get(subject, 0)):
            return False
        if _stands(transition) in _ACTIVE and any(rule.when.takes(transition) for rule in self._rules):
            self._causes[subject] = transition
            return True
        if known is None:
            return False
        del self._causes[subject]
        self._passed[subject] = transition.sequence
        return True

    def cause(self, subject: str) -> Transition | None:
        """The transition with which a subject silences others; None when it does not."""
        return self._causes.get(subject)

    def inhibited(self, transition: Transition) -> bool:
        """True while something that is active explains it."""
        if not self._causes:
            return False
        subject = subject_key(transition)
        for rule in self._rules:
            if not rule.silences.takes(transition):
                continue
            labels = [label_of(transition, label) for label in rule.equal]
            for other, cause in self._causes.items():
                same = rule.when.takes(cause) and [label_of(cause, label) for label in rule.equal] == labels
                if same and other != subject and _may_explain(cause, transition):
                    return True
        return False

    def looked_at(self, errand: Errand, receiver: Receiver, ack: Ack | None, now_ms: int) -> Held:
        """What is left to tell, and from when on. What keeps state is told all, whatever people say."""
        if receiver.keeps_state:
            return Held(errand, now_ms)
        reason = _dropped(errand, ack)
        if reason is not None and errand.waiting:
            silenced = tuple((each, reason) for each in errand.waiting)
            told = None if errand.last.to_state is State.OK else errand.told
            done = msgspec.structs.replace(errand, waiting=(), arrived_ms=0, held=False, blocked=False, told=told)
            return Held(done, None, False, silenced)
        snoozed_ms = 0 if ack is None else ack.snoozed_until_ms
        if snoozed_ms > now_ms or self.inhibited(errand.last):
            blocked = errand if errand.blocked or not errand.waiting else msgspec.structs.replace(errand, blocked=True)
            return Held(blocked, None if snoozed_ms <= now_ms else snoozed_ms)
        left, over = _over(errand)
        return Held(left, now_ms, errand.fires and not answered(errand, ack, now_ms), over)


def _stands(transition: Transition) -> State:
    """How an alert stands: one that rests is not over, and goes on to explain others, unless nobody judges it more."""
    rests = transition.to_state is State.SUSPENDED and transition.reason is not Why.NOT_COVERED
    return transition.before if rests else transition.to_state


def _may_explain(cause: Transition, transition: Transition) -> bool:
    """False for a source that is silent and somebody who is heard through others only."""
    kind, _, source = cause.scope.partition(":")
    return kind != "source" or not transition.sources or source in transition.sources


def group_of(errand: Errand, receiver: Receiver, route: Route) -> tuple[str, ...]:
    """Labels that an errand's message has in common; an escalation goes alone."""
    if receiver.keeps_state:
        return ()
    kind = "escalation" if errand.escalation else ""
    return (kind, *(label_of(errand.last, label) for label in route.group_by))


def answered(errand: Errand, ack: Ack | None, now_ms: int) -> bool:
    """True when somebody has said something that ends repeats and escalation."""
    if ack is None:
        return False
    return ack.muted or ack.snoozed_until_ms > now_ms or max(ack.acked, ack.closed) >= errand.episode


def _dropped(errand: Errand, ack: Ack | None) -> Silence | None:
    """Why nothing that waits is told at all."""
    if ack is None or not errand.waiting:
        return None
    if ack.muted:
        return Silence.MUTED
    new = [each for each in errand.waiting if each.sequence > ack.closed]
    news = any(each.to_state is State.PENDING or each.reason in GOOD_NEWS for each in new)
    if errand.episode and ack.closed >= max(errand.episode, errand.graver) and not news:
        return Silence.CLOSED
    if errand.escalation and errand.told is None and ack.acked >= errand.episode:
        return Silence.ACKNOWLEDGED
    return None


def _over(errand: Errand) -> tuple[Errand, tuple[tuple[Transition, Silence], ...]]:
    """What was held back and is over by now is not told; the end is, to who knows of the beginning. Good news are."""
    news = tuple(each for each in errand.waiting if each.reason in GOOD_NEWS)
    rest = tuple(each for each in errand.waiting if each.reason not in GOOD_NEWS)
    if not errand.blocked or not rest or rest[-1].to_state is not State.OK:
        return errand, ()
    end = rest[-1:] if errand.told_open or errand.told_what(rest[-1]) else ()
    kept = tuple(sorted(end + news, key=lambda each: each.sequence))
    left = msgspec.structs.replace(errand, waiting=kept, arrived_ms=errand.arrived_ms if kept else 0, blocked=False)
    return left, tuple((each, Silence.OVER) for each in rest[: len(rest) - len(end)])
