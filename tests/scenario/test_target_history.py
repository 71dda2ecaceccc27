"""Targets against history, on a real ClickHouse over HTTP: bounds that say nothing, and bounds out of what was done."""

import itertools
import json
from collections.abc import Iterator
from datetime import date, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from kpistream.core.kpis import BY_NAME
from kpistream.core.measures import CALLS, CONNECTED, OUTBOUND_CALLS, OUTBOUND_CONNECTED, TALK_MS
from kpistream.core.placing import Place
from kpistream.core.rows import PaneRow
from kpistream.core.settings import read_settings
from kpistream.history import ddl, queries, writer
from kpistream.history.queries import Span
from kpistream.history.store import Store, open_store
from kpistream.history.whole_days import agent_days, team_days
from tests.front.process import Front
from tests.scenario.history_events import call, deal, facts, panes
from tests.unit.test_cli import run
from tests.unit.test_schedules import at

PANE_MS, DAY_MS = 300_000, 86_400_000
_NUMBERS = itertools.count(1)
MONDAY = date(2026, 1, 5)
NOW = "2026-03-30"
ROSTER = """
tenants:
  acme:
    zone: Europe/Berlin
    teams: {north: {}, south: {}}
    people:
      anna: {team: north, tier: veteran}
      bela: {team: north, tier: new}
      chiara: {team: south, tier: veteran}
  other: {}
"""
TARGETS = """
targets:
  - name: calls
    kpi: calls
    window: business-day
    tenant: acme
    bound: "40"
    overrides: [{tier: new, bound: "10"}, {tier: veteran, bound: "40"}]
  - {name: team, kpi: calls, window: business-day, scope: team, tenant: acme, bound: "45"}
  - {name: all, kpi: calls, window: business-day, scope: tenant, tenant: acme, bound: "100"}
"""


@pytest.fixture
def url(http_clickhouse: Front) -> str:
    return http_clickhouse.url(f"targets_{next(_NUMBERS)}")


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with open_store(url, create=True) as opened:
        ddl.apply(opened)
        yield opened


@pytest.fixture(autouse=True)
def _settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KPISTREAM_SETTINGS", "settings")
    Path("settings").mkdir()
    Path("settings/roster.yaml").write_text(ROSTER)
    Path("settings/targets.yaml").write_text(TARGETS)


def panes_of(agent: str, calls: list[int], tenant: str = "acme") -> list[PaneRow]:
    """An agent's calls, a number for each working day from the first Monday of 2026 on, in two panes of the day."""
    workdays = [day for day in range(7 * len(calls)) if day % 7 < 5][: len(calls)]
    rows = []
    for day, count in zip(workdays, calls, strict=True):
        noon_ms = at(f"{MONDAY + timedelta(day)} 12:00")
        for start_ms, part in ((noon_ms, count // 2), (noon_ms + 2 * PANE_MS, count - count // 2)):
            tally = {
                CALLS: part,
                OUTBOUND_CALLS: part,
                OUTBOUND_CONNECTED: part // 2,
                CONNECTED: part,
                TALK_MS: part * 60_000,
            }
            rows.append(PaneRow(Place(f"{tenant}/agent:{agent}", start_ms), PANE_MS, 1, tally))
    return rows


def fill(store: Store, *rows: PaneRow) -> None:
    store.insert(writer.pane_insert(rows))


def test_days_come_whole_and_by_scope(store: Store) -> None:
    roster = read_settings({"roster.yaml": ROSTER}).roster
    queue = PaneRow(Place("acme/queue:sales", at("2026-01-06 12:00")), PANE_MS, 1, {CALLS: 7})
    fill(store, *panes_of("bela", [3, 4, 5]), *panes_of("anna", [1, 2]), *panes_of("zoe", [9], "other"), queue)
    span = Span(at("2026-01-05 12:00"), at("2026-01-07 12:05"), "acme")

    agents = [(day.scope, day.tally[CALLS]) for day in agent_days(store, roster, span)]
    teams = [(day.scope, day.tally[CALLS]) for day in team_days(store, roster, span._replace(from_ms=None))]

    assert sorted(agents) == [("agent:anna", 2), ("agent:bela", 4)], "the fifth had begun before, the seventh goes on"
    assert sorted(teams) == [
        ("team:north", 4),
        ("team:north", 6),
        ("team:unassigned", 7),
        ("tenant", 4),
        ("tenant", 13),
    ]


def test_panes_are_streamed_in_their_order(store: Store) -> None:
    rows = panes_of("bela", [5, 4]) + panes_of("anna", [7, 6])
    fill(store, *rows)

    by_agent, in_time = list(queries.agent_panes(store, Span())), list(queries.panes_in_time(store, Span()))

    assert by_agent == sorted(rows, key=lambda row: (row.place.key, row.place.start_ms))
    assert in_time == sorted(rows, key=lambda row: (row.place.start_ms, row.place.key))


def test_lint_finds_bounds_that_say_nothing(store: Store, url: str) -> None:
    anna, bela, chiara = [30, 20] * 6, [12, 11] * 6, [40, 39] * 6
    fill(store, *panes_of("anna", anna), *panes_of("bela", bela), *panes_of("chiara", chiara))

    ran = run("targets", "lint", "--store", url, "--at", "2026-03-29", "--json")

    assert ran.code == 1
    assert [each for each in json.loads(ran.out) if each["check"] in ("unreachable", "trivial")] == [
        {
            "target": "calls",
            "check": "unreachable",
            "fact": "never met in 12 weeks by anna, 1 of 3; at best 30 calls of 40 calls in 12 days",
        },
        {"target": "calls", "check": "trivial", "fact": "met every day for 12 weeks by bela, 1 of 3"},
        {
            "target": "team",
            "check": "unreachable",
            "fact": "never met in 12 weeks by north, south, 2 of 2; at best 42 calls of 45 calls in 12 days",
        },
        {
            "target": "all",
            "check": "unreachable",
            "fact": "never met in 12 weeks by acme, 1 of 1; at best 82 calls of 100 calls in 12 days",
        },
    ]


def shown(command: str) -> str:
    """What the how-to shows of a command."""
    page = Path(__file__).parents[2].joinpath("docs", "how-to", "roster-and-targets.md").read_text("utf-8")
    _, _, rest = page.partition(f"    $ kpistream {command}\n")
    lines = itertools.takewhile(lambda line: line.startswith("    "), rest.splitlines(keepends=True))
    return "".join(line.removeprefix("    ") for line in lines)


def test_lint_prints_what_the_how_to_shows(store: Store, url: str) -> None:
    anna, bela, chiara = [30, 20] * 6, [12, 11] * 6, [40, 39] * 6
    fill(store, *panes_of("anna", anna), *panes_of("bela", bela), *panes_of("chiara", chiara))

    ran = run("targets", "lint", "--store", url, "--at", "2026-03-29")

    assert ran.out == shown("targets lint --settings settings --store ./store")


def test_lint_without_a_store_and_without_findings_is_content() -> None:
    Path("settings/targets.yaml").write_text("targets: [{name: c, kpi: calls, window: business-day, bound: 5}]")

    ran = run("targets", "lint")

    assert (ran.code, ran.out) == (0, "nothing found in 1 targets\n")


def test_lint_shows_its_findings_as_a_table() -> None:
    ran = run("targets", "lint", "--at", NOW)

    assert ran.code == 1
    assert ran.out == ("target  check  fact\nteam    sum    team south is asked for 45 calls, its 1 agents 40 calls\n")


def test_a_suggestion_can_be_pasted_and_is_a_percentile_of_each_tier(store: Store, url: str) -> None:
    anna, bela, chiara = list(range(41, 61)), list(range(11, 31)), [1, 2, 3]
    fill(store, *panes_of("anna", anna), *panes_of("bela", bela), *panes_of("chiara", chiara))

    ran = run("targets", "suggest", "calls", "--tenant", "acme", "--store", url, "--at", NOW)

    assert ran.code == 0
    assert ran.out == shown("targets suggest calls --tenant acme --settings settings --store ./store")
    [target] = read_settings({"roster.yaml": ROSTER, "targets.yaml": ran.out}).targets
    assert (target.low, target.overrides[0].low) == (52, 26)


@pytest.mark.parametrize("kpi", ["connect_share", "average_talk_time", "follow_ups_late", "calls"])
def test_a_suggestion_of_any_kind_is_read_as_settings(store: Store, url: str, kpi: str) -> None:
    fill(store, *panes_of("anna", list(range(20, 40))), *panes_of("bela", [30] * 5))

    ran = run("targets", "suggest", kpi, "--tenant", "acme", "--store", url, "--at", NOW, "--percentile", "90")

    [target] = read_settings({"roster.yaml": ROSTER, "targets.yaml": ran.out}).targets
    assert (target.kpi, target.direction != "between") == (kpi, BY_NAME[kpi].better != "band")
    assert "# tier new: 5 days are too few" in ran.out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["revenue"], 2, "--member is missing: revenue has one value for each currency"),
        (["revenue", "--member", "EURO"], 2, '--member "EURO" is no ISO 4217 currency'),
        (["calls", "--member", "EUR"], 2, "--member calls has one value only"),
        (["calls", "--at", "2020-01-01"], 1, "history holds no whole day of calls of tenant acme in 12 weeks"),
    ],
)
def test_what_cannot_be_suggested(store: Store, url: str, arguments: list[str], code: int, message: str) -> None:
    ran = run("targets", "suggest", *arguments, "--tenant", "acme", "--store", url)

    assert (ran.code, ran.out) == (code, "")
    assert message in ran.err


def settled_floor(named: bool = True) -> list[dict[str, Any]]:
    """Ten working days of ten connected calls of anna, of which as many win as the day's number says."""
    events: list[dict[str, Any]] = []
    for day in (day for day in range(14) if day % 7 < 5):
        noon_ms = at(f"{MONDAY + timedelta(day)} 12:00")
        for number in range(10):
            name = f"c-{day}-{number}"
            events.append(call(f"leg-{name}", "anna", noon_ms, call_id=name))
            if number < day % 7:
                told = {"call_id": name} if named else {"revision": 1}
                events.append(deal(f"d-{name}", "anna", noon_ms + 60_000, **told))
    return events


def put(store: Store, events: list[dict[str, Any]]) -> None:
    fill(store, *(PaneRow(each.place, PANE_MS, each.version, dict(each.tally)) for each in panes(*events).values()))
    store.insert(writer.fact_insert(facts(*events), PANE_MS))


def test_settled_conversion_is_suggested_from_the_days_on_which_calls_settled(store: Store, url: str) -> None:
    """From 0 to 4 of 10 calls a day, twice: three of four days are at 3 of 10 or below."""
    put(store, settled_floor())

    ran = run("targets", "suggest", "settled_conversion", "--tenant", "acme", "--store", url, "--at", NOW)

    assert ran.code == 0
    [target] = read_settings({"roster.yaml": ROSTER, "targets.yaml": ran.out}).targets
    assert (target.kpi, target.low) == ("settled_conversion", Fraction(3, 10))


def test_lint_tells_of_deals_that_name_no_call_of_their_agent(store: Store, url: str) -> None:
    target = "  - {name: settled, kpi: settled_conversion, window: business-day, bound: 25 %}\n"
    Path("settings/targets.yaml").write_text("targets:\n" + target)
    others = [deal(f"o-{number}", "bela", at("2026-01-06 12:00"), call_id=f"c-0-{number}") for number in range(3)]
    put(store, [*settled_floor(), *others[:2]])

    fine = run("targets", "lint", "--store", url, "--at", NOW)
    put(store, others)
    found = run("targets", "lint", "--store", url, "--at", NOW, "--json")

    assert (fine.code, fine.out) == (0, "nothing found in 1 targets\n")
    [finding] = [each for each in json.loads(found.out) if each["check"] == "no-call"]
    assert finding == {
        "target": "settled", "check": "no-call",
        "fact": "3 of 23 won deals of tenant acme in 12 weeks name no call of their agent",
    }  # fmt: skip


def test_settled_conversion_is_replayed_unless_deals_name_no_call(store: Store, url: str) -> None:
    target = "  - {name: settled, kpi: settled_conversion, window: business-day, bound: 25 %, minimum_sample: 10}\n"
    Path("settings/targets.yaml").write_text("targets:\n" + target)
    put(store, settled_floor())
    asked = ("targets", "backtest", "--from", "2026-01-05", "--to", "2026-01-20", "--store", url, "--json")

    ran = run(*asked)
    put(store, settled_floor(named=False))
    refused = run(*asked)

    [found] = json.loads(ran.out)
    assert (found["scope"], found["fired"], found["days"]) == ("agent:anna", 2, 10), "from Monday to Thursday, twice"
    assert found["alarms"][0]["from"] == "2026-01-05T14:10:00+00:00", "two hours after the pane of the calls has ended"
    assert json.loads(refused.out) == []
    assert "left out: settled, 20 won deals name no call" in refused.err


def test_backtest_says_that_own_measures_are_left_out(store: Store, url: str) -> None:
    Path("settings/kpis.yaml").write_text(
        "measures:\n  demos: {of: call, where: {disposition: demo}, description: x}\n"
        "kpis:\n  demo_share: {ratio: demos / calls, better: higher, description: x}\n"
    )
    Path("settings/targets.yaml").write_text(
        "targets:\n  - {name: owned, kpi: demo_share, window: business-day, bound: 20 %}\n"
    )
    put(store, settled_floor())

    ran = run("targets", "backtest", "--from", "2026-01-05", "--to", "2026-01-20", "--store", url, "--json")

    assert json.loads(ran.out) == []
    assert ran.err == "left out: owned, it has own measures, which panes of the past do not have\n"


SHIFTS = """
schedules:
  patterns: {office: {hours: {mon-fri: 09:00-17:00}}}
  assigned: [{tenant: acme, pattern: office}]
"""


def test_backtest_says_how_often_whom_and_how_long(store: Store, url: str) -> None:
    """Everybody calls at one o'clock only: whoever has enough then is behind pace until then, and no longer."""
    Path("settings/shifts.yaml").write_text(SHIFTS)
    Path("settings/targets.yaml").write_text(
        TARGETS.replace('bound: "40"\n', 'bound: "40"\n    false_alarms: 1 a day for 20\n')
    )
    fill(store, *panes_of("anna", [30, 50, 30]), *panes_of("bela", [12, 9, 8]), *panes_of("chiara", [90, 90, 90]))

    ran = run("targets", "backtest", "calls", "--from", "2026-01-05", "--to", "2026-01-10", "--store", url)

    assert (ran.code, ran.err) == (0, "")
    assert ran.out == shown(
        "targets backtest calls --from 2026-01-05 --to 2026-01-10 --settings settings --store ./store"
    )


def test_backtest_of_all_targets_for_machines(store: Store, url: str) -> None:
    fill(store, *panes_of("anna", [30]), *panes_of("bela", [12]))

    ran = run(
        *("targets", "backtest", "--from", "2026-01-05", "--to", "2026-01-06", "--zone", "Europe/Berlin"),
        *("--store", url, "--json"),
    )

    found = {(each["target"], each["scope"]): each for each in json.loads(ran.out)}
    assert {key: each["fired"] for key, each in found.items()} == {
        ("calls", "agent:anna"): 1,
        ("calls", "agent:bela"): 1,
        ("team", "team:north"): 1,
        ("all", "tenant"): 1,
    }
    bela = found["calls", "agent:bela"]
    assert bela["alarms"] == [{"from": "2026-01-05T13:05:00+01:00", "to": "2026-01-05T13:15:00+01:00"}]
    assert (bela["days"], bela["on_ms"], bela["over_within_10_minutes"]) == (1, 600_000, 1)
    assert found["calls", "agent:anna"]["alarms"] == [{"from": "2026-01-05T13:05:00+01:00", "to": None}]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cals", "--from", "2026-01-05"], '"cals" is no target of the settings, did you mean "calls"?'),
        (["--from", "2026-01-05", "--to", "2026-01-05"], "--to must be after --from"),
        ([], "Missing option '--from'"),
    ],
)
def test_wrong_use_of_backtest(arguments: list[str], message: str) -> None:
    ran = run("targets", "backtest", *arguments, "--store", "gone")

    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
