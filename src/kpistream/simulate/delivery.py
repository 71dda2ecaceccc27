"""Delivery: how events reach the log in real life, late, twice, corrected, moved and now and then broken.

What goes wrong is drawn from the seed and counted in what is sent, so that the demo can say what it did.
Nothing is due before it happened. A move is always announced.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from kpistream.core.events import CallEnded, DealClosed, MovedFrom, SurveyCompleted
from kpistream.core.instants import instant, to_text
from kpistream.errors import Reason
from kpistream.simulate.agenda import BAD, CONFLICT, CORRECTION, DUPLICATE, EVENT, MOVE, Agenda, Sent

SimulatedEvent = CallEnded | DealClosed | SurveyCompleted
SECOND_MS: Final = 1000
MINUTE_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Rates:
    """How often something goes wrong: shares of the events that are sent first."""

    late: float = 0.015
    duplicate: float = 0.01
    conflict: float = 0.0005
    bad: float = 0.005


class Chain:
    """One event and its revisions, in the order in which they are sent."""

    def __init__(self, delivery: "Delivery", event: SimulatedEvent, due_ms: int) -> None:
        self._delivery = delivery
        self.event = event
        self.due_ms = due_ms
        """When the latest revision is due."""

    def correct(self, due_ms: int, **changes: Any) -> None:
        """Send a higher revision with other content, in the same place; never before the one below it."""
        self._revise(CORRECTION, due_ms, {**changes, "moved_from": None})

    def move(self, due_ms: int, **changes: Any) -> None:
        """Send a higher revision for another agent, queue or time, and say where the last one counted."""
        old = self.event
        assert old.occurred_at is not None
        if old.agent_id is not None:
            place = MovedFrom(agent_id=old.agent_id, occurred_at=old.occurred_at)
        else:
            place = MovedFrom(queue=old.queue, campaign=old.campaign, occurred_at=old.occurred_at)
        self._revise(MOVE, due_ms, {**changes, "moved_from": place})

    def _revise(self, what: str, due_ms: int, changes: dict[str, Any]) -> None:
        self.event = _changed(self.event, {**changes, "revision": self.event.revision + 1})
        self.due_ms = max(due_ms, self.due_ms + SECOND_MS)
        self._delivery.send(self.event, self.due_ms, what)


class Delivery:
    """Sends events to the agenda."""

    def __init__(self, agenda: Agenda, rng: Random, rates: Rates) -> None:
        self._agenda = agenda
        self._rng = rng
        self._rates = rates

    def first(self, event: SimulatedEvent) -> Chain:
        """Send a new event: soon after it happened, or late."""
        assert event.occurred_at is not None
        delay_ms = self._rng.uniform(0.1, 3) * SECOND_MS
        if self._rng.random() < self._rates.late:
            delay_ms = self._rng.uniform(2, 40) * MINUTE_MS
        due_ms = event.occurred_at + round(delay_ms)
        self.send(event, due_ms, EVENT)
        if self._rng.random() < self._rates.bad:
            self._spoil(event, due_ms)
        return Chain(self, event, due_ms)

    def send(self, event: SimulatedEvent, due_ms: int, what: str) -> None:
        """Send an event, now and then twice."""
        sent = Sent(due_ms, event.key(), event.to_json(), what, event.event_kind)
        self._agenda.send(sent)
        if self._rng.random() < self._rates.duplicate:
            again_ms = due_ms + round(self._rng.uniform(1, 600) * SECOND_MS)
            self._agenda.send(sent._replace(due_ms=again_ms, what=DUPLICATE))

    def last(self, chain: Chain) -> None:
        """Say that no revision follows: a producer may now contradict itself under the last one."""
        call = chain.event
        if self._rng.random() >= self._rates.conflict or not isinstance(call, CallEnded):
            return
        other = _changed(call, {"disposition": "other", "wrap_up_ms": (call.wrap_up_ms or 0) + SECOND_MS})
        due_ms = chain.due_ms + round(self._rng.uniform(10, 300) * SECOND_MS)
        self._agenda.send(Sent(due_ms, other.key(), other.to_json(), CONFLICT, other.event_kind))

    def _spoil(self, event: SimulatedEvent, due_ms: int) -> None:
        """Send a copy, under an id of its own, that the contract refuses."""
        content = json.loads(event.to_json())
        content["event_id"] += "-x"
        reason, value = self._rng.choice(_SPOILT[type(event)])(content)
        self._agenda.send(Sent(due_ms + SECOND_MS, event.key(), value, BAD, event.event_kind, reason))


def _changed(event: SimulatedEvent, changes: dict[str, Any]) -> SimulatedEvent:
    """The event with other content, checked again."""
    content = {name: getattr(event, name) for name in type(event).model_fields if name != "occurred_at"}
    return type(event)(**{**content, **changes})


Spoilt = Callable[[dict[str, Any]], tuple[Reason, bytes]]


def _bytes(content: dict[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def _cut_off(content: dict[str, Any]) -> tuple[Reason, bytes]:
    value = _bytes(content)
    return Reason.NOT_JSON, value[: len(value) * 2 // 3]


def _without_source(content: dict[str, Any]) -> tuple[Reason, bytes]:
    del content["source"]
    return Reason.MISSING_FIELD, _bytes(content)


def _without_zone(content: dict[str, Any]) -> tuple[Reason, bytes]:
    name = next(name for name in ("ended_at", "closed_at", "completed_at") if name in content)
    return Reason.NO_ZONE, _bytes({**content, name: content[name].removesuffix("Z")})


def _started_after_end(content: dict[str, Any]) -> tuple[Reason, bytes]:
    started_at = to_text(instant(content["ended_at"]) + 10 * SECOND_MS)
    return Reason.ENDED_BEFORE_STARTED, _bytes({**content, "started_at": started_at})


def _unknown_currency(content: dict[str, Any]) -> tuple[Reason, bytes]:
    return Reason.UNKNOWN_CURRENCY, _bytes({**content, "amount_minor": 9900, "currency": "EURO"})


def _seven_of_five(content: dict[str, Any]) -> tuple[Reason, bytes]:
    return Reason.SCORE_OUTSIDE_SCALE, _bytes({**content, "score": content["scale_max"] + 2})


_ANY: Final[tuple[Spoilt, ...]] = (_cut_off, _without_source, _without_zone)
_SPOILT: Final[dict[type[SimulatedEvent], tuple[Spoilt, ...]]] = {
    CallEnded: (*_ANY, _started_after_end),
    DealClosed: (*_ANY, _unknown_currency),
    SurveyCompleted: (*_ANY, _seven_of_five),
}
