"""Standing: who is stuck is told from who is idle, by partition."""

from prometheus_client import CollectorRegistry

from kpistream.core.partition import PartitionSettings
from kpistream.metrics import WorkerMetrics
from kpistream.stream.standing import Standing
from kpistream.stream.state import Shards
from kpistream.stream.watchdog import Pulse, stuck


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
    for _ in range(seconds):
        clock.s += 1
        standing.look()
    return stuck(Pulse(clock.s, lambda: standing.progress_s), clock.s, limit_s)


def test_idle_worker_with_everything_committed_is_not_stuck():
    clock, shards, standing, _ = made({0: 50})
    shard = held(shards, 0, begins_at=50, catch_up_to=50)

    assert verdict_after(clock, standing, 3600) is None
    assert shard.caught_up


def test_partition_that_never_recovers_is_stuck():
    clock, shards, standing, _ = made({})
    shards.shard(0).assigned(1)

    assert "no progress" in verdict_after(clock, standing, 100)


def test_recovery_that_joins_records_is_progress():
    clock, shards, standing, _ = made({})
    shard = shards.shard(0)
    shard.assigned(1)
    for offset in range(10):
        shard.partition.persisted = offset
        assert verdict_after(clock, standing, 50) is None


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
    assert verdict_after(clock, standing, 1000) is None


def test_heavy_lag_makes_numbers_provisional():
    _clock, shards, standing, _ = made({0: 100})
    shard = held(shards, 0, begins_at=0, catch_up_to=1)
    shard.partition.advance(50, -400_000)
    shard.partition.at.joined_newest_ms = -400_000
    standing.look()

    assert not shard.caught_up
