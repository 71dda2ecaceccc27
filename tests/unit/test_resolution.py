"""Resolution: the closest bound that is in force holds, then ramp and season, and it is told where it comes from."""

from fractions import Fraction

import pytest

from kpistream.core.overrides import Reach
from kpistream.core.resolution import Held, deciding_ms, in_force, resolve
from kpistream.core.roster import ALWAYS_TO_MS, Roster
from kpistream.core.settings import Settings, read_settings
from kpistream.core.targets import Target
from kpistream.core.windows import Window, window_at
from tests.unit.test_schedules import at

ROSTER = """
tenants:
  acme:
    zone: Europe/Berlin
    teams: {north: {}, south: {}}
    people:
      anna: {team: north, tier: veteran}
      bela:
        team: [{team: south, to: 2026-07-01}, {team: north, from: 2026-07-01}]
        tier: [{tier: new, to: 2026-04-01}, {tier: veteran, from: 2026-04-01}]
        from: 2026-01-05
      duarte: {team: south, tier: new, from: 2026-03-02}
      nobody: {}
"""
CALLS = "{name: calls, kpi: calls, window: business-day, tenant: acme, bound: 100, "
EVERYTHING = """
    overrides: [
      {tenant: acme, bound: 95},
      {team: south, bound: 90, reason: old telephones},
      {tier: new, bound: 60},
      {agent: anna, bound: 110, from: 2026-06-01, to: 2026-06-15},
      {agent: duarte, bound: 30, from: 2026-09-01}],
    ramp: {1: 40 %, 3: 60 %, 6: 80 %, 9: 100 %},
    seasons: [
      {name: summer, months: jul-aug, share: 80 %},
      {name: sale, from: 2026-07-06, to: 2026-07-13, share: 150 %}]}
"""


def settings(target: str, roster: str = ROSTER) -> Settings:
    return read_settings({"roster.yaml": roster, "targets.yaml": f"targets:\n  - {target}"})


def resolved(scope: str, moment: str, target: str = CALLS + EVERYTHING) -> Held:
    known = settings(target)
    return resolve(known.targets[0], known.roster, "acme", scope, at(moment))


#  2026        Mar 2   Mar 16   Apr 6   Apr 27     Jul 1      Jul 6   Jul 13    Sep 1
#  duarte        |week 1 |week 3  |week 6 |week 9    |summer    |sale    |        |agent
#  new, 60       24      36       48      60         48         72       48       30
@pytest.mark.parametrize(
    ("moment", "bound", "bound_from"),
    [
        ("2026-03-02 12:00", "24", "tier new, week 1 of the ramp (40 %)"),
        ("2026-03-15 12:00", "24", "tier new, week 2 of the ramp (40 %)"),
        ("2026-03-16 12:00", "36", "tier new, week 3 of the ramp (60 %)"),
        ("2026-04-26 12:00", "48", "tier new, week 8 of the ramp (80 %)"),
        ("2026-04-27 12:00", "60", "tier new"),
        ("2026-07-01 12:00", "48", "tier new, summer (80 %)"),
        ("2026-07-06 12:00", "72", "tier new, summer (80 %), sale (150 %)"),
        ("2026-07-13 12:00", "48", "tier new, summer (80 %)"),
        ("2026-09-01 12:00", "30", "agent duarte"),
    ],
)
def test_a_newcomers_year(moment: str, bound: str, bound_from: str):
    held = resolved("agent:duarte", moment)

    assert (held.target.low, held.bound_from) == (Fraction(bound), bound_from)


@pytest.mark.parametrize(
    ("scope", "moment", "bound", "bound_from"),
    [
        ("agent:anna", "2026-05-31 12:00", 95, "tenant acme"),
        ("agent:anna", "2026-06-01 12:00", 110, "agent anna"),
        ("agent:anna", "2026-06-15 12:00", 95, "tenant acme"),
        ("agent:bela", "2026-03-31 12:00", 60, "tier new"),
        ("agent:bela", "2026-04-01 12:00", 90, "team south"),
        ("agent:bela", "2026-10-01 12:00", 95, "tenant acme"),
        ("agent:nobody", "2026-05-01 12:00", 95, "tenant acme"),
        ("agent:stranger", "2026-05-01 12:00", 95, "tenant acme"),
    ],
)
def test_the_closest_that_is_in_force_holds(scope: str, moment: str, bound: int, bound_from: str):
    held = resolved(scope, moment)

    assert (held.target.low, held.bound_from) == (bound, bound_from)


def test_it_is_told_what_was_overridden():
    held = resolved("agent:bela", "2026-03-31 12:00")

    assert (held.override.reach, held.override.name, held.override.low) == (Reach.TIER, "new", 60)
    assert [(each.words, each.low, each.reason) for each in held.overridden] == [
        ("team south", 90, "old telephones"),
        ("tenant acme", 95, None),
        ("target calls", 100, None),
    ]


def test_a_bound_that_is_the_targets_own_needs_no_provenance():
    held = resolved("agent:anna", "2026-05-01 12:00", CALLS + "reason: budget}")

    assert (held.target.low, held.bound_from, held.until_ms) == (100, None, ALWAYS_TO_MS)
    assert held.target == settings(CALLS + "reason: budget}").targets[0]


def test_other_names_of_the_target_stay():
    known = settings(CALLS + EVERYTHING)

    held = resolve(known.targets[0], known.roster, "acme", "agent:duarte", at("2026-03-16 12:00"))

    assert (held.target.name, held.target.kpi, held.target.high) == ("calls", "calls", None)


def test_a_bound_for_one_person_is_meant_as_it_stands_but_seasons_are_for_all():
    """Whoever writes 30 calls for a newcomer does not mean 40 % of 30."""
    target = CALLS + "overrides: [{agent: duarte, bound: 30}], ramp: {1: 40 %, 9: 100 %}, "
    target += "seasons: [{name: spring, months: mar, share: 50 %}]}"

    held = resolved("agent:duarte", "2026-03-02 12:00", target)

    assert (held.target.low, held.bound_from) == (15, "agent duarte, spring (50 %)")


def test_an_override_of_a_band_may_say_one_side():
    target = "{name: talk, kpi: average_talk_time, window: business-day, low: 4 m, high: 6 m, "
    target += "overrides: [{tier: new, high: 8 m}, {team: south, low: 5 m, high: 7 m}]}"

    new, south = (
        resolved("agent:duarte", "2026-03-02 12:00", target),
        resolved("agent:bela", "2026-05-01 12:00", target),
    )

    assert (new.target.low, new.target.high) == (240_000, 480_000)
    assert (south.target.low, south.target.high) == (300_000, 420_000)


def test_a_team_has_the_bound_of_its_team_and_no_ramp():
    target = "{name: service, kpi: service_level, window: rolling-15m, scope: team, bound: 80 %, "
    target += "overrides: [{team: south, bound: 70 %}, {tenant: acme, bound: 75 %}]}"

    found = [resolved(scope, "2026-03-02 12:00", target) for scope in ("team:south", "team:north")]

    assert [(held.target.low, held.bound_from) for held in found] == [
        (Fraction(7, 10), "team south"),
        (Fraction(3, 4), "tenant acme"),
    ]


def test_an_override_may_be_of_one_tenant_only():
    roster = "tenants: {acme: {people: {ann: {tier: new}}}, other: {people: {bob: {tier: new}}}}"
    known = settings(
        "{name: c, kpi: calls, window: business-day, bound: 9, overrides: [{tenant: acme, tier: new, bound: 5}]}",
        roster,
    )
    [target] = known.targets

    assert resolve(target, known.roster, "acme", "agent:ann", 0).target.low == 5
    assert resolve(target, known.roster, "other", "agent:bob", 0).target.low == 9


#   duarte   Mar 2       Mar 9       Mar 16 ...          (Berlin: 23:00 UTC of the day before, 22:00 from Mar 29 on)
@pytest.mark.parametrize(
    ("scope", "moment", "until"),
    [
        ("agent:duarte", "2026-03-02 12:00", "2026-03-08 23:00"),
        ("agent:duarte", "2026-04-27 12:00", "2026-04-30 22:00"),  # a month may bring a season
        ("agent:bela", "2026-03-20 12:00", "2026-03-31 22:00"),  # its ramp is long over
        ("agent:bela", "2026-03-31 12:00", "2026-03-31 22:00"),  # another tier
        ("agent:anna", "2026-07-06 12:00", "2026-07-12 22:00"),  # the end of the sale
    ],
)
def test_a_bound_is_good_until_something_may_change(scope: str, moment: str, until: str):
    held = resolved(scope, moment)

    assert (held.at_ms, held.until_ms) == (at(moment), at(until))


#   Lisbon  |00:00 Jul 1 ----------------------- 24:00|
#   Berlin  |00:00 Jul 1 ---------------------- 24:00|          an hour earlier
@pytest.mark.parametrize("zone", ["Europe/Lisbon", "Europe/Berlin", "Europe/Helsinki", "America/New_York"])
def test_a_date_is_the_same_business_day_in_every_zone(zone: str):
    """The bound of July is asked on the whole first of July, wherever somebody sits."""
    target = settings(CALLS + "from: 2026-07-01, to: 2026-07-02}").targets[0]

    def judged(now_ms: int) -> bool:
        return in_force(target, deciding_ms("business-day", window_at("business-day", now_ms, 300_000, zone), now_ms))

    days = [window_at("business-day", at(f"2026-{day} 15:00"), 300_000, zone) for day in ("06-30", "07-01", "07-02")]

    assert [judged(at_ms) for day in days for at_ms in (day.from_ms, day.to_ms - 1)] == [
        False,
        False,
        True,
        True,
        False,
        False,
    ]


def test_a_rolling_window_is_judged_by_what_holds_now():
    assert deciding_ms("rolling-60m", Window(0, 3_600_000), 3_000_000) == 3_000_000
    assert deciding_ms("business-day", Window(0, 24 * 3_600_000), 3_000_000) == 12 * 3_600_000


def test_who_begins_after_noon_has_their_bound_on_the_first_day():
    roster = "tenants: {acme: {people: {eve: {tier: new, from: '2026-03-02T15:00+00:00'}}}}"
    known = settings("{name: c, kpi: calls, window: business-day, bound: 90, ramp: {1: 50 %, 2: 100 %}}", roster)

    held = resolve(known.targets[0], known.roster, "acme", "agent:eve", at("2026-03-02 12:00"))

    assert (held.target.low, held.bound_from) == (45, "week 1 of the ramp (50 %)")


def test_without_a_roster_a_target_holds_as_it_is():
    target = settings(CALLS + "overrides: [{tier: new, bound: 60}]}").targets[0]

    assert resolve(target, Roster(), "elsewhere", "agent:x", 0).target is target


def test_targets_are_equal_when_their_terms_are():
    one, other = settings(CALLS + EVERYTHING).targets[0], settings(CALLS + EVERYTHING).targets[0]

    assert isinstance(one, Target)
    assert (one, hash(one)) == (other, hash(other))
