"""Own measures of the past, on the real engine: SQL and Python agree, reports have them, periods close by them."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kpistream.core.event_fields import FIELDS
from kpistream.core.event_predicates import Condition, Predicate
from kpistream.core.kpis import Limits
from kpistream.core.own_measures import OwnMeasure
from kpistream.core.placing import Accepted
from kpistream.core.results import Outcome, Result
from kpistream.core.rows import PaneRow
from kpistream.core.settings import Settings, read_settings
from kpistream.history import queries, render, writer
from kpistream.history.keeping import SettingsKeeper
from kpistream.history.own_sums import OwnSums
from kpistream.history.queries import Span
from kpistream.history.reports import Own, Question, report_agents, report_json
from kpistream.history.reviewing import Reviewing
from kpistream.history.store import Store
from kpistream.history.writer import Appended, Fact
from tests.laws.own_events import PANE_MS, contents, own_measures
from tests.laws.test_own_measure_laws import accepted, naive
from tests.scenario.history_events import NOON, call, deal, facts, panes
from tests.scenario.test_history_settings import log_of

DAY = 24 * 3_600_000
SETTINGS = """
tenants:
  acme:
    teams: {north: {}, south: {}}
    people:
      ann: {team: [{team: north, to: 2025-03-04}, {team: south, from: 2025-03-04}]}
      bob: {team: north}
measures:
  demos: {of: call, where: {disposition: [demo booked, demo moved]}, description: demos}
  demo_talk: {of: call, where: {disposition: [demo booked, demo moved]}, add: talk_ms, description: their talk time}
  euros: {of: deal, where: {outcome: won, currency: EUR}, add: amount_minor, description: euros}
kpis:
  demo_share: {ratio: demos / calls, better: higher, description: demos of calls}
  demo_time: {mean: demo_talk / demos, better: band, description: time for a demo}
  euros: {sum: euros, better: higher, description: euros}
  calls_a_euro: {ratio: calls / euros, unit: calls per cent, better: lower, description: effort}
"""


OTHER = SETTINGS.replace("disposition: [demo booked, demo moved]}, desc", "disposition: no interest}, desc")


def append_results(store: Store, results: list[Result]) -> None:
    store.insert(writer.result_insert([Appended(each, "t", 0, number) for number, each in enumerate(results)]))


def store_facts(store: Store, events: list[Accepted]) -> None:
    store.insert(writer.fact_insert([Fact(e, "t", 0, n, e.occurred_at_ms) for n, e in enumerate(events)], PANE_MS))


def found(store: Store, measures: list[OwnMeasure]) -> dict[tuple[str, int, int], int]:
    """Own sums by key, start and number, by SQL."""
    own = OwnSums(measures)
    rows = store.query(
        f"SELECT tenant, scope, toUnixTimestamp64Milli(start) AS at, {own.sql} FROM kpi_facts FINAL "
        "GROUP BY tenant, scope, at",
        own.parameters,
    )
    return {(f"{r[0]}/{r[1]}", r[2], number): value for r in rows for number, value in own.tally(r[3:]).items()}


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(own_measures(), min_size=1, max_size=6), st.lists(contents(), min_size=1, max_size=30))
def test_sql_and_python_agree(store: Store, measures: list[OwnMeasure], raw: list[dict[str, Any]]) -> None:
    store.insert_select("TRUNCATE TABLE kpi_facts", {})
    events = accepted(raw)

    store_facts(store, events)

    assert found(store, measures) == {at: value for at, value in naive(measures, events).items() if value}


@pytest.mark.parametrize(
    "text", ["it's", 'so "so"', "a\\b", "\\'; DROP TABLE kpi_facts; --", "{own0:String}", "Zoë 你好", "%s"]
)
def test_any_text_is_only_a_text(store: Store, text: str) -> None:
    event = call("1", disposition=text, attributes={text: text})
    store.insert(writer.fact_insert(facts(event, call("2", disposition="x")), PANE_MS))
    said = OwnMeasure("said", Predicate("call", ((Condition("disposition", "in", (text,)),),)))
    noted = OwnMeasure("noted", Predicate("call", ((Condition(f"attributes.{text}", "in", (text,)),),)))

    (sums,) = queries.own_by_scope(store, Span(), [said, noted])

    assert sums.tally == {said.number: 1, noted.number: 1}


def test_every_field_has_sql() -> None:
    conditions = [
        Condition(field.attribute, "empty", ("no",)) for fields in FIELDS.values() for field in fields.values()
    ]
    for kind, fields in FIELDS.items():
        mine = tuple(each for each in conditions if each.field in {field.attribute for field in fields.values()})
        assert OwnSums([OwnMeasure("all", Predicate(kind, (mine,)))]).sql


def fill(store: Store, *events: dict[str, object]) -> None:
    store.insert(writer.fact_insert(facts(*events), PANE_MS))
    rows = [PaneRow(pane.place, PANE_MS, pane.version, dict(pane.tally)) for pane in panes(*events).values()]
    store.insert(writer.pane_insert(rows))


def live(more: str = "") -> Settings:
    return read_settings({"settings.yaml": SETTINGS + more})


def test_a_report_has_own_measures_of_the_past(store: Store) -> None:
    fill(
        store,
        call("1", disposition="demo booked"),
        call("2", disposition="no interest"),
        call("3", disposition="demo moved", revision=1, talk_ms=20_000),
        call("3", disposition="no interest"),
        call("4", "bob", queue="sales"),
        deal("d"),
        deal("e", amount_minor=700, currency="JPY"),
    )
    question = Question(own=Own(live().own))

    ann, bob = report_json(report_agents(store, question))["rows"]

    assert ann["demo_share"] == {"value": 2 / 3, "numerator": 2, "denominator": 3}
    assert ann["demo_time"] == {"value": 30_000.0, "numerator": 60_000, "denominator": 2}
    assert ann["euros"] == {"value": 150_000, "numerator": 150_000, "denominator": None}
    assert ann["calls_a_euro"]["value"] == 3 / 150_000
    assert bob["demo_share"] == {"value": 0.0, "numerator": 0, "denominator": 1}
    assert bob["demo_time"] == {"value": None, "numerator": 0, "denominator": 0}
    assert "66.7 % (n=3)" in render.as_table(report_agents(store, question))


@pytest.mark.parametrize("by", ["day", "hour", "weekday", "queue", "campaign", "direction", "disposition"])
def test_groups_of_a_report_add_up(store: Store, by: str) -> None:
    fill(
        store,
        call("1", disposition="demo booked", queue="a"),
        call("2", disposition="demo moved", ended_ms=NOON + DAY, direction="inbound"),
        call("3", "bob", disposition="demo moved", campaign="x"),
        call("4", "bob"),
    )

    rows = report_agents(store, Question(by=by, own=Own(live().own), limits=Limits())).rows

    number = live().own.measures[0].number
    sums = {agent: sum(row.tally.get(number, 0) for row in rows if row.agent_id == agent) for agent in ("ann", "bob")}
    assert sums == {"ann": 2, "bob": 1}


def test_periods_close_by_own_measures_and_again_when_a_late_event_changes_them(store: Store) -> None:
    more = """
targets:
  - {name: demos, kpi: demo_share, window: business-day, bound: 60 %}
  - {name: team-demos, kpi: demo_share, window: week, bound: 50 %, scope: team, minimum_sample: 2}
"""
    judge = Reviewing(live(more), PANE_MS)
    fill(
        store,
        call("1", disposition="demo booked"),
        call("2", disposition="no interest"),
        call("3", ended_ms=NOON + DAY, disposition="demo booked"),
        call("4", "bob", disposition="demo booked"),
    )
    until_ms = NOON + 13 * DAY // 2

    closings = judge.closings(store, until_ms)
    results = [each for closing in closings for each in judge.results(store, closing, until_ms, until_ms)]
    first = {(e.target, e.scope, e.window_from_ms): (e.outcome, e.numerator, e.denominator) for e in results}

    monday = NOON - DAY // 2
    assert first == {
        ("demos", "agent:ann", monday): (Outcome.MISSED, 1, 2),
        ("demos", "agent:bob", monday): (Outcome.MET, 1, 1),
        ("demos", "agent:ann", monday + DAY): (Outcome.MET, 1, 1),
        ("team-demos", "team:north", monday): (Outcome.MET, 2, 3),
        ("team-demos", "team:south", monday): (Outcome.TOO_LITTLE, 1, 1),
    }

    append_results(store, results)
    assert [e for c in closings for e in judge.results(store, c, until_ms, until_ms + 1)] == []
    other = Reviewing(read_settings({"settings.yaml": OTHER + more}), PANE_MS)
    assert [e for c in closings for e in other.results(store, c, until_ms, until_ms + 1)], "nobody knows what it meant"
    keeper = SettingsKeeper(log_of({"settings.yaml": SETTINGS + more}), 1)
    keeper.write(store)
    assert [e for c in closings for e in other.results(store, c, until_ms, until_ms + 1)] == [], "it was told"

    before = [judge.changed(store, closing) for closing in closings]
    store.insert(writer.fact_insert(facts(call("9", disposition="demo moved", revision=3)), PANE_MS))
    assert [judge.changed(store, closing) for closing in closings] != before, "facts may come after panes"
    again = [each for closing in closings for each in judge.results(store, closing, until_ms, until_ms + 1)]
    assert {(e.target, e.scope, e.numerator) for e in again} == {
        ("demos", "agent:ann", 2),
        ("team-demos", "team:north", 3),
    }
