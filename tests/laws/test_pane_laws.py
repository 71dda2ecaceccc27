"""Laws of panes: what is claimed to join, add and come back from the log does so exactly."""

from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from kpistream.core.changelog import PaneRecord, encode_pane, entries_of, parse
from kpistream.core.measures import TALK_MS, Tally, total
from kpistream.core.panes import Entry, Joined, Pane, chunk_count, chunk_of, pack, unpack
from kpistream.core.partition import Partition, PartitionSettings
from kpistream.core.placing import MAX_REVISION, Accepted, Place, rank_of

KEY, START_MS, PANE_MS = "acme/agent:7", 600_000, 300_000
DIGESTS = (1 << 32) - 1

identities = st.sampled_from(
    ["acme/pbx/call/1", "acme/pbx/call/2", "acme/crm/deal/1", "acme/pbx/call/\u00e9\U0001f600", "b/c/survey/"]
)
revisions = st.integers(0, 3) | st.sampled_from([1 << 20, MAX_REVISION])
digests = st.integers(0, 3) | st.sampled_from([1 << 31, DIGESTS])
ranks = st.builds(rank_of, st.integers(1, 2), revisions, digests)
measures = st.dictionaries(
    st.sampled_from([1, 11, 12, 105, 1978, 40_105]), st.integers(-(10**6), 10**15).filter(bool), max_size=4
)
contributions = measures.map(lambda sums: tuple(item for pair in sums.items() for item in pair))


@st.composite
def several(draw: st.DrawFn, lists: int) -> list[list[Entry]]:
    """Lists of entries in which one identity at one rank has one content."""
    content = draw(
        st.dictionaries(st.tuples(identities, ranks), st.tuples(contributions, st.booleans()), min_size=1, max_size=12)
    )
    entries = [Entry(*key, () if gone else added, gone) for key, (added, gone) in content.items()]
    return [draw(st.lists(st.sampled_from(entries), max_size=12)) for _ in range(lists)]


def pane_of(entries: Iterable[Entry]) -> Pane:
    """The join of entries, one by one."""
    pane = Pane(KEY, START_MS)
    for entry in entries:
        pane.join(*entry)
    return pane


def content(pane: Pane) -> tuple[dict[str, bytes], int, Tally, int]:
    """Everything that a pane is."""
    entries = pane.entries  # opens it: the rest is what joins go on with
    return entries, pane.version, pane.tally, pane.size


def joined(*panes: Pane) -> Pane:
    """The join of panes, a new one."""
    out = Pane(KEY, START_MS)
    for pane in panes:
        out.join_pane(pane)
    return out


@given(several(2))
def test_join_is_commutative(lists: list[list[Entry]]) -> None:
    one, two = map(pane_of, lists)

    assert content(joined(one, two)) == content(joined(two, one))


@given(several(3))
def test_join_is_associative(lists: list[list[Entry]]) -> None:
    one, two, three = map(pane_of, lists)

    assert content(joined(joined(one, two), three)) == content(joined(one, joined(two, three)))


@given(several(1))
def test_join_is_idempotent(lists: list[list[Entry]]) -> None:
    pane = pane_of(lists[0])
    before = content(pane_of(lists[0]))

    assert not pane.join_pane(pane_of(lists[0]))
    assert content(pane) == before
    assert [pane.join(*unpack(packed)) for packed in list(pane.entries.values())] == [Joined.SAME] * len(pane.entries)


@given(several(2), st.randoms(use_true_random=False))
def test_order_and_duplicates_do_not_matter(lists: list[list[Entry]], random: object) -> None:
    shuffled = lists[0] * 2 + lists[1]
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    assert content(pane_of(shuffled)) == content(joined(pane_of(lists[1]), pane_of(lists[0])))


@given(several(1))
def test_a_pane_is_the_highest_rank_of_each_identity(lists: list[list[Entry]]) -> None:
    highest = {
        identity: max(e for e in lists[0] if e.identity == identity) for identity in {e.identity for e in lists[0]}
    }

    pane = pane_of(lists[0])

    assert {identity: unpack(packed) for identity, packed in pane.entries.items()} == highest
    assert pane.version == sum(entry.rank + 1 for entry in highest.values())
    assert pane.size == sum(len(packed) for packed in pane.entries.values())
    assert pane.version < 1 << 128


@given(several(2))
def test_tally_of_a_join_is_the_sum_of_what_stands(lists: list[list[Entry]]) -> None:
    pane = joined(*map(pane_of, lists))
    standing = [unpack(packed).contribution for packed in pane.entries.values()]

    assert pane.tally == total(dict(zip(added[::2], added[1::2], strict=True)) for added in standing)


@given(several(2))
def test_tally_of_panes_without_a_common_identity_adds(lists: list[list[Entry]]) -> None:
    one = pane_of(lists[0])
    two = pane_of(entry for entry in lists[1] if entry.identity not in one.entries)

    assert joined(one, two).tally == total([one.tally, two.tally])
    assert joined(one, two).version == one.version + two.version


@given(several(1))
def test_version_grows_with_every_join_that_changes_anything(lists: list[list[Entry]]) -> None:
    pane = Pane(KEY, START_MS)
    seen = {pane.version: dict(pane.entries)}
    for entry in lists[0]:
        before, entries = pane.version, dict(pane.entries)
        outcome = pane.join(*entry)

        changed = outcome in (Joined.ADDED, Joined.REPLACED, Joined.CONFLICT_WON)
        assert changed == (pane.entries != entries) == (pane.version > before)
        assert pane.version >= before
        assert seen.setdefault(pane.version, dict(pane.entries)) == pane.entries


@given(several(2))
def test_equal_versions_mean_equal_content_when_one_pane_holds_the_other(lists: list[list[Entry]]) -> None:
    one, two = map(pane_of, lists)
    both = joined(one, two)

    assert (both.version == one.version) == (both.entries == one.entries)
    assert both.version >= max(one.version, two.version)


@given(several(1))
def test_an_entry_comes_back_from_its_bytes(lists: list[list[Entry]]) -> None:
    for entry in lists[0]:
        assert unpack(pack(*entry)) == entry


@given(several(1))
def test_a_sealed_pane_is_the_same_pane(lists: list[list[Entry]]) -> None:
    """Sums, version and entries are read alike; a sealed pane that was filled from a record is the pane, too."""
    pane, sealed, filled, given = pane_of(lists[0]), pane_of(lists[0]), Pane(KEY, START_MS), Pane(KEY, START_MS)
    sealed.seal()

    identities = filled.fill(pane.packed())
    given.fill(pane.packed(), pane.packed_tally)

    for other in (sealed, filled, given):
        assert other.sealed
        assert (other.tally, other.version, other.size) == (pane.tally, pane.version, pane.size)
        assert other.packed() == pane.packed()
        assert other.identities() == identities == list(pane.entries)
        record, expected = (parse(*encode_pane(each, PANE_MS, "w1", 1)[0]) for each in (other, pane))
        assert record.tally == expected.tally
        assert record._replace(packed_tally=b"") == expected._replace(packed_tally=b"")
        assert other.sealed
        assert other.packed_tally is other.packed_tally
        assert content(other) == content(pane)
        assert not other.sealed


@given(several(2), st.lists(st.booleans(), min_size=12, max_size=12))
def test_joins_into_a_sealed_pane_join_as_into_an_open_one(lists: list[list[Entry]], sealing: list[bool]) -> None:
    opened, sealed = pane_of(lists[0]), pane_of(lists[0])
    for entry, seal in zip(lists[1], sealing, strict=False):
        if seal:
            sealed.seal()

        assert sealed.join(*entry) == opened.join(*entry)
        assert not sealed.sealed

    assert content(sealed) == content(opened)


@given(several(1), st.sampled_from([1, 2, 4, 16]))
def test_every_chunk_carries_the_sums_of_the_whole_pane(lists: list[list[Entry]], chunks: int) -> None:
    pane = pane_of(lists[0])
    records = [parse(key, value) for key, value in encode_pane(pane, PANE_MS, "w1", chunks)]

    assert len(records) == chunks
    assert all(isinstance(r, PaneRecord) and (r.version, r.tally) == (pane.version, pane.tally) for r in records)
    assert all(isinstance(r, PaneRecord) and (r.place, r.pane_ms) == (pane.place, PANE_MS) for r in records)
    for number, record in enumerate(records):
        assert isinstance(record, PaneRecord)
        assert all(chunk_of(entry.identity, chunks) == number for entry in entries_of(record))


@given(several(3), st.lists(st.sampled_from([1, 2, 4, 8]), min_size=3, max_size=3), st.randoms(use_true_random=False))
def test_recovery_joins_chunks_of_any_writer_in_any_order(
    lists: list[list[Entry]], chunks: list[int], random: object
) -> None:
    panes = list(map(pane_of, lists))
    log = [it for n, pane in enumerate(panes) for it in encode_pane(pane, PANE_MS, f"w{n}", chunks[n])]
    log += log[: len(log) // 2]
    random.shuffle(log)  # type: ignore[attr-defined]
    partition = Partition(0, PartitionSettings("w9", PANE_MS))

    for offset, (key, value) in enumerate(log):
        partition.recover(offset, key, value)
    partition.recovered(len(log))

    assert [content(pane) for pane in partition.live_panes()] == [content(joined(*panes))]
    assert partition.persisted == len(log) - 1
    for identity, packed in joined(*panes).entries.items():
        entry = unpack(packed)
        assert partition.standing(identity) == [(Place(KEY, START_MS), entry.rank, entry.contribution)]


@given(st.integers(0, 10**9), st.integers(2, 10**7))
def test_chunks_are_a_power_of_two_and_about_half_full_at_most(size: int, limit: int) -> None:
    count = chunk_count(size, limit)

    assert count & (count - 1) == 0
    assert size <= count * (limit // 2)
    assert count == 1 or size > count // 2 * (limit // 2)


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[int, Accepted]]:
    """Corrections and announced moves in any order, each with the partition it is on."""
    out = []
    for number in range(draw(st.integers(1, 4))):
        before: Place | None = None
        for revision in range(draw(st.integers(1, 4))):
            agent, start = draw(st.integers(0, 3)), draw(st.integers(0, 2))
            place = Place(f"acme/agent:{agent}", start * PANE_MS)
            moved_from = before if before != place else None
            talk_ms = draw(st.integers(1, 9))
            digests = draw(st.sampled_from([(5,), (5,), (5, 9)]))
            for digest in digests:
                rank, identity = rank_of(1, revision, digest), f"acme/pbx/call/{number}"
                added = (TALK_MS, talk_ms + digest)
                event = Accepted(identity, *place, rank, added, False, moved_from, place.start_ms, None)  # type: ignore[arg-type]
                out += [(agent % 2, event)] * draw(st.integers(1, 2))
            before = place
    return draw(st.permutations(out))


def drained(history: list[tuple[int, Accepted]], batch: int) -> list[Partition]:
    """Two partitions after all events and the retractions that they led to."""
    partitions = [Partition(n, PartitionSettings("w1", PANE_MS, chunk_bytes=80, seal_after=2)) for n in range(2)]
    offsets, todo = [0, 0], list(history)
    while todo:
        for number, event in todo[:batch]:
            partitions[number].accept(event, offsets[number])
            offsets[number] += 1
            partitions[number].advance(offsets[number], 0)
        todo = todo[batch:]
        for partition in partitions:
            for it in partition.snapshot(None).retractions:
                back = Accepted(it.identity, *it.place, it.rank, (), True, None, it.place.start_ms, None)  # type: ignore[arg-type]
                todo.append((int(it.place.key[-1]) % 2, back))
    return partitions


@given(histories(), st.integers(1, 6))
@settings(max_examples=200)
def test_corrections_and_announced_moves_end_in_what_recomputation_says(
    history: list[tuple[int, Accepted]], batch: int
) -> None:
    highest: dict[str, Accepted] = {}
    for _, event in history:
        if event.identity not in highest or event.rank > highest[event.identity].rank:
            highest[event.identity] = event
    expected: dict[Place, int] = {}
    for event in highest.values():
        place = Place(event.key, event.start_ms)
        expected[place] = expected.get(place, 0) + event.contribution[1]

    partitions = drained(history, batch)

    tallies = {pane.place: pane.tally for partition in partitions for pane in partition.live_panes()}
    assert {place: tally[TALK_MS] for place, tally in tallies.items() if tally} == expected
