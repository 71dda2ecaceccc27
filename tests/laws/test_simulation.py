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
    "replay_not_dirty": 1,
    "store_emptied": 4,
    "reopen": 0,
    "tomb_ungated": 156,
    "overwrite": 4,
    "no_writer": 512,
    "facts_by_id": 0,
    "sink_last": 947,
    "superseded_never": 2,
    "flushes_overlap": 49,
    "local_tomb": 22,
    "local_no_resend": 4,
    "late_low_silent": 0,
    "by_scope": 14,
    "mark_early": 13,
    "mark_answered": 155,
    "rows_unwritten": 13,
    "close_drops_dirty": 5,
    "tomb_panes": 156,
    "closed_no_moved": 0,
    "retract_if_changed": 0,
    "no_recovery": 0,
    "ack_here": 5,
    "ack_unpublished": 49,
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
