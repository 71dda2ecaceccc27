"""Counts against pace, live: behind pace is alarmed, also without a single call; off shift rests.

Berlin  08:00        12:00  13:00        17:00
        [============)      [============)
  UTC   07:00        11:00  12:00        16:00
"""

import random
from collections.abc import Iterable

import pytest
from prometheus_client import CollectorRegistry

from kpistream.core.alerts import State, Transition, encode_transition
from kpistream.core.measures import CALLS
from kpistream.core.readings import About, Reading, Shown, read
from kpistream.core.settings import Settings, read_settings
from kpistream.core.tallies import NOTHING, pack_tally
from kpistream.core.targets import Why
from kpistream.core.windows import BUSINESS_DAY, Window
from kpistream.log.publisher import Publisher
from kpistream.log.topics import Topics
from kpistream.metrics import WorkerMetrics
from kpistream.stream.judging import AGENT_KINDS, Bench
from kpistream.stream.live import LiveWindows, scope_window
from kpistream.stream.overdue import DUE_A_LOOK, LOOK_AGAIN_MS
from kpistream.stream.rota import DUE_MS, Rota
from kpistream.stream.showing import Known, Show, TickerPorts
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


def about(key: str, now_ms: int) -> About:
    return About("acme", key.partition("/")[2], "north", "Ann" if key == ANN else None)


class Floor:
    """Ann's calls, and what is shown of her and of the others, who have none."""

    def __init__(
        self, known: Settings, keep: bool = True, others: Iterable[str] = (), log: Iterable[Transition] = ()
    ) -> None:
        self.panes: dict[int, int] = {}
        live = LiveWindows(PANE_MS, scope_window(known.roster, PANE_MS))
        self.bench = Bench(known, about, AGENT_KINDS)
        self.bench.load(map(encode_transition, log))
        self.show = Show(live, self.bench)
        if keep:
            live.keep([ANN, *(f"acme/agent:{name}" for name in others)])
        self.states: list[tuple[int, State, Why]] = []
        self.log: list[Transition] = []

    def starts_of(self, key: str) -> list[int]:
        return list(self.panes) if key == ANN else []

    def packed_at(self, key: str, start_ms: int) -> bytes:
        calls = self.panes.get(start_ms, 0) if key == ANN else 0
        return pack_tally({CALLS: calls}) if calls else NOTHING

    def look(self, now_ms: int, calls: int = 0) -> None:
        """A look after so many calls more of Ann's; every target is looked at that is due."""
        start_ms = now_ms - now_ms % PANE_MS
        if calls:
            self.panes[start_ms] = self.panes.get(start_ms, 0) + calls
        readings, transitions = self.show.look(
            now_ms, [(ANN, start_ms)] if calls else [], self, Known(at("2026-03-01 00:00"), True)
        )
        self.shown = readings
        self.readings = {reading.window: reading for reading in readings if reading.scope == "agent:ann"}
        self.states += [(each.at_ms, each.to_state, each.reason) for each in transitions]
        self.transitions = transitions
        self.log += transitions

    def watch(self, begin: str, end: str, *, every_min: int = 1) -> None:
        """Looks from one moment to another at which nothing has happened."""
        for now_ms in range(at(begin), at(end), every_min * MINUTE_MS):
            self.look(now_ms)

    def reason(self, target: str = "calls") -> Why:
        """Of the verdict that was shown of Ann last."""
        return self.readings["business-day"].targets[target].reason


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
    bench._overdue.looked(DAY, at("2026-03-02 11:00"))

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


# ---- a source that sends nothing


def test_source_that_sends_nothing_alarms_nobody():
    floor = Floor(settings(), others=("bo", "cyd"))

    floor.watch("2026-03-02 06:00", "2026-03-02 11:00")

    assert floor.states == []
    assert floor.reason() is Why.SOURCE_SILENT


def test_a_quarter_of_an_hour_at_work_without_a_sound_is_a_silent_source():
    """The night before is no part of it: nobody was at work."""
    floor = Floor(settings(), others=("bo", "cyd"))

    floor.watch("2026-03-02 18:00", "2026-03-03 07:14")
    before = floor.reason()
    floor.watch("2026-03-03 07:15", "2026-03-03 07:17")

    assert (before, floor.reason()) == (Why.EVIDENCE_OPEN, Why.SOURCE_SILENT)


def test_first_sound_ends_the_silence_of_a_source_for_everybody():
    floor = Floor(settings(), others=("bo", "cyd"))

    floor.watch("2026-03-02 06:00", "2026-03-02 10:00")
    floor.look(at("2026-03-02 10:00"), calls=40)
    floor.watch("2026-03-02 10:01", "2026-03-02 10:03")

    assert [state for _, state, _ in floor.states] == [State.FIRING, State.FIRING], "of those who have no calls"
    assert floor.reason() is Why.ON_PACE


def test_silence_of_a_source_neither_ends_an_alert_nor_lets_it_fire():
    floor = Floor(settings(), others=("bo", "cyd"))

    floor.look(at("2026-03-02 09:00"))
    floor.look(at("2026-03-02 09:01"), calls=26)
    floor.watch("2026-03-02 09:02", "2026-03-02 09:40")
    floor.look(at("2026-03-02 09:40"), calls=8)
    floor.watch("2026-03-02 09:41", "2026-03-02 09:43")

    assert [(each.to_state, each.reason) for each in floor.log if each.scope == "agent:bo"] == [
        (State.FIRING, Why.BEHIND_PACE),
        (State.NO_DATA, Why.SOURCE_SILENT),
        (State.FIRING, Why.BEHIND_PACE),
    ]
    assert [each.to_state for each in floor.log if each.scope == "agent:ann"] == [
        State.FIRING,
        State.OK,
        State.NO_DATA,
        State.OK,
    ]


def test_two_who_do_nothing_are_behind_pace_it_takes_three_to_doubt_the_source():
    floor = Floor(settings(), others=("bo",))

    floor.watch("2026-03-02 06:00", "2026-03-02 09:00")

    assert [reason for _, _, reason in floor.states] == [Why.BEHIND_PACE, Why.BEHIND_PACE]


def test_a_break_neither_begins_nor_ends_the_silence_of_a_source():
    floor, heard_late = (Floor(settings(), others=("bo", "cyd")) for _ in range(2))

    floor.watch("2026-03-02 10:00", "2026-03-02 11:30")
    heard_late.look(at("2026-03-02 10:58"), calls=60)
    heard_late.watch("2026-03-02 10:59", "2026-03-02 12:10")

    assert floor.reason() is Why.SOURCE_SILENT
    assert heard_late.reason() is Why.ON_PACE


def test_silence_of_a_source_does_not_concern_other_targets():
    connects = "targets: [{name: connects, kpi: connect_share, window: business-day, bound: 25 %}]"
    floor = Floor(settings(more=connects), others=("bo", "cyd"))

    floor.watch("2026-03-02 08:00", "2026-03-02 09:00")

    assert (floor.reason(), floor.reason("connects")) == (Why.SOURCE_SILENT, Why.NO_CASES)


# ---- what it costs


def test_what_is_expected_by_now_is_computed_once_in_ten_seconds():
    known = settings()
    [target], rota, day = known.targets, Rota(known.schedules), Window(at("2026-03-01 23:00"), at("2026-03-02 23:00"))
    now_ms = at("2026-03-02 11:00")

    first, same, next_one, back = (
        rota.due(target, about(ANN, 0), day, now_ms + later_ms) for later_ms in (0, DUE_MS - 1, DUE_MS, -1)
    )
    next_day = rota.due(target, about(ANN, 0), Window(at("2026-03-02 23:00"), at("2026-03-03 23:00")), now_ms)

    assert first is same
    assert first.expected == 50
    assert next_one is not same
    assert next_one is not back
    assert next_day.expected == 0, "another window has another plan"


def test_what_is_remembered_of_somebody_goes_with_the_windows():
    floor = Floor(settings(), keep=False)

    floor.look(at("2026-03-02 10:00"), calls=1)
    floor.bench.sweep(floor.show.live, at("2026-03-02 10:00"))
    remembered = set(floor.bench._rota._agents)
    floor.panes.clear()
    floor.watch("2026-03-04 10:00", "2026-03-04 10:30", every_min=5)
    floor.bench.sweep(floor.show.live, at("2026-03-04 10:30"))

    assert (remembered, floor.bench._rota._agents) == ({ANN}, {})


def test_time_brings_fifty_slots_to_a_look_the_longest_ago_first():
    bench = Floor(settings()).bench
    slots = [(f"acme/agent:{number}", "business-day") for number in range(2 * DUE_A_LOOK + 20)]
    for slot in slots:
        bench._overdue.looked(slot, at("2026-03-02 10:00"))

    looks = [bench.due_again(at("2026-03-02 10:02")) for _ in range(4)]

    assert looks == [slots[:50], slots[50:100], slots[100:], []]


def test_off_shift_nothing_is_shown_again_until_the_next_shift():
    floor = Floor(settings())

    floor.watch("2026-03-02 15:50", "2026-03-02 16:03")
    shown = []
    for now_ms in range(at("2026-03-02 16:03"), at("2026-03-03 07:02"), MINUTE_MS):
        floor.look(now_ms)
        shown += [now_ms] if floor.shown else []

    assert shown == [at("2026-03-02 23:00"), at("2026-03-03 07:00"), at("2026-03-03 07:01")], "a new date is a new day"


def test_somebody_who_has_done_nothing_yet_takes_no_place_among_the_metrics():
    metrics = WorkerMetrics(CollectorRegistry())
    ports = TickerPorts(Publisher({}), Topics(), {}, metrics, print)
    ports.agent_cap = 1

    def shown(name: str, calls: int) -> Reading:
        window = Shown(BUSINESS_DAY, Window(0, 1), 0)
        return read(about(f"acme/agent:{name}", 0), window, {CALLS: calls} if calls else {})

    ports.seen([shown("idle", 0), shown("ann", 1), shown("idle", 1)])
    ports.seen([shown("ann", 0)])

    [place] = [
        (sample.labels["agent"], sample.value)
        for metric in metrics.agent_kpi.collect()
        for sample in metric.samples
        if sample.labels["kpi"] == "calls"
    ]
    assert place == ("ann", 0), "who has a place keeps it, also on a day without a call"


# ---- a restart


def fired() -> list[Transition]:
    floor = Floor(settings())
    floor.look(at("2026-03-02 15:00"))
    return floor.transitions


def test_alert_that_was_left_firing_is_suspended_after_a_restart_off_shift():
    floor = Floor(settings(), keep=False, log=fired())

    floor.watch("2026-03-02 20:00", "2026-03-02 20:05")

    assert [(state, reason) for _, state, reason in floor.states] == [(State.SUSPENDED, Why.OFF_SHIFT)]


def test_alert_that_was_left_firing_is_looked_at_until_it_rests():
    floor = Floor(settings(), keep=False, log=fired())

    floor.watch("2026-03-02 15:30", "2026-03-02 16:05")

    assert [(state, reason) for _, state, reason in floor.states] == [(State.SUSPENDED, Why.OFF_SHIFT)]
