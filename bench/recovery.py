"""Recovery: a day of panes of many agents lies in the changelog; how long until a worker holds them all?

The pane records are made by the product's own encoder (`core/changelog.py`) from calls with realistic contributions,
one record a pane, and appended as the worker appends them (zstd, keyed by partition). A worker is then started as
`kpistream worker` composes it. When it has recovered, every pane is compared with what was written, by the sums of
versions and of calls and talk time over all of them.
"""

import asyncio
import dataclasses
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from bench.runs import make_topics
from bench.say import say
from bench.workload import PANE_MS, PARTITIONS, TENANT, key_of
from kpistream.core.changelog import encode_pane
from kpistream.core.contributions import EPOCH
from kpistream.core.measures import (
    CALLS,
    CONNECTED,
    FIRST_LEGS,
    HANDLE_MS,
    OUTBOUND_CALLS,
    OUTBOUND_CONNECTED,
    RING_MS,
    TALK_MS,
    TALK_SQ_MS2,
    WRAP_UP_KNOWN,
    WRAP_UP_MS,
    talk_bin,
)
from kpistream.core.panes import Pane
from kpistream.core.placing import rank_of
from kpistream.log.publisher import Publisher
from kpistream.log.records import Outgoing
from kpistream.log.topics import Topics, partition_of
from tests.live.broker import Broker

SHIFT_PANES: Final = 96
"""Eight hours of five minutes."""
_BATCH: Final = 2000


@dataclass(frozen=True, slots=True)
class Day:
    """How much lies in the changelog."""

    agents: int
    calls: int
    """Of each agent, spread at random over the panes of eight hours."""
    workers: int


@dataclass(slots=True)
class Written:
    """What was written, and so must be recovered."""

    panes: int = 0
    events: int = 0
    identity_bytes: int = 0
    versions: int = 0
    """Sum of the versions of all panes: each is the sum of its ranks."""
    calls: int = 0
    talk_ms: int = 0
    changelog_bytes: int = 0


def contribution(chance: random.Random) -> tuple[int, ...]:
    """What an outbound call adds: seven of ten connected."""
    out = [CALLS, 1, OUTBOUND_CALLS, 1, FIRST_LEGS, 1, RING_MS, chance.randrange(1000, 30_000)]
    if chance.random() < 0.7:
        talk, wrap_up = chance.randrange(1000, 600_000), chance.randrange(1, 90_000)
        out += (CONNECTED, 1, OUTBOUND_CONNECTED, 1, talk_bin(talk), 1, TALK_MS, talk, TALK_SQ_MS2, talk * talk)
        out += (WRAP_UP_KNOWN, 1, WRAP_UP_MS, wrap_up, HANDLE_MS, talk + wrap_up)
    return tuple(out)


def panes_of(agent: str, day: Day, first_ms: int, chance: random.Random) -> Iterator[Pane]:
    """The panes of one agent's day."""
    by_start: dict[int, Pane] = {}
    for _ in range(day.calls):
        start_ms = first_ms + chance.randrange(SHIFT_PANES) * PANE_MS
        pane = by_start.get(start_ms)
        if pane is None:
            pane = by_start[start_ms] = Pane(key_of(agent).decode(), start_ms)
        identity = f"{TENANT}/pbx/call/{chance.getrandbits(128):032x}"
        pane.join(identity, rank_of(EPOCH, 0, chance.getrandbits(32)), contribution(chance))
    yield from by_start.values()


async def fill(bootstrap: str, topic: str, day: Day) -> Written:
    """Append a day of panes; all of it is durable when this returns."""
    publisher, written = Publisher({"bootstrap_servers": bootstrap}), Written()
    chance = random.Random(11)
    now_ms = time.time_ns() // 1_000_000
    first_ms = now_ms - now_ms % PANE_MS - (SHIFT_PANES - 1) * PANE_MS
    waiting: dict[int, list[Outgoing]] = {number: [] for number in range(PARTITIONS)}
    await publisher.start()
    try:
        for number in range(day.agents):
            agent = f"agent-{number:06}"
            batch = waiting[partition_of(key_of(agent), PARTITIONS)]
            for pane in panes_of(agent, day, first_ms, chance):
                for key, value in encode_pane(pane, PANE_MS, "writer", 1):
                    batch.append(Outgoing(key, value))
                    written.changelog_bytes += len(key) + len(value)
                written.panes += 1
                written.events += len(pane.entries)
                written.identity_bytes += sum(map(len, pane.entries))
                written.versions += pane.version
                written.calls += pane.tally[CALLS]
                written.talk_ms += pane.tally.get(TALK_MS, 0)
            if len(batch) >= _BATCH:
                await publisher.publish(topic, partition_of(key_of(agent), PARTITIONS), batch)
                batch.clear()
        for number, batch in waiting.items():
            await publisher.publish(topic, number, batch)
    finally:
        await publisher.stop()
    return written


def measure(broker: Broker, day: Day) -> dict[str, Any]:
    """Fill the changelog, recover. Raises RuntimeError when what was recovered is not what was written."""
    topics = Topics(f"recovery-{day.workers}.")
    asyncio.run(make_topics(broker.bootstrap, topics.specs()))
    began_s = time.monotonic()
    written = asyncio.run(fill(broker.bootstrap, topics.panes, day))
    say(f"{written.panes:,} panes, {written.events:,} events written in {time.monotonic() - began_s:.0f} s")
    found = recover(broker.bootstrap, topics.prefix, day.workers)
    wrong = [
        f"{name}: {sum(each[name] for each in found)}, must be {wanted}"
        for name, wanted in dataclasses.asdict(written).items()
        if name in found[0] and sum(each[name] for each in found) != wanted
    ]
    if wrong:
        raise RuntimeError(f"recovered panes differ: {'; '.join(wrong)}")
    broker.delete_topics(*(spec.name for spec in topics.specs()))
    grown_mb = sum(each["rss_mb"] - each["rss_before_mb"] for each in found)
    return {
        "agents": day.agents,
        "workers": day.workers,
        "panes": written.panes,
        "events": written.events,
        "changelog_mb": written.changelog_bytes / (1 << 20),
        "ready_s": max(each["ready_s"] for each in found),
        "recovery_s": max(each["recovery_s"] for each in found),
        "cpu_s": sum(each["cpu_s"] for each in found),
        "peak_rss_mb": sum(each["peak_rss_mb"] for each in found),
        "grown_mb": grown_mb,
        "identity_bytes_per_event": written.identity_bytes / written.events,
    }


def recover(bootstrap: str, prefix: str, workers: int) -> list[dict[str, Any]]:
    """Start workers, which end when they have recovered; what each reports."""
    jobs = [
        {"bootstrap": bootstrap, "prefix": prefix, "started_s": time.monotonic(), "share": PARTITIONS // workers}
    ] * workers
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "bench.engines.recovering", json.dumps(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for job in jobs
    ]
    try:
        # Each stays until all have said what they hold: one that left would hand its share to another.
        return [_result(process) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def _result(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("RESULT "):
            return dict(json.loads(line.removeprefix("RESULT ")))
    raise RuntimeError(f"a recovering worker ended with {process.wait()}")


def shown(results: list[dict[str, Any]]) -> list[str]:
    """One line a run."""
    lines = [
        "| agents | panes | events | workers | process start to recovered, s | assignment to recovered, s | CPU, s "
        "| peak memory, MB | grown by, bytes an event |",
        "| --- " * 9 + "|",
    ]
    for found in results:
        per_event = found["grown_mb"] * (1 << 20) / found["events"]
        lines.append(
            f"| {found['agents']:,} | {found['panes']:,} | {found['events']:,} | {found['workers']} "
            f"| **{found['ready_s']:.1f}** | {found['recovery_s']:.1f} | {found['cpu_s']:.1f} "
            f"| {found['peak_rss_mb']:,.0f} | {per_event:,.0f} |"
        )
    return lines
