"""Judging: which alerts a judge knows, and what happens to one that nobody covers any more."""

import json
from types import SimpleNamespace

from msgspec import structs

from kpistream.core.alerts import State, Subject, decode_transition, encode_transition
from kpistream.core.contributing import Contributor, Part
from kpistream.core.measures import CONNECTED, TALK_MS
from kpistream.core.readings import About
from kpistream.core.settings import read_settings
from kpistream.core.settings_changes import Touched
from kpistream.core.tallies import NOTHING, pack_tally
from kpistream.core.targets import Why
from kpistream.core.windows import LIVE_WINDOWS, MINUTE_MS, rolling
from kpistream.stream.judging import AGENT_KINDS, TEAM_KINDS, Bench
from kpistream.stream.live import LiveWindows
from kpistream.stream.showing import Known, Show

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


def test_target_that_comes_from_the_review_goes_on_where_the_log_has_it():
    """Its third transition was the review's; the worker that takes it over reads the log before it judges."""
    long = SETTINGS._replace(targets=tuple(structs.replace(each, window="week") for each in SETTINGS.targets))
    [first] = fired()
    log = [first, structs.replace(first, sequence=3, window="week", from_state=State.FIRING, to_state=State.OK)]
    judge = Bench(long, lambda key, now_ms: About("acme", "agent:ann", "north", "Ann"), AGENT_KINDS)
    judge.load([encode_transition(log[0])])

    judge.adopt(SETTINGS)
    slots = [("acme/agent:ann", "rolling-15m")]
    assert not judge.loaded
    assert judge.look(live_of(400_000), slots, NOW_MS, complete_from_ms=0)[1] == []
    judge.load(map(encode_transition, log))
    [again] = judge.look(live_of(400_000), slots, NOW_MS, complete_from_ms=0)[1]

    assert (again.sequence, again.from_state, again.to_state) == (4, State.OK, State.FIRING)


def test_alerts_of_closed_panes_hold_up_no_correction():
    """Three months of alerts are in the log; the one that a late call makes untrue comes last."""
    log = []
    for number in range(200):
        [old] = fired()
        scope = f"agent:a{number}"
        old = structs.replace(old, scope=scope, alert_id=f"talk/acme/{scope}/1", window_from_ms=NOW_MS - 10**9)
        log.append(encode_transition(old))
    log += map(encode_transition, fired())
    judge = bench(log=log)
    panes = {NOW_MS: pack_tally({CONNECTED: 1, TALK_MS: 400_000})}
    panes[NOW_MS - PANE_MS] = pack_tally({CONNECTED: 9, TALK_MS: 9 * 120_000})
    live = live_of(400_000)
    source = SimpleNamespace(starts_of=lambda key: panes, packed_at=lambda key, start_ms: panes.get(start_ms, NOTHING))

    [corrected] = judge.correct(live, source, NOW_MS, NOW_MS - 10**8)

    assert (corrected.reason, corrected.corrects, corrected.denominator) == (Why.CORRECTED, 1, 10)


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


def with_targets(*targets):
    roster = "tenants: {acme: {teams: {north: {}, south: {}}, people: {ann: {team: north}, bob: {team: north}}}}\n"
    return read_settings({"settings.yaml": roster + "".join(("targets:\n", *targets) if targets else ())})


TALK = "  - {name: talk, kpi: average_talk_time, window: rolling-15m, low: 1 m, high: 5 m, tenant: acme}\n"
OTHER = "  - {name: other, kpi: calls, window: rolling-15m, bound: 1}\n"


def test_target_that_has_left_the_settings_suspends_its_alert_while_running_and_after_a_restart():
    log = [encode_transition(transition) for transition in fired()]
    running = bench(log=log)

    running.adopt(with_targets(OTHER))
    [suspended] = running.sweep(live_of(400_000), NOW_MS + 1)

    restarted = Bench(with_targets(OTHER), lambda key, now_ms: About("acme", "agent:ann", "north", "Ann"), AGENT_KINDS)
    restarted.load(log)
    assert restarted.sweep(live_of(400_000), NOW_MS + 1) == [suspended]
    assert (suspended.to_state, suspended.reason, suspended.sequence) == (State.SUSPENDED, Why.NOT_COVERED, 2)
    assert (suspended.low, suspended.high, suspended.kpi) == (60_000.0, 300_000.0, "average_talk_time")
    assert running.sweep(live_of(400_000), NOW_MS + 2) == []


def test_target_that_stays_keeps_its_alert_and_is_judged_by_its_new_bound():
    judge, live, slots = bench(), live_of(400_000), [("acme/agent:ann", "rolling-15m")]
    judge.look(live, slots, NOW_MS, 0)

    judge.adopt(with_targets(TALK, OTHER))
    assert [each.target for each in judge.look(live, slots, NOW_MS + 1, 0)[1]] == ["other"], "talk fires already"
    judge.adopt(with_targets(TALK.replace("5 m", "10 m"), OTHER))
    [over] = judge.look(live, slots, NOW_MS + 2, 0)[1]

    assert (over.from_state, over.to_state, over.sequence, over.high) == (State.FIRING, State.OK, 2, 600_000.0)


def test_a_target_that_comes_back_meets_the_state_that_it_was_left_in():
    judge, live, slots = bench(), live_of(400_000), [("acme/agent:ann", "rolling-15m")]
    judge.look(live, slots, NOW_MS, 0)
    judge.adopt(with_targets())
    judge.sweep(live, NOW_MS + 1)

    judge.adopt(with_targets(TALK))
    [again] = judge.look(live, slots, NOW_MS + 2, 0)[1]

    assert (again.from_state, again.to_state, again.sequence) == (State.SUSPENDED, State.FIRING, 3)


def test_whom_a_version_is_about_is_shown_before_everybody_else():
    settings = with_targets(TALK)
    panes = {NOW_MS: pack_tally({CONNECTED: 1, TALK_MS: 100_000})}
    source = SimpleNamespace(starts_of=lambda key: panes, packed_at=lambda key, start_ms: panes.get(start_ms, NOTHING))

    def window(key, name, now_ms):
        return rolling(now_ms, 15 * MINUTE_MS, PANE_MS)

    def about(key, now_ms):
        return About("acme", key.partition("/")[2], "north", key)

    show = Show(LiveWindows(PANE_MS, window), Bench(settings, about, AGENT_KINDS))
    show.bench.load([])
    changed = [(f"acme/agent:{agent}", NOW_MS) for agent in ("ann", "bob", "cho")]
    shown, _ = show.look(NOW_MS, changed, source, Known(0, True))
    assert len(shown) == 9
    assert show.look(NOW_MS + 1, [], source, Known(0, True)) == ([], [])

    show.adopt(settings, window, Touched(False, frozenset({"acme/agent:bob", "acme/agent:dan"})))
    shown, _ = show.look(NOW_MS + 2, [], source, Known(0, True))
    assert [(each.scope, each.window) for each in shown] == [("agent:bob", name) for name in LIVE_WINDOWS]
    show.adopt(settings, window, Touched(True))
    assert len(show.look(NOW_MS + 3, [], source, Known(0, True))[0]) == 9


def parts_of_calls(talks):
    return lambda key, starts: [
        Part(f"{key.partition('/')[0]}/pbx/call/{n}", start_ms, (CONNECTED, 1, TALK_MS, talk_ms))
        for start_ms in starts
        for n, talk_ms in enumerate(talks)
    ]


def test_alert_that_begins_names_the_events_behind_it_and_one_that_ends_names_none():
    judge = bench()
    judge.parts = parts_of_calls((400_000, 100_000, 700_000))

    _, [begins] = judge.look(live_of(400_000), [("acme/agent:ann", "rolling-15m")], NOW_MS, 0)
    _, [ends] = judge.look(live_of(200_000), [("acme/agent:ann", "rolling-15m")], NOW_MS, 0)

    assert begins.contributors == (
        Contributor("acme/pbx/call/2", NOW_MS, 700_000, 1),
        Contributor("acme/pbx/call/0", NOW_MS, 400_000, 1),
    )
    assert (ends.to_state, ends.contributors) == (State.OK, ())
    assert decode_transition(encode_transition(begins)) == begins


def test_when_many_alerts_begin_in_one_look_the_later_ones_name_nobody(monkeypatch):
    monkeypatch.setattr("kpistream.stream.judging.CONTRIBUTORS_A_LOOK", 0)
    judge = bench()
    judge.parts = parts_of_calls((400_000,))

    _, [begins] = judge.look(live_of(400_000), [("acme/agent:ann", "rolling-15m")], NOW_MS, 0)

    assert (begins.to_state, begins.contributors) == (State.FIRING, ())


def test_record_of_a_release_without_contributors_is_read():
    fields = json.loads(encode_transition(fired()[0]))
    assert fields.pop("contributors") == []

    assert decode_transition(json.dumps(fields).encode()) == fired()[0]
