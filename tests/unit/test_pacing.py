"""Counts against pace, live: behind pace is alarmed, also without a single call; off shift rests.

Berlin  08:00        12:00  13:00        17:00
        [============)      [============)
  UTC   07:00        11:00  12:00        16:00
"""

import random

import pytest

from kpistream.core.alerts import State
from kpistream.core.measures import CALLS
from kpistream.core.readings import About
from kpistream.core.settings import Settings, read_settings
from kpistream.core.tallies import NOTHING, pack_tally
from kpistream.core.targets import Why
from kpistream.stream.judging import AGENT_KINDS, LOOK_AGAIN_MS, Bench
from kpistream.stream.live import LiveWindows, scope_window
from kpistream.stream.showing import Known, Show
from tests.unit.test_schedules import at

PANE_MS, MINUTE_MS = 300_000, 60_000
ANN = "acme/agent:ann"
DAY = (ANN, "business-day")
ROSTER = """
tenants:
  acme:
    zone: Europe/Berlin
    teams: {north: {}}
    people:
      ann: {team: north, name: Ann}
targets:
  - {name: calls, kpi: calls, window: business-day, bound: 100, false_alarms: 1 a week for 20}
"""
SHIFTS = """
schedules:
  patterns:
    office: {hours: {mon-fri: 08:00-17:00}, breaks: {mon-fri: 12:00-13:00}}
  assigned:
    - {tenant: acme, pattern: office}
"""
OPEN_HOURS = "business_hours: [{tenant: acme, hours: {mon-fri: 08:00-16:00}}]"


def settings(schedules: str = SHIFTS, more: str = "") -> Settings:
    files = {"roster.yaml": ROSTER, "schedules.yaml": schedules, "more.yaml": more}
    return read_settings({name: text for name, text in files.items() if text})


class Floor:
    """Ann's calls, and what is shown of her."""

    def __init__(self, known: Settings, keep: bool = True) -> None:
        self.panes: dict[int, int] = {}
        live = LiveWindows(PANE_MS, scope_window(known.roster, PANE_MS))
        self.bench = Bench(known, lambda key, now_ms: About("acme", "agent:ann", "north", "Ann"), AGENT_KINDS)
        self.bench.load(())
        self.show = Show(live, self.bench)
        if keep:
            live.keep([ANN])
        self.states: list[tuple[int, State, Why]] = []

    def starts_of(self, key: str) -> list[int]:
        return list(self.panes)

    def packed_at(self, key: str, start_ms: int) -> bytes:
        calls = self.panes.get(start_ms, 0)
        return pack_tally({CALLS: calls}) if calls else NOTHING

    def look(self, now_ms: int, calls: int = 0) -> None:
        """A look after so many calls more; every target of Ann's is looked at that is due."""
        start_ms = now_ms - now_ms % PANE_MS
        if calls:
            self.panes[start_ms] = self.panes.get(start_ms, 0) + calls
        readings, transitions = self.show.look(
            now_ms, [(ANN, start_ms)] if calls else [], self, Known(at("2026-03-01 00:00"), True)
        )
        self.readings = {reading.window: reading for reading in readings}
        self.states += [(each.at_ms, each.to_state, each.reason) for each in transitions]
        self.transitions = transitions


def test_somebody_without_a_single_call_is_behind_pace_not_without_data():
    """12.5 calls an hour are due: with none, evidence of 1 in 100 is there after 12 calls' time."""
    floor = Floor(settings())

    for minute in range(6 * 60, 9 * 60):
        floor.look(at("2026-03-02 00:00") + minute * MINUTE_MS)

    [(fired_ms, state, reason)] = floor.states
    assert (state, reason) == (State.FIRING, Why.BEHIND_PACE)
    assert at("2026-03-02 07:35") < fired_ms < at("2026-03-02 08:05")


def test_alert_says_what_was_expected_and_what_that_rests_on():
    floor = Floor(settings())

    floor.look(at("2026-03-02 11:00"), calls=20)

    [fired] = floor.transitions
    assert (fired.value, fired.expected, fired.basis, fired.alpha) == (20, 50.0, "shift", pytest.approx(0.01))
    standing = floor.readings["business-day"].targets["calls"]
    assert (standing.state, standing.expected, standing.basis) == (State.FIRING, 50.0, "shift")


def test_a_little_behind_is_no_alarm_and_on_pace_is_met():
    floor = Floor(settings())

    floor.look(at("2026-03-02 11:00"), calls=42)
    behind = floor.readings["business-day"].targets["calls"].reason
    floor.look(at("2026-03-02 11:30"), calls=8)

    assert (behind, floor.readings["business-day"].targets["calls"].reason) == (Why.EVIDENCE_OPEN, Why.ON_PACE)
    assert floor.states == []


def test_shift_that_ends_suspends_an_alert_and_a_new_day_begins_without_it():
    floor = Floor(settings())

    for now in ("2026-03-02 15:00", "2026-03-02 16:01", "2026-03-02 23:30", "2026-03-03 06:30", "2026-03-03 07:01"):
        floor.look(at(now))
    floor.look(at("2026-03-03 09:00"))

    assert [(state, reason) for _, state, reason in floor.states] == [
        (State.FIRING, Why.BEHIND_PACE),
        (State.SUSPENDED, Why.OFF_SHIFT),
        (State.OK, Why.EVIDENCE_OPEN),
        (State.FIRING, Why.BEHIND_PACE),
    ], "evidence of yesterday alarms nobody today"


def test_lunch_suspends_an_alert_and_ends_nothing():
    """A gap between two spans is off shift; after it the alert of the same day is there again."""
    gap = SHIFTS.replace(
        "{mon-fri: 08:00-17:00}, breaks: {mon-fri: 12:00-13:00}", "{mon-fri: [08:00-12:00, 13:00-17:00]}"
    )
    floor = Floor(settings(gap))

    for now in ("2026-03-02 10:30", "2026-03-02 11:30", "2026-03-02 12:01"):
        floor.look(at(now))

    assert [(state, reason) for _, state, reason in floor.states] == [
        (State.FIRING, Why.BEHIND_PACE),
        (State.SUSPENDED, Why.OFF_SHIFT),
        (State.FIRING, Why.BEHIND_PACE),
    ]


def test_schedule_that_ends_leaves_no_alert_firing():
    ending = SHIFTS.replace("pattern: office}", "pattern: office, to: 2026-03-03}")
    floor = Floor(settings(ending))

    for now in ("2026-03-02 15:00", "2026-03-02 16:01", "2026-03-03 09:00", "2026-03-04 09:00"):
        floor.look(at(now))

    assert [(state, reason) for _, state, reason in floor.states] == [
        (State.FIRING, Why.BEHIND_PACE),
        (State.SUSPENDED, Why.OFF_SHIFT),
        (State.NO_DATA, Why.NO_SCHEDULE),
    ]


def test_absence_of_the_day_expects_nothing():
    away = "absences: [{tenant: acme, agent: ann, from: 2026-03-02, to: 2026-03-03, reason: ill}]"
    floor = Floor(settings(more=away))

    floor.look(at("2026-03-02 15:00"))

    assert floor.states == []
    assert floor.readings["business-day"].targets["calls"].reason is Why.OFF_SHIFT


def test_business_hours_stand_in_where_no_shift_is_known():
    floor = Floor(settings(OPEN_HOURS))

    floor.look(at("2026-03-02 11:00"), calls=10)

    assert (floor.transitions[0].expected, floor.transitions[0].basis) == (50.0, "business-hours")


def test_without_a_schedule_nothing_is_expected():
    floor = Floor(settings(schedules=""))

    floor.look(at("2026-03-02 15:00"), calls=1)

    assert floor.states == []
    assert floor.readings["business-day"].targets["calls"].reason is Why.NO_SCHEDULE


def test_time_alone_brings_the_next_look_after_a_minute():
    floor, began_ms = Floor(settings()), at("2026-03-02 11:00")

    floor.look(began_ms, calls=50)
    looks = []
    for seconds in (30, 59, 60, 61, 119, 121):
        floor.look(began_ms + seconds * 1000)
        looks.append("business-day" in floor.readings)

    assert looks == [False, False, True, False, False, True]


def test_clock_that_goes_back_does_not_stop_the_looks():
    bench = Floor(settings()).bench
    bench._again_ms[DAY] = at("2026-03-02 11:00")

    assert bench.due_again(at("2026-03-02 11:00") + LOOK_AGAIN_MS - 1) == []
    assert bench.due_again(at("2026-03-02 09:00")) == [DAY]


def test_who_is_not_kept_is_not_looked_at_before_the_first_call():
    floor = Floor(settings(), keep=False)

    floor.look(at("2026-03-02 15:00"))

    assert floor.readings == {}


def test_agent_exactly_on_pace_is_alarmed_as_rarely_as_stated():
    """60 days, a look each minute of eight hours: at 1 in 100 days, and three standard errors, 2 at most."""
    chance, alarms = random.Random(3), 0
    known = settings()
    for _ in range(60):
        floor = Floor(known)
        for minute in range(7 * 60, 16 * 60):
            at_work = not 11 * 60 <= minute < 12 * 60
            calls = sum(chance.random() < 100 / 480 / 4 for _ in range(4)) if at_work else 0
            floor.look(at("2026-03-02 00:00") + minute * MINUTE_MS, calls)
            if any(state is State.FIRING for _, state, _ in floor.states):
                alarms += 1
                break

    assert alarms <= 2
