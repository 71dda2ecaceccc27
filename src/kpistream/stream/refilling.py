"""Refilling: own measures of the day so far, out of the records that were read before anybody counted them.

After a start, a rebalance and a settings version with other measures a shadow begins with the present. Here the log is
read again beside the work, from the begin of what live windows can reach to where the shadow began, and shown to it.
Joining is the same in any order, so nothing waits for anything. What cannot be read again is told, not guessed.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.errors import KafkaError

from kpistream.core.explaining import FUTURE_MS
from kpistream.core.panes import PaneSum
from kpistream.core.settings import Settings
from kpistream.core.shadow import NOT_YET, Shadow, first_whole_ms
from kpistream.core.windows import ROLLING_MS, Window
from kpistream.errors import ConfigError, EventRejected
from kpistream.log.reading import EventReader
from kpistream.log.records import Outgoing
from kpistream.log.tail import begins_between, read_between
from kpistream.log.topics import Topics
from kpistream.metrics import WorkerMetrics
from kpistream.stream.decode import slices
from kpistream.stream.flush import sum_record
from kpistream.stream.state import Shard, Shards

log = logging.getLogger(__name__)

_LOOK_S: Final = 0.5
_AGAIN_S: Final = 5.0
"""After a failure; the numbers stay marked as partial."""
_REST_S: Final = 0.01
"""After each slice, which takes about as long: reading again has half of a core at most."""
_PUBLISHED_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class RefillPorts:
    """What refilling needs of the rest of the worker."""

    connection: Mapping[str, Any]
    topics: Topics
    now_ms: Callable[[], int]
    publish_sums: Callable[[list[Outgoing]], Awaitable[object]]
    """Publishes sums of panes for readers of teams."""
    metrics: WorkerMetrics


class Refilling:
    """Brings the shadows of the partitions that are held back to the begin of the day."""

    def __init__(self, shards: Shards, settings: Settings, ports: RefillPorts, partitions: int) -> None:
        self._shards = shards
        self._reader = EventReader(shards.settings.pane_ms, partitions)
        self._ports = ports
        self._settings = settings
        shards.count(settings.own.counting)

    def adopt(self, settings: Settings) -> None:
        """Count by other settings from the next record on; a zone whose day began earlier is read back to, too."""
        before_ms = self._from_ms()
        self._settings = settings
        self._shards.count(settings.own.counting)
        if self._from_ms() < before_ms:
            for shard in self._shards.values():
                if shard.shadow is not None and shard.shadow.begins_at:
                    shard.shadow.refilled = False

    async def run(self, turned: Callable[[], None]) -> None:
        """Refill whatever needs it, until cancelled."""
        while True:
            turned()
            for shard in self._shards.held():
                if shard.counting.numbers and shard.caught_up:
                    await self._try(shard, turned)
            self._show()
            await asyncio.sleep(_LOOK_S)

    async def _try(self, shard: Shard, turned: Callable[[], None]) -> None:
        number = shard.partition.number
        shadow = shard.shadow_from(max(shard.partition.at.next_offset, shard.begins_at))
        if shadow is None:
            return
        try:
            if not shadow.refilled:
                await self._refill(shard, shadow, turned)
            if shadow.refilled and shadow.untold.from_ms < shadow.untold.to_ms:
                await self._tell(shard, shadow, turned)
        except (KafkaError, OSError, ConfigError) as error:
            self._ports.metrics.own.failures.inc()
            log.warning(
                "own measures could not be refilled partition=%s again_in_s=%s error=%s", number, _AGAIN_S, error
            )
            await asyncio.sleep(_AGAIN_S)

    async def _refill(self, shard: Shard, shadow: Shadow, turned: Callable[[], None]) -> None:
        number = shard.partition.number
        from_ms = max(self._from_ms(), shard.partition.frontier_ms)
        connection, topic = self._ports.connection, self._ports.topics.events
        first, start = await begins_between(connection, topic, number, from_ms - FUTURE_MS, shadow.begins_at)
        whole_from_ms = from_ms if first == 0 or start > first else NOT_YET
        records_read = 0
        async for records in read_between(connection, topic, {number: start}, {number: shadow.begins_at}):
            turned()
            if whole_from_ms == NOT_YET:  # what was before the first record is gone
                whole_from_ms = max(from_ms, first_whole_ms(records[0].timestamp, self._reader.pane_ms))
            for piece in slices(list(records)):
                if shard.shadow is not shadow:
                    return
                self._show_to(shadow, piece, number)
                shadow.passed(len(piece), shard.partition.frontier_ms)
                records_read += len(piece)
                await asyncio.sleep(_REST_S)
        if shard.shadow is shadow:
            shadow.reached(whole_from_ms)
            shard.recounted.update(shadow.places())
            reached_ms = shadow.whole_from_ms
            log.info("own measures partition=%s whole_from_ms=%s records=%s", number, reached_ms, records_read)
            if reached_ms > from_ms:
                log.warning("own measures do not reach back to %s ms partition=%s", from_ms, number)

    def _show_to(self, shadow: Shadow, records: list[Any], number: int) -> None:
        for record in records:
            try:
                event = self._reader.read(record)
            except EventRejected:
                continue
            if self._reader.home(event.key) == number:
                shadow.join(event)

    async def _tell(self, shard: Shard, shadow: Shadow, turned: Callable[[], None]) -> None:
        """Publish the sums of panes for teams once more, which have them without own measures."""
        panes, untold, began_at = shard.partition.panes, shadow.untold, shard.partition.at.snapshot_at
        while shard.publishing and shard.partition.at.snapshot_at == began_at:
            await asyncio.sleep(_REST_S)  # what a flush in flight says without own measures must not be the last word
        for start_ms in sorted(start_ms for start_ms in panes if untold.holds(start_ms)):
            waiting = list(panes.get(start_ms, {}).values())
            for first in range(0, len(waiting), _PUBLISHED_AT_ONCE):
                turned()
                if shard.shadow is not shadow or not shard.ready:
                    return
                records = [
                    sum_record(PaneSum(pane.place, pane.version, pane.packed_tally), shadow.whole_sums(*pane.place))
                    for pane in waiting[first : first + _PUBLISHED_AT_ONCE]
                    if pane not in shard.partition.at.dirty  # the next flush tells it
                ]
                await self._ports.publish_sums(records)
        shadow.untold = Window(0, 0)

    def _from_ms(self) -> int:
        """From when on live windows reach back now, in the zone whose day began first."""
        now_ms = self._ports.now_ms()
        longest_ms = max(ROLLING_MS.values()) + self._reader.pane_ms
        return min(self._settings.roster.earliest_day_ms(now_ms), now_ms - now_ms % self._reader.pane_ms - longest_ms)

    def _show(self) -> None:
        held = self._shards.held() if self._shards.counting.numbers else []
        from_ms = self._from_ms() if held else 0
        self._ports.metrics.own.partial.set(sum(shard.own_from.from_ms > from_ms for shard in held))
