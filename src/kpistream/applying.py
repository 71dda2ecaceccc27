"""Applying: settings become a version in the log, or nothing changes.

Whatever is published was read as every role will read it, together with the absences that the command keeps. Of two
at the same time one has the number; an absence is then said again on top of what came first, a directory is not.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from kpistream import config as configuration
from kpistream.config import Config
from kpistream.core.absence_entries import Entry, read_entries, write_entries
from kpistream.core.settings import Settings, read_settings
from kpistream.core.settings_changes import changes
from kpistream.core.versions import ABSENCE_FILE, Draft, Version, VersionLog, faults_of
from kpistream.errors import ConfigError, KpistreamError
from kpistream.log import admin as log_admin
from kpistream.log.settings_versions import publish_version, read_versions
from kpistream.log.topics import Topics

_TRIES: Final = 10
"""How often an absence is said again because somebody else was first."""


class Note(NamedTuple):
    """Who applies, when (epoch ms), and why."""

    at_ms: int
    by: str = ""
    message: str = ""


class Outcome(NamedTuple):
    """What came of applying."""

    before: int
    """The version that was in force, 0 for none."""
    number: int
    """The version that is in force now; the same when nothing was published."""
    changes: tuple[str, ...]
    log: VersionLog


class Prepared(NamedTuple):
    """A version that could be published."""

    log: VersionLog
    before: Version | None
    texts: Mapping[str, str]
    changes: tuple[str, ...]
    """Empty when every text is as it was."""
    ignored: tuple[str, ...] = ()
    """Files that were not taken."""

    @property
    def number(self) -> int:
        """Of the version in force; 0 for none."""
        return 0 if self.before is None else self.before.number


async def versions_of(config: Config) -> VersionLog:
    """All versions in the log now. Raises ConfigError when the broker or the topic is not there."""
    topic = Topics(config.topic_prefix).settings
    admin = await log_admin.connect(config.connection())
    try:
        there = await log_admin.partition_counts(admin)
    finally:
        await admin.close()
    if topic not in there:
        raise ConfigError(f"topic {topic!r} is missing (make it with `kpistream topics apply`)")
    return await read_versions(config.connection(), topic)


def prepare(log: VersionLog, directory: str) -> Prepared:
    """The version that a directory makes, with the absences that are kept. Raises ConfigError with all faults."""
    before = log.newest()
    kept = None if before is None else before.texts.get(ABSENCE_FILE)
    files = configuration.yaml_files(directory) | configuration.csv_files(directory)
    ignored = tuple(path for path in files if Path(path).name == ABSENCE_FILE)
    files = {path: text for path, text in files.items() if path not in ignored}
    settings = read_settings(files if kept is None else files | {ABSENCE_FILE: kept})
    texts = {Path(path).name: text for path, text in files.items()}
    if kept is not None:
        texts[ABSENCE_FILE] = kept
    return _prepared(log, before, texts, settings)._replace(ignored=ignored)


def _prepared(log: VersionLog, before: Version | None, texts: Mapping[str, str], settings: Settings) -> Prepared:
    if faults := faults_of(texts):
        raise ConfigError(faults)
    if before is not None and before.texts == texts:
        return Prepared(log, before, texts, ())
    found = changes(Settings() if before is None else before.settings, settings)
    old = {} if before is None else before.texts
    other = sorted(name for name in old.keys() | texts.keys() if old.get(name) != texts.get(name))
    words = [f"{', '.join(other)}: other text that means the same"]
    return Prepared(log, before, texts, tuple(found or words))


async def publish(config: Config, prepared: Prepared, note: Note) -> int:
    """Publish what was prepared; its number. Raises KpistreamError when somebody else was first."""
    topic = Topics(config.topic_prefix).settings
    wanted = prepared.log.highest + 1
    draft = Draft(prepared.texts, note.at_ms, note.by, note.message)
    number = await publish_version(config.connection(), topic, prepared.log, draft)
    if number is None:
        raise _Beaten(
            f"somebody else has applied version {wanted} at the same time: that one is in force, this one is not\n"
            "hint: look at it with `kpistream settings show`, then apply again"
        )
    return number


class _Beaten(KpistreamError):
    """Another writer has the number."""


async def change_absences(
    config: Config, change: Callable[[list[Entry], Settings], list[Entry]], note: Note
) -> Outcome:
    """Publish a version with other absences; nothing when `change` leaves them as they are.

    `change` gets the entries that the command keeps and the settings in force, more than once when others are faster.
    Raises ConfigError when there is no version yet, or when the entries cannot be read with the other files.
    """
    log = await versions_of(config)
    for last in range(_TRIES, 0, -1):
        before = log.newest()
        if before is None:
            topic = Topics(config.topic_prefix).settings
            raise ConfigError(f"{topic!r} holds no settings: absences are kept beside them\nhint: kpistream apply DIR")
        entries = kept_entries(before)
        wanted = change(list(entries), before.settings)
        if wanted == entries:
            return Outcome(before.number, before.number, (), log)
        texts = {**before.texts, ABSENCE_FILE: write_entries(wanted)}
        prepared = _prepared(log, before, texts, log.read(texts))
        try:
            return Outcome(before.number, await publish(config, prepared, note), prepared.changes, log)
        except _Beaten:
            if last == 1:
                raise
    raise AssertionError("the last try raises")


def kept_entries(version: Version) -> list[Entry]:
    """The absences that the command keeps in a version."""
    text = version.texts.get(ABSENCE_FILE)
    return [] if text is None else read_entries(text, ABSENCE_FILE)
