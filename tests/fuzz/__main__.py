"""Fuzz by hand: `python -m tests.fuzz --inputs 1000000 --seed 7`; counts by verdict, faults, time and rate.

Exit 1 when anything disagreed, crashed or took longer than `--limit` seconds of CPU. One input again:
`python -m tests.fuzz --seed 7 --only 41`.
"""

import argparse
import sys
import time
import traceback
from collections import Counter

from tests.fuzz.agreement import Disagreement, Intake, verdict
from tests.fuzz.inputs import Record, record, seeds

_RENEWED_EVERY = 5_000
_SHOWN = 20


def main() -> int:
    """Run; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="this input alone, shown in full")
    parser.add_argument("--limit", type=float, default=2.0, help="seconds of CPU for one input")
    options = parser.parse_args()
    if options.only is not None:
        each = record(options.seed, options.only)
        print(each)
        print(verdict(Intake(), each))
        return 0
    return _run(options.inputs, options.seed, options.limit)


def _run(inputs: int, seed: int, limit_s: float) -> int:
    counts: Counter[str] = Counter()
    began_s, intake, bytes_read, slowest_s, slowest = time.monotonic(), Intake(), 0, 0.0, -1
    for number in range(inputs):
        if number % _RENEWED_EVERY == 0:
            intake = Intake()
        each = record(seed, number)
        bytes_read += len(each.value or b"")
        cpu_s = time.process_time()
        found = _safe_verdict(intake, each, counts, f"--seed {seed} --only {number}")
        cpu_s = time.process_time() - cpu_s
        counts[found] += 1
        if cpu_s > slowest_s:
            slowest_s, slowest = cpu_s, number
        if cpu_s > limit_s:
            counts["FAULT too slow"] += 1
            print(f"too slow: {cpu_s:.2f} s for {len(each.value or b'')} bytes, --seed {seed} --only {number}")
    took_s = time.monotonic() - began_s
    for found, count in counts.most_common():
        print(f"{count:>10,}  {found}")
    print(f"{inputs:,} inputs of seed {seed} from {len(seeds())} payloads, {bytes_read:,} bytes, in {took_s:.0f} s")
    print(f"{inputs / took_s:,.0f} inputs/s; slowest {slowest_s * 1000:.1f} ms of CPU (--only {slowest})")
    return int(any(found.startswith("FAULT") for found in counts))


def _safe_verdict(intake: Intake, each: Record, counts: Counter[str], where: str) -> str:
    try:
        return verdict(intake, each)
    except Disagreement as fault:
        told, kind = str(fault), "FAULT disagreement"
    except Exception:
        told, kind = traceback.format_exc(), "FAULT crash"
    if counts[kind] < _SHOWN:
        print(f"{kind}: {where}\n{each!r:.800}\n{told}\n", flush=True)
    return kind


if __name__ == "__main__":
    sys.exit(main())
