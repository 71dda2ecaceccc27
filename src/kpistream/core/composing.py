"""Composing: which errands of one receiver go into its next message, and what that message is.

Grouping, quiet hours and the rate limit are decided here; what people and outages hold back is decided before
(`holding.py`). Nothing here changes anything: errands go in, and come out as they are to be remembered.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from kpistream.core.alerts import Transition
from kpistream.core.errands import Entry, Errand, Kind, Message, Sealed, Sent, message_id
from kpistream.core.receivers import Receiver

MOST_ENTRIES: Final = 100
"""Alerts in one message; further ones come in the next."""
NEVER_MS: Final = 1 << 62
_replace = msgspec.structs.replace


class Look(NamedTuple):
    """One errand of a receiver, looked at."""

    errand: Errand
    group: tuple[str, ...]
    told_ms: int
    """When the group had its last message; 0: never."""
    interval_ms: int
    """Least time between two messages of the group."""
    due_ms: int | None
    """When it has something to tell; None: nothing now."""
    free: bool
    """Goes along when others of its group go."""


class Composed(NamedTuple):
    """What comes of a look at all errands of a receiver."""

    errands: list[Errand]
    """Of the next message; empty when there is none now."""
    held: list[Errand]
    """Were due, and are held back by quiet hours or the rate limit."""
    look_ms: int
    """Nothing is due before, unless something changes."""


def compose(receiver: Receiver, looks: Sequence[Look], sent: Sent, now_ms: int) -> Composed:
    """What is to be told now."""
    ready, look_ms = _ready(looks, now_ms)
    held: list[Errand] = []
    quiet_ms = quiet_until_ms(receiver, now_ms)
    if quiet_ms is not None:
        assert receiver.quiet is not None
        urgent = receiver.quiet.unless
        held = [errand for errands in ready for errand in errands if errand.last.severity not in urgent]
        ready = [[errand for errand in errands if errand.last.severity in urgent] for errands in ready]
        look_ms = min(look_ms, quiet_ms) if held else look_ms
    ready = [errands for errands in ready if errands]
    free_ms = rate_until_ms(receiver, sent, now_ms)
    if ready and free_ms is not None:
        return Composed([], held + [errand for errands in ready for errand in errands], min(look_ms, free_ms))
    if any(errand.held for errands in ready for errand in errands):
        return Composed([errand for errands in ready for errand in errands], held, look_ms)
    return Composed(ready[0] if ready else [], held, look_ms)


def _ready(looks: Sequence[Look], now_ms: int) -> tuple[list[list[Errand]], int]:
    """Groups whose time has come, the earliest first, and when that of another comes."""
    groups: dict[tuple[str, ...], list[tuple[int, Look]]] = {}
    for look in looks:
        if look.due_ms is not None:
            groups.setdefault(look.group, []).append((look.due_ms, look))
    ready: list[tuple[int, list[Errand]]] = []
    look_ms = NEVER_MS
    for members in groups.values():
        begin_ms = min(due_ms for due_ms, _ in members)
        first = members[0][1]
        if first.told_ms:
            begin_ms = max(begin_ms, first.told_ms + first.interval_ms)
        if begin_ms > now_ms:
            look_ms = min(look_ms, begin_ms)
            continue
        together = [look.errand for due_ms, look in members if due_ms <= now_ms or look.free]
        ready.append((begin_ms, together))
        look_ms = min(look_ms, min((due_ms for due_ms, look in members if due_ms > now_ms), default=NEVER_MS))
    return [errands for _, errands in sorted(ready, key=lambda each: each[0])], look_ms


def quiet_until_ms(receiver: Receiver, now_ms: int) -> int | None:
    """When the quiet hours end that hold now; None when none do."""
    return None if receiver.quiet is None else receiver.quiet.ends_ms(now_ms, receiver.zone)


def rate_until_ms(receiver: Receiver, sent: Sent, now_ms: int) -> int | None:
    """When the next message may go to a receiver whose limit is reached; None when it may now."""
    rate = receiver.rate
    if rate is None:
        return None
    recent = [at_ms for at_ms in sent.sent_ms if at_ms > now_ms - rate.per_ms]
    return None if len(recent) < rate.messages else recent[-rate.messages] + rate.per_ms


def seal(errands: Sequence[Errand], now_ms: int) -> list[Errand]:
    """The errands of a new message, which is in them from now on."""
    chosen = sorted(errands, key=_order)[:MOST_ENTRIES]
    again = any(not errand.waiting for errand in chosen)
    alerts = [each.alert_id for errand in chosen for each in errand.waiting or _again(errand)]
    id_ = message_id(chosen[0].receiver, alerts, sum(errand.repeats + 1 for errand in chosen) if again else 0)
    kind = _kind(chosen)
    out = []
    for errand in chosen:
        through = (errand.waiting or _again(errand))[-1].sequence
        sealed = Sealed(id_, kind, now_ms, through, not errand.waiting)
        out.append(_replace(errand, sealed=sealed, tried_ms=errand.tried_ms or now_ms))
    return out


def _again(errand: Errand) -> tuple[Transition, ...]:
    """What a repeat tells: what was told, whatever has happened since; that comes in a message of its own."""
    assert errand.told is not None
    return (errand.told,)


def _order(errand: Errand) -> tuple[int, str]:
    return errand.arrived_ms, errand.subject


def _kind(errands: Sequence[Errand]) -> Kind:
    if any(errand.held for errand in errands):
        return Kind.DIGEST
    if not any(errand.waiting for errand in errands):
        return Kind.REPEAT
    if all(errand.escalation and errand.told is None for errand in errands):
        return Kind.ESCALATION
    return Kind.NEWS


def message_of(errands: Iterable[Errand]) -> Message:
    """The message that these errands are sealed in, all of them."""
    members = sorted(errands, key=_order)
    sealed = members[0].sealed
    assert sealed is not None
    entries: list[Entry] = []
    for errand in members:
        assert errand.sealed is not None and errand.sealed.id == sealed.id
        if errand.sealed.repeat:
            entries += [Entry(each, errand.repeats + 1, errand.began_ms, each) for each in _again(errand)]
            continue
        for transition in errand.waiting:
            if transition.sequence <= errand.sealed.through:
                entries.append(Entry(transition, 0, errand.began_ms, errand.told))
    attempt = max(errand.sealed.attempt for errand in members if errand.sealed)
    return Message(sealed.id, members[0].receiver, sealed.kind, sealed.made_ms, attempt, tuple(entries))


def told(errand: Errand, now_ms: int) -> Errand:
    """The errand once its message is with the receiver."""
    sealed = errand.sealed
    assert sealed is not None
    if sealed.repeat:
        return _replace(errand, sealed=None, told_ms=now_ms, repeats=errand.repeats + 1, held=False)
    gone = [each for each in errand.waiting if each.sequence <= sealed.through]
    left = tuple(each for each in errand.waiting if each.sequence > sealed.through)
    return _replace(
        errand,
        sealed=None,
        waiting=left,
        arrived_ms=sealed.made_ms if left else 0,
        told=gone[-1] if gone else errand.told,
        told_ms=now_ms,
        held=False,
        blocked=False,
    )
