"""The pages about mappings: every key of the code is in them, every example can be read, every claim holds."""

import re
from pathlib import Path

import pytest

from kpistream.sources import field_schema, mapping_schema, predicates
from kpistream.sources.mapping import Account, load_mapping, packaged
from kpistream.sources.mapping_schema import read_description

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = (DOCS / "reference/mappings.md").read_text(encoding="utf-8")
HOW_TO = (DOCS / "how-to/map-your-file.md").read_text(encoding="utf-8")


def keys_of_the_code() -> set[str]:
    """Every key that the readers of mappings ask for."""
    asked: set[str] = set(predicates.OPERATORS)
    for module in (mapping_schema, field_schema):
        assert module.__file__ is not None
        source = Path(module.__file__).read_text(encoding="utf-8")
        asked |= set(re.findall(r'(?:section|top)\.(?:texts?|nodes?|choice)\("(\w+)"', source))
        asked |= set(re.findall(r'_mark\(section, "(\w+)"', source))
    return asked


def examples(text: str, language: str) -> list[str]:
    """The examples of a page in a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_reference_has_every_key_of_the_code_and_no_other() -> None:
    documented = set(re.findall(r"^\| `(\w+)` \|", REFERENCE, re.MULTILINE))

    assert documented == keys_of_the_code()


def test_example_of_the_reference_uses_every_key() -> None:
    (example,) = examples(REFERENCE, "yaml")

    read_description(example, "mappings.md")
    used = set(re.findall(r"(\w+):", example))
    assert keys_of_the_code() <= used


@pytest.mark.parametrize("example", examples(HOW_TO, "yaml"))
def test_examples_of_the_how_to_can_be_read(example: str) -> None:
    assert read_description(example, "map-your-file.md").events


def test_file_of_the_how_to_becomes_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "calls.csv").write_text(examples(HOW_TO, "csv")[0], encoding="utf-8")
    (tmp_path / "calls.yaml").write_text(examples(HOW_TO, "yaml")[0], encoding="utf-8")

    account, rejected = Account(), []
    for row in load_mapping(tmp_path / "calls.yaml").rows(tmp_path / "calls.csv"):
        account.add(row)
        rejected += [str(row.rejected)] if row.rejected else []

    assert (account.rows, account.mapped) == (4, 2)
    assert account.events == {"call.ended": 2, "deal.closed": 1}
    assert account.skipped == {"test call": 1}
    assert f"`{rejected[0]}`" in HOW_TO


def test_packaged_mappings_are_named_in_the_how_to() -> None:
    assert [name for name in packaged() if f"`--as {name}`" not in HOW_TO] == []
