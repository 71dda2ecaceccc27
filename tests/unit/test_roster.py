"""Who is in which team, zone and tier at which moment, and who is behind an id of another system."""

from datetime import UTC, datetime

import pytest

from kpistream.core.roster import UNASSIGNED, Dated, Roster, at, overlap
from kpistream.core.settings import read_settings

PANE = 300_000

ROSTER = """
zone: UTC
tenants:
  acme:
    zone: Europe/Berlin
    day_starts_at: "04:00"
    teams:
      north: {name: The North}
      lisbon: {zone: Europe/Lisbon}
    queues: {sales: north}
    campaigns:
      spring: {team: lisbon}
    people:
      anna:
        name: Anna Berg
        team:
          - {team: north, to: 2026-03-01}
          - {team: lisbon, from: 2026-03-01}
        tier: veteran
        from: 2026-01-01
        to: 2026-07-01
        aliases:
          crm: "007"
          telephony: [ext-1, {id: ext-2, from: 2026-03-01}]
      bela:
        team: north
        zone: Asia/Kathmandu
        aliases:
          telephony: {id: ext-2, to: 2026-03-01}
"""


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


@pytest.fixture(scope="module")
def roster() -> Roster:
    return read_settings({"roster.yaml": ROSTER}).roster


# Anna, days start at 04:00 in Berlin (03:00 UTC in winter):
#   before 2026-01-01 03:00 | north ... | 2026-03-01 03:00 lisbon ... | 2026-07-01 02:00
#        unassigned                                                       unassigned
def test_team_changes_at_the_start_of_the_business_day(roster: Roster):
    assert roster.team_of("acme", "anna", ms("2026-01-01 02:59")) == UNASSIGNED
    assert roster.team_of("acme", "anna", ms("2026-01-01 03:00")) == "north"
    assert roster.team_of("acme", "anna", ms("2026-03-01 02:59")) == "north"
    assert roster.team_of("acme", "anna", ms("2026-03-01 03:00")) == "lisbon"
    assert roster.team_of("acme", "anna", ms("2026-07-01 01:59")) == "lisbon"
    assert roster.team_of("acme", "anna", ms("2026-07-01 02:00")) == UNASSIGNED


def test_unknown_agent_and_tenant_are_unassigned_under_their_own_name(roster: Roster):
    now = ms("2026-02-01 12:00")

    assert roster.team_of("acme", "zoe", now) == "unassigned"
    assert roster.team_of("nobody", "anna", now) == "unassigned"
    assert roster.display_name("acme", "zoe", now) == "zoe"
    assert roster.zone_of("nobody", "zoe", now) == "UTC"
    assert roster.zone_of("acme", "zoe", now) == "Europe/Berlin"
    assert not roster.knows("acme", "zoe")
    assert roster.knows("acme", "anna")


def test_zone_is_the_persons_then_the_teams_then_the_tenants(roster: Roster):
    assert roster.zone_of("acme", "bela", ms("2026-02-01 12:00")) == "Asia/Kathmandu"
    assert roster.zone_of("acme", "anna", ms("2026-02-01 12:00")) == "Europe/Berlin"
    assert roster.zone_of("acme", "anna", ms("2026-04-01 12:00")) == "Europe/Lisbon"


def test_queues_and_campaigns_have_teams(roster: Roster):
    now = ms("2026-02-01 12:00")

    assert roster.team_of_scope("acme", "queue:sales", now) == "north"
    assert roster.team_of_scope("acme", "campaign:spring", now) == "lisbon"
    assert roster.team_of_scope("acme", "queue:other", now) == "unassigned"
    assert roster.team_of_scope("acme", "agent:anna", now) == "north"
    assert roster.zone_of_scope("acme", "campaign:spring", now) == "Europe/Lisbon"


def test_alias_belongs_to_one_person_at_a_time(roster: Roster):
    winter, spring = ms("2026-02-01 12:00"), ms("2026-03-01 12:00")

    assert roster.alias("acme", "telephony", "ext-2", winter) == "bela"
    assert roster.alias("acme", "telephony", "ext-2", spring) == "anna"
    assert roster.alias("acme", "telephony", "ext-1", spring) == "anna"
    assert roster.alias("acme", "crm", "007", winter) == "anna"
    assert roster.alias("acme", "crm", "7", winter) is None
    assert roster.alias("acme", "survey", "ext-1", winter) is None
    assert roster.resolve("acme", "crm", "7", winter) == "7"
    assert roster.resolve("acme", "crm", "007", winter) == "anna"


def test_names_tiers_and_members(roster: Roster):
    winter, spring = ms("2026-02-01 12:00"), ms("2026-03-01 12:00")

    assert roster.display_name("acme", "anna", winter) == "Anna Berg"
    assert roster.display_name("acme", "bela", winter) == "bela"
    assert roster.team_name("acme", "north") == "The North"
    assert roster.team_name("acme", "lisbon") == "lisbon"
    assert roster.tier_of("acme", "anna", winter) == "veteran"
    assert roster.tier_of("acme", "bela", winter) is None
    assert roster.members("acme", "north", winter) == ["anna", "bela"]
    assert roster.members("acme", "north", spring) == ["bela"]


def test_window_follows_zone_and_start_of_the_day(roster: Roster):
    day = roster.window("acme", "agent:anna", "business-day", ms("2026-02-01 02:00"), PANE)

    assert day == (ms("2026-01-31 03:00"), ms("2026-02-01 03:00"))


def test_roster_without_anybody_answers():
    assert Roster().team_of("acme", "anna", 0) == "unassigned"
    assert Roster().resolve("acme", "crm", "4711", 0) == "4711"
    assert Roster().window("acme", "agent:a", "business-day", 86_400_000, PANE) == (86_400_000, 2 * 86_400_000)


def test_history_is_half_open():
    history = (Dated("a", 0, 10), Dated("b", 10, 20))

    assert [at(history, t) for t in (-1, 0, 9, 10, 19, 20)] == [None, "a", "a", "b", "b", None]
    assert overlap(history) is None
    assert overlap((Dated("b", 9, 20), Dated("a", 0, 10))) == (Dated("a", 0, 10), Dated("b", 9, 20))
