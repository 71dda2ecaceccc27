"""Store: one ClickHouse, as a server over HTTP or as the embedded engine in a directory.

The only file that opens connections. Every insert is sent with pinned settings, because defaults differ
between releases; insert deduplication is off, since it would silently drop a row that is written again
after a delete. Calls block: the sink makes them in threads. An error becomes `SinkUnavailable` (try
again), `ConfigError` (the operator must act) or `StoreRefused` (it can never succeed).
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Self
from urllib.parse import unquote, urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import (
    ClickHouseError,
    DataError,
    InterfaceError,
    NotSupportedError,
    ProgrammingError,
)

from kpistream.errors import ConfigError, KpistreamError, SinkUnavailable

INSERT_SETTINGS: Final[dict[str, Any]] = {
    "async_insert": 0,
    "wait_end_of_query": 1,
    "insert_deduplicate": 0,
    "deduplicate_insert": "disable",
    "insert_select_deduplicate": 0,
    "deduplicate_blocks_in_dependent_materialized_views": 0,
    "max_partitions_per_insert_block": 0,
    "max_insert_block_size": 1_048_576,
}
"""Sent with every insert. In 26.9 `deduplicate_insert` overrules `insert_deduplicate`, so both are set;
a server that does not know one of them does not get it."""
READ_SETTINGS: Final[dict[str, Any]] = {"do_not_merge_across_partitions_select_final": 1}
"""Safe because the month of `start` is the partition and `start` is part of every sorting key."""

STREAM_BLOCK_ROWS: Final = 4096
"""Rows of a stream that are in memory at once."""
_STATEMENT_BYTES: Final = 16 * 1024 * 1024
"""The engine takes 256 KiB by default; thousands of places with long names are more."""
_TRANSPORT: Final = {"wait_end_of_query"}
"""No settings of the engine: HTTP answers only when the statement is done, so an error is never lost."""

_NEEDS_DDL: Final = {16, 47, 60, 81}
_NOT_ALLOWED: Final = {192, 193, 194, 497, 516}
_NEVER: Final = {6, 8, 10, 20, 26, 27, 33, 38, 41, 42, 43, 44, 46, 48, 50, 53, 62, 69, 70, 72, 117, 131, 349, 407, 467}
"""Codes of malformed data or SQL: the same statement fails the same way for ever."""


class StoreRefused(KpistreamError):
    """ClickHouse refused a statement that will be refused again: a defect, or data that no retry can save."""


class Insert(NamedTuple):
    """Rows for one table, column by column."""

    table: str
    columns: Mapping[str, str]
    """Column names and ClickHouse types, in the order of `values`."""
    values: Sequence[Sequence[Any]]

    @property
    def rows(self) -> int:
        """How many rows it holds."""
        return len(self.values[0])


class Store:
    """An open ClickHouse. `open_store` makes one; `close` it."""

    def __init__(self, client: Client, location: str, embedded: bool) -> None:
        self._client = client
        self.location = location
        """Where it is, without the password."""
        self.embedded = embedded
        self._insert_settings = self._known(INSERT_SETTINGS)
        self._read_settings = self._known(READ_SETTINGS)

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """All rows of a SELECT. Instants are asked for as `toUnixTimestamp64Milli(...)`, never as DateTime."""
        try:
            result = self._client.query(sql, parameters=dict(parameters or {}), settings=self._read_settings)
            return [tuple(row) for row in result.result_rows]
        except ClickHouseError as error:
            raise self._translated(error) from error

    def stream(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Iterator[tuple[Any, ...]]:
        """Rows of a SELECT as they come, a block in memory at a time. Nothing else may use the store meanwhile."""
        try:
            settings = {**self._read_settings, "max_block_size": STREAM_BLOCK_ROWS}
            blocks = self._client.query_row_block_stream(sql, dict(parameters or {}), settings=settings)
            with blocks:
                for block in blocks:
                    yield from map(tuple, block)
        except ClickHouseError as error:
            raise self._translated(error) from error

    def command(self, sql: str) -> None:
        """Run a statement that returns nothing."""
        try:
            self._client.command(sql)
        except ClickHouseError as error:
            raise self._translated(error) from error

    def insert(self, insert: Insert) -> None:
        """Write rows; returns when the store has confirmed all of them."""
        if not insert.rows:
            return
        try:
            self._client.insert(
                insert.table,
                insert.values,
                column_names=list(insert.columns),
                column_type_names=list(insert.columns.values()),
                column_oriented=True,
                settings=self._insert_settings,
            )
        except ClickHouseError as error:
            raise self._translated(error) from error

    def insert_select(self, sql: str, parameters: Mapping[str, Any]) -> None:
        """Run an INSERT SELECT; returns when the store has confirmed its rows."""
        settings = {**self._insert_settings, **self._read_settings, "max_query_size": _STATEMENT_BYTES}
        try:
            self._client.command(sql, parameters=dict(parameters), settings=settings)
        except ClickHouseError as error:
            raise self._translated(error) from error

    def close(self) -> None:
        """Let go of the connection; the directory of an embedded store may be opened by others then."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _known(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        names = "', '".join(settings)
        rows = self.query_plain(f"SELECT name FROM system.settings WHERE name IN ('{names}')")
        known = {name for (name,) in rows} | _TRANSPORT
        return {name: value for name, value in settings.items() if name in known}

    def query_plain(self, sql: str) -> list[tuple[Any, ...]]:
        """All rows of a SELECT under the server's own settings."""
        try:
            return [tuple(row) for row in self._client.query(sql).result_rows]
        except ClickHouseError as error:
            raise self._translated(error) from error

    def _translated(self, error: ClickHouseError) -> KpistreamError:
        return translated(error, self.location)


def translated(error: ClickHouseError, location: str) -> KpistreamError:
    """The error sorted by who must act."""
    code = getattr(error, "code", None)
    text = f"store {location}: {_first_line(error)}"
    if code in _NEEDS_DDL:
        return ConfigError(f"{text}\nhint: kpistream ddl apply --store {location}")
    if code in _NEVER or (code is None and isinstance(error, (DataError, InterfaceError, NotSupportedError))):
        return StoreRefused(text)
    if code is None and isinstance(error, ProgrammingError):
        return StoreRefused(text)
    return SinkUnavailable(text)


def open_store(location: str, *, create: bool = False) -> Store:
    """Open `http(s)://user:password@host:port/database`, `chdb:///directory` or a directory.

    With `create` a directory or database that is not there is made. Raises `ConfigError` for a location
    that cannot be used and `SinkUnavailable` for a server that does not answer.
    """
    if not location:
        raise ConfigError("no store is named\nhint: --store, or KPISTREAM_STORE")
    scheme, separator, rest = location.partition("://")
    if not separator:
        return _open_directory(Path(location), create)
    if scheme == "chdb":
        return _open_directory(Path(unquote(rest)), create)
    if scheme in ("http", "https"):
        return _open_server(location, create)
    raise ConfigError(
        f'store "{redacted(location)}": want a directory, chdb:///directory or http(s)://host:port/database'
    )


def redacted(location: str) -> str:
    """The location without its password."""
    if "://" not in location:
        return location
    parts = urlsplit(location)
    if parts.password is None:
        return location
    return parts._replace(netloc=f"{parts.username or ''}:***@{parts.netloc.rpartition('@')[2]}").geturl()


def _open_directory(path: Path, create: bool) -> Store:
    path = path.expanduser().resolve()
    if create:
        path.mkdir(parents=True, exist_ok=True)
    elif not (path / "metadata").is_dir():
        raise ConfigError(f'store "{path}": no store in this directory')
    try:
        client = clickhouse_connect.get_client(interface="chdb", path=str(path))
    except ImportError as error:
        raise ConfigError(f"store \"{path}\": {error}\nhint: pip install 'kpistream[embedded]'") from error
    except ClickHouseError as error:
        raise ConfigError(f'store "{path}": {_first_line(error)}') from error
    return Store(client, str(path), embedded=True)


def _open_server(location: str, create: bool) -> Store:
    parts = urlsplit(location)
    shown = redacted(location)
    if not parts.hostname:
        raise ConfigError(f'store "{shown}": no host in the address')
    database = unquote(parts.path.strip("/")) or "default"
    try:
        client = clickhouse_connect.get_client(
            interface=parts.scheme,
            host=parts.hostname,
            port=parts.port or (8443 if parts.scheme == "https" else 8123),
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password or ""),
            database=None if create else database,
            connect_timeout=10,
            send_receive_timeout=300,
            autogenerate_session_id=False,
            query_retries=0,
            compress=False,
        )
        if create:
            client.command(f"CREATE DATABASE IF NOT EXISTS {_quoted(database)}")
            client.database = database
    except ClickHouseError as error:
        if getattr(error, "code", None) in _NOT_ALLOWED:
            raise ConfigError(f"store {shown}: {_first_line(error)}") from error
        raise translated(error, shown) from error
    return Store(client, shown, embedded=False)


def _quoted(identifier: str) -> str:
    return "`" + identifier.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:500] if lines else type(error).__name__
