"""Backlog: a log of two days is drained; once the live set is full, memory must not grow.

The records carry the timestamps of their calls (`load.write_past`), so the frontier moves through the past as it moves
in life, panes close, and their keys are buried. The live set is full when the frontier has moved by a whole horizon;
growth counts from `FULL_AFTER` on.
"""

import dataclasses
import time
from dataclasses import dataclass
from typing import Any, Final

from bench.follower import Follower
from bench.group import Group
from bench.load import HOUR_MS, Sampler, check_totals, slope, write_past
from bench.processes import WorkerProcess, rss_mb
from bench.workload import Workload
from kpistream.log.topics import Topics
from tests.live.broker import Broker

FULL_AFTER: Final = 2.5
"""Horizons of records after which memory must not grow. The live set is full after one, and what closes a little later;
allocator and dictionaries settle over one more (`python -m bench.hours`), which is no growth that goes on."""
_PAUSE_S: Final = 0.5
_KEPT: Final = 200
"""Samples in the results at most."""


@dataclass(frozen=True, slots=True)
class Drain:
    """What is drained."""

    events: int
    agents: int
    span_hours: int
    horizon_hours: int


def measure(broker: Broker, drain: Drain) -> dict[str, Any]:
    """Drain it. Raises RuntimeError when a pane is wrong at the end."""
    topics = Topics("backlog.")
    end_ms = time.time_ns() // 1_000_000
    write_past(
        broker.bootstrap, topics, Workload(drain.events, end_ms, drain.span_hours * HOUR_MS, agents=drain.agents)
    )
    group = Group(broker.bootstrap, f"{topics.prefix}-worker", topics.events)
    ends = group.ends()
    with (
        Follower(broker.bootstrap, topics.prefix) as follower,
        WorkerProcess(broker.bootstrap, topics.prefix, horizon_hours=drain.horizon_hours) as worker,
    ):
        sampler = Sampler(worker, group.committed)
        while sampler.take().records < sum(ends.values()):
            time.sleep(_PAUSE_S)
        peak_mb = rss_mb(worker.pid, "VmHWM:")
        worker.stop()
        checked = check_totals(broker.bootstrap, topics, follower)
    full = FULL_AFTER * drain.events * drain.horizon_hours / drain.span_hours
    moving = [sample for sample in sampler.samples if sample.records]
    rest = [sample for sample in moving if sample.records >= full]
    slope_mb = slope([(sample.records, sample.rss_mb) for sample in rest])
    first, last = moving[0], moving[-1]
    return {
        **dataclasses.asdict(drain),
        **checked,
        "events_per_cpu_second": (last.records - first.records) / max(0.01, last.cpu_s - first.cpu_s),
        "seconds": last.seconds - first.seconds,
        "full_at_records": int(full),
        "full_mb": rest[0].rss_mb if rest else 0.0,
        "end_mb": last.rss_mb,
        "peak_mb": peak_mb,
        "growth_mb": slope_mb * (last.records - rest[0].records) if rest else 0.0,
        "samples": [dataclasses.asdict(each) for each in moving[:: max(1, len(moving) // _KEPT)]],
    }


def shown(found: dict[str, Any]) -> list[str]:
    """One line."""
    share = found["growth_mb"] / found["full_mb"] if found["full_mb"] else 0.0
    return [
        "| events | over, h | horizon, h | live set full at | memory then, MB | growth from there to the end, MB "
        "| peak, MB | events per CPU-second | panes checked |",
        "| --- " * 9 + "|",
        f"| {found['events']:,} | {found['span_hours']} | {found['horizon_hours']} | {found['full_at_records']:,} "
        f"| {found['full_mb']:,.0f} | **{found['growth_mb']:+,.1f}** ({share:+.1%}) | {found['peak_mb']:,.0f} "
        f"| {found['events_per_cpu_second']:,.0f} | {found['panes_checked']:,} |",
    ]
