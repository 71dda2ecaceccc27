"""The how-to on own KPIs: its files are written, its commands run, and what they print is what the page shows."""

import csv
import io
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.unit.test_cli import Ran, run

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "own-kpis.md"
_FILE = r"^```(?:yaml|json)\n# (?P<file>\S+)\n(?P<text>.*?)^```$"
_COMMAND = r"^    \$ kpistream (?P<command>[^\n]*)\n(?P<shown>(?:    (?!\$)[^\n]*\n)*)"
_STEP = re.compile(f"{_FILE}|{_COMMAND}", re.S | re.M)


class Done(NamedTuple):
    """A command of the page, what it shows there and what came of it."""

    command: str
    shown: str
    ran: Ran


@pytest.fixture
def done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Done]:
    """Every step of the page, in its order."""
    monkeypatch.chdir(tmp_path)
    out: list[Done] = []
    for step in _STEP.finditer(PAGE.read_text("utf-8")):
        if step["file"]:
            Path(step["file"]).parent.mkdir(exist_ok=True)
            text = step["text"] if step["file"].endswith("jsonl") else f"# {step['file']}\n{step['text']}"
            Path(step["file"]).write_text(text, "utf-8")
        else:
            shown = re.sub("^    ", "", step["shown"], flags=re.M)
            out.append(Done(step["command"], shown, run(*step["command"].split())))
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
