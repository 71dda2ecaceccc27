"""Transport: Faust's consumer, delivering one stream event for all records of a partition in one fetch.

Faust makes four asyncio tasks a record; here it makes them a batch. Commit bookkeeping is one integer a
partition: the next offset that everything before is durable for. Acknowledgements name the generation in
which the records were read and are ignored in another.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol, cast

from aiokafka.errors import IllegalStateError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from kpistream.errors import ConfigError
from kpistream.log.continuity import Reader
from kpistream.stream.committed import CommittedThread, Step

log = logging.getLogger(__name__)


class CommitListener(Protocol):
    """Who wants to know what was committed."""

    def committed(self, topic: str, partition: int, offset: int, generation: int) -> None:
        """The group committed `offset` (next to read) while `generation` was current."""

    def begins(self, partition: int, offset: int) -> None:
        """Reading of a partition begins at `offset` in this assignment."""

    def assigned(self) -> None:
        """The group has given this process its share, which may be nothing."""

    def revoked(self) -> None:
        """The partitions may be somebody else's until they are assigned again."""

    def commit_took(self, seconds: float) -> None:
        """A successful commit took this long."""

    def failed(self, error: BaseException) -> None:
        """The process must stop without acknowledging anything more."""


class BatchConsumer(driver.Consumer):
    """Reads batches. A message's value is the list of records; its offset is that before the next one to read."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._done: dict[TP, tuple[int, int]] = {}
        """Generation, and the offset before which everything is durable."""
        self._holes: dict[TP, int] = {}
        self.starts: dict[TP, int] = {}
        """Where reading of each partition began in the current assignment."""

    @property
    def _listener(self) -> CommitListener:
        return cast(CommitListener, cast(Any, self.app).listener)

    @property
    def _events_topic(self) -> str:
        return str(cast(Any, self.app).events_topic)

    def _new_consumer_thread(self) -> CommittedThread:
        return CommittedThread(self, loop=self.loop, beacon=self.beacon)

    def stable_end(self, tp: TP) -> int | None:
        """Behind the last record that may be read now: an open transaction holds it back. None before a fetch."""
        consumer = self._thread._ensure_consumer()
        stable: int | None = consumer.last_stable_offset(tp)
        end: int | None = consumer.highwater(tp) if stable is None or stable < 0 else stable
        return end

    # ---- reading

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            while not (self._stopped.is_set() or fetcher._stopped.is_set()):
                records, active = await self._wait_next_records(1.0)
                steps = cast(CommittedThread, self._thread).take_steps()
                await asyncio.sleep(0)
                if records is None or self.should_stop:
                    continue
                if not self.flow_active:
                    with contextlib.suppress(IllegalStateError):  # rebalanced in between; its recovery seeks again
                        await self.perform_seek()
                    continue
                await self._deliver(records, active, steps)
        except asyncio.CancelledError:
            raise
        except self.consumer_stopped_errors:
            if not self.app.should_stop:
                raise
        except BaseException as error:
            self._listener.failed(error)
            raise

    async def _deliver(self, records: Mapping[TP, list[Any]], active: Any, steps: Mapping[TP, Step]) -> None:
        generation = self.app.consumer_generation_id
        for tp, fetched in records.items():
            if generation != self.app.consumer_generation_id or not self.flow_active:
                return
            if not (active is None or tp in active or tp in self._buffered_partitions):
                continue
            if tp.topic == self._events_topic and not self.app.tables.actives_ready:
                # Faust resumes the events before it clears all queues (faust/tables/recovery.py,
                # on_recovery_completed): what is delivered in between would be lost in silence.
                await self._seek(tp, await self._expected(tp))
                continue
            batch = await self._unread(tp, fetched)
            if not batch:
                continue
            if tp.topic == self._events_topic:
                expected, end = await self._expected(tp), max(batch[-1].offset + 1, steps.get(tp, (0, 0))[1])
            else:
                expected, end = batch[0].offset, batch[-1].offset + 1
            await self._hand_on(_message(tp, batch, generation, expected, end))
        await self._pass_marks({tp: step for tp, step in steps.items() if not records.get(tp)}, generation)

    async def _pass_marks(self, steps: Mapping[TP, Step], generation: int) -> None:
        """Go on behind marks of transactions and aborted records that no record has followed yet.

        Else the last offset of a log that ends with a mark would never be acknowledged: lag for ever.
        """
        for tp, (before, after) in steps.items():
            if after <= before or tp.topic != self._events_topic:
                continue
            if not self.app.tables.actives_ready or before != self._read_offset[tp]:
                continue
            await self._check_held(tp)
            if generation != self.app.consumer_generation_id or not self.flow_active:
                return
            if before == self._read_offset[tp]:
                await self._hand_on(_message(tp, [], generation, before, after))

    async def _hand_on(self, message: ConsumerMessage) -> None:
        """Give the worker what was read; where to read next moves behind it, unless the flow was stopped meanwhile."""
        tp = message.tp
        self.starts.setdefault(tp, cast(int, message.key))
        await self.wait_first(self.callback(message), self.suspend_flow.wait())
        if message.generation_id == self.app.consumer_generation_id and self.flow_active:
            self._read_offset[tp] = message.offset + 1

    async def _expected(self, tp: TP) -> int:
        """The next offset to read: the committed one, or the oldest there is."""
        if self._read_offset[tp] is None:
            oldest = (await self.earliest_offsets(tp)).get(tp) or 0
            if self._read_offset[tp] is None:  # a seek may have come in between
                self._read_offset[tp] = oldest
        return int(self._read_offset[tp] or 0)

    async def perform_seek(self) -> None:
        """Go to the committed offsets; where there is none, to the oldest record.

        aiokafka's `seek_to_committed` does nothing for a partition without a commit, or with commit 0: what was
        fetched and dropped before would never come again.
        """
        await super().perform_seek()
        events = [tp for tp in self.assignment() if tp.topic == self._events_topic]
        try:
            await self._check_held(*events)
        except ConfigError as error:
            self._listener.failed(error)  # Faust may take an exception here for a passing one
            raise
        for tp in events:
            if not self._read_offset[tp]:
                self._read_offset[tp] = None
                await self._seek(tp, await self._expected(tp))
            self._listener.begins(tp.partition, await self._expected(tp))

    async def _check_held(self, *tps: TP) -> None:
        """Raise `ConfigError` unless the log holds the next record to read, or ends there.

        aiokafka would go to the oldest record in silence.
        """
        begun = {tp: int(self._read_offset[tp] or 0) for tp in tps if self._read_offset[tp] is not None}
        if not begun:
            return
        oldest, ends = await asyncio.gather(self.earliest_offsets(*begun), self.highwaters(*begun))
        reader = Reader(self.app.conf.id)
        found = (reader.fault(tp, offset, oldest[tp], ends[tp]) for tp, offset in begun.items() if tp in ends)
        faults = [fault for fault in found if fault]
        if faults:
            raise ConfigError(faults)

    async def _seek(self, partition: TP, offset: int) -> None:
        """Seek in the thread that fetches.

        Faust seeks from the main thread (faust/transport/drivers/aiokafka.py, seek): aiokafka's fetcher, interrupted
        between two lines, then fails with KeyError, or puts its own position back and the seek is lost.
        """
        thread = self._thread
        with contextlib.suppress(IllegalStateError):  # the partition has just gone; its next assignment seeks itself
            await thread.call_thread(thread._ensure_consumer().seek, partition, offset)

    async def _unread(self, tp: TP, fetched: list[Any]) -> list[Any]:
        """Records not read before. A hole at the head of the events topic means that retention was faster."""
        expected = self._read_offset[tp]
        if not fetched or expected is None:
            return fetched
        first = fetched[0].offset
        if first < expected:  # `<`, not `<=`: the read offset is the next one to read
            if tp.topic == self._events_topic:
                await self._check_held(tp)  # a topic that was made again is read from its beginning
            return [record for record in fetched if record.offset >= expected]
        if first > expected and tp.topic == self._events_topic:
            return await self._after_hole(tp, fetched, int(expected))
        return fetched

    async def _after_hole(self, tp: TP, fetched: list[Any], expected: int) -> list[Any]:
        """Records behind a hole: lost to retention, skipped by somebody (read again), or never there."""
        await self._check_held(tp)
        if self._holes.get(tp) == expected:
            return fetched  # read twice from there: transaction markers take offsets, too
        self._holes[tp] = expected
        await self._seek(tp, expected)
        return []

    # ---- acknowledging

    def acknowledge(self, topic: str, partition: int, offset: int, generation: int) -> bool:
        """Everything before `offset` is durable; False when that was another generation's business."""
        if generation != self.app.consumer_generation_id:
            return False
        tp = TP(topic, partition)
        self._done[tp] = (generation, max(offset, self._new_offset(tp) or 0))
        return True

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        return (tp for tp in list(self._done) if topics is None or tp in topics or tp.topic in topics)

    def _new_offset(self, tp: TP) -> int | None:
        """What may be committed now: nothing of an earlier generation.

        A flush may be acknowledged after its partition was revoked. Committed when the partition comes back, later,
        that offset would take the group back behind what others have committed since.
        """
        generation, offset = self._done.get(tp, (None, None))
        return offset if generation == self.app.consumer_generation_id else None

    def _should_commit(self, tp: TP, offset: int) -> bool:
        committed = self._committed_offset[tp]
        return committed is None or offset > committed

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:
        before = {tp: self._committed_offset[tp] for tp in offsets}
        generation = self.app.consumer_generation_id
        began_s = self.loop.time()
        committed = bool(await super()._commit_offsets(offsets, start_new_transaction))
        if generation != self.app.consumer_generation_id:
            return committed
        if not committed:
            # Faust takes a refused commit for done (consumer.py, _commit_offsets); the tail would never be tried again.
            self._committed_offset.update(before)
            return False
        self._listener.commit_took(self.loop.time() - began_s)
        for tp, offset in offsets.items():
            self._listener.committed(tp.topic, tp.partition, offset, generation)
        return True

    async def on_partitions_revoked(self, revoked: Iterable[TP]) -> None:
        """Forget what was acknowledged: it belongs to the generation that ends."""
        for tp in revoked:
            self._done.pop(tp, None)
            self.starts.pop(tp, None)
            self._holes.pop(tp, None)
        self._listener.revoked()
        await super().on_partitions_revoked(revoked)


def _message(tp: TP, batch: list[Any], generation: int, expected: int, end: int) -> ConsumerMessage:
    """The batch as one message; its key is the offset that had to come next, its offset the last before `end`."""
    message = cast(Any, ConsumerMessage)
    made: ConsumerMessage = message(
        tp.topic,
        tp.partition,
        end - 1,
        batch[-1].timestamp / 1000 if batch else 0.0,
        batch[-1].timestamp_type if batch else 0,
        [],
        expected,
        batch,
        None,
        0,
        0,
        tp,
        generation_id=generation,
    )
    return made


class BatchTransport(driver.Transport):
    """aiokafka, with the batch consumer."""

    Consumer = BatchConsumer
