"""Settings are read from text, and every fault of every file is told at once, with its line."""

from fractions import Fraction
from pathlib import Path

import pytest

from kpistream.core.evidence import Level
from kpistream.core.kpis import Limits
from kpistream.core.linting import lint_targets
from kpistream.core.linting_floor import lint_floor
from kpistream.core.overrides import Override, Reach
from kpistream.core.settings import read_settings
from kpistream.core.settings_values import bound, clock_min, duration_ms, moment_ms
from kpistream.core.targets import Direction, Scope, Target
from kpistream.errors import ConfigError
from kpistream.simulate.floor import demo_settings
from tests.unit.test_schedules import at

EXAMPLE = Path(__file__).parents[2] / "deploy" / "settings"


def faults(**files: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read_settings({f"{name}.yaml": text for name, text in files.items()})
    return list(caught.value.faults)


def test_example_settings_are_valid():
    settings = read_settings({path.name: path.read_text("utf-8") for path in sorted(EXAMPLE.glob("*.yaml"))})

    assert sorted(settings.roster.tenants["acme"].people) == ["anna", "bela", "chiara", "duarte"]
    assert settings.roster.tenants["acme"].limits == Limits()
    targets = {target.name: target for target in settings.targets}
    assert list(targets) == [
        "calls",
        "connects",
        "talk-time",
        "short-calls",
        "long-calls",
        "follow-ups",
        "service",
        "conversion",
        "settled-conversion",
        "satisfaction",
        "revenue",
    ]
    assert targets["talk-time"] == Target(
        name="talk-time",
        kpi="average_talk_time",
        window="business-day",
        direction=Direction.BETWEEN,
        low=Fraction(240_000),
        high=Fraction(360_000),
        minimum_sample=20,
        tenant="acme",
        owner="floor lead",
        level=Level(alarms=1, days=5, agents=20),
        overrides=(
            Override(Reach.TIER, "new", None, Fraction(480_000), "acme", reason="they still look things up"),
            Override(Reach.TIER, "veteran", Fraction(240_000), Fraction(360_000), "acme"),
        ),
    )
    assert targets["short-calls"].direction is Direction.AT_MOST
    assert (targets["service"].hold_ms, targets["service"].recover_hold_ms) == (60_000, 300_000)
    assert targets["conversion"].scope is Scope.TEAM
    assert targets["satisfaction"].low == Fraction(9, 2)


@pytest.mark.parametrize("name", ["deploy", "demo"])
def test_nothing_is_found_in_the_example_and_in_the_demo_by_lint(name: str):
    files = {path.name: path.read_text("utf-8") for path in sorted(EXAMPLE.glob("*.yaml"))}
    known = read_settings(files) if name == "deploy" else demo_settings()

    for day in ("2026-01-20 12:00", "2026-11-27 12:00"):
        assert [*lint_targets(known.targets, known.roster, at(day)), *lint_floor(known, at(day))] == []


def test_no_files_are_no_settings():
    assert read_settings({}).targets == ()
    assert read_settings({}).roster.tenants == {}


def test_all_faults_of_a_roster_come_at_once():
    text = """tenants:
  acme:
    zone: Europe/Atlantis
    day_starts_at: "04:10"
    limits: {too_short: 61 s}
    teams:
      north: {nmae: North}
    people:
      anna:
        team: south
        from: 2026-03-01
        to: 2026-02-01
      bela:
        team:
          - {team: north, to: 2026-03-02}
          - {team: north, from: 2026-03-01}
        aliases:
          crm: "4711"
      chiara:
        name: [Chiara]
        aliases:
          crm: ["4711"]
          tele phony: x
        hobby: chess
"""
    assert faults(roster=text) == [
        'roster.yaml:3 tenants.acme.zone: unknown time zone "Europe/Atlantis"',
        'roster.yaml:4 tenants.acme.day_starts_at: "04:10" is no quarter of an hour',
        "roster.yaml:5 tenants.acme.limits.too_short: 61000 ms is no edge of the histogram; the nearest is 60000 ms",
        'roster.yaml:7 tenants.acme.teams.north.nmae: unknown key, did you mean "name"?',
        'roster.yaml:10 tenants.acme.people.anna.team: team "south" is not among the teams: north',
        "roster.yaml:12 tenants.acme.people.anna.to: must be after from",
        'roster.yaml:14 tenants.acme.people.bela.team: "north" and "north" hold at the same time',
        'roster.yaml:22 tenants.acme.people.chiara.aliases.crm: "4711" is "bela" and "chiara" at the same time',
        'roster.yaml:23 tenants.acme.people.chiara.aliases.tele phony: "tele phony" must be 1 to 64 of the characters '
        "A-Z a-z 0-9 . _ -",
        "roster.yaml:24 tenants.acme.people.chiara.hobby: unknown key",
    ]


def test_faults_of_sources_come_at_once():
    text = """tenants:
  acme:
    silent_after: 30 s
    sources:
      pbx: {silent_after: 2 days}
      crm: {}
      the dialer: {silent_after: off}
      chat: {silent_after: off, owner: it}
      mail: {silent_after: 24 h}
"""
    assert faults(roster=text) == [
        'roster.yaml:3 tenants.acme.silent_after: "30 s" must be 1 m to 24 h, or off',
        'roster.yaml:5 tenants.acme.sources.pbx.silent_after: "2 days" is no duration, write 90 s, 1.5 m or 2 h',
        "roster.yaml:6 tenants.acme.sources.crm: needs silent_after",
        'roster.yaml:7 tenants.acme.sources.the dialer: "the dialer" must be 1 to 64 of the characters '
        "A-Z a-z 0-9 . _ -",
        "roster.yaml:8 tenants.acme.sources.chat.owner: unknown key",
    ]


def test_good_news_are_of_counts_and_of_agents_unless_said_otherwise():
    text = """targets:
  - {name: a, kpi: calls, window: business-day, bound: 5}
  - {name: b, kpi: calls, window: business-day, bound: 5, good_news: no}
  - {name: c, kpi: calls, window: business-day, bound: 5, scope: team}
  - {name: d, kpi: calls, window: business-day, bound: 5, scope: team, good_news: yes}
  - {name: e, kpi: connect_share, window: business-day, bound: 20 %}
  - {name: f, kpi: calls, window: rolling-60m, bound: 5}
"""
    found = {each.name: each.good_news for each in read_settings({"t.yaml": text}).targets}
    assert found == {"a": True, "b": False, "c": False, "d": True, "e": False, "f": False}
    assert faults(targets=text.replace("bound: 20 %", "bound: 20 %, good_news: yes")) == [
        "targets.yaml:6 targets[4].good_news: only a count of a day or longer, at_least and with alerts, can be reached"
    ]


def test_all_faults_of_targets_come_at_once():
    text = """targets:
  - name: one
    kpi: conect_share
    window: rolling-30m
  - name: two
    kpi: connect_share
    window: business-day
    bound: "25"
    minimum_sample: 0
    tenant: acem
  - name: two
    kpi: average_talk_time
    window: business-day
    bound: 4 m
    low: 5 m
    high: 4 m
  - kpi: revenue
    window: business-day
    bound: "100000"
    minimum_sample: 3
    scope: floor
  - name: calls
    kpi: calls
    window: business-day
    member: EUR
    bound: many
    hold: five
"""
    roster = "tenants: {acme: {teams: {north: {}}}}"
    assert faults(roster=roster, targets=text) == [
        'targets.yaml:3 targets[0].kpi: "conect_share" is no KPI, did you mean "connect_share"?',
        'targets.yaml:4 targets[0].window: "rolling-30m" is none of rolling-15m, rolling-60m, business-day, '
        "week, month, quarter, year, "
        'did you mean "rolling-60m"?',
        'targets.yaml:8 targets[1].bound: "25" is more than the whole, write 25 % or a share such as 0.25',
        'targets.yaml:9 targets[1].minimum_sample: "0" is no whole number from 1 to 1000000000',
        'targets.yaml:10 targets[1].tenant: tenant "acem" is not in the roster, did you mean "acme"?',
        'targets.yaml:11 targets[2].name: there is a target "two" already',
        "targets.yaml:14 targets[2].bound: average_talk_time has a band here: say low and high",
        "targets.yaml:16 targets[2].high: must not be below low",
        "targets.yaml:17 targets[3].name: is missing",
        "targets.yaml:17 targets[3].member: is missing: revenue has one value for each currency",
        "targets.yaml:20 targets[3].minimum_sample: revenue only counts, there is no sample",
        'targets.yaml:21 targets[3].scope: "floor" is none of tenant, team, agent',
        "targets.yaml:25 targets[4].member: calls has one value only",
        'targets.yaml:26 targets[4].bound: "many" is no number',
        'targets.yaml:27 targets[4].hold: "five" is no duration, write 90 s, 1.5 m or 2 h',
    ]


def test_target_is_not_called_as_best_days_of_another_are():
    text = """targets:
  - {name: calls, kpi: calls, window: rolling-60m, bound: 20}
  - {name: calls.best, kpi: calls, window: rolling-60m, bound: 20}
"""
    assert faults(targets=text) == [
        'targets.yaml:3 targets[1].name: "calls.best" is what best days of a target "calls" are called'
    ]


def test_level_of_false_alarms_is_read_and_refused_where_nothing_can_be_weighed():
    text = """targets:
  - {name: one, kpi: connect_share, window: business-day, bound: 25 %, false_alarms: 1 a week for 20}
  - {name: two, kpi: conversion_per_connected, window: business-day, bound: 5 %, false_alarms: 1 a week for 20}
  - {name: three, kpi: connect_share, window: rolling-60m, bound: 25 %, false_alarms: 2 a month for 8}
  - {name: four, kpi: connect_share, window: business-day, bound: 25 %, false_alarms: seldom}
  - {name: five, kpi: connect_share, window: business-day, bound: 25 %, false_alarms: 5 a day for 5}
  - {name: six, kpi: calls, window: business-day, bound: 100, false_alarms: 1 a week for 20}
  - {name: seven, kpi: calls, window: business-day, bound: 2000, scope: team, false_alarms: 1 a month for 4}
  - {name: eight, kpi: follow_ups_late, window: business-day, bound: 2, false_alarms: 1 a week for 20}
"""
    assert faults(roster="tenants: {acme: {}}", targets=text) == [
        "targets.yaml:3 targets[1].false_alarms: conversion_per_connected has no cases that evidence could be "
        "weighed by; settled_conversion has",
        "targets.yaml:4 targets[2].false_alarms: evidence is weighed over a day or more, not over rolling-60m",
        'targets.yaml:5 targets[3].false_alarms: "seldom" says no level, write 1 a week for 20, which is how many '
        "people it is about",
        'targets.yaml:6 targets[4].false_alarms: "5 a day for 5": alarms: 5 must be below one for each agent, target '
        "and day",
        "targets.yaml:8 targets[6].false_alarms: calls is held against the time at work, which only agents have",
        "targets.yaml:9 targets[7].false_alarms: follow_ups_late has no cases that evidence could be weighed by",
    ]


def test_marks_of_a_target_lie_on_their_side_of_the_bound():
    text = """targets:
  - {name: one, kpi: connect_share, window: business-day, bound: 25 %, recover: 25 %, critical: 30 %}
  - {name: two, kpi: abandoned_share, window: business-day, bound: 5 %, recover: 6 %, critical: 5 %}
  - {name: three, kpi: average_talk_time, window: business-day, low: 2 m, high: 6 m, recover: 3 m, critical_low: 3 m}
  - {name: four, kpi: average_talk_time, window: business-day, low: 2 m, high: 6 m, recover_low: 5 m, recover_high: 4 m}
  - {name: five, kpi: connect_share, window: business-day, bound: 25 %, critical: 0 %, false_alarms: 1 a week for 20}
  - {name: six, kpi: conect_share, window: business-day, bound: 25 %, recover: 30 %}
"""
    assert faults(roster="tenants: {acme: {}}", targets=text) == [
        "targets.yaml:2 targets[0].recover: must be above bound",
        "targets.yaml:2 targets[0].critical: must be below bound",
        "targets.yaml:3 targets[1].recover: must be below bound",
        "targets.yaml:3 targets[1].critical: must be above bound",
        "targets.yaml:4 targets[2].critical_low: must be below low",
        'targets.yaml:4 targets[2].recover: unknown key, did you mean "recover_low"?',
        "targets.yaml:5 targets[3].recover_high: must not be below recover_low",
        "targets.yaml:6 targets[4].false_alarms: evidence needs a bound above 0 and below 1, in share: 0 is none",
        'targets.yaml:7 targets[5].kpi: "conect_share" is no KPI, did you mean "connect_share"?',
    ]


def test_marks_of_a_target_are_read_in_the_unit_of_its_kpi():
    text = """targets:
  - {name: one, kpi: connect_share, window: business-day, bound: 25 %, recover: 30 %, critical: 15 %}
  - {name: b, kpi: average_talk_time, window: business-day, low: 2 m, high: 6 m, recover_high: 5 m, critical_low: 1 m}
"""
    one, two = read_settings({"targets.yaml": text}).targets

    assert (one.recover_low, one.critical_low, one.recover_high) == (Fraction(3, 10), Fraction(15, 100), None)
    assert (two.recover_low, two.recover_high, two.critical_low, two.critical_high) == (None, 300_000, 60_000, None)


def test_longer_windows_are_judged_against_pace_or_only_when_they_end():
    text = """targets:
  - {name: one, kpi: calls, window: week, bound: 500}
  - {name: two, kpi: calls, window: week, bound: 500, alerts: off}
  - {name: three, kpi: calls, window: month, bound: 2000, false_alarms: 1 a month for 20}
  - {name: four, kpi: connect_share, window: quarter, bound: 25 %}
  - {name: five, kpi: connect_share, window: rolling-60m, bound: 25 %, alerts: off}
  - {name: six, kpi: connect_share, window: week, bound: 25 %, alerts: maybe}
"""
    assert faults(roster="tenants: {acme: {}}", targets=text) == [
        "targets.yaml:2 targets[0].window: calls over a week needs false_alarms, or alerts: off",
        "targets.yaml:6 targets[4].alerts: rolling-60m has no end at which a target could close",
        'targets.yaml:7 targets[5].alerts: "maybe" is none of on, off',
    ]


FROM_BELOW = "calls is held against the time at work from below only, say one bound"


@pytest.mark.parametrize(
    ("target", "fault"),
    [
        ("kpi: connect_share, bound: 150 %", "evidence needs a bound above 0 and below 1, in share: 1.5 is none"),
        ("kpi: connect_share, bound: 100 %", "evidence needs a bound above 0 and below 1, in share: 1 is none"),
        ("kpi: connect_share, bound: -5 %", "evidence needs a bound above 0 and below 1, in share: -0.05 is none"),
        ("kpi: csat_mean, member: 1-5, bound: 45", "evidence needs a bound above 1 and below 5, in points: 45 is none"),
        ("kpi: csat_mean, member: 1-5, bound: 5", "evidence needs a bound above 1 and below 5, in points: 5 is none"),
        ("kpi: average_talk_time, low: 0 s, high: 5 m", "evidence needs a bound above 0, in ms: 0 is none"),
        ("kpi: calls, bound: -5", "a bound of -5 calls asks for nothing"),
        (
            "kpi: calls, bound: 5, direction: at_most",
            "calls is held against the time at work from below only, say one bound",
        ),
        ("kpi: calls, low: 1, high: 2", "calls is held against the time at work from below only, say one bound"),
    ],
)
def test_bound_that_evidence_cannot_be_weighed_against_is_refused(target: str, fault: str):
    """Each of them would end a worker at the first look, or never alarm anybody."""
    text = f"targets:\n  - {{name: one, window: business-day, {target}, false_alarms: 1 a week for 20}}\n"

    assert faults(roster="tenants: {acme: {}}", targets=text) == [f"targets.yaml:2 targets[0].false_alarms: {fault}"]


@pytest.mark.parametrize("scale", ["5-1", "01-5", "1-999", "0-101", "5-5"])
def test_scale_that_no_survey_can_have_is_refused(scale: str):
    text = f'targets:\n  - {{name: one, kpi: csat_mean, window: business-day, member: "{scale}", bound: 2}}\n'

    assert faults(roster="tenants: {acme: {}}", targets=text) == [
        f'targets.yaml:2 targets[0].member: "{scale}" is no scale, write 1-5'
    ]


def test_faults_of_several_files_come_together():
    assert faults(a="tenants: [", b="tenants: {acme: {}}", c="tenants: {acme: {zone: X}}", d="color: red") == [
        "a.yaml:1 yaml: expected the node content, but found '<stream end>'",
        'c.yaml:1 tenants.acme: tenant "acme" is in another file already',
        "d.yaml:1 color: unknown key",
    ]


def test_ids_stay_the_text_that_was_written():
    text = "tenants: {acme: {people: {007: {aliases: {crm: 0010}}}}}"
    roster = read_settings({"roster.yaml": text}).roster

    assert roster.alias("acme", "crm", "0010", 0) == "007"


@pytest.mark.parametrize(
    ("text", "ms"), [("20 s", 20_000), ("20s", 20_000), ("1.5 m", 90_000), ("2 h", 7_200_000), ("0 s", 0)]
)
def test_duration(text: str, ms: int):
    assert duration_ms(text) == ms


@pytest.mark.parametrize("text", ["20", "-1 s", "0.0001 s", "1 day", ""])
def test_text_that_is_no_duration(text: str):
    with pytest.raises(ValueError, match=r"milliseconds|no duration"):
        duration_ms(text)


def test_bounds_are_exact():
    assert bound("33.3 %", "share") == Fraction(333, 1000)
    assert bound("0.25", "share") == Fraction(1, 4)
    assert bound("150 %", "share") == Fraction(3, 2)
    assert bound("4 m", "ms") == Fraction(240_000)
    assert bound("-10", "points") == Fraction(-10)
    with pytest.raises(ValueError, match="the KPI is in points"):
        bound("5 %", "points")


def test_moments_are_starts_of_business_days_or_quarters_of_an_hour():
    assert clock_min("04:15") == 255
    assert moment_ms("2026-03-02", "Europe/Berlin", 0) == 1_772_406_000_000
    assert moment_ms("2026-03-02", "Europe/Berlin", 240) == 1_772_420_400_000
    assert moment_ms("2026-03-02T00:00+01:00", "UTC", 0) == 1_772_406_000_000
    for text in ("2026-02-30", "2026-03-02T00:00", "2026-03-02T00:01Z", "soon"):
        with pytest.raises(ValueError, match=text[:8]):
            moment_ms(text, "UTC", 0)
