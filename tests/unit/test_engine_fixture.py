"""The engine that tests share is the real one, and every test has a database of its own."""

import pytest
from clickhouse_connect.driver.client import Client


@pytest.mark.parametrize("run", [1, 2])
def test_every_test_starts_with_an_empty_database(engine_client: Client, database: str, run: int) -> None:
    assert engine_client.command("SELECT currentDatabase()") == database
    assert engine_client.query("SHOW TABLES").result_rows == []

    engine_client.command("CREATE TABLE seen (run UInt8) ENGINE = MergeTree ORDER BY run")
    engine_client.insert("seen", [[run]], column_names=["run"])

    assert engine_client.query("SELECT run FROM seen").result_rows == [(run,)]
