"""The real ClickHouse engine, inside this process. It serves one directory, so each test gets a database."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import clickhouse_connect
import pytest

from kpistream.history import ddl
from kpistream.history.store import Store

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def engine_directory(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one directory of this process's engine."""
    try:
        return Path(request.getfixturevalue("engine_client").path)
    except pytest.FixtureLookupError:
        return tmp_path_factory.mktemp("engine")


@pytest.fixture
def connect(engine_directory: Path) -> Callable[[], Store]:
    """Opens a store on a database of this test's own; tables are there."""
    name = f"history_{next(_NUMBERS)}"

    def make() -> Store:
        client = clickhouse_connect.get_client(interface="chdb", path=str(engine_directory))
        client.command(f"CREATE DATABASE IF NOT EXISTS {name}")
        client.database = name
        return Store(client, str(engine_directory), embedded=True)

    with make() as first:
        ddl.apply(first)
    return make


@pytest.fixture
def store(connect: Callable[[], Store]) -> Iterator[Store]:
    """A store with empty tables."""
    with connect() as opened:
        yield opened
