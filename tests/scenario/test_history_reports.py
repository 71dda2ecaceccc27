"""Reports over the real engine: sums in any zone, ratios from sums, and the calls that reached nobody."""

import csv
import io
import json
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from kpistream.core.rows import PaneRow
from kpistream.errors import ConfigError
from kpistream.history import queries, render, writer
from kpistream.history.queries import Span
from kpistream.history.reports import Question, report_agents, report_json
from kpistream.history.store import Store
from tests.scenario.history_events import NOON, PANE_MS, abandoned, call, deal, facts, panes, survey

MINUTE = 60_000
HOUR = 60 * MINUTE


def fill(store: Store, *events: dict[str, object]) -> None:
    store.insert(writer.fact_insert(facts(*events), PANE_MS))
    rows = [PaneRow(pane.place, PANE_MS, pane.version, dict(pane.tally)) for pane in panes(*events).values()]
    store.insert(writer.pane_insert(rows))


def local(text: str, zone: str = "Europe/Berlin", fold: int = 0) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()) * 1000


def test_report_has_sums_ratios_and_the_calls_that_reached_nobody(store: Store) -> None:
    fill(
        store,
        call("1", call_id="a"),
        call("2", call_id="a", transfer_leg=1),
        call("3", agent="bob", outcome="busy", answered_at=None, talk_ms=None),
        deal("d"),
        deal("e", amount_minor=700, currency="JPY"),
        survey("s"),
        abandoned("q"),
        abandoned("r", queue="service"),
    )

    report = report_json(report_agents(store, Question(zone="Europe/Berlin")))

    assert list(report) == ["from", "to", "zone", "rows", "unassigned"]
    assert report["from"] == "2025-03-03T13:00:00+01:00"
    assert report["to"] == "2025-03-03T13:05:00+01:00"
    ann, bob = report["rows"]
    assert (ann["tenant"], ann["agent_id"]) == ("acme", "ann")
    assert (ann["calls"], ann["connected"], ann["talk_ms"], ann["deals_won"], ann["surveys"]) == (2, 2, 80_000, 2, 1)
    assert ann["revenue"] == {"EUR": 150_000, "JPY": 700}
    assert ann["distinct_call_ids"] == 1
    assert ann["average_talk_time"] == {"value": 40_000.0, "numerator": 80_000, "denominator": 2}
    assert ann["csat_mean"] == {"1-5": {"value": 4.0, "numerator": 4_000, "denominator": 1}}
    assert ann["average_deal"]["EUR"] == {"value": 150_000.0, "numerator": 150_000, "denominator": 1}
    assert (bob["calls"], bob["connected"], bob["talk_ms"], bob["revenue"]) == (1, 0, 0, {})
    assert bob["connect_share"] == {"value": 0.0, "numerator": 0, "denominator": 1}
    assert bob["average_talk_time"] == {"value": None, "numerator": 0, "denominator": 0}
    unassigned = report["unassigned"]
    assert (unassigned["calls"], unassigned["abandoned"], unassigned["distinct_call_ids"]) == (2, 2, 2)
    assert "agent_id" not in unassigned
    json.dumps(report)


def test_empty_history_is_an_empty_report(store: Store) -> None:
    report = report_json(report_agents(store, Question()))

    assert (report["from"], report["to"], report["rows"]) == (None, None, [])
    assert report["unassigned"]["calls"] == 0


def test_agent_whose_events_all_left_has_no_row(store: Store) -> None:
    store.insert(writer.pane_insert([PaneRow(panes(call("1"))["acme/agent:ann", NOON].place, PANE_MS, 1, {})]))

    assert report_agents(store, Question()).rows == ()


def test_span_is_half_open_and_of_one_tenant(store: Store) -> None:
    fill(
        store,
        call("1", ended_ms=NOON - 1),
        call("2", ended_ms=NOON),
        call("3", ended_ms=NOON + HOUR - 1),
        call("4", ended_ms=NOON + HOUR),
        call("5", ended_ms=NOON, tenant="other"),
    )

    [row] = report_agents(store, Question(from_ms=NOON, to_ms=NOON + HOUR, tenant="acme")).rows

    assert row.tally[1] == 2


#  Berlin, 2025-10-26: 00:00 ... 02:00 02:59 | 02:00 02:59 ... 24:00   25 hours
def test_autumn_day_has_25_hours(store: Store) -> None:
    midnight, next_midnight = local("2025-10-26T00:00"), local("2025-10-27T00:00")
    assert next_midnight - midnight == 25 * HOUR
    fill(
        store,
        call("saturday", ended_ms=midnight - 1),
        call("first two", ended_ms=local("2025-10-26T02:30")),
        call("second two", ended_ms=local("2025-10-26T02:30", fold=1)),
        call("last", ended_ms=next_midnight - 1),
        call("monday", ended_ms=next_midnight),
    )

    def split(by: str) -> list[tuple[object, int]]:
        report = report_json(report_agents(store, Question(zone="Europe/Berlin", by=by)))
        return [(row[by], row["calls"]) for row in report["rows"]]

    assert split("day") == [("2025-10-25", 1), ("2025-10-26", 3), ("2025-10-27", 1)]
    assert split("hour") == [(0, 1), (2, 2), (23, 2)]
    assert split("weekday") == [("Monday", 1), ("Saturday", 1), ("Sunday", 3)]


#  Berlin, 2025-03-30: 00:00 01:59 | 03:00 ... 24:00   23 hours
def test_spring_day_has_23_hours(store: Store) -> None:
    midnight, next_midnight = local("2025-03-30T00:00"), local("2025-03-31T00:00")
    assert next_midnight - midnight == 23 * HOUR
    fill(
        store, call("1", ended_ms=midnight), call("2", ended_ms=midnight + 2 * HOUR), call("3", ended_ms=next_midnight)
    )

    report = report_json(report_agents(store, Question(zone="Europe/Berlin", by="hour", to_ms=next_midnight)))

    assert [(row["hour"], row["calls"]) for row in report["rows"]] == [(0, 1), (3, 1)]


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("queue", [("sales", 1), (None, 2)]),
        ("campaign", [("spring", 1), (None, 2)]),
        ("direction", [("inbound", 1), ("outbound", 1), (None, 1)]),
        ("disposition", [("sold", 1), (None, 2)]),
    ],
)
def test_rows_are_split_by_what_facts_say(store: Store, by: str, expected: list[tuple[object, int]]) -> None:
    one = call("1", direction="inbound", queue="sales", campaign="spring", disposition="sold")
    fill(store, one, call("2"), deal("d"), abandoned("q"))

    report = report_json(report_agents(store, Question(by=by)))

    found = [(row[by], row["calls"] + row["deals_won"]) for row in report["rows"]]
    assert sorted(found, key=str) == sorted(expected, key=str)
    assert report["unassigned"]["calls"] == 1


def test_bound_inside_a_pane_is_refused(store: Store) -> None:
    fill(store, call("1"))

    with pytest.raises(ConfigError, match=r'from "2025-03-03T13:01:00\+01:00" lies inside a pane; .* 300 s'):
        report_agents(store, Question(from_ms=NOON + MINUTE, zone="Europe/Berlin"))


def test_all_faults_of_a_question_are_reported_at_once(store: Store) -> None:
    with pytest.raises(ConfigError) as caught:
        report_agents(store, Question(from_ms=NOON + 1, to_ms=NOON, by="moon"))

    assert len(caught.value.faults) == 3


def test_unknown_zone_is_refused(store: Store) -> None:
    with pytest.raises(ConfigError, match='unknown time zone "Mars/Olympus"'):
        report_agents(store, Question(zone="Mars/Olympus"))


def test_csv_has_a_line_a_row_and_a_column_a_number(store: Store) -> None:
    fill(store, call("1"), deal("d"), call("2", agent="bob"))

    ann, bob = csv.DictReader(io.StringIO(render.as_csv(report_agents(store, Question()))))

    assert (ann["agent_id"], ann["calls"], ann["revenue_EUR"], bob["revenue_EUR"]) == ("ann", "1", "150000", "")
    assert (ann["average_talk_time"], ann["average_talk_time_denominator"]) == ("40000.0", "1")


def test_table_shows_n_beside_ratios_and_money_in_major_units(store: Store) -> None:
    fill(store, call("1"), deal("d"), call("2", agent="bob", talk_ms=5_000), abandoned("q"))

    text = render.as_table(report_agents(store, Question(), lambda tenant, agent_id: agent_id.title()))

    assert "2025-03-03T12:00:00+00:00 to 2025-03-03T12:05:00+00:00 (UTC)" in text
    [ann] = [line for line in text.splitlines() if line.startswith("Ann")]
    assert "100.0 % (n=1)" in ann
    assert "1,500.00 EUR" in ann
    assert "40 s (n=1)" in ann
    assert any(line.startswith("no agent") for line in text.splitlines())
    assert "average talk time: talk_ms / connected" in text


@pytest.mark.parametrize(
    ("ms", "text"), [(0, "0 s"), (59_499, "59 s"), (59_500, "1:00"), (185_000, "3:05"), (43_651_000, "12:07:31")]
)
def test_durations_are_for_people(ms: int, text: str) -> None:
    assert render.duration(ms) == text


def test_agents_seen_tells_counts_and_times(store: Store) -> None:
    fill(store, call("1"), deal("d"), call("2", agent="bob"), abandoned("q"))

    assert queries.agents_seen(store, Span()) == [
        queries.Seen("acme", "ann", 2, NOON + 60_000, NOON + 90_000),
        queries.Seen("acme", "bob", 1, NOON + 60_000, NOON + 60_000),
    ]


def test_query_on_the_page_about_history_runs(store: Store) -> None:
    fill(store, call("1"), call("2", talk_ms=20_000), abandoned("q"))
    page = Path(__file__).resolve().parents[2] / "docs" / "reference" / "history.md"
    sql = page.read_text(encoding="utf-8").split("```sql\n")[1].split("```")[0]

    assert [(row[0], *row[2:]) for row in store.query_plain(sql)] == [("ann", 2, 2, 30_000.0)]
