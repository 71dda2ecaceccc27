"""Team sums are a function of the panes and the roster: how often the roster changed, and when, leaves no trace."""

from collections.abc import Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kpistream.core.measures import CALLS
from kpistream.core.panes import PaneSum
from kpistream.core.placing import Place
from kpistream.core.roster import ALWAYS, Dated, Person, Roster, Tenant
from kpistream.core.settings import Settings
from kpistream.core.settings_changes import touched
from kpistream.core.tallies import pack_tally
from kpistream.stream.flush import sum_record
from kpistream.stream.teams import TeamSums

PANE = 300_000
STARTS = range(0, 6 * PANE, PANE)
SCOPES = ("agent:ann", "agent:bob", "queue:sales")
TEAMS = st.sampled_from(("north", "south", "west"))

HISTORIES = st.one_of(
    st.just(()),
    st.builds(lambda team: (Dated(team),), TEAMS),
    st.builds(lambda at, a, b: (Dated(a, to_ms=at), Dated(b, from_ms=at)), st.sampled_from(STARTS), TEAMS, TEAMS),
)
ACTIVE = st.one_of(st.just(ALWAYS), st.builds(lambda at: Dated("", from_ms=at), st.sampled_from(STARTS)))
PEOPLE = st.dictionaries(st.sampled_from(("ann", "bob")), st.tuples(HISTORIES, ACTIVE))


def roster_of(people: Mapping[str, Any], queue: tuple[Dated, ...]) -> Settings:
    made = {agent: Person(agent, teams=teams, active=active) for agent, (teams, active) in people.items()}
    return Settings(Roster({"acme": Tenant("acme", people=made, queues={"sales": queue})}))


ROSTERS = st.builds(roster_of, PEOPLE, HISTORIES)
PUT = st.tuples(
    st.just("put"), st.tuples(st.sampled_from(SCOPES), st.sampled_from(STARTS), st.integers(1, 4), st.integers(0, 9))
)
STEPS = st.lists(st.one_of(PUT, st.tuples(st.just("adopt"), ROSTERS), st.tuples(st.just("replace"), st.integers(1, 3))))


def put(sums: TeamSums, scope: str, start_ms: int, version: int, calls: int) -> None:
    """Of a version there is one content."""
    value = sum_record(PaneSum(Place(f"acme/{scope}", start_ms), version, pack_tally({CALLS: calls * version}))).value
    assert value is not None
    sums.put(value)


def standing(sums: TeamSums) -> dict[tuple[str, int], dict[int, int]]:
    return {(key, start): dict(tally) for key, panes in sums.panes.items() for start, tally in panes.items() if tally}


@settings(max_examples=300, deadline=None)
@given(ROSTERS, STEPS)
def test_sums_after_any_changes_of_the_roster_are_those_of_a_fresh_worker(first: Settings, steps: list[Any]) -> None:
    running, now = TeamSums(first, PANE), first
    contents: dict[tuple[str, int, int], int] = {}
    for what, value in steps:
        if what == "put":
            scope, start_ms, version, calls = value
            contents.setdefault((scope, start_ms, version), calls)
            put(running, scope, start_ms, version, contents[scope, start_ms, version])
        elif what == "adopt":
            running.adopt(value, touched(now, value).everybody, now.roster.placed_otherwise(value.roster))
            now = value
        else:
            running.replace(value)
    while not running.replace(1):
        pass

    fresh = TeamSums(now, PANE)
    for (scope, start_ms, version), calls in contents.items():
        put(fresh, scope, start_ms, version, calls)
    assert standing(running) == standing(fresh)
