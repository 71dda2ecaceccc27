"""DDL: brings a store's tables to the version that this release knows.

The files `schemas/clickhouse/NNNN_name.sql` are applied in order, each once. What was applied is kept in
`kpi_schema_versions` with a hash of the text: a file that was changed after it was applied, a gap in the
numbers or a store newer than this release is refused. Every statement can be run again, so a file that
broke off half-way is simply applied again.
"""

import hashlib
import re
from pathlib import Path
from typing import Final, NamedTuple

from kpistream.errors import ConfigError
from kpistream.history.store import Insert, Store
from kpistream.history.tables import SCHEMA_VERSIONS

_NAME: Final = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_PACKAGE: Final = Path(__file__).resolve().parents[1]
_PLACES: Final = (_PACKAGE / "_schemas" / "clickhouse", _PACKAGE.parents[1] / "schemas" / "clickhouse")
"""Where the files are: inside an installed package, or beside `src` in a checkout."""

_VERSIONS: Final = f"""
CREATE TABLE IF NOT EXISTS {SCHEMA_VERSIONS} (
    number UInt32,
    name String,
    sha256 String,
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
) ENGINE = ReplacingMergeTree(applied_at) ORDER BY number
"""


class DdlFile(NamedTuple):
    """One numbered file."""

    number: int
    name: str
    text: str

    @property
    def sha256(self) -> str:
        """Hash of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def statements(self) -> list[str]:
        """The statements of the file; each ends with `;` at the end of a line."""
        return [part.strip() for part in re.split(r";\s*(?:\n|$)", self.text) if part.strip()]


def files(folder: Path | None = None) -> list[DdlFile]:
    """All DDL files, ascending. Raises `ConfigError` for a gap, a doubled number or a strange name."""
    folder = folder or next((place for place in _PLACES if place.is_dir()), _PLACES[0])
    found = sorted(folder.glob("*.sql"))
    faults = [f'"{path.name}": want NNNN_name.sql' for path in found if not _NAME.fullmatch(path.name)]
    numbers = [int(path.name[:4]) for path in found if _NAME.fullmatch(path.name)]
    if not faults and numbers != list(range(1, len(found) + 1)):
        faults.append(f"{folder}: numbers are {numbers}; want 1, 2, 3 and so on without gaps")
    if not found:
        faults.append(f"{folder}: no DDL files")
    if faults:
        raise ConfigError(faults)
    return [
        DdlFile(number, path.stem, path.read_text(encoding="utf-8").replace("\r\n", "\n"))
        for number, path in zip(numbers, found, strict=True)
    ]


def pending(store: Store, known: list[DdlFile] | None = None) -> list[DdlFile]:
    """Files that have not been applied yet. Raises `ConfigError` when store and files do not fit together."""
    known = files() if known is None else known
    applied = _applied(store)
    faults = []
    if sorted(applied) != list(range(1, len(applied) + 1)):
        faults.append(f"store {store.location}: applied schema versions {sorted(applied)} have gaps")
    if len(applied) > len(known):
        faults.append(
            f"store {store.location}: schema version {max(applied)} is newer than {len(known)}, the last known here"
        )
    for each in known:
        if each.number in applied and applied[each.number] != each.sha256:
            faults.append(f"{each.name}.sql was changed after it was applied to {store.location}")
    if faults:
        raise ConfigError(faults)
    return [each for each in known if each.number not in applied]


def apply(store: Store, known: list[DdlFile] | None = None) -> list[str]:
    """Apply what is pending; the names of the files that were applied now."""
    store.command(_VERSIONS)
    done = []
    for each in pending(store, known):
        for statement in each.statements:
            store.command(statement)
        columns = {"number": "UInt32", "name": "String", "sha256": "String"}
        store.insert(Insert(SCHEMA_VERSIONS, columns, [[each.number], [each.name], [each.sha256]]))
        done.append(each.name)
    return done


def check(store: Store) -> None:
    """Raise `ConfigError` unless every file has been applied."""
    missing = pending(store)
    if missing:
        names = ", ".join(each.name for each in missing)
        raise ConfigError(
            f"store {store.location}: not applied yet: {names}\nhint: kpistream ddl apply --store {store.location}"
        )


def _applied(store: Store) -> dict[int, str]:
    exists = store.query(
        "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = {name:String}",
        {"name": SCHEMA_VERSIONS},
    )
    if not exists[0][0]:
        return {}
    return dict(store.query(f"SELECT number, sha256 FROM {SCHEMA_VERSIONS} FINAL ORDER BY number"))
