"""A sink tells only of partitions that are its own, also when it loses them in the middle of a commit."""

import asyncio
from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError, KafkaTimeoutError

from kpistream.history.sink import Sink
from kpistream.history.sink_settings import SinkSettings
from kpistream.log.topics import Topics

EVENTS = TopicPartition("kpi.events", 0)
PANES = TopicPartition("kpi.panes", 0)


class Group:
    """A consumer whose commit succeeds; `during` happens before it has returned."""

    def __init__(self, during: Any) -> None:
        self._during = during

    async def commit(self, _: Any) -> None:
        self._during()

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset()


def committed_after(during: str) -> dict[tuple[str, int], int]:
    settings = SinkSettings({}, Topics(), "sink", 1, 300_000)
    sink = Sink(settings, lambda: cast(Any, None), lambda: 0.0)
    sink.gained([EVENTS])
    shard = sink._shards[0]
    shard.starts_at(7)
    asyncio.run(sink._commit(cast(Any, Group(getattr(sink, during, lambda: None))), [shard]))
    return sink.progress.committed


def test_what_was_committed_is_told() -> None:
    assert committed_after("nothing") == {("kpi.events", 0): 7}


def test_partition_that_is_lost_while_it_is_committed_is_told_of_by_its_next_owner() -> None:
    assert committed_after("lost") == {}


class Positionless:
    """A consumer that knows no position: what keeps it from one is raised by its next poll only."""

    async def position(self, _: TopicPartition) -> int:
        await asyncio.Event().wait()
        return 0


def test_position_that_does_not_come_is_not_waited_for() -> None:
    """A sink whose group had lost its member waited for ever, and was ended as stuck."""
    settings = SinkSettings({}, Topics(), "sink", 1, 300_000)
    sink = Sink(settings, lambda: cast(Any, None), lambda: 0.0)
    sink.gained([EVENTS])
    sink._unstarted.clear()
    sink._shards[0].starts_at(7)

    asyncio.run(asyncio.wait_for(sink._pass_marks(cast(Any, Positionless())), 60))

    assert sink._shards[0].events_next == 7


class Silent:
    """A consumer whose broker does not say at first where a partition ends."""

    def __init__(self, error: KafkaError) -> None:
        self._error: KafkaError | None = error

    async def end_offsets(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        error, self._error = self._error, None
        if error is not None:
            raise error
        return dict.fromkeys(tps, 9)

    async def beginning_offsets(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(tps, 0)

    async def committed(self, _: TopicPartition) -> int:
        return 7

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset((EVENTS, PANES))

    def partitions_for_topic(self, _: str) -> set[int]:
        return {0}


def test_assignment_is_started_once_the_broker_says_where() -> None:
    """A broker that was away for longer than a request may take ended the sink."""
    sink, consumer = assigned(), cast(Any, Silent(KafkaTimeoutError("40 s")))

    asyncio.run(sink._start_new(consumer))
    assert (sink._unstarted, sink.progress.committed) == ({EVENTS, PANES}, {})

    asyncio.run(sink._start_new(consumer))
    assert sink._unstarted == set()
    assert sink.progress.committed == {("kpi.events", 0): 7, ("kpi.panes", 0): 7}


def test_assignment_that_may_not_be_read_ends_the_sink() -> None:
    sink = assigned()

    with pytest.raises(GroupAuthorizationFailedError):
        asyncio.run(sink._start_new(cast(Any, Silent(GroupAuthorizationFailedError("kpi-sink")))))


def assigned() -> Sink:
    sink = Sink(SinkSettings({}, Topics(), "sink", 1, 300_000), lambda: cast(Any, None), lambda: 0.0)
    sink.gained([EVENTS, PANES])
    return sink
