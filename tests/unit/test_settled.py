"""Settled conversion: which calls count, when they count, and what a target makes of them.

Panes of five minutes, a settle time of an hour: a call that ends at 09:02 counts from 10:05 on.
"""

from fractions import Fraction
from typing import Any

import msgspec
import pytest

from kpistream.core.alerts import State, Transition
from kpistream.core.conversion import MAX_SETTLE_MS
from kpistream.core.decoding import fields_of
from kpistream.core.events import CallEnded, DealClosed, MovedFrom
from kpistream.core.evidence import Level
from kpistream.core.kpis import Value
from kpistream.core.linking import NO_LINK, UNNAMED, UNREADABLE, link_of, named
from kpistream.core.links import Linked
from kpistream.core.measures import (
    CONNECTED,
    DEALS_WON,
    SETTLED_CALLS,
    SETTLED_CALLS_IN_DOUBT,
    SETTLED_CALLS_WON,
)
from kpistream.core.panes import Pane, array, pack
from kpistream.core.partition import Partition, PartitionSettings
from kpistream.core.placing import Accepted, place
from kpistream.core.readings import About, Reading
from kpistream.core.settings import Settings, read_settings
from kpistream.core.settling import Settling, delays
from kpistream.core.targets import Direction, Severity, Target, Verdict, Why, judge
from kpistream.errors import ConfigError
from kpistream.stream.judging import AGENT_KINDS, Bench
from kpistream.stream.live import LiveWindows, scope_window
from kpistream.stream.showing import Known, Show
from tests.laws.test_settling_laws import Panes
from tests.unit.test_schedules import at

MINUTE_MS, PANE_MS = 60_000, 300_000
ANN, BEN = "acme/agent:ann", "acme/agent:ben"
ROSTER = """
tenants:
  acme:
    settle_time: 1 h
    people: {ann: {}, ben: {}}
"""
TARGETS = """
targets:
  - {name: conversion, kpi: settled_conversion, window: business-day, bound: 20 %, false_alarms: 1 a week for 20}
"""
LEVEL = Level(1, 5, 20)


def call(number: int, ended: str, agent: str = "ann", **more: Any) -> Accepted:
    """A connected call of a minute; the PBX gives it an id of its own."""
    ended_ms = at(f"2026-03-02 {ended}")
    told: dict[str, Any] = {
        "tenant": "acme", "source": "pbx", "event_id": f"leg-{number}", "agent_id": agent, "call_id": f"c-{number}",
        "direction": "outbound", "started_at": ended_ms - MINUTE_MS, "answered_at": ended_ms - MINUTE_MS,
        "ended_at": ended_ms, "outcome": "connected",
    }  # fmt: skip
    return place(fields_of(CallEnded(**{**told, **more})), PANE_MS)


def deal(number: int, closed: str, call_id: str | None, agent: str = "ann", **more: Any) -> Accepted:
    """A won deal of the CRM."""
    told: dict[str, Any] = {
        "tenant": "acme", "source": "crm", "event_id": f"d-{number}", "agent_id": agent, "call_id": call_id,
        "outcome": "won", "amount_minor": 100, "currency": "EUR", "closed_at": at(f"2026-03-02 {closed}"),
    }  # fmt: skip
    return place(fields_of(DealClosed(**{**told, **more})), PANE_MS)


class Floor:
    """A partition and what is shown of it."""

    def __init__(self, targets: str = TARGETS, known_from: str = "2026-03-01 00:00") -> None:
        files = {"roster.yaml": ROSTER, "targets.yaml": targets}
        self.settings: Settings = read_settings({name: text for name, text in files.items() if text})
        self.part = Partition(0, PartitionSettings("w1", PANE_MS))
        self.part.recovered(0)
        self.source = Settling(Panes(self.part), delays(self.settings.roster, PANE_MS), PANE_MS)
        self.bench = Bench(self.settings, lambda key, now_ms: About("acme", key.partition("/")[2]), AGENT_KINDS)
        self.bench.load(())
        self.show = Show(LiveWindows(PANE_MS, scope_window(self.settings.roster, PANE_MS)), self.bench)
        self.known = Known(at(known_from), True)
        self.readings: dict[tuple[str, str], Reading] = {}
        self.log: list[Transition] = []

    def look(self, now: str, *events: Accepted) -> None:
        """A look after these events."""
        for event in events:
            self.part.accept(event, 0)
        now_ms = at(f"2026-03-02 {now}")
        changed = {(event.key, event.start_ms) for event in events}
        settled = self.source.due(now_ms, changed)
        readings, transitions = self.show.look(now_ms, changed, self.source, self.known, settled)
        self.readings |= {(f"{each.tenant}/{each.scope}", each.window): each for each in readings}
        self.log += transitions

    def value(self, window: str = "business-day", key: str = ANN) -> Value:
        return self.readings[key, window].kpis["settled_conversion"]


def test_call_counts_when_its_settle_time_has_passed_and_not_before():
    floor = Floor()
    floor.look("09:02", call(1, "09:02"), deal(1, "09:03", "c-1"))

    floor.look("10:04:59")
    before = floor.value()
    floor.look("10:05")

    assert (before, floor.value()) == (Value(None, 0, 0), Value(1.0, 1, 1))


def test_a_rolling_window_has_the_calls_that_settled_in_it():
    """09:02 settles in the pane of 10:05, which the last 15 minutes have until 10:20."""
    floor = Floor()
    floor.look("09:02", call(1, "09:02"))

    floor.look("10:05")
    settled = floor.value("rolling-15m")
    floor.look("10:20")

    assert (settled, floor.value("rolling-15m")) == (Value(0.0, 0, 1), Value(None, 0, 0))
    assert floor.value() == Value(0.0, 0, 1)


def test_deal_before_its_call_late_deal_and_two_deals_of_one_call():
    floor = Floor()
    floor.look("09:00", deal(1, "09:00", "c-1"))
    floor.look("09:10", call(1, "09:10"), call(2, "09:10"), call(3, "09:10"))
    floor.look("09:20", deal(2, "09:20", "c-1"))

    floor.look("10:15")
    assert floor.value() == Value(1 / 3, 1, 3), "two deals of one call are one"
    floor.look("12:00", deal(3, "12:00", "c-2"))
    assert floor.value() == Value(2 / 3, 2, 3), "a late deal still counts for its call"


def test_voided_deal_and_a_deal_that_is_corrected_to_name_another_call():
    floor = Floor()
    floor.look("09:10", call(1, "09:10"), call(2, "09:10"), deal(1, "09:11", "c-1"), deal(2, "09:11", "c-2"))
    floor.look("10:15")
    first = floor.value()

    floor.look("10:16", deal(1, "09:11", "c-1", outcome="voided", revision=1))
    second = floor.value()
    floor.look("10:17", deal(2, "09:11", "c-9", revision=1))

    assert [first, second, floor.value()] == [Value(1.0, 2, 2), Value(0.5, 1, 2), Value(0.0, 0, 2)]


def test_deal_that_moves_to_another_agent_no_longer_counts_for_the_first_ones_call():
    floor = Floor()
    floor.look("09:10", call(1, "09:10"), deal(1, "09:11", "c-1"))
    floor.look("10:15")

    old = MovedFrom(agent_id="ann", occurred_at=at("2026-03-02 09:11"))
    floor.look("10:16", deal(1, "09:11", "c-1", agent="ben", revision=1, moved_from=old))
    [retraction] = floor.part.snapshot(None).retractions
    left = Accepted(retraction.identity, *retraction.place, retraction.rank, (), True, None, 0, None)  # type: ignore[arg-type]
    floor.look("10:17", left)

    assert floor.value() == Value(0.0, 0, 1)
    assert floor.value(key=BEN) == Value(None, 0, 0), "a deal of somebody else's call has no call here"


def test_two_legs_of_a_call_with_one_agent_are_one_call_and_settle_with_the_last():
    floor = Floor()
    floor.look("09:12", call(1, "09:02"), call(2, "09:12", call_id="c-1", transfer_leg=2), deal(1, "09:13", "c-1"))

    floor.look("10:05")
    before = floor.value()
    floor.look("10:15")

    assert (before, floor.value()) == (Value(None, 0, 0), Value(1.0, 1, 1))


def test_call_without_a_call_id_is_named_by_its_event_id():
    assert link_of(call(7, "09:00", call_id=None).fields) == named("leg-7")
    assert link_of(call(7, "09:00").fields) == named("c-7")
    assert link_of(deal(1, "09:00", "c-7").fields) == -named("c-7")
    assert link_of(deal(1, "09:00", None).fields) == UNNAMED
    assert link_of(deal(1, "09:00", "c-7", outcome="lost").fields) == NO_LINK
    assert link_of(call(7, "09:00", outcome="voicemail", talk_ms=None).fields) == NO_LINK
    assert link_of(call(7, "09:00", agent_id=None, queue="orders").fields) == NO_LINK


def test_target_fires_on_evidence_and_says_since_when_the_calls_were():
    """30 calls without a deal from 09:00 on; the alert comes as they settle, an hour after they were made."""
    floor = Floor()
    for number in range(60):
        floor.look(
            f"{9 + number // 30:02}:{number % 30 * 2:02}", call(number, f"{9 + number // 30:02}:{number % 30 * 2:02}")
        )

    for minute in range(0, 125, 5):
        floor.look(f"{10 + minute // 60:02}:{minute % 60:02}")

    [fired] = floor.log
    assert (fired.to_state, fired.reason, fired.kpi) == (State.FIRING, Why.BELOW_BOUND, "settled_conversion")
    assert fired.at_ms < at("2026-03-02 11:30")
    assert (fired.value, fired.numerator) == (0.0, 0) and fired.denominator is not None and fired.denominator >= 20
    assert fired.slip_from_ms == at("2026-03-02 09:00"), "when the calls ended, not when they settled"


def test_deals_that_name_no_call_are_nobodys_fault():
    """A CRM that sends no call ids: nothing is known of any call, so nobody is alarmed, though the number says 0."""
    floor = Floor()
    for number in range(60):
        ended = f"{9 + number // 30:02}:{number % 30 * 2:02}"
        floor.look(ended, call(number, ended), *([deal(number, ended, None)] if number % 4 == 0 else []))

    for minute in range(0, 125, 5):
        floor.look(f"{10 + minute // 60:02}:{minute % 60:02}")

    assert floor.log == []
    assert floor.value() == Value(0.0, 0, 60)
    assert floor.readings[ANN, "business-day"].measures["settled_calls_in_doubt"] == 15
    assert floor.readings[ANN, "business-day"].targets["conversion"].reason is Why.EVIDENCE_OPEN


def test_what_is_in_doubt_counts_for_the_agent_with_and_without_evidence():
    tally = {SETTLED_CALLS: 100, SETTLED_CALLS_WON: 5, SETTLED_CALLS_IN_DOUBT: 15}
    target = Target("t", "settled_conversion", "business-day", Direction.AT_LEAST, low=Fraction(1, 5))

    assert judge(target, tally).verdict is Verdict.TOO_LITTLE
    assert judge(target, tally | {SETTLED_CALLS_IN_DOUBT: 14}).reason is Why.BELOW_BOUND
    proven = msgspec.structs.replace(target, level=LEVEL)
    assert judge(proven, tally).reason is Why.EVIDENCE_OPEN
    assert judge(proven, {SETTLED_CALLS: 100, SETTLED_CALLS_WON: 5}).reason is Why.BELOW_BOUND
    grave = msgspec.structs.replace(target, critical_low=Fraction(1, 10))
    assert judge(grave, {SETTLED_CALLS: 100, SETTLED_CALLS_WON: 5}).severity is Severity.CRITICAL
    assert judge(grave, tally | {SETTLED_CALLS_IN_DOUBT: 10}).severity is Severity.WARNING
    low = msgspec.structs.replace(target, direction=Direction.AT_MOST, low=None, high=Fraction(4, 100))
    assert judge(low, tally).reason is Why.ABOVE_BOUND, "what nobody knows is held against nobody on the other side"


def test_panes_that_an_earlier_release_has_written_say_nothing_of_calls():
    """Its entries do not say which call they are or name; calls count from the first pane after them on."""
    old_ms, later_ms = at("2026-03-02 09:00"), at("2026-03-02 09:05")
    pane = Pane(ANN, old_ms)
    entries = [pack("acme/pbx/call/1", 1, (CONNECTED, 1), False), pack("acme/crm/deal/1", 1, (DEALS_WON, 1), False)]
    pane.fill(array(entries, 2))
    assert pane.links() == [UNREADABLE, UNREADABLE]
    assert [len(msgspec.msgpack.decode(each)) for each in entries] == [6, 6]

    floor = Floor()
    floor.part.panes.setdefault(old_ms, {})[ANN] = pane
    floor.part.links.reread(pane)
    floor.look("09:06", call(2, "09:01"), call(3, "09:06"))

    assert floor.part.links.of(ANN, 3_900_000) == {later_ms: Linked(1, 0, 0)}


def test_what_is_no_call_and_no_deal_needs_no_link():
    assert len(msgspec.msgpack.decode(pack("acme/pbx/call/1", 1, (1, 1), False))) == 6
    pane = Pane(ANN, 0)
    pane.fill(array([pack("acme/pbx/call/1", 1, (1, 1), False)], 1))

    assert pane.links() == []


def test_target_is_not_judged_when_calls_that_settle_in_its_window_are_closed():
    """The day begins at midnight; its oldest calls ended an hour before, and their deals may be older still."""
    for known_from, reason in (("2026-03-01 22:10", Why.EVIDENCE_OPEN), ("2026-03-01 22:15", Why.PANES_CLOSED)):
        floor = Floor(known_from=known_from)
        floor.look("09:00", call(1, "09:00"))
        floor.look("10:05")

        assert floor.readings[ANN, "business-day"].targets["conversion"].reason is reason


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read_settings({"targets.yaml": text})
    return list(caught.value.faults)


def test_settle_time_is_read_and_checked():
    assert read_settings({"roster.yaml": ROSTER}).roster.tenant("acme").settle_ms == 60 * MINUTE_MS
    assert read_settings({"roster.yaml": "tenants: {acme: {}}"}).roster.tenant("acme").settle_ms == 120 * MINUTE_MS
    assert (
        read_settings({"r.yaml": "tenants: {acme: {settle_time: 10 h}}"}).roster.tenant("acme").settle_ms
        == MAX_SETTLE_MS
    )
    assert faults("tenants:\n  acme:\n    settle_time: 11 h\n  other:\n    settle_time: soon\n") == [
        'targets.yaml:3 tenants.acme.settle_time: "11 h" must be at most 10 h: calls are live no longer than that',
        'targets.yaml:5 tenants.other.settle_time: "soon" is no duration, write 90 s, 1.5 m or 2 h',
    ]


def test_settled_conversion_of_teams_is_known_in_history_only():
    text = """tenants: {acme: {teams: {north: {}}}}
targets:
  - {name: one, kpi: settled_conversion, window: business-day, bound: 20 %, scope: team}
  - {name: two, kpi: settled_conversion, window: rolling-60m, bound: 20 %, scope: tenant}
  - {name: three, kpi: settled_conversion, window: business-day, bound: 20 %, scope: team, alerts: off}
  - {name: four, kpi: settled_conversion, window: month, bound: 20 %, scope: team, false_alarms: 1 a month for 4}
  - {name: five, kpi: settled_conversion, window: rolling-60m, bound: 20 %, minimum_sample: 20}
"""
    fact = "settled_conversion is known live of agents only; of others over a week or more, or alerts: off"
    assert faults(text) == [f"targets.yaml:3 targets[0].scope: {fact}", f"targets.yaml:4 targets[1].scope: {fact}"]


def test_deals_that_come_after_an_alert_make_it_no_mistake():
    """Which deals had come when it fired is not kept with panes: a settled alert recovers, it is never corrected."""
    floor = Floor()
    for number in range(60):
        time = f"{9 + 2 * number // 60:02}:{2 * number % 60:02}"
        floor.look(time, call(number, time))
    for minute in range(0, 25, 5):
        floor.look(f"11:{minute:02}")
    assert [each.to_state for each in floor.log] == [State.FIRING]

    for number in range(20):
        floor.look(f"11:{25 + number}", deal(number, f"11:{25 + number}", f"c-{number}"))
    floor.bench.episodes.all_due()
    floor.look("11:50")

    assert {each.reason for each in floor.log[1:]} == {Why.WITHIN_BOUND}
