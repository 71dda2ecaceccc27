"""Keys: what may be tombstoned, when, and what waiting costs."""

import sys

import pytest

from kpistream.core.changelog import encode_frontier, frontier_key, mark_key, pane_key
from kpistream.core.keys import TOMBSTONES_A_FLUSH, Keys
from kpistream.core.partition import Partition, PartitionSettings
from kpistream.core.placing import Place

PANE = 300_000
LATER = 100 * PANE


def key(start_ms: int, agent: str = "ada", writer: str = "w1.1", chunk: int = 0, chunks: int = 1) -> bytes:
    return pane_key(Place(f"acme/agent:{agent}", start_ms), PANE, writer, chunk, chunks)


def closed(keys: Keys, frontier_ms: int) -> Keys:
    keys.close(frontier_ms)
    keys.pack()
    return keys


@pytest.mark.parametrize("block_keys", [1, 100])
def test_a_closed_key_waits_for_the_sink_and_for_the_commit_of_its_frontier(block_keys):
    keys = Keys(block_keys)
    for number in range(4):
        keys.seen(key(number * PANE), 10 + number)
    closed(keys, 4 * PANE)

    assert keys.tombstones(LATER, None) == []
    assert keys.tombstones(LATER, 10) == []
    assert keys.tombstones(0, 1000) == []
    assert sorted(keys.tombstones(LATER, 1000)) == sorted(key(number * PANE) for number in range(4))


@pytest.mark.parametrize("block_keys", [1, 100])
def test_keys_of_live_panes_are_never_due(block_keys):
    keys = Keys(block_keys)
    keys.seen(key(5 * PANE), 1)

    closed(keys, 5 * PANE)

    assert keys.tombstones(LATER, 1000) == []


def test_a_key_is_listed_until_its_tombstone_is_published():
    keys = Keys(1)
    for number in range(3):
        keys.seen(key(number * PANE), number)
    closed(keys, LATER)

    listed = keys.tombstones(LATER, 1000)
    keys.gone(listed[0])

    assert sorted(keys.tombstones(LATER, 1000)) == sorted(listed[1:])
    for each in listed[1:]:
        keys.gone(each)
    assert len(keys) == 0


def test_the_last_record_under_a_key_counts():
    keys = Keys()
    keys.seen(key(0), 3)
    keys.seen(key(0), 30)
    closed(keys, LATER)

    assert keys.tombstones(LATER, 30) == []
    assert keys.tombstones(LATER, 31) == [key(0)]


def test_recovery_packs_nothing_so_that_the_last_record_under_a_key_counts():
    part = Partition(0, PartitionSettings("w1", PANE))
    part.keys.block_keys = 1
    part.recovered(0)
    part.recover(0, *encode_frontier(0, "w0.1", LATER))
    part.recovered(1)
    part.assigned()
    for offset in (5, 6, 7):
        part.keys.seen(mark_key(Place("acme/agent:ada", offset * PANE), 1), offset)

    part.keys.seen(mark_key(Place("acme/agent:ada", 5 * PANE), 1), 50)

    part.recovered(51)
    assert mark_key(Place("acme/agent:ada", 5 * PANE), 1) not in part.keys.tombstones(LATER, 50)


def test_one_flush_carries_a_limited_number_of_tombstones():
    keys = Keys(1000)
    count = 2 * TOMBSTONES_A_FLUSH + 1
    for number in range(count):
        keys.seen(key(number % 7 * PANE, f"a{number}"), number)
    closed(keys, LATER)

    sizes, listed = [], set()
    while found := keys.tombstones(LATER, count):
        sizes.append(len(found))
        listed.update(found)
        for each in found:
            keys.gone(each)

    assert max(sizes) <= TOMBSTONES_A_FLUSH
    assert len(listed) == count
    assert len(keys) == 0


def test_keys_of_earlier_writers_are_named_by_the_first_record_of_this_one():
    keys = Keys()
    for writer in ("w1.1", "w2.1"):
        keys.seen(key(0, writer=writer), 1)
        keys.seen(key(0, "bob", writer=writer), 2)

    assert keys.seen(key(0, writer="w1.2"), 3)
    assert sorted(keys.earlier(key(0, writer="w1.2"), "w1.2")) == [key(0, writer="w1.1"), key(0, writer="w2.1")]
    assert not keys.seen(key(0, writer="w1.2"), 4)


def test_chunks_of_one_writer_do_not_supersede_each_other():
    keys = Keys()
    keys.seen(key(0, writer="w1.1", chunk=0, chunks=2), 1)
    keys.seen(key(0, writer="w2.1", chunk=1, chunks=4), 2)
    keys.seen(key(0, writer="w2.1"), 3)

    assert list(keys.earlier(key(0, writer="w2.1"), "w2.1")) == [key(0, writer="w1.1", chunk=0, chunks=2)]


def test_a_writer_whose_name_begins_like_another_is_another():
    keys = Keys()
    keys.seen(key(0, writer="w1.1"), 1)
    keys.seen(key(0, writer="w1.12"), 2)

    assert list(keys.earlier(key(0, writer="w1.1"), "w1.1")) == [key(0, writer="w1.12")]


def test_a_frontier_supersedes_those_of_earlier_writers():
    keys = Keys()
    for writer in ("w1.1", "w2.1", "w3.1"):
        keys.seen(frontier_key(0, writer), 1)

    assert sorted(keys.earlier(frontier_key(0, "w3.1"), "w3.1")) == [
        frontier_key(0, "w1.1"),
        frontier_key(0, "w2.1"),
    ]


def test_a_superseded_key_needs_no_sink():
    keys = Keys()
    keys.seen(key(0), 1)

    keys.superseded([key(0)])

    assert keys.tombstones(-1, None) == [key(0)]


def test_keys_of_a_day_without_a_sink_take_twenty_bytes_each():
    keys = Keys()
    count = 50_000
    for number in range(count):
        keys.seen(
            key(number // 500 * PANE + 1_690_000_000_000 // PANE * PANE, f"{number % 500:06}", "f3a9c01b22aa.1"), number
        )

    closed(keys, 1 << 60)

    packed = sum(sys.getsizeof(block.packed) for block in keys._blocks)
    assert keys._closed_count <= keys.block_keys
    assert packed < 20 * count
