"""Rows in the real engine: whatever is written, however often and in whatever order, the highest version stands."""

import itertools

from msgspec.structs import replace

from kpistream.alerting import events_behind
from kpistream.core import measures as m
from kpistream.core.alerts import State, Transition
from kpistream.core.contributing import Contributor
from kpistream.core.placing import Place
from kpistream.core.roster import Dated, Person, Roster, Tenant
from kpistream.core.rows import PaneRow
from kpistream.core.targets import Direction, Why
from kpistream.history import queries, writer
from kpistream.history.queries import Span
from kpistream.history.store import Store
from tests.scenario.history_events import (
    NOON,
    PANE_MS,
    abandoned,
    accepted,
    call,
    deal,
    facts,
    panes,
    retraction,
    survey,
)

ANN = Place("acme/agent:ann", NOON)


def stored(store: Store) -> dict[Place, PaneRow]:
    return {row.place: row for row in queries.pane_rows(store)}


def row_of(*events: dict[str, object]) -> list[PaneRow]:
    return [PaneRow(pane.place, PANE_MS, pane.version, dict(pane.tally)) for pane in panes(*events).values()]


def test_highest_version_stands_in_any_order_of_writing(store: Store) -> None:
    versions = [
        PaneRow(Place(f"acme/agent:{number}", NOON), PANE_MS, (1 << 80) + version, {m.CALLS: version})
        for number, order in enumerate(itertools.permutations((1, 2, 3)))
        for version in order
    ]

    for row in versions:
        store.insert(writer.pane_insert([row]))

    assert {row.tally[m.CALLS] for row in stored(store).values()} == {3}
    assert len(stored(store)) == 6


def test_same_insert_twice_changes_nothing(store: Store) -> None:
    rows = row_of(call("1"), call("2"), deal("d"), survey("s"))
    some = facts(call("1"), call("2"), deal("d"), survey("s"))

    for _ in range(2):
        store.insert(writer.pane_insert(rows))
        store.insert(writer.fact_insert(some, PANE_MS))

    assert stored(store) == {row.place: row for row in rows}
    assert len(queries.facts_of(store, "agent:ann", Span())) == 4


def test_rows_written_again_after_a_delete_are_there(store: Store) -> None:
    """Insert deduplication would drop the second write in silence."""
    store.command("ALTER TABLE kpi_panes MODIFY SETTING non_replicated_deduplication_window = 100")
    rows = row_of(call("1"))
    store.insert(writer.pane_insert(rows))
    store.command("DELETE FROM kpi_panes WHERE 1")
    assert stored(store) == {}

    store.insert(writer.pane_insert(rows))

    assert stored(store) == {rows[0].place: rows[0]}


def test_recomputed_row_equals_the_row_of_the_worker(store: Store) -> None:
    events = [
        call("1", hold_ms=2_000, wrap_up_ms=5_000),
        call("1", hold_ms=2_000, wrap_up_ms=6_000, revision=3),
        call("2", direction="inbound", queue="sales", queue_wait_ms=4_000),
        deal("d"),
        deal("e", amount_minor=99, currency="JPY", revision=2**48 - 1),
        survey("s"),
        survey("n", kind="nps", score=10, scale_min=0, scale_max=10),
        abandoned("q"),
    ]
    store.insert(writer.fact_insert(facts(*events), PANE_MS))

    writer.recompute(store, [pane.place for pane in panes(*events).values()])

    assert stored(store) == {row.place: row for row in row_of(*events)}
    assert stored(store)[ANN].tally[m.HANDLE_MS] == 48_000


def test_moved_event_counts_at_its_new_place_only(store: Store) -> None:
    first = call("1")
    moved = call("1", agent="bob", revision=1, moved_from={"agent_id": "ann", "occurred_at": first["ended_at"]})
    gone = retraction(accepted(moved), "agent:ann", NOON)
    store.insert(writer.fact_insert(facts(first, moved, gone), PANE_MS))

    writer.recompute(store, [ANN, Place("acme/agent:bob", NOON)])

    rows = stored(store)
    assert rows[ANN].tally == {}
    assert rows[ANN].version == accepted(moved).rank + 1
    assert rows[Place("acme/agent:bob", NOON)].tally[m.CALLS] == 1
    assert [fact["agent_id"] for fact in queries.facts_of(store, "agent:bob", Span())] == ["bob"]
    assert queries.facts_of(store, "agent:ann", Span()) == []


def test_place_with_tombstones_only_becomes_a_zero_row(store: Store) -> None:
    gone = retraction(accepted(call("1")), "agent:ann", NOON)
    store.insert(writer.fact_insert(facts(gone), PANE_MS))

    writer.recompute(store, [ANN])

    assert stored(store)[ANN] == PaneRow(ANN, PANE_MS, accepted(call("1")).rank + 1, {})


def test_recompute_of_many_places_over_years(store: Store) -> None:
    events = [call(str(n), ended_ms=NOON - n * 86_400_000) for n in range(1200)]
    store.insert(writer.fact_insert(facts(*events), PANE_MS))

    writer.recompute(store, [pane.place for pane in panes(*events).values()])

    assert stored(store) == {row.place: row for row in row_of(*events)}


def test_fact_keeps_every_field(store: Store) -> None:
    event = call(
        "1",
        queue="sales",
        campaign="spring",
        customer_id="c-1",
        call_id="call-1",
        attributes={"city": "Haifa", "quote": 'it\'s "so"\\'},
        disposition="callback",
        follow_up_of="call-0",
        follow_up_due_at="2025-03-03T13:00:00+01:00",
        next_follow_up_at="2025-03-04T12:00:00Z",
        ring_ms=9_000,
        transfer_leg=2,
        answered_by="human",
        revision=7,
        moved_from={"queue": "sales", "occurred_at": "2025-03-03T11:00:00Z"},
    )
    store.insert(writer.fact_insert(facts(event), PANE_MS))

    [fact] = queries.facts_of(store, "agent:ann", Span())

    expected = {
        "tenant": "acme",
        "source": "pbx",
        "kind": "call",
        "event_id": "1",
        "revision": 7,
        "retracted": 0,
        "occurred_at": NOON + 60_000,
        "queue": "sales",
        "campaign": "spring",
        "customer_id": "c-1",
        "call_id": "call-1",
        "attributes": {"city": "Haifa", "quote": 'it\'s "so"\\'},
        "disposition": "callback",
        "follow_up_of": "call-0",
        "follow_up_due_at": NOON,
        "next_follow_up_at": NOON + 86_400_000,
        "answered_at": NOON + 10_000,
        "reported_ring_ms": 9_000,
        "reported_hold_ms": None,
        "transfer_leg": 2,
        "answered_by": "human",
        "moved_from_agent_id": None,
        "moved_from_queue": "sales",
        "moved_from_occurred_at": NOON - 3_600_000,
        "amount_minor": None,
        "talk_ms": 40_000,
        "talk_sq_ms2": 1_600_000_000,
        "topic": "kpi.events",
        "offset": 0,
    }
    assert {name: fact[name] for name in expected} == expected


def test_odd_names_survive(store: Store) -> None:
    odd = "O'Brien \\ 北京 {x:String} %s `;--"
    event = call("it's", agent=odd)
    store.insert(writer.fact_insert(facts(event), PANE_MS))

    writer.recompute(store, [Place(f"acme/agent:{odd}", NOON)])

    assert [row.place.scope for row in queries.pane_rows(store)] == [f"agent:{odd}"]
    assert len(queries.facts_of(store, f"agent:{odd}", Span(tenant="acme"))) == 1


def transition(to: State, sequence: int = 1) -> Transition:
    return Transition(
        alert_id=f"short/acme/agent:ann/{sequence}",
        target="short",
        tenant="acme",
        scope="agent:ann",
        sequence=sequence,
        from_state=State.OK,
        to_state=to,
        at_ms=NOON,
        reason=next(iter(Why)),
        kpi="too_short_share",
        window="rolling-60m",
        window_from_ms=NOON - 3_600_000,
        window_to_ms=NOON,
        direction=next(iter(Direction)),
        low=None,
        high=0.2,
        value=0.25,
        numerator=1,
        denominator=4,
        before=State.OK,
    )


def test_first_record_of_a_sequence_stands(store: Store) -> None:
    zombie = writer.Appended(transition(State.PENDING), "kpi.alerts", 0, 9)
    first = writer.Appended(transition(State.FIRING), "kpi.alerts", 0, 8)

    for records in ([first], [zombie], [first, zombie]):
        store.insert(writer.alert_insert(records))

    rows = store.query("SELECT to_state, value, high, low, denominator FROM kpi_alerts FINAL")
    assert rows == [("firing", 0.25, 0.2, None, 4)]


def test_contributors_of_an_alert_are_kept_and_their_events_are_shown_as_they_stand(store: Store) -> None:
    found = replace(
        transition(State.FIRING),
        contributors=tuple(Contributor(f"acme/pbx/call/{n}", NOON, 1, 1) for n in ("2", "1", "moved")),
    )
    store.insert(writer.alert_insert([writer.Appended(found, "kpi.alerts", 0, 8)]))
    store.insert(writer.fact_insert(facts(call("1"), call("2"), call("3"), call("moved", agent="bob")), PANE_MS))

    assert store.query("SELECT contributors FROM kpi_alerts FINAL") == [(found.contributor_names,)]
    [kept] = queries.transitions_of(store, ["rolling-60m"], [])
    assert (kept.alert_id, kept.contributors) == (found.alert_id, ())
    shown = events_behind(store, found)
    assert [each["identity"] for each in shown] == ["acme/pbx/call/2", "acme/pbx/call/1"]
    assert shown[0]["occurred_at"] == "2025-03-03T12:01:00+00:00"
    assert {"outcome", "direction", "revision"} <= shown[0].keys() and None not in shown[0].values()


def test_roster_keeps_each_version(store: Store) -> None:
    person = Person(
        "ann",
        names=(Dated("Ann"),),
        teams=(Dated("north", to_ms=NOON), Dated("south", from_ms=NOON)),
        aliases={"crm": (Dated("u-17"),)},
    )
    roster = Roster({"acme": Tenant("acme", people={"ann": person})})

    for version in (1, 2, 2):
        store.insert(writer.roster_insert(version, roster))
    store.insert(writer.roster_insert(3, Roster()))

    rows = store.query(
        "SELECT attribute, source, value, toUnixTimestamp64Milli(valid_from) FROM kpi_roster FINAL "
        "WHERE version = 2 ORDER BY attribute, value"
    )
    assert rows == [
        ("active", "", "", None),
        ("alias", "crm", "u-17", None),
        ("name", "", "Ann", None),
        ("team", "", "north", None),
        ("team", "", "south", NOON),
    ]
