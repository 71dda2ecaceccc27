"""Errands: what one receiver was told and is still to be told of one alert, as a record that survives.

A message is *sealed* before it is handed to a channel: its id and what is in it are durable then, and every attempt,
also that of the next process, sends the same under the same id.
"""

from enum import StrEnum
from hashlib import blake2b
from typing import Final, NamedTuple

import msgspec

from kpistream.core.alerts import State, Transition
from kpistream.core.receivers import HOUR_MS, MINUTE_MS, SECOND_MS
from kpistream.core.result_records import RESULTS_KEY, ResultList, ResultsTold

_FIRST_RETRY_MS: Final = 5 * SECOND_MS
_LONGEST_RETRY_MS: Final = 30 * MINUTE_MS
GIVE_UP_MS: Final = 24 * HOUR_MS
GIVE_UP_ATTEMPTS: Final = 20
"""A message that nobody has taken for so long, in so many attempts, goes to dead letters."""


class Silence(StrEnum):
    """Why a receiver is not told of a transition: the closed list that metrics and docs share."""

    NOT_ROUTED = "not-routed"
    """No route matches."""
    NOT_WANTED = "not-wanted"
    """The receiver is not told of this state: pending, recovering, or a resolve that is switched off."""
    NEVER_TOLD = "never-told"
    """It was not told of the slip either."""
    KNOWN = "known"
    """It knows already: told that it fires, and nothing else since."""
    DUPLICATE = "duplicate"
    """The log holds the transition twice, or it was read again after a restart."""
    STALE = "stale"
    """Began more than a day ago and is over: read late, in an old log."""
    OVER = "over-before-told"
    """Was held back by a snooze or an outage, and is over."""
    MUTED = "muted"
    CLOSED = "closed"
    ACKNOWLEDGED = "acknowledged"
    """Somebody has acknowledged before the escalation went out."""
    SUPERSEDED = "superseded"
    """So many transitions of one alert waited that only the latest are told."""
    RECEIVER_GONE = "receiver-gone"
    """The receiver has left the settings."""
    UNDELIVERED = "undelivered"
    """Tried for a day in vain: in dead letters."""


class Kind(StrEnum):
    """What a message is."""

    NEWS = "news"
    REPEAT = "repeat"
    DIGEST = "digest"
    """Everything that waited for quiet hours or a rate limit to pass."""
    ESCALATION = "escalation"
    RESULTS = "results"
    """How targets closed."""


class Sealed(msgspec.Struct, frozen=True, omit_defaults=True):
    """The message that an errand is in."""

    id: str
    kind: Kind
    made_ms: int
    through: int
    """Sequence of the last transition of the errand that is in it."""
    repeat: bool = False
    attempt: int = 0
    retry_ms: int = 0


class Errand(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One receiver and one alert."""

    receiver: str
    last: Transition
    """The latest transition that is known, told or not."""
    changed_ms: int
    waiting: tuple[Transition, ...] = ()
    """To be told, in order."""
    arrived_ms: int = 0
    """When the first of these came."""
    held: bool = False
    """Was due, and held back by quiet hours or a rate limit."""
    blocked: bool = False
    """Was held back by a snooze or an outage."""
    told: Transition | None = None
    """What it was told last."""
    told_ms: int = 0
    episode: int = 0
    """Sequence with which it began to fire, the last time that it did; 0: never."""
    began_ms: int = 0
    """When that was."""
    graver: int = 0
    """Sequence with which it became graver within the episode, or was missed in the next period, too; 0: neither."""
    tried_ms: int = 0
    """When a message of this episode was first handed over; 0: not yet."""
    praised_from_ms: int | None = None
    """Begin of the last window of which it was told that a slip has recovered, without having been told of the slip."""
    repeats: int = 0
    escalated: int = 0
    """Steps of escalation that are done."""
    escalation: bool = False
    """Is told because nobody has acknowledged."""
    sealed: Sealed | None = None

    @property
    def subject(self) -> str:
        """`target/tenant/scope`."""
        return subject_key(self.last)

    @property
    def key(self) -> str:
        """Key of the record."""
        return errand_key(self.receiver, self.subject)

    @property
    def told_open(self) -> bool:
        """True when what the receiver was told last is not over."""
        return self.told is not None and self.told.to_state is not State.OK

    def told_what(self, correction: Transition) -> bool:
        """True when the receiver was told of what a transition says was not true, though that may be over."""
        told = self.told
        return correction.corrects is not None and told is not None and told.sequence >= correction.corrects

    @property
    def fires(self) -> bool:
        """True while the alert fires, as far as it is known."""
        return self.last.to_state is State.FIRING


class Sent(msgspec.Struct, frozen=True):
    """When messages went to a receiver: what its rate limit is about."""

    receiver: str
    sent_ms: tuple[int, ...] = ()

    @property
    def key(self) -> str:
        """Key of the record."""
        return f"receiver/{self.receiver}"


class Entry(NamedTuple):
    """One transition in a message."""

    transition: Transition
    repeat: int = 0
    """How often it was told before."""
    began_ms: int = 0
    """When it began to fire, the last time that it did, epoch ms; 0: never."""
    before: Transition | None = None
    """What the receiver was told last of this alert."""


class Message(NamedTuple):
    """What a channel sends at once."""

    id: str
    receiver: str
    kind: Kind
    made_ms: int
    attempt: int
    entries: tuple[Entry, ...]
    results: ResultList | None = None
    """Instead of entries."""


def subject_key(transition: Transition) -> str:
    """`target/tenant/scope`."""
    return f"{transition.target}/{transition.tenant}/{transition.scope}"


def errand_key(receiver: str, subject: str) -> str:
    """Key of the record of an errand."""
    return f"errand/{receiver}/{subject}"


def message_id(receiver: str, alerts: list[str], repeats: int) -> str:
    """Id of a message: the same for the same alerts, told to the same receiver for the same time."""
    text = "\n".join((receiver, str(repeats), *sorted(alerts)))
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def retry_after_ms(id_: str, attempt: int) -> int:
    """How long to wait after a failed attempt: doubling, and spread by a quarter either way by the id alone."""
    plain = min(_LONGEST_RETRY_MS, _FIRST_RETRY_MS << min(attempt, 12))
    digest = blake2b(f"{id_}/{attempt}".encode(), digest_size=2).digest()
    return plain * 3 // 4 + plain * int.from_bytes(digest, "big") // (2 * 65_536)


AlertRecord = Errand | Sent | Transition
Record = AlertRecord | ResultsTold
"""What is durable. A transition: an alert that silences others, for as long as it does."""
encode: Final = msgspec.json.Encoder().encode
_errand: Final = msgspec.json.Decoder(Errand).decode
_sent: Final = msgspec.json.Decoder(Sent).decode
_results: Final = msgspec.json.Decoder(ResultsTold).decode
_cause: Final = msgspec.json.Decoder(Transition).decode


def cause_key(subject: str) -> str:
    """Key of the record of an alert that silences others."""
    return f"cause/{subject}"


def decode(key: str, value: bytes) -> Record:
    """The record under a key; raises `msgspec.DecodeError` when it is none."""
    if key.startswith("receiver/"):
        return _sent(value)
    if key.startswith(RESULTS_KEY):
        return _results(value)
    return _cause(value) if key.startswith("cause/") else _errand(value)
