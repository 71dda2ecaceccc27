"""Standing of a sink: stuck is told from an outage of the store, and from nothing to do."""

import asyncio
import threading
import time

import pytest

from kpistream.errors import SinkUnavailable
from kpistream.health import Health
from kpistream.history.progress import Progress, Unobserved
from kpistream.history.retrying import Backoff, Retrying
from kpistream.history.standing import Standing, StandingLimits

LIMIT_S = 30


class Clock:
    def __init__(self):
        self.s = 0.0


def made():
    clock, progress = Clock(), Progress()
    health = Health("sink", lambda: clock.s)
    standing = Standing(health, StandingLimits(stall_timeout_s=60, store_timeout_s=300), "kpi-sink", progress)
    return clock, health, standing, progress


def started():
    clock, health, standing, progress = made()
    standing.opened()
    standing.assigned()
    standing.turned(0)
    return clock, health, standing, progress


def passes(clock, standing, seconds, markers=()):
    for _ in range(seconds):
        clock.s += 1
        standing.turned(0)
        standing.look(dict(markers))


def said(health):
    return [str(fault) for fault in health.faults()]


def test_sink_with_nothing_to_do_is_alive_and_ready():
    clock, health, standing, _ = started()
    passes(clock, standing, 10_000)

    assert (said(health), health.waits_for()) == ([], [])


def test_partition_that_commits_nothing_while_records_wait_is_stuck():
    clock, health, standing, _ = started()
    passes(clock, standing, 62, {("kpi.events", 3): 7, ("kpi.events", 4): 9}.items())
    passes(clock, standing, 1, {("kpi.events", 3): 7, ("kpi.events", 4): 10}.items())

    assert said(health) == ["kpi.events[3]: no progress, records wait and nothing was committed for 62 s"]


def test_group_that_gives_no_assignment_is_stuck():
    clock, health, standing, _ = made()
    standing.opened()
    assert health.waits_for() == ["group 'kpi-sink' has given no assignment"]
    passes(clock, standing, 61)

    assert said(health) == ["group 'kpi-sink' has given no assignment for 61 s"]


def test_rebalance_that_does_not_end_is_stuck():
    clock, health, standing, _ = started()
    passes(clock, standing, 1000)
    standing.unassigned()
    passes(clock, standing, 61)

    assert said(health) == ["group 'kpi-sink' has given no assignment for 61 s"]


def test_partitions_that_are_not_started_make_it_not_ready():
    _clock, health, standing, _ = started()
    standing.turned(12)

    assert health.waits_for() == ["12 partitions are assigned and not started"]


def test_loop_that_does_not_turn_is_stuck():
    clock, health, _standing, _ = started()
    clock.s += 61

    assert said(health) == ["sink loop has not turned for 61 s"]


def test_time_in_the_store_is_not_the_sinks():
    """A call that takes 5 minutes, between 50 s and 5 s of own time without a commit."""
    clock, health, standing, _ = started()
    passes(clock, standing, 50, {("kpi.events", 3): 7}.items())
    standing.away()
    standing.calls()
    clock.s += 290
    assert said(health) == []
    standing.back()
    passes(clock, standing, 5, {("kpi.events", 3): 7}.items())
    assert said(health) == []

    passes(clock, standing, 10, {("kpi.events", 3): 7}.items())
    assert said(health) == ["kpi.events[3]: no progress, records wait and nothing was committed for 64 s"]


class Store:
    """A store whose next calls are scripted."""

    def __init__(self):
        self.down = True
        self.asked = threading.Event()
        self.answer = threading.Event()

    def hang(self):
        self.asked.set()
        assert self.answer.wait(LIMIT_S)
        return "written"

    def insert(self):
        self.asked.set()
        if self.down:
            raise SinkUnavailable("store: connection refused")
        return "written"


def persisting(work, story):
    """Run `story(clock, health)` in the event loop while `work` is being persisted; the result."""
    clock, health, standing, progress = started()
    retrying = Retrying(Backoff(1, 1, 30.0), progress, Unobserved(), standing)

    async def run():
        persisted = asyncio.ensure_future(retrying.persist(work, lambda: clock.s, lambda: 1))
        await story(clock, health)
        return await asyncio.wait_for(persisted, LIMIT_S)

    return asyncio.run(run()), health


async def until(condition):
    deadline_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline_s
        await asyncio.sleep(0.005)


def test_store_that_refuses_for_hours_makes_the_sink_not_ready_and_no_fault():
    store = Store()

    async def story(clock, health):
        await until(lambda: bool(health.waits_for()))
        clock.s += 10_000
        assert health.waits_for() == ["store unavailable for 10000 s: store: connection refused"]
        await until(lambda: said(health) == [])  # the call that was under way has come back, a new one has begun
        store.down = False

    result, health = persisting(store.insert, story)

    assert (result, health.waits_for(), said(health)) == ("written", [], [])


def test_call_that_does_not_come_back_is_a_fault():
    store = Store()

    async def story(clock, health):
        await until(store.asked.is_set)
        clock.s += 299
        assert said(health) == []
        clock.s += 2
        assert said(health) == ["a call to the store has not come back for 301 s"]
        store.answer.set()

    result, health = persisting(store.hang, story)

    assert (result, said(health)) == ("written", [])


@pytest.mark.parametrize("limit", ["stall_timeout_s", "store_timeout_s"])
def test_limits_are_those_of_the_configuration(limit):
    from kpistream import service
    from kpistream.config import Config

    config = Config(**{limit: 17})

    assert getattr(service.sink_settings(config, 4).limits, limit) == 17


def test_partitions_that_do_not_start_are_stuck():
    clock, health, standing, _ = started()
    for _ in range(62):
        clock.s += 1
        standing.turned(2)

    assert said(health) == ["2 assigned partitions have not started for 61 s"]

    standing.turned(0)
    assert said(health) == []
