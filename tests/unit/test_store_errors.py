"""Errors of the store are sorted by who must act, and never show a password."""

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError, ProgrammingError

from kpistream.errors import ConfigError, SinkUnavailable
from kpistream.history.store import StoreRefused, open_store, redacted, translated


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OperationalError("Error executing HTTP request"), SinkUnavailable),
        (DatabaseError("Code: 252. Too many parts", code=252), SinkUnavailable),
        (DatabaseError("Code: 241. Memory limit exceeded", code=241), SinkUnavailable),
        (DatabaseError("Code: 516. Authentication failed", code=516), SinkUnavailable),
        (DatabaseError("502 bad gateway"), SinkUnavailable),
        (DatabaseError("Code: 60. No such table", code=60), ConfigError),
        (DatabaseError("Code: 53. Type mismatch", code=53), StoreRefused),
        (ProgrammingError("The client has been closed"), StoreRefused),
    ],
)
def test_error_is_sorted_by_who_must_act(error: DatabaseError, kind: type[Exception]) -> None:
    assert type(translated(error, "here")) is kind


def test_missing_table_names_the_command_that_makes_it() -> None:
    error = translated(DatabaseError("Code: 60. No such table", code=60), "http://ch:8123/kpi")

    assert "hint: kpistream ddl apply --store http://ch:8123/kpi" in str(error)


def test_password_is_never_shown() -> None:
    assert redacted("https://kpi:s3cret@ch:8443/kpi") == "https://kpi:***@ch:8443/kpi"
    assert redacted("/var/lib/kpi") == "/var/lib/kpi"


def test_unknown_scheme_is_refused() -> None:
    with pytest.raises(ConfigError, match='store "ftp://ch/kpi": want a directory'):
        open_store("ftp://ch/kpi")


def test_empty_location_is_refused() -> None:
    with pytest.raises(ConfigError, match="no store is named"):
        open_store("")


def test_directory_without_a_store_is_refused(tmp_path: object) -> None:
    with pytest.raises(ConfigError, match="no store in this directory"):
        open_store(str(tmp_path))


def test_server_that_does_not_answer_is_unavailable() -> None:
    with pytest.raises(SinkUnavailable, match=r"store http://127\.0\.0\.1:9/kpi"):
        open_store("http://127.0.0.1:9/kpi")
