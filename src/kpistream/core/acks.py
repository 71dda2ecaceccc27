"""Acks: what people have said of an alert: acknowledged, snoozed, muted, closed.

One record for each subject on `kpi.alert-acks`, the newest holds. A record says up to which sequence it goes, so
that the next time the alert fires nobody has acknowledged it yet.
"""

from typing import Final, NamedTuple

import msgspec

from kpistream.core.alerts import RESTING, State, Subject, Transition


class Said(NamedTuple):
    """Who said it, when (epoch ms), and what for."""

    by: str
    at_ms: int
    note: str = ""


class Ack(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What holds for a subject."""

    target: str
    tenant: str
    scope: str
    by: str
    at_ms: int
    note: str = ""
    acked: int = 0
    """Sequence up to which somebody has acknowledged."""
    closed: int = 0
    """Sequence up to which somebody has said: this is done with."""
    snoozed_until_ms: int = 0
    muted: bool = False

    @property
    def key(self) -> str:
        """`target/tenant/scope`."""
        return f"{self.target}/{self.tenant}/{self.scope}"


def _said(before: Ack | None, subject: Subject, said: Said) -> Ack:
    if before is None:
        return Ack(**subject._asdict(), by=said.by, at_ms=said.at_ms, note=said.note)
    return msgspec.structs.replace(before, by=said.by, at_ms=said.at_ms, note=said.note)


def acknowledged(before: Ack | None, subject: Subject, sequence: int, said: Said) -> Ack:
    """Somebody has seen it up to a sequence: no repeats, no escalation until it fires anew."""
    now = _said(before, subject, said)
    return msgspec.structs.replace(now, acked=max(now.acked, sequence))


def closed(before: Ack | None, subject: Subject, sequence: int, said: Said) -> Ack:
    """Acknowledged, and its end is not told either."""
    now = acknowledged(before, subject, sequence, said)
    return msgspec.structs.replace(now, closed=max(now.closed, sequence))


def snoozed(before: Ack | None, subject: Subject, until_ms: int, said: Said) -> Ack:
    """Nothing is told until then; 0 ends it."""
    return msgspec.structs.replace(_said(before, subject, said), snoozed_until_ms=until_ms)


def muted(before: Ack | None, subject: Subject, on: bool, said: Said) -> Ack:
    """Nothing is told for as long as it is on."""
    return msgspec.structs.replace(_said(before, subject, said), muted=on)


def still_said(ack: Ack | None, fired: int, now_ms: int, graver: int = 0) -> tuple[str, ...]:
    """What still holds of what people said of an alert that fires since a sequence: muted, snoozed, closed or seen.

    `graver`: the sequence with which it became graver, or was missed in the next period, too; what was closed before
    is open again.
    """
    if ack is None:
        return ()
    found = []
    if ack.muted:
        found.append("muted")
    if ack.snoozed_until_ms > now_ms:
        found.append("snoozed")
    if ack.closed >= max(fired, graver):
        found.append("closed")
    elif ack.acked >= fired:
        found.append("acknowledged")
    return tuple(found)


class Firing:
    """With which sequence each alert began to fire, the last time that it did, out of the log in its order."""

    def __init__(self) -> None:
        self._fired: dict[Subject, int] = {}
        self._graver: dict[Subject, int] = {}
        self._last: dict[Subject, tuple[int, State]] = {}
        """Sequence and state, of an alert that rests the state before."""

    def note(self, transition: Transition) -> None:
        """The next record; one whose sequence is known changes nothing."""
        subject = Subject(transition.target, transition.tenant, transition.scope)
        known, was = self._last.get(subject, (0, State.OK))
        if transition.sequence <= known:
            return
        if transition.to_state is State.FIRING and was not in (State.FIRING, State.RECOVERING):
            self._fired[subject] = transition.sequence
        if transition.from_state is transition.to_state is State.FIRING:
            self._graver[subject] = transition.sequence
        resting = transition.to_state in RESTING.values()
        self._last[subject] = transition.sequence, transition.before if resting else transition.to_state

    def since(self, transition: Transition) -> int:
        """With which sequence the alert of a transition began to fire; its own when the log does not say."""
        subject = Subject(transition.target, transition.tenant, transition.scope)
        return self._fired.get(subject) or transition.sequence

    def graver(self, transition: Transition) -> int:
        """With which sequence it became graver, or was missed in the next period, too; 0 when it never has."""
        return self._graver.get(Subject(transition.target, transition.tenant, transition.scope), 0)


encode_ack: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Ack).decode


def decode_ack(value: bytes) -> Ack:
    """The ack in a record; raises `msgspec.DecodeError` when it is none."""
    return _decode(value)
