"""Contributions: what one event adds, written out for calls, deals and surveys."""

import json
from typing import Any

import pytest

from kpistream.core.contributions import EPOCH, contribute, talk_ms_of
from kpistream.core.decoding import CallFields, decode
from kpistream.core.measures import BY_NAME, FAMILIES, TALK_EDGES_MS, WAIT_EDGES_MS, member, named
from kpistream.core.placing import Place, place, rank_of, rank_parts

T0 = 1_700_000_000_000
"""A Tuesday, 22:13:20 UTC; 200 s after the start of its pane of five minutes."""
PANE_MS = 300_000
ENVELOPE = {"tenant": "acme", "source": "pbx", "event_id": "1", "agent_id": "ada"}


def decoded(**content: Any):
    return decode(json.dumps(ENVELOPE | content).encode(), T0 + 86_400_000)


def call(**content: Any):
    """An outbound call: answered after 5 s, 60 s later over."""
    times = {"started_at": T0, "answered_at": T0 + 5_000, "ended_at": T0 + 65_000}
    return decoded(**{"type": "call.ended", "direction": "outbound", "outcome": "connected", **times, **content})


def unanswered(outcome: str, **content: Any):
    return call(outcome=outcome, answered_at=None, **content)


def deal(**content: Any):
    return decoded(**{"type": "deal.closed", "outcome": "won", "closed_at": T0, **content})


def survey(**content: Any):
    return decoded(**{"type": "survey.completed", "kind": "csat", "completed_at": T0, **content})


def adds(fields: Any) -> dict[str, Any]:
    flat = contribute(fields)
    assert 0 not in flat[1::2], "zero values are left out"
    assert len(set(flat[::2])) == len(flat) // 2, "each measure once"
    return named(dict(zip(flat[::2], flat[1::2], strict=True)))


ATTEMPT = {"calls": 1, "outbound_calls": 1, "first_legs": 1}
INBOUND = {"calls": 1, "inbound_calls": 1, "first_legs": 1}


# ---- calls


def test_a_connected_outbound_call():
    fields = call(talk_ms=50_000, hold_ms=9_000, ring_ms=4_000, wrap_up_ms=20_000, answered_by="human")

    assert adds(fields) == ATTEMPT | {
        "connected": 1,
        "outbound_connected": 1,
        "ring_ms": 4_000,
        "talk_ms": 50_000,
        "talk_sq_ms2": 2_500_000_000,
        "talk_bin": {"45000": 1},
        "hold_ms": 9_000,
        "wrap_up_known": 1,
        "wrap_up_ms": 20_000,
        "handle_ms": 79_000,
    }


def test_a_connected_inbound_call():
    fields = call(direction="inbound", queue="sales", queue_wait_ms=20_000, talk_ms=60_000)

    assert adds(fields) == INBOUND | {
        "connected": 1,
        "inbound_connected": 1,
        "queue_wait_ms": 20_000,
        "answered_wait_known": 1,
        "answered_wait_bin": {"20000": 1},
        "talk_ms": 60_000,
        "talk_sq_ms2": 3_600_000_000,
        "talk_bin": {"60000": 1},
    }


@pytest.mark.parametrize(("answered_by", "unknown"), [(None, 1), ("unknown", 1), ("human", None)])
def test_an_unknown_answerer_counts_as_connected_and_is_shown(answered_by, unknown):
    found = adds(call(answered_by=answered_by))

    assert found["connected"] == 1
    assert found.get("answerer_unknown") == unknown


def test_an_inbound_call_has_no_unknown_answerer():
    assert "answerer_unknown" not in adds(call(direction="inbound"))


@pytest.mark.parametrize(
    ("content", "talk_ms"),
    [
        ({}, 60_000),
        ({"hold_ms": 10_000}, 50_000),
        ({"talk_ms": 41_000}, 41_000),
        ({"talk_ms": 0}, 0),
        ({"hold_ms": 61_000}, 0),
    ],
)
def test_talk_time_is_as_reported_else_from_answer_to_end_without_hold(content, talk_ms):
    fields = call(**content)

    assert isinstance(fields, CallFields)
    assert talk_ms_of(fields) == talk_ms
    assert adds(fields).get("talk_ms", 0) == talk_ms


def test_a_connected_call_without_talk_is_in_the_lowest_bin():
    found = adds(call(talk_ms=0))

    assert found["talk_bin"] == {"0": 1}
    assert "talk_ms" not in found
    assert "talk_sq_ms2" not in found


@pytest.mark.parametrize(
    ("talk_ms", "edge"), [(999, "0"), (1_000, "1000"), (29_999, "20000"), (30_000, "30000"), (59_999, "45000")]
)
def test_a_bin_begins_at_its_edge(talk_ms, edge):
    assert adds(call(talk_ms=talk_ms))["talk_bin"] == {edge: 1}


def test_wrap_up_of_zero_is_known_and_one_that_is_absent_is_not():
    assert adds(call(talk_ms=1_000, wrap_up_ms=0))["handle_ms"] == 1_000
    assert adds(call(talk_ms=1_000, wrap_up_ms=0))["wrap_up_known"] == 1
    assert {"wrap_up_known", "wrap_up_ms", "handle_ms"}.isdisjoint(adds(call(talk_ms=1_000)))


@pytest.mark.parametrize("outcome", ["no-answer", "busy", "failed", "cancelled", "rejected"])
def test_an_attempt_that_reached_nobody_is_a_call(outcome):
    assert adds(unanswered(outcome, ring_ms=30_000)) == ATTEMPT | {"ring_ms": 30_000}


def test_voicemail_is_not_connected():
    assert adds(call(outcome="voicemail", answered_by="machine")) == ATTEMPT | {"voicemails": 1}


def test_a_caller_who_gives_up_in_a_queue():
    fields = unanswered("abandoned", direction="inbound", agent_id=None, queue="sales", queue_wait_ms=4_000)

    assert adds(fields) == INBOUND | {
        "abandoned": 1,
        "queue_wait_ms": 4_000,
        "abandoned_wait_known": 1,
        "abandoned_wait_bin": {"3000": 1},
    }


def test_a_caller_who_gives_up_after_an_unknown_wait():
    assert adds(unanswered("abandoned", direction="inbound")) == INBOUND | {"abandoned": 1}


def test_a_wait_of_zero_is_known():
    found = adds(unanswered("abandoned", direction="inbound", queue_wait_ms=0))

    assert (found["abandoned_wait_known"], found["abandoned_wait_bin"]) == (1, {"0": 1})


def test_nobody_abandons_an_outbound_call():
    assert adds(unanswered("abandoned")) == ATTEMPT


def test_a_transfer_is_two_legs_and_one_call():
    assert "first_legs" not in adds(call(transfer_leg=1))
    assert adds(call(transfer_leg=1))["calls"] == 1


@pytest.mark.parametrize(
    ("due_at", "measure"), [(T0, "follow_ups_on_time"), (T0 + 1, "follow_ups_on_time"), (T0 - 1, "follow_ups_late")]
)
def test_a_follow_up_is_on_time_when_it_starts_no_later_than_due(due_at, measure):
    found = adds(unanswered("no-answer", follow_up_of="c-1", follow_up_due_at=due_at))

    assert found == ATTEMPT | {"follow_ups_done": 1, measure: 1}


def test_a_follow_up_without_a_due_time_is_neither_on_time_nor_late():
    assert adds(unanswered("no-answer", follow_up_of="c-1")) == ATTEMPT | {"follow_ups_done": 1}


def test_a_promised_follow_up_counts_in_the_call_that_promises_it():
    assert adds(unanswered("busy", next_follow_up_at=T0 + 86_400_000)) == ATTEMPT | {"follow_ups_promised": 1}


# ---- deals


def test_a_deal_won():
    assert adds(deal(amount_minor=129_900, currency="EUR", customer_type="new")) == {
        "deals_won": 1,
        "deals_customer_known": 1,
        "won_deals": {"EUR": 1},
        "won_minor": {"EUR": 129_900},
    }


def test_a_deal_won_from_a_repeat_customer_for_nothing():
    assert adds(deal(amount_minor=0, currency="JPY", customer_type="repeat")) == {
        "deals_won": 1,
        "deals_customer_known": 1,
        "deals_repeat": 1,
        "won_deals": {"JPY": 1},
    }


def test_a_deal_of_an_unknown_customer():
    assert adds(deal(amount_minor=5, currency="USD")) == {
        "deals_won": 1,
        "won_deals": {"USD": 1},
        "won_minor": {"USD": 5},
    }


@pytest.mark.parametrize(("outcome", "measure"), [("lost", "deals_lost"), ("voided", "deals_voided")])
def test_a_deal_lost_or_taken_back_adds_no_revenue(outcome, measure):
    assert adds(deal(outcome=outcome, amount_minor=500, currency="USD", customer_type="repeat")) == {measure: 1}


# ---- surveys


def test_a_csat_answer_keeps_its_scale():
    assert adds(survey(score=4, scale_min=1, scale_max=5)) == {
        "surveys": 1,
        "csat_answers": {"1-5": 1},
        "csat_score_milli": {"1-5": 4_000},
        "csat_score_sq_milli2": {"1-5": 16_000_000},
        "csat_rated": 1,
        "csat_satisfied": 1,
    }


@pytest.mark.parametrize(
    ("scale", "score", "satisfied"),
    [
        ((1, 3), 3, True),
        ((1, 3), 2, False),
        ((1, 5), 4, True),
        ((1, 5), 3.999, False),
        ((1, 5), 3, False),
        ((1, 7), 6, True),
        ((1, 7), 5, False),
        ((1, 10), 8, True),
        ((1, 10), 7, False),
        ((0, 4), 3, True),
        ((0, 4), 2, False),
    ],
)
def test_satisfied_is_the_top_of_the_scale(scale, score, satisfied):
    found = adds(survey(score=score, scale_min=scale[0], scale_max=scale[1]))

    assert found["csat_rated"] == 1
    assert ("csat_satisfied" in found) is satisfied


def test_a_scale_without_a_known_top_is_not_rated():
    assert adds(survey(score=80, scale_min=0, scale_max=100)) == {
        "surveys": 1,
        "csat_answers": {"0-100": 1},
        "csat_score_milli": {"0-100": 80_000},
        "csat_score_sq_milli2": {"0-100": 6_400_000_000},
    }


def test_a_score_of_zero_is_an_answer():
    assert adds(survey(score=0, scale_min=0, scale_max=4)) == {
        "surveys": 1,
        "csat_answers": {"0-4": 1},
        "csat_rated": 1,
    }


@pytest.mark.parametrize(
    ("score", "group"),
    [(10, "nps_promoters"), (9, "nps_promoters"), (8, None), (7, None), (6, "nps_detractors"), (0, "nps_detractors")],
)
def test_nps_is_never_csat(score, group):
    expected = {"surveys": 1, "nps_rated": 1} | ({group: 1} if group else {})

    assert adds(survey(kind="nps", score=score, scale_min=0, scale_max=10)) == expected


@pytest.mark.parametrize("kind", ["ces", "other"])
def test_other_surveys_are_counted_only(kind):
    assert adds(survey(kind=kind, score=3, scale_min=1, scale_max=5)) == {"surveys": 1}


# ---- retractions and places


def test_a_retraction_adds_nothing_and_names_the_place_that_is_left():
    fields = decode(
        json.dumps(
            {
                "type": "retracted",
                "tenant": "acme",
                "source": "pbx",
                "kind": "call",
                "event_id": "a/b",
                "epoch": 1,
                "revision": 2,
                "digest": 3,
                "scope": "agent:ada",
                "start_ms": 600_000,
            }
        ).encode(),
        T0,
    )

    accepted = place(fields, PANE_MS)

    assert contribute(fields) == ()
    assert accepted.retracts
    assert accepted.identity == "acme/pbx/call/a/b"
    assert (accepted.key, accepted.start_ms) == ("acme/agent:ada", 600_000)
    assert (accepted.rank, accepted.contribution) == (rank_of(1, 2, 3), ())


def test_a_call_counts_in_the_pane_of_its_end():
    accepted = place(call(revision=5), PANE_MS)

    assert (accepted.identity, accepted.key) == ("acme/pbx/call/1", "acme/agent:ada")
    assert (accepted.start_ms, accepted.occurred_at_ms) == (1_699_999_800_000, T0 + 65_000)
    assert rank_parts(accepted.rank)[:2] == (EPOCH, 5)
    assert accepted.moved_from is None


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ({"queue": "sales", "campaign": "spring"}, "acme/agent:ada"),
        ({"agent_id": None, "queue": "sales", "campaign": "spring"}, "acme/queue:sales"),
        ({"agent_id": None, "campaign": "spring"}, "acme/campaign:spring"),
    ],
)
def test_a_call_that_reached_no_agent_counts_for_its_queue_or_campaign(content, key):
    assert place(unanswered("no-answer", **content), PANE_MS).key == key


def test_moved_from_names_the_old_place():
    old = {"agent_id": "bob", "occurred_at": T0 - 600_000}

    assert place(call(moved_from=old), PANE_MS).moved_from == Place("acme/agent:bob", 1_699_999_200_000)


def test_a_move_inside_its_own_pane_is_none():
    old = {"agent_id": "ada", "occurred_at": T0 + 1_000}

    assert place(call(moved_from=old), PANE_MS).moved_from is None


def test_equal_content_has_an_equal_rank_and_other_content_another():
    same = place(call(talk_ms=50_000), PANE_MS).rank

    assert place(call(talk_ms=50_000, started_at="2023-11-14T22:13:20Z"), PANE_MS).rank == same
    assert place(call(talk_ms=50_001), PANE_MS).rank != same
    assert place(call(talk_ms=50_000, agent_id="bob"), PANE_MS).rank != same


# ---- measures


def test_families_do_not_overlap_and_every_number_has_a_name():
    taken = [number for family in FAMILIES for number in (family.first, family.last)]

    assert taken == sorted(taken)
    assert max(measure.number for measure in BY_NAME.values()) < taken[0]
    assert member(100 + len(TALK_EDGES_MS) - 1) == ("talk_bin", "28800000")
    assert member(200 + len(WAIT_EDGES_MS) - 1) == ("answered_wait_bin", "3600000")
    with pytest.raises(KeyError):
        member(99)
