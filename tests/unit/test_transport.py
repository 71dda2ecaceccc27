"""Transport: what may be committed, and in which generation."""

import asyncio
from collections import defaultdict
from types import SimpleNamespace

import pytest
from aiokafka.errors import CommitFailedError
from faust.types import TP

from kpistream.stream.committed import bind_commits
from kpistream.stream.transport import BatchConsumer

EVENTS = TP("events", 2)


def consumer(generation: int) -> BatchConsumer:
    """One that has committed nothing yet, without a broker."""
    made = BatchConsumer.__new__(BatchConsumer)
    made.app = SimpleNamespace(consumer_generation_id=generation)
    made._done, made._committed_offset = {}, defaultdict(lambda: None)
    return made


def committable(made: BatchConsumer) -> dict[TP, int]:
    return made._filter_committable_offsets(made._filter_tps_with_pending_acks())


def test_what_is_acknowledged_may_be_committed_once() -> None:
    made = consumer(6)

    assert made.acknowledge(*EVENTS, 40, 6)
    assert made.acknowledge(*EVENTS, 30, 6)
    assert committable(made) == {EVENTS: 40}
    made._committed_offset[EVENTS] = 40
    assert committable(made) == {}


def test_an_acknowledgement_after_the_revocation_is_not_committed_when_the_partition_comes_back() -> None:
    """A flush ends between revocation and the next assignment, which gives the partition to somebody else."""
    made = consumer(6)
    assert made.acknowledge(*EVENTS, 459, 6)

    made.app.consumer_generation_id = 7
    assert not made.acknowledge(*EVENTS, 460, 6)
    assert committable(made) == {}
    made.app.consumer_generation_id = 10  # back again; others have committed 675
    assert committable(made) == {}
    assert made.acknowledge(*EVENTS, 700, 10)
    assert committable(made) == {EVENTS: 700}


def test_a_commit_that_is_tried_again_belongs_to_its_assignment() -> None:
    """aiokafka would send it in the generation that it finds then; Faust takes this error for a rebalance."""
    sent = []

    async def send(assignment: object, offsets: dict[TP, int]) -> None:
        sent.append(offsets)

    coordinator = SimpleNamespace(_do_commit_offsets=send)
    bind_commits(coordinator)
    assignment = SimpleNamespace(active=True)

    asyncio.run(coordinator._do_commit_offsets(assignment, {EVENTS: 1}))
    assignment.active = False
    with pytest.raises(CommitFailedError, match="already rebalanced"):
        asyncio.run(coordinator._do_commit_offsets(assignment, {EVENTS: 2}))

    assert sent == [{EVENTS: 1}]
