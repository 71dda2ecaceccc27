"""Faults: the page of what the fault runner has played, out of `bench/faults.json`."""

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

RESULTS = Path(__file__).resolve().parents[2] / "bench" / "faults.json"

_INTRODUCTION = """\
Faults played against workers and sinks on a real Apache Kafka while mixed traffic flows: duplicates, two contents of
one revision, corrections, moves in chains and in any order, deals taken back, surveys days late, bad records, records
on a wrong partition. A seed says how many roles run, which faults come and in which order; `make faults SEED=7` plays
one again, `make faults SEEDS=1..100` many. New faults change what a seed plays: the same ones again are `make faults
SEED=7 ARGS="--strikes worker-zombie,store-down"`. After each seed everything must have been committed to the end,
every role must have stopped in order, every cell of the store must equal an independent recomputation from the raw
topic (0 lost, 0 double, 0 phantom, 0 different), and dead letters must be exactly those expected.

*Standstill* is the longest time in which some partition had records and no commit, seen from outside, in the window
from the fault until workers and sinks had passed everything that was there when it had been put right. Workers commit
once a second and the session timeout is 6 s: a standstill of about 1 s is none, and a process that dies without a
word is missed after 6 s at the earliest. A dash means that it was not measured."""


def faults_page(head: str) -> str:
    """Table of all strikes, then of all seeds."""
    held = json.loads(RESULTS.read_text(encoding="utf-8"))
    seeds = [held["seeds"][name] for name in sorted(held["seeds"], key=int)]
    good = [seed for seed in seeds if not seed["faults"]]
    records, cells = (sum(seed[name] for seed in seeds) for name in ("records", "cells"))
    summary = (
        f"{len(seeds)} seeds, {len(good)} of them without a fault of ours; {records:,} records, {cells:,} cells. "
        f"Machine: {held['machine']}; load {_span([seed['load'] for seed in seeds])}."
    )
    return "\n".join(
        [head, "# Faults\n", _INTRODUCTION, "", summary, "", *_strikes(held["strikes"], seeds), "", *_seeds(seeds), ""]
    )


def _strikes(titles: dict[str, str], seeds: list[dict[str, Any]]) -> Iterator[str]:
    yield "## By fault\n"
    yield "| fault | what happens | times | seeds that failed | worker standstill, s: median, longest | sink's, s |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for name, title in titles.items():
        struck = [(seed, each) for seed in seeds for each in seed["strikes"] if each["name"] == name]
        failed = sum(bool(seed["faults"]) for seed in seeds if any(each["name"] == name for each in seed["strikes"]))
        worker = _longest([each["worker_still_s"] for _, each in struck])
        sink = _longest([each["sink_still_s"] for _, each in struck])
        yield f"| {name} | {title} | {len(struck)} | {failed} | {worker} | {sink} |"


def _seeds(seeds: list[dict[str, Any]]) -> Iterator[str]:
    yield "## By seed\n"
    yield "| seed | workers, sinks | horizon, h | faults in their order | records | verdict | s |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for seed in seeds:
        strikes = ", ".join(each["name"] for each in seed["strikes"])
        roles = f"{seed['workers']}, {seed['sinks']}"
        verdict = seed["verdict"] or "none"
        if seed["faults"]:
            lines = seed["faults"][0].strip().splitlines() or ["a fault without words"]
            verdict += f"; FAILED: {lines[-1] if lines[0].startswith('Traceback') else lines[0]}".replace("|", "/")
        yield (
            f"| {seed['seed']} | {roles} | {seed['horizon_hours']} | {strikes} | {seed['records']} | "
            f"{verdict[:200]} | {seed['seconds']:.0f} |"
        )


def _longest(found: list[float | None]) -> str:
    seconds = [each for each in found if each is not None]
    return f"{median(seconds):.1f}, {max(seconds):.1f}" if seconds else "-"


def _span(numbers: list[float]) -> str:
    return f"{min(numbers):.0f} to {max(numbers):.0f}" if numbers else "-"
