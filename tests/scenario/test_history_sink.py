"""The sink on a broker and an engine: what is confirmed is committed, what is not is read again."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from kpistream.core.panes import Pane
from kpistream.core.placing import Place
from kpistream.core.rows import PaneRow
from kpistream.embedded import PARTITIONS, EmbeddedBroker
from kpistream.errors import ConfigError, SinkUnavailable
from kpistream.history import queries
from kpistream.history.queries import Span
from kpistream.history.sink import Sink
from kpistream.history.store import Insert, Store
from tests.scenario.history_events import NOON, PANE_MS, abandoned, call, deal, panes, partition_for
from tests.scenario.history_log import LIMIT_S, Log, until

ANN = Place("acme/agent:ann", NOON)


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    with EmbeddedBroker() as embedded:
        yield embedded.address


def scenario(body: Callable[[Log], Any], broker: str, connect: Callable[[], Store]) -> None:
    async def run() -> None:
        log = Log(broker, connect)
        await log.start()
        try:
            await body(log)
        finally:
            await log.publisher.stop()

    asyncio.run(run())


def rows(store: Store) -> dict[Place, PaneRow]:
    return {row.place: row for row in queries.pane_rows(store)}


def row_of(pane: Pane) -> PaneRow:
    return PaneRow(pane.place, PANE_MS, pane.version, dict(pane.tally))


def test_events_become_facts_and_panes_become_rows(broker: str, connect: Callable[[], Store], store: Store) -> None:
    events = [call("1"), call("2"), deal("d"), call("3", agent="bob"), abandoned("q")]

    async def body(log: Log) -> None:
        for event in events:
            await log.event(event)
        for pane in panes(*events).values():
            await log.pane(pane)
        async with log.sink() as sink:
            await until(lambda: sink.progress.facts == 5 and sink.progress.rows == 3)
        counts = {}
        for event in events:
            where = partition_for(event, PARTITIONS)
            counts[where] = counts.get(where, 0) + 1
        assert await log.committed(log.topics.events) == counts
        assert sum((await log.committed(log.topics.panes)).values()) == 3

    scenario(body, broker, connect)

    assert rows(store) == {pane.place: row_of(pane) for pane in panes(*events).values()}
    assert len(queries.facts_of(store, "agent:ann", Span())) == 3


def test_refused_and_misplaced_records_are_left_to_the_worker(
    broker: str, connect: Callable[[], Store], store: Store
) -> None:
    async def body(log: Log) -> None:
        right = partition_for(call("1"), PARTITIONS)
        await log.event(call("1"), (right + 1) % PARTITIONS)
        await log.event(call("2", outcome="nonsense"), right)
        await log.event(call("3"), right)
        async with log.sink() as sink:
            await until(lambda: sink.progress.facts == 1)
            await until(lambda: sink.progress.committed.get((log.topics.events, (right + 1) % PARTITIONS)) == 1)

    scenario(body, broker, connect)

    assert [fact["event_id"] for fact in queries.facts_of(store, "agent:ann", Span())] == ["3"]


def test_older_pane_of_a_zombie_does_not_replace_the_newer_one(
    broker: str, connect: Callable[[], Store], store: Store
) -> None:
    [older] = panes(call("1")).values()
    [newer] = panes(call("1"), call("2")).values()

    async def body(log: Log) -> None:
        await log.pane(newer)
        async with log.sink() as sink:
            await until(lambda: sink.progress.rows == 1)
            await log.pane(older)
            await until(lambda: sink.progress.rows == 2)

    scenario(body, broker, connect)

    assert rows(store) == {ANN: row_of(newer)}


def test_mark_waits_for_its_facts_and_holds_back_the_commit(
    broker: str, connect: Callable[[], Store], store: Store
) -> None:
    late = call("late")
    where = partition_for(late, PARTITIONS)

    async def body(log: Log) -> None:
        await log.event(call("1"))
        await log.mark(ANN, 1)
        await log.pane(next(iter(panes(call("x", ended_ms=NOON + 3_600_000)).values())))
        async with log.sink() as sink:
            await until(lambda: sink.progress.facts == 1 and sink.progress.rows == 1)
            await asyncio.sleep(0.5)
            assert sink.progress.marks == 0
            assert (log.topics.panes, where) not in sink.progress.committed or not sink.progress.committed[
                log.topics.panes, where
            ]
            assert await log.event(late) == 1
            await until(lambda: sink.progress.committed.get((log.topics.panes, where)) == 2)
            assert sink.progress.marks == 1

    scenario(body, broker, connect)

    [expected] = panes(call("1"), late).values()
    assert rows(store)[ANN] == row_of(expected)


def test_mark_is_answered_after_a_restart_without_new_events(
    broker: str, connect: Callable[[], Store], store: Store
) -> None:
    async def body(log: Log) -> None:
        await log.event(call("1"))
        async with log.sink() as sink:
            await until(lambda: sink.progress.facts == 1)
        await log.mark(ANN, 0)
        async with log.sink() as sink:
            await until(lambda: sink.progress.marks == 1)

    scenario(body, broker, connect)

    assert rows(store) == {ANN: row_of(panes(call("1"))[ANN])}


def test_marks_that_wait_hold_back_the_panes_and_not_the_events(
    broker: str, connect: Callable[[], Store], store: Store
) -> None:
    """More marks than may wait, all for facts that are still to come; they are answered when those are in."""
    events = [call(str(number), ended_ms=NOON + number * PANE_MS) for number in range(12)]
    places = [pane.place for event in events for pane in panes(event).values()]
    where = partition_for(events[0], PARTITIONS)

    async def body(log: Log) -> None:
        log.settings = replace(log.settings, batch_rows=1, marks_limit=3)
        for place in places:
            await log.mark(place, len(events) - 1)
        async with log.sink() as sink:
            await until(lambda: where in sink._shards and sink._shards[where].plan.waiting_marks > 3)
            for event in events[:-1]:
                await log.event(event)
            await until(lambda: sink.progress.facts == len(events) - 1)
            assert sink._shards[where].plan.waiting_marks == 4
            await log.event(events[-1])
            await until(lambda: sink.progress.committed.get((log.topics.panes, where)) == len(places))
            assert sink.progress.marks == len(places)

    scenario(body, broker, connect)

    assert rows(store) == {pane.place: row_of(pane) for pane in panes(*events).values()}


class Flaky:
    """A store that fails: before a write reaches it, or after it was applied."""

    def __init__(self, store: Store, failures: list[str]) -> None:
        self._store = store
        self._failures = failures

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def insert(self, insert: Insert) -> None:
        self._fail("before")
        self._store.insert(insert)
        self._fail("after")

    def insert_select(self, sql: str, parameters: dict[str, Any]) -> None:
        self._store.insert_select(sql, parameters)
        self._fail("after")

    def _fail(self, when: str) -> None:
        if self._failures and self._failures[0] == when:
            raise SinkUnavailable(f"cut {self._failures.pop(0)} it was applied")


def test_outage_is_waited_for_and_nothing_is_lost_or_doubled(
    broker: str, connect: Callable[[], Store], store: Store
) -> None:
    failures = ["before", "after", "before", "after", "after"]

    def flaky() -> Any:
        if not attempts:
            attempts.append(1)
            raise SinkUnavailable("no answer at start")
        return Flaky(connect(), failures)

    attempts: list[int] = []
    events = [call("1"), call("2"), deal("d")]

    async def body(log: Log) -> None:
        for event in events:
            await log.event(event)
        await log.pane(panes(*events)[ANN])
        await log.mark(ANN, 0)
        async with log.sink(flaky) as sink:
            await until(lambda: sink.progress.facts == 3 and sink.progress.marks == 1 and not failures)
            await until(lambda: sum(n for (t, _), n in sink.progress.committed.items() if t == log.topics.panes) == 2)
            assert sink.progress.retries == 6
            assert sink.progress.unavailable_since_s is None

    scenario(body, broker, connect)

    assert rows(store) == {ANN: row_of(panes(*events)[ANN])}
    assert len(queries.facts_of(store, "agent:ann", Span())) == 3


def test_stop_in_an_outage_commits_nothing_and_the_next_sink_goes_on(
    broker: str, connect: Callable[[], Store], store: Store
) -> None:
    async def body(log: Log) -> None:
        await log.event(call("1"))
        async with log.sink(lambda: Flaky(connect(), ["before"] * 1_000_000)) as sink:  # type: ignore[arg-type, return-value]
            await until(lambda: sink.progress.retries > 2)
            assert "cut before" in sink.progress.last_error
        assert await log.committed(log.topics.events) == {}
        async with log.sink() as sink:
            await until(lambda: sink.progress.facts == 1)

    scenario(body, broker, connect)

    assert len(queries.facts_of(store, "agent:ann", Span())) == 1


def test_offsets_that_the_log_has_lost_stop_the_sink(broker: str, connect: Callable[[], Store]) -> None:
    async def body(log: Log) -> None:
        await log.event(call("1"))
        tp = TopicPartition(log.topics.events, partition_for(call("1"), PARTITIONS))
        consumer = AIOKafkaConsumer(**log.connection, group_id=log.settings.group, enable_auto_commit=False)
        consumer.assign([tp])
        await consumer.start()
        await consumer.commit({tp: 1000})
        await consumer.stop()
        sink = Sink(log.settings, log.connect, time.monotonic)
        with pytest.raises(ConfigError, match=rf"{log.topics.events}\[\d\]: offset 1000 is next for .* ends at 1"):
            await asyncio.wait_for(sink.run(), LIMIT_S)

    scenario(body, broker, connect)


def test_record_that_is_none_of_ours_stops_the_sink(broker: str, connect: Callable[[], Store]) -> None:
    async def body(log: Log) -> None:
        await log.panes(2, (b"X/what", b"is this"))
        sink = Sink(log.settings, log.connect, time.monotonic)
        with pytest.raises(ConfigError, match=r"panes\[2\] offset 0: not a changelog key"):
            await asyncio.wait_for(sink.run(), LIMIT_S)
        assert await log.committed(log.topics.panes) == {}

    scenario(body, broker, connect)


def test_other_partition_count_stops_the_sink(broker: str, connect: Callable[[], Store]) -> None:
    async def body(log: Log) -> None:
        sink = Sink(replace(log.settings, partitions=3), log.connect, time.monotonic)
        with pytest.raises(ConfigError, match="events': 4 partitions, 3 when the roles began"):
            await asyncio.wait_for(sink.run(), LIMIT_S)

    scenario(body, broker, connect)
