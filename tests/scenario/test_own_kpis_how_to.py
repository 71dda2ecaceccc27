"""The how-to on own KPIs: its files are written, its commands run, and what they print is what the page shows."""

import csv
import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.unit.test_cli import Ran

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "own-kpis.md"
_FILE = r"^```(?:yaml|json)\n# (?P<file>\S+)\n(?P<text>.*?)^```$"
_COMMAND = r"^    \$ kpistream (?P<command>[^\n]*)\n(?P<shown>(?:    (?!\$)[^\n]*\n)*)"
_STEP = re.compile(f"{_FILE}|{_COMMAND}", re.S | re.M)


class Done(NamedTuple):
    """A command of the page, what it shows there and what came of it."""

    command: str
    shown: str
    ran: Ran


def run(command: str, where: Path) -> Ran:
    """The command in a process of its own: the embedded engine serves one directory to one process."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KPISTREAM_")}
    program = str(Path(sys.executable).with_name("kpistream"))
    done = subprocess.run([program, *command.split()], cwd=where, env=kept, capture_output=True, text=True, check=False)
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def done(tmp_path: Path) -> list[Done]:
    """Every step of the page, in its order."""
    out: list[Done] = []
    for step in _STEP.finditer(PAGE.read_text("utf-8")):
        if step["file"]:
            (tmp_path / step["file"]).parent.mkdir(exist_ok=True)
            text = step["text"] if step["file"].endswith("jsonl") else f"# {step['file']}\n{step['text']}"
            (tmp_path / step["file"]).write_text(text, "utf-8")
        else:
            shown = re.sub("^    ", "", step["shown"], flags=re.M)
            out.append(Done(step["command"], shown, run(step["command"], tmp_path)))
    return out


def test_every_step_does_what_the_page_says(done: list[Done]) -> None:
    commands = " ".join(each.command.split()[0] for each in done)
    assert commands == "check check try report check targets check try report"
    for each in done:
        assert each.ran.code == (1 if "typo" in each.command else 0), each
        assert not each.shown or each.ran.out == each.shown

    first, second, *_ = csv.DictReader(io.StringIO(done[8].ran.out))
    assert (first["day"], first["demo_share"], first["time_for_a_demo"]) == ("2026-03-02", "0.0", "")
    assert (second["day"], second["demo_share"], second["time_for_a_demo"]) == ("2026-03-03", "0.5", "360000.0")

    ann, bob = csv.DictReader(io.StringIO(done[3].ran.out))
    assert (ann["good_length"], ann["good_length_numerator"], ann["good_length_denominator"]) == ("0.5", "1", "2")
    assert (bob["lost_to_voicemail"], bob["net_deals"], bob["average_hold"]) == ("1.0", "0", "")
    assert (ann["calls_by_the_hour_numerator"], ann["calls_by_the_hour_denominator"]) == ("2", "7500000")
