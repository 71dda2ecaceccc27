"""Reference pages say what the code does."""

import re
from pathlib import Path

from kpistream.core import measures as m
from kpistream.core.kpis import KPIS
from kpistream.core.pages import kpis_page

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


AGAIN = "python -c 'from kpistream.core.pages import kpis_page; print(kpis_page(), end=\"\")' > docs/reference/kpis.md"


def test_page_of_kpis_is_the_generated_one():
    assert (REFERENCE / "kpis.md").read_text("utf-8") == kpis_page(), AGAIN


def test_page_of_kpis_names_every_kpi_and_measure():
    page = kpis_page()

    for kpi in KPIS:
        assert f"## {kpi.name}\n\n{kpi.words}\n" in page
    for measure in (*m.SCALARS, *m.FAMILIES):
        assert f"| `{measure.name}` |" in page


def test_conversion_says_that_it_may_exceed_the_whole():
    for kpi in KPIS:
        if kpi.name.startswith("conversion_"):
            assert "may exceed 100 %" in kpi.words


def test_glossary_explains_each_word_once():
    words = re.findall(r"^\*\*(.+?)\*\*", (REFERENCE / "glossary.md").read_text("utf-8"), re.MULTILINE)

    assert len(words) == len(set(words))
    assert {
        "Alert", "Alias", "Closed", "Contribution", "Entry", "Event", "Fact", "Frontier", "Identity", "Join", "KPI",
        "Mark", "Measure", "Pane", "Place", "Rank", "Reading", "Retraction", "Roster", "Scope", "Tally", "Target",
        "Tombstone", "Transition", "Version", "Window",
    } <= set(words)  # fmt: skip
    assert words == sorted(words, key=str.casefold)
