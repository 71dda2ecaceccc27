"""Soak: a worker with a full live set runs for half an hour at an even pace; its memory must not grow.

The log begins with some horizons of past at the same pace (`load.write_past`): when the worker has read them, as much
closes behind the frontier as comes in, and allocator and dictionaries have settled, which takes them about two horizons
(`python -m bench.hours`). The slope is that of a straight line through the samples after a warm-up.
"""

import dataclasses
import random
import time
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import Producer

from bench.follower import Follower
from bench.group import Group
from bench.load import HOUR_MS, Sampler, check_totals, slope, write_past
from bench.processes import WorkerProcess, rss_mb, wait_for
from bench.workload import Workload, call, key_of
from kpistream.log.topics import Topics
from tests.live.broker import Broker

WARM_SHARE: Final = 0.2
"""The first part of the soak, which is not in the slope."""
_SAMPLES: Final = 180


@dataclass(frozen=True, slots=True)
class Soak:
    """How long and how much."""

    minutes: float
    events_per_second: int
    agents: int
    horizon_hours: int = 1
    past_horizons: int = 3


def measure(broker: Broker, soak: Soak) -> dict[str, Any]:
    """Run it. Raises RuntimeError when a pane is wrong at the end."""
    topics = Topics("soak.")
    span_ms = soak.past_horizons * soak.horizon_hours * HOUR_MS
    past = soak.events_per_second * span_ms // 1000
    write_past(broker.bootstrap, topics, Workload(past, time.time_ns() // 1_000_000, span_ms, agents=soak.agents))
    group = Group(broker.bootstrap, f"{topics.prefix}-worker", topics.events)
    with (
        Follower(broker.bootstrap, topics.prefix) as follower,
        WorkerProcess(broker.bootstrap, topics.prefix, horizon_hours=soak.horizon_hours) as worker,
    ):
        wait_for("the past is read", lambda: worker.check() or group.behind(group.ends()) == 0, 1800)
        sampler = Sampler(worker, group.committed)
        feed(broker.bootstrap, topics, soak, sampler)
        wait_for("everything is committed", lambda: group.behind(group.ends()) == 0)
        peak_mb = rss_mb(worker.pid, "VmHWM:")
        worker.stop()
        checked = check_totals(broker.bootstrap, topics, follower)
    samples = sampler.samples
    rest = samples[int(len(samples) * WARM_SHARE) :]
    first, last = samples[0], samples[-1]
    return {
        **dataclasses.asdict(soak),
        **checked,
        "events": last.records - first.records,
        "first_mb": rest[0].rss_mb,
        "end_mb": last.rss_mb,
        "peak_mb": peak_mb,
        "slope_mb_per_hour": slope([(sample.seconds / 3600, sample.rss_mb) for sample in rest]),
        "cores": (last.cpu_s - first.cpu_s) / (last.seconds - first.seconds),
        "samples": [dataclasses.asdict(each) for each in samples],
    }


def feed(bootstrap: str, topics: Topics, soak: Soak, sampler: Sampler) -> None:
    """Send at an even pace for the whole time, and take samples."""
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "partitioner": "murmur2_random"})
    chance, began_s, sent = random.Random(7), time.perf_counter(), 0
    seconds = soak.minutes * 60
    next_sample_s = 0.0
    while (passed_s := time.perf_counter() - began_s) < seconds:
        for _ in range(int(passed_s * soak.events_per_second) - sent):
            agent = f"agent-{chance.randrange(soak.agents):05}"
            producer.produce(topics.events, call(chance, agent, time.time_ns() // 1_000_000), key_of(agent))
            sent += 1
        producer.poll(0)
        if passed_s >= next_sample_s:
            sampler.take()
            next_sample_s += seconds / _SAMPLES
        time.sleep(0.01)
    producer.flush(60)


def shown(found: dict[str, Any]) -> list[str]:
    """One line."""
    return [
        "| minutes | events/s | agents | horizon, h | memory after the warm-up, MB | at the end, MB | peak, MB "
        "| slope, MB/hour | cores | panes checked |",
        "| --- " * 10 + "|",
        f"| {found['minutes']:g} | {found['events_per_second']:,} | {found['agents']:,} | {found['horizon_hours']} "
        f"| {found['first_mb']:,.1f} | {found['end_mb']:,.1f} | {found['peak_mb']:,.1f} "
        f"| **{found['slope_mb_per_hour']:+.1f}** | {found['cores']:.2f} | {found['panes_checked']:,} |",
    ]
