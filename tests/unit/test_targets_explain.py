"""`kpistream targets explain`: which bound holds for somebody, from where, and what it overrides."""

import json
from pathlib import Path

import pytest

from tests.unit.test_cli import run

ROSTER = """
tenants:
  acme:
    zone: Europe/Berlin
    teams: {north: {}, south: {}}
    people:
      anna: {team: north, tier: veteran}
      bela: {team: north, tier: new, from: 2026-03-02}
schedules:
  patterns:
    office: {hours: {mon-fri: 09:00-17:00}, share: 50 %}
  assigned: [{tenant: acme, agent: bela, pattern: office}]
"""
TARGETS = """
targets:
  - name: calls
    kpi: calls
    window: business-day
    tenant: acme
    bound: "100"
    reason: plan of 2026
    false_alarms: 1 a week for 20
    overrides:
      - {tier: new, bound: "60", reason: they learn}
      - {team: north, bound: "90", to: 2026-07-01}
    ramp: {1: 40 %, 3: 60 %, 6: 100 %}
  - {name: old-calls, kpi: calls, window: business-day, tenant: acme, bound: "70", to: 2026-01-01}
  - {name: team-calls, kpi: calls, window: business-day, scope: team, bound: "150", split: {agents: equal}}
  - {name: talk, kpi: average_talk_time, window: rolling-60m, low: 4 m, high: 6 m, team: south, tenant: acme}
"""


@pytest.fixture(autouse=True)
def _settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KPISTREAM_SETTINGS", "settings")
    Path("settings").mkdir()
    Path("settings/roster.yaml").write_text(ROSTER)
    Path("settings/targets.yaml").write_text(TARGETS)


def test_the_whole_story_of_a_newcomers_bound():
    ran = run("targets", "explain", "bela", "calls", "--at", "2026-03-16T11:00")

    assert (ran.code, ran.err) == (0, "agent:bela of tenant acme at 2026-03-16T11:00:00+01:00\n")
    assert ran.out == (
        "target calls, business-day: at least 36 calls, may change at 2026-03-23T00:00:00+01:00\n"
        "  holds        at least 60 calls   tier new               they learn\n"
        "  times        60 %                ramp week 3\n"
        "  overridden   at least 90 calls   team north             to 2026-07-01T00:00:00+02:00\n"
        "  overridden   at least 100 calls  target calls           plan of 2026\n"
        "  this window  18 calls            shift, part-time 50 %\n"
        "  by now       4.5 calls\n"
        "\n"
        "target old-calls, business-day: at least 70 calls; not in force: to 2026-01-01T00:00:00+01:00\n"
        "  holds  at least 70 calls  target old-calls  to 2026-01-01T00:00:00+01:00\n"
        "\n"
        "target team-calls of the team, business-day: at least 150 calls\n"
        "  holds    at least 150 calls  target team-calls\n"
        "  carries  75 calls            50 %, split among 2\n"
    )


def test_the_same_for_machines():
    ran = run("targets", "explain", "bela", "calls", "--at", "2026-03-16T11:00", "--json")

    calls, old, team = json.loads(ran.out)
    assert (calls["low"], calls["bound_from"]) == (36, "tier new, week 3 of the ramp (60 %)")
    assert calls["factors"] == [{"kind": "ramp", "share": 0.6, "detail": "week 3"}]
    assert (calls["holds"]["for"], calls["holds"]["name"], calls["holds"]["low"]) == ("tier", "new", 60)
    assert [each["low"] for each in calls["overridden"]] == [90, 100]
    assert (calls["prorated"], calls["expected"], calls["basis"]) == (18, 4.5, "shift")
    assert (old["in_force"], team["carries"]) == (False, {"share": 0.5, "bound": 75, "members": 2})
    assert (calls["window_from"], calls["may_change_at"]) == ("2026-03-16T00:00:00+01:00", "2026-03-23T00:00:00+01:00")


def test_a_team_can_be_asked_for_too():
    ran = run("targets", "explain", "team:south", "calls", "--at", "2026-03-16")

    assert ran.out == (
        "target team-calls, business-day: at least 150 calls\n  holds  at least 150 calls  target team-calls\n"
    )


def test_a_target_of_another_team_is_not_about_somebody():
    ran = run("targets", "explain", "anna", "average_talk_time")

    assert (ran.code, ran.out) == (0, "")
    assert "no target on average_talk_time is about agent:anna" in ran.err


def test_an_unknown_agent_is_said_and_still_has_targets():
    ran = run("targets", "explain", "bella", "calls", "--at", "2026-03-16")

    assert 'agent "bella" is not in the roster, did you mean "bela"?' in ran.err
    assert ran.out.splitlines()[1:2] == ["  holds  at least 100 calls  target calls  plan of 2026"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bela", "cals"], '"cals" is no KPI, did you mean "calls"?'),
        (["bela", "calls", "--tenant", "acm"], 'tenant "acm" is not in the roster, did you mean "acme"?'),
        (["bela", "calls", "--at", "noon"], '"noon" is neither a date nor a time'),
        (["bela", "calls", "--settings", ""], "say where the settings are: --settings DIR"),
    ],
)
def test_wrong_usage_is_told(arguments: list[str], message: str):
    ran = run("targets", "explain", *arguments)

    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err


def test_with_several_tenants_one_must_be_named():
    Path("settings/more.yaml").write_text("tenants: {other: {}}")

    ran = run("targets", "explain", "bela", "calls")

    assert ran.code == 2
    assert "say whose: --tenant, other or acme" in ran.err
