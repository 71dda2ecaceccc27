"""The tables of docs/explanation/performance.md are what bench/results-*.json say, and every verb is described."""

from pathlib import Path

import pytest

from bench import page
from bench.__main__ import bench
from bench.parts import PARTS

README = Path(__file__).parents[2] / "bench" / "README.md"


def test_tables_are_those_of_the_kept_numbers():
    text = page.PAGE.read_text(encoding="utf-8")

    assert page.written(text) == text, 'run `make bench ARGS="page"`'


def test_every_measurement_has_its_place_on_the_page():
    assert sorted(page.named(page.PAGE.read_text(encoding="utf-8"))) == sorted(PARTS)


@pytest.mark.parametrize("name", PARTS)
def test_every_measurement_is_a_verb_that_the_readme_describes(name):
    assert name in bench.commands
    assert f"`{name}`" in README.read_text(encoding="utf-8")


def test_another_number_makes_another_page(tmp_path, monkeypatch):
    """The comparison above can fail."""
    text = page.PAGE.read_text(encoding="utf-8")
    kept = PARTS["throughput"].path.read_text(encoding="utf-8")
    monkeypatch.setattr("bench.parts.ROOT", tmp_path)
    PARTS["throughput"].path.write_text(kept.replace('"faust"', '"other"'), encoding="utf-8")

    assert "| other | 3 |" in page.written(text)
