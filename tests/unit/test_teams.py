"""Teams: of each pane the highest version counts, whatever the order, and old panes go."""

from kpistream.core.measures import CALLS, TALK_SQ_MS2
from kpistream.core.panes import PaneSum
from kpistream.core.placing import Place
from kpistream.core.settings import Settings
from kpistream.core.tallies import pack_tally
from kpistream.stream.flush import sum_record
from kpistream.stream.teams import TeamSums

PANE = 300_000
HUGE = 1 << 70


def put(sums: TeamSums, agent: str, start_ms: int, version: int, tally: dict[int, int]) -> None:
    value = sum_record(PaneSum(Place(f"acme/agent:{agent}", start_ms), version, pack_tally(tally))).value
    assert value is not None
    sums.put(value)


def test_the_highest_version_of_each_pane_counts_once() -> None:
    sums = TeamSums(Settings(), PANE)
    put(sums, "ada", 0, 1 << 100, {CALLS: 2, TALK_SQ_MS2: HUGE})
    put(sums, "bob", 0, 5, {CALLS: 1})
    sums.changed.clear()

    put(sums, "ada", 0, (1 << 100) - 1, {CALLS: 1})
    put(sums, "bob", 0, 5, {CALLS: 1})
    assert sums.changed == set()
    put(sums, "bob", 0, 6, {CALLS: 3})

    assert sums.panes["acme/tenant"] == {0: {CALLS: 5, TALK_SQ_MS2: HUGE}}
    assert ("acme/tenant", 0) in sums.changed
    put(sums, "ada", 0, 1 << 101, {})
    assert sums.panes["acme/tenant"] == {0: {CALLS: 3}}


def test_panes_that_no_window_reaches_are_forgotten() -> None:
    sums = TeamSums(Settings(), PANE)
    put(sums, "ada", 0, 1, {CALLS: 1})
    put(sums, "ada", PANE, 1, {CALLS: 1})

    sums.forget_before(PANE)

    assert sums.panes["acme/tenant"] == {PANE: {CALLS: 1}}
    put(sums, "ada", PANE, 1, {CALLS: 9})
    assert sums.panes["acme/tenant"] == {PANE: {CALLS: 1}}


def test_pane_that_no_window_can_reach_is_not_held_when_it_comes_late() -> None:
    """A backlog is read in the order of its time, and most of it is older than any window."""
    sums = TeamSums(Settings(), PANE)
    put(sums, "ann", 0, 1, {CALLS: 1})
    sums.forget_before(10 * PANE)

    put(sums, "ann", PANE, 1, {CALLS: 1})
    put(sums, "ann", 10 * PANE, 1, {CALLS: 1})

    assert sums.panes["acme/tenant"] == {10 * PANE: {CALLS: 1}}
    assert sums.changed == {
        (key, start_ms) for key in ("acme/tenant", "acme/team:unassigned") for start_ms in (0, 10 * PANE)
    }
