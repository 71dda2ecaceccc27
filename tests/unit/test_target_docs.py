"""The pages on targets show settings that are read as they stand, and every key that there is."""

import re
from pathlib import Path

import pytest

from kpistream.core.linting import Check
from kpistream.core.settings import read_settings
from tests.unit.test_cli import run
from tests.unit.test_schedule_docs import ROSTER_AND_TARGETS, blocks, example

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference" / "targets.md"


def target_blocks(page: Path) -> list[str]:
    return [block for block in blocks(page, "yaml") if block.startswith("targets:")]


@pytest.mark.parametrize("page", [REFERENCE, ROSTER_AND_TARGETS], ids=["reference", "how-to"])
def test_all_blocks_of_a_page_are_targets(page: Path) -> None:
    roster = {name: text for name, text in example().items() if name not in ("targets.yaml", "notify.yaml")}

    found = [read_settings(roster | {"targets.yaml": block}).targets for block in target_blocks(page)]

    assert found
    assert all(found)


def test_the_story_in_the_how_to_is_what_explain_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    page = ROSTER_AND_TARGETS.read_text("utf-8")
    stories = re.findall(r"^    \$ kpistream (targets explain .*)\n((?:    (?!\$).*\n)+)", page, re.M)

    assert len(stories) == 2
    for command, story in stories:
        assert run(*command.split()).out == re.sub("^    ", "", story, flags=re.M)


def keys_of_the_code() -> set[str]:
    """Every key that the readers of targets ask for."""
    asked: set[str] = set()
    for name in ("target_settings.py", "term_settings.py"):
        source = (ROOT / "src" / "kpistream" / "core" / name).read_text("utf-8")
        asked |= set(re.findall(r'(?:section|inner)\.(?:texts?|nodes?|read|choice)\("(\w+)"', source))
    return asked


def test_the_reference_shows_every_key() -> None:
    shown = set(re.findall(r"(\w+):(?=[ \n])", " ".join(target_blocks(REFERENCE))))

    assert {
        "name",
        "kpi",
        "hold",
        "overrides",
        "ramp",
        "months",
        "split",
        "agents",
        "scale_ratio",
    } <= keys_of_the_code()
    assert keys_of_the_code() | {"from", "to", "low", "high", "bound", "agent", "tier", "team"} <= shown


def test_the_reference_names_every_check() -> None:
    page = REFERENCE.read_text("utf-8")

    assert re.findall(r"^\| `([a-z-]+)` \|", page[page.index("## What lint looks for") :], re.M) == [*Check]
