"""Terms of targets in settings: dates, overrides, ramps, seasons and splits, with every fault at once."""

from fractions import Fraction

import pytest

from kpistream.core.overrides import Override, Reach, Split
from kpistream.core.ramps import Ramp, Season
from kpistream.core.settings import read_settings
from kpistream.core.targets import Target
from kpistream.errors import ConfigError
from tests.unit.test_schedules import at

ROSTER = """
zone: America/New_York
tenants:
  acme:
    zone: Europe/Berlin
    teams: {north: {}, south: {}}
    people:
      anna: {team: north, tier: veteran}
      bela: {team: south, tier: new}
  other: {}
"""
CALLS = "name: calls, kpi: calls, window: business-day, bound: 100"
TALK = "name: talk, kpi: average_talk_time, window: business-day, low: 4 m, high: 6 m"
TEAM = "name: team, kpi: calls, window: business-day, scope: team, bound: 900"
SHARE = "name: share, kpi: connect_share, window: business-day, bound: 25 %"


def target(text: str) -> Target:
    [found] = read_settings({"roster.yaml": ROSTER, "targets.yaml": f"targets:\n  - {{{text}}}"}).targets
    return found


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        target(text)
    return [fault.removeprefix("targets.yaml:2 targets[0].") for fault in caught.value.faults]


def test_dates_are_of_the_tenant_and_of_the_installation_for_all_tenants():
    own, for_all = (target(f"{CALLS}, {more}from: 2026-07-01, to: 2026-08-01") for more in ("tenant: acme, ", ""))

    assert (own.from_ms, own.to_ms) == (at("2026-06-30 22:00"), at("2026-07-31 22:00"))
    assert (for_all.from_ms, for_all.to_ms) == (at("2026-07-01 04:00"), at("2026-08-01 04:00"))


def test_overrides_are_read_in_the_unit_of_the_kpi():
    found = target(
        f"{SHARE}, reason: agreed in May, overrides: [{{tier: new, bound: 12.5 %, reason: they learn}}, "
        "{tenant: acme, team: north, bound: 0.3, from: 2026-07-01, to: 2026-08-01}, {tenant: other, bound: 20 %}]"
    )

    assert found.reason == "agreed in May"
    assert found.overrides == (
        Override(Reach.TIER, "new", Fraction(1, 8), reason="they learn"),
        Override(Reach.TEAM, "north", Fraction(3, 10), None, "acme", at("2026-06-30 22:00"), at("2026-07-31 22:00")),
        Override(Reach.TENANT, "other", Fraction(1, 5), tenant="other"),
    )


def test_an_override_of_at_most_is_from_above():
    [override] = target(
        "name: late, kpi: follow_ups_late, window: business-day, bound: 2, overrides: [{tier: new, bound: 4}]"
    ).overrides

    assert (override.low, override.high) == (None, 4)


def test_a_ramp_and_seasons_are_read():
    found = target(
        f"{CALLS}, tenant: acme, ramp: {{1: 40 %, 3: 60 %, 4: 100 %}}, seasons: ["
        "{name: winter, months: [nov-jan, mar], share: 0.9}, "
        "{name: sale, from: 2026-07-06, to: 2026-07-13, share: 150 %}]"
    )

    assert found.ramp == Ramp((Fraction(2, 5), Fraction(2, 5), Fraction(3, 5), Fraction(1)))
    assert found.seasons == (
        Season("winter", Fraction(9, 10), months=(1, 3, 11, 12)),
        Season("sale", Fraction(3, 2), at("2026-07-05 22:00"), at("2026-07-12 22:00")),
    )


def test_a_split_is_equal_or_by_agent():
    assert target(f"{TEAM}, split: {{agents: equal}}").split == Split()
    found = target(f"{TEAM}, tenant: acme, team: north, split: {{agents: {{anna: 60 %, bela: 40 %}}}}").split

    assert found == Split((("anna", Fraction(3, 5)), ("bela", Fraction(2, 5))))
    assert (found.share("anna", 7), found.share("cleo", 7), Split().share("cleo", 7)) == (
        Fraction(3, 5),
        0,
        Fraction(1, 7),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{CALLS}, from: 2026-08-01, to: 2026-07-01", ["to: must be after from"]),
        (f"{CALLS}, from: 1 July", ['from: "1 July" is no date, write 2026-03-01']),
        (f"{CALLS}, overrides: [{{bound: 5}}]", ["overrides[0]: needs one of agent, tier, team and tenant"]),
        (
            f"{CALLS}, overrides: [{{agent: anna, tier: new, bound: 5}}]",
            ["overrides[0]: is for more than one, say one"],
        ),
        (f"{CALLS}, overrides: [{{tier: new}}]", ["overrides[0].bound: is missing"]),
        (
            f"{CALLS}, overrides: [{{tier: new, low: 5}}]",
            ["overrides[0].bound: is missing", "overrides[0].low: the target says bound"],
        ),
        (
            f"{TALK}, overrides: [{{tier: new, bound: 5 m}}]",
            ["overrides[0].bound: the target says low and high", "overrides[0].low: is missing"],
        ),
        (f"{TALK}, overrides: [{{tier: new, low: 7 m}}]", ["overrides[0].low: must not be below low"]),
        (
            f"{CALLS}, overrides: [{{agent: ana, bound: 5}}]",
            ['overrides[0].agent: agent "ana" is not in the roster, did you mean "anna"?'],
        ),
        (f"{CALLS}, overrides: [{{tier: gold, bound: 5}}]", ['overrides[0].tier: tier "gold" is not in the roster']),
        (
            f"{CALLS}, overrides: [{{tenant: other, agent: anna, bound: 5}}]",
            ['overrides[0].agent: agent "anna" is not in the roster'],
        ),
        (
            f"{CALLS}, overrides: [{{tenant: acm, bound: 5}}]",
            ['overrides[0].tenant: tenant "acm" is not in the roster, did you mean "acme"?'],
        ),
        (
            f"{CALLS}, tenant: acme, overrides: [{{tenant: other, bound: 5}}]",
            ['overrides[0].tenant: the target is of tenant "acme" only'],
        ),
        (
            f"{CALLS}, tenant: acme, team: north, overrides: [{{team: south, bound: 5}}]",
            ['overrides[0].team: the target is of team "north" only'],
        ),
        (
            f"{TEAM}, overrides: [{{tier: new, bound: 5}}]",
            ["overrides[0].tier: the target is judged for each team, which has no tier"],
        ),
        (
            f"{CALLS}, overrides: [{{tier: new, bound: 5}}, {{tenant: acme, tier: new, bound: 6}}]",
            ["overrides[1]: there is a bound for tier new at the same time already"],
        ),
        (
            f"{CALLS}, overrides: [{{team: north, bound: 5, to: 2026-07-02}}, "
            "{team: north, bound: 6, from: 2026-07-01}]",
            ["overrides[1]: there is a bound for team north at the same time already"],
        ),
        (f"{CALLS}, ramp: {{2: 40 %, 9: 100 %}}", ["ramp: must begin with week 1"]),
        (f"{CALLS}, ramp: {{1: 40 %, 9: 90 %}}", ["ramp.9: must end with 100 %"]),
        (f"{CALLS}, ramp: {{1: 40 %, 5: 60 %, 3: 100 %, 6: 100 %}}", ["ramp.3: weeks must rise"]),
        (f"{CALLS}, ramp: {{1: 0 %, 3: 100 %}}", ['ramp.1: "0 %" must be above 0 % and at most 1000 %']),
        (
            f"{CALLS}, ramp: {{one: 40 %, 1: 100 %}}",
            ['ramp.one: "one" is no whole number from 1 to 104, it is a week of work'],
        ),
        (f"{TEAM}, ramp: {{1: 40 %, 3: 100 %}}", ["ramp: is for agents, the target is judged for each team"]),
        (
            f"{SHARE}, ramp: {{1: 40 %, 3: 100 %}}",
            ["ramp: connect_share is a share or a mean: if it is to follow, say scale_ratio: yes"],
        ),
        (
            f"{TALK}, ramp: {{1: 40 %, 3: 100 %}}",
            ["ramp: is for bounds from below only; say what holds for whom in overrides"],
        ),
        (
            f"{CALLS}, seasons: [{{share: 50 %}}]",
            ["seasons[0]: needs months, or from and to", "seasons[0].name: is missing"],
        ),
        (
            f"{CALLS}, seasons: [{{name: s, months: july, share: 50 %}}]",
            ['seasons[0].months: "july" is no month, write jul, jun-aug or [jan, jul]'],
        ),
        (
            f"{CALLS}, scale_ratio: yes",
            ["scale_ratio: is for the ramp and the seasons of a share or a mean"],
        ),
        (f"{CALLS}, split: {{agents: equal}}", ["split: is for a count of a team"]),
        (f"{TEAM}, split: {{agents: fair}}", ['split.agents: "fair" is none of equal']),
        (f"{TEAM}, split: {{}}", ["split.agents: is missing: equal, or a share for each agent"]),
        (
            f"{TEAM}, split: {{agents: {{ana: 100 %}}}}",
            [
                "split.agents: shares by agent need a target of one team",
                'split.agents.ana: agent "ana" is not in the roster, did you mean "anna"?',
            ],
        ),
    ],
)
def test_faults(text: str, expected: list[str]):
    assert sorted(faults(text)) == sorted(expected)


def test_more_seasons_than_anybody_can_foresee_are_refused():
    """Each set of them that may hold at once is checked."""
    seasons = ", ".join(f"{{name: s{n}, months: jan, share: 99 %}}" for n in range(13))

    assert faults(f"{CALLS}, seasons: [{seasons}]") == ["seasons: are more than 12"]


EVIDENCE = "false_alarms: 1 a week for 20"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            f"{SHARE}, {EVIDENCE}, overrides: [{{tier: new, bound: 0 %}}]",
            "tier new: evidence needs a bound above 0 and below 1, in share: 0 is none",
        ),
        (
            f"{SHARE}, {EVIDENCE}, scale_ratio: yes, seasons: [{{name: a, months: jan, share: 200 %}}, "
            "{name: b, months: jan-feb, share: 200 %}]",
            "a (200 %), b (200 %): evidence needs a bound above 0 and below 1, in share: 1 is none",
        ),
        (
            f"{CALLS}, {EVIDENCE}, overrides: [{{agent: bela, bound: 0}}]",
            "agent bela: a bound of 0 calls asks for nothing",
        ),
    ],
)
def test_a_bound_that_evidence_cannot_weigh_at_some_time_is_a_fault(text: str, expected: str):
    assert faults(text) == [f"false_alarms: {expected}"]


def test_seasons_that_never_hold_at_once_are_not_multiplied():
    """25 % twice doubled is all; but January is not February."""
    text = f"{SHARE}, {EVIDENCE}, scale_ratio: yes, seasons: [{{name: a, months: jan, share: 200 %}}, "

    assert len(target(f"{text}{{name: b, months: feb, share: 200 %}}]").seasons) == 2


def test_terms_of_a_target_without_a_kpi_are_no_further_faults():
    assert faults("name: x, kpi: cals, window: business-day, bound: 5, from: soon, overrides: [{}], split: no") == [
        'kpi: "cals" is no KPI, did you mean "calls"?'
    ]
