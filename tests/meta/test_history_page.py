"""The page about history names what is there."""

import re
from pathlib import Path

from kpistream.history import ddl, queries, tables

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "history.md").read_text(encoding="utf-8")


def test_every_table_is_on_the_page() -> None:
    made = re.findall(r"CREATE TABLE IF NOT EXISTS (\w+)", "\n".join(file.text for file in ddl.files()))

    assert {name for name in [*made, tables.SCHEMA_VERSIONS] if f"`{name}`" not in PAGE} == set()


def test_every_split_is_on_the_page() -> None:
    assert {name for name in queries.GROUPS if f"`{name}`" not in PAGE} == set()


def test_columns_on_the_page_exist() -> None:
    columns = {*tables.PANE_COLUMNS, *tables.FACT_COLUMNS, *tables.ALERT_COLUMNS, *tables.ROSTER_COLUMNS}
    named = set(re.findall(r"`(reported_\w+|\w+_at|\w+_ms|precedence|rank|version|retracted)`", PAGE))

    assert named - columns == set()
