"""The simulation, short: no violation in clean histories, and every planted defect is found.

A long one by hand: `PYTHONPATH=src python -m tests.laws.worker_and_sink --seeds 20000`. Histories follow from their
seeds and from the order in which `Partition` says things; after a change of that order the first seeds below may
have to be searched again: `... --seeds 10000 --all`.
"""

import pytest

from tests.laws.defects import DEFECTS
from tests.laws.test_rare_histories import HISTORIES
from tests.laws.worker_and_sink import search, traced

CLEAN = 400
FIRST_SEEDS = {
    "less_or_equal": 0,
    "replay_not_dirty": 0,
    "store_emptied": 80,
    "reopen": 0,
    "ack_first": 805,
    "tomb_ungated": 94,
    "overwrite": 4,
    "no_writer": 46,
    "facts_by_id": 0,
    "sink_last": 46,
    "flushes_overlap": 3,
    "local_tomb": 12,
    "local_no_resend": 7,
    "late_low_silent": 6,
    "by_scope": 90,
    "commit_past_marks": 1274,
    "mark_early": 18,
    "mark_answered": 86,
    "rows_unwritten": 131,
    "mark_by_place": 501,
    "close_drops_dirty": 1,
    "tomb_panes": 156,
    "closed_no_moved": 0,
    "retract_if_changed": 1,
    "keep_stale": 285,
    "no_recovery": 0,
    "ack_here": 0,
    "ack_unpublished": 4,
    "chunk_sums": 0,
}
"""Where the search for a defect begins: two histories before the one that showed it."""


@pytest.mark.parametrize("first", range(0, CLEAN, 100))
def test_rows_equal_recomputation_whatever_happens(first):
    _, found = search(first, 100, stop=True)

    assert not found, "\n".join([found[0].words, *traced(found[0]).trace])


@pytest.mark.parametrize("name", FIRST_SEEDS)
def test_a_planted_defect_is_found(name):
    runs, found = search(FIRST_SEEDS[name], 60, name, stop=True)

    assert found, f"{name} ({DEFECTS[name].words}) not found in {runs} histories from seed {FIRST_SEEDS[name]}"


@pytest.mark.parametrize("name", FIRST_SEEDS)
def test_the_same_history_without_the_defect_is_right(name):
    _, found = search(FIRST_SEEDS[name], 3)

    assert not found


def test_every_defect_is_looked_for():
    assert set(DEFECTS) == set(FIRST_SEEDS) | set(HISTORIES)
