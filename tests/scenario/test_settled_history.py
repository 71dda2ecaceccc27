"""Settled calls out of facts, on the real engine: the same numbers as live, for weeks, results and reports.

A settle time of two hours and panes of five minutes: a call that ends at 12:01 counts at 14:05.
"""

from typing import Any

from kpistream.core.links import Links
from kpistream.core.measures import SETTLED_CALLS, SETTLED_CALLS_IN_DOUBT, SETTLED_CALLS_WON
from kpistream.core.partition import Partition, PartitionSettings
from kpistream.core.results import Outcome
from kpistream.core.rows import PaneRow
from kpistream.history import writer
from kpistream.history.queries import Span, Sums
from kpistream.history.reports import Question, report_agents, report_json
from kpistream.history.settled import settled_between, settled_by_scope
from kpistream.history.store import Store
from tests.scenario.history_events import NOON, PANE_MS, accepted, call, deal, facts, panes
from tests.scenario.test_reviewing import DAY, HOUR, reviewing, to_date, told

MINUTE = 60_000
DELAY = 2 * HOUR + PANE_MS
SETTLED_AT = NOON + DELAY


def fill(store: Store, *events: dict[str, Any]) -> None:
    rows = [PaneRow(pane.place, PANE_MS, pane.version, dict(pane.tally)) for pane in panes(*events).values()]
    store.insert(writer.pane_insert(rows))
    store.insert(writer.fact_insert(facts(*events), PANE_MS))


def sums(found: list[Sums]) -> dict[tuple[str, Any], tuple[int, int, int]]:
    numbers = (SETTLED_CALLS, SETTLED_CALLS_WON, SETTLED_CALLS_IN_DOUBT)
    return {(each.scope, each.group): tuple(each.tally.get(n, 0) for n in numbers) for each in found}  # type: ignore[misc]


FLOOR = (
    call("leg-1", call_id="c-1"),
    call("leg-2", call_id="c-2"),
    call("leg-3", call_id="c-2", ended_ms=NOON + 11 * MINUTE, transfer_leg=1),
    call("plain"),
    call("voice", call_id="c-5", outcome="voicemail", talk_ms=None),
    call("bob-1", "bob", call_id="c-6"),
    deal("d-1", call_id="c-1"),
    deal("d-2", call_id="c-1"),
    deal("d-3", call_id="plain"),
    deal("d-4", call_id="c-6"),
    deal("d-5", "bob", call_id=None),
    deal("d-6", call_id="c-2", outcome="lost", amount_minor=None, currency=None),
)
"""Ann: c-1 is won by two deals, c-2 has two legs and is lost, `plain` is named by its event id. Bob: a deal without a
call, and one of Ann's that names his call."""


def test_calls_are_counted_once_where_they_settle(store: Store) -> None:
    fill(store, *FLOOR)

    assert sums(settled_by_scope(store, Span(SETTLED_AT, SETTLED_AT + HOUR, "acme"), DELAY)) == {
        ("agent:ann", None): (3, 2, 0), ("agent:bob", None): (1, 0, 1),
    }  # fmt: skip
    assert sums(settled_by_scope(store, Span(SETTLED_AT, SETTLED_AT + PANE_MS, "acme"), DELAY)) == {
        ("agent:ann", None): (2, 2, 0), ("agent:bob", None): (1, 0, 1),
    }, "a call settles with its last leg"  # fmt: skip
    assert sums(settled_by_scope(store, Span(SETTLED_AT + PANE_MS, None, "acme"), DELAY)) == {
        ("agent:ann", None): (1, 0, 0)
    }
    assert settled_by_scope(store, Span(tenant="other"), DELAY) == []
    split = settled_between(
        store, Span(NOON, NOON + DAY, "acme"), DELAY, ["agent:ann"], [NOON, SETTLED_AT + 2 * PANE_MS]
    )
    assert sums(split) == {("agent:ann", 1): (2, 2, 0), ("agent:ann", 2): (1, 0, 0)}
    assert sums(settled_by_scope(store, Span(), DELAY, "hour", "UTC")) == {
        ("agent:ann", 14): (3, 2, 0), ("agent:bob", 14): (1, 0, 1),
    }  # fmt: skip


def test_deal_after_the_end_of_a_span_does_not_change_it(store: Store) -> None:
    fill(store, call("a", call_id="c-1"), deal("d", call_id="c-1", closed_ms=NOON + DAY))

    assert sums(settled_by_scope(store, Span(NOON, NOON + DAY), DELAY)) == {("agent:ann", None): (1, 0, 0)}
    assert sums(settled_by_scope(store, Span(NOON, NOON + 2 * DAY), DELAY)) == {("agent:ann", None): (1, 1, 0)}


def test_history_says_what_live_panes_say(store: Store) -> None:
    fill(store, *FLOOR)
    part = Partition(0, PartitionSettings("w", PANE_MS))
    for offset, event in enumerate(FLOOR):
        part.accept(accepted(event), offset)
    links: Links = part.links

    live = {
        (f"agent:{agent}", None): tuple(map(sum, zip(*links.of(f"acme/agent:{agent}", DELAY).values(), strict=True)))
        for agent in ("ann", "bob")
    }
    assert sums(settled_by_scope(store, Span(), DELAY)) == live


def test_week_is_judged_to_date_and_closes_also_for_teams(store: Store) -> None:
    week = "{name: settled, kpi: settled_conversion, window: week, bound: 50 %}"
    team = "{name: team, kpi: settled_conversion, window: week, scope: team, bound: 50 %}"
    fill(store, *FLOOR, call("later", ended_ms=NOON + DAY))
    known = reviewing(week, team)

    looks = to_date(known, store, NOON + DAY + HOUR).items()

    values = {at.scope: look.judgement.value for at, look in looks}
    known_values = {scope: (each.numerator, each.denominator) for scope, each in values.items() if each}
    assert {scope: each for scope, each in known_values.items() if each[1]} == {
        "agent:ann": (2, 3), "agent:bob": (0, 1), "team:north": (2, 4),
    }, "what has not settled by then is not counted"  # fmt: skip
    closed = {
        each.scope: (each.outcome, each.numerator, each.denominator) for each in told(known, store, NOON + 8 * DAY)
    }
    assert closed == {
        "agent:ann": (Outcome.MET, 2, 4),
        "agent:bob": (Outcome.TOO_LITTLE, 0, 1),
        "agent:eve": (Outcome.TOO_LITTLE, 0, 0),
        "team:north": (Outcome.TOO_LITTLE, 2, 5),
    }, "a deal without a call may have won Bob's, and then the team has made it"


def test_report_has_it_by_agent_and_day_and_not_where_calls_are_split(store: Store) -> None:
    fill(store, *FLOOR)

    whole, by_day, by_queue = (
        report_json(report_agents(store, Question(by=by, settle_ms=lambda _: 2 * HOUR)))["rows"][0]
        for by in (None, "day", "queue")
    )
    want = {"value": 2 / 3, "numerator": 2, "denominator": 3}
    assert (whole["settled_conversion"], by_day["settled_conversion"]) == (want, want)
    assert "settled_conversion" not in by_queue


def test_report_settles_calls_of_each_tenant_by_its_own_time(store: Store) -> None:
    fill(store, *FLOOR, *({**event, "tenant": "other"} for event in FLOOR))
    asked = Question(from_ms=NOON, to_ms=NOON + HOUR, settle_ms={"acme": 10 * MINUTE, "other": 2 * HOUR}.__getitem__)

    rows = report_json(report_agents(store, asked))["rows"]

    found = {each["tenant"]: each["settled_conversion"] for each in rows if each["agent_id"] == "ann"}
    assert found == {
        "acme": {"value": 2 / 3, "numerator": 2, "denominator": 3},
        "other": {"value": None, "numerator": 0, "denominator": 0},
    }


def test_period_closes_again_when_facts_come_after_their_panes(store: Store) -> None:
    known = reviewing("{name: settled, kpi: settled_conversion, window: week, bound: 50 %, alerts: off}")
    rows = [PaneRow(pane.place, PANE_MS, pane.version, dict(pane.tally)) for pane in panes(*FLOOR).values()]
    store.insert(writer.pane_insert(rows))
    until_ms = NOON + 8 * DAY
    closing = next(each for each in known.closings(store, until_ms) if each.period.name == "week")

    before = known.changed(store, closing)
    store.insert(writer.fact_insert(facts(*FLOOR), PANE_MS))

    assert known.changed(store, closing) > before
