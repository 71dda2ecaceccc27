"""Correcting: whether an alert was ever true, by the panes as they are known now.

It fired at an instant, on a pane that was not over. It is judged again at that instant, over all earlier panes as they
are now and over that pane as it was then, and at the end of each further pane until the alert was over. When the target
is missed at none of these looks, the alert was not true. A function of panes, settings and the record of the firing.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from hashlib import blake2b
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from kpistream.core.alerts import Alert, State, Transition, alert_id
from kpistream.core.detecting import Detectors, weighed_in_panes
from kpistream.core.kpis import Limits
from kpistream.core.tallies import NOTHING
from kpistream.core.targets import Due, Judgement, Severity, Target, Verdict, Why, judge, paced
from kpistream.core.windows import ROLLING_MS, RunningWindow, Window, pane_start


class Episode(NamedTuple):
    """An alert that fired, and when it was over."""

    fired: Transition
    over_ms: int | None = None
    """None: it goes on."""


class Again(NamedTuple):
    """What a target is judged again by."""

    target: Target
    limits: Limits
    pane_ms: int
    packed_at: Callable[[int], bytes]
    """The packed tally of the pane at a start, as it is now."""
    window_at: Callable[[int], Window]
    due_at: Callable[[int], Due | None]
    """What a count is held against at an instant."""


def kept_pane(packed: bytes) -> str:
    """The pane that a record keeps, as text; empty for one with nothing in it."""
    return "" if packed == NOTHING else b64encode(packed).decode()


def judged_by(target: Target, limits: Limits) -> str:
    """A hash of what a target is judged by: another one, and numbers differ for other reasons than corrections."""
    bounds = tuple(None if each is None else str(each) for each in (target.low, target.high))
    alpha = None if target.level is None else target.level.alpha
    asked: tuple[object, ...] = (target.kpi, target.member, target.window, target.direction, bounds)
    asked += (target.minimum_sample, alpha, limits)
    own = target.own
    if own is not None:
        asked += (own.numerator, own.denominator, own.times, own.over)
    return blake2b(msgspec.json.encode(asked), digest_size=8).hexdigest()


def comparable(target: Target, limits: Limits, fired: Transition) -> bool:
    """True when the target is judged as it was when it fired, and panes and the record say what it saw.

    Own measures and working time are not kept with panes, nor which deals had come when a call settled.
    """
    if target.defined.numbers or target.defined.settles:
        return False
    return fired.last_pane is not None and fired.judged_by == judged_by(target, limits)


def untrue(episode: Episode, again: Again, now_ms: int) -> Judgement | None:
    """The judgement at the instant at which it fired, when the alert was not true; None when it was.

    Costs a judgement for each pane of the episode, and the panes of the window before it.
    """
    fired = episode.fired
    begin_ms = pane_start(fired.at_ms, again.pane_ms)
    running = RunningWindow(Window(fired.window_from_ms, fired.window_to_ms), again.pane_ms)
    for start_ms in range(fired.window_from_ms, begin_ms, again.pane_ms):
        running.put(start_ms, again.packed_at(start_ms))
    running.put(begin_ms, b64decode(fired.last_pane) if fired.last_pane else NOTHING)
    detectors = Detectors()
    first = _judged(again, running, detectors, _told_due(fired))
    if first.verdict is Verdict.MISSED:
        return None
    for at_ms in _moments(episode, again, begin_ms, now_ms):
        start_ms = pane_start(at_ms - 1, again.pane_ms)
        window = again.window_at(at_ms - 1)
        if window != running.window:
            running.move_to(window, partial(_before, again, start_ms))
        running.put(start_ms, again.packed_at(start_ms))
        if _judged(again, running, detectors, again.due_at(at_ms)).verdict is Verdict.MISSED:
            return None
    return first


def _before(again: Again, end_ms: int, start_ms: int) -> bytes:
    return again.packed_at(start_ms) if start_ms < end_ms else NOTHING


def _moments(episode: Episode, again: Again, begin_ms: int, now_ms: int) -> list[int]:
    """Ends of the panes of an episode within the window that it was about; of one that goes on, now, too.

    A rolling window goes along with the time, a day does not.
    """
    over_ms = now_ms if episode.over_ms is None else min(episode.over_ms, now_ms)
    end_ms = over_ms if episode.fired.window in ROLLING_MS else min(over_ms, episode.fired.window_to_ms)
    ends = list(range(begin_ms + again.pane_ms, end_ms + 1, again.pane_ms))
    return ends if episode.over_ms is not None or end_ms != now_ms or now_ms in ends else [*ends, now_ms]


def _judged(again: Again, running: RunningWindow, detectors: Detectors, due: Due | None) -> Judgement:
    target, limits = again.target, again.limits
    if paced(target):
        return judge(target, running.tally, limits, due)
    against = detectors.against("", target, running, limits) if weighed_in_panes(target) else None
    return judge(target, running.tally, limits, against=against)


def _told_due(fired: Transition) -> Due | None:
    """What was expected when it fired, as the record says."""
    return None if fired.expected is None else Due(Fraction(repr(fired.expected)), fired.basis or "")


def correction(alert: Alert, fired: Transition, judgement: Judgement, now_ms: int) -> Transition:
    """The transition that says that an alert was not true; nothing that was written before changes."""
    value, sequence = judgement.value, alert.sequence + 1
    return replace(
        fired,
        alert_id=alert_id(alert.subject, sequence),
        sequence=sequence,
        from_state=alert.state,
        to_state=State.OK,
        at_ms=now_ms,
        reason=Why.CORRECTED,
        value=None if value is None else value.value,
        numerator=None if value is None else value.numerator,
        denominator=None if value is None else value.denominator,
        before=State.OK,
        against=judgement.against,
        severity=Severity.WARNING,
        since_ms=alert.since_ms,
        slip_from_ms=None,
        last_pane=None,
        judged_by=None,
        reached_from_ms=alert.reached_from_ms,
        contributors=(),
        corrects=fired.sequence,
        told_at_ms=fired.at_ms,
        told_value=fired.value,
        told_numerator=fired.numerator,
        told_denominator=fired.denominator,
    )
