"""Standing: who is stuck is told from who is idle, by partition."""

from prometheus_client import CollectorRegistry

from kpistream.core.panes import Pane
from kpistream.core.partition import PartitionSettings
from kpistream.metrics import WorkerMetrics
from kpistream.stream.standing import STARTS_A_LOOK, Standing
from kpistream.stream.state import Shards


class Clock:
    def __init__(self):
        self.s = 0.0


def made(ends):
    clock, shards = Clock(), Shards(PartitionSettings("w"))
    registry = CollectorRegistry()
    standing = Standing(shards, WorkerMetrics(registry), ends.get, lambda: 0, lambda: clock.s)
    return clock, shards, standing, registry


def held(shards, number, begins_at, catch_up_to):
    shard = shards.shard(number)
    shard.assigned(1)
    shard.catch_up_to = catch_up_to
    shard.partition.recovered(0)
    shard.begins_at = begins_at
    return shard


def verdict_after(clock, standing, seconds, limit_s=60):
    standing.limit_s = limit_s
    for _ in range(seconds):
        clock.s += 1
        standing.look()
    return "; ".join(map(str, standing.faults(clock.s)))


def test_idle_worker_with_everything_committed_is_not_stuck():
    clock, shards, standing, _ = made({0: 50})
    shard = held(shards, 0, begins_at=50, catch_up_to=50)

    assert verdict_after(clock, standing, 3600) == ""
    assert standing.waits_for() == []
    assert shard.caught_up


def test_partition_that_never_recovers_is_stuck():
    clock, shards, standing, _ = made({})
    shards.shard(0).assigned(1)

    assert verdict_after(clock, standing, 100) == "partition 0: recovery stalled, nothing was joined for 99 s"
    assert standing.waits_for() == ["partition 0: panes are recovered up to changelog offset -1"]


def test_recovery_that_joins_records_is_progress():
    clock, shards, standing, _ = made({})
    shard = shards.shard(0)
    shard.assigned(1)
    for offset in range(10):
        shard.partition.persisted = offset
        assert verdict_after(clock, standing, 50) == ""


def test_partition_that_waits_for_the_recovery_of_others_is_not_stuck():
    clock, shards, standing, _ = made({})
    small, large = shards.shard(0), shards.shard(1)
    small.assigned(1)
    large.assigned(1)
    small.partition.persisted = 3
    for offset in range(10):
        large.partition.persisted = offset
        assert verdict_after(clock, standing, 50) == ""

    assert "partition 0: recovery stalled" in verdict_after(clock, standing, 50)


def test_one_stuck_partition_is_not_excused_by_another():
    clock, shards, standing, _ = made({0: 10, 1: 10_000})
    held(shards, 0, begins_at=0, catch_up_to=10)
    busy = held(shards, 1, begins_at=0, catch_up_to=10)
    for offset in range(1, 101):
        busy.partition.at.acknowledged = offset
        clock.s += 1
        standing.look()

    assert "no progress" in verdict_after(clock, standing, 1)


def test_records_that_were_never_fetched_count_as_waiting():
    clock, shards, standing, _ = made({0: None})
    held(shards, 0, begins_at=0, catch_up_to=7)

    assert "no progress" in verdict_after(clock, standing, 100)


def test_gauges_of_a_lost_partition_go():
    clock, shards, standing, registry = made({0: 50})
    shard = held(shards, 0, begins_at=20, catch_up_to=50)
    standing.look()
    assert registry.get_sample_value("kpistream_lag_records", {"partition": "0"}) == 30

    shard.lost()
    standing.look()

    assert registry.get_sample_value("kpistream_lag_records", {"partition": "0"}) is None
    assert verdict_after(clock, standing, 1000) == ""


def test_heavy_lag_makes_numbers_provisional():
    _clock, shards, standing, _ = made({0: 100})
    shard = held(shards, 0, begins_at=0, catch_up_to=1)
    shard.partition.advance(50, -400_000)
    shard.partition.at.joined_newest_ms = -400_000
    standing.look()

    assert not shard.caught_up


def test_acknowledged_and_never_committed_is_stuck():
    clock, shards, standing, _ = made({0: 10})
    shard = held(shards, 0, begins_at=0, catch_up_to=10)
    shard.partition.at.acknowledged = 10

    assert verdict_after(clock, standing, 50) == ""
    assert "partition 0: no commit succeeds" in verdict_after(clock, standing, 50)

    standing.committed(0, 10)
    assert verdict_after(clock, standing, 1000) == ""


def test_commits_that_lag_behind_acknowledgements_are_progress():
    clock, shards, standing, _ = made({0: 1_000_000})
    shard = held(shards, 0, begins_at=0, catch_up_to=10)
    for offset in range(1, 20):
        shard.partition.at.acknowledged = 10 * offset
        standing.committed(0, 10 * offset - 5)
        assert verdict_after(clock, standing, 50) == ""


def test_rebalance_that_goes_on_is_not_a_stalled_partition():
    """Waiting for the assignment has a limit of its own."""
    clock, shards, standing, _ = made({0: 10})
    held(shards, 0, begins_at=0, catch_up_to=10).revoked = True

    assert verdict_after(clock, standing, 1000) == ""


def test_partition_is_ready_when_it_has_read_to_the_end_seen_at_assignment():
    _clock, shards, standing, _ = made({0: 500})
    shard = held(shards, 0, begins_at=3, catch_up_to=100)
    standing.look()
    assert standing.waits_for() == ["partition 0: events are read up to 3, 100 was the end at assignment"]

    shard.partition.advance(100, 0)
    standing.look()

    assert standing.waits_for() == []


def test_bytes_in_memory_are_shown_start_by_start():
    """A look adds up the panes of a few starts only; a change is seen within as many looks as the rest take."""
    _, shards, standing, registry = made({0: 0})
    partition = held(shards, 0, begins_at=0, catch_up_to=0).partition
    starts = 5 * STARTS_A_LOOK
    for number in range(starts):
        pane = partition.panes.setdefault(number * 300_000, {})["acme/agent:ann"] = Pane("acme/agent:ann", number)
        pane.join("acme/pbx/call/1", 1, (1, 1))

    standing.look()
    value = registry.get_sample_value("kpistream_state_bytes", {"partition": "0"})
    assert value == starts * pane.size
    assert registry.get_sample_value("kpistream_live_panes", {"partition": "0"}) == starts

    pane.join("acme/pbx/call/2", 1, (1, 1))
    grown = starts * pane.size // 2 + pane.size // 2
    seen = []
    for _ in range(5):
        standing.look()
        seen.append(registry.get_sample_value("kpistream_state_bytes", {"partition": "0"}))
    assert seen[:-1] == [value] * 4
    assert seen[-1] == grown

    partition.panes.clear()
    standing.look()
    assert registry.get_sample_value("kpistream_state_bytes", {"partition": "0"}) == 0
