"""Teams: of each pane the highest version counts, whatever the order, and old panes go."""

from itertools import product

import pytest

from kpistream.core.alerts import State
from kpistream.core.measures import CALLS, TALK_SQ_MS2
from kpistream.core.panes import PaneSum
from kpistream.core.placing import Place
from kpistream.core.settings import Settings, read_settings
from kpistream.core.settings_changes import touched
from kpistream.core.tallies import pack_tally
from kpistream.core.targets import Why
from kpistream.stream.flush import sum_record
from kpistream.stream.teams import TeamSums

PANE = 300_000
HUGE = 1 << 70


def put(sums: TeamSums, agent: str, start_ms: int, version: int, tally: dict[int, int]) -> None:
    value = sum_record(PaneSum(Place(f"acme/agent:{agent}", start_ms), version, pack_tally(tally))).value
    assert value is not None
    sums.put(value)


def test_the_highest_version_of_each_pane_counts_once() -> None:
    sums = TeamSums(Settings(), PANE)
    put(sums, "ada", 0, 1 << 100, {CALLS: 2, TALK_SQ_MS2: HUGE})
    put(sums, "bob", 0, 5, {CALLS: 1})
    sums.changed.clear()

    put(sums, "ada", 0, (1 << 100) - 1, {CALLS: 1})
    put(sums, "bob", 0, 5, {CALLS: 1})
    assert sums.changed == set()
    put(sums, "bob", 0, 6, {CALLS: 3})

    assert sums.panes["acme/tenant"] == {0: {CALLS: 5, TALK_SQ_MS2: HUGE}}
    assert ("acme/tenant", 0) in sums.changed
    put(sums, "ada", 0, 1 << 101, {})
    assert sums.panes["acme/tenant"] == {0: {CALLS: 3}}


def test_panes_that_no_window_reaches_are_forgotten() -> None:
    sums = TeamSums(Settings(), PANE)
    put(sums, "ada", 0, 1, {CALLS: 1})
    put(sums, "ada", PANE, 1, {CALLS: 1})

    sums.forget_before(PANE)

    assert sums.panes["acme/tenant"] == {PANE: {CALLS: 1}}
    put(sums, "ada", PANE, 1, {CALLS: 9})
    assert sums.panes["acme/tenant"] == {PANE: {CALLS: 1}}


def test_pane_that_no_window_can_reach_is_not_held_when_it_comes_late() -> None:
    """A backlog is read in the order of its time, and most of it is older than any window."""
    sums = TeamSums(Settings(), PANE)
    put(sums, "ann", 0, 1, {CALLS: 1})
    sums.forget_before(10 * PANE)

    put(sums, "ann", PANE, 1, {CALLS: 1})
    put(sums, "ann", 10 * PANE, 1, {CALLS: 1})

    assert sums.panes["acme/tenant"] == {10 * PANE: {CALLS: 1}}
    assert sums.changed == {
        (key, start_ms) for key in ("acme/tenant", "acme/team:unassigned") for start_ms in (0, 10 * PANE)
    }


def roster_of(**teams: str) -> Settings:
    """Everybody in teams as the roster says it."""
    people = "".join(f"      {agent}: {{team: {team}}}\n" for agent, team in teams.items())
    return read_settings(
        {"roster.yaml": f"tenants:\n  acme:\n    teams: {{north: {{}}, south: {{}}}}\n    people:\n{people}"}
    )


DAY_MS = 86_400_000
BACK_DATED = "[{team: north, to: 1970-01-02}, {team: south, from: 1970-01-02}]"
AGENTS = ("ada", "bob", "cho")
STARTS = [DAY_MS + number * PANE for number in range(-6, 6)]


def filled(settings: Settings) -> TeamSums:
    sums = TeamSums(settings, PANE)
    for number, (agent, start_ms) in enumerate(product(AGENTS, STARTS)):
        put(sums, agent, start_ms, 5, {CALLS: number + 1, TALK_SQ_MS2: HUGE + number})
    return sums


def adopt(sums: TeamSums, old: Settings, new: Settings) -> None:
    sums.adopt(new, touched(old, new).everybody, old.roster.placed_otherwise(new.roster))


def standing(sums: TeamSums) -> dict[str, dict[int, dict[int, int]]]:
    """The sums that are not empty."""
    found = {key: {start: tally for start, tally in panes.items() if tally} for key, panes in sums.panes.items()}
    return {key: panes for key, panes in found.items() if panes}


def test_back_dated_move_changes_both_teams_to_what_a_fresh_worker_has() -> None:
    before = roster_of(ada="north", bob="north", cho="south")
    after = roster_of(ada=BACK_DATED, bob="north", cho="south")
    sums = filled(before)
    sums.changed.clear()

    adopt(sums, before, after)
    assert sums.replace(100)

    assert standing(sums) == standing(filled(after)) != standing(filled(before))
    moved = {start for start in STARTS if start >= DAY_MS}
    assert sums.changed == {(f"acme/team:{team}", start) for team in ("north", "south") for start in moved}


def test_nothing_is_shown_of_teams_while_they_stand_between_two_rosters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kpistream.stream.teams.REPLACED_A_LOOK", 1)
    before, between = roster_of(ada="north", bob="north", cho="south"), roster_of(ada="south", bob="south", cho="north")
    after = roster_of(ada="south", bob="north")
    sums, now_ms = filled(before), STARTS[-1]
    sums.bench.load([])
    assert len(sums.look(now_ms)[0]) > 0

    adopt(sums, before, between)
    assert (sums.look(now_ms), sums.behind) == (([], []), True)
    adopt(sums, between, after)
    put(sums, "cho", STARTS[0], 6, {CALLS: 1000})
    put(sums, "ada", STARTS[0], 6, {CALLS: 2000})
    put(sums, "dan", STARTS[0], 6, {CALLS: 3000})
    looks = 0
    while sums.behind:
        readings, _ = sums.look(now_ms)
        looks += 1
        assert bool(readings) is not sums.behind
    assert looks > 1

    fresh = filled(after)
    put(fresh, "cho", STARTS[0], 6, {CALLS: 1000})
    put(fresh, "ada", STARTS[0], 6, {CALLS: 2000})
    put(fresh, "dan", STARTS[0], 6, {CALLS: 3000})
    assert standing(sums) == standing(fresh)
    assert "acme/team:unassigned" in standing(sums)


def test_alert_of_a_team_whose_target_left_the_settings_is_suspended_at_the_next_look() -> None:
    roster = "tenants:\n  acme:\n    teams: {north: {}}\n    people:\n      ada: {team: north}\n"
    target = "targets:\n  - {name: busy, kpi: calls, window: rolling-60m, scope: team, bound: 9, team: north}\n"
    before, after = read_settings({"r.yaml": roster, "t.yaml": target}), read_settings({"r.yaml": roster})
    sums, now_ms = TeamSums(before, PANE), DAY_MS
    sums.catch_up_to = 0
    sums.bench.load([])
    put(sums, "ada", DAY_MS, 5, {CALLS: 1})
    assert [each.to_state for each in sums.look(now_ms)[1]] == [State.FIRING]

    adopt(sums, before, after)
    [suspended] = sums.look(now_ms + 1)[1]

    assert (suspended.scope, suspended.to_state, suspended.reason) == (
        "team:north",
        State.SUSPENDED,
        Why.NOT_COVERED,
    )
    assert sums.look(now_ms + 2)[1] == []


def test_parts_of_a_team_are_its_agents_as_the_roster_had_them_at_each_pane() -> None:
    sums = TeamSums(read_settings({"roster.yaml": MOVES}), PANE)
    start_ms = 1_772_625_600_000
    for agent, at_ms, calls in (("ada", start_ms, 2), ("ada", start_ms + PANE, 3), ("bob", start_ms, 5)):
        put(sums, agent, at_ms, 1, {CALLS: calls})
    put(sums, "zoe", start_ms, 1, {CALLS: 7})
    starts = [start_ms, start_ms + PANE]

    assert sorted(sums.parts("acme/team:north", starts)) == [
        ("agent:ada", None, (CALLS, 5)),
        ("agent:bob", None, (CALLS, 5)),
    ]
    assert sorted(part.name for part in sums.parts("acme/tenant", starts)) == ["agent:ada", "agent:bob", "agent:zoe"]
    assert list(sums.parts("other/tenant", starts)) == []


MOVES = """
tenants:
  acme:
    teams: {north: {}, south: {}}
    people: {ada: {team: north}, bob: {team: north}, zoe: {team: south}}
"""
