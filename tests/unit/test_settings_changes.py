"""Settings changes: what differs, in words of the field, and whom it is about."""

from kpistream.core.settings import read_settings
from kpistream.core.settings_changes import Touched, changes, touched

BEFORE = {
    "roster": """
tenants:
  acme:
    zone: Europe/Berlin
    teams: {north: {name: North}, south: {}}
    queues: {sales: north}
    people:
      ann: {name: Ann, team: north, aliases: {crm: "1"}}
      bob: {team: north, from: 2026-01-05}
      cho: {team: south}
""",
    "targets": """
targets:
  - {name: talk, kpi: average_talk_time, window: business-day, low: 2 m, high: 6 m}
  - {name: connects, kpi: connect_share, window: business-day, bound: 25 %, false_alarms: 1 a week for 20}
  - {name: calls, kpi: calls, window: rolling-60m, bound: 10}
""",
    "schedules": """
schedules:
  patterns:
    office: {hours: {mon-fri: 08:00-16:00}}
  assigned: [{team: north, pattern: office}, {agent: cho, pattern: office}]
absences:
  - {agent: cho, date: 2026-11-27, reason: ill}
""",
}
NO_ABSENCES = "absences: []\n"
WITHOUT_CHO = BEFORE["roster"].replace("      cho: {team: south}\n", "")


def read(**files):
    return read_settings({f"{name}.yaml": text for name, text in (BEFORE | files).items()})


def said(name, old, new):
    assert old in BEFORE[name]
    return changes(read(), read(**{name: BEFORE[name].replace(old, new)}))


def test_nothing_changes_by_comments_and_order():
    assert changes(read(), read(roster="# people\n" + BEFORE["roster"])) == []


def test_how_long_sources_may_be_silent():
    said_now = "    silent_after: 1 h\n    sources: {crm: {silent_after: off}}\n    queues: {sales: north}\n"

    assert said("roster", "    queues: {sales: north}\n", said_now) == [
        "acme: silent_after: as usual -> 60 m",
        "acme: source crm: silent_after as usual -> off",
    ]


def test_who_moves_when_from_where_to_where():
    moved = "bob: {team: [{team: north, to: 2026-11-20}, {team: south, from: 2026-11-20}], from: 2026-01-05}"

    assert said("roster", "bob: {team: north, from: 2026-01-05}", moved) == [
        "acme: bob: team north -> south from 2026-11-20"
    ]


def test_who_comes_goes_and_is_called_otherwise():
    come = "      dan: {team: south, tier: new, from: 2026-12-01}\n      cho: {team: south}"
    assert said("roster", "      cho: {team: south}", come) == [
        "acme: dan is new from 2026-12-01",
        "acme: dan: team none -> south",
        "acme: dan: tier none -> new",
    ]
    assert changes(read(schedules=NO_ABSENCES), read(roster=WITHOUT_CHO, schedules=NO_ABSENCES)) == [
        "acme: cho leaves the roster"
    ]
    assert said("roster", "name: Ann, team: north", "name: Anna, team: north, zone: Europe/Lisbon") == [
        "acme: ann: name Ann -> Anna",
        "acme: ann: zone none -> Europe/Lisbon",
    ]
    assert said("roster", "2026-01-05", "2026-02-02") == [
        "acme: bob works here from 2026-02-02, was from 2026-01-05",
    ]
    assert said("roster", 'crm: "1"', 'crm: "2"') == ["acme: ann: alias of crm 1 -> 2"]


def test_what_changes_of_a_tenant_its_teams_and_queues():
    assert said("roster", "zone: Europe/Berlin", "zone: UTC")[0] == "acme: zone: Europe/Berlin -> UTC"
    assert said("roster", "sales: north", "sales: south") == ["acme: queue sales: team north -> south"]
    assert said("roster", "south: {}", "south: {name: South}, west: {}") == [
        "acme: team south: name south -> South",
        "acme: team west is new",
    ]
    assert said("roster", "    teams:", "    limits: {too_short: 30 s}\n    teams:") == [
        "acme: limit too_short_ms: 60000 -> 30000"
    ]
    sooner = said("roster", "    teams:", "    settle_time: 90 min\n    teams:")
    assert sooner == ["acme: settle_time: 120 min -> 90 min"]


def test_which_bound_changes_from_what_to_what():
    assert said("targets", "low: 2 m", "low: 90 s") == ["target talk: low 120 s -> 90 s"]
    assert said("targets", "25 %", "20 %") == ["target connects: bound 25 % -> 20 %"]
    assert said("targets", "bound: 10}", "bound: 12, hold: 1 m}") == [
        "target calls: bound 10 -> 12",
        "target calls: hold_ms 0 -> 60000",
    ]
    assert said("targets", "name: talk", "name: talk-time") == [
        "target talk is gone; its alerts are suspended",
        "target talk-time is new: average_talk_time at least 120 s and at most 360 s, business-day, for each agent",
    ]
    assert said("targets", ", false_alarms: 1 a week for 20", "")[0].startswith("target connects: level ")


def test_what_changes_of_shifts_and_absences():
    assert said("schedules", "08:00-16:00", "09:00-16:00") == [
        "acme: agent:cho: other hours in the same pattern",
        "acme: team:north: other hours in the same pattern",
    ]
    assert said("schedules", "{agent: cho, pattern: office}", "{agent: cho, pattern: office, share: 50 %}") == [
        "acme: agent:cho: no longer pattern office",
        "acme: agent:cho: pattern office at 50 %",
    ]
    assert said("schedules", "date: 2026-11-27, reason: ill", "from: 2026-11-27 12:00, to: 2026-11-28") == [
        "acme: cho: no longer absent from 2026-11-27 to 2026-11-28 (ill)",
        "acme: cho: absent from 2026-11-27 12:00 to 2026-11-28",
    ]


def test_new_and_gone_tenants_are_told():
    new = BEFORE["roster"] + "  zeta: {people: {eve: {}}}\n"

    old, new = read(schedules=NO_ABSENCES), read(roster=new, schedules=NO_ABSENCES)

    assert changes(old, new) == ["zeta: new tenant", "zeta: eve is new"]
    assert changes(new, old) == ["zeta: tenant is gone, with 1 people"]


def test_an_absence_or_a_move_touches_one_agent_and_a_bound_everybody():
    def touches(name, old, new):
        return touched(read(), read(**{name: BEFORE[name].replace(old, new)}))

    assert touched(read(), read()) == Touched(False)
    assert touches("schedules", "agent: cho, date", "agent: bob, date") == Touched(
        False, frozenset({"acme/agent:bob", "acme/agent:cho"})
    )
    assert touches("roster", "cho: {team: south}", "cho: {team: north}") == Touched(
        False, frozenset({"acme/agent:cho"})
    )
    assert touches("schedules", "{agent: cho, pattern: office}", "{agent: cho, pattern: office, share: 50 %}").keys == {
        "acme/agent:cho"
    }
    assert touches("targets", "bound: 10", "bound: 11").everybody
    assert touches("roster", "zone: Europe/Berlin", "zone: UTC").everybody
    assert touches("schedules", "{team: north, pattern: office}", "{team: south, pattern: office}").everybody
