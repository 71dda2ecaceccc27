"""Following: the settings that a role begins with, and how those that come later reach it.

The log stands above the directory. A sink keeps every version in history, also one that was in force for a moment only.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from kpistream.config import Config, csv_files, yaml_files
from kpistream.core.settings import Settings, read_settings
from kpistream.core.versions import Rejected, Version, VersionLog
from kpistream.history.keeping import LOG, Directory, SettingsKeeper, settings_in_force
from kpistream.history.store import Store
from kpistream.log.settings_versions import Follower, log_rejected, read_versions
from kpistream.log.topics import Topics
from kpistream.metrics import SettingsMetrics

log = logging.getLogger(__name__)


class Start(NamedTuple):
    """What a role begins with."""

    partitions: int
    """Of the events topic."""
    settings: Settings
    versions: VersionLog
    """Settings versions, to be followed from here on."""
    version: Version | None
    """Where the settings are from; None: from the local directory."""
    texts: Mapping[str, str]
    """Of the local directory, by path; empty with a version."""

    @property
    def number(self) -> int:
        """Of the version; 0 for the local directory."""
        return 0 if self.version is None else self.version.number


def tell_settings(config: Config, start: Start, metrics: SettingsMetrics) -> None:
    """Say which settings a role begins with, and which versions it could not read."""
    for _, rejected in sorted(start.versions.rejected.items()):
        log_rejected(rejected, start.number)
        metrics.rejected.inc()
    metrics.version.set(start.number)
    if start.version is None:
        log.info("settings version=0 directory=%s", config.settings or "-")
        return
    manifest = start.version.manifest
    log.info("settings version=%s sha256=%s by=%s", start.number, manifest.sha256, manifest.by)
    if config.settings:
        log.warning("settings directory is not read, the log has a version directory=%s", config.settings)


def keeper_of(start: Start, now_ms: int) -> SettingsKeeper:
    """What keeps settings in history; those of a directory as of `now_ms`."""
    texts = {Path(path).name: text for path, text in start.texts.items()}
    directory = Directory(texts, start.settings, now_ms) if texts else None
    return SettingsKeeper(start.versions, start.number, directory)


def kept_follower(config: Config, start: Start, keeper: SettingsKeeper, metrics: SettingsMetrics) -> Follower:
    """What hands every version that comes to the keeper."""
    return _follower(config, start, lambda version: keeper.come(version.number), metrics)


def role_follower(
    config: Config, start: Start, adopt: Callable[[Settings], None], metrics: SettingsMetrics
) -> Follower:
    """What hands the settings of every version that comes to a role."""
    return _follower(config, start, lambda version: adopt(version.settings), metrics)


def _follower(config: Config, start: Start, take: Callable[[Version], None], metrics: SettingsMetrics) -> Follower:
    def adopted(version: Version) -> None:
        take(version)
        metrics.version.set(version.number)
        log.info("settings version=%s sha256=%s", version.number, version.manifest.sha256)

    def refused(rejected: Rejected, running: int) -> None:
        metrics.rejected.inc()
        log_rejected(rejected, running)

    follower = Follower(config.connection(), Topics(config.topic_prefix).settings, start.versions, start.number)
    follower.adopted, follower.refused = adopted, refused
    return follower


def settings_asked_with(store: Store, named: str | None, config: Config) -> Settings:
    """The settings that history is asked with. Raises ConfigError when they cannot be read.

    Those of a directory that is named on the command line, else the version of the log that history has as in force,
    else those of KPISTREAM_SETTINGS, else those of the directory that its sink began with.
    """
    kept = settings_in_force(store) if named is None else None
    if kept is not None and (kept.kept_in == LOG or not config.settings):
        return read_settings(kept.texts)
    return _of_directory(named or config.settings)


async def settings_of_entry(named: str | None, config: Config) -> Settings:
    """The settings by which aliases are resolved where events enter. Raises ConfigError when they cannot be read.

    Those of a directory that is named on the command line, else the version in force, else those of KPISTREAM_SETTINGS.
    """
    topic = Topics(config.topic_prefix).settings
    version = None if named else await asyncio.to_thread((await read_versions(config.connection(), topic)).newest)
    if version is not None:
        return version.settings
    return _of_directory(named or config.settings)


def _of_directory(directory: str) -> Settings:
    return read_settings(yaml_files(directory) | csv_files(directory)) if directory else Settings()


async def beside(work: Coroutine[Any, Any, None], companion: Coroutine[Any, Any, None]) -> None:
    """`work` to its end, and `companion` for as long; raises what either raises."""
    tasks = [asyncio.ensure_future(work), asyncio.ensure_future(companion)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        await tasks[0]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
