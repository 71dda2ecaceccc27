"""Merging: events counted under one agent id move to another, by corrections through the log.

Each standing fact of the old agent is sent again with the next revision, the new agent and `moved_from`.
Nothing is edited in history: the log says what happened, and everything derived follows.
"""

from collections.abc import Iterator
from typing import Any, Final

from kpistream.core.events import CallEnded, DealClosed, SurveyCompleted
from kpistream.history import queries
from kpistream.history.store import Store
from kpistream.log.records import Outgoing

_TYPES: Final[dict[str, type[CallEnded | DealClosed | SurveyCompleted]]] = {
    "call": CallEnded,
    "deal": DealClosed,
    "survey": SurveyCompleted,
}
_REPORTED: Final = ("queue_wait_ms", "ring_ms", "talk_ms", "hold_ms", "wrap_up_ms")


def moved_events(store: Store, tenant: str, old: str, new: str, from_ms: int) -> Iterator[Outgoing]:
    """The corrections that move everything `old` did since `from_ms` to `new`, oldest first."""
    for fact in queries.facts_of(store, f"agent:{old}", queries.Span(None, None, tenant)):
        if fact["occurred_at"] >= from_ms:
            event = corrected(fact, old, new)
            yield Outgoing(event.key(), event.to_json())


def corrected(fact: dict[str, Any], old: str, new: str) -> CallEnded | DealClosed | SurveyCompleted:
    """The event behind a fact, one revision later and with the new agent."""
    model = _TYPES[fact["kind"]]
    values = {name: fact[name] for name in model.model_fields if name in fact and fact[name] is not None}
    if model is CallEnded:
        values |= {name: fact[f"reported_{name}"] for name in _REPORTED if fact[f"reported_{name}"] is not None}
        for name in _REPORTED:
            if fact[f"reported_{name}"] is None:
                values.pop(name, None)
    if model is SurveyCompleted:
        values |= {"kind": fact["survey_kind"], "score": fact["score_milli"] / 1000}
    values |= {
        "agent_id": new,
        "revision": fact["revision"] + 1,
        "moved_from": {"agent_id": old, "occurred_at": fact["occurred_at"]},
        "attributes": fact["attributes"] or None,
    }
    values.pop("occurred_at", None)
    return model.model_validate(values)
