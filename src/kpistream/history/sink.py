"""Sink: the role that keeps history. Events become facts, panes become rows, marks are answered from facts.

Its own consumer group. Offsets are committed after the store has confirmed the rows, so a crash anywhere
only writes again what replaces itself. An outage of the store is waited for, however long; data that can
never be written, and offsets that the log no longer holds, stop the process with nothing committed. The
order of one round matters: facts, then rows, then marks whose facts are in, then offsets.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)

from kpistream.errors import ConfigError, SinkUnavailable
from kpistream.history import ddl, writer
from kpistream.history.progress import Progress, SinkObserver, Unobserved
from kpistream.history.shards import UNREAD, Shard
from kpistream.history.sink_settings import SinkSettings
from kpistream.history.store import Insert, Store
from kpistream.log.continuity import LogWatch, changed_count, missing
from kpistream.log.reading import EventReader
from kpistream.log.records import LogRecord

log = logging.getLogger(__name__)
Result = TypeVar("Result")

_POLL_MS: Final = 200


class Sink:
    """The sink role. `run` until `stop`; one object for one run. It closes the store that `connect` makes."""

    def __init__(
        self,
        settings: SinkSettings,
        connect: Callable[[], Store],
        steady_s: Callable[[], float],
        observer: SinkObserver | None = None,
    ) -> None:
        self.settings = settings
        self.progress = Progress()
        self._connect = connect
        self._steady_s = steady_s
        self._observer: SinkObserver = observer or Unobserved()
        self._reader = EventReader(settings.pane_ms, settings.partitions)
        self._stopping = asyncio.Event()
        self._store: Store | None = None
        self._shards: dict[int, Shard] = {}
        self._generation = 0
        self._unstarted: set[TopicPartition] = set()
        self._watching: asyncio.Future[None] | None = None

    def stop(self) -> None:
        """Write what was read, commit and let `run` return; in an outage of the store, return without."""
        self._stopping.set()

    async def run(self) -> None:
        """Work until `stop`. Raises `ConfigError` and `StoreRefused` for what no retry can mend."""
        store = await self._persist(self._open)
        if store is None:
            return
        self._store = store
        consumer, topics = self._make_consumer(), self.settings.topics
        if self.settings.watch_log:
            watch = LogWatch(self.settings.connection, topics, self.settings.partitions)
            self._watching = asyncio.ensure_future(watch.run())
        try:
            await consumer.start()
            consumer.subscribe([topics.events, topics.panes, topics.alerts], listener=_Listener(self))
            await self._loop(consumer)
        finally:
            if self._watching is not None:
                self._watching.cancel()
            await consumer.stop()
            await asyncio.to_thread(store.close)

    def _open(self) -> Store:
        store = self._connect()
        try:
            ddl.check(store)
        except BaseException:
            store.close()
            raise
        return store

    def _make_consumer(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **self.settings.connection,
            group_id=self.settings.group,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            partition_assignment_strategy=(RangePartitionAssignor,),
            session_timeout_ms=self.settings.session_timeout_ms,
            heartbeat_interval_ms=self.settings.session_timeout_ms // 5,
        )

    # ---- reading

    async def _loop(self, consumer: AIOKafkaConsumer) -> None:
        due_s = self._steady_s() + self.settings.batch_ms / 1000
        while not self._stopping.is_set():
            self._take(consumer, await self._poll(consumer))
            await self._start_new(consumer)
            await self._pass_marks(consumer)
            pending = sum(shard.pending for shard in self._shards.values())
            if pending >= self.settings.batch_rows or self._steady_s() >= due_s:
                await self._write_and_commit(consumer)
                due_s = self._steady_s() + self.settings.batch_ms / 1000
        await self._write_and_commit(consumer)

    async def _poll(self, consumer: AIOKafkaConsumer) -> Mapping[TopicPartition, Sequence[LogRecord]]:
        try:
            wait_ms = min(_POLL_MS, self.settings.batch_ms)
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
            take = {topics.events: shard.take_event, topics.panes: shard.take_pane, topics.alerts: shard.take_alert}
            for record in records:
                try:
                    take[tp.topic](record)
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
            try:
                position = await consumer.position(tp)
            except IllegalStateError:
                continue  # lost meanwhile
            if self._shards.get(number) is shard:
                shard.events_next = max(shard.events_next, position)

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
            and await self._write_alerts(store, shards)
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

    async def _write_alerts(self, store: Store, shards: Sequence[Shard]) -> bool:
        records = [record for shard in shards for record in shard.alerts]
        if not await self._insert(store, lambda: writer.alert_insert(records), len(records)):
            return False
        self.progress.alerts += len(records)
        for shard in shards:
            shard.alerts = []
        return True

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
        """What `work` returns in a thread, tried until the store takes it.

        None when the run ends, or the partitions are lost, while the store is unavailable.
        """
        generation, attempt = self._generation, 0
        while True:
            try:
                result = await asyncio.to_thread(work)
            except SinkUnavailable as error:
                self._failed(error, attempt)
            else:
                self._recovered()
                return result
            bound_ms = min(self.settings.backoff_limit_ms, self.settings.backoff_ms * 2 ** min(attempt, 20))
            attempt += 1
            if await self._stopped_within(random.uniform(0, bound_ms) / 1000) or generation != self._generation:
                return None

    def _failed(self, error: SinkUnavailable, attempt: int) -> None:
        now_s = self._steady_s()
        progress = self.progress
        if progress.unavailable_since_s is None:
            progress.unavailable_since_s = now_s
        progress.retries += 1
        progress.last_error = str(error)
        self._observer.retried(str(error))
        lasted_s = now_s - progress.unavailable_since_s
        level = logging.ERROR if lasted_s >= self.settings.unavailable_after_s else logging.WARNING
        log.log(level, "store unavailable for_s=%.0f attempt=%s error=%s", lasted_s, attempt + 1, error)

    def _recovered(self) -> None:
        if self.progress.unavailable_since_s is not None:
            lasted_s = self._steady_s() - self.progress.unavailable_since_s
            log.info("store available again after_s=%.0f", lasted_s)
            self.progress.unavailable_since_s = None

    async def _stopped_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
        return self._stopping.is_set()

    # ---- committing

    async def _commit(self, consumer: AIOKafkaConsumer, shards: Iterable[Shard]) -> None:
        topics, known = self.settings.topics, self.progress.committed
        offsets: dict[TopicPartition, int] = {}
        for shard in shards:
            for topic, offset in (
                (topics.events, shard.events_next),
                (topics.panes, shard.plan.committable()),
                (topics.alerts, shard.alerts_next),
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
            if not error.retriable:
                raise
            log.warning("commit failed, will try again error=%s", error)
            return
        for tp, offset in offsets.items():
            known[tp.topic, tp.partition] = offset
            end = consumer.highwater(tp) if tp in consumer.assignment() else None
            self._observer.committed(tp.topic, tp.partition, offset, max(0, (end or offset) - offset))

    # ---- assignment

    def lost(self) -> None:
        """The partitions may be somebody else's: forget what was not committed."""
        self._generation += 1
        self._shards, self._unstarted = {}, set()
        self.progress.committed.clear()

    def gained(self, assigned: Iterable[TopicPartition]) -> None:
        """These partitions are ours now; where to begin is looked up before the next round."""
        self._shards = {tp.partition: Shard(tp.partition, self._reader) for tp in assigned}
        self._unstarted = set(assigned)

    async def _start_new(self, consumer: AIOKafkaConsumer) -> None:
        """Start where the group has committed, or at the beginning of what the log still holds."""
        if not self._unstarted:
            return
        self._check_assignment(consumer)
        generation, events = self._generation, self.settings.topics.events
        faults: list[str] = []
        for tp in sorted(self._unstarted):
            committed = await consumer.committed(tp)
            start: int = (await consumer.beginning_offsets([tp]))[tp] if committed is None else committed
            if committed is not None:
                faults += await missing(consumer, self.settings.group, {tp: committed})
            if generation != self._generation or tp not in consumer.assignment():
                return
            if committed is None:
                consumer.seek(tp, start)
            else:
                self.progress.committed[tp.topic, tp.partition] = committed
            if tp.topic == events:
                self._shards[tp.partition].starts_at(start)
            self._unstarted.discard(tp)
        if faults:
            raise ConfigError(faults)
        log.info("assigned partitions=%s", sorted(self._shards))

    def _check_assignment(self, consumer: AIOKafkaConsumer) -> None:
        """Raise `ConfigError` unless events and panes of one number are read here, of as many partitions as we know."""
        topics, wanted, known = self.settings.topics, self.settings.partitions, consumer.partitions_for_topic
        counts = {topic: len(known(topic) or ()) for topic in (topics.events, topics.panes, topics.alerts)}
        faults = [changed_count(topic, count, wanted) for topic, count in counts.items() if count != wanted]
        assigned = consumer.assignment()
        events = {tp.partition for tp in assigned if tp.topic == topics.events}
        if not faults and events != {tp.partition for tp in assigned if tp.topic == topics.panes}:
            faults.append(f"the group assigned partitions of {topics.events} and {topics.panes} that do not correspond")
        if faults:
            raise ConfigError(faults)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._sink.lost()

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._sink.gained(assigned)
