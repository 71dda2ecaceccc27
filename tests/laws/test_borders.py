"""Events at the border of what is closed: a pane before it, on it, behind it, and corrections that cross it.

The frontier stands at pane 7; the sink is there, or away until the end; the worker may be followed by another.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpistream.core.changelog import PaneRecord, parse
from kpistream.core.partition import Outcome, Partition, PartitionSettings
from kpistream.core.placing import Place
from tests.laws.broker import PANE_MS, agent, event_of
from tests.laws.test_rare_histories import Stage, closed
from tests.laws.world import Worker

FRONTIER = 7
NOW = 8
PANES = st.sampled_from((FRONTIER - 2, FRONTIER - 1, FRONTIER, FRONTIER + 1))


def append(stage: Stage, number: int, panes: list[int], step: int) -> None:
    """The correction number `step` of a chain of panes, announced if it moves."""
    at, before = Place(agent(0), panes[step] * PANE_MS), Place(agent(0), panes[max(0, step - 1)] * PANE_MS)
    moved_from = before if before != at else None
    stage.world.append_event(
        event_of(f"acme/crm/deal/{number}", (1 + step, 0), at, 10**number * (1 + step), moved_from)
    )


def successor(stage: Stage) -> Worker:
    worker = stage.worker()
    stage.owns(worker)
    return worker


CHAINS = st.lists(st.lists(PANES, min_size=1, max_size=4), min_size=1, max_size=3)


@settings(max_examples=150, deadline=None)
@given(CHAINS, st.randoms(use_true_random=False), st.booleans(), st.booleans())
def test_corrections_over_the_border_in_any_order_are_exact(chains, chance, sink_away, followed):
    stage = Stage()
    worker = closed(stage)
    todo = [(number, panes, step) for number, panes in enumerate(chains) for step in range(len(panes))]
    todo += chance.sample(todo, len(todo) // 2)
    chance.shuffle(todo)

    for number, panes, step in todo:
        append(stage, number, panes, step)
        if chance.random() < 0.5:
            stage.works(worker)
        if chance.random() < 0.3 and not sink_away:
            stage.sinks()
        if followed and chance.random() < 0.2:
            worker = successor(stage)
        if chance.random() < 0.3:
            stage.world.compact_to(0, stage.world.end[0])

    stage.works(worker)
    assert stage.wrong() is None


@settings(max_examples=60, deadline=None)
@given(CHAINS, st.randoms(use_true_random=False))
def test_no_closed_pane_is_published_again(chains, chance):
    stage = Stage()
    worker = closed(stage)
    before = stage.world.end[0]
    todo = [(number, panes, step) for number, panes in enumerate(chains) for step in range(len(panes))]
    chance.shuffle(todo)

    for number, panes, step in todo:
        append(stage, number, panes, step)
        stage.works(worker)
        if chance.random() < 0.3:
            worker = successor(stage)

    later = [parse(key, value) for offset, key, value in stage.world.panes[0] if offset >= before and value]
    assert [it for it in later if isinstance(it, PaneRecord) and it.start_ms < FRONTIER * PANE_MS] == []


@pytest.mark.parametrize(
    ("pane_ms", "outcome"),
    [((FRONTIER - 1) * PANE_MS, Outcome.CLOSED), (FRONTIER * PANE_MS, Outcome.ADDED)],
)
def test_the_pane_at_the_frontier_is_live_and_the_one_before_it_is_closed(pane_ms: int, outcome: Outcome):
    part = Partition(0, PartitionSettings("w1", PANE_MS))
    part.frontier_ms = FRONTIER * PANE_MS

    assert part.accept(event_of("acme/crm/deal/1", (1, 0), Place(agent(0), pane_ms), 1), 0) is outcome


def test_a_zombies_pane_behind_its_tombstone_changes_nothing():
    """Its pane is closed, its key is tombstoned; then it publishes, and somebody recovers from that."""
    stage = Stage()
    zombie = stage.worker()
    stage.owns(zombie)
    stage.event(1, pane=5, tick=6)
    stage.works(zombie)
    stage.event(2, pane=5, tick=6)
    stage.reads(zombie)
    stage.world.flush(zombie, 0)
    worker = successor(stage)
    for number in (3, 4, 5, 6):
        stage.event(number, pane=NOW, tick=NOW)
        stage.works(worker)
        stage.sinks()
    stage.world.compact_to(0, stage.world.end[0])
    assert not any(b"/5000/" in key for _, key, _ in stage.world.panes[0])

    while zombie.shards[0].flights:
        stage.world.publish(zombie, 0)
    third = successor(stage)
    stage.event(7, pane=5, tick=NOW)
    stage.works(third)

    assert min(third.shards[0].partition.panes) >= FRONTIER * PANE_MS
    assert stage.wrong() is None


def test_an_event_after_a_long_silence_closes_what_was_before_it():
    """The log was idle for a thousand panes; what comes then is late, in time, or the first of its day."""
    stage = Stage()
    worker = closed(stage)
    for number, pane in ((5, 8), (6, 1008), (7, 8), (8, 1007), (9, 7), (10, 1006)):
        stage.event(number, pane=pane, tick=1008)
        stage.works(worker)

    assert sorted(worker.shards[0].partition.panes) == [1007 * PANE_MS, 1008 * PANE_MS]
    assert stage.wrong() is None


def test_a_worker_that_was_away_for_days_works_off_its_backlog():
    """Offsets are old, every pane it had is closed by now; the frontier follows what is committed, not the clock."""
    stage = Stage()
    first = closed(stage)
    for day in range(1, 6):
        for number in range(4):
            stage.event(4 * day + number + 4, pane=NOW + 100 * day - number, tick=NOW + 100 * day)
    stage.event(40, pane=NOW, tick=NOW + 501)
    stage.world.workers.remove(first)
    second = successor(stage)
    for _ in range(3):
        stage.works(second)
    stage.event(41, pane=NOW + 501, tick=NOW + 501)
    stage.works(second)

    assert second.shards[0].partition.frontier_ms == (NOW + 500) * PANE_MS
    assert stage.wrong() is None


def test_a_broker_whose_clock_goes_back_moves_no_frontier_back():
    """The partition's leader moves to a broker that is hours behind, and back."""
    stage = Stage()
    worker = closed(stage)
    stage.world.skew = [-6]
    for number in (5, 6, 7):
        stage.event(number, pane=number, tick=NOW)
        stage.works(worker)
    assert worker.shards[0].partition.frontier_ms == FRONTIER * PANE_MS
    stage.world.skew = [6]
    for number in (8, 9):
        stage.event(number, pane=NOW, tick=NOW)
        stage.works(worker)

    assert worker.shards[0].partition.frontier_ms == (FRONTIER + 6) * PANE_MS
    assert stage.wrong() is None
