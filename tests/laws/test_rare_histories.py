"""Histories that a search seldom meets, step by step."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from kpistream.core.placing import Place
from tests.laws.broker import PANE_MS, agent, event_of
from tests.laws.defects import world_of
from tests.laws.worker_and_sink import check, drain
from tests.laws.world import Worker, World


class Certain(random.Random):
    """No chance: the last of all choices (or the first), as much as possible, and nothing is cancelled or forgotten."""

    def __init__(self, first: bool = False) -> None:
        super().__init__(0)
        self.index = 0 if first else -1

    def random(self) -> float:
        return 0.99

    def choice(self, seq: Sequence[Any]) -> Any:  # type: ignore[override]
        return seq[self.index]

    def randint(self, a: int, b: int) -> int:
        return b


class Stage:
    """One partition, and workers that do one thing at a time."""

    def __init__(self, plant: str = "", horizon: int = 1) -> None:
        self.world: World = world_of(plant)(0)
        world = self.world
        world.count, world.horizon, world.chunk_bytes, world.piece = 1, horizon, 1_000_000, 1000
        world.events, world.panes, world.end, world.committed = [[]], [[]], [0], [0]
        world.facts_committed, world.panes_committed, world.todo = [0], [0], []
        world.workers = []
        world.start_sink()
        world.rnd = Certain()

    def worker(self) -> Worker:
        """A process that joins the group."""
        self.world.workers.append(self.world.spawn())
        return self.world.workers[-1]

    def owns(self, worker: Worker) -> None:
        """The group gives the partition to a worker, and that worker hears of it."""
        self.world.generation += 1
        self.world.owner[0] = worker
        self.world.poll(worker)

    def works(self, worker: Worker) -> None:
        """The worker recovers, joins, publishes and commits everything there is."""
        self.reads(worker)
        self.flushes(worker)
        self.commits(worker)

    def event(self, number: int, pane: int, tick: int, revision: int = 1) -> None:
        """A producer appends an event at a time."""
        self.world.clock = tick
        place = Place(agent(0), pane * PANE_MS)
        self.world.append_event(event_of(f"acme/pbx/call/{number}", (revision, 0), place, 1 << number))

    def reads(self, worker: Worker) -> None:
        """The worker joins everything there is."""
        while not worker.shards[0].partition.at.recovered:
            self.world.recover(worker, 0)
        while worker.shards[0].position < len(self.world.events[0]):
            self.world.fetch(worker, 0)

    def flushes(self, worker: Worker) -> None:
        """The worker publishes all that is dirty, and acknowledges."""
        if self.world.may_flush(worker, worker.shards[0]):
            self.world.flush(worker, 0)
        while worker.shards[0].flights:
            self.world.publish(worker, 0)

    def commits(self, worker: Worker) -> None:
        """The worker commits what is acknowledged and hears the answer, if there is one."""
        shard = worker.shards[0]
        if shard.acknowledged > self.world.committed[0]:
            self.world.commit(worker, 0)
        if shard.reply is not None:
            self.world.commit(worker, 0)

    def publishes_panes(self, worker: Worker) -> None:
        """The worker publishes the changelog of its flush, and no retraction."""
        flights = worker.shards[0].flights
        self.world.rnd = Certain(first=True)
        while flights and flights[0].changelog:
            self.world.publish(worker, 0)
        self.world.rnd = Certain()

    def sinks(self, facts: bool = True) -> None:
        """The sink writes and commits everything there is; with `facts` off it reads no events."""
        world, plan = self.world, self.world.plans[0]
        for _ in range(3):
            for record in world.events[0][world.facts_read[0] :] if facts else ():
                assert record.event is not None
                world.write_fact(record.event)
                world.facts_read[0] += 1
            plan.facts_written(world.facts_read[0])
            for offset, key, value in world.panes[0][world.panes_from(0, world.panes_read[0]) :]:
                plan.read(offset, key, value)
                world.panes_read[0] = offset + 1
            world.write_rows(0)
            world.answer_marks(0)
        assert not plan.pending_rows
        world.facts_committed[0], world.panes_committed[0] = world.facts_read[0], plan.committable() or 0

    def wrong(self) -> str | None:
        """What is wrong when everything has come to rest."""
        self.world.rnd = random.Random(0)
        assert drain(self.world)
        return check(self.world, "at rest")


def late_append_of_a_zombie(stage: Stage) -> None:
    """A zombie publishes after its successor was assigned; compaction removes what the successor has yet to read."""
    old, new = stage.worker(), stage.worker()
    stage.owns(old)
    stage.event(1, pane=8, tick=8)
    stage.works(old)
    stage.owns(new)
    stage.event(2, pane=8, tick=8)
    stage.reads(old)
    stage.flushes(old)
    stage.world.compact()
    stage.event(3, pane=8, tick=8)
    stage.works(new)


def flush_of_an_old_generation(stage: Stage) -> None:
    """A flush is on its way when the partition is revoked and comes back to the same worker."""
    worker = stage.worker()
    stage.owns(worker)
    stage.event(1, pane=8, tick=8)
    stage.reads(worker)
    stage.world.flush(worker, 0)
    stage.owns(worker)
    stage.event(2, pane=8, tick=8)
    stage.works(worker)
    stage.works(worker)
    stage.world.compact()
    stage.event(3, pane=8, tick=8)
    successor = stage.worker()
    stage.owns(successor)
    stage.works(successor)


def crash_before_a_retraction(stage: Stage, tick: int) -> None:
    """An event moves; the worker dies when the panes of its flush are published, its retraction is not."""
    worker, successor = stage.worker(), stage.worker()
    stage.owns(worker)
    stage.event(1, pane=4, tick=8)
    stage.works(worker)
    stage.event(1, pane=7, tick=8, revision=2)
    stage.event(2, pane=tick, tick=tick)
    stage.reads(worker)
    stage.world.flush(worker, 0)
    stage.publishes_panes(worker)
    stage.commits(worker)
    stage.world.workers.remove(worker)
    stage.owns(successor)
    stage.works(successor)


def closed(stage: Stage) -> Worker:
    """A pane was closed with one event in it; the sink has seen everything."""
    worker = stage.worker()
    stage.owns(worker)
    stage.event(1, pane=5, tick=6)
    stage.works(worker)
    for number in (2, 3, 4):
        stage.event(number, pane=8, tick=8)
        stage.works(worker)
    stage.sinks()
    assert worker.shards[0].partition.frontier_ms == 7 * PANE_MS
    return worker


def two_late_events(stage: Stage) -> None:
    """The mark of the second is published beside the tombstone of the first one's."""
    worker = closed(stage)
    for number in (5, 6):
        stage.event(number, pane=5, tick=8)
        stage.works(worker)
        if number == 5:
            stage.sinks()
    stage.world.compact()


def sink_crash_before_facts(stage: Stage) -> None:
    """The sink has read a mark, its facts are not there yet; it commits and dies."""
    worker = closed(stage)
    stage.event(5, pane=5, tick=8)
    stage.works(worker)
    stage.sinks(facts=False)
    stage.world.start_sink()


def late_frontier_of_a_zombie(stage: Stage) -> None:
    """A zombie publishes its frontier after its successor's, which is higher and has buried a pane."""
    old, new, third = stage.worker(), stage.worker(), stage.worker()
    stage.owns(old)
    stage.event(1, pane=5, tick=6)
    stage.works(old)
    stage.event(2, pane=6, tick=7)
    stage.reads(old)
    stage.world.flush(old, 0)
    stage.owns(new)
    for number, tick in ((3, 8), (4, 9), (5, 9)):
        stage.event(number, pane=tick, tick=tick)
        stage.works(new)
        stage.sinks()
    while old.shards[0].flights:
        stage.world.publish(old, 0)
    stage.world.compact()
    stage.owns(third)
    stage.event(6, pane=5, tick=9)
    stage.works(third)


def return_of_a_writer(stage: Stage) -> None:
    """A successor stalls before it tombstones a key of its predecessor, who owns the partition again by then."""
    first, second, third = stage.worker(), stage.worker(), stage.worker()
    stage.owns(first)
    stage.event(1, pane=8, tick=8)
    stage.works(first)
    stage.owns(second)
    stage.event(2, pane=8, tick=8)
    stage.works(second)
    stage.event(3, pane=8, tick=8)
    stage.reads(second)
    stage.world.flush(second, 0)
    stage.world.publish(second, 0)
    stage.owns(first)
    stage.event(4, pane=8, tick=8)
    stage.works(first)
    while second.shards[0].flights:
        stage.world.publish(second, 0)
    stage.world.compact()
    stage.owns(third)
    stage.event(5, pane=8, tick=8)
    stage.works(third)


def lost_for_a_while(stage: Stage) -> None:
    """The partition was somebody else's for one event; the memory of before is still there."""
    first, second = stage.worker(), stage.worker()
    stage.owns(first)
    stage.event(1, pane=8, tick=8)
    for _ in range(2):
        stage.owns(first)
        stage.works(first)
    stage.owns(second)
    stage.event(2, pane=8, tick=8)
    stage.works(second)
    stage.owns(first)
    stage.event(3, pane=8, tick=8)
    stage.works(first)


def slow_recovery_of_a_zombie(stage: Stage) -> None:
    """A worker that lost the partition before it had recovered finds the keys of its successor."""
    slow, owner, third = stage.worker(), stage.worker(), stage.worker()
    stage.owns(slow)
    stage.owns(owner)
    stage.event(1, pane=8, tick=8)
    stage.works(owner)
    stage.works(slow)
    stage.event(2, pane=7, tick=8)
    stage.reads(slow)
    stage.world.flush(slow, 0)
    stage.world.publish(slow, 0)
    stage.event(3, pane=8, tick=8)
    stage.works(owner)
    while slow.shards[0].flights:
        stage.world.publish(slow, 0)
    stage.world.compact()
    stage.owns(third)
    stage.event(4, pane=8, tick=8)
    stage.works(third)


def crash_within_a_flush(stage: Stage) -> None:
    """A successor dies after the first record of its first flush."""
    first, second, third = stage.worker(), stage.worker(), stage.worker()
    stage.owns(first)
    stage.event(1, pane=8, tick=8)
    stage.works(first)
    stage.owns(second)
    stage.event(2, pane=8, tick=8)
    stage.reads(second)
    stage.world.flush(second, 0)
    stage.world.publish(second, 0)
    stage.world.workers.remove(second)
    stage.world.compact()
    stage.owns(third)
    stage.works(third)


def sink_away(stage: Stage) -> None:
    """Many panes are closed while the sink is away."""
    stage.world.block_keys = 1
    worker = stage.worker()
    stage.owns(worker)
    stage.event(0, pane=4, tick=6)
    stage.works(worker)
    stage.sinks()
    for number in (1, 2):
        stage.event(number, pane=4 + number, tick=6)
    stage.works(worker)
    for number in (3, 4, 5, 6):
        stage.event(number, pane=9, tick=9)
        stage.works(worker)
    stage.world.compact()


HISTORIES: dict[str, tuple[Callable[[Stage], None], int]] = {
    "target_at_assignment": (late_append_of_a_zombie, 4),
    "two_flushes": (flush_of_an_old_generation, 4),
    "ack_first": (lambda stage: crash_before_a_retraction(stage, tick=8), 8),
    "frontier_ahead": (lambda stage: crash_before_a_retraction(stage, tick=14), 4),
    "frontier_one_key": (late_frontier_of_a_zombie, 1),
    "mark_by_writer": (two_late_events, 1),
    "mark_by_place": (two_late_events, 1),
    "commit_past_marks": (sink_crash_before_facts, 1),
    "writer_of_process": (return_of_a_writer, 4),
    "superseded_at_once": (slow_recovery_of_a_zombie, 4),
    "superseded_early": (crash_within_a_flush, 4),
    "packed_first": (sink_away, 2),
    "keep_stale": (lost_for_a_while, 4),
}
"""What shows a defect, and the horizon in ticks."""


@pytest.mark.parametrize("name", HISTORIES)
def test_a_rare_history_is_right(name: str) -> None:
    play, horizon = HISTORIES[name]
    stage = Stage(horizon=horizon)

    play(stage)

    assert stage.wrong() is None


@pytest.mark.parametrize("name", HISTORIES)
def test_a_rare_history_shows_its_defect(name: str) -> None:
    play, horizon = HISTORIES[name]
    stage = Stage(name, horizon)

    play(stage)

    assert stage.wrong() is not None
