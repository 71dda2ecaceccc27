"""Laws of own measures: what words say of an event, what is concluded from them, and shadows that join like panes."""

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kpistream.core import measures as m
from kpistream.core.contributions import contribute
from kpistream.core.decoding import Fields
from kpistream.core.event_predicates import COUNTED, Predicate, apart, part_of
from kpistream.core.own_measures import Counting, OwnMeasure, predicate_test
from kpistream.core.panes import PaneSum, unpack_all
from kpistream.core.partition import Partition, PartitionSettings
from kpistream.core.placing import Accepted, Place, place
from kpistream.core.readings import WHOLE
from kpistream.core.settings import read_settings
from kpistream.core.shadow import Shadow
from kpistream.core.tallies import pack_tally
from kpistream.core.windows import Window
from kpistream.stream.flush import sum_record
from kpistream.stream.teams import TeamSums
from tests.laws.own_events import PANE_MS, contents, decoded, own_measures, predicates

MEASURES = st.lists(own_measures(), min_size=1, max_size=3)
_KIND = {"call.ended": "call", "deal.closed": "deal", "survey.completed": "survey"}
PARTITION = PartitionSettings("w", PANE_MS, seal_after=3)


def meant(predicate: Predicate, content: dict[str, Any], fields: Fields) -> bool:
    return _KIND[content["type"]] == predicate.of and predicate_test(predicate)(fields)  # type: ignore[arg-type]


@settings(max_examples=400, deadline=None)
@given(contents())
def test_what_the_catalogue_counts_is_what_its_predicate_says(content: dict[str, Any]) -> None:
    fields = decoded(content)
    pairs = iter(contribute(fields))
    adds = dict(zip(pairs, pairs, strict=True))

    counted = {name: adds.get(m.BY_NAME[name].number, 0) for name in COUNTED}

    assert counted == {name: int(meant(predicate, content, fields)) for name, predicate in COUNTED.items()}


@settings(max_examples=600, deadline=None)
@given(contents(), st.data())
def test_nothing_is_concluded_that_an_event_refutes(content: dict[str, Any], data: st.DataObject) -> None:
    of = _KIND[content["type"]]
    one = data.draw(st.one_of(predicates(of), st.sampled_from(list(COUNTED.values()))))
    other = data.draw(st.one_of(predicates(of), st.sampled_from(list(COUNTED.values()))))
    fields = decoded(content)

    if meant(one, content, fields):
        assert not part_of(one, other) or meant(other, content, fields)
        assert not apart(one, other) or not meant(other, content, fields)


@given(predicates())
def test_every_predicate_is_part_of_itself_and_of_its_kind(predicate: Predicate) -> None:
    assert part_of(predicate, predicate)
    assert part_of(predicate, Predicate(predicate.of))


def naive(measures: list[OwnMeasure], events: list[Accepted]) -> Counter[tuple[str, int, int]]:
    """Own sums by key, start and number: of each identity at a place the highest rank counts, unless it retracts."""
    top: dict[tuple[str, int, str], Accepted] = {}
    for event in events:
        at = (event.key, event.start_ms, event.identity)
        if at not in top or event.rank > top[at].rank:
            top[at] = event
    counting, out = Counting(tuple(measures)), Counter[tuple[str, int, int]]()
    for (key, start_ms, _), event in top.items():
        pairs = iter(counting.contribution(event.fields))
        for number, value in zip(pairs, pairs, strict=True):
            out[key, start_ms, number] += value
    return out


def shown(shadow: Shadow) -> Counter[tuple[str, int, int]]:
    places = list(shadow.places())
    return Counter({(*at, number): value for at in places for number, value in shadow.sums(*at).items()})


def accepted(raw: list[dict[str, Any]]) -> list[Accepted]:
    """The events, and for each a retraction of it from its place as if it had moved on with a higher revision."""
    out = [place(decoded(content), PANE_MS) for content in raw]
    retracted = [
        Accepted(e.identity, e.key, e.start_ms, e.rank + (1 << 32), (), True, None, e.start_ms, _retraction(e))
        for e in out[::3]
    ]
    return out + retracted


def _retraction(event: Accepted) -> Fields:
    tenant, source, kind, event_id = event.identity.split("/", 3)
    scope = event.key.partition("/")[2]
    return decoded(
        {
            "type": "retracted",
            "tenant": tenant,
            "source": source,
            "kind": kind,
            "event_id": event_id,
            "epoch": 1,
            "revision": 1,
            "digest": 1,
            "scope": scope,
            "start_ms": event.start_ms,
        }
    )


@settings(max_examples=200, deadline=None)
@given(MEASURES, st.lists(contents(), max_size=8), st.data())
def test_a_shadow_counts_what_stands_whatever_the_order_and_the_number_of_times(
    measures: list[OwnMeasure], raw: list[dict[str, Any]], data: st.DataObject
) -> None:
    events = accepted(raw)
    order = data.draw(st.permutations(events + data.draw(st.lists(st.sampled_from(events)) if events else st.just([]))))
    shadow = Shadow(Counting(tuple(measures)), PARTITION, begins_at=5)

    for event in order:
        shadow.join(event)
        shadow.passed(1, 0)

    assert shown(shadow) == naive(measures, events)


@settings(max_examples=200, deadline=None)
@given(MEASURES, st.lists(contents(), min_size=1, max_size=8), st.integers(0, 8))
def test_records_before_the_shadow_began_may_be_shown_after_those_behind(
    measures: list[OwnMeasure], raw: list[dict[str, Any]], begins_at: int
) -> None:
    """The partition is shown everything in the order of the log, and holds the entries that the shadow speaks of."""
    events = accepted(raw)
    partition, shadow = Partition(0, PARTITION), Shadow(Counting(tuple(measures)), PARTITION, begins_at)
    partition.assigned()
    partition.recovered(0)
    for offset, event in enumerate(events):
        accept = partition.accept if offset < begins_at else shadow.joining(partition.accept)
        accept(event, offset)
    for event in events[:begins_at]:
        shadow.join(event)

    by_rank = {(event.key, event.start_ms, event.identity, event.rank): event for event in events}
    standing = [
        by_rank[pane.key, pane.start_ms, entry.identity, entry.rank]
        for pane in partition.live_panes()
        for entry in unpack_all(pane.packed())
    ]
    assert shown(shadow) == naive(measures, standing)


@given(own_measures("one"), own_measures("other"))
def test_a_number_is_of_what_is_counted_and_of_nothing_else(one: OwnMeasure, other: OwnMeasure) -> None:
    same = (one.predicate, one.add) == (other.predicate, other.add)
    groups = tuple(tuple(reversed(group)) for group in reversed(one.predicate.groups))
    again = OwnMeasure("again", Predicate(one.predicate.of, groups), one.add, "ms", "words")

    assert one.number == again.number
    assert m.OWN_FIRST < one.number < 1 << 62
    assert not same or one.number == other.number


COUNTED_BY_SETTINGS = read_settings({"k.yaml": "measures: {d: {of: call, where: {disposition: x}, description: d}}"})
(D,) = COUNTED_BY_SETTINGS.own.counting.numbers
RECORDS = st.lists(
    st.tuples(st.sampled_from(["ann", "bob"]), st.sampled_from([0, PANE_MS]), st.integers(1, 3), st.booleans()),
    max_size=9,
)


@given(RECORDS, st.data())
def test_team_sums_are_of_the_highest_version_with_what_any_record_of_it_counts(
    records: list[tuple[str, int, int, bool]], data: st.DataObject
) -> None:
    """A record of a version may come with own measures, or without them, because they were not whole yet."""
    sums = TeamSums(COUNTED_BY_SETTINGS, PANE_MS)

    for agent, start_ms, version, whole in data.draw(st.permutations(records)):
        change = PaneSum(Place(f"acme/agent:{agent}", start_ms), version, pack_tally({m.CALLS: version}))
        sums.put(sum_record(change, {D: 10 * version} if whole else None).value or b"")

    for start_ms in (0, PANE_MS):
        here = [each for each in records if each[1] == start_ms]
        top = {agent: max(v for a, _, v, _ in here if a == agent) for agent, *_ in here}
        whole_tops = {agent for agent, _, version, whole in here if whole and version == top[agent]}
        expected = {m.CALLS: sum(top.values()), D: sum(10 * top[agent] for agent in whole_tops)}
        found = sums.panes.get("acme/tenant", {}).get(start_ms, {})
        assert found == {number: value for number, value in expected.items() if value}
        lacks = sums.bench.own.own_from("acme/tenant", Window(start_ms, start_ms + PANE_MS)) != WHOLE
        assert lacks == (whole_tops != set(top))
