"""Judging: which alerts a judge knows, and what happens to one that nobody covers any more."""

from types import SimpleNamespace

from kpistream.core.alerts import State, Subject, encode_transition
from kpistream.core.measures import CONNECTED, TALK_MS
from kpistream.core.readings import About
from kpistream.core.settings import read_settings
from kpistream.core.tallies import NOTHING, pack_tally
from kpistream.core.targets import Why
from kpistream.core.windows import MINUTE_MS, rolling
from kpistream.stream.judging import AGENT_KINDS, TEAM_KINDS, Bench
from kpistream.stream.live import LiveWindows

PANE_MS = 5 * MINUTE_MS
NOW_MS = 1_772_625_600_000
SETTINGS = read_settings(
    {
        "settings.yaml": """
tenants:
  acme:
    teams: {north: {}}
    people:
      ann: {team: north}
targets:
  - {name: talk, kpi: average_talk_time, window: rolling-15m, low: 1 m, high: 5 m, tenant: acme, team: north}
"""
    }
)


def live_of(talk_ms):
    live = LiveWindows(PANE_MS, lambda key, name, now_ms: rolling(now_ms, 15 * MINUTE_MS, PANE_MS))
    panes = {NOW_MS: pack_tally({CONNECTED: 1, TALK_MS: talk_ms})}
    source = SimpleNamespace(starts_of=lambda key: panes, packed_at=lambda key, start_ms: panes.get(start_ms, NOTHING))
    live.look(NOW_MS, [("acme/agent:ann", NOW_MS)], source)
    return live


def bench(team="north", kinds=AGENT_KINDS, log=()):
    made = Bench(SETTINGS, lambda key, now_ms: About("acme", "agent:ann", team, "Ann"), kinds)
    made.load(log)
    return made


def fired():
    _, transitions = bench().look(live_of(400_000), [("acme/agent:ann", "rolling-15m")], NOW_MS, complete_from_ms=0)
    return transitions


def test_missed_target_fires_with_a_deterministic_id():
    [transition] = fired()

    assert (transition.alert_id, transition.to_state) == ("talk/acme/agent:ann/1", State.FIRING)


def test_provisional_numbers_are_never_judged():
    readings, transitions = bench().look(
        live_of(400_000), [("acme/agent:ann", "rolling-15m")], NOW_MS, complete_from_ms=None
    )

    assert transitions == []
    assert readings[0].provisional
    assert readings[0].targets["talk"].state is State.NO_DATA


def test_a_window_that_begins_before_the_live_panes_is_provisional_and_never_judged():
    live = live_of(400_000)
    window, judge = live.window(("acme/agent:ann", "rolling-15m")).window, bench()

    states = []
    for complete_from_ms, short in ((window.from_ms, False), (window.from_ms + 1, True), (window.from_ms, False)):
        readings, transitions = judge.look(live, [("acme/agent:ann", "rolling-15m")], NOW_MS, complete_from_ms)
        assert (readings[0].provisional, readings[0].targets["talk"].reason is Why.PANES_CLOSED) == (short, short)
        states += [transition.to_state for transition in transitions]
    assert states == [State.FIRING, State.NO_DATA, State.FIRING], "an alert rests, it neither stays nor recovers"
    assert judge.shown_too_early(provisional=False) == [], "shown once, not again at every look"


def test_a_judge_of_teams_knows_no_alerts_of_agents():
    log = [encode_transition(transition) for transition in fired()]

    assert list(bench(log=log).alerts) == [Subject("talk", "acme", "agent:ann")]
    assert bench(kinds=TEAM_KINDS, log=log).alerts == {}


def test_alert_of_somebody_who_left_the_team_is_suspended_not_recovered():
    log = [encode_transition(transition) for transition in fired()]

    [suspended] = bench(team="south", log=log).sweep(live_of(400_000), NOW_MS + 1)

    assert (suspended.to_state, suspended.sequence) == (State.SUSPENDED, 2)
    assert bench(team="north", log=log).sweep(live_of(400_000), NOW_MS + 1) == []


def test_alerts_that_the_log_has_left_standing_are_handed_out_once():
    log = [encode_transition(transition) for transition in fired()]
    judge = bench(log=log)

    assert judge.left_standing(NOW_MS) == [("acme/agent:ann", "rolling-15m")]
    assert judge.left_standing(NOW_MS) == []


def test_alerts_at_rest_of_others_and_of_nobody_are_not_handed_out():
    log = [encode_transition(transition) for transition in fired()]
    suspended = bench(team="south", log=log).sweep(live_of(400_000), NOW_MS + 1)

    assert bench(log=log + [encode_transition(transition) for transition in suspended]).left_standing(NOW_MS) == []
    assert bench(log=log, kinds=TEAM_KINDS).left_standing(NOW_MS) == []
    assert bench(log=log, team="south").left_standing(NOW_MS) == [], "no target covers it: the sweep suspends it"
