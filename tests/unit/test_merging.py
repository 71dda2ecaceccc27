"""Merging: the correction behind a fact is the event that was sent, with the new agent and nothing else changed."""

from typing import Any

import pytest

from kpistream.core.events import CallEnded, DealClosed, SurveyCompleted
from kpistream.errors import EventRejected, Reason
from kpistream.history import tables
from kpistream.history.writer import fact_insert
from kpistream.merging import corrected
from tests.scenario.history_events import PANE_MS, facts

Event = CallEnded | DealClosed | SurveyCompleted
ENVELOPE = {
    "tenant": "acme",
    "source": "pbx",
    "event_id": "e-1",
    "revision": 6,
    "agent_id": "ext-12",
    "queue": "sales",
    "campaign": "spring",
    "customer_id": "c-9",
    "call_id": "call-7",
    "attributes": {"region": "north", "list": "übung"},
    "moved_from": {"agent_id": "ben", "occurred_at": 1_741_003_000_000},
}
CALL = CallEnded(
    **ENVELOPE,
    direction="inbound",
    started_at=1_741_003_000_001,
    answered_at=1_741_003_020_002,
    ended_at=1_741_003_200_003,
    queue_wait_ms=11_000,
    ring_ms=9_001,
    talk_ms=100_002,
    hold_ms=30_003,
    wrap_up_ms=45_004,
    outcome="connected",
    answered_by="human",
    disposition="call back",
    follow_up_of="call-1",
    follow_up_due_at=1_741_003_100_000,
    next_follow_up_at=1_741_090_000_000,
    transfer_leg=2,
)
DEAL = DealClosed(
    **ENVELOPE,
    outcome="won",
    amount_minor=149_999,
    currency="EUR",
    customer_type="repeat",
    product="gold",
    closed_at=1_741_003_300_004,
)
SURVEY = SurveyCompleted(**ENVELOPE, kind="csat", score=4.123, scale_min=1, scale_max=5, completed_at=1_741_003_400_005)
FULL = (CALL, DEAL, SURVEY)
BARE = (
    CallEnded(
        tenant="acme",
        source="pbx",
        event_id="1",
        agent_id="ext-12",
        direction="outbound",
        started_at=1_741_003_000_000,
        answered_at=1_741_003_010_000,
        ended_at=1_741_003_060_000,
        outcome="connected",
    ),
    DealClosed(
        tenant="acme", source="crm", event_id="1", agent_id="ext-12", outcome="lost", closed_at=1_741_003_000_000
    ),
    SurveyCompleted(
        tenant="acme",
        source="forms",
        event_id="1",
        agent_id="ext-12",
        kind="nps",
        score=0,
        scale_min=0,
        scale_max=10,
        completed_at=1_741_003_000_000,
    ),
)


def fact_of(event: Event) -> dict[str, Any]:
    """The row that the sink writes for an event, column by name."""
    insert = fact_insert(facts(event.model_dump(mode="json")), PANE_MS)
    assert tuple(insert.columns) == tuple(tables.FACT_COLUMNS)
    return {name: values[0] for name, values in zip(insert.columns, insert.values, strict=True)}


@pytest.mark.parametrize("event", FULL, ids=lambda event: event.type)
def test_example_gives_every_field_a_value_of_its_own(event: Event) -> None:
    fields = type(event).model_fields
    for name in fields.keys() - {"type"}:
        assert getattr(event, name) != fields[name].default, name


@pytest.mark.parametrize("event", [*FULL, *BARE], ids=lambda event: f"{event.type} {event.event_id}")
def test_every_field_comes_back_but_agent_revision_and_the_place_left(event: Event) -> None:
    moved = corrected(fact_of(event), "ext-12", "ann")

    changed = {
        "agent_id": "ann",
        "revision": event.revision + 1,
        "moved_from": {"agent_id": "ext-12", "queue": None, "campaign": None, "occurred_at": event.occurred_at},
    }
    assert moved.model_dump() == event.model_dump() | changed


def test_duration_that_nobody_reported_stays_unknown() -> None:
    """The fact's own `talk_ms` is what was counted: answered to ended, 50 s."""
    fact = fact_of(BARE[0])
    assert (fact["talk_ms"], fact["reported_talk_ms"]) == (50_000, None)

    assert corrected(fact, "ext-12", "ann").talk_ms is None  # type: ignore[union-attr]


def test_event_at_the_greatest_revision_is_named() -> None:
    event = CALL.model_copy(update={"revision": (1 << 48) - 1})

    with pytest.raises(EventRejected, match="pbx/e-1: revision: 281474976710656 is above the limit") as caught:
        corrected(fact_of(event), "ext-12", "ann")
    assert caught.value.reason == Reason.INVALID_FIELD


def test_new_agent_that_is_no_agent_id_is_refused() -> None:
    with pytest.raises(EventRejected, match=r"agent_id: .* is empty"):
        corrected(fact_of(CALL), "ext-12", "")
