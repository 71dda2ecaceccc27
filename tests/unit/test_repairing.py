"""Repairing: which mechanism mends which finding, and what is refused rather than made worse."""

from typing import Any

import pytest

from kpistream.core.partition import Retraction
from kpistream.core.placing import Place
from kpistream.judge.findings import Finding, Seen, What
from kpistream.repairing import GREATEST_RANK, LEAST_RANK, plan

ANN = ("acme/agent:ann", 600_000)
CALL = "acme/pbx/call/1"
TRUE = 5 * LEAST_RANK
"""A version of five entries."""


def finding(what: What, **about: Any) -> Finding:
    return Finding(what, ANN, "said", **about)


@pytest.mark.parametrize("what", [What.ROW_LOST, What.ROW_DOUBLE, What.ROW_DIFFERENT, What.ROW_PHANTOM])
@pytest.mark.parametrize("version", [0, TRUE - 1, TRUE])
@pytest.mark.parametrize("by_facts", [True, False])
def test_row_that_is_not_above_the_truth_is_computed_again(what: What, version: int, by_facts: bool) -> None:
    work = plan([finding(what, version=version, expected_version=TRUE, by_facts=by_facts)])

    assert (list(work.marks), work.retractions, work.again, work.refused) == ([ANN], {}, {}, [])


@pytest.mark.parametrize("excess", [1, LEAST_RANK - 1, LEAST_RANK, GREATEST_RANK, 3 * GREATEST_RANK + 7])
def test_version_that_is_too_high_is_outweighed(excess: int) -> None:
    work = plan([finding(What.ROW_VERSION, version=TRUE + excess, expected_version=TRUE)])

    added = sum(each.rank + 1 for each in work.retractions)
    assert TRUE + added > TRUE + excess
    assert all(LEAST_RANK <= each.rank <= GREATEST_RANK for each in work.retractions)
    assert {each.place for each in work.retractions} == {Place(*ANN)}
    assert all(each.identity.startswith("acme/kpistream.repair/call/") for each in work.retractions)
    assert list(work.marks) == [ANN]


def test_second_counterweight_is_another_identity() -> None:
    first = plan([finding(What.ROW_VERSION, version=TRUE + 1, expected_version=TRUE)])
    second = plan([finding(What.ROW_VERSION, version=TRUE + 2, expected_version=TRUE)])

    assert {each.identity for each in first.retractions} & {each.identity for each in second.retractions} == set()


def test_row_of_nothing_gets_a_tombstone_to_be_computed_from() -> None:
    work = plan([finding(What.ROW_PHANTOM, version=7, expected_version=0)])

    [retraction] = work.retractions
    assert retraction.rank + 1 > 7
    assert list(work.marks) == [ANN]


@pytest.mark.parametrize(
    "row",
    [
        finding(What.ROW_DIFFERENT, version=TRUE + 1, expected_version=TRUE, by_facts=True),
        finding(What.ROW_PHANTOM, version=TRUE, expected_version=0, by_facts=True),
        finding(What.ROW_VERSION, version=(1 << 128) - 1, expected_version=TRUE),
    ],
)
def test_what_would_lose_data_or_cannot_be_reached_is_refused(row: Finding) -> None:
    work = plan([row])

    assert work.writes == 0
    assert [refused.finding for refused in work.refused] == [row]


@pytest.mark.parametrize("what", [What.FACT_MISSING, What.FACT_STALE, What.FACT_ALTERED, What.CHANGELOG_LOST])
def test_records_are_sent_again_under_the_key_of_their_place(what: What) -> None:
    work = plan([finding(what, behind=(Seen(CALL, 2, 17), Seen(CALL + "2", 2, 18)))])

    assert work.again == {(2, 17): "acme/agent:ann", (2, 18): "acme/agent:ann"}


def test_entry_that_only_a_fact_knows_cannot_be_sent_again() -> None:
    work = plan([finding(What.CHANGELOG_LOST, behind=(Seen(CALL, -1, -1),))])

    assert work.writes == 0
    assert "no longer holds" in work.refused[0].why


def test_move_gets_the_retraction_that_was_never_written() -> None:
    work = plan([finding(What.MOVE_UNANNOUNCED, identity=CALL, rank=99)])

    assert list(work.retractions) == [Retraction(CALL, 99, Place(*ANN))]


@pytest.mark.parametrize(("rank", "top", "retracted"), [(50, 0, 51), (50, 60, 60), (50, 50, None), (50, 40, None)])
def test_phantom_fact_is_retracted_only_where_no_true_event_goes_with_it(
    rank: int, top: int, retracted: int | None
) -> None:
    """A worker retracts an identity everywhere below the highest rank it knows: the true event would go, too."""
    work = plan([finding(What.FACT_PHANTOM, identity=CALL, rank=rank, top=top)])

    assert [each.rank for each in work.retractions] == ([] if retracted is None else [retracted])
    assert len(work.refused) == (retracted is None)


def test_row_under_a_wrong_retraction_is_refused_with_it() -> None:
    row = finding(What.ROW_LOST, version=TRUE, expected_version=TRUE)

    work = plan([row, finding(What.RETRACTED_IN_PLACE, identity=CALL, rank=9)])

    assert (work.writes, len(work.refused)) == (0, 2)


def test_nothing_is_written_twice() -> None:
    double = [finding(What.ROW_LOST, expected_version=TRUE), finding(What.MOVE_UNANNOUNCED, identity=CALL, rank=9)]

    assert plan(double * 2).writes == 2
