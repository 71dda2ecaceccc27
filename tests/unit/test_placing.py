"""Placing: a function of the content, the pane size and the epoch."""

import json

import pytest

from kpistream.core.decoding import decode
from kpistream.core.placing import Place, place, rank_of, rank_parts
from kpistream.errors import EventRejected, Reason

NOON_MS = 1_772_625_600_000  # 2026-03-04T12:00:00Z
CALL = {
    "type": "call.ended",
    "tenant": "acme",
    "source": "pbx",
    "event_id": "c-1",
    "revision": 3,
    "agent_id": "ann",
    "direction": "outbound",
    "started_at": NOON_MS,
    "ended_at": NOON_MS + 61_000,
    "outcome": "no-answer",
}


def placed(**changes):
    return place(decode(json.dumps(CALL | changes).encode(), NOON_MS + 3_600_000), 300_000)


def test_event_counts_in_the_pane_in_which_it_ended():
    event = placed(ended_at=NOON_MS + 299_999)

    assert (event.identity, event.key, event.start_ms) == ("acme/pbx/call/c-1", "acme/agent:ann", NOON_MS)
    assert placed(ended_at=NOON_MS + 300_000).start_ms == NOON_MS + 300_000


def test_call_without_an_agent_counts_for_its_queue_then_its_campaign():
    assert placed(agent_id=None, queue="sales", campaign="spring").key == "acme/queue:sales"
    assert placed(agent_id=None, campaign="spring").key == "acme/campaign:spring"


def test_rank_orders_by_epoch_then_revision_then_digest():
    assert rank_parts(rank_of(2, 5, 7)) == (2, 5, 7)
    assert rank_of(1, 2**48 - 1, 2**32 - 1) < rank_of(2, 0, 0)
    assert rank_of(1, 4, 2**32 - 1) < rank_of(1, 5, 0)


def test_same_content_has_the_same_rank_and_other_content_another():
    assert placed().rank == placed(attributes=None).rank
    assert placed().rank != placed(disposition="sale").rank


def test_move_to_the_own_place_is_no_move():
    old = {"agent_id": "ann", "occurred_at": NOON_MS + 1_000}

    assert placed(moved_from=old).moved_from is None
    assert placed(moved_from=old | {"agent_id": "bob"}).moved_from == Place("acme/agent:bob", NOON_MS)


def test_retraction_of_no_pane_is_refused():
    retraction = {
        "type": "retracted",
        "tenant": "acme",
        "source": "pbx",
        "kind": "call",
        "event_id": "c-1",
        "epoch": 1,
        "revision": 1,
        "digest": 9,
        "scope": "agent:ann",
    }

    whole = place(decode(json.dumps(retraction | {"start_ms": NOON_MS}).encode(), NOON_MS), 300_000)
    assert (whole.retracts, whole.rank, whole.contribution) == (True, rank_of(1, 1, 9), ())
    with pytest.raises(EventRejected) as refused:
        place(decode(json.dumps(retraction | {"start_ms": NOON_MS + 1}).encode(), NOON_MS), 300_000)
    assert refused.value.reason is Reason.INVALID_FIELD
