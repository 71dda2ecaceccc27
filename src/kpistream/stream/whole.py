"""Whole: up to when everything that was sent is known to whoever follows the sums of a partition.

What was sent has gone through the workers when their group has committed past it; it is here when the sums that they
had published by then are read. Only then may anybody conclude something from what is not there.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiokafka.errors import KafkaError

from kpistream.log.completeness import Completeness, Way

log = logging.getLogger(__name__)

_AGAIN_MS: Final = 10_000
_SETTLED_MS: Final = 30_000
"""Workers commit every few seconds: what was sent later than so long ago is not asked for."""


class Whole:
    """Asks the cluster when it is told to, at most every ten seconds, beside all other work."""

    def __init__(
        self, connection: Mapping[str, Any], way: Way, partitions: int, failed: Callable[[BaseException], None]
    ) -> None:
        self._connection = connection
        self._way = way
        self._partitions = partitions
        self._failed = failed
        self._asked_ms = -_AGAIN_MS
        self.asking: asyncio.Task[None] | None = None
        """The question that is on its way, or the last one."""
        self._found: tuple[int, dict[int, int]] | None = None
        """An instant up to which the workers know all, and the ends of the sums by then."""

    def to_ms(self, partition: int, next_offset: int) -> int | None:
        """All that was sent before is in the sums of a partition that are read up to an offset; None: not known."""
        if self._found is None:
            return None
        whole_to_ms, ends = self._found
        return whole_to_ms if next_offset >= ends[partition] else None

    def find_out(self, now_ms: int) -> None:
        """Begin to ask, unless that was done a moment ago."""
        running = self.asking is not None and not self.asking.done()
        if running or 0 <= now_ms - self._asked_ms < _AGAIN_MS:
            return
        self._asked_ms = now_ms
        self.asking = asyncio.ensure_future(self._ask(now_ms - _SETTLED_MS))

    async def stop(self) -> None:
        """Ask no more."""
        if self.asking is not None:
            self.asking.cancel()
            await asyncio.wait([self.asking])

    async def _ask(self, at_ms: int) -> None:
        completeness = Completeness(self._connection, self._way, self._partitions)
        try:
            await completeness.start()
            behind = await completeness.unread(at_ms)
            if behind:
                log.info("a source seems silent, but not all is read behind=%s", ",".join(behind[:3]))
            else:
                self._found = at_ms, await completeness.ends(self._way.followed)
        except (KafkaError, OSError, TimeoutError) as error:
            log.warning("cannot ask whether a source is silent error=%r", error)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._failed(error)
        finally:
            await completeness.stop()
