"""Notify: the role that tells people of alerts.

Its own consumer group, of which one member reads all of `kpi.alerts`. Offsets are committed once everything that
follows from the records before them is durable on `kpi.notifications`; what is due later is there, not in memory. A
member that takes over loads that, reads on to the end of the log, and only then lets couriers go.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)

from kpistream.core.acks import decode_ack
from kpistream.core.alerts import decode_transition
from kpistream.core.errands import Record, decode
from kpistream.core.receivers import Notify, Receiver
from kpistream.core.settings import Settings
from kpistream.errors import ConfigError
from kpistream.health import Health
from kpistream.log.publisher import Publisher
from kpistream.log.records import LogRecord
from kpistream.log.tail import read_on
from kpistream.log.topics import Topics
from kpistream.metrics import NotifyMetrics
from kpistream.notify.assignor import OneMember
from kpistream.notify.delivery import Channel
from kpistream.notify.desk import Clocks, Desk, Ports
from kpistream.notify.result_log import ResultLog

log = logging.getLogger(__name__)

_POLL_MS: Final = 200
_LOADING: Final = "what receivers were told before is not loaded"
_TURN: Final = "alerts are not read"
_HINT: Final = "look at the brokers; nothing is lost, the next process goes on from the committed offsets"
_STRANGER: Final = "hint: something else writes to this topic"


@dataclass(frozen=True, slots=True)
class NotifySettings:
    """What the role is told."""

    connection: Mapping[str, Any]
    topics: Topics
    partitions: int
    """Of the events topic, and of that of the results."""
    group: str
    notify: Notify
    """Receivers and routes to begin with."""
    session_timeout_ms: int
    publish_timeout_s: float
    stall_timeout_s: float


class Notifier:
    """The role. `run` until `stop`; one object for one run."""

    def __init__(
        self,
        settings: NotifySettings,
        channel_of: Callable[[Receiver], Channel],
        clocks: Clocks,
        metrics: NotifyMetrics,
        health: Health,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._health = health
        self._publisher: Publisher | None = None
        self._notify = settings.notify
        """Receivers and routes that are in force."""
        self._next: Notify | None = None
        """Others, from the next turn on."""
        self._channel_of = channel_of
        self._channels = self._made(settings.notify)
        self._clocks = clocks
        self._turn = health.pulse(_TURN, _HINT, settings.stall_timeout_s)
        self._loading = health.pulse(_LOADING, _HINT, math.inf, unready_after_s=0.0)
        self._stopping = asyncio.Event()
        self._desk: Desk | None = None
        self._lost = self._joined = False
        self._behind: dict[TopicPartition, int] = {}
        """Ends of partitions as they were at the assignment, while they are not reached."""

    def _made(self, notify: Notify) -> dict[str, Channel]:
        return {name: self._channel_of(receiver) for name, receiver in notify.receivers.items()}

    def adopt(self, settings: Settings) -> None:
        """Tell people by other settings, from the next turn on."""
        self._next = settings.notify

    def stop(self) -> None:
        """Let messages under way finish, and let `run` return."""
        self._stopping.set()

    async def run(self) -> None:
        """Work until `stop`. Raises ConfigError for what no retry can mend."""
        settings = self._settings
        self._loading.beat()
        consumer = AIOKafkaConsumer(
            **settings.connection,
            group_id=settings.group,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            partition_assignment_strategy=(OneMember,),
            session_timeout_ms=settings.session_timeout_ms,
            heartbeat_interval_ms=settings.session_timeout_ms // 5,
        )
        acks = AIOKafkaConsumer(**settings.connection, enable_auto_commit=False, auto_offset_reset="earliest")
        failure: BaseException | None = None
        try:
            await acks.start()
            acks.assign([TopicPartition(settings.topics.alert_acks, 0)])
            await consumer.start()
            consumer.subscribe([settings.topics.alerts], listener=_Listener(self))
            while not self._stopping.is_set():
                self._turn.beat()
                await self._work(consumer, acks)
        except BaseException as error:
            failure = error
            raise
        finally:
            ending = self._health.ending(settings.stall_timeout_s, failure)
            await self._end_desk(at_once=failure is not None)
            await consumer.stop()
            await acks.stop()
            await self._close_channels()
            ending.rest()

    # ---- one turn

    async def _work(self, consumer: AIOKafkaConsumer, acks: AIOKafkaConsumer) -> None:
        if self._lost:
            self._lost = False
            await self._end_desk(at_once=True)
        if self._next is not None:
            await self._change()
        if not consumer.assignment():
            if self._joined:
                self._loading.rest()  # stands by: ready to take over
            self._metrics.active.set(0)
            await asyncio.sleep(_POLL_MS / 1000)
            return
        if self._desk is None:
            await self._begin(consumer, acks)
            return
        try:
            await self._go_on(consumer, acks, self._desk)
        except KafkaError as error:
            if not self._lost:
                raise
            # Somebody else tells by now, and has shut this generation out: it ends with the next turn.
            log.info("partitions changed hands while alerts were told error=%s", error)

    async def _go_on(self, consumer: AIOKafkaConsumer, acks: AIOKafkaConsumer, desk: Desk) -> None:
        await self._hear(acks, desk)
        batches = await self._poll(consumer)
        if self._lost or desk is not self._desk:
            return
        for tp, records in batches.items():
            for record in records:
                desk.take(_read(tp, record, decode_transition))
        await desk.save()
        await self._commit(consumer, batches)
        await desk.look()
        await self._catch_up(consumer, desk)

    async def _change(self) -> None:
        """Go on by other receivers and routes, if they are others: as a member that takes over does, from the records.

        A message under way has its grace to finish; else it is sent again under its id.
        """
        found, self._next = self._next, None
        before = self._notify
        if found is None or found == before:
            return
        await self._end_desk(at_once=False)
        await self._close_channels()
        self._notify, self._channels = found, self._made(found)
        left = sorted(before.receivers.keys() - found.receivers.keys())
        for name in left:
            self._metrics.forget(name)
        log.info("receivers and routes are others receivers=%s left=%s", len(found.receivers), left)
        if not found.receivers:
            log.warning("these settings name no receivers: nobody is told anything")

    async def _close_channels(self) -> None:
        for channel in self._channels.values():
            await channel.close()

    async def _begin(self, consumer: AIOKafkaConsumer, acks: AIOKafkaConsumer) -> None:
        """Load what was there before, as the member that reads now."""
        self._loading.beat()
        settings = self._settings
        tps = sorted(consumer.assignment())
        ends = await consumer.end_offsets(tps)
        publisher = Publisher(
            settings.connection, timeout_s=settings.publish_timeout_s, sole_id=f"{settings.group}-teller"
        )
        self._publisher = publisher
        await publisher.start()  # from here on nobody else writes what is loaded now
        held = await read_on(settings.connection, settings.topics.notifications, {0: 0})
        results = ResultLog(settings.connection, settings.topics.results, settings.partitions)
        ports = Ports(publisher, settings.topics, self._channels, self._clocks, self._metrics, results)
        desk = Desk(self._notify, ports, _latest(settings.topics.notifications, held[0]))
        end = (await acks.end_offsets([TopicPartition(settings.topics.alert_acks, 0)])).popitem()[1]
        await acks.seek_to_beginning()
        while await acks.position(TopicPartition(settings.topics.alert_acks, 0)) < end:
            await self._hear(acks, desk, _POLL_MS)
        if self._lost:
            return
        self._behind, self._desk = {tp: ends[tp] for tp in tps}, desk
        self._metrics.active.set(1)
        log.info("assigned partitions=%s", [tp.partition for tp in tps])

    async def _hear(self, acks: AIOKafkaConsumer, desk: Desk, wait_ms: int = 0) -> None:
        for tp, records in (await acks.getmany(timeout_ms=wait_ms)).items():
            for record in records:
                if record.value:
                    desk.ack(_read(tp, record, decode_ack))

    async def _poll(self, consumer: AIOKafkaConsumer) -> Mapping[TopicPartition, Sequence[LogRecord]]:
        try:
            found: Mapping[TopicPartition, Sequence[LogRecord]] = await consumer.getmany(timeout_ms=_POLL_MS)
        except NoOffsetForPartitionError as error:
            await consumer.seek_to_beginning(*[tp for tp in error.args if tp in consumer.assignment()])
            return {}
        except OffsetOutOfRangeError as error:
            tps = [tp for tp in error.args[0] if tp in consumer.assignment()]
            log.error("alerts were deleted before they were read partitions=%s", [tp.partition for tp in tps])
            await consumer.seek_to_beginning(*tps)
            return {}
        return found

    async def _catch_up(self, consumer: AIOKafkaConsumer, desk: Desk) -> None:
        for tp in list(self._behind):
            if tp in consumer.assignment() and await self._position(consumer, tp) >= self._behind[tp]:
                del self._behind[tp]
        for tp in consumer.assignment():
            end = consumer.highwater(tp)
            if end is not None:
                self._metrics.lag.labels(str(tp.partition)).set(max(0, end - await self._position(consumer, tp)))
        if not self._behind and not desk.open and not self._lost:
            desk.begin()
            self._loading.rest()
            log.info("telling receivers=%s", len(self._notify.receivers))

    async def _position(self, consumer: AIOKafkaConsumer, tp: TopicPartition) -> int:
        try:
            async with asyncio.timeout(_POLL_MS / 1000):
                return int(await consumer.position(tp))
        except (TimeoutError, IllegalStateError):
            return -1

    async def _commit(self, consumer: AIOKafkaConsumer, batches: Mapping[TopicPartition, Sequence[LogRecord]]) -> None:
        offsets = {tp: records[-1].offset + 1 for tp, records in batches.items() if records}
        if not offsets:
            return
        try:
            await consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError) as error:
            log.info("partitions changed hands before the commit error=%s", error)
        except KafkaError as error:
            if not error.retriable:
                raise
            log.warning("commit failed, what was read is committed later error=%s", error)

    # ---- assignment

    def lost(self) -> None:
        """The alerts may be somebody else's: nothing more is told by this generation."""
        self._lost = True
        self._loading.beat()

    def gained(self) -> None:
        """An assignment has come, also one of nothing."""
        self._joined = True

    async def _end_desk(self, *, at_once: bool) -> None:
        if self._desk is not None:
            desk, self._desk = self._desk, None
            await desk.close(at_once=at_once)
        if self._publisher is not None:
            publisher, self._publisher = self._publisher, None
            await publisher.stop()


def _latest(topic: str, records: Iterable[LogRecord]) -> list[Record]:
    """The newest record under each key that is no tombstone."""
    held: dict[bytes, LogRecord] = {}
    for record in records:
        held[record.key or b""] = record
    tp = TopicPartition(topic, 0)
    return [
        _read(tp, record, lambda value, key=key: decode(key.decode("utf-8", "surrogatepass"), value))  # type: ignore[misc]
        for key, record in held.items()
        if record.value
    ]


def _read(tp: TopicPartition, record: LogRecord, decode_: Callable[[bytes], Any]) -> Any:
    """What the record holds. Raises ConfigError when it is none of ours."""
    try:
        return decode_(record.value or b"")
    except msgspec.DecodeError as error:
        raise ConfigError(f"{tp.topic}[{tp.partition}] offset {record.offset}: {error}\n{_STRANGER}") from error


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._notifier.lost()

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._notifier.gained()
