"""Rows: what the sink writes next, and how far it may commit."""

import pytest

from kpistream.core.changelog import encode_frontier, encode_mark, encode_pane
from kpistream.core.measures import CALLS, TALK_MS
from kpistream.core.panes import Pane
from kpistream.core.placing import Place, rank_of
from kpistream.core.rows import PaneRow, RowPlan

PANE_MS = 300_000
ADA, BOB = Place("acme/agent:ada", 0), Place("acme/agent:bob", 600_000)


def pane(place: Place, calls: int) -> Pane:
    made = Pane(*place)
    for number in range(calls):
        made.join(f"acme/pbx/call/{number}", rank_of(1, 0, 7), (CALLS, 1, TALK_MS, 1000))
    return made


def written(place: Place, calls: int, chunks: int = 1) -> list[tuple[bytes, bytes]]:
    return encode_pane(pane(place, calls), PANE_MS, "w1", chunks)


def row(place: Place, calls: int) -> PaneRow:
    return PaneRow(place, PANE_MS, calls * (rank_of(1, 0, 7) + 1), {CALLS: calls, TALK_MS: calls * 1000})


def test_of_several_records_of_a_place_the_highest_version_is_written():
    plan = RowPlan()

    for offset, calls in enumerate((1, 3, 2)):
        plan.read(offset, *written(ADA, calls)[0])
    plan.read(3, *written(BOB, 1)[0])

    assert plan.rows() == [row(ADA, 3), row(BOB, 1)]


def test_chunks_of_one_pane_make_one_row():
    plan = RowPlan()

    for offset, (key, value) in enumerate(written(ADA, 6, chunks=4)):
        plan.read(offset, key, value)

    assert plan.rows() == [row(ADA, 6)]


def test_rows_stay_until_the_store_has_confirmed_them():
    plan = RowPlan()
    plan.read(0, *written(ADA, 1)[0])
    sent = plan.rows()
    plan.read(1, *written(ADA, 2)[0])

    plan.rows_written(sent)
    assert plan.rows() == [row(ADA, 2)]

    plan.rows_written(plan.rows())
    assert plan.pending_rows == 0


def test_nothing_is_committed_while_rows_are_not_written():
    plan = RowPlan()
    plan.read(0, *written(ADA, 1)[0])

    with pytest.raises(AssertionError):
        plan.committable()

    plan.rows_written(plan.rows())
    assert plan.committable() == 1


def test_a_plan_that_has_read_nothing_commits_nothing():
    assert RowPlan().committable() is None


def test_tombstones_and_frontiers_are_read_past():
    plan = RowPlan()

    plan.read(7, written(ADA, 1)[0][0], None)
    plan.read(9, *encode_frontier(3, "w1", PANE_MS))

    assert plan.rows() == []
    assert plan.committable() == 10


def test_a_mark_is_due_when_the_facts_have_passed_its_offset():
    plan = RowPlan()
    plan.read(0, *encode_mark(ADA, 41))

    due = []
    for next_offset in (40, 41, 42):
        plan.facts_written(next_offset)
        due.append(plan.due_marks())

    assert due == [[], [], [ADA]]


def test_several_marks_of_a_place_are_one_question():
    plan = RowPlan()
    plan.facts_written(50)
    plan.read(0, *encode_mark(ADA, 41))
    plan.read(1, *encode_mark(BOB, 42))
    plan.read(2, *encode_mark(ADA, 43))
    plan.read(3, *encode_mark(ADA, 60))

    assert plan.due_marks() == [ADA, BOB]
    plan.marks_answered([ADA], 50)

    assert plan.due_marks() == [BOB]
    assert plan.waiting_marks == 2


def test_an_answer_does_not_count_for_a_mark_that_names_later_facts():
    plan = RowPlan()
    plan.facts_written(50)
    plan.read(0, *encode_mark(ADA, 41))
    places, at = plan.due_marks(), plan.events_written
    plan.read(1, *encode_mark(ADA, 55))
    plan.facts_written(60)

    plan.marks_answered(places, at)

    assert plan.waiting_marks == 1
    assert plan.due_marks() == [ADA]


def test_the_pane_topic_is_never_committed_past_a_mark_that_waits():
    plan = RowPlan()
    plan.facts_written(10)
    plan.read(4, *encode_mark(ADA, 9))
    plan.read(5, *encode_mark(BOB, 12))
    plan.read(6, *encode_frontier(3, "w1", PANE_MS))
    assert plan.committable() == 4

    plan.marks_answered(plan.due_marks(), 10)
    assert plan.committable() == 5

    plan.facts_written(13)
    plan.marks_answered(plan.due_marks(), 13)
    assert plan.committable() == 7


def test_facts_never_go_back():
    plan = RowPlan()

    plan.facts_written(10)
    plan.facts_written(4)

    assert plan.events_written == 10


def test_a_record_of_somebody_else_is_refused():
    with pytest.raises(ValueError, match="not a changelog key"):
        RowPlan().read(0, b"hello", b"\x90")
