"""Tick: one look of the ticker over many agents with many targets each, without a broker.

    python -m bench.tick                     # 10,000 agents with 20 targets; a share of them has a call in each look

A call changes the agent's three windows: each is read, and every target of the agent is judged. The look also takes in
who is due because of time alone: with a schedule every agent's counts once a minute. CPU time, the median and the 99th
percentile of many looks; readings and states are counted, so that a look that does nothing is seen.
"""

import random
import time
from collections.abc import Iterable
from statistics import median, quantiles
from typing import Final

import click

from bench.recovery import contribution
from kpistream.core.measures import named
from kpistream.core.readings import About
from kpistream.core.settings import Settings, read_settings
from kpistream.core.tallies import NOTHING, pack_tally
from kpistream.service import tame_collector
from kpistream.stream.judging import AGENT_KINDS, Bench
from kpistream.stream.live import LiveWindows, scope_window
from kpistream.stream.showing import Known, Show

PANE_MS: Final = 300_000
BEGIN_MS: Final = 1_772_438_400_000
"""2026-03-02 08:00 UTC, a Monday."""
LOOK_MS: Final = 1000
"""Between looks: a changed key goes out at once when half a second has passed since its last time."""
SHARES: Final = (0.0, 0.01, 0.1)
_ROSTER: Final = """
tenants:
  acme:
    teams: {north: {}}
schedules:
  patterns:
    office: {hours: {mon-fri: 08:00-17:00}}
  assigned: [{tenant: acme, pattern: office}]
targets:
"""
_EVIDENCE: Final = (
    "kpi: connect_share, bound: 25 %",
    "kpi: too_short_share, bound: 40 %",
    "kpi: too_long_share, bound: 20 %",
    "kpi: average_talk_time, low: 2 m, high: 6 m",
    "kpi: calls, bound: 100",
    "kpi: connected, bound: 40",
)
"""Judged on evidence over the business day; those that follow on the point, over rolling windows and the day."""
_POINT: Final = (
    "kpi: connect_share, bound: 25 %",
    "kpi: too_short_share, bound: 40 %",
    "kpi: too_long_share, bound: 20 %",
    "kpi: average_talk_time, low: 2 m, high: 6 m",
    "kpi: average_handle_time, low: 2 m, high: 8 m",
    "kpi: conversion_per_connected, bound: 5 %",
    "kpi: connected, bound: 1",
)


def settings(targets: int) -> Settings:
    """Settings with so many targets for every agent."""
    lines = [
        f"  - {{name: e{n}, window: business-day, false_alarms: 1 a week for 20, {each}}}"
        for n, each in enumerate(_EVIDENCE)
    ]
    windows = ("rolling-15m", "rolling-60m", "business-day")
    lines += [
        f"  - {{name: p{w}-{n}, window: {window}, {each}}}"
        for w, window in enumerate(windows)
        for n, each in enumerate(_POINT)
    ]
    assert targets <= len(lines), f"{len(lines)} targets at most"
    return read_settings({"all.yaml": _ROSTER + "\n".join(lines[:targets])})


class Panes:
    """Packed sums of every agent's panes."""

    def __init__(self, agents: int) -> None:
        self._chance = random.Random(1)
        self._added = [contribution(self._chance) for _ in range(2000)]
        self._sums: dict[str, dict[int, dict[int, int]]] = {f"acme/agent:{n:05}": {} for n in range(agents)}
        self.keys = list(self._sums)

    def call(self, key: str, at_ms: int) -> tuple[str, int]:
        """One more call of an agent; the pane that has changed."""
        start_ms = at_ms - at_ms % PANE_MS
        tally = self._sums[key].setdefault(start_ms, {})
        pairs = iter(self._chance.choice(self._added))
        for number, value in zip(pairs, pairs, strict=True):
            tally[number] = tally.get(number, 0) + value
        return key, start_ms

    def starts_of(self, key: str) -> Iterable[int]:
        """Starts of an agent's panes."""
        return list(self._sums[key])

    def packed_at(self, key: str, start_ms: int) -> bytes:
        """The packed sums of an agent's pane."""
        tally = self._sums[key].get(start_ms)
        return pack_tally(tally) if tally else NOTHING


def about(key: str, now_ms: int) -> About:
    """Everybody is in one team."""
    return About("acme", key.partition("/")[2], "north")


def looks(panes: Panes, known: Settings, share: float, count: int) -> tuple[list[float], int]:
    """CPU seconds of each look after which this share of the agents has had a call, and how many readings came."""
    bench = Bench(known, about, AGENT_KINDS)
    bench.load([])
    show = Show(LiveWindows(PANE_MS, scope_window(known.roster, PANE_MS)), bench)
    now_ms, complete = BEGIN_MS + 4 * 3_600_000, Known(BEGIN_MS, True)
    changed = [panes.call(key, now_ms) for key in panes.keys]
    while changed or show.behind:
        show.look(now_ms, changed, panes, complete)
        changed, now_ms = [], now_ms + 10
    spent_s, readings = [], 0
    for _ in range(count):
        now_ms += LOOK_MS
        some = random.Random(now_ms).sample(panes.keys, round(share * len(panes.keys)))
        changed = [panes.call(key, now_ms) for key in some]
        began_s, again = time.process_time(), True
        while again:
            shown, _ = show.look(now_ms, changed, panes, complete)
            readings, changed, again = readings + len(shown), [], show.behind
        spent_s.append(time.process_time() - began_s)
    assert share == 0 or readings >= count * len(some), "nothing was read"
    assert all(named(each.tally) for each in [show.live.window((panes.keys[0], "business-day"))])
    return spent_s, readings


@click.command(help=__doc__)
@click.option("--agents", default=10_000, show_default=True, help="Agents.")
@click.option("--targets", default=20, show_default=True, help="Targets of each.")
@click.option("--count", default=200, show_default=True, help="Looks, one a second.")
def main(agents: int, targets: int, count: int) -> None:
    """Print a line for each share."""
    known = settings(targets)
    tame_collector()
    print("| changed | looks | readings a look | median, ms | 99th percentile, ms |\n| --- | --- | --- | --- | --- |")
    for share in SHARES:
        spent_s, readings = looks(Panes(agents), known, share, count)
        tail = quantiles(spent_s, n=100)[98]
        print(
            f"| {share:.0%} | {count} | {readings / count:.0f} | {median(spent_s) * 1e3:.1f} | {tail * 1e3:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
