"""Dispatch: which message goes to whom, and when. Pure: transitions, acks, outcomes and `now_ms` in, messages out.

Every transition ends in a message to each receiver that routes name, or in a `Silence`, never in nothing. All state is
in records (`errands.py`): a dispatcher that is made from those of another goes on as that one would have.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from kpistream.core.acks import Ack
from kpistream.core.alerts import State, Transition
from kpistream.core.composing import NEVER_MS, Look, compose, message_of, quiet_until_ms, seal, told
from kpistream.core.errands import (
    GIVE_UP_ATTEMPTS,
    GIVE_UP_MS,
    AlertRecord,
    Entry,
    Errand,
    Message,
    Sent,
    Silence,
    cause_key,
    encode,
    retry_after_ms,
    subject_key,
)
from kpistream.core.holding import Held, Holding, answered, group_of
from kpistream.core.receivers import DAY_MS, MINUTE_MS, Notify, Receiver, Route
from kpistream.core.targets import Why
from kpistream.core.wanting import Offer, offered, still_wanted

_LOOK_MS: Final = MINUTE_MS
"""Nothing that is to be told waits for longer than this without a look."""
_SETTLED_MS: Final = DAY_MS
"""What is over is remembered for so long, in case that the log says it again."""
_replace = msgspec.structs.replace


class Silenced(NamedTuple):
    """A transition that a receiver is not told of; the receiver is empty when there is none."""

    receiver: str
    transition: Transition
    reason: Silence


class _Way(NamedTuple):
    """The route of an errand, and the labels of its messages, for as long as it is about this transition."""

    last: Transition
    escalation: bool
    route: Route
    group: tuple[str, ...]


class Dispatcher:
    """All receivers of an installation."""

    def __init__(self, settings: Notify, records: Iterable[AlertRecord] = (), acks: Iterable[Ack] = ()) -> None:
        self.silenced: list[Silenced] = []
        """Who takes them away clears them."""
        self._settings = settings
        self._errands: dict[str, dict[str, Errand]] = {name: {} for name in settings.receivers}
        """By receiver and subject."""
        self._active: dict[str, dict[str, Errand]] = {name: {} for name in settings.receivers}
        """Of these, those that may have something to tell: a look costs no more than they."""
        self._ways: dict[str, dict[str, _Way]] = {name: {} for name in settings.receivers}
        self._told_ms: dict[str, dict[tuple[str, ...], int]] = {name: {} for name in settings.receivers}
        """When a group of a receiver had its last message."""
        self._sent: dict[str, Sent] = {name: Sent(name) for name in settings.receivers}
        self._acks = {ack.key: ack for ack in acks}
        self._holding = Holding(settings.inhibitions)
        self._changed: dict[str, AlertRecord | None] = {}
        self._look_ms: dict[str, int] = {}
        """Before which nothing can be due, by receiver."""
        self._escalate_ms = 0
        self._gone: list[Errand] = []
        """Of receivers that have left the settings, until they are handed on."""
        for record in records:
            self._load(record)

    # ---- in

    def take(self, transition: Transition, now_ms: int) -> None:
        """A record of the alert log."""
        subject = subject_key(transition)
        if self._holding.note(transition):
            self._changed[cause_key(subject)] = self._holding.cause(subject)
            self._look_ms.clear()  # holds back, or lets go, what others wait for
        named = {name for route in self._settings.routes_of(transition) for name in route.to}
        known = {name for name, errands in self._errands.items() if subject in errands}
        if not named | known:
            self._silence("", transition, Silence.NOT_ROUTED)
        for name in sorted(named | known):
            errand = self._errands[name].get(subject)
            offer = offered(self._settings.receivers[name], errand, transition, now_ms)
            self._follow(name, offer, errand)

    def reroute(self, now_ms: int) -> None:
        """Once, before anything is taken: what fires or waited for a receiver that is gone, by the routes of now.

        Whoever they name is told, unless it knows of the alert. With the settings of before that changes nothing.
        """
        gone, self._gone = self._gone, []
        found = [transition for errand in gone for transition in errand.waiting]
        known = [*gone, *(errand for errands in self._errands.values() for errand in errands.values())]
        self._note_known(known)
        found += [errand.last for errand in known if errand.fires]
        for transition in found:
            for name in sorted({name for route in self._settings.routes_of(transition) for name in route.to}):
                errand = self._errands[name].get(subject_key(transition))
                if errand is None or errand.last.sequence < transition.sequence:
                    offer = offered(self._settings.receivers[name], errand, transition, now_ms)
                    self._follow(name, offer, errand)

    def ack(self, ack: Ack) -> None:
        """What somebody said of an alert."""
        known = self._acks.get(ack.key)
        if known is None or ack.at_ms >= known.at_ms:
            self._acks[ack.key] = ack
        self._look_ms.clear()
        self._escalate_ms = 0

    def sent(self, message: Message, now_ms: int) -> None:
        """A channel has delivered the message."""
        for errand in self._of(message):
            self._put(told(errand, now_ms))
            self._note_told(errand, now_ms)
        record = self._sent[message.receiver]
        rate = self._settings.receivers[message.receiver].rate
        if rate is not None:
            recent = tuple(at_ms for at_ms in record.sent_ms if at_ms > now_ms - rate.per_ms)
            self._put(Sent(message.receiver, (*recent, now_ms)))

    def failed(self, message: Message, now_ms: int) -> bool:
        """A channel could not deliver it: tried again later. False when it was tried for long enough: see `give_up`.

        A receiver that keeps state is never given up, and tried every minute: what fires must be there once it is back.
        """
        keeps_state = self._settings.receivers[message.receiver].keeps_state
        long_enough = now_ms - message.made_ms >= GIVE_UP_MS and message.attempt >= GIVE_UP_ATTEMPTS
        if long_enough and not keeps_state:
            return False
        wait_ms = retry_after_ms(message.id, message.attempt)
        retry_ms = now_ms + (min(wait_ms, MINUTE_MS) if keeps_state else wait_ms)
        for errand in self._of(message):
            assert errand.sealed is not None
            sealed = _replace(errand.sealed, attempt=message.attempt + 1, retry_ms=retry_ms)
            self._put(_replace(errand, sealed=sealed))
        return True

    def give_up(self, message: Message, now_ms: int) -> None:
        """The message is in dead letters."""
        for entry in message.entries:
            if not entry.repeat:
                self._silence(message.receiver, entry.transition, Silence.UNDELIVERED)
        for errand in self._of(message):
            self._put(_replace(told(errand, now_ms), told=errand.told, told_ms=errand.told_ms))

    # ---- out

    def next(self, name: str, now_ms: int) -> Message | None:
        """The next message to a receiver that is due, sealed; None when there is none now."""
        self._escalate(now_ms)
        if now_ms < self._look_ms.get(name, 0):
            return None
        receiver = self._settings.receivers[name]
        again, retry_ms = self._retry(receiver, now_ms)
        if again:
            return message_of(again)
        found = compose(receiver, self._looks(receiver, now_ms), self._sent[name], now_ms)
        for errand in found.held:
            if not errand.held:
                self._put(_replace(errand, held=True))
        if not found.errands:
            self._look_ms[name] = min(found.look_ms, retry_ms, now_ms + _LOOK_MS)
            return None
        sealed = seal(found.errands, now_ms)
        for errand in sealed:
            self._put(errand)
        return message_of(sealed)

    def standing(self, name: str) -> tuple[Entry, ...]:
        """What a receiver that keeps state must hear again: all that it was told of and that is not over."""
        return tuple(
            Entry(errand.last, errand.repeats, errand.began_ms, errand.told)
            for errand in self._errands[name].values()
            if errand.told_open and errand.last.to_state is not State.OK
        )

    def waiting(self, name: str) -> int:
        """Transitions that a receiver is still to be told of."""
        return sum(len(errand.waiting) for errand in self._errands[name].values())

    def changes(self) -> list[tuple[str, bytes | None]]:
        """Records that must be durable before anything that follows from them is done: key, and value or None."""
        out = [(key, None if record is None else encode(record)) for key, record in self._changed.items()]
        self._changed.clear()
        return out

    def sweep(self, now_ms: int) -> None:
        """Forget what was over long ago. Costs all errands."""
        for errands in self._errands.values():
            for subject, errand in list(errands.items()):
                gone = errand.last.reason is Why.NOT_COVERED or errand.last.to_state is State.OK
                idle = not errand.waiting and errand.sealed is None
                if gone and idle and now_ms - errand.changed_ms > _SETTLED_MS:
                    del errands[subject]
                    self._active[errand.receiver].pop(subject, None)
                    self._ways[errand.receiver].pop(subject, None)
                    self._changed[errand.key] = None

    # ---- state

    def _load(self, record: AlertRecord) -> None:
        if isinstance(record, Transition):
            if not self._holding.note(record):  # its rule has left: with the next one what is known then counts
                self._changed[cause_key(subject_key(record))] = None
        elif record.receiver not in self._errands:
            self._changed[record.key] = None
            if isinstance(record, Errand):
                self._gone.append(record)
                for transition in record.waiting:
                    self._silence(record.receiver, transition, Silence.RECEIVER_GONE)
        elif isinstance(record, Sent):
            self._sent[record.receiver] = record
        else:
            self._keep(record)
            self._note_told(record, record.told_ms)
            self._follow(record.receiver, still_wanted(self._settings.receivers[record.receiver], record), record)

    def _note_known(self, errands: Iterable[Errand]) -> None:
        """Of what is known, note what silences others by the rules of now: one may be new."""
        latest: dict[str, Transition] = {}
        for errand in errands:
            if errand.subject not in latest or latest[errand.subject].sequence < errand.last.sequence:
                latest[errand.subject] = errand.last
        for subject, transition in latest.items():
            if self._holding.cause(subject) != transition and self._holding.note(transition):
                self._changed[cause_key(subject)] = self._holding.cause(subject)

    def _put(self, record: Errand | Sent) -> None:
        if isinstance(record, Sent):
            self._sent[record.receiver] = record
        else:
            self._keep(record)
        self._changed[record.key] = record
        self._look_ms.pop(record.receiver, None)
        self._escalate_ms = 0

    def _keep(self, errand: Errand) -> None:
        name, subject = errand.receiver, errand.subject
        self._errands[name][subject] = errand
        if errand.waiting or errand.sealed is not None or errand.fires:
            self._active[name][subject] = errand
        else:
            self._active[name].pop(subject, None)

    def _note_told(self, errand: Errand, told_ms: int) -> None:
        group = self._way(errand).group
        known = self._told_ms[errand.receiver]
        if told_ms > known.get(group, 0):
            known[group] = told_ms

    def _silence(self, name: str, transition: Transition, reason: Silence) -> None:
        self.silenced.append(Silenced(name, transition, reason))

    def _follow(self, name: str, offer: Offer, errand: Errand | None) -> None:
        for transition, reason in offer.silenced:
            self._silence(name, transition, reason)
        if offer.errand is not None and offer.errand is not errand:
            self._put(offer.errand)

    def _of(self, message: Message) -> list[Errand]:
        errands = self._active[message.receiver].values()
        return [errand for errand in errands if errand.sealed is not None and errand.sealed.id == message.id]

    def _way(self, errand: Errand) -> _Way:
        ways, subject = self._ways[errand.receiver], errand.subject
        way = ways.get(subject)
        if way is None or way.last is not errand.last or way.escalation != errand.escalation:
            route = self._route(errand)
            group = group_of(errand, self._settings.receivers[errand.receiver], route)
            way = ways[subject] = _Way(errand.last, errand.escalation, route, group)
        return way

    def _route(self, errand: Errand) -> Route:
        """The route that an errand is on; what holds without a word when it is on none any more."""
        routes = self._settings.routes_of(errand.last)
        for route in routes:
            if errand.receiver in route.to:
                return route
        for route in routes:
            if any(errand.receiver in step.to for step in route.escalate):
                return route
        return Route()

    # ---- composing

    def _looks(self, receiver: Receiver, now_ms: int) -> list[Look]:
        out = []
        for errand in list(self._active[receiver.name].values()):
            _, _, route, group = self._way(errand)
            told_ms = self._told_ms[receiver.name].get(group, 0)
            interval_ms = 0 if receiver.keeps_state else route.group_interval_ms
            if errand.sealed is not None:
                continue
            held = self._holding.looked_at(errand, receiver, self._acks.get(errand.subject), now_ms)
            for transition, reason in held.silenced:
                self._silence(receiver.name, transition, reason)
            if held.errand is not errand:
                self._put(held.errand)
            due_ms = _due_ms(held, receiver, route)
            free = bool(held.errand.waiting) and held.until_ms is not None and held.until_ms <= now_ms
            out.append(Look(held.errand, group, told_ms, interval_ms, due_ms, free))
        return out

    def _retry(self, receiver: Receiver, now_ms: int) -> tuple[list[Errand], int]:
        """The errands of a sealed message whose next attempt is due, or none and when one is."""
        quiet_ms = quiet_until_ms(receiver, now_ms)
        urgent = receiver.quiet.unless if receiver.quiet is not None else ()
        look_ms, found = NEVER_MS, ""
        sealed = [errand for errand in self._active[receiver.name].values() if errand.sealed is not None]
        for errand in sealed:
            assert errand.sealed is not None
            at_ms = errand.sealed.retry_ms
            if quiet_ms is not None and errand.last.severity not in urgent:
                at_ms = max(at_ms, quiet_ms)
            if at_ms < look_ms:
                look_ms, found = at_ms, errand.sealed.id
        if look_ms > now_ms:
            return [], look_ms
        return [errand for errand in sealed if errand.sealed is not None and errand.sealed.id == found], look_ms

    # ---- escalation

    def _escalate(self, now_ms: int) -> None:
        if now_ms < self._escalate_ms:
            return
        next_ms = NEVER_MS
        for errand in [each for errands in self._active.values() for each in errands.values()]:
            steps = (
                self._way(errand).route.escalate if errand.fires and errand.tried_ms and not errand.escalation else ()
            )
            if len(steps) <= errand.escalated:
                continue
            if answered(errand, self._acks.get(errand.subject), now_ms):
                continue
            due_ms = errand.tried_ms + steps[errand.escalated].after_ms
            if due_ms > now_ms:
                next_ms = min(next_ms, due_ms)
                continue
            self._put(_replace(errand, escalated=errand.escalated + 1))
            for name in steps[errand.escalated].to:
                self._tell_also(name, errand.last, now_ms)
            next_ms = now_ms
        self._escalate_ms = min(next_ms, now_ms + _LOOK_MS)

    def _tell_also(self, name: str, transition: Transition, now_ms: int) -> None:
        errand = self._errands[name].get(subject_key(transition))
        if not self._settings.receivers[name].bad_news:
            self._silence(name, transition, Silence.NOT_WANTED)
            return
        if errand is not None and (errand.told_open or errand.waiting):
            self._silence(name, transition, Silence.KNOWN)
            return
        told = errand.told if errand is not None else None
        self._put(
            Errand(
                receiver=name,
                last=transition,
                changed_ms=now_ms,
                waiting=(transition,),
                arrived_ms=now_ms,
                told=told,
                told_ms=errand.told_ms if errand is not None else 0,
                episode=transition.sequence,
                began_ms=transition.at_ms,
                escalation=True,
            )
        )


def _due_ms(held: Held, receiver: Receiver, route: Route) -> int | None:
    """When an errand has something to tell; None when it has nothing, or waits for somebody else's word."""
    errand = held.errand
    if held.until_ms is None:
        return None
    if errand.waiting:
        wait_ms = 0 if receiver.keeps_state or errand.escalation else route.group_wait_ms
        return max(errand.arrived_ms + wait_ms, held.until_ms)
    known = errand.told is not None and errand.told.to_state is State.FIRING
    again = held.repeats and receiver.bad_news and not receiver.keeps_state
    if again and route.repeat_ms is not None and known:
        return max(errand.told_ms + route.repeat_ms, held.until_ms)
    return None
