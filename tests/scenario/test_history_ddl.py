"""DDL on the real engine: applied once, in order, and refused when store and files do not fit."""

from collections.abc import Callable

import pytest

from kpistream.errors import ConfigError
from kpistream.history import ddl, tables
from kpistream.history.store import Store


def described(store: Store, table: str) -> dict[str, str]:
    return {name: type_ for name, type_, *_ in store.query(f"DESCRIBE TABLE {table}") if name != "inserted_at"}


def test_tables_have_the_columns_that_the_writer_fills(store: Store) -> None:
    assert described(store, "kpi_panes") == tables.PANE_COLUMNS
    assert described(store, "kpi_facts") == tables.FACT_COLUMNS
    assert described(store, "kpi_alerts") == tables.ALERT_COLUMNS
    assert described(store, "kpi_roster") == tables.ROSTER_COLUMNS
    assert described(store, "kpi_results") == tables.RESULT_COLUMNS
    assert described(store, "kpi_settings") == tables.SETTINGS_COLUMNS
    assert described(store, "kpi_targets") == tables.TARGET_COLUMNS


def test_second_apply_finds_nothing_to_do(store: Store) -> None:
    assert ddl.apply(store) == []
    ddl.check(store)


def test_file_that_broke_off_is_applied_again(store: Store) -> None:
    store.command("DELETE FROM kpi_schema_versions WHERE number >= 4")

    names = ["0004_alerts", "0005_alert_numbers", "0006_results", "0007_settings", "0008_targets"]
    names += ["0009_alert_contributors", "0010_outages", "0011_corrections", "0012_good_news"]
    assert ddl.apply(store) == names


def test_changed_file_is_refused(store: Store) -> None:
    first, *rest = ddl.files()

    with pytest.raises(ConfigError, match=r"0001_panes.sql was changed after it was applied"):
        ddl.apply(store, [first._replace(text=first.text + "-- more\n"), *rest])


def test_store_newer_than_this_release_is_refused(store: Store) -> None:
    with pytest.raises(ConfigError, match="schema version 12 is newer than 3"):
        ddl.apply(store, ddl.files()[:3])


def test_gap_in_what_was_applied_is_refused(store: Store) -> None:
    store.command("DELETE FROM kpi_schema_versions WHERE number = 2")

    with pytest.raises(ConfigError, match=r"applied schema versions \[1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12\] have gaps"):
        ddl.apply(store)


def test_check_names_what_is_missing(store: Store) -> None:
    store.command("DELETE FROM kpi_schema_versions WHERE number > 2")

    missing = "0003_roster, 0004_alerts, 0005_alert_numbers, 0006_results, 0007_settings, 0008_targets"
    missing += ", 0009_alert_contributors, 0010_outages, 0011_corrections, 0012_good_news"
    with pytest.raises(ConfigError, match=f"not applied yet: {missing}\nhint: kpistream ddl apply"):
        ddl.check(store)


def test_empty_store_has_everything_pending(connect: Callable[[], Store]) -> None:
    with connect() as store:
        store.command("DROP TABLE kpi_schema_versions")

        names = ["0001_panes", "0002_facts", "0003_roster", "0004_alerts", "0005_alert_numbers", "0006_results"]
        names += ["0007_settings", "0008_targets", "0009_alert_contributors"]
        names += ["0010_outages", "0011_corrections", "0012_good_news"]
        assert [file.name for file in ddl.pending(store)] == names
