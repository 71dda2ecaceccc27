"""Transport: what may be committed, and in which generation."""

from collections import defaultdict
from types import SimpleNamespace

from faust.types import TP

from kpistream.stream.transport import BatchConsumer

EVENTS = TP("events", 2)


def consumer(generation: int) -> BatchConsumer:
    """One that has committed nothing yet, without a broker."""
    made = BatchConsumer.__new__(BatchConsumer)
    made.app = SimpleNamespace(consumer_generation_id=generation)
    made.loop = SimpleNamespace(time=lambda: 1000.0)
    made._done, made._committed_offset, made._committed_s = {}, defaultdict(lambda: None), {}
    return made


def committable(made: BatchConsumer) -> dict[TP, int]:
    return made._filter_committable_offsets(made._filter_tps_with_pending_acks())


def test_what_is_acknowledged_may_be_committed_once() -> None:
    made = consumer(6)

    assert made.acknowledge(*EVENTS, 40, 6)
    assert made.acknowledge(*EVENTS, 30, 6)
    assert committable(made) == {EVENTS: 40}
    made._committed_offset[EVENTS], made._committed_s[EVENTS] = 40, 990.0
    assert committable(made) == {}


def test_what_was_committed_is_committed_again_after_a_minute() -> None:
    """A late commit of another member may have taken the group's offset back."""
    made = consumer(6)
    made.acknowledge(*EVENTS, 40, 6)
    made._committed_offset[EVENTS], made._committed_s[EVENTS] = 40, 939.0

    assert committable(made) == {EVENTS: 40}
    made._committed_offset[EVENTS] = 41
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
