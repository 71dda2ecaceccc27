"""Sink: the role that keeps history. Events become facts, panes become rows, marks are answered from facts.

Its own consumer group. Offsets are committed after the store has confirmed the rows, so a crash anywhere only writes
again what replaces itself. An outage of the store is waited for, however long; data that can never be written, and
offsets that the log no longer holds, stop the process. A round: facts, rows, marks whose facts are in, offsets.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)

from kpistream.errors import ConfigError
from kpistream.health import Health
from kpistream.history import ddl, writer
from kpistream.history.appending import appends
from kpistream.history.consuming import POLL_MS, Listener, make_consumer
from kpistream.history.holding import hold_back
from kpistream.history.keeping import SettingsKeeper
from kpistream.history.progress import Progress, SinkObserver, Unobserved
from kpistream.history.retrying import Backoff, Retrying
from kpistream.history.shards import UNREAD, Shard
from kpistream.history.sink_settings import SinkSettings
from kpistream.history.standing import LOOK_S, Standing, position
from kpistream.history.store import Insert, Store
from kpistream.log.continuity import LogWatch, changed_count, missing
from kpistream.log.reading import EventReader
from kpistream.log.records import LogRecord
from kpistream.log.tail import passes

log = logging.getLogger(__name__)
Result = TypeVar("Result")

_CLOSE_LIMIT_S: Final = 30.0


class Sink:
    """The sink role. `run` until `stop`; one object for one run. It closes the store that `connect` makes."""

    def __init__(
        self,
        settings: SinkSettings,
        connect: Callable[[], Store],
        steady_s: Callable[[], float],
        observer: SinkObserver | None = None,
        health: Health | None = None,
    ) -> None:
        self.settings = settings
        self.progress = Progress()
        self.keeper: SettingsKeeper | None = None
        """Keeps settings in history, when there are any."""
        self.health = health or Health("sink", steady_s)
        self._connect = connect
        self._steady_s = steady_s
        self._observer: SinkObserver = observer or Unobserved()
        self._standing = Standing(self.health, settings.limits, settings.group, self.progress)
        backoff = Backoff(settings.backoff_ms, settings.backoff_limit_ms, settings.unavailable_after_s)
        self._retrying = Retrying(backoff, self.progress, self._observer, self._standing)
        self._reader = EventReader(settings.pane_ms, settings.partitions)
        self._appends = appends(settings.topics)
        self._stopping = asyncio.Event()
        self._store: Store | None = None
        self._shards: dict[int, Shard] = {}
        self._generation = 0
        self._unstarted: set[TopicPartition] = set()
        self._watching: asyncio.Future[None] | None = None
        self._ends: dict[TopicPartition, int] = {}
        """End of each partition when it was assigned."""
        self._look_s = 0.0

    def stop(self) -> None:
        """Write what was read, commit and let `run` return; in an outage of the store, return without."""
        self._stopping.set()
        self._retrying.stop()

    async def run(self) -> None:
        """Work until `stop`. Raises `ConfigError` and `StoreRefused` for what no retry can mend."""
        self._store = store = await self._persist(self._open)
        if store is None:
            return
        self._standing.opened()
        consumer, topics, failure = make_consumer(self.settings), self.settings.topics, None
        if self.settings.watch_log:
            watch = LogWatch(self.settings.connection, topics, self.settings.partitions)
            self._watching = asyncio.ensure_future(watch.run())
        try:
            await consumer.start()
            consumer.subscribe([topics.events, topics.panes, *self._appends], listener=Listener(self))
            await self._loop(consumer)
        except BaseException as error:
            failure = error
            raise
        finally:
            ending = self.health.ending(_CLOSE_LIMIT_S, failure)
            if self._watching is not None:
                self._watching.cancel()
            await consumer.stop()
            await asyncio.to_thread(store.close)
            ending.rest()

    def _open(self) -> Store:
        store = self._connect()
        try:
            ddl.check(store)
        except BaseException:
            store.close()
            raise
        return store

    # ---- reading

    async def _loop(self, consumer: AIOKafkaConsumer) -> None:
        due_s = self._steady_s() + self.settings.batch_ms / 1000
        while not self._stopping.is_set():
            hold_back(consumer, self.settings.topics.panes, self._shards, self.settings.marks_limit)
            self._take(consumer, await self._poll(consumer))
            await self._start_new(consumer)
            await self._pass_marks(consumer)
            await self._look(consumer)
            pending = sum(shard.pending for shard in self._shards.values())
            if pending >= self.settings.batch_rows or self._steady_s() >= due_s:
                await self._write_and_commit(consumer)
                due_s = self._steady_s() + self.settings.batch_ms / 1000
        await self._write_and_commit(consumer)

    async def _look(self, consumer: AIOKafkaConsumer) -> None:
        """Note once a second how far each partition is that has something to read or to commit."""
        self._standing.turned(len(self._unstarted))
        if self._unstarted or self._steady_s() < self._look_s + LOOK_S:
            return
        self._look_s, known, topics = self._steady_s(), self.progress.committed, self.settings.topics
        markers: dict[tuple[str, int], object] = {}
        for tp in consumer.assignment():
            shard, committed = self._shards.get(tp.partition), known.get((tp.topic, tp.partition))
            if shard is None or tp not in consumer.assignment():  # lost while another was looked at
                continue
            end = consumer.last_stable_offset(tp)  # an open transaction holds up what is behind it
            if end is None or end < 0:
                end = max(consumer.highwater(tp) or 0, self._ends.get(tp, 0))
            read = {topics.events: shard.events_next, topics.panes: shard.plan.panes_read, **shard.appended_next}
            waits = read[tp.topic] > max(UNREAD, committed or 0)
            if waits or await position(consumer, tp) < end:
                # Marks hold up the panes until the facts before them are written.
                facts = known.get((topics.events, tp.partition)) if tp.topic == topics.panes else None
                markers[tp.topic, tp.partition] = (committed, facts)
        self._standing.look(markers)

    async def _poll(self, consumer: AIOKafkaConsumer) -> Mapping[TopicPartition, Sequence[LogRecord]]:
        try:
            wait_ms = min(POLL_MS, self.settings.batch_ms)
            records: Mapping[TopicPartition, Sequence[LogRecord]] = await consumer.getmany(
                timeout_ms=wait_ms, max_records=self.settings.batch_rows
            )
        except NoOffsetForPartitionError as error:
            self._unstarted.update(tp for tp in error.args if tp in consumer.assignment())
            return {}
        except OffsetOutOfRangeError as error:
            if faults := await missing(consumer, self.settings.group, error.args[0]):
                raise ConfigError(faults) from error
            for tp, offset in error.args[0].items():
                consumer.seek(tp, offset)  # the log holds it after all: its leader was not up to date
            return {}
        return records

    def _take(self, consumer: AIOKafkaConsumer, batches: Mapping[TopicPartition, Sequence[LogRecord]]) -> None:
        topics = self.settings.topics
        for tp, records in batches.items():
            shard = self._shards.get(tp.partition)
            if shard is None:
                # Fetched before the listener had made the shard: fetch it again.
                if tp in consumer.assignment():
                    consumer.seek(tp, records[0].offset)
                continue
            take = {topics.events: shard.take_event, topics.panes: shard.take_pane}.get(tp.topic, shard.take_appended)
            for record in records:
                try:
                    take(record)
                except ValueError as error:
                    raise ConfigError(
                        f"{tp.topic}[{tp.partition}] offset {record.offset}: {error}\n"
                        "hint: something else writes to this topic"
                    ) from error

    async def _pass_marks(self, consumer: AIOKafkaConsumer) -> None:
        """Go on behind marks of transactions and aborted records, which nothing that is read tells of."""
        for number, shard in list(self._shards.items()):
            tp = TopicPartition(self.settings.topics.events, number)
            if shard.events_next == UNREAD or tp in self._unstarted:
                continue
            at = await position(consumer, tp)  # not waited for: an error may keep it that only the next poll raises
            if self._shards.get(number) is shard:
                shard.events_next = max(shard.events_next, at)

    # ---- writing

    async def _write_and_commit(self, consumer: AIOKafkaConsumer) -> None:
        """One round: everything read so far is in the store and committed, or the partitions were lost."""
        generation, shards = self._generation, list(self._shards.values())
        store = self._store
        assert store is not None
        done = (
            await self._write_facts(store, shards)
            and await self._write_rows(store, shards)
            and await self._answer_marks(store, shards)
            and await self._write_appended(store, shards)
            and await self._keep_settings(store)
        )
        if self._watching is not None and self._watching.done():
            self._watching.result()  # raises what it found
        if done and generation == self._generation:
            await self._commit(consumer, shards)

    async def _write_facts(self, store: Store, shards: Sequence[Shard]) -> bool:
        facts = [fact for shard in shards for fact in shard.facts]
        if not await self._insert(store, lambda: writer.fact_insert(facts, self.settings.pane_ms), len(facts)):
            return False
        self.progress.facts += len(facts)
        for shard in shards:
            shard.facts = []
            if shard.events_next != UNREAD:
                shard.plan.facts_written(shard.events_next)
        return True

    async def _write_rows(self, store: Store, shards: Sequence[Shard]) -> bool:
        by_shard = [(shard, shard.plan.rows()) for shard in shards]
        rows = [row for _, some in by_shard for row in some]
        if not await self._insert(store, lambda: writer.pane_insert(rows), len(rows)):
            return False
        self.progress.rows += len(rows)
        for shard, written in by_shard:
            shard.plan.rows_written(written)
        return True

    async def _answer_marks(self, store: Store, shards: Sequence[Shard]) -> bool:
        by_shard = [(shard, shard.plan.due_marks()) for shard in shards]
        places = [place for _, some in by_shard for place in some]
        if not places:
            return True
        began_s = self._steady_s()

        def work() -> bool:
            writer.recompute(store, places)
            return True

        if not await self._persist(work):
            return False
        self._observer.wrote("marks", len(places), self._steady_s() - began_s)
        self.progress.marks += len(places)
        for shard, answered in by_shard:
            shard.plan.marks_answered(answered, shard.plan.events_written)
        return True

    async def _write_appended(self, store: Store, shards: Sequence[Shard]) -> bool:
        for topic, append in self._appends.items():
            records = [record for shard in shards for record in shard.appended[topic]]
            if not await self._insert(store, partial(append.insert, records), len(records)):
                return False
            self.progress.appended += len(records)
            for shard in shards:
                shard.appended[topic] = []
        return True

    async def _keep_settings(self, store: Store) -> bool:
        keeper = self.keeper
        if keeper is None or not keeper.due:
            return True

        def work() -> bool:
            keeper.write(store)
            return True

        return bool(await self._persist(work))

    async def _insert(self, store: Store, make: Callable[[], Insert], rows: int) -> bool:
        """True once the store has confirmed the rows; False when this assignment or this run is over."""
        if not rows:
            return True
        began_s = self._steady_s()

        def work() -> str:
            insert = make()
            store.insert(insert)
            return insert.table

        table = await self._persist(work)
        if table is None:
            return False
        self._observer.wrote(table, rows, self._steady_s() - began_s)
        log.debug("written table=%s rows=%s", table, rows)
        return True

    async def _persist(self, work: Callable[[], Result]) -> Result | None:
        return await self._retrying.persist(work, self._steady_s, lambda: self._generation)

    # ---- committing

    async def _commit(self, consumer: AIOKafkaConsumer, shards: Iterable[Shard]) -> None:
        topics, known, generation = self.settings.topics, self.progress.committed, self._generation
        offsets: dict[TopicPartition, int] = {}
        for shard in shards:
            for topic, offset in (
                (topics.events, shard.events_next),
                (topics.panes, shard.plan.committable()),
                *shard.appended_next.items(),
            ):
                if offset is not None and offset != UNREAD and known.get((topic, shard.number)) != offset:
                    offsets[TopicPartition(topic, shard.number)] = offset
        if not offsets:
            return
        try:
            await consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError) as error:
            log.info("partitions changed hands before the commit error=%s", error)
            return
        except KafkaError as error:
            if not passes(error):
                raise
            log.warning("commit failed, will try again error=%s", error)
            return
        if generation != self._generation:
            return  # committed, and lost meanwhile: they are somebody else's to tell of
        for tp, offset in offsets.items():
            known[tp.topic, tp.partition] = offset
            end = consumer.highwater(tp) if tp in consumer.assignment() else None
            self._observer.committed(tp.topic, tp.partition, offset, max(0, (end or offset) - offset))

    # ---- assignment

    def lost(self) -> None:
        """The partitions may be somebody else's: forget what was not committed."""
        self._generation += 1
        self._standing.unassigned()
        self._shards, self._unstarted = {}, set()
        self.progress.committed.clear()

    def gained(self, assigned: Iterable[TopicPartition]) -> None:
        """These partitions are ours now; where to begin is looked up before the next round."""
        self._shards = {tp.partition: Shard(tp.partition, self._reader, self._appends) for tp in assigned}
        self._unstarted = set(assigned)
        self._standing.assigned()

    async def _start_new(self, consumer: AIOKafkaConsumer) -> None:
        """Start where the group has committed, or at the beginning of what the log still holds.

        A broker that does not say where that is will be asked again; how long is for the watchdog.
        """
        if not self._unstarted:
            return
        try:
            await self._start(consumer)
        except KafkaError as error:
            if not passes(error):
                raise
            log.warning("assigned partitions are not started, will try again error=%s", error)

    async def _start(self, consumer: AIOKafkaConsumer) -> None:
        self._check_assignment(consumer)
        generation, tps = self._generation, sorted(self._unstarted)
        self._ends = await consumer.end_offsets(tps)
        committed = {tp: await consumer.committed(tp) for tp in tps}
        known = {tp: offset for tp, offset in committed.items() if offset is not None}
        # All at once: each of these requests waits behind the fetch that runs, up to 500 ms.
        faults = await missing(consumer, self.settings.group, known)
        fresh = [tp for tp in tps if tp not in known]
        oldest = await consumer.beginning_offsets(fresh) if fresh else {}
        if generation != self._generation or not consumer.assignment().issuperset(tps):
            return
        if faults:
            raise ConfigError(faults)
        for tp in fresh:
            consumer.seek(tp, oldest[tp])
        for tp in tps:
            if tp in known:
                self.progress.committed[tp.topic, tp.partition] = known[tp]
            if tp.topic == self.settings.topics.events:
                self._shards[tp.partition].starts_at(known[tp] if tp in known else oldest[tp])
            self._unstarted.discard(tp)
        log.info("assigned partitions=%s", sorted(self._shards))

    def _check_assignment(self, consumer: AIOKafkaConsumer) -> None:
        """Raise `ConfigError` unless events and panes of one number are read here, of as many partitions as we know."""
        topics, wanted, known = self.settings.topics, self.settings.partitions, consumer.partitions_for_topic
        counts = {topic: len(known(topic) or ()) for topic in (topics.events, topics.panes, *self._appends)}
        faults = [changed_count(topic, count, wanted) for topic, count in counts.items() if count != wanted]
        assigned = consumer.assignment()
        events = {tp.partition for tp in assigned if tp.topic == topics.events}
        if not faults and events != {tp.partition for tp in assigned if tp.topic == topics.panes}:
            faults.append(f"the group assigned partitions of {topics.events} and {topics.panes} that do not correspond")
        if faults:
            raise ConfigError(faults)
