"""The topics of one test and a sink that reads them, on any broker."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from kpistream.core.changelog import encode_mark
from kpistream.core.panes import Pane
from kpistream.core.placing import Place
from kpistream.embedded import PARTITIONS
from kpistream.history.sink import Sink
from kpistream.history.sink_settings import SinkSettings
from kpistream.history.store import Store
from kpistream.log.publisher import Publisher
from kpistream.log.records import Outgoing
from kpistream.log.topics import Topics, partition_of
from tests.scenario.history_events import NOON, PANE_MS, changelog, partition_for

LIMIT_S = 120.0
_NUMBERS = itertools.count(1)


class Log:
    """The topics of one test, and a sink that reads them."""

    def __init__(self, address: str, connect: Callable[[], Store]) -> None:
        self.topics = Topics(f"t{next(_NUMBERS)}.")
        self.connect = connect
        self.connection = {"bootstrap_servers": address}
        self.publisher = Publisher(self.connection)
        self.settings = SinkSettings(
            self.connection,
            self.topics,
            f"{self.topics.prefix}sink",
            PARTITIONS,
            PANE_MS,
            batch_ms=50,
            backoff_ms=20,
            session_timeout_ms=6000,
        )

    async def start(self) -> None:
        await self.publisher.start()
        for topic in (self.topics.events, self.topics.panes, self.topics.alerts, self.topics.results):
            assert await self.publisher.partitions(topic) == PARTITIONS

    async def event(self, event: dict[str, Any], partition: int | None = None) -> int:
        """Append an event, to the partition where it belongs unless another is named; its offset."""
        where = partition_for(event, PARTITIONS) if partition is None else partition
        outgoing = Outgoing(b"k", json.dumps(event).encode(), timestamp_ms=NOON + 3_600_000)
        return (await self.publisher.publish(self.topics.events, where, [outgoing]))[0]

    async def pane(self, pane: Pane) -> None:
        await self.panes(self.partition(pane.key), changelog(pane))

    async def mark(self, place: Place, offset: int) -> None:
        await self.panes(self.partition(place.key), encode_mark(place, offset))

    async def panes(self, partition: int, record: tuple[bytes, bytes]) -> None:
        await self.publisher.publish(self.topics.panes, partition, [Outgoing(*record)])

    def partition(self, key: str) -> int:
        return partition_of(key.encode(), PARTITIONS)

    async def committed(self, topic: str) -> dict[int, int]:
        admin = AIOKafkaAdminClient(**self.connection)
        await admin.start()
        try:
            wanted = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
            offsets = await admin.list_consumer_group_offsets(self.settings.group, partitions=wanted)
        finally:
            await admin.close()
        return {tp.partition: meta.offset for tp, meta in offsets.items() if meta.offset > 0}

    @asynccontextmanager
    async def sink(self, connect: Callable[[], Store] | None = None) -> AsyncIterator[Sink]:
        sink = Sink(self.settings, connect or self.connect, time.monotonic)
        running = asyncio.ensure_future(sink.run())
        try:
            yield sink
        finally:
            sink.stop()
            await asyncio.wait_for(running, LIMIT_S)


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {LIMIT_S} s"
        await asyncio.sleep(0.02)
