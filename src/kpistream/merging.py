"""Merging: events counted under one agent id move to another, by corrections through the log.

Each standing fact of the old agent is sent again whole, with the next revision, the new agent and `moved_from`.
Nothing is edited in history: the log says what happened, and everything derived follows. What has moved has no
standing fact of the old agent any more, so merging twice moves nothing twice.
"""

from collections.abc import Iterator
from typing import Any, Final

from pydantic import ValidationError

from kpistream.core.events import CallEnded, DealClosed, SurveyCompleted
from kpistream.core.explaining import rejection
from kpistream.errors import EventRejected
from kpistream.history import queries, tables
from kpistream.history.store import Store
from kpistream.log.records import Outgoing

_MODELS: Final[dict[str, type[CallEnded | DealClosed | SurveyCompleted]]] = {
    "call": CallEnded,
    "deal": DealClosed,
    "survey": SurveyCompleted,
}
_COLUMNS: Final = {attribute: column for column, _, attribute, _ in tables.FACT_FIELDS}
"""Where a fact keeps a field of its event; a measure may have the field's own name."""
_SAME: Final = ("tenant", "source", "event_id")


def moved_events(store: Store, tenant: str, old: str, new: str, from_ms: int) -> Iterator[Outgoing]:
    """The corrections that move everything `old` did since `from_ms` to `new`, oldest first.

    Raises: EventRejected when an event has the greatest revision there is, or `new` is no agent id.
    """
    for fact in queries.facts_of(store, f"agent:{old}", queries.Span(None, None, tenant)):
        if fact["occurred_at"] >= from_ms:
            event = corrected(fact, old, new)
            yield Outgoing(event.key(), event.to_json())


def corrected(fact: dict[str, Any], old: str, new: str) -> CallEnded | DealClosed | SurveyCompleted:
    """The event behind a fact, one revision later and with the new agent. Raises EventRejected."""
    model = _MODELS[fact["kind"]]
    said = {name: fact[_COLUMNS[name]] for name in model.model_fields if name in _COLUMNS}
    if model is SurveyCompleted:
        said["score"] = fact[_COLUMNS["score_milli"]] / 1000
    values = {name: value for name, value in said.items() if value is not None}
    values |= {name: fact[name] for name in _SAME}
    values |= {
        "agent_id": new,
        "revision": fact["revision"] + 1,
        "moved_from": {"agent_id": old, "occurred_at": fact["occurred_at"]},
        "attributes": fact["attributes"] or None,
    }
    try:
        return model.model_validate(values)
    except ValidationError as error:
        fault = rejection(error)
        raise EventRejected(fault.reason, f"{fact['source']}/{fact['event_id']}: {fault.detail}", fault.hint) from error
