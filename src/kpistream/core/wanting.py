"""Wanting: whether a receiver is told of a transition, given what it was told before; and why not.

Who was told of a slip is told how it goes on. Who was not hears of nothing but a slip.
"""

from typing import Final, NamedTuple

import msgspec

from kpistream.core.alerts import State, Transition
from kpistream.core.errands import Errand, Silence
from kpistream.core.explanation import Happened, happened
from kpistream.core.receivers import DAY_MS, Receiver
from kpistream.core.targets import GOOD_NEWS

_STALE_MS: Final = DAY_MS
_MOST_WAITING: Final = 50
_RESTING: Final = (State.NO_DATA, State.SUSPENDED)
_OVER: Final = (State.OK, *_RESTING)


class Offer(NamedTuple):
    """What comes of a transition for one receiver."""

    errand: Errand | None
    """As it is then; None when there was none and need not be one."""
    silenced: tuple[tuple[Transition, Silence], ...] = ()


def offered(receiver: Receiver, errand: Errand | None, transition: Transition, now_ms: int) -> Offer:
    """The errand after a transition, and what the receiver will not be told."""
    if errand is not None and transition.sequence <= errand.last.sequence:
        return Offer(errand, ((transition, Silence.DUPLICATE),))
    reason = _unwanted(receiver, errand, transition)
    if errand is None:
        if reason is not None:
            return Offer(None, ((transition, reason),))
        errand = Errand(receiver=receiver.name, last=transition, changed_ms=now_ms)
    followed = _followed(errand, transition, now_ms)
    if reason is None and not receiver.bad_news and transition.reason not in GOOD_NEWS:
        followed = msgspec.structs.replace(followed, praised_from_ms=transition.window_from_ms)
    if reason is not None:
        if transition.to_state is State.OK and transition.reason not in GOOD_NEWS:
            followed = msgspec.structs.replace(followed, told=None)  # nothing that it was told of is open any more
        return Offer(followed, ((transition, reason),))
    if transition.reason in GOOD_NEWS and now_ms - transition.at_ms > _STALE_MS:
        return Offer(followed, ((transition, Silence.STALE),))
    if _stale(followed, transition, now_ms):
        gone = (*followed.waiting, transition)
        return Offer(
            msgspec.structs.replace(followed, waiting=(), arrived_ms=0), tuple((each, Silence.STALE) for each in gone)
        )
    waiting = (*followed.waiting, transition)
    sealed_through = followed.sealed.through if followed.sealed is not None else -1
    spare = [each for each in waiting if each.sequence > sealed_through]
    dropped = set(spare[: max(0, len(waiting) - _MOST_WAITING)])
    kept = tuple(each for each in waiting if each not in dropped)
    silenced = tuple((each, Silence.SUPERSEDED) for each in waiting if each in dropped)
    return Offer(msgspec.structs.replace(followed, waiting=kept, arrived_ms=followed.arrived_ms or now_ms), silenced)


def still_wanted(receiver: Receiver, errand: Errand) -> Offer:
    """What of all that waits is told by settings that may be others than when it came. A message under way goes on."""
    if not errand.waiting:
        return Offer(errand)
    through = errand.sealed.through if errand.sealed is not None else -1
    kept: list[Transition] = []
    praised_from_ms: int | None = None
    for each in errand.waiting:
        wanted = receiver.good_news if each.reason in GOOD_NEWS else receiver.bad_news
        if not wanted and each.reason not in GOOD_NEWS and _recovered(each) and each.window_from_ms != praised_from_ms:
            wanted, praised_from_ms = True, each.window_from_ms
        if wanted or each.sequence <= through:
            kept.append(each)
    gone = tuple((each, Silence.NOT_WANTED) for each in errand.waiting if each not in kept)
    left = msgspec.structs.replace(errand, waiting=tuple(kept))
    if praised_from_ms is not None:
        left = msgspec.structs.replace(left, praised_from_ms=praised_from_ms)
    if gone and not kept:
        left = msgspec.structs.replace(left, arrived_ms=0, held=False, blocked=False)
    return Offer(errand if left == errand else left, gone)


def _followed(errand: Errand, transition: Transition, now_ms: int) -> Errand:
    """The errand that knows of the transition; a slip begins an episode unless it goes on with one."""
    now = msgspec.structs.replace(errand, last=transition, changed_ms=now_ms)
    was = errand.last.before if errand.last.to_state in _RESTING else errand.last.to_state
    if transition.to_state is not State.FIRING:
        return now
    if errand.episode and was in (State.FIRING, State.RECOVERING):
        graver = transition.from_state is State.FIRING
        return msgspec.structs.replace(now, graver=transition.sequence) if graver else now
    return msgspec.structs.replace(
        now, episode=transition.sequence, began_ms=transition.at_ms, graver=0, tried_ms=0, repeats=0, escalated=0
    )


def _unwanted(receiver: Receiver, errand: Errand | None, transition: Transition) -> Silence | None:
    """Why the receiver does not want to know; None when it does."""
    state = transition.to_state
    if transition.reason in GOOD_NEWS:
        return None if receiver.good_news else Silence.NOT_WANTED
    if not receiver.bad_news:
        return _no_praise(errand, transition)
    latest = None
    if errand is not None:
        latest = errand.waiting[-1] if errand.waiting else errand.told
    opened = latest is not None and latest.to_state is not State.OK
    if state is State.FIRING:
        known = latest is not None and latest.to_state is State.FIRING and latest.severity is transition.severity
        return Silence.KNOWN if known and transition.from_state is State.RECOVERING else None
    if state is State.OK:
        if not opened and (errand is None or not errand.told_what(transition)):
            return Silence.NEVER_TOLD
        return None if receiver.resolved else Silence.NOT_WANTED
    if state not in receiver.states:
        return Silence.NOT_WANTED
    if state is State.PENDING or (state is State.NO_DATA and transition.scope.startswith("source")):
        return None
    return None if opened else Silence.NEVER_TOLD


def _no_praise(errand: Errand | None, transition: Transition) -> Silence | None:
    """Why one who is told of good news only does not hear of a transition; a recovery is told once a window."""
    if not _recovered(transition):
        return Silence.NOT_WANTED
    praised = errand is not None and errand.praised_from_ms == transition.window_from_ms
    return Silence.KNOWN if praised else None


def _recovered(transition: Transition) -> bool:
    """True when a slip ends because the number meets its target."""
    return transition.from_state in (State.FIRING, State.RECOVERING) and happened(transition) is Happened.RECOVERED


def _stale(errand: Errand, transition: Transition, now_ms: int) -> bool:
    """True when all that waits began long ago and is over, and nobody was told of it."""
    if transition.to_state not in _OVER or errand.told_open or errand.sealed is not None or not errand.waiting:
        return False
    return all(now_ms - each.at_ms > _STALE_MS for each in errand.waiting)
