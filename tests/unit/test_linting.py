"""Linting: what settings allow and nobody means, each with the fact that shows it."""

import pytest

from kpistream.core.linting import Check, Finding, lint_targets
from kpistream.core.linting_floor import lint_floor
from kpistream.core.settings import Settings, read_settings
from tests.unit.test_schedules import at

NOW = at("2026-03-16 12:00")
ROSTER = """
tenants:
  acme:
    zone: Europe/Berlin
    teams: {north: {}, south: {}}
    people:
      anna: {team: north, tier: veteran}
      bela: {team: north, tier: new, from: 2026-03-02}
      chiara: {team: south, tier: veteran}
      gone: {team: north, tier: trainee, to: 2026-01-01}
"""


def settings(*targets: str) -> Settings:
    text = "targets:\n" + "".join(f"  - {{{target}}}\n" for target in targets)
    return read_settings({"roster.yaml": ROSTER, "targets.yaml": text})


def alone(*targets: str) -> list[Finding]:
    known = settings(*targets)
    return list(lint_targets(known.targets, known.roster, NOW))


def together(*targets: str) -> list[Finding]:
    return list(lint_floor(settings(*targets), NOW))


DAY = "window: business-day"
CALLS = f"name: calls, kpi: calls, {DAY}, bound: 100"


@pytest.mark.parametrize(
    ("target", "check", "fact"),
    [
        (f"name: t, kpi: connect_share, {DAY}, bound: 150 %", Check.UNIT, "150 % is no share of a whole"),
        (
            f"name: t, kpi: connect_share, {DAY}, bound: 60 %, scale_ratio: yes, "
            "seasons: [{name: sale, months: mar, share: 200 %}]",
            Check.UNIT,
            "sale (200 %): 120 % is no share of a whole",
        ),
        (
            f"name: t, kpi: connect_share, {DAY}, bound: 60 %, recover: 90 %, scale_ratio: yes, "
            "seasons: [{name: rush, months: nov-dec, share: 120 %}]",
            Check.UNIT,
            "rush (120 %): 108 % is no share of a whole",
        ),
        (
            f"name: t, kpi: average_talk_time, {DAY}, low: 5 ms, high: 5 m",
            Check.UNIT,
            "5 ms is no time that a call takes, from 1 s to 4 h",
        ),
        (
            f"name: t, kpi: average_talk_time, {DAY}, low: 5 m, high: 300 h",
            Check.UNIT,
            "18000 m is no time that a call takes, from 1 s to 4 h",
        ),
        (f"name: t, kpi: calls, {DAY}, bound: 0.25", Check.UNIT, "0.25 calls is less than one"),
        (f"name: t, kpi: csat_mean, member: 1-5, {DAY}, bound: 45", Check.UNIT, "45 points 1-5 is outside of 1 to 5"),
        (f"name: t, kpi: nps, {DAY}, bound: 101", Check.UNIT, "101 points is outside of -100 to 100"),
        (
            f"{CALLS}, overrides: [{{agent: bela, bound: 0.5}}, {{agent: anna, bound: 0.2}}]",
            Check.UNIT,
            "agent bela: 0.5 calls is less than one",
        ),
        (
            f"name: t, kpi: calls, {DAY}, direction: at_most, bound: 100",
            Check.DIRECTION,
            "at most for calls, of which higher is better",
        ),
        (
            f"name: t, kpi: follow_ups_late, {DAY}, direction: at_least, bound: 1",
            Check.DIRECTION,
            "at least for follow_ups_late, of which lower is better",
        ),
        (f"name: t, kpi: calls, {DAY}, bound: 0", Check.ZERO, "at least 0 calls asks for nothing"),
        (f"name: t, kpi: follow_ups_late, {DAY}, bound: 0", Check.ZERO, "at most 0 calls: one is enough"),
        (
            f"{CALLS}, overrides: [{{tenant: acme, agent: bela, bound: 0}}]",
            Check.ZERO,
            "agent bela: at least 0 calls asks for nothing",
        ),
        (
            f"{CALLS}, overrides: [{{tier: new, bound: 50}}]",
            Check.MISSING_TIER,
            "no bound for tier veteran of tenant acme, but for new",
        ),
    ],
)
def test_what_is_found_in_one_target(target: str, check: Check, fact: str):
    [finding] = alone(target)

    assert (finding.check, finding.fact) == (check, fact)


@pytest.mark.parametrize(
    "target",
    [
        CALLS,
        f"name: t, kpi: nps, {DAY}, bound: 0",
        f"name: t, kpi: conversion_per_connected, {DAY}, bound: 20 %",
        f"name: t, kpi: average_talk_time, {DAY}, low: 4 m, high: 6 m",
        f"{CALLS}, overrides: [{{tier: new, bound: 50}}, {{tier: veteran, bound: 100}}]",
        f"{CALLS}, overrides: [{{tier: trainee, bound: 50, to: 2026-01-01}}]",
        f"name: t, kpi: calls, {DAY}, bound: 0, to: 2026-03-01",
    ],
)
def test_nothing_is_found_in_a_target_that_is_meant(target: str):
    """A tier that nobody has any more is not missed, and a target that is over harms nobody."""
    assert alone(target) == []


def test_two_targets_that_judge_the_same_are_told():
    [finding] = together(CALLS, f"name: dials, kpi: calls, {DAY}, bound: 90, tenant: acme, team: north")

    assert finding == Finding("dials", Check.OVERLAP, "calls judges calls of anna, bela on the same side")


@pytest.mark.parametrize(
    "other",
    [
        f"name: other, kpi: connected, {DAY}, bound: 90",
        "name: other, kpi: calls, window: rolling-60m, bound: 9",
        f"name: other, kpi: calls, {DAY}, scope: team, bound: 100",
        f"name: other, kpi: calls, {DAY}, bound: 90, from: 2027-01-01",
        f"name: other, kpi: calls, {DAY}, direction: at_most, bound: 200",
    ],
)
def test_targets_that_differ_in_what_they_judge_do_not_overlap(other: str):
    assert together(f"{CALLS}, to: 2027-01-01", other) == []


def test_a_band_in_two_targets_may_not_be_empty():
    [finding] = together(
        f"{CALLS}, overrides: [{{agent: anna, bound: 130}}]",
        f"name: cap, kpi: calls, {DAY}, direction: at_most, bound: 120",
    )

    assert finding == Finding(
        "cap", Check.CONTRADICTION, "at most 120 calls, but at least 130 calls by calls, for anna"
    )


def test_more_than_seven_targets_for_one_agent_are_too_many():
    kpis = ("connected", "deals_won", "surveys", "follow_ups_done", "follow_ups_on_time", "distinct_calls")
    seven = [CALLS, *(f"name: {kpi}, kpi: {kpi}, {DAY}, bound: 5" for kpi in kpis)]

    assert together(*seven) == []
    assert together(*seven, f"name: lost, kpi: deals_lost, {DAY}, bound: 5, tenant: acme, team: north") == [
        Finding("", Check.TOO_MANY, "8 targets, more than 7, for anna, bela")
    ]


TEAM = f"name: team, kpi: calls, {DAY}, scope: team"


def test_agents_who_are_asked_for_less_than_their_team_are_told():
    [finding] = together(
        f"{CALLS}, overrides: [{{tier: new, bound: 60}}, {{tier: veteran, bound: 100}}], ramp: {{1: 50 %, 4: 100 %}}",
        f"{TEAM}, bound: 131, tenant: acme, team: north",
    )

    assert finding == Finding("team", Check.SUM, "team north is asked for 131 calls, its 2 agents 130 calls")


def test_a_sum_that_reaches_the_team_is_fine_and_without_targets_for_agents_there_is_none():
    assert together(CALLS, f"{TEAM}, bound: 200, tenant: acme, team: north") == []
    assert together(f"{TEAM}, bound: 900") == []


def test_agents_may_not_be_allowed_more_than_their_team():
    late = f"kpi: follow_ups_late, {DAY}"

    [finding] = together(f"name: late, {late}, bound: 2", f"name: team, {late}, scope: team, bound: 3")

    assert finding == Finding("team", Check.SUM, "team north is allowed 3 calls, its 2 agents 4 calls")


@pytest.mark.parametrize(
    ("split", "facts"),
    [
        ("equal", ["less is asked of bela than the split gives: bela carries 75 calls"]),
        ("{anna: 60 %, bela: 40 %}", []),
        ("{anna: 60 %, bela: 30 %}", ["the shares of the split add up to 90 %"]),
        (
            "{anna: 60 %, chiara: 40 %}",
            ["the split gives bela of team north nothing", "the split names chiara, who is not in team north"],
        ),
    ],
)
def test_a_split_is_held_against_the_agents_own_bounds(split: str, facts: list[str]):
    found = together(
        f"{CALLS}, overrides: [{{agent: bela, bound: 60}}]",
        f"{TEAM}, tenant: acme, team: north, bound: 150, split: {{agents: {split}}}",
    )

    assert [(finding.check, finding.fact) for finding in found] == [(Check.SUM, fact) for fact in facts]
