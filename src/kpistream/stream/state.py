"""State: the partitions that this worker holds, and the store through which Faust recovers them.

Faust's rebalance is eager and names partitions that stay, too. The store therefore says for each changelog
partition how far its memory reaches (`persisted_offset`), drops memory only of partitions that really went
to somebody else, and joins what it reads: recovery never overwrites. Faust swallows exceptions of a store;
this one reports them and the process ends.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from faust.stores import memory
from faust.tables import TableManager
from faust.tables.table import Table
from faust.types import TP

from kpistream.core.contributing import LOOKED_AT, Part
from kpistream.core.links import Links
from kpistream.core.measures import Tally
from kpistream.core.own_measures import NOTHING_OWN, Counting
from kpistream.core.panes import contributions_of
from kpistream.core.partition import NOTHING, Partition, PartitionSettings
from kpistream.core.placing import Place
from kpistream.core.readings import NOTHING_YET, WHOLE, OwnFrom
from kpistream.core.shadow import Shadow
from kpistream.core.tallies import NOTHING as NO_SUMS
from kpistream.core.tallies import pack_tally, unpack_tally
from kpistream.log.records import CONFLICT_REASON, Outgoing
from kpistream.log.tail import PATIENCE_S, read_on

log = logging.getLogger(__name__)

_SLICE = 500
"""Changelog records that are joined in one go: about 20 ms, in which nothing else runs."""


class Shard:
    """One partition in this worker: its panes, and what waits to be published beside them."""

    def __init__(self, number: int, settings: PartitionSettings) -> None:
        self.partition = Partition(number, settings)
        self.generation = NOTHING
        """Generation of the assignment in which it is held; -1: not held."""
        self.forwards: list[Outgoing] = []
        self.dead_letters: list[Outgoing] = []
        self.counting: Counting = NOTHING_OWN
        """What settings count beside the catalogue."""
        self.shadow: Shadow | None = None
        """What was counted of it; made with the first record, or when it is asked for."""
        self.changed: set[tuple[str, int]] = set()
        """Key and pane start of panes that were published since the ticker looked last; see `take_changed`."""
        self.recounted: set[tuple[str, int]] = set()
        """The same of panes whose own measures were counted again: nobody was heard."""
        self.unflushed = 0
        """Records handed in since the last snapshot."""
        self.waiting_bytes = 0
        """What forwards and dead letters hold."""
        self.publishing = False
        self.catch_up_to = NOTHING
        """End offset of the events when it was assigned: before that, numbers are provisional."""
        self.begins_at = NOTHING
        """Where reading of the events began in this assignment."""
        self.lagging = False
        """Records wait, and the newest one joined is older than a pane: numbers lack the present."""
        self.revoked = False
        """A rebalance has begun: it may be somebody else's until it is assigned again."""

    def assigned(self, generation: int) -> None:
        """Start a new assignment; what was not published will be read again.

        Letters of conflicts stay: the memory that stays holds the content that won, so that its record, read again,
        looks like a duplicate.
        """
        self.partition.assigned()
        self.generation = generation
        letters = self.take_others()[1]
        for letter in letters:
            if CONFLICT_REASON in letter.headers:
                self.refuse(letter)
        self.unflushed, self.catch_up_to = 0, NOTHING
        self.begins_at, self.lagging, self.revoked = NOTHING, False, False

    def lost(self) -> None:
        """Somebody else holds it now."""
        self.partition.forget()
        self.generation = NOTHING
        self.take_others()
        self.changed, self.recounted, self.unflushed, self.shadow = set(), set(), 0, None

    def forward(self, record: Outgoing) -> None:
        """Let a record go on to another partition with the next flush."""
        self.forwards.append(record)
        self.waiting_bytes += len(record.value or b"")

    def refuse(self, letter: Outgoing) -> None:
        """Publish a dead letter with the next flush."""
        self.dead_letters.append(letter)
        self.waiting_bytes += len(letter.value or b"") + len(letter.key or b"")

    def take_others(self) -> tuple[list[Outgoing], list[Outgoing]]:
        """Forwards and dead letters; nothing of them waits any more."""
        taken = self.forwards, self.dead_letters
        self.forwards, self.dead_letters, self.waiting_bytes = [], [], 0
        return taken

    def take_changed(self) -> set[tuple[str, int]]:
        """Panes that may have changed since the last call: published ones, and those that wait for a flush.

        Of these only such as nobody has read since they changed: a look comes up to 25 times between two flushes.
        """
        changed, self.changed = self.changed, set()
        changed.update((pane.key, pane.start_ms) for pane in self.partition.at.dirty if not pane.summed)
        return changed

    def take_recounted(self) -> set[tuple[str, int]]:
        """Panes whose own measures were counted again since the last call."""
        recounted, self.recounted = self.recounted, set()
        return recounted

    def starts_of(self, key: str) -> list[int]:
        """Starts of the live panes of a key."""
        return [start_ms for start_ms, by_key in self.partition.panes.items() if key in by_key]

    def packed_at(self, key: str, start_ms: int) -> bytes:
        """The packed tally of a pane; that of nothing when there is no such pane."""
        pane = self.partition.panes.get(start_ms, {}).get(key)
        if pane is None:
            return NO_SUMS
        own = None if self.shadow is None else self.shadow.sums(key, start_ms)
        return pack_tally(unpack_tally(pane.packed_tally) | own) if own else pane.packed_tally

    def whole_sums(self, place: Place) -> Tally | None:
        """Every own measure at a place, None when they are not whole there, or nothing is counted."""
        return None if self.shadow is None else self.shadow.whole_sums(*place)

    def count(self, counting: Counting) -> None:
        """Count this from now on. What is counted already stays when it is the same."""
        if self.shadow is not None and self.shadow.counting.numbers != counting.numbers:
            self.recounted.update(self.shadow.places())
            self.shadow = None
        if counting.numbers != self.counting.numbers:
            self.counting = counting

    def shadow_from(self, offset: int) -> Shadow | None:
        """The shadow, made when there is none: it is shown every record from this offset on. None: nothing is counted.

        Nothing may be joined between a call and the next record that is shown.
        """
        if self.shadow is None and self.counting.numbers:
            self.shadow = Shadow(self.counting, self.partition.settings, offset)
        return self.shadow

    @property
    def own_from(self) -> OwnFrom:
        """From when on own measures are whole."""
        if not self.counting.numbers:
            return WHOLE
        return NOTHING_YET if self.shadow is None else OwnFrom(self.shadow.whole_from_ms, not self.shadow.refilled)

    def parts(self, key: str, starts: Sequence[int]) -> Iterator[Part]:
        """The events in a key's panes at these starts, the newest panes first, as many as one may look at."""
        left = LOOKED_AT
        for start_ms in reversed(starts):
            pane = self.partition.panes.get(start_ms, {}).get(key)
            found = [] if pane is None or left <= 0 else contributions_of(pane.packed())
            left -= len(found)
            for identity, contribution in found:
                yield Part(identity, start_ms, contribution)

    def sources_of(self, key: str) -> tuple[str, ...]:
        """Sources of the events in the live panes of a key, sorted. Costs its entries."""
        found = (by_key[key].sources() for by_key in self.partition.panes.values() if key in by_key)
        return tuple(sorted({source for sources in found for source in sources}))

    def keys_at(self, start_ms: int) -> Iterable[str]:
        """Keys of the live panes at a start."""
        return self.partition.panes.get(start_ms, ())

    @property
    def links(self) -> Links:
        """What came of the calls of the live panes."""
        return self.partition.links

    @property
    def ready(self) -> bool:
        """True when records may be accepted."""
        return self.generation != NOTHING and self.partition.at.recovered and not self.revoked

    @property
    def caught_up(self) -> bool:
        """True when everything that was there at assignment has been joined, and no heavy lag has come since."""
        position = max(self.partition.at.next_offset, self.begins_at)
        return self.ready and NOTHING < self.catch_up_to <= position and not self.lagging

    @property
    def unpublished(self) -> bool:
        """True when a flush has something to do."""
        waiting = bool(self.forwards or self.dead_letters) and self.partition.at.next_offset != NOTHING
        return self.partition.unpublished or waiting


class Shards(dict[int, Shard]):
    """All partitions this process has ever held, by number."""

    def __init__(self, settings: PartitionSettings) -> None:
        super().__init__()
        self.settings = settings
        self.counting = NOTHING_OWN

    def shard(self, number: int) -> Shard:
        """The shard of a partition, made on first use."""
        if number not in self:
            self[number] = Shard(number, self.settings)
            self[number].count(self.counting)
        return self[number]

    def count(self, counting: Counting) -> None:
        """Let all partitions, those of later too, count this from now on."""
        self.counting = counting
        for shard in self.values():
            shard.count(counting)

    def held(self) -> list[Shard]:
        """Shards of the current assignment that have recovered."""
        return [shard for shard in self.values() if shard.ready]


class PaneStore(memory.Store[bytes, bytes]):
    """Faust's view of the shards: recovery goes through it, nothing else does."""

    shards: Shards
    events_topic: str
    panes_topic: str
    connection: Mapping[str, Any]
    failed: Callable[[BaseException], None]
    assigned: Callable[[], None] = staticmethod(lambda: None)
    """The group has given this process its share."""

    def persisted_offset(self, tp: TP) -> int:
        """Last changelog offset that the memory holds, -1 when it holds nothing. Never None."""
        shard = self.shards.get(tp.partition)
        return NOTHING if shard is None else shard.partition.persisted

    def apply_changelog_batch(self, batch: Iterable[Any], to_key: Any, to_value: Any) -> None:
        """Join changelog records; each event carries the records of one fetch."""
        try:
            for event in batch:
                shard = self.shards.shard(event.message.partition)
                if event.message.generation_id != shard.generation:
                    continue  # read for an assignment that is over; this one reads again from what it holds
                for record in event.message.value:
                    shard.partition.recover(record.offset, record.key, record.value)
        except Exception as error:
            self.failed(error)
            raise

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Keep the memory of what stays, drop that of what went."""
        mine = {tp.partition for tp in assigned if tp.topic == self.events_topic}
        for number, shard in self.shards.items():
            if number not in mine and shard.generation != NOTHING:
                shard.lost()
        for number in mine:
            shard = self.shards.shard(number)
            if shard.generation == NOTHING:
                shard.partition.forget()
            shard.assigned(generation_id)
        self.assigned()
        log.info("assigned generation=%s partitions=%s", generation_id, sorted(mine))

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """From here on records may be accepted."""
        try:
            generations = {tp.partition: self.shards.shard(tp.partition).generation for tp in active_tps}
            await self._read_on(generations)
            ends = await self.app.consumer.highwaters(*(TP(self.events_topic, tp.partition) for tp in active_tps))
            for tp in active_tps:
                shard = self.shards.shard(tp.partition)
                if shard.generation != generations[tp.partition]:
                    continue  # assigned anew while this one was finishing
                shard.catch_up_to = ends.get(TP(self.events_topic, tp.partition)) or 0
                shard.partition.recovered(shard.partition.persisted + 1)
            log.info("recovered partitions=%s", sorted(tp.partition for tp in active_tps))
        except Exception as error:
            self.failed(error)
            raise

    async def _read_on(self, generations: dict[int, int]) -> None:
        """Join what was appended since the assignment, to the end as it is now.

        A zombie may have appended a fuller pane after the end that Faust recovers to, and compaction may then have
        removed the record that lay before it: recovery to the end seen at assignment would miss its entries.
        """
        starts = {number: self.shards.shard(number).partition.persisted + 1 for number in generations}
        if not starts:
            return
        found = await read_on(self.connection, self.panes_topic, starts, patience_s=PATIENCE_S)
        for number, records in found.items():
            shard = self.shards.shard(number)
            for first in range(0, len(records), _SLICE):
                await asyncio.sleep(0)
                if shard.generation != generations[number]:
                    break
                for record in records[first : first + _SLICE]:
                    shard.partition.recover(record.offset, record.key, record.value)


class PaneTable(Table[bytes, bytes]):
    """A Faust table whose data is the shards. It is never written through; flushes publish panes."""

    def _new_store(self) -> PaneStore:
        store = PaneStore(
            "memory://",
            self.app,
            self,
            table_name=self.name,
            key_type=self.key_type,
            key_serializer=self.key_serializer,
            value_serializer=self.value_serializer,
            value_type=self.value_type,
            loop=self.loop,
        )
        app = cast(Any, self.app)  # always a WorkerApp
        store.shards, store.events_topic, store.failed = app.shards, app.events_topic, app.listener.failed
        store.assigned = app.listener.assigned
        store.panes_topic, store.connection = self.changelog_topic.get_topic_name(), app.connection
        return store


class PaneTables(TableManager):
    """Faust's, without its sleep of a second: the one table is there before the application starts."""

    async def on_start(self) -> None:
        """Register the table and start recovery."""
        await self._update_channels()
        await self.recovery.start()
