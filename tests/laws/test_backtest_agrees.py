"""A backtest says what a worker says that looks at the end of every pane: the same transitions and bounds."""

from types import SimpleNamespace

from hypothesis import example, given, settings
from hypothesis import strategies as st

from kpistream.core.alerts import Subject
from kpistream.core.backtest import Replay
from kpistream.core.measures import CALLS, CONNECTED, OUTBOUND_CALLS, OUTBOUND_CONNECTED, TALK_MS
from kpistream.core.readings import About
from kpistream.core.settings import read_settings
from kpistream.core.tallies import NOTHING, pack_tally
from kpistream.stream.judging import AGENT_KINDS, Bench
from kpistream.stream.live import LiveWindows, scope_window
from tests.unit.test_schedules import at

PANE_MS, DAY_MS = 300_000, 86_400_000
BEGIN_MS = at("2026-03-05 23:00")  # Friday in Berlin
END_MS = at("2026-03-09 23:00")
ROSTER = """
tenants:
  acme:
    zone: Europe/Berlin
    teams: {north: {}, south: {}}
    people:
      ann:
        tier: new
        from: 2026-02-24
        team: [{team: north, to: '2026-03-09T10:00+01:00'}, {team: south, from: '2026-03-09T10:00+01:00'}]
"""
SHIFTS = """
schedules:
  patterns: {office: {hours: {mon-fri: 09:00-15:00}, breaks: {mon-fri: 12:00-12:30}}}
  assigned: [{tenant: acme, pattern: office}]
absences: [{tenant: acme, agent: ann, from: 2026-03-09 13:00, to: 2026-03-09 14:00}]
"""
TARGETS = {
    "pace": "kpi: calls, window: business-day, bound: 60, false_alarms: 1 a day for 5, good_news: no, "
    "ramp: {1: 50 %, 3: 100 %}",
    "point": "kpi: calls, window: business-day, bound: 9, team: north, tenant: acme, good_news: no",
    "share": "kpi: connect_share, window: business-day, bound: 50 %, false_alarms: 1 a day for 4, "
    "overrides: [{tier: new, bound: 30 %, to: 2026-03-09}]",
    "hour": "kpi: connect_share, window: rolling-60m, bound: 40 %, minimum_sample: 5, hold: 9 m, recover_hold: 7 m, "
    "overrides: [{tier: new, bound: 20 %, to: '2026-03-06T11:00+01:00'}]",
    "talk": "kpi: average_talk_time, window: rolling-15m, low: 2 m, high: 5 m, recover_hold: 10 m",
}


@st.composite
def days(draw) -> dict[int, dict[int, int]]:
    """Panes of three hours around the shift of Friday and of Monday, and some at night."""
    starts = [at(f"2026-03-{day} 07:00") + pane * PANE_MS for day in ("06", "09") for pane in range(96)]
    chosen = draw(st.lists(st.sampled_from(starts), max_size=40, unique=True))
    out = {}
    for start_ms in chosen:
        calls = draw(st.integers(1, 6))
        connected = draw(st.integers(0, calls))
        sums = {CALLS: calls, OUTBOUND_CALLS: calls, OUTBOUND_CONNECTED: connected, CONNECTED: connected}
        sums[TALK_MS] = connected * draw(st.sampled_from((60_000, 200_000, 400_000)))
        out[start_ms] = {number: value for number, value in sums.items() if value}
    return out


def worker_says(known, panes):
    """Transitions of a bench that looks at the end of every pane of the days."""
    live = LiveWindows(PANE_MS, scope_window(known.roster, PANE_MS))
    [target] = known.targets

    def about(key: str, now_ms: int) -> About:
        return About("acme", "agent:ann", known.roster.team_of("acme", "ann", now_ms))

    bench = Bench(known, about, AGENT_KINDS)
    bench.load(())
    packed = {start_ms: pack_tally(tally) for start_ms, tally in panes.items()}
    seen: set[int] = set()
    source = SimpleNamespace(
        starts_of=lambda key: seen, packed_at=lambda key, start_ms: packed[start_ms] if start_ms in seen else NOTHING
    )
    key, out = "acme/agent:ann", []
    first_day_ms, last_day_ms = (BEGIN_MS + (edge(panes) - BEGIN_MS) // DAY_MS * DAY_MS for edge in (min, max))
    kept = target.level is not None and bool(known.schedules.tenants)
    live.begin([(key, target.window)])
    for start_ms in range(BEGIN_MS, END_MS, PANE_MS):
        changed = [(key, start_ms)] if start_ms in panes else []
        seen.update(start for _, start in changed)
        live.look(start_ms, changed, source)
        # Without a first event a worker knows only those whom it holds against pace.
        if (first_day_ms if kept else min(panes)) <= start_ms < last_day_ms + DAY_MS:
            now_ms = start_ms + PANE_MS - 1
            out += bench.look(live, [(key, target.window)], now_ms, complete_from_ms=0)[1]
            out += bench.sweep(live, now_ms)
    return [(each.at_ms + 1, each.to_state, each.reason, each.low, each.high, each.bound_from) for each in out]


def dials(moment: str, calls: int, connected: int = 0) -> tuple[int, dict[int, int]]:
    sums = {CALLS: calls, OUTBOUND_CALLS: calls, OUTBOUND_CONNECTED: connected, CONNECTED: connected}
    return at(f"2026-03-{moment}"), {number: value for number, value in sums.items() if value}


OVERRIDE_ENDS_BETWEEN_CALLS = dict([dials("06 07:00", 1), dials("06 09:05", 5, 1)])
TOO_LITTLE_IN_ITS_PANES = dict([dials("06 08:25", 1), dials("06 11:10", 1), dials("06 12:45", 1), dials("09 11:50", 5)])
SUSPENDED_OVER_THE_WEEKEND = dict([dials("06 13:50", 6), dials("09 07:00", 1)])


@settings(max_examples=40, deadline=None)
@example(OVERRIDE_ENDS_BETWEEN_CALLS, "hour", False)
@example(SUSPENDED_OVER_THE_WEEKEND, "hour", True)
@example(TOO_LITTLE_IN_ITS_PANES, "share", False)
@given(days(), st.sampled_from(sorted(TARGETS)), st.booleans())
def test_a_backtest_and_a_worker_agree(panes, name, scheduled):
    files = {"roster.yaml": ROSTER, "targets.yaml": f"targets: [{{name: {name}, {TARGETS[name]}}}]"}
    known = read_settings(files | ({"shifts.yaml": SHIFTS} if scheduled else {}))
    replay = Replay(known, known.targets[0], Subject(name, "acme", "agent:ann"), PANE_MS)

    for start_ms in sorted(panes):
        replay.take(start_ms, panes[start_ms])
    replay.finish(END_MS)

    found = [
        (each.at_ms, each.to_state, each.reason, each.low, each.high, each.bound_from) for each in replay.transitions
    ]
    assert found == (worker_says(known, panes) if panes else [])
