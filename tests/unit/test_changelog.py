"""Changelog: keys and values as bytes, written out."""

import msgspec
import pytest

from kpistream.core.changelog import (
    FrontierRecord,
    MarkRecord,
    PaneRecord,
    encode_frontier,
    encode_mark,
    encode_pane,
    entries_of,
    frontier_key,
    mark_key,
    pane_key,
    parse,
    start_of_key,
)
from kpistream.core.measures import CALLS, TALK_MS, TALK_SQ_MS2
from kpistream.core.panes import Entry, Pane, chunk_of
from kpistream.core.placing import MAX_REVISION, Place, rank_of

PANE_MS = 300_000
CHUNKS = [2, 4, 6, 0, 3, 5]
"""Chunks of calls 0 to 5 among 8: CRC-32 of the identity, lowest bits."""
ADA = Place("acme/agent:ada", 1_700_000_100_000)


def pane(*entries: Entry) -> Pane:
    made = Pane(*ADA)
    for entry in entries:
        made.join(*entry)
    return made


def call(number: int) -> Entry:
    return Entry(f"acme/pbx/call/{number}", rank_of(1, 0, number), (CALLS, 1, TALK_MS, 1000), False)


def test_keys_are_readable():
    assert pane_key(ADA, PANE_MS, "w1", 2, 4) == b"P/acme/agent:ada/1700000100000/300000#w1/2.4"
    assert mark_key(ADA, 17) == b"M/acme/agent:ada/1700000100000/17"
    assert frontier_key(3, "w1") == b"F/3#w1"


@pytest.mark.parametrize(
    "scope",
    [
        "agent:ada",
        "agent:a/b",
        "queue:sales#1/2",
        "campaign:\u00e9 \U0001f600",
        "agent:P/x/5/6#w/0.1",
        "agent:#",
        "agent:/",
    ],
)
def test_a_key_tells_its_pane_start_whatever_the_scope(scope):
    place = Place(f"acme/{scope}", 1_700_000_100_000)

    assert start_of_key(pane_key(place, PANE_MS, "host-1.example.7", 0, 1)) == 1_700_000_100_000
    assert start_of_key(mark_key(place, 17)) == 1_700_000_100_000


def test_a_frontier_has_no_pane_start():
    assert start_of_key(frontier_key(3, "w1")) is None


@pytest.mark.parametrize(
    "key", [b"", b"x", b"P/", b"M/", b"P/a#w/0.1", b"p/acme/agent:ada/0/1#w/0.1", b"M/acme/ada/x/1", b"\xff"]
)
def test_other_keys_are_refused(key):
    with pytest.raises(ValueError, match=r"not a changelog key|invalid literal|can't decode"):
        start_of_key(key)


def test_a_pane_is_a_plain_array_that_any_library_reads():
    ((key, value),) = encode_pane(pane(call(1), call(2)), PANE_MS, "w1", 1)

    assert key == b"P/acme/agent:ada/1700000100000/300000#w1/0.1"
    version = 2 * (1 << 80) + 1 + 2 + 2
    assert msgspec.msgpack.decode(value) == [
        "P",
        "acme/agent:ada",
        1_700_000_100_000,
        300_000,
        version.to_bytes(16, "big"),
        [1, 2, 11, 2000],
        [
            ["acme/pbx/call/1", 1, 0, 1, False, [1, 1, 11, 1000]],
            ["acme/pbx/call/2", 1, 0, 2, False, [1, 1, 11, 1000]],
        ],
    ]


def test_marks_and_frontiers_are_plain_arrays():
    mark_key_, mark = encode_mark(ADA, 17)
    frontier_key_, frontier = encode_frontier(3, "w1", 600_000)

    assert (mark_key_, msgspec.msgpack.decode(mark)) == (
        mark_key(ADA, 17),
        ["M", "acme/agent:ada", 1_700_000_100_000, 17],
    )
    assert (frontier_key_, msgspec.msgpack.decode(frontier)) == (b"F/3#w1", ["F", 600_000])
    assert parse(mark_key_, mark) == MarkRecord("acme/agent:ada", 1_700_000_100_000, 17)
    assert parse(mark_key_, mark).place == ADA  # type: ignore[union-attr]
    assert parse(frontier_key_, frontier) == FrontierRecord(600_000)


def test_a_pane_comes_back_with_its_tombstones():
    gone = Entry("acme/crm/deal/\u00e9", rank_of(2, MAX_REVISION, (1 << 32) - 1), (), True)
    ((key, value),) = encode_pane(pane(call(1), gone), PANE_MS, "w1", 1)

    record = parse(key, value)

    assert isinstance(record, PaneRecord)
    assert (record.place, record.pane_ms, record.tally) == (ADA, PANE_MS, {CALLS: 1, TALK_MS: 1000})
    assert record.version == rank_of(1, 0, 1) + rank_of(2, MAX_REVISION, (1 << 32) - 1) + 2
    assert entries_of(record) == [call(1), gone]


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 300])
def test_panes_of_any_length_come_back(count):
    ((key, value),) = encode_pane(pane(*map(call, range(count))), PANE_MS, "w1", 1)

    record = parse(key, value)

    assert isinstance(record, PaneRecord)
    assert entries_of(record) == [call(number) for number in range(count)]


def test_a_pane_of_more_than_65535_entries_comes_back():
    ((key, value),) = encode_pane(pane(*map(call, range(65_537))), PANE_MS, "w1", 1)

    record = parse(key, value)

    assert isinstance(record, PaneRecord)
    assert len(entries_of(record)) == 65_537


def test_the_chunk_of_an_identity_never_changes():
    assert [chunk_of(f"acme/pbx/call/{number}", 8) for number in range(6)] == CHUNKS
    assert [chunk_of(f"acme/pbx/call/{number}", 4) for number in range(6)] == [chunk % 4 for chunk in CHUNKS]
    assert chunk_of("acme/pbx/call/0", 1) == 0


def test_each_entry_is_in_one_chunk():
    whole = pane(*map(call, range(40)))

    chunks = [parse(key, value) for key, value in encode_pane(whole, PANE_MS, "w1", 4)]

    found = [entry for record in chunks for entry in entries_of(record)]  # type: ignore[arg-type]
    assert sorted(found) == sorted(map(call, range(40)))
    assert {record.version for record in chunks} == {whole.version}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"X/1", b"\x90"),
        (b"P/acme/agent:ada/0/300000#w/0.1", b"\x91\xa1P"),
        (b"P/acme/agent:ada/0/300000#w/0.1", b""),
        (b"M/acme/agent:ada/0/1", b"\x92\xa1M\x01"),
        (b"F/3#w1", b"\x92\xa1F\xa1x"),
    ],
)
def test_other_values_are_refused(key, value):
    with pytest.raises(ValueError, match=r"not a changelog key|truncated|Expected"):
        parse(key, value)


def test_sum_beyond_64_bits_survives_the_way_through_the_log():
    pane = Pane("acme/agent:ann", 300_000)
    day_ms = 86_400_000
    for n in range(3000):
        pane.join(f"acme/pbx/call/{n}", rank_of(1, 0, n), (TALK_SQ_MS2, day_ms * day_ms))

    [(key, value)] = encode_pane(pane, 300_000, "w", 1)

    assert parse(key, value).tally == {TALK_SQ_MS2: 3000 * day_ms * day_ms}
    assert 3000 * day_ms * day_ms > 2**64
