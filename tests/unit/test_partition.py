"""Partition: every rule of a worker about one partition, one record at a time."""

import pytest

from kpistream.core.changelog import (
    FrontierRecord,
    MarkRecord,
    PaneRecord,
    encode_frontier,
    encode_mark,
    parse,
)
from kpistream.core.measures import CALLS, TALK_MS
from kpistream.core.panes import PaneSum
from kpistream.core.partition import Flush, Outcome, Partition, PartitionSettings, Retraction
from kpistream.core.placing import Accepted, Place, rank_of
from kpistream.core.tallies import pack_tally

MINUTE = 60_000
PANE = 5 * MINUTE
ADA, BOB = "acme/agent:ada", "acme/agent:bob"
CALL = "acme/pbx/call/1"
ADA_FIRST = Place(ADA, 0)


def event(
    identity: str = CALL, place: Place = ADA_FIRST, revision: int = 0, talk_ms: int = 1000, digest: int = 7
) -> Accepted:
    added = (CALLS, 1, TALK_MS, talk_ms)
    return Accepted(identity, *place, rank_of(1, revision, digest), added, False, None, place.start_ms, None)  # type: ignore[arg-type]


def moved(place: Place, left: Place, revision: int = 1) -> Accepted:
    rank = rank_of(1, revision, 7)
    return Accepted(CALL, *place, rank, (CALLS, 1, TALK_MS, 1000), False, left, place.start_ms, None)  # type: ignore[arg-type]


def retraction(place: Place, revision: int = 1) -> Accepted:
    return Accepted(CALL, *place, rank_of(1, revision, 7), (), True, None, place.start_ms, None)  # type: ignore[arg-type]


def partition(**settings: object) -> Partition:
    made = Partition(3, PartitionSettings("w1", PANE, horizon_ms=60 * MINUTE, **settings))  # type: ignore[arg-type]
    made.recovered(0)
    return made


def fed(part: Partition, *events: Accepted, newest_ms: int = 0) -> list[Outcome]:
    first = max(0, part.at.next_offset)
    outcomes = [part.accept(it, first + number) for number, it in enumerate(events)]
    part.advance(first + len(events), newest_ms)
    return outcomes


def durable(part: Partition, *, sink: int | None = None, offset: int = 100) -> Flush:
    """Flush, publish at `offset` and on, acknowledge, commit."""
    flush = part.snapshot(sink)
    for number, (key, value) in enumerate(flush.changelog):
        part.published(key, offset + number, value is None)
    part.acknowledged(flush)
    part.committed(flush.upto)
    return flush


def records(flush: Flush) -> list[object]:
    return [None if value is None else parse(key, value) for key, value in flush.changelog]


def talk(part: Partition) -> dict[Place, int]:
    return {pane.place: pane.tally.get(TALK_MS, 0) for pane in part.live_panes()}


def closed_before(start_ms: int, **settings: object) -> Partition:
    """A partition whose frontier was found in the changelog."""
    made = Partition(3, PartitionSettings("w1", PANE, horizon_ms=60 * MINUTE, **settings))  # type: ignore[arg-type]
    made.recover(0, *encode_frontier(3, "w0", start_ms))
    made.recovered(1)
    return made


# ---- outcomes


def test_outcomes_say_what_became_of_each_record():
    part = partition()

    outcomes = fed(
        part,
        event(revision=1),
        event(revision=1),
        event(revision=2, talk_ms=9),
        event(revision=1),
        event(revision=2, talk_ms=5, digest=8),
        event(revision=2, talk_ms=9),
        event(place=Place(BOB, 0), revision=3),
        retraction(Place(ADA, 0), revision=3),
    )

    assert outcomes == [
        Outcome.ADDED,
        Outcome.DUPLICATE,
        Outcome.CORRECTED,
        Outcome.STALE,
        Outcome.CONFLICT,
        Outcome.CONFLICT,
        Outcome.CORRECTED,
        Outcome.RETRACTED,
    ]
    assert talk(part) == {Place(ADA, 0): 0, Place(BOB, 0): 1000}


def test_same_revision_at_two_places_is_a_conflict():
    part = partition()

    outcomes = fed(part, event(), event(place=Place(BOB, 0), digest=9))

    assert outcomes == [Outcome.ADDED, Outcome.CONFLICT]
    assert part.snapshot(None).retractions == [Retraction(CALL, rank_of(1, 0, 9), Place(ADA, 0))]


# ---- flush


def test_flush_takes_panes_sums_and_position_once():
    part = partition()
    fed(part, event(talk_ms=1000), event("acme/pbx/call/2", talk_ms=500), newest_ms=5)

    flush = part.snapshot(None)

    version = 2 * (rank_of(1, 0, 7) + 1)
    (record,) = records(flush)
    assert isinstance(record, PaneRecord)
    assert (record.place, record.version, record.tally) == (Place(ADA, 0), version, {CALLS: 2, TALK_MS: 1500})
    assert flush.sums == [PaneSum(Place(ADA, 0), version, pack_tally({CALLS: 2, TALK_MS: 1500}), ("pbx",))]
    assert (flush.upto, flush.newest_ms, flush.frontier_ms) == (2, 5, None)
    assert not part.snapshot(None)


def test_a_flush_is_not_changed_by_records_that_come_after_it():
    part = partition()
    fed(part, event())

    flush = part.snapshot(None)
    fed(part, event("acme/pbx/call/2"))

    assert flush.upto == 1
    assert flush.sums[0].tally == {CALLS: 1, TALK_MS: 1000}
    assert part.unpublished


def test_nothing_is_unpublished_after_the_acknowledgement():
    part = partition()
    assert not part.unpublished
    fed(part, event())
    assert part.unpublished

    durable(part)

    assert not part.unpublished


def test_a_record_that_changes_nothing_marks_its_pane_dirty():
    part = partition()
    fed(part, event(revision=1))
    durable(part)

    fed(part, event(revision=1), event(revision=0))

    assert [type(record) for record in records(part.snapshot(None))] == [PaneRecord]


def test_a_large_pane_is_split_and_each_chunk_has_the_sums_of_all():
    part = partition(chunk_bytes=64)
    fed(part, *(event(f"acme/pbx/call/{number}", talk_ms=1) for number in range(8)))

    found = records(part.snapshot(None))

    assert len(found) == 8
    assert all(isinstance(record, PaneRecord) and record.tally == {CALLS: 8, TALK_MS: 8} for record in found)


# ---- moves


def test_a_move_retracts_the_old_place_through_the_log_and_not_in_memory():
    part = partition()
    fed(part, event())
    fed(part, event(place=Place(BOB, PANE), revision=1))

    flush = part.snapshot(None)

    assert flush.retractions == [Retraction(CALL, rank_of(1, 1, 7), Place(ADA, 0))]
    assert talk(part) == {Place(ADA, 0): 1000, Place(BOB, PANE): 1000}

    fed(part, retraction(Place(ADA, 0)))

    assert talk(part) == {Place(ADA, 0): 0, Place(BOB, PANE): 1000}
    assert part.snapshot(None).retractions == []


def test_a_replayed_move_sends_its_retraction_again():
    part = partition()
    fed(part, event(), event(place=Place(BOB, 0), revision=1))
    part.snapshot(None)

    fed(part, event(place=Place(BOB, 0), revision=1))

    assert part.snapshot(None).retractions == [Retraction(CALL, rank_of(1, 1, 7), Place(ADA, 0))]


def test_a_lower_revision_that_arrives_later_elsewhere_is_retracted_at_its_own_place():
    part = partition()

    outcomes = fed(part, event(place=Place(BOB, 0), revision=2), event(revision=1))

    assert outcomes == [Outcome.ADDED, Outcome.STALE]
    assert part.snapshot(None).retractions == [Retraction(CALL, rank_of(1, 2, 7), Place(ADA, 0))]


def test_an_announced_move_is_sent_always_and_once_a_flush():
    part = partition()
    announced = Retraction(CALL, rank_of(1, 1, 7), Place("acme/agent:elsewhere", 0))

    fed(part, moved(Place(ADA, 0), announced.place), moved(Place(ADA, 0), announced.place))
    assert part.snapshot(None).retractions == [announced]

    fed(part, moved(Place(ADA, 0), announced.place))
    assert part.snapshot(None).retractions == [announced]


def test_an_event_returns_to_the_place_that_it_left():
    part = partition()

    fed(
        part, event(revision=0), event(place=Place(BOB, 0), revision=1), retraction(Place(ADA, 0), 1), event(revision=2)
    )
    assert talk(part) == {Place(ADA, 0): 1000, Place(BOB, 0): 1000}
    fed(part, retraction(Place(BOB, 0), 2))

    assert talk(part) == {Place(ADA, 0): 1000, Place(BOB, 0): 0}
    assert part.standing(CALL) == [
        (Place(ADA, 0), rank_of(1, 2, 7), (CALLS, 1, TALK_MS, 1000)),
        (Place(BOB, 0), rank_of(1, 2, 7), ()),
    ]


def test_a_retraction_that_comes_before_its_event_holds():
    part = partition()

    fed(part, retraction(Place(ADA, 0), 1), event(revision=0))

    assert talk(part) == {Place(ADA, 0): 0}


# ---- frontier
#
#   newest record 62 min, horizon 60 min, panes of 5 min:   | 0 | 5 | ...   frontier is 0;  at 66 min it is 5


def test_the_frontier_follows_committed_records_only():
    part = partition()
    fed(part, event(), newest_ms=66 * MINUTE)

    first = part.snapshot(None)
    part.acknowledged(first)
    fed(part, event("acme/pbx/call/2", Place(ADA, 60 * MINUTE)), newest_ms=66 * MINUTE)
    second = part.snapshot(None)
    part.acknowledged(second)
    part.committed(first.upto)
    third = part.snapshot(None)

    assert [flush.frontier_ms for flush in (first, second, third)] == [None, None, 5 * MINUTE]
    assert FrontierRecord(5 * MINUTE) in records(third)
    assert part.frontier_ms == -1


def test_a_pane_below_the_acknowledged_frontier_is_gone():
    part = partition()
    fed(part, event(), event("acme/pbx/call/2", Place(ADA, PANE)), newest_ms=66 * MINUTE)
    durable(part)

    durable(part)

    assert talk(part) == {Place(ADA, PANE): 1000}
    assert part.standing(CALL) == []
    assert part.frontier_ms == PANE


def test_a_pane_that_became_dirty_while_its_frontier_was_on_its_way_gets_a_mark():
    part = partition()
    fed(part, event(), newest_ms=66 * MINUTE)
    durable(part)
    fed(part, event("acme/pbx/call/2", Place(BOB, 66 * MINUTE)), newest_ms=66 * MINUTE)
    flush = part.snapshot(None)
    fed(part, event("acme/pbx/call/3"), newest_ms=66 * MINUTE)

    part.acknowledged(flush)

    assert records(part.snapshot(None)) == [MarkRecord(ADA, 0, 2)]


def test_an_event_for_a_closed_pane_becomes_a_mark_with_the_last_offset():
    part = closed_before(PANE)

    outcomes = fed(part, event(), event("acme/pbx/call/2"))

    assert outcomes == [Outcome.CLOSED, Outcome.CLOSED]
    assert records(part.snapshot(None)) == [MarkRecord(ADA, 0, 1)]
    assert talk(part) == {}


def test_an_event_for_a_closed_pane_still_leaves_its_live_and_its_announced_places():
    part = closed_before(PANE)
    fed(part, event(place=Place(ADA, PANE)))

    fed(part, moved(Place(ADA, 0), Place(BOB, 0)))

    rank = rank_of(1, 1, 7)
    assert set(part.snapshot(None).retractions) == {
        Retraction(CALL, rank, Place(BOB, 0)),
        Retraction(CALL, rank, Place(ADA, PANE)),
    }


def test_a_retraction_for_a_closed_pane_becomes_a_mark():
    part = closed_before(PANE)

    assert fed(part, retraction(Place(ADA, 0))) == [Outcome.CLOSED]

    assert records(part.snapshot(None)) == [MarkRecord(ADA, 0, 0)]


def test_without_history_a_closed_pane_gets_no_mark():
    part = closed_before(PANE, history=False)

    assert fed(part, event()) == [Outcome.CLOSED]

    assert records(part.snapshot(None)) == []


# ---- tombstones


def closing(part: Partition) -> bytes:
    """A pane is published at offset 100, then the frontier passes it; the commit after that is still to come."""
    fed(part, event(), newest_ms=66 * MINUTE)
    key = durable(part).changelog[0][0]
    fed(part, event("acme/pbx/call/2", Place(BOB, 60 * MINUTE)), newest_ms=66 * MINUTE)
    flush = part.snapshot(None)
    part.acknowledged(flush)
    return key


def test_tombstones_wait_for_a_commit_after_the_frontier():
    part = partition()
    key = closing(part)

    assert (key, None) not in part.snapshot(1000).changelog

    part.committed(2)

    assert (key, None) in part.snapshot(1000).changelog


@pytest.mark.parametrize(("sink", "sent"), [(None, False), (100, False), (101, True)])
def test_tombstones_wait_for_the_sink(sink, sent):
    part = partition()
    key = closing(part)
    part.committed(2)

    assert ((key, None) in part.snapshot(sink).changelog) is sent


def test_without_history_tombstones_wait_for_nobody():
    part = partition(history=False)
    key = closing(part)
    part.committed(2)

    assert (key, None) in part.snapshot(None).changelog


def test_a_published_tombstone_is_not_sent_again():
    part = partition()
    key = closing(part)
    part.committed(2)

    part.published(key, 200, tombstone=True)

    assert (key, None) not in part.snapshot(1000).changelog


def test_recovery_buries_keys_of_every_writer_and_of_marks():
    other, author = partition(), Partition(3, PartitionSettings("w0", PANE))
    author.recovered(0)
    author.accept(event(), 0)
    author.advance(1, 0)
    pane_key, pane_value = author.snapshot(None).changelog[0]
    mark_key, mark_value = encode_mark(Place(BOB, 0), 5)

    other = Partition(3, PartitionSettings("w1", PANE))
    other.recover(10, pane_key, pane_value)
    other.recover(11, mark_key, mark_value)
    other.recover(12, *encode_frontier(3, "w0", PANE))
    other.recovered(13)

    assert talk(other) == {}
    assert other.snapshot(11).changelog == [(pane_key, None)]
    assert other.snapshot(12).changelog == [(pane_key, None), (mark_key, None)]


# ---- sealing


def sealed(part: Partition) -> set[str]:
    return {pane.key for pane in part.live_panes() if pane.sealed}


def test_a_pane_that_nothing_touches_for_long_is_sealed_and_opens_again():
    part = partition(seal_after=9)
    fed(part, event(), event("acme/pbx/call/2", Place(BOB, 0)))
    durable(part)
    for number in range(2):
        fed(part, event("acme/pbx/call/2", Place(BOB, 0)))
        part.advance(part.at.next_offset + 9, 0)
        durable(part)
        assert sealed(part) == ({ADA} if number else set())
    before = talk(part)

    fed(part, event(revision=1, talk_ms=400))

    assert before == {ADA_FIRST: 1000, Place(BOB, 0): 1000}
    assert talk(part) == {ADA_FIRST: 400, Place(BOB, 0): 1000}
    assert sealed(part) == set()
    for _ in range(2):
        part.advance(part.at.next_offset + 9, 0)
        durable(part)
    assert sealed(part) == {ADA, BOB}


def test_a_pane_that_was_only_looked_at_is_sealed_again():
    part = partition(seal_after=9)
    fed(part, event())
    for _ in range(3):
        part.advance(part.at.next_offset + 9, 0)
        durable(part)
    assert sealed(part) == {ADA}

    fed(part, event(place=Place(BOB, 0), revision=1))

    assert part.snapshot(None).retractions == [Retraction(CALL, rank_of(1, 1, 7), ADA_FIRST)]
    assert sealed(part) == set()
    for _ in range(3):
        part.advance(part.at.next_offset + 9, 0)
        durable(part)
    assert sealed(part) == {ADA, BOB}


def test_a_recovered_pane_is_sealed_until_something_comes():
    author = partition()
    fed(author, event(), event("acme/pbx/call/2"))
    part = Partition(3, PartitionSettings("w2", PANE))
    part.recover(0, *author.snapshot(None).changelog[0])
    part.recovered(1)
    assert sealed(part) == {ADA}
    part.assigned()
    part.recovered(1)

    fed(part, event("acme/pbx/call/2", revision=1, talk_ms=5))

    assert talk(part) == {ADA_FIRST: 1005}


# ---- assignment


def test_a_kept_partition_holds_the_same_panes_and_publishes_what_is_read_again():
    part = partition()
    fed(part, event(), event("acme/pbx/call/2"))
    before = talk(part)

    part.assigned()
    part.recovered(0)

    assert talk(part) == before
    assert not part.unpublished
    part.accept(event(), 0)
    part.advance(1, 0)
    assert part.snapshot(None).sums[0].tally == {CALLS: 2, TALK_MS: 2000}


def test_a_forgotten_partition_holds_nothing():
    part = partition()
    fed(part, event())
    durable(part)
    part.recover(100, *encode_frontier(3, "w0", PANE))

    part.forget()

    assert (talk(part), len(part.homes), len(part.keys)) == ({}, 0, 0)
    assert (part.frontier_ms, part.persisted) == (-1, -1)


def test_recovery_reads_on_where_it_had_stopped():
    author = partition()
    fed(author, event())
    first = author.snapshot(None).changelog[0]
    part = Partition(3, PartitionSettings("w2", PANE))
    part.recover(4, *first)

    part.recover(4, b"not a key", b"")

    assert part.persisted == 4
    part.recovered(9)
    assert part.persisted == 8


def test_recovery_refuses_what_is_not_ours():
    part = Partition(3, PartitionSettings("w2", PANE))

    with pytest.raises(ValueError, match="not a changelog key"):
        part.recover(0, b"not a key", b"")
    author = partition()
    fed(author, event())
    pane = author.snapshot(None).changelog[0]
    with pytest.raises(ValueError, match="pane of 300000 ms in a changelog of 60000 ms panes"):
        Partition(3, PartitionSettings("w2", MINUTE)).recover(0, *pane)


def test_a_commit_of_an_earlier_position_moves_no_fence():
    part = partition()
    fed(part, event(), newest_ms=66 * MINUTE)
    part.acknowledged(part.snapshot(None))

    part.committed(0)

    assert part.at.committed_newest_ms == -1


# ---- keys of earlier writers


def keys_gone(flush: Flush) -> list[bytes]:
    return [key for key, value in flush.changelog if value is None]


def after(first: Partition) -> tuple[Partition, bytes]:
    """Another process that has recovered one pane of a first one, and the key that it found."""
    fed(first, event())
    (written,) = first.snapshot(None).changelog
    successor = Partition(3, PartitionSettings("w2", PANE, horizon_ms=60 * MINUTE))
    successor.assigned()
    successor.recover(0, *written)
    successor.recovered(1)
    return successor, written[0]


def test_the_key_of_an_earlier_writer_goes_after_a_commit():
    part, key = after(partition())

    fed(part, event("acme/pbx/call/2"))
    flush = part.snapshot(None)
    for number, (each, value) in enumerate(flush.changelog):
        part.published(each, 1 + number, value is None)
    part.acknowledged(flush)
    before = part.snapshot(None)
    part.committed(flush.upto)

    assert keys_gone(before) == []
    assert keys_gone(part.snapshot(None)) == [key]


def test_a_key_that_is_superseded_does_not_wait_for_another_record():
    part, key = after(partition())
    fed(part, event("acme/pbx/call/2"))

    durable(part)
    unpublished = part.unpublished
    flush = durable(part, offset=200)

    assert (unpublished, keys_gone(flush), part.unpublished) == (True, [key], False)


def test_a_kept_partition_publishes_nothing_before_it_has_read():
    """It would acknowledge an offset that nobody has read."""
    part, _ = after(partition())
    fed(part, event("acme/pbx/call/2"))
    durable(part)

    part.assigned()
    part.recovered(2)

    assert part.keys.due
    assert not part.unpublished


def test_the_key_of_an_earlier_writer_stays_when_its_pane_is_not_published():
    part, _ = after(partition())

    fed(part, event("acme/pbx/call/2", Place(BOB, 0)))
    durable(part)

    assert keys_gone(part.snapshot(None)) == []


def test_every_assignment_of_one_process_writes_under_keys_of_its_own():
    part = partition()
    fed(part, event())
    first = durable(part)
    part.assigned()
    part.recovered(101)
    fed(part, event())

    second = durable(part, offset=200)

    assert [key.decode() for flush in (first, second) for key, _ in flush.changelog] == [
        "P/acme/agent:ada/0/300000#w1.0/0.1",
        "P/acme/agent:ada/0/300000#w1.1/0.1",
    ]
    assert keys_gone(part.snapshot(None)) == [first.changelog[0][0]]


def test_recovery_joins_records_of_one_place_and_knows_every_home_of_an_identity():
    """Taken over whole, joined to what is there, or joined by chunks: the panes and what is known of them are one."""
    later = Place(ADA, PANE)
    first, second = (Partition(3, PartitionSettings(name, PANE)) for name in ("w1", "w2"))
    split = Partition(3, PartitionSettings("w3", PANE, chunk_bytes=60))
    fed(first, event("acme/pbx/call/1"), event("acme/pbx/call/2", talk_ms=10))
    fed(second, event("acme/pbx/call/2", revision=1, talk_ms=20), event("acme/pbx/call/1", later))
    fed(split, *(event(f"acme/pbx/call/{n}", Place(BOB, 0)) for n in range(3, 9)))
    other = Partition(3, PartitionSettings("w4", PANE))

    for offset, (key, value) in enumerate(r for part in (first, second, split) for r in part.snapshot(None).changelog):
        other.recover(offset, key, value)
    other.recovered(other.persisted + 1)

    assert talk(other) == {ADA_FIRST: 1020, later: 1000, Place(BOB, 0): 6000}
    assert fed(other, event("acme/pbx/call/1", Place(BOB, PANE), revision=1)) == [Outcome.CORRECTED]
    rank = rank_of(1, 1, 7)
    assert set(other.snapshot(None).retractions) == {
        Retraction("acme/pbx/call/1", rank, ADA_FIRST),
        Retraction("acme/pbx/call/1", rank, later),
    }
