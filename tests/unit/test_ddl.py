"""The DDL files say what the writer fills, and what the model of an event has."""

import re
from pathlib import Path

import msgspec
import pytest

from kpistream.core import measures as m
from kpistream.core.fields import CallFields, DealFields, SurveyFields
from kpistream.errors import ConfigError
from kpistream.history import ddl, tables

COLUMN = re.compile(r"^ {4}`?(\w+)`? (.+?)(?: CODEC\(.*\)| DEFAULT .*)?,?$")
ADDED = re.compile(r"ADD COLUMN IF NOT EXISTS (\w+) (.+?)(?: DEFAULT .*)? AFTER (\w+)[,;]$", re.M)
TABLES = {
    "0001_panes": ("kpi_panes", tables.PANE_COLUMNS),
    "0002_facts": ("kpi_facts", tables.FACT_COLUMNS),
    "0003_roster": ("kpi_roster", tables.ROSTER_COLUMNS),
    "0004_alerts": ("kpi_alerts", tables.ALERT_COLUMNS),
    "0006_results": ("kpi_results", tables.RESULT_COLUMNS),
    "0007_settings": ("kpi_settings", tables.SETTINGS_COLUMNS),
    "0008_targets": ("kpi_targets", tables.TARGET_COLUMNS),
}


def columns(text: str) -> dict[str, str]:
    matches = [COLUMN.match(line) for line in text.splitlines() if line.startswith("    ")]
    found = {match[1]: match[2] for match in matches if match}
    assert found.pop("inserted_at") == "DateTime64(3, 'UTC')"
    return found


@pytest.mark.parametrize("name", TABLES)
def test_files_have_the_columns_that_the_writer_fills(name: str) -> None:
    file = next(file for file in ddl.files() if file.name == name)
    table, expected = TABLES[name]

    assert f"CREATE TABLE IF NOT EXISTS {table} (" in file.text
    added = [
        match for other in ddl.files() if f"ALTER TABLE {table}\n" in other.text for match in ADDED.findall(other.text)
    ]
    found = columns(file.text)
    for column, type_, after in added:
        names = list(found)
        names.insert(names.index(after) + 1, column)
        found = {each: found.get(each, type_) for each in names}
    assert list(found.items()) == list(expected.items())


def test_every_table_replaces_by_version_without_deduplication() -> None:
    created = [file for file in ddl.files() if "CREATE TABLE" in file.text]
    assert len(created) == len(TABLES)
    for file in created:
        assert "ReplacingMergeTree(" in file.text
        assert "non_replicated_deduplication_window = 0" in file.text


def test_every_measure_has_a_column() -> None:
    assert list(tables.SCALAR_COLUMNS) == [measure.name for measure in m.SCALARS]
    assert list(tables.FAMILY_COLUMNS) == [family.name for family in m.FAMILIES]


def test_every_member_of_a_family_is_found_again_by_its_name() -> None:
    for number in (
        *range(100, 134),
        *range(200, 226),
        *range(300, 326),
        1978,
        1008,
        2978,
        20_000,
        20_106,
        30_200,
        60_606,
    ):
        where = m.member(number)
        assert where is not None
        assert tables.measure_number(*where) == number


@pytest.mark.parametrize("fields", [CallFields, DealFields, SurveyFields])
def test_every_field_of_an_event_is_a_fact(fields: type) -> None:
    kept = {attribute for _, _, attribute, kinds in tables.FACT_FIELDS if fields in kinds}
    elsewhere = {"tenant", "source", "event_id", "revision", "occurred_at", "attributes", "moved_from"}

    assert {field.name for field in msgspec.structs.fields(fields)} == kept | elsewhere


def write(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).write_text("SELECT 1;\n", encoding="utf-8")
    return folder


def test_gap_in_the_numbers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"numbers are \[1, 3\]"):
        ddl.files(write(tmp_path, "0001_a.sql", "0003_b.sql"))


def test_strange_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'"1_a.sql": want NNNN_name.sql'):
        ddl.files(write(tmp_path, "1_a.sql", "0001_b.sql"))


def test_folder_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no DDL files"):
        ddl.files(tmp_path)


def test_statements_end_with_a_semicolon_at_the_end_of_a_line() -> None:
    file = ddl.DdlFile(1, "0001_a", "-- one; and two\nSELECT ';' ;\nSELECT 2;")

    assert file.statements == ["-- one; and two\nSELECT ';'", "SELECT 2"]
