"""The front stands in for a ClickHouse server: what goes in through clickhouse-connect comes out."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from clickhouse_connect import get_client
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from tests.front.process import Front

TABLE = """
CREATE TABLE panes (
    scope String, start DateTime64(3, 'UTC'), talk_ms Int64, revenue Map(LowCardinality(String), Int64), version UInt128
) ENGINE = ReplacingMergeTree(version) ORDER BY (scope, start)
"""
START = datetime(2025, 3, 30, 1, 0, tzinfo=UTC)
COLUMNS = ["scope", "start", "talk_ms", "revenue", "version"]
NO_DEDUPLICATION = {"async_insert": 0, "wait_end_of_query": 1, "insert_deduplicate": 0}


@pytest.fixture
def client(http_clickhouse: Front) -> Iterator[Client]:
    host, port = http_clickhouse
    with get_client(host=host, port=port) as admin:
        admin.command("CREATE DATABASE kpi")
        with get_client(host=host, port=port, database="kpi") as opened:
            opened.command(TABLE)
            yield opened
        http_clickhouse.start()
        admin.command("DROP DATABASE kpi SYNC")


def insert(client: Client, talk_ms: int, version: int) -> None:
    row = ["agent:7", START, talk_ms, {"EUR": 1999}, version]
    client.insert("panes", [row], column_names=COLUMNS, settings=NO_DEDUPLICATION)


def talk_ms(client: Client) -> list[int]:
    return [value for (value,) in client.query("SELECT talk_ms FROM panes FINAL").result_rows]


def test_rows_come_back_as_they_went_in(client: Client) -> None:
    insert(client, 61_000, 2**100)

    rows = client.query("SELECT * FROM panes").result_rows

    # clickhouse-connect gives UTC instants without a zone.
    assert rows == [("agent:7", START.replace(tzinfo=None), 61_000, {"EUR": 1999}, 2**100)]


def test_higher_version_replaces_whatever_came_last(client: Client) -> None:
    insert(client, 2_000, 2)
    insert(client, 1_000, 1)

    assert talk_ms(client) == [2_000]


@pytest.mark.parametrize("method", ["lz4", "zstd", "gzip"])
def test_compressed_inserts_of_many_blocks_are_read(http_clickhouse: Front, client: Client, method: str) -> None:
    rows = [[f"agent:{number}", START, number, {}, 1] for number in range(100_000)]

    with get_client(host=http_clickhouse.host, port=http_clickhouse.port, database="kpi", compress=method) as other:
        other.insert("panes", rows, column_names=COLUMNS)

    assert client.query("SELECT count(), sum(talk_ms) FROM panes").result_rows == [(100_000, 4_999_950_000)]


def test_parameters_and_settings_reach_the_engine(client: Client) -> None:
    insert(client, 5_000, 1)

    found = client.query(
        "SELECT scope, getSetting('max_threads') FROM panes"
        " WHERE scope = {scope:String} AND start = {start:DateTime64(3)}",
        parameters={"scope": "agent:7", "start": START},
        settings={"max_threads": 3},
    )

    assert found.result_rows == [("agent:7", 3)]


def test_insert_select_and_commands_answer(client: Client) -> None:
    insert(client, 5_000, 1)

    client.command("INSERT INTO panes SELECT 'agent:8', start, talk_ms, revenue, version FROM panes")

    assert client.command("SELECT count() FROM panes") == 2
    assert client.query("SELECT scope FROM panes LIMIT 0").column_names == ("scope",)


def test_error_carries_the_code_of_the_engine(client: Client) -> None:
    with pytest.raises(DatabaseError) as caught:
        client.query("SELECT * FROM nothing_here")

    assert caught.value.code == 60


def test_refused_insert_writes_nothing(http_clickhouse: Front, client: Client) -> None:
    http_clickhouse.refuse_inserts(1)

    with pytest.raises(OperationalError, match="503"):
        insert(client, 1_000, 1)
    assert talk_ms(client) == []

    insert(client, 1_000, 1)
    assert talk_ms(client) == [1_000]


def test_failed_insert_carries_the_planned_code(http_clickhouse: Front, client: Client) -> None:
    http_clickhouse.fail_inserts(1, code=252)

    with pytest.raises(DatabaseError) as caught:
        insert(client, 1_000, 1)

    assert caught.value.code == 252
    assert talk_ms(client) == []


def test_client_repeats_an_insert_whose_answer_was_dropped(http_clickhouse: Front, client: Client) -> None:
    written = http_clickhouse.inserts_written
    http_clickhouse.drop_answers(1)

    insert(client, 1_000, 1)

    assert http_clickhouse.inserts_written - written == 2
    assert talk_ms(client) == [1_000]


def test_answers_dropped_twice_are_an_error_with_the_rows_written(http_clickhouse: Front, client: Client) -> None:
    http_clickhouse.drop_answers(2)

    with pytest.raises(OperationalError):
        insert(client, 1_000, 1)

    assert http_clickhouse.faults_left == 0
    assert talk_ms(client) == [1_000]


def test_rows_survive_an_outage(http_clickhouse: Front, client: Client) -> None:
    insert(client, 1_000, 1)

    http_clickhouse.kill()
    with pytest.raises(OperationalError):
        talk_ms(client)
    http_clickhouse.start()

    assert talk_ms(client) == [1_000]
