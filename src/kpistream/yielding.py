"""Yielding: what comes from files waits for the workers, so that live events are not late.

Events of a year and events of this second share one log: whatever is appended in a burst is worked off before
what a telephone system appends next. A loader that yields keeps each partition's lag small. Where no worker makes
progress there is nobody to wait for.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

LAG_LIMIT: Final = 5_000
"""Records of a partition that may wait for a worker: a tenth of a second of its work. Workers commit once a second."""
STALLED_S: Final = 5.0
"""A worker that commits nothing for this long is not waited for."""
_POLL_S: Final = 0.1


class Yielding:
    """Knows how far workers are behind what was appended."""

    def __init__(
        self,
        committed: Callable[[], Awaitable[Mapping[int, int]]],
        *,
        lag_limit: int = LAG_LIMIT,
        stalled_s: float = STALLED_S,
    ) -> None:
        """`committed`: what the group of the workers has committed by partition."""
        self._committed = committed
        self._lag_limit = lag_limit
        self._stalled_s = stalled_s
        self._ends: dict[int, int] = {}
        self._seen: Mapping[int, int] = {}
        self._moved_s = time.monotonic()

    def appended(self, ends: Mapping[int, int]) -> None:
        """Records were appended; the offsets behind them by partition."""
        self._ends.update(ends)

    async def room(self) -> None:
        """Wait until no partition is too far behind, or nobody works on them."""
        while True:
            committed = await self._committed()
            now_s = time.monotonic()
            if committed != self._seen:
                self._seen, self._moved_s = committed, now_s
            behind = max((end - committed.get(number, 0) for number, end in self._ends.items()), default=0)
            if behind <= self._lag_limit or now_s - self._moved_s > self._stalled_s:
                return
            await asyncio.sleep(_POLL_S)
