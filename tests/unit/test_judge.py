"""The judge: written-out cells, and planted damage of every kind. That it agrees with the engine is a law."""

import ast
import json
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from kpistream.core.measures import BY_NAME, FAMILIES
from kpistream.judge import compare as compare_module
from kpistream.judge.compare import Cell, Cells, Damage, Verdict, cells_of_named, cells_of_rows, compare, doubled
from kpistream.judge.contract import accept
from kpistream.judge.recompute import Raw, Recomputation, digest, recompute

PANE_MS = 300_000
NINE = 1_699_952_400_000
"""2023-11-14 09:00 UTC."""
FIVE_PAST = NINE + PANE_MS
CALL = {
    "type": "call.ended",
    "tenant": "acme",
    "source": "pbx",
    "event_id": "c1",
    "agent_id": "ann",
    "direction": "outbound",
    "started_at": NINE,
    "answered_at": NINE + 10_000,
    "ended_at": NINE + 130_000,
    "ring_ms": 10_000,
    "talk_ms": 100_000,
    "hold_ms": 20_000,
    "wrap_up_ms": 30_000,
    "outcome": "connected",
    "answered_by": "human",
}
DEAL = {
    "type": "deal.closed",
    "tenant": "acme",
    "source": "crm",
    "event_id": "d1",
    "agent_id": "ann",
    "outcome": "won",
    "amount_minor": 250_00,
    "currency": "EUR",
    "customer_type": "repeat",
    "closed_at": "2023-11-14T10:01:00+01:00",
}
SURVEY = {
    "type": "survey.completed",
    "tenant": "acme",
    "source": "poll",
    "event_id": "s1",
    "agent_id": "ann",
    "kind": "csat",
    "score": 4,
    "scale_min": 1,
    "scale_max": 5,
    "completed_at": NINE + 60_000,
}
RETRACTED = {
    "type": "retracted",
    "tenant": "acme",
    "source": "pbx",
    "kind": "call",
    "event_id": "c1",
    "epoch": 1,
    "revision": 7,
    "digest": 5,
    "scope": "agent:ann",
    "start_ms": NINE,
}
ANN_AT_NINE = ("acme/agent:ann", NINE)


def raw(event: dict[str, Any] | bytes | None, timestamp_ms: int = NINE + 600_000, offset: int = 0) -> Raw:
    value = json.dumps(event).encode() if isinstance(event, dict) else event
    return Raw(0, offset, timestamp_ms, b"any key", value)


def cells_of(*events: dict[str, Any] | bytes | None) -> Cells:
    return recompute(map(raw, events), PANE_MS).cells()


def only_cell(event: dict[str, Any]) -> Cell:
    ((_, cell),) = cells_of(event).items()
    return cell


def test_connected_outbound_call_adds_its_times() -> None:
    assert cells_of(CALL) == {
        ANN_AT_NINE: {
            "calls": 1,
            "first_legs": 1,
            "outbound_calls": 1,
            "connected": 1,
            "outbound_connected": 1,
            "ring_ms": 10_000,
            "talk_ms": 100_000,
            "talk_sq_ms2": 10_000_000_000,
            "talk_bin.90000": 1,
            "hold_ms": 20_000,
            "wrap_up_ms": 30_000,
            "wrap_up_known": 1,
            "handle_ms": 150_000,
        }
    }


def test_abandoned_call_counts_for_its_queue() -> None:
    abandoned = {
        "direction": "inbound",
        "agent_id": None,
        "queue": "sales",
        "answered_at": None,
        "talk_ms": 0,
        "outcome": "abandoned",
        "answered_by": None,
        "queue_wait_ms": 12_000,
    }

    assert cells_of(CALL | abandoned) == {
        ("acme/queue:sales", NINE): {
            "calls": 1,
            "first_legs": 1,
            "inbound_calls": 1,
            "abandoned": 1,
            "ring_ms": 10_000,
            "queue_wait_ms": 12_000,
            "abandoned_wait_known": 1,
            "abandoned_wait_bin.12000": 1,
        }
    }


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"talk_ms": None}, {"talk_ms": 100_000, "talk_bin.90000": 1}),
        ({"talk_ms": None, "hold_ms": 120_500}, {"talk_ms": 0, "hold_ms": 120_500, "handle_ms": 150_500}),
        ({"talk_ms": 0, "hold_ms": None}, {"talk_ms": 0, "talk_bin.0": 1, "handle_ms": 30_000}),
        ({"wrap_up_ms": None}, {"wrap_up_known": 0, "handle_ms": 0}),
        ({"answered_by": None}, {"answerer_unknown": 1}),
        ({"answered_by": None, "direction": "inbound"}, {"answerer_unknown": 0, "inbound_connected": 1}),
        ({"outcome": "voicemail", "answered_by": "machine"}, {"voicemails": 1, "connected": 0, "talk_ms": 0}),
        ({"transfer_leg": 1}, {"calls": 1, "first_legs": 0}),
        ({"direction": "inbound", "queue_wait_ms": 0}, {"answered_wait_known": 1, "answered_wait_bin.0": 1}),
        ({"follow_up_of": "c0"}, {"follow_ups_done": 1, "follow_ups_on_time": 0, "follow_ups_late": 0}),
        ({"follow_up_of": "c0", "follow_up_due_at": NINE}, {"follow_ups_on_time": 1, "follow_ups_late": 0}),
        ({"follow_up_of": "c0", "follow_up_due_at": NINE - 1}, {"follow_ups_on_time": 0, "follow_ups_late": 1}),
        ({"next_follow_up_at": NINE + 10**9}, {"follow_ups_promised": 1}),
    ],
)
def test_call_measures(change: dict[str, Any], expected: Cell) -> None:
    cell = only_cell(CALL | change)

    assert {name: cell.get(name, 0) for name in expected} == expected


def test_deals_count_by_outcome_and_currency() -> None:
    lost = DEAL | {"event_id": "d2", "outcome": "lost", "amount_minor": 9, "currency": "USD"}
    voided = DEAL | {"event_id": "d3", "outcome": "voided", "amount_minor": None, "currency": None}

    assert cells_of(DEAL, lost, voided) == {
        ANN_AT_NINE: {
            "deals_won": 1,
            "deals_repeat": 1,
            "deals_customer_known": 1,
            "won_minor.EUR": 25_000,
            "won_deals.EUR": 1,
            "deals_lost": 1,
            "deals_voided": 1,
        }
    }


def test_surveys_keep_scales_apart() -> None:
    ten = SURVEY | {"event_id": "s2", "score": 7.5, "scale_max": 10}
    odd = SURVEY | {"event_id": "s3", "score": 100, "scale_min": 0, "scale_max": 100}
    nps = SURVEY | {"event_id": "s4", "kind": "nps", "score": 6, "scale_min": 0, "scale_max": 10}

    assert cells_of(SURVEY, ten, odd, nps) == {
        ANN_AT_NINE: {
            "surveys": 4,
            "csat_rated": 2,
            "csat_satisfied": 1,
            "csat_answers.1-5": 1,
            "csat_score_milli.1-5": 4_000,
            "csat_score_sq_milli2.1-5": 16_000_000,
            "csat_answers.1-10": 1,
            "csat_score_milli.1-10": 7_500,
            "csat_score_sq_milli2.1-10": 56_250_000,
            "csat_answers.0-100": 1,
            "csat_score_milli.0-100": 100_000,
            "csat_score_sq_milli2.0-100": 10_000_000_000,
            "nps_rated": 1,
            "nps_detractors": 1,
        }
    }


@pytest.mark.parametrize(
    ("kind", "score", "scale", "expected"),
    [
        ("csat", 2, (1, 3), {"csat_rated": 1, "csat_satisfied": 0}),
        ("csat", 3, (1, 3), {"csat_rated": 1, "csat_satisfied": 1}),
        ("csat", 3.999, (1, 5), {"csat_rated": 1, "csat_satisfied": 0}),
        ("csat", 5, (1, 7), {"csat_rated": 1, "csat_satisfied": 0}),
        ("csat", 6, (1, 7), {"csat_rated": 1, "csat_satisfied": 1}),
        ("csat", 7, (1, 10), {"csat_rated": 1, "csat_satisfied": 0}),
        ("csat", 8, (1, 10), {"csat_rated": 1, "csat_satisfied": 1}),
        ("csat", 10, (0, 10), {"csat_rated": 0, "csat_satisfied": 0, "csat_answers.0-10": 1}),
        ("ces", 5, (1, 5), {"surveys": 1, "csat_rated": 0, "nps_rated": 0}),
        ("nps", 6, (0, 10), {"nps_rated": 1, "nps_promoters": 0, "nps_detractors": 1}),
        ("nps", 7, (0, 10), {"nps_rated": 1, "nps_promoters": 0, "nps_detractors": 0}),
        ("nps", 9, (0, 10), {"nps_rated": 1, "nps_promoters": 1, "nps_detractors": 0}),
    ],
)
def test_survey_measures(kind: str, score: float, scale: tuple[int, int], expected: Cell) -> None:
    cell = only_cell(SURVEY | {"kind": kind, "score": score, "scale_min": scale[0], "scale_max": scale[1]})

    assert {name: cell.get(name, 0) for name in expected} == expected


def test_order_of_names_and_form_of_times_make_no_conflict() -> None:
    one = DEAL | {"attributes": {"a": "1", "b": "2"}}
    two = DEAL | {"attributes": {"b": "2", "a": "1"}, "closed_at": NINE + 60_000, "occurred_at": NINE + 60_000}

    result = recompute([raw(one), raw(two)], PANE_MS)

    assert (result.duplicates, result.conflicts) == (1, 0)


def test_highest_revision_stands_in_every_order() -> None:
    later = CALL | {"revision": 1, "wrap_up_ms": 40_000}
    moved = CALL | {"revision": 2, "agent_id": "bob", "ended_at": FIVE_PAST}

    for order in permutations((CALL, CALL, later, moved, RETRACTED)):
        assert {spot: cell["calls"] for spot, cell in cells_of(*order).items()} == {("acme/agent:bob", FIVE_PAST): 1}


def test_account_of_the_records() -> None:
    later = CALL | {"revision": 1}
    other = CALL | {"revision": 1, "hold_ms": 0}
    early = CALL | {"event_id": "c2", "ended_at": NINE + 900_001}

    records = [raw(each) for each in (CALL, CALL, later, other, CALL, RETRACTED, b"{", early)]
    result = recompute(records, PANE_MS)

    assert (result.read, result.accepted, result.retractions) == (8, 5, 1)
    assert (result.duplicates, result.corrections, result.conflicts, result.outdated) == (1, 1, 1, 1)
    assert result.rejected == {"not-json": 1, "in-the-future": 1}


def test_conflict_is_settled_by_content_not_by_order() -> None:
    one, two = CALL | {"hold_ms": 1_000}, CALL | {"hold_ms": 2_000}

    stands = max((one, two), key=lambda event: digest(accept(json.dumps(event).encode(), NINE * 2)))

    assert cells_of(one, two) == cells_of(two, one) == cells_of(stands)


def test_ids_are_unique_within_source_and_kind() -> None:
    survey = SURVEY | {"event_id": "c1", "source": "pbx"}

    assert cells_of(CALL, CALL | {"source": "pbx2"}, survey)[ANN_AT_NINE] == {
        **{name: 2 * amount for name, amount in only_cell(CALL).items()},
        **only_cell(survey),
    }


def test_judge_imports_nothing_of_the_engine() -> None:
    for file in Path(compare_module.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            ours = [name for name in names if name.startswith("kpistream")]
            assert all(name == "kpistream.errors" or name.startswith("kpistream.judge.") for name in ours), file.name


# Planted damage: every kind is found, named and explained.


def bobs() -> tuple[Recomputation, Cells]:
    """Two calls and a deal of Ann at nine; one call of Bob at five past, corrected away from Ann."""
    bob = CALL | {"event_id": "c3"}
    moved = bob | {"revision": 1, "agent_id": "bob", "ended_at": FIVE_PAST}
    result = recompute(map(raw, (CALL, CALL | {"event_id": "c2", "talk_ms": 5}, DEAL, bob, moved)), PANE_MS)
    return result, result.cells()


def counts(verdict: Verdict) -> tuple[int, int, int, int]:
    return verdict.lost, verdict.double, verdict.phantom, verdict.different


def test_equal_cells_are_exact_and_absent_equals_zero() -> None:
    result, cells = bobs()

    verdict = compare(cells, {**cells, ("acme/agent:eve", NINE): {"calls": 0}}, result.behind)

    assert verdict == Verdict(cells=2)
    assert verdict.exact
    assert str(verdict) == "2 cells: 0 lost, 0 double, 0 phantom, 0 different"


@pytest.mark.parametrize("nothing", [{}, {("acme/agent:bob", FIVE_PAST): {"calls": 0}}])
def test_lost_cell_is_found(nothing: Cells) -> None:
    result, cells = bobs()
    bob = ("acme/agent:bob", FIVE_PAST)

    verdict = compare(cells, {spot: cell for spot, cell in cells.items() if spot != bob} | nothing, result.behind)

    assert counts(verdict) == (1, 0, 0, 0)
    assert verdict.first[0].spot == bob
    assert (verdict.first[0].measure, verdict.first[0].expected, verdict.first[0].found) == ("calls", 1, 0)
    assert verdict.first[0].standing == ("acme/pbx/call/c3",)


def test_phantom_cell_names_what_moved_away() -> None:
    result = recompute(map(raw, (CALL, CALL | {"revision": 1, "agent_id": "bob"})), PANE_MS)

    verdict = compare(result.cells(), result.cells() | {ANN_AT_NINE: {"calls": 1}}, result.behind)

    assert counts(verdict) == (0, 0, 1, 0)
    assert verdict.first[0].left == ("acme/pbx/call/c1",)
    assert str(verdict.first[0]) == (
        f"phantom acme/agent:ann at {NINE} ms: calls expected 0, found 1; events: none; moved away: acme/pbx/call/c1"
    )


def test_cell_added_twice_is_double() -> None:
    _, cells = bobs()

    verdict = compare(cells, cells | {ANN_AT_NINE: {name: 2 * n for name, n in cells[ANN_AT_NINE].items()}})

    assert counts(verdict) == (0, 1, 0, 0)


def test_one_event_added_twice_is_double_when_events_are_known() -> None:
    result, cells = bobs()
    again = result.behind(ANN_AT_NINE).standing["acme/pbx/call/c2"]
    names = {*cells[ANN_AT_NINE], *again}
    found = cells | {ANN_AT_NINE: {name: cells[ANN_AT_NINE].get(name, 0) + again.get(name, 0) for name in names}}

    verdict = compare(cells, found, result.behind)

    assert counts(verdict) == (0, 1, 0, 0)
    assert verdict.first[0].standing[0] == "acme/pbx/call/c2"


@pytest.mark.parametrize("measure", ["calls", "talk_ms", "won_minor.EUR", "won_minor.USD", "talk_bin.60000"])
def test_changed_sum_is_different(measure: str) -> None:
    result, cells = bobs()
    changed = {**cells[ANN_AT_NINE], measure: cells[ANN_AT_NINE].get(measure, 0) + 1}

    verdict = compare(cells, cells | {ANN_AT_NINE: changed}, result.behind)

    assert counts(verdict) == (0, 0, 0, 1)
    assert [each.measure for each in verdict.first] == [measure]
    assert verdict.first[0].damage is Damage.DIFFERENT


@pytest.mark.parametrize(
    ("wanted", "seen", "expected"),
    [
        ({"calls": 3}, {"calls": 6}, True),
        ({"calls": 3, "surveys": 1}, {"calls": 3, "surveys": 2}, True),
        ({"calls": 3}, {"calls": 4}, False),
        ({"calls": 3}, {"calls": 3}, False),
        ({"calls": 3}, {"calls": 6, "deals_won": 1}, False),
        ({"talk_ms": 5}, {"talk_ms": 10}, False),
    ],
)
def test_double_is_a_whole_multiple_of_the_counts(wanted: Cell, seen: Cell, expected: bool) -> None:
    assert doubled(wanted, seen) is expected


def test_differences_are_bounded_and_counts_are_not() -> None:
    expected = {(f"acme/agent:{n}", NINE): {"calls": 1} for n in range(50)}

    verdict = compare(expected, {}, keep=3)

    assert (verdict.cells, verdict.lost, len(verdict.first)) == (50, 50, 3)


def test_rows_and_named_tallies_become_cells() -> None:
    row = {"tenant": "acme", "scope": "agent:ann", "start": NINE, "pane_ms": PANE_MS, "version": 2**90}
    row |= dict.fromkeys(BY_NAME, 0) | {family.name: {} for family in FAMILIES}
    row |= {"calls": 2, "won_minor": {"EUR": 5, "USD": 0}}
    expected = {ANN_AT_NINE: {"calls": 2, "won_minor.EUR": 5}}

    assert cells_of_rows([row]) == expected
    assert cells_of_named({ANN_AT_NINE: {"calls": 2, "won_minor": {"EUR": 5}}}) == expected
    with pytest.raises(AssertionError, match="two rows for acme/agent:ann"):
        cells_of_rows([row, row])
    with pytest.raises(AssertionError, match=r"calls 2\.0 is not an integer"):
        cells_of_rows([row | {"calls": 2.0}])
