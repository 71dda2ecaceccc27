"""Laws of settled calls: what is derived from panes equals what the events themselves say, however they came."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from kpistream.core.decoding import decode, fields_of
from kpistream.core.events import CallEnded, DealClosed, Retracted
from kpistream.core.instants import END_MS
from kpistream.core.links import Linked
from kpistream.core.partition import Partition, PartitionSettings, Retraction
from kpistream.core.placing import Accepted, place, rank_parts

PANE_MS, DELAY_MS, DAY_MS = 300_000, 900_000, 86_400_000
START_MS = 1_772_788_500_000
AGENTS = ("ada", "bob")

names = st.sampled_from(["c1", "c2", "c3", "c4", "c5", "c6"])
agents = st.sampled_from(AGENTS)
instants = st.integers(0, 12).map(lambda pane: START_MS + pane * PANE_MS + 17)


class Told(NamedTuple):
    """An event as the test sees it, apart from the engine."""

    identity: str
    revision: int
    agent: str
    at_ms: int
    call: str | None
    """The call that it is, or the one that a deal names."""
    kind: str
    """`call`, `deal` or `nothing`: not connected, not won."""


calls = st.builds(
    lambda number, revision, agent, at_ms, name, connected: Told(
        f"call/{number}", revision, agent, at_ms, name, "call" if connected else "nothing"
    ),
    st.integers(1, 8), st.integers(0, 2), agents, instants, names, st.sampled_from([True, True, True, False]),
)  # fmt: skip
deals = st.builds(
    lambda number, revision, agent, at_ms, name, won: Told(
        f"deal/{number}", revision, agent, at_ms, name, "deal" if won else "nothing"
    ),
    st.integers(1, 6), st.integers(0, 2), agents, instants, names | st.none(), st.sampled_from([True, True, False]),
)  # fmt: skip


def accepted(told: Told) -> Accepted:
    """The event through the contract and the placing of the engine."""
    kind, _, number = told.identity.partition("/")
    envelope: dict[str, Any] = {
        "tenant": "acme", "source": "s", "event_id": f"{kind}-{number}", "revision": told.revision,
        "agent_id": told.agent, "call_id": told.call,
    }  # fmt: skip
    if kind == "call":
        times = {"started_at": told.at_ms - 60_000, "answered_at": told.at_ms - 50_000, "ended_at": told.at_ms}
        outcome = "connected" if told.kind == "call" else "failed"
        if outcome == "failed":
            del times["answered_at"]
        return place(fields_of(CallEnded(**envelope, **times, direction="outbound", outcome=outcome)), PANE_MS)
    money = {"amount_minor": 100, "currency": "EUR"}
    outcome = "won" if told.kind == "deal" else "voided"
    return place(fields_of(DealClosed(**envelope, **money, closed_at=told.at_ms, outcome=outcome)), PANE_MS)


def read_back(retraction: Retraction) -> Accepted:
    """The retraction as the worker reads it from the log."""
    tenant, source, kind, event_id = retraction.identity.split("/", 3)
    epoch, revision, digest = rank_parts(retraction.rank)
    value = Retracted(
        tenant=tenant, source=source, kind=kind, event_id=event_id, epoch=epoch, revision=revision, digest=digest,
        scope=retraction.place.scope, start_ms=retraction.place.start_ms,
    ).to_json()  # fmt: skip
    return place(decode(value, END_MS), PANE_MS)


def fed(part: Partition, events: Iterable[Accepted]) -> list[tuple[bytes, bytes | None]]:
    """Accept events and what they retract, until nothing is left; the changelog that was written."""
    written: list[tuple[bytes, bytes | None]] = []
    waiting = list(events)
    while waiting:
        first = max(0, part.at.next_offset)
        for number, event in enumerate(waiting):
            part.accept(event, first + number)
        part.advance(first + len(waiting), 0)
        flush = part.snapshot(None)
        written += flush.changelog
        waiting = [read_back(each) for each in flush.retractions]
    return written


def partition() -> Partition:
    made = Partition(0, PartitionSettings("w1", PANE_MS, horizon_ms=DAY_MS, seal_after=3))
    made.recovered(0)
    return made


def from_scratch(told: Iterable[Told], agent: str, from_ms: int = 0) -> dict[int, Linked]:
    """What came of an agent's calls, from the events that stand in panes from an instant on."""
    standing: dict[str, tuple[Accepted, Told]] = {}
    for each in told:
        event = accepted(each)
        if each.identity not in standing or standing[each.identity][0].rank < event.rank:
            standing[each.identity] = event, each
    mine = [each for event, each in standing.values() if each.agent == agent and event.start_ms >= from_ms]
    pane_of = {each.identity: (each.at_ms - each.at_ms % PANE_MS) for each in mine}
    legs = [(each.call, pane_of[each.identity]) for each in mine if each.kind == "call"]
    named = {each.call for each in mine if each.kind == "deal" and each.call is not None}
    unnamed = sorted(pane_of[each.identity] for each in mine if each.kind == "deal" and each.call is None)
    ended = {name: max(start_ms for other, start_ms in legs if other == name) for name, _ in legs}
    out: dict[int, Linked] = {}
    doubtful: list[int] = []
    for deal_ms in unnamed:
        may = sorted(at for name, at in ended.items() if name not in named and at <= deal_ms <= at + DELAY_MS)
        for used in doubtful:
            if used in may:
                may.remove(used)
        doubtful += may[:1]
    for start_ms in sorted(set(ended.values())):
        here = [name for name, at in ended.items() if at == start_ms]
        out[start_ms] = Linked(len(here), sum(name in named for name in here), doubtful.count(start_ms))
    return out


def derived(part: Partition) -> Mapping[str, dict[int, Linked]]:
    return {agent: part.links.of(f"acme/agent:{agent}", DELAY_MS) for agent in AGENTS}


@given(st.lists(calls | deals, max_size=30), st.lists(st.integers(0, 40), max_size=4), st.data())
@settings(max_examples=300)
def test_index_equals_the_events_in_any_order_with_duplicates_corrections_and_moves(
    told: list[Told], looks: list[int], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(told + told[::3]))
    part = partition()
    written: list[tuple[bytes, bytes | None]] = []
    for first in range(0, len(order), 7):
        written += fed(part, map(accepted, order[first : first + 7]))
        if first in looks:
            derived(part)  # reading what is there, in between, changes nothing

    want = {agent: from_scratch(told, agent) for agent in AGENTS}

    assert derived(part) == want
    again = partition()
    again.assigned()
    for offset, (key, value) in enumerate(data.draw(st.permutations(written))):
        again.recover(offset, key, value)
    again.recovered(len(written))
    assert derived(again) == want


@given(st.lists(calls | deals, max_size=30), st.integers(0, 13), st.booleans())
def test_what_is_closed_is_forgotten_whatever_order_it_came_in(told: list[Told], pane: int, read: bool) -> None:
    part = partition()
    fed(part, map(accepted, told))
    if read:
        derived(part)
    frontier_ms = START_MS + pane * PANE_MS

    flush = part.snapshot(None)
    flush.frontier_ms = frontier_ms
    part.acknowledged(flush)

    assert derived(part) == {agent: from_scratch(told, agent, frontier_ms) for agent in AGENTS}
    flush.frontier_ms = START_MS + 20 * PANE_MS
    part.acknowledged(flush)
    assert part.links.keys() == []


@given(st.lists(calls | deals, max_size=20), st.lists(calls | deals, max_size=8))
@settings(max_examples=500)
def test_what_changed_is_named(told: list[Told], more: list[Told]) -> None:
    part = partition()
    fed(part, map(accepted, told))
    before = derived(part)
    part.links.take_changed()

    touched: set[tuple[str, int]] = set()
    first = max(0, part.at.next_offset)
    for number, event in enumerate(map(accepted, more)):
        part.accept(event, first + number)
        touched.add((event.key, event.start_ms))
    panes, keys = part.links.take_changed()

    after = derived(part)
    for agent in AGENTS:
        key = f"acme/agent:{agent}"
        for start_ms in before[agent].keys() | after[agent].keys():
            if before[agent].get(start_ms) != after[agent].get(start_ms):
                assert key in keys or (key, start_ms) in {*panes, *touched}
