"""Pipeline: worker and sink in one process, on the embedded broker and (mostly) the embedded engine.

The embedded broker keeps little and drops the oldest records in silence, so nothing is published before
there is room: `feed` waits for both readers of the events, and flushes wait for the sink. Whoever falls
behind all the same asks for an offset that is gone, and stops loudly.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from prometheus_client import CollectorRegistry

from kpistream import service
from kpistream.accepting import close_known
from kpistream.config import Config
from kpistream.core.settings import Settings
from kpistream.embedded import KEPT_BYTES, PARTITIONS, EmbeddedBroker
from kpistream.history import ddl
from kpistream.history.sink import Sink
from kpistream.history.store import open_store
from kpistream.log.publisher import Publisher
from kpistream.log.records import Outgoing
from kpistream.log.topics import Topics, partition_of
from kpistream.metrics import WorkerMetrics
from kpistream.stream.agents import Clocks, Worker

_AHEAD_BYTES: Final = KEPT_BYTES // 5
"""Events of one partition that may be under way."""
_BATCH_BYTES: Final = _AHEAD_BYTES // 4
_RECORD_OVERHEAD: Final = 100
_POLL_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class PipelineSettings:
    """How a pipeline runs."""

    store: str
    """Directory of the embedded engine, or the URL of a server."""
    live: Settings = Settings()
    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    """The clock that windows follow; the demo's runs faster."""
    flush_ms: int = 200
    sink_ms: int = 200


class Pipeline:
    """An async context manager: while it is open, what is fed is worked on."""

    def __init__(self, settings: PipelineSettings) -> None:
        self._settings = settings
        self._broker = EmbeddedBroker()
        self._tasks: list[asyncio.Task[None]] = []
        self._watch = AsyncExitStack()
        self._under_way: dict[int, deque[tuple[int, int]]] = {number: deque() for number in range(PARTITIONS)}
        self.topics = Topics()
        self.config = Config()
        self.registry = CollectorRegistry()

    async def __aenter__(self) -> "Pipeline":
        self._broker.__enter__()
        settings = self._settings
        self.config = Config(
            broker=self._broker.address,
            store=settings.store,
            embedded=True,
            flush_ms=settings.flush_ms,
            sink_ms=settings.sink_ms,
            session_timeout_s=30,
        )
        self.publisher = Publisher(self.config.connection())
        await self.publisher.start()
        for spec in self.topics.specs():
            await self.publisher.partitions(spec.name)  # the embedded broker makes a topic when it is asked about
        self._reader = AIOKafkaConsumer(**self.config.connection(), enable_auto_commit=False)
        await self._reader.start()
        with open_store(settings.store, create=True) as store:
            ddl.apply(store)
            await close_known(self.config.connection(), self.topics, PARTITIONS, self.config.pane_ms, store)
        clocks = Clocks(settings.now_ms, time.monotonic)
        worker = service.worker_settings(self.config, PARTITIONS, settings.live)
        # The embedded broker keeps little: flushes stay small while a file is worked off.
        worker = replace(worker, may_flush=self._may_flush, flush=replace(worker.flush, catching_up_ms=0))
        self.worker = Worker(worker, clocks, WorkerMetrics(self.registry))
        self.sink = Sink(
            service.sink_settings(self.config, PARTITIONS), lambda: open_store(settings.store), time.monotonic
        )
        for role in (self.worker, self.sink):
            await self._watch.enter_async_context(service.watched(role.health, self.config.stall_timeout_s))
        self._tasks = [asyncio.ensure_future(self.worker.run()), asyncio.ensure_future(self.sink.run())]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.worker.stop()
        self.sink.stop()
        done = await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._watch.aclose()
        await self._reader.stop()
        await self.publisher.stop()
        self._broker.__exit__(kind, error, traceback)
        if error is None:
            for outcome in done:
                if isinstance(outcome, BaseException):
                    raise outcome

    async def feed(self, records: Iterable[Outgoing]) -> int:
        """Publish events (keys and timestamps set) as there is room for them; how many."""
        count = 0
        batches: dict[int, list[Outgoing]] = {number: [] for number in range(PARTITIONS)}
        sizes = dict.fromkeys(batches, 0)
        for record in records:
            number = partition_of(record.key or b"", PARTITIONS)
            batches[number].append(record)
            sizes[number] += len(record.value or b"") + _RECORD_OVERHEAD
            count += 1
            if sizes[number] >= _BATCH_BYTES:
                await self._send(number, batches[number], sizes[number])
                batches[number], sizes[number] = [], 0
        for number, batch in batches.items():
            if batch:
                await self._send(number, batch, sizes[number])
        return count

    async def drained(self) -> None:
        """Wait until the worker and the sink have everything that was fed, and the sink all that followed from it."""
        while not await self._idle():
            await self._breathe()

    async def _send(self, number: int, batch: list[Outgoing], size: int) -> None:
        under_way = self._under_way[number]
        while sum(size for _, size in under_way) + size > _AHEAD_BYTES:
            done = min(self._acknowledged(number), self.sink.progress.committed.get((self.topics.events, number), 0))
            while under_way and under_way[0][0] < done:
                under_way.popleft()
            if sum(size for _, size in under_way) + size > _AHEAD_BYTES:
                if not under_way:
                    break
                await self._breathe()
        offsets = await self.publisher.publish(self.topics.events, number, batch)
        under_way.append((offsets[-1], size))

    async def _breathe(self) -> None:
        """Let the others work; raises what made one of them fail."""
        await asyncio.sleep(_POLL_S)
        for task in self._tasks:
            if task.done():
                task.result()
                raise RuntimeError("a role has stopped before it was asked to")

    async def _idle(self) -> bool:
        for number in range(PARTITIONS):
            if self.worker.shards.shard(number).unpublished or self.worker.shards.shard(number).publishing:
                return False
        followed = [TopicPartition(t, n) for t in (self.topics.events, self.topics.panes) for n in range(PARTITIONS)]
        ends = await self._reader.end_offsets(followed)
        committed = self.sink.progress.committed
        return all(
            committed.get((tp.topic, tp.partition), 0) >= end
            and (tp.topic != self.topics.events or self._acknowledged(tp.partition) >= end)
            for tp, end in ends.items()
        )

    def _acknowledged(self, number: int) -> int:
        shard = self.worker.shards.get(number)
        return 0 if shard is None else max(0, shard.partition.at.acknowledged)

    def _may_flush(self, number: int, published_to: int) -> bool:
        return self.sink.progress.committed.get((self.topics.panes, number), 0) >= published_to
