"""Sinks on a real Apache Kafka: partitions change hands, and offsets that are gone are not passed over."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from clickhouse_connect import get_client
from clickhouse_connect.driver.client import Client

from kpistream.embedded import PARTITIONS
from kpistream.errors import ConfigError, SinkUnavailable
from kpistream.history import ddl, queries
from kpistream.history.sink import Sink
from kpistream.history.store import Insert, Store
from tests.live.broker import Broker
from tests.scenario.history_events import call, panes
from tests.scenario.history_log import LIMIT_S, Log, until


@pytest.fixture
def connect(engine_client: Client, database: str) -> Callable[[], Store]:
    def make() -> Store:
        client = get_client(interface="chdb", path=engine_client.path)
        client.database = database
        return Store(client, engine_client.path, embedded=True)

    with make() as first:
        ddl.apply(first)
    return make


async def started(kafka: Broker, connect: Callable[[], Store]) -> Log:
    log = Log(kafka.bootstrap, connect)
    topics = log.topics
    kafka.create_topics(dict.fromkeys((topics.events, topics.panes, topics.alerts, topics.results), PARTITIONS))
    await log.start()
    return log


def committed_of(wanted: str, *sinks: Sink) -> int:
    return sum(offset for sink in sinks for (topic, _), offset in sink.progress.committed.items() if topic == wanted)


def committed_events(log: Log, *sinks: Sink) -> int:
    return committed_of(log.topics.events, *sinks)


def test_partitions_change_hands_and_nothing_is_lost(kafka: Broker, connect: Callable[[], Store]) -> None:
    events = [call(str(n), agent=f"agent-{n % 20}") for n in range(300)]

    async def run() -> None:
        log = await started(kafka, connect)
        async with log.sink() as first:
            for event in events[:100]:
                await log.event(event)
            await until(lambda: committed_events(log, first) == 100)
            async with log.sink() as second:
                for event in events[100:200]:
                    await log.event(event)
                await until(lambda: bool(second.progress.committed))
                await until(lambda: committed_events(log, first, second) == 200)
                assert {partition for _, partition in first.progress.committed} & {
                    partition for _, partition in second.progress.committed
                } == set()
            for event in events[200:]:
                await log.event(event)
            for pane in panes(*events).values():
                await log.pane(pane)
            # Not by the rows that were written: a rebalance in between has some of them written twice.
            await until(lambda: committed_events(log, first) == 300 and committed_of(log.topics.panes, first) == 20)
        await log.publisher.stop()

    asyncio.run(run())

    with connect() as store:
        assert sum(seen.events for seen in queries.agents_seen(store)) == 300
        rows = {row.place: row.version for row in queries.pane_rows(store)}
        assert rows == {pane.place: pane.version for pane in panes(*events).values()}


def test_sink_that_the_group_gave_up_in_an_outage_joins_again(kafka: Broker, connect: Callable[[], Store]) -> None:
    """An outage longer than the poll interval: the group gives the partitions away, later they are read again."""
    events = [call(str(n), agent=f"agent-{n}") for n in range(40)]

    async def run() -> None:
        log = await started(kafka, connect)
        log.settings = replace(log.settings, connection={**log.connection, "max_poll_interval_ms": 1500})
        flaky = Flaky(connect())
        for event in events:
            await log.event(event)
        async with log.sink(lambda: cast("Store", flaky)) as sink:
            await until(lambda: sink.progress.retries > 0)
            await asyncio.sleep(6)
            assert committed_events(log, sink) == 0
            flaky.down = False
            await until(lambda: committed_events(log, sink) == 40)
            assert sink.progress.unavailable_since_s is None
        await log.publisher.stop()

    asyncio.run(run())

    with connect() as store:
        assert [seen.events for seen in queries.agents_seen(store)] == [1] * 40


class Flaky:
    """A store that takes no inserts while it is down."""

    def __init__(self, store: Store) -> None:
        self.down = True
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def insert(self, insert: Insert) -> None:
        if self.down:
            raise SinkUnavailable("down")
        self._store.insert(insert)


def test_events_deleted_before_they_were_read_stop_the_sink(kafka: Broker, connect: Callable[[], Store]) -> None:
    async def run() -> None:
        log = await started(kafka, connect)
        await log.event(call("1"))
        async with log.sink() as sink:
            await until(lambda: committed_events(log, sink) == 1)
        for number in range(10):
            offset = await log.event(call(f"later {number}"))
        admin = AIOKafkaAdminClient(**log.connection)
        await admin.start()
        where = TopicPartition(log.topics.events, log.partition("acme/agent:ann"))
        await admin.delete_records({where: RecordsToDelete(before_offset=offset)})
        await admin.close()

        with pytest.raises(ConfigError, match=rf"events\[\d\]: offset 1 is gone, oldest is {offset}: {offset - 1} rec"):
            await asyncio.wait_for(Sink(log.settings, connect, time.monotonic).run(), LIMIT_S)
        await log.publisher.stop()

    asyncio.run(run())
