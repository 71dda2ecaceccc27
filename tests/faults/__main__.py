"""The fault runner by hand: `python -m tests.faults --seeds 1..100`, or `make faults SEED=7`.

Seeds are played one after the other; each prints a line and goes into the results at once, so that a run may
be ended at any time. Exit 1 when any seed failed.
"""

import argparse
import json
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from bench import machine
from tests.faults.runner import Runner, planned
from tests.faults.strikes import all_strikes
from tests.front.process import Front

_PATH: Final = re.compile(r"(?<![\w.:/])/(?:[\w.-]+/)*([\w.-]+)")
"""A file's whole path, and its name."""


def options(arguments: list[str]) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Play seeds of faults.")
    parser.add_argument("--seeds", default="1", help="one seed (7), or a range with both ends (1..100)")
    parser.add_argument("--minutes", type=float, default=0, help="go on with the next seeds for so long")
    parser.add_argument("--strikes", default="", help="these strikes instead of the seed's choice, comma separated")
    parser.add_argument("--stage", default="", help="only strikes of this stage")
    parser.add_argument("--results", default="", help="JSON file of all results; seeds that are in it are replaced")
    parser.add_argument("--list", action="store_true", help="list the strikes")
    return parser.parse_args(arguments)


def seeds(text: str, minutes: float) -> Iterator[int]:
    """The seeds to play: those that are named, then the next ones while there is time."""
    first, _, last = text.partition("..")
    deadline_s = time.monotonic() + 60 * minutes
    seed = int(first)
    while seed <= int(last or first) or time.monotonic() < deadline_s:
        yield seed
        seed += 1


def keep(path: Path, result: dict[str, Any], key: str) -> None:
    """Put a result into the file, in the place of an earlier one with this key; folders of this machine left out."""
    held = json.loads(path.read_text()) if path.exists() else {"seeds": {}}
    held["machine"], held["strikes"] = machine.description(), {each.name: each.title for each in all_strikes().values()}
    for name in ("faults", "notes", "ended"):
        result[name] = [_PATH.sub(r"\1", text) for text in result[name]]
    held["seeds"][key] = result
    aside = path.with_suffix(".new")
    aside.write_text(json.dumps(held, indent=1) + "\n")
    aside.replace(path)


def main(arguments: list[str]) -> int:
    """Play; 1 when any seed failed."""
    asked = options(arguments)
    if asked.list:
        for each in all_strikes().values():
            print(f"{each.name:28} {each.stage:8} {each.title}")
        return 0
    names = [name for name in asked.strikes.split(",") if name]
    failed = 0
    directory = Path(tempfile.mkdtemp(prefix="kpistream-faults-"))
    print(f"files of failed seeds: {directory}", file=sys.stderr)
    with Front(directory / "front") as front, Runner(front, directory) as runner:
        for seed in seeds(asked.seeds, asked.minutes):
            result = runner.play(planned(seed, names, asked.stage))
            print(result.line(), flush=True)
            for text in result.faults:
                print(text, file=sys.stderr, flush=True)
            failed += not result.good
            if asked.results:
                keep(Path(asked.results), asdict(result), str(seed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
