"""The real ClickHouse engine, inside this process. It serves one directory, so each test gets a database."""

import itertools
from collections.abc import Callable, Iterator

import pytest
from clickhouse_connect import get_client
from clickhouse_connect.driver.client import Client

from kpistream.history import ddl
from kpistream.history.store import Store

_NUMBERS = itertools.count(1)


@pytest.fixture
def connect(engine_client: Client) -> Callable[[], Store]:
    """Opens a store on a database of this test's own; tables are there."""
    name = f"history_{next(_NUMBERS)}"

    def make() -> Store:
        client = get_client(interface="chdb", path=engine_client.path)
        client.command(f"CREATE DATABASE IF NOT EXISTS {name}")
        client.database = name
        return Store(client, engine_client.path, embedded=True)

    with make() as first:
        ddl.apply(first)
    return make


@pytest.fixture
def store(connect: Callable[[], Store]) -> Iterator[Store]:
    """A store with empty tables."""
    with connect() as opened:
        yield opened
