"""The tutorial `docs/tutorial/first-look.md` is true: its commands run, and print what it says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "tutorial" / "first-look.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)


@pytest.mark.engine
def test_every_command_of_the_tutorial_prints_what_the_tutorial_shows(tmp_path: Path) -> None:
    pytest.importorskip("chdb", reason="chdb is not installed")
    text = PAGE.read_text(encoding="utf-8")
    blocks = BLOCK.findall(text[text.index("## An event of your own") :])

    printed, outputs = "", []
    for language, block in blocks:
        if language == "sh":
            printed = run(block, tmp_path)
            outputs.append(printed)
        else:
            assert block.splitlines()[1] in printed.splitlines()

    validated, first, again, corrected = outputs
    assert "3 accepted, 0 refused" in validated
    assert agent_line(first) == agent_line(again) != agent_line(corrected)


def run(script: str, directory: Path) -> str:
    """The script's whole output, with `kpistream` from beside this Python."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-e", "-c", script],
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def agent_line(output: str) -> str:
    return next(line for line in output.splitlines() if line.startswith("ann "))
