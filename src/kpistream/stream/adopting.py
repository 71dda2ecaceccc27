"""Adopting: a worker runs the settings of the highest version, from one point between two looks on.

The version is read and checked beside the work; the looks of agents and of teams take it over together, before the
next one of either. What a version that cannot be read would have changed stays as it is.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from kpistream.core.settings import Settings
from kpistream.core.versions import Rejected, Version
from kpistream.log.settings_versions import Follower, log_rejected
from kpistream.metrics import SettingsMetrics

log = logging.getLogger(__name__)


class Adopter(Protocol):
    """What runs by settings."""

    def adopt(self, settings: Settings) -> None:
        """Run by these from now on."""


class Adopting:
    """The version that is waited with until nothing looks."""

    def __init__(self, follower: Follower, metrics: SettingsMetrics, adopters: Sequence[Adopter]) -> None:
        self._follower = follower
        self._metrics = metrics
        self._adopters = adopters
        self._next: Version | None = None
        follower.adopted, follower.refused = self._wait_with, self._refused

    async def run(self, turned: Callable[[], None]) -> None:
        """Follow the versions until cancelled."""
        self._follower.turned = turned
        await self._follower.run()

    def between_looks(self) -> None:
        """Let everybody run by the version that has come, if one has."""
        version, self._next = self._next, None
        if version is None:
            return
        for adopter in self._adopters:
            adopter.adopt(version.settings)
        self._metrics.version.set(version.number)
        log.info("settings version=%s sha256=%s by=%s", version.number, version.manifest.sha256, version.manifest.by)

    def _wait_with(self, version: Version) -> None:
        self._next = version

    def _refused(self, rejected: Rejected, number: int) -> None:
        self._metrics.rejected.inc()
        log_rejected(rejected, number)
