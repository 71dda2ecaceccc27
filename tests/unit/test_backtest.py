"""Backtest: alarms that a target would have raised on panes of the past, with what held on each day."""

from collections.abc import Iterable

from kpistream.core.alerts import State, Subject
from kpistream.core.backtest import Alarm, Replay, Told, agents_told, teams_told
from kpistream.core.measures import CALLS, OUTBOUND_CALLS, OUTBOUND_CONNECTED
from kpistream.core.placing import Place
from kpistream.core.rows import PaneRow
from kpistream.core.settings import Settings, read_settings
from tests.unit.test_schedules import at

PANE_MS, MINUTE_MS = 300_000, 60_000
END = at("2026-03-14 00:00")
ROSTER = """
tenants:
  acme:
    zone: Europe/Berlin
    teams: {north: {}, south: {}}
    people:
      ann: {team: north}
      bob: {team: [{team: south, to: 2026-03-10}, {team: north, from: 2026-03-10}], tier: new}
  other: {}
"""
SHIFTS = """
schedules:
  patterns: {office: {hours: {mon-fri: 09:00-17:00}}}
  assigned: [{tenant: acme, pattern: office}]
absences: [{tenant: acme, agent: ann, date: 2026-03-10}]
"""
HOUR = "name: hour, kpi: connect_share, window: rolling-60m, bound: 50 %, minimum_sample: 4, "


def settings(target: str, more: str = "") -> Settings:
    return read_settings({"roster.yaml": ROSTER + more, "targets.yaml": f"targets: [{{{target}}}]"})


def pane(moment: str, dialled: int, connected: int = 0, agent: str = "ann", tenant: str = "acme") -> PaneRow:
    sums = {CALLS: dialled, OUTBOUND_CALLS: dialled, OUTBOUND_CONNECTED: connected}
    tally = {number: value for number, value in sums.items() if value}
    return PaneRow(Place(f"{tenant}/agent:{agent}", at(f"2026-03-{moment}")), PANE_MS, 1, tally)


def agents(known: Settings, rows: Iterable[PaneRow], end_ms: int = END) -> list[Told]:
    return list(agents_told(known, known.targets, rows, end_ms))


def alarm(begin: str, end: str, still: bool = False) -> Alarm:
    return Alarm(at(f"2026-03-{begin}"), at(f"2026-03-{end}"), still)


#  UTC      09:00    09:05    09:10    09:15                10:05
#  dialled  4        0        0        4                    the first pane has left
#  met      1 of 4                     5 of 8
#           |--- alarm at the end of the pane ---|
def test_an_alarm_lasts_from_the_pane_that_tips_it_to_the_pane_that_ends_it():
    [told] = agents(settings(HOUR), [pane("09 09:00", 4, 1), pane("09 09:15", 4, 4)])

    assert told == Told(("hour", "acme", "agent:ann"), 1, (alarm("09 09:05", "09 09:20"),))


def test_hold_times_are_kept():
    rows = [pane("09 09:00", 4, 1), pane("09 09:15", 4, 4)]

    def alarms(hold: str) -> tuple[Alarm, ...]:
        return agents(settings(f"{HOUR}{hold}"), rows)[0].alarms

    assert alarms("hold: 5 m, recover_hold: 30 m") == (alarm("09 09:10", "09 09:50"),)
    assert alarms("hold: 20 m") == ()


def test_what_is_still_on_at_the_end_is_said():
    [told] = agents(settings("name: few, kpi: calls, window: business-day, bound: 9"), [pane("09 09:00", 4)])

    assert told.alarms == (alarm("09 09:05", "09 23:00", still=True),)
    [told] = agents(
        settings("name: few, kpi: calls, window: business-day, bound: 9"), [pane("09 09:00", 4)], at("2026-03-09 12:00")
    )
    assert told.alarms == (alarm("09 09:05", "09 12:00", still=True),)


def test_a_target_is_tried_before_it_begins_with_the_overrides_of_each_day():
    target = "name: few, kpi: calls, window: business-day, bound: 5, from: 2030-01-01, "
    target += "overrides: [{tenant: acme, agent: ann, bound: 4, to: 2026-03-10}]"

    [told] = agents(settings(target), [pane("09 09:00", 4), pane("10 09:00", 5), pane("11 09:00", 4)])

    assert [each.from_ms for each in told.alarms] == [at("2026-03-09 23:05"), at("2026-03-10 23:05")]
    assert (told.days, told.alarms[0].to_ms) == (3, at("2026-03-10 09:05"))


#  Berlin  Monday 9th    09:00 |12.5 calls an hour are due| 17:00
#          Tuesday 10th  absent
def test_a_count_is_held_against_the_schedule_of_the_day_and_rests_off_shift():
    target = "name: calls, kpi: calls, window: business-day, bound: 100, false_alarms: 1 a week for 20"
    rows = [pane("09 08:00", 1), pane("10 08:00", 1), pane("11 08:00", 1)]

    [told] = agents(settings(target, SHIFTS), rows)

    assert told.days == 3
    assert [(each.open, 30 <= (each.from_ms - start_ms) // MINUTE_MS <= 60) for each, start_ms in zip(
        told.alarms, (at("2026-03-09 08:00"), at("2026-03-11 08:00")), strict=True
    )] == [(False, True), (False, True)]  # fmt: skip
    assert [each.to_ms for each in told.alarms] == [at("2026-03-09 16:05"), at("2026-03-11 16:05")]


def test_agents_whom_a_target_is_not_about_are_left_out():
    target = f"{HOUR}team: south, tenant: acme"
    rows = [pane("09 09:00", 4), pane("09 09:00", 4, agent="bob"), pane("11 09:00", 4, agent="bob")]

    [told] = agents(settings(target), [*rows, pane("09 09:00", 4, tenant="other")])

    assert (told.subject.scope, told.days, len(told.alarms)) == ("agent:bob", 1, 1)


def test_a_team_is_the_sum_of_whoever_belonged_to_it_at_the_time():
    known = settings("name: team, kpi: calls, window: business-day, scope: team, tenant: acme, bound: 5")
    rows = [
        pane("09 09:00", 2),
        pane("09 09:00", 3, agent="bob"),
        pane("10 09:00", 2),
        pane("10 09:00", 3, agent="bob"),
    ]

    told = {each.subject.scope: each for each in teams_told(known, known.targets, rows, END)}

    assert {scope: each.days for scope, each in told.items()} == {"team:north": 2, "team:south": 1}
    assert [each.from_ms for each in told["team:north"].alarms] == [at("2026-03-09 09:05")]
    assert told["team:north"].alarms[0].to_ms == at("2026-03-10 09:05")


def test_a_transition_carries_the_bound_of_its_day():
    """What is replayed is what is published: state and provenance are those of a worker."""
    known = settings("name: few, kpi: calls, window: business-day, bound: 9, overrides: [{tier: new, bound: 5}]")
    replay = Replay(known, known.targets[0], Subject("few", "acme", "agent:bob"), PANE_MS)

    replay.take(at("2026-03-09 09:00"), {CALLS: 4})
    replay.finish(END)

    [fired] = replay.transitions
    assert (fired.to_state, fired.low, fired.bound_from, fired.team) == (State.FIRING, 5.0, "tier new", "south")
