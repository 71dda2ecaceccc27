"""The tutorial `docs/tutorial/own-target.md` is true: its commands run, and its target does what it says."""

import re
from pathlib import Path

import pytest

from tests.scenario.test_first_look import BLOCK, run

PAGE = Path(__file__).parents[2] / "docs" / "tutorial" / "own-target.md"


@pytest.mark.engine
def test_own_target_fires_as_the_tutorial_says_and_less_with_evidence(tmp_path: Path) -> None:
    pytest.importorskip("chdb", reason="chdb is not installed")
    printed, outputs = "", []
    for language, block in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if language == "sh":
            printed = run(block, tmp_path)
            outputs.append(printed)
        else:
            assert block in printed

    *_, naive, believed = outputs
    assert re.search(r"^\d\d:\d\d:\d\d alert MISSED: .*: connect share .*, target >= 40.0 %, rolling 60m$", naive, re.M)
    assert fired(naive) > 5
    assert fired(believed) < fired(naive)
    for output in (naive, believed):
        assert "0 lost, 0 double, 0 phantom, 0 different" in output


def test_mistake_is_named_as_the_tutorial_says(tmp_path: Path) -> None:
    run("kpistream settings example mine", tmp_path)
    (tmp_path / "mine/own.yaml").write_text(
        "targets:\n  - name: answered\n    kpi: conect_share\n    window: rolling-60m\n    bound: 40 %\n"
    )

    said = run("kpistream check mine || true", tmp_path)

    assert said.strip() in PAGE.read_text(encoding="utf-8")


def fired(output: str) -> int:
    found = re.search(r"^  fired +\d+  by target: .*\banswered (\d+)", output, re.M)
    return int(found[1]) if found else 0
