"""Settings in history on the real engine: every version, its people and its targets, and which are in force."""

import json
import logging
import re
from pathlib import Path

import pytest

from kpistream.config import Config
from kpistream.core.settings import read_settings
from kpistream.core.versions import Draft, VersionLog, records
from kpistream.following import settings_asked_with
from kpistream.history.keeping import Directory, SettingsKeeper, settings_in_force
from kpistream.history.store import Store

ROSTER = "tenants:\n  acme:\n    people:\n      ann: {name: Ann}\n"
TARGET = "targets:\n  - {name: connects, kpi: connect_share, window: business-day, bound: 33.3 %}\n"
ABSENCE = "absences:\n  - {agent: ann, date: 2026-11-27}\n"
FILES = {"roster.yaml": ROSTER, "targets.yaml": TARGET}
FILES_OF_TARGETS = {"targets.yaml": TARGET}
HEAD = "SELECT kept_in, version, applied_by, message, roster_version, targets_version FROM kpi_settings FINAL"


def log_of(*versions: dict[str, str]) -> VersionLog:
    log, offset = VersionLog(), 0
    for number, texts in enumerate(versions, 1):
        for key, value in records(Draft(texts, number * 1000, "kim", f"v{number}"), number, "a", log):
            log.put(offset, key, value)
            offset += 1
    return log


def test_every_version_is_kept_and_only_what_differs_is_written_again(store: Store) -> None:
    log = log_of(FILES, {**FILES, "absences.yaml": ABSENCE}, {**FILES, "roster.yaml": ROSTER.replace("Ann", "Anna")})
    keeper = SettingsKeeper(log, 1)
    assert keeper.due
    keeper.write(store)
    assert not keeper.due

    keeper.come(3)
    assert keeper.due
    keeper.write(store)
    SettingsKeeper(log, 3).write(store)

    assert store.query(f"{HEAD} ORDER BY version") == [
        ("log", 1, "kim", "v1", 1, 1),
        ("log", 2, "kim", "v2", 1, 1),
        ("log", 3, "kim", "v3", 3, 1),
    ]
    assert store.query("SELECT version, value FROM kpi_roster FINAL WHERE attribute = 'name' ORDER BY version") == [
        (1, "Ann"),
        (3, "Anna"),
    ]
    [(version, low, alpha, definition)] = store.query("SELECT version, low, alpha, definition FROM kpi_targets FINAL")
    assert (version, low, alpha, json.loads(definition)["low"]) == (1, 0.333, None, "333/1000")
    found = settings_in_force(store)
    assert found is not None
    assert (found.version, found.texts, found.roster_version) == (3, log.texts(3), 3)


def test_query_of_the_page_about_history_says_who_is_in_which_team(store: Store) -> None:
    page = Path(__file__).parents[2].joinpath("docs", "reference", "history.md").read_text("utf-8")
    [query] = [block for block in re.findall(r"```sql\n(.+?)```", page, re.S) if "roster_version" in block]
    moved = "[{team: north, to: 2026-01-01}, {team: south, from: 2026-01-01}]"
    people = f"{{ann: {{team: {moved}}}, bob: {{team: north}}}}"
    roster = f"tenants: {{acme: {{teams: {{north: {{}}, south: {{}}}}, people: {people}}}}}\n"
    log = log_of({"roster.yaml": ROSTER}, {"roster.yaml": roster}, {"roster.yaml": roster, **FILES_OF_TARGETS})

    SettingsKeeper(log, 3).write(store)

    assert store.query(query) == [("acme", "ann", "south"), ("acme", "bob", "north")]


def test_log_stands_above_a_directory_whatever_the_numbers(store: Store) -> None:
    assert settings_in_force(store) is None
    directory = Directory(FILES, read_settings(FILES), 1_772_625_600_000)

    SettingsKeeper(VersionLog(), 0, directory).write(store)
    found = settings_in_force(store)
    assert found is not None
    assert (found.kept_in, found.version, found.texts) == ("directory", 1_772_625_600_000, FILES)

    keeper = SettingsKeeper(log_of({"roster.yaml": ROSTER}), 1)
    keeper.write(store)
    found = settings_in_force(store)
    assert found is not None
    assert (found.kept_in, found.version, found.targets_version) == ("log", 1, 1)


def test_sink_that_starts_later_keeps_what_came_meanwhile_and_passes_over_what_cannot_be_read(store: Store) -> None:
    SettingsKeeper(log_of(FILES), 1).write(store)
    log = log_of(FILES, {"roster.yaml": "tenants: 7\n"}, FILES, FILES)

    SettingsKeeper(log, 4).write(store)

    assert [row[1] for row in store.query(f"{HEAD} ORDER BY version")] == [1, 3, 4]
    assert store.query("SELECT count() FROM kpi_roster FINAL WHERE version > 1") == [(0,)]


def test_history_of_another_log_is_left_as_it_is_and_said(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    SettingsKeeper(log_of(FILES, FILES), 2).write(store)
    again = SettingsKeeper(log_of({"roster.yaml": ROSTER}, {"roster.yaml": ROSTER}, FILES), 3)

    with caplog.at_level(logging.ERROR):
        again.write(store)

    assert not again.due
    assert [row[1] for row in store.query(f"{HEAD} ORDER BY version")] == [1, 2]
    [said] = caplog.messages
    assert said.startswith("settings are not kept, history has a version that is not in the log version=2 sha256=")


def test_store_of_an_earlier_release_has_no_settings(store: Store) -> None:
    store.command("DROP TABLE kpi_settings")

    assert settings_in_force(store) is None


def test_history_is_asked_with_a_named_directory_then_the_log_then_the_environment(
    store: Store, tmp_path: Path
) -> None:
    def names(named: str | None, environment: str) -> str:
        people = settings_asked_with(store, named, Config(settings=environment)).roster.tenant("acme").people
        return ",".join(dated.value for person in people.values() for dated in person.names)

    for name in ("Named", "Around"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "roster.yaml").write_text(ROSTER.replace("Ann", name))
    named, around = str(tmp_path / "Named"), str(tmp_path / "Around")
    assert [names(None, ""), names(None, around), names(named, around)] == ["", "Around", "Named"]

    SettingsKeeper(VersionLog(), 0, Directory(FILES, read_settings(FILES), 1)).write(store)
    assert [names(None, ""), names(None, around), names(named, "")] == ["Ann", "Around", "Named"]

    SettingsKeeper(log_of({"roster.yaml": ROSTER.replace("Ann", "Logged")}), 1).write(store)
    assert [names(None, ""), names(None, around), names(named, around)] == ["Logged", "Logged", "Named"]
