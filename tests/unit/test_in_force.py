"""Judging with the bound in force: for whom, since when, where it comes from, and asked as rarely as it changes."""

from collections import Counter
from typing import ClassVar

import pytest

from kpistream.core.alerts import State
from kpistream.core.measures import CALLS, CONNECTED
from kpistream.core.panes import PaneSum
from kpistream.core.placing import Place
from kpistream.core.readings import About
from kpistream.core.roster import Roster
from kpistream.core.settings import Settings, read_settings
from kpistream.core.tallies import NOTHING, pack_tally
from kpistream.core.targets import Why
from kpistream.core.windows import window_at
from kpistream.stream.flush import sum_record
from kpistream.stream.in_force import InForce
from kpistream.stream.judging import AGENT_KINDS, Bench
from kpistream.stream.live import LiveWindows, scope_window
from kpistream.stream.teams import TeamSums
from tests.unit.test_schedules import at

PANE_MS, MINUTE_MS = 300_000, 60_000
ROSTER = """
tenants:
  acme:
    zone: Europe/Berlin
    teams: {north: {}, south: {}}
    people:
      ann: {team: north, tier: veteran}
      dan: {team: north, tier: new, from: 2026-03-02}
"""
CALLS_OF_NEWCOMERS = """
targets:
  - name: calls
    kpi: calls
    window: business-day
    tenant: acme
    bound: 100
    good_news: no
    to: 2026-03-18
    overrides: [{tier: new, bound: 50}]
    ramp: {1: 40 %, 3: 60 %, 5: 100 %}
"""


def settings(targets: str = CALLS_OF_NEWCOMERS) -> Settings:
    return read_settings({"roster.yaml": ROSTER, "targets.yaml": targets})


class Agents:
    """Agents of team north, each with the same count of calls on every day."""

    def __init__(self, known: Settings, calls: int) -> None:
        self.live = LiveWindows(PANE_MS, scope_window(known.roster, PANE_MS))
        self.bench = Bench(known, lambda key, now_ms: About("acme", key.partition("/")[2], "north"), AGENT_KINDS)
        self.bench.load(())
        self._packed = pack_tally({CALLS: calls, CONNECTED: calls})
        self._starts: list[int] = []

    def starts_of(self, key: str) -> list[int]:
        return self._starts

    def packed_at(self, key: str, start_ms: int) -> bytes:
        return self._packed if start_ms in self._starts else NOTHING

    def look(self, agent: str, moment: str, window: str = "business-day"):
        """A look in a pane with calls: how the target stands, and the transitions."""
        key, now_ms = f"acme/agent:{agent}", at(moment)
        self._starts = [now_ms - now_ms % PANE_MS]
        self.live.look(now_ms, [(key, self._starts[0])], self)
        readings, transitions = self.bench.look(self.live, [(key, window)], now_ms, complete_from_ms=0)
        return readings[0].targets, transitions


#        Mar 2       Mar 9       Mar 16      Mar 18
#  dan     20          20          30          no target any more
@pytest.mark.parametrize(
    ("agent", "moment", "low", "bound_from"),
    [
        ("ann", "2026-03-02 10:00", 100, None),
        ("dan", "2026-03-02 10:00", 20, "tier new, week 1 of the ramp (40 %)"),
        ("dan", "2026-03-15 22:30", 20, "tier new, week 2 of the ramp (40 %)"),
        ("dan", "2026-03-15 23:30", 30, "tier new, week 3 of the ramp (60 %)"),
    ],
)
def test_a_look_judges_with_the_bound_in_force_and_says_where_it_is_from(agent, moment, low, bound_from):
    standing, [fired] = Agents(settings(), calls=19).look(agent, moment)

    assert (standing["calls"].low, standing["calls"].bound_from) == (low, bound_from)
    assert (fired.to_state, fired.low, fired.bound_from) == (State.FIRING, low, bound_from)


def test_the_same_calls_meet_a_newcomers_bound_and_miss_it_in_week_three():
    agents = Agents(settings(), calls=20)

    assert agents.look("dan", "2026-03-02 10:00")[1] == []
    assert agents.look("dan", "2026-03-15 10:00")[1] == []
    [fired] = agents.look("dan", "2026-03-16 10:00")[1]

    assert (fired.value, fired.low, fired.bound_from) == (20, 30, "tier new, week 3 of the ramp (60 %)")


def test_an_alert_of_a_target_whose_time_is_over_is_suspended_not_recovered():
    agents = Agents(settings(), calls=1)
    [fired] = agents.look("ann", "2026-03-17 10:00")[1]

    assert agents.bench.sweep(agents.live, at("2026-03-17 22:59")) == []
    standing, transitions = agents.look("ann", "2026-03-18 10:00")
    [suspended] = agents.bench.sweep(agents.live, at("2026-03-18 10:00"))

    assert (standing, transitions) == ({}, [])
    assert (fired.to_state, suspended.to_state, suspended.reason) == (State.FIRING, State.SUSPENDED, Why.NOT_COVERED)


def test_an_alert_of_a_team_whose_target_is_over_rests_too():
    team = "name: team, kpi: calls, window: rolling-60m, scope: team, tenant: acme, bound: 100, to: 2026-03-18"
    sums = TeamSums(settings(f"targets: [{{{team}}}]"), PANE_MS)
    sums.bench.load(())
    start_ms = at("2026-03-17 10:00")
    value = sum_record(PaneSum(Place("acme/agent:ann", start_ms), 1, pack_tally({CALLS: 1}))).value
    assert value is not None
    sums.put(value)
    sums.next_offset = 1

    states = []
    for moment in ("2026-03-17 10:01", "2026-03-17 10:02", "2026-03-18 10:00", "2026-03-18 10:01"):
        states += [(each.to_state, each.reason) for each in sums.look(at(moment))[1]]

    assert states == [(State.FIRING, Why.BELOW_BOUND), (State.SUSPENDED, Why.NOT_COVERED)]


class Asked(Roster):
    """A roster that counts how often it is asked for somebody's tier."""

    counts: ClassVar[Counter[str]] = Counter()

    def tier_of(self, tenant: str, agent_id: str, at_ms: int) -> str | None:
        self.counts[agent_id] += 1
        return super().tier_of(tenant, agent_id, at_ms)


def test_a_bound_is_looked_up_once_until_it_may_change():
    """A look a minute for four business days in which nothing changes: the roster is asked once, not 5,760 times."""
    known = settings()
    roster = Asked(known.roster.tenants, known.roster.zone)
    roster.counts.clear()
    bounds = InForce(known._replace(roster=roster))
    ann = About("acme", "agent:ann", "north")

    for now_ms in range(at("2026-03-02 23:00"), at("2026-03-06 23:00"), MINUTE_MS):
        window = window_at("business-day", now_ms, PANE_MS, "Europe/Berlin")
        [held] = bounds.targets(ann, "business-day", window, now_ms)
        assert held.target.low == 100

    assert roster.counts == {"ann": 1}


#  UTC        09:40        10:00
#  calls      25           25
#  bound      20           30
def test_a_rolling_window_is_looked_at_when_its_bound_changes_and_nothing_else_does():
    """The override ends at ten: what was enough before is not any more, though nobody has called."""
    hour = "name: hour, kpi: calls, window: rolling-60m, tenant: acme, bound: 30, "
    until_ten = "overrides: [{agent: ann, bound: 20, to: '2026-03-17T10:00+00:00'}]"
    agents = Agents(settings(f"targets: [{{{hour}{until_ten}}}]"), calls=25)
    assert agents.look("ann", "2026-03-17 09:40", "rolling-60m")[1] == []

    assert agents.bench.due_again(at("2026-03-17 09:59")) == []
    slots = agents.bench.due_again(at("2026-03-17 10:00"))
    _, [fired] = agents.bench.look(agents.live, slots, at("2026-03-17 10:00"), complete_from_ms=0)

    assert slots == [("acme/agent:ann", "rolling-60m")]
    assert (fired.to_state, fired.value, fired.low, fired.bound_from) == (State.FIRING, 25, 30, None)
    assert agents.bench.due_again(at("2026-03-17 10:01")) == []


def test_a_clock_that_goes_back_is_no_reason_for_a_bound_of_later():
    bounds, dan = InForce(settings()), About("acme", "agent:dan", "north")
    lows = []
    for moment in ("2026-03-16 10:00", "2026-03-02 10:00", "2026-03-16 10:00"):
        window = window_at("business-day", at(moment), PANE_MS, "Europe/Berlin")
        lows += [held.target.low for held in bounds.targets(dan, "business-day", window, at(moment))]

    assert lows == [30, 20, 30]


def test_agents_with_the_same_bound_share_what_is_remembered_of_it():
    """10,000 agents with 7 such targets are 12 MB, not 55."""
    roster = ROSTER.replace("dan: {", "dora: {team: north, tier: new, from: 2026-03-03}\n      dan: {")
    bounds = InForce(read_settings({"roster.yaml": roster, "targets.yaml": CALLS_OF_NEWCOMERS}))
    now_ms = at("2026-03-05 10:00")
    window = window_at("business-day", now_ms, PANE_MS, "Europe/Berlin")

    abouts = [About("acme", f"agent:{name}", "north") for name in ("dan", "dora")]
    dan, dora = (bounds.targets(about, "business-day", window, now_ms)[0] for about in abouts)

    assert dan.target is dora.target
    assert dan.bound_from == dora.bound_from == "tier new, week 1 of the ramp (40 %)"
    assert (dan.until_ms, dora.until_ms) == (at("2026-03-08 23:00"), at("2026-03-09 23:00"))


def test_who_has_no_windows_any_more_is_forgotten():
    bounds, dan = InForce(settings()), About("acme", "agent:dan", "north")
    window = window_at("business-day", at("2026-03-02 10:00"), PANE_MS, "Europe/Berlin")
    first = bounds.targets(dan, "business-day", window, at("2026-03-02 10:00"))[0]
    assert bounds.targets(dan, "business-day", window, at("2026-03-02 10:00"))[0] is first

    bounds.forget_all_but(())

    assert bounds.targets(dan, "business-day", window, at("2026-03-02 10:00"))[0] is not first
