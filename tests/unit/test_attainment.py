"""Attainment: bounds that nobody met in months, or everybody always, by the days of the past."""

from datetime import date, timedelta

from kpistream.core.attainment import Past
from kpistream.core.days import Day, business_days, of_agents, of_teams
from kpistream.core.linting import Check, Finding
from kpistream.core.measures import CALLS, CONNECTED, DEALS_WON, TALK_MS, Tally
from kpistream.core.placing import Place
from kpistream.core.rows import PaneRow
from kpistream.core.settings import Settings, read_settings
from kpistream.core.windows import Window, business_day, day_start_ms
from tests.unit.test_schedules import BERLIN, at

NOW = at("2026-03-30 12:00")
MONDAY = date(2026, 1, 12)
ROSTER = """
tenants:
  acme:
    zone: Europe/Berlin
    teams: {north: {}, lisbon: {zone: Europe/Lisbon}}
    people:
      anna: {team: north, tier: veteran}
      bela: {team: [{team: lisbon, to: 2026-03-05}, {team: north, from: 2026-03-05}], tier: new}
"""
CALLS_TARGET = "name: calls, kpi: calls, window: business-day, bound: 100, overrides: [{tier: new, bound: 60}]"


def settings(*targets: str, more: str = "") -> Settings:
    text = "targets:\n" + "".join(f"  - {{{target}}}\n" for target in targets)
    return read_settings({"roster.yaml": ROSTER + more, "targets.yaml": text})


def day(number: int, tally: Tally, scope: str = "agent:anna") -> Day:
    """A business day of Berlin, so many days after a Monday in January."""
    begin_ms = day_start_ms(MONDAY + timedelta(number), BERLIN)
    return Day("acme", scope, business_day(begin_ms, BERLIN), tally)


def found(known: Settings, days: list[Day]) -> list[Finding]:
    past = Past(known, NOW)
    for each in days:
        past.take(each)
    return list(past.findings())


def test_a_bound_that_somebody_never_met_is_unreachable_for_them():
    anna = [day(number, {CALLS: 60 + number}) for number in range(12)]
    bela = [day(number, {CALLS: 55 + number}, "agent:bela") for number in range(12)]

    assert found(settings(CALLS_TARGET), anna + bela) == [
        Finding(
            "calls",
            Check.UNREACHABLE,
            "never met in 12 weeks by anna, 1 of 2; at best 71 calls of 100 calls in 12 days",
        )
    ]


def test_a_bound_that_somebody_always_met_is_trivial_for_them():
    days = [day(number, {CALLS: 60 + number}, "agent:bela") for number in range(10)]

    assert found(settings(CALLS_TARGET), days) == [
        Finding("calls", Check.TRIVIAL, "met every day for 12 weeks by bela, 1 of 1")
    ]


def test_nine_days_say_nothing():
    assert found(settings(CALLS_TARGET), [day(number, {CALLS: 1}) for number in range(9)]) == []


def test_days_with_too_few_cases_are_no_days():
    share = "name: conversion, kpi: conversion_per_connected, window: business-day, bound: 20 %, minimum_sample: 25"
    few = [day(number, {CONNECTED: 24, DEALS_WON: 24}) for number in range(20)]
    enough = [day(number, {CONNECTED: 25, DEALS_WON: 1}) for number in range(20)]

    assert found(settings(share), few) == []
    [finding] = found(settings(share), few + enough)
    assert finding.fact == "never met in 12 weeks by anna, 1 of 1; at best 4 % of 20 % in 20 days"


def test_half_a_day_at_work_is_asked_for_half():
    """Fridays are off, and everybody works half the time: 50 calls meet a bound of 100."""
    shifts = """
schedules:
  patterns:
    mornings: {hours: {mon-thu: 08:00-12:00}, share: 50 %}
  assigned: [{tenant: acme, pattern: mornings}]
"""
    known = settings(CALLS_TARGET, more=shifts)
    weekdays = [number for number in range(28) if number % 7 < 4]
    fridays = [number for number in range(28) if number % 7 == 4]

    assert [finding.check for finding in found(known, [day(number, {CALLS: 50}) for number in weekdays])] == [
        Check.TRIVIAL
    ]
    assert found(known, [day(number, {CALLS: 50}) for number in fridays * 4]) == []


def test_a_band_is_missed_on_both_sides_and_has_no_best():
    talk = "name: talk, kpi: average_talk_time, window: business-day, low: 4 m, high: 6 m"
    days = [day(number, {CONNECTED: 1, TALK_MS: ms}) for number, ms in enumerate((100_000, 900_000) * 6)]

    assert found(settings(talk), days) == [Finding("talk", Check.UNREACHABLE, "never met in 12 weeks by anna, 1 of 1")]


def test_counts_of_an_hour_and_targets_that_are_over_are_not_held_against_days():
    over = CALLS_TARGET.replace("overrides", "to: 2026-03-01, overrides")
    hour = "name: hour, kpi: calls, window: rolling-60m, bound: 9"

    assert found(settings(over, hour), [day(number, {CALLS: 1}) for number in range(12)]) == []


#   Lisbon           |00:00 ----------------- 24:00|
#   Berlin    |00:00 ------------------24:00|            an hour earlier
def test_days_are_those_of_each_scopes_own_zone_and_team_at_the_time():
    roster = settings(CALLS_TARGET).roster

    def row(agent: str, moment: str, calls: int) -> PaneRow:
        return PaneRow(Place(f"acme/agent:{agent}", at(moment)), 300_000, 1, {CALLS: calls} if calls else {})

    rows = [
        row("anna", "2026-03-03 22:55", 1),
        row("anna", "2026-03-03 23:00", 2),
        row("bela", "2026-03-03 23:55", 4),
        row("bela", "2026-03-04 22:30", 8),
        row("anna", "2026-03-04 23:00", 0),
        row("bela", "2026-03-04 23:30", 16),
    ]

    agents = list(business_days(rows, roster, of_agents))
    teams = list(business_days(rows, roster, of_teams(roster)))

    day_ms, berlin, lisbon = 86_400_000, {}, {}
    for number in (3, 4, 5):
        berlin[number] = Window(at(f"2026-03-{number:02} 23:00") - day_ms, at(f"2026-03-{number:02} 23:00"))
        lisbon[number] = Window(at(f"2026-03-{number:02} 00:00"), at(f"2026-03-{number:02} 00:00") + day_ms)
    assert sorted((each.scope, each.window, each.tally[CALLS]) for each in agents) == [
        ("agent:anna", berlin[3], 1),
        ("agent:anna", berlin[4], 2),
        ("agent:bela", lisbon[3], 4),
        ("agent:bela", lisbon[4], 8),
        ("agent:bela", berlin[5], 16),
    ]
    assert sorted((each.scope, each.window, each.tally[CALLS]) for each in teams) == [
        ("team:lisbon", lisbon[3], 4),
        ("team:lisbon", lisbon[4], 8),
        ("team:north", berlin[3], 1),
        ("team:north", berlin[4], 2),
        ("team:north", berlin[5], 16),
        ("tenant", berlin[3], 1),
        ("tenant", berlin[4], 14),
        ("tenant", berlin[5], 16),
    ]
