"""Keeping: each version of the settings in history, with the roster and the targets as it states them.

Versions are written in their order, each once; writing one again changes nothing. Roster and targets are written only
when they differ from those of the version before. What history has of another log is left as it is, loudly.
"""

import logging
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Final, NamedTuple

import msgspec

from kpistream.core.settings import Settings
from kpistream.core.targets import Target
from kpistream.core.versions import Manifest, Version, VersionLog, digest, refs
from kpistream.errors import ConfigError
from kpistream.history import tables
from kpistream.history.store import Insert, Store
from kpistream.history.writer import roster_insert

log = logging.getLogger(__name__)

LOG: Final = "log"
DIRECTORY: Final = "directory"


class Directory(NamedTuple):
    """Settings of a directory, for a role that began without a version in the log."""

    texts: Mapping[str, str]
    settings: Settings
    at_ms: int
    """When the role began: the version in history."""


class InForce(NamedTuple):
    """The settings that history has as those in force."""

    kept_in: str
    version: int
    sha256: str
    texts: Mapping[str, str]
    roster_version: int
    targets_version: int


def settings_in_force(store: Store, kept_in: str | None = None) -> InForce | None:
    """What is in force, of the log if it is of any; None when history has no settings."""
    there = store.query(
        "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = {name:String}",
        {"name": tables.SETTINGS},
    )
    if not there[0][0]:
        return None
    rows = store.query(
        f"SELECT kept_in, version, sha256, files, roster_version, targets_version FROM {tables.SETTINGS} FINAL "
        "WHERE {kept_in:String} IN ('', kept_in) "
        f"ORDER BY kept_in = '{LOG}' DESC, version DESC LIMIT 1",
        {"kept_in": kept_in or ""},
    )
    return InForce(*rows[0]) if rows else None


class SettingsKeeper:
    """Writes versions. `come` is for the event loop, `write` for the thread that has the store."""

    def __init__(self, versions: VersionLog, number: int, directory: Directory | None = None) -> None:
        """`number`: the version that the role begins with, 0 for the directory."""
        self._versions = versions
        self._wanted = number
        self._directory = directory
        self._written = 0
        """Number of the version that was written last."""
        self._before: Settings | None = None
        """What it says, when that can be read."""
        self._numbers: dict[str, int] = {}
        """Under which versions the roster and the targets of it are."""
        self._begun = False
        self._foreign = False

    @property
    def due(self) -> bool:
        """True when a version waits to be written."""
        behind = not self._foreign and self._wanted > self._written
        return not self._begun or self._directory is not None or behind

    def come(self, number: int) -> None:
        """All versions up to this one are to be written."""
        self._wanted = number

    def write(self, store: Store) -> None:
        """Write what is due. May be tried again, whatever it was that went wrong."""
        if not self._begun:
            self._begin(store)
        if self._directory is not None:
            texts, settings, at_ms = self._directory
            files = refs(texts)
            manifest = Manifest(format=0, version=at_ms, sha256=digest(files), applied_at_ms=at_ms, files=files)
            _write(store, DIRECTORY, Version(manifest, texts, settings), at_ms, at_ms)
            self._directory = None
        waiting = range(0) if self._foreign else range(self._written + 1, self._wanted + 1)
        for number in [each for each in self._versions.numbers if each in waiting]:
            try:
                version = self._versions.version(number)
            except ConfigError:
                continue  # nobody runs it, and whoever follows has said so
            self._write_next(store, version)

    def _begin(self, store: Store) -> None:
        """Find out where history ends."""
        known = settings_in_force(store, LOG)
        if known is not None:
            self._foreign = not self._has(known)
            self._written = known.version
            self._numbers = {"roster": known.roster_version, "targets": known.targets_version}
            try:
                self._before = self._versions.version(known.version).settings
            except ConfigError:
                self._before = None  # roster and targets are written again, under the next number
        if known is not None and self._foreign:
            log.error(
                "settings are not kept, history has a version that is not in the log version=%s sha256=%s hint=%s",
                known.version,
                known.sha256,
                "was kpi.settings made again? to begin anew, truncate kpi_settings, kpi_roster and kpi_targets",
            )
        self._begun = True

    def _has(self, known: InForce) -> bool:
        """True when the log has what history has."""
        try:
            return self._versions.manifest(known.version).sha256 == known.sha256
        except ConfigError:
            return False

    def _write_next(self, store: Store, version: Version) -> None:
        before, number = self._before, version.number
        same_people = before is not None and before.roster == version.settings.roster
        same_targets = before is not None and before.targets == version.settings.targets
        roster = self._numbers["roster"] if same_people else number
        targets = self._numbers["targets"] if same_targets else number
        _write(store, LOG, version, roster, targets)
        self._written, self._before = number, version.settings
        self._numbers = {"roster": roster, "targets": targets}


def _write(store: Store, kept_in: str, version: Version, roster_version: int, targets_version: int) -> None:
    """The version last: once it is there, so is what it names."""
    if roster_version == version.number and version.settings.roster.tenants:
        store.insert(roster_insert(version.number, version.settings.roster))
    if targets_version == version.number:
        store.insert(targets_insert(version.number, version.settings.targets))
    manifest = version.manifest
    row = (
        kept_in,
        version.number,
        manifest.sha256,
        manifest.applied_at_ms,
        manifest.by,
        manifest.message,
        dict(version.texts),
        roster_version,
        targets_version,
    )
    store.insert(Insert(tables.SETTINGS, tables.SETTINGS_COLUMNS, [[value] for value in row]))


def targets_insert(version: int, targets: Sequence[Target]) -> Insert:
    """Rows of `kpi_targets`: all targets, as version `version` of the settings states them."""
    rows = [
        (
            version,
            each.name,
            each.kpi,
            each.window,
            str(each.direction),
            None if each.low is None else float(each.low),
            None if each.high is None else float(each.high),
            str(each.scope),
            each.tenant,
            each.team,
            each.owner,
            None if each.level is None else each.level.alpha,
            msgspec.json.encode(each, enc_hook=_exact).decode(),
        )
        for each in targets
    ]
    return Insert(tables.TARGETS, tables.TARGET_COLUMNS, list(zip(*rows, strict=True)) or [[]])


def _exact(value: Any) -> str:
    if not isinstance(value, Fraction):
        raise NotImplementedError(type(value))
    return str(value)
