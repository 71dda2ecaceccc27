"""Retrying: a call to the store in a thread, tried until the store takes it.

An outage is waited for, however long, and said in the log; the wait before another try is anything between 0
and a bound that doubles. It ends without a result only when the run ends or the partitions are lost.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from kpistream.errors import SinkUnavailable
from kpistream.history.progress import Progress, SinkObserver
from kpistream.history.standing import Standing

log = logging.getLogger(__name__)
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before another try."""

    first_ms: int
    limit_ms: int
    unavailable_after_s: float
    """An outage of the store that lasts longer is an error in the log."""


class Retrying:
    """Makes the calls of one sink."""

    def __init__(self, backoff: Backoff, progress: Progress, observer: SinkObserver, standing: Standing) -> None:
        self._backoff = backoff
        self._progress = progress
        self._observer = observer
        self._standing = standing
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Give up when the store is unavailable."""
        self._stopping.set()

    async def persist(
        self, work: Callable[[], Result], steady_s: Callable[[], float], generation: Callable[[], int]
    ) -> Result | None:
        """What `work` returns in a thread, tried until the store takes it.

        None when the run ends, or the partitions are lost, while the store is unavailable.
        """
        began, attempt = generation(), 0
        self._standing.away()
        try:
            while True:
                try:
                    self._standing.calls()
                    result = await asyncio.to_thread(work)
                except SinkUnavailable as error:
                    self._standing.called()
                    self._failed(error, attempt, steady_s())
                else:
                    self._recovered(steady_s())
                    return result
                bound_ms = min(self._backoff.limit_ms, self._backoff.first_ms * 2 ** min(attempt, 20))
                attempt += 1
                if await self._stopped_within(random.uniform(0, bound_ms) / 1000) or generation() != began:
                    return None
        finally:
            self._standing.back()

    def _failed(self, error: SinkUnavailable, attempt: int, now_s: float) -> None:
        progress = self._progress
        progress.last_error = str(error)
        if progress.unavailable_since_s is None:
            progress.unavailable_since_s = now_s
        progress.retries += 1
        self._observer.retried(str(error))
        lasted_s = now_s - progress.unavailable_since_s
        level = logging.ERROR if lasted_s >= self._backoff.unavailable_after_s else logging.WARNING
        log.log(level, "store unavailable for_s=%.0f attempt=%s error=%s", lasted_s, attempt + 1, error)

    def _recovered(self, now_s: float) -> None:
        if self._progress.unavailable_since_s is not None:
            lasted_s = now_s - self._progress.unavailable_since_s
            log.info("store available again after_s=%.0f", lasted_s)
            self._progress.unavailable_since_s = None

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return False
        return True
