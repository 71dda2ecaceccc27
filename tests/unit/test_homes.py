"""Homes: the same as a plain dictionary of sets, and no larger however much has come and gone."""

import sys
import tracemalloc
from collections import deque

import hypothesis.strategies as st
from hypothesis import given

import kpistream.core.homes
from kpistream.core.homes import Homes
from kpistream.core.panes import Pane

HORIZON_MS = 40_000
PANES = [Pane(f"acme/agent:{number % 3}", number * 10_000) for number in range(12)]
identities = st.sampled_from("abcd")
panes = st.sampled_from(PANES)
steps = st.tuples(st.sampled_from(("settle", "add", "leave")), identities, panes)


@given(st.lists(steps, max_size=60))
def test_homes_are_those_of_a_plain_dictionary_of_sets(done: list[tuple[str, str, Pane]]):
    homes, plain = Homes(HORIZON_MS), {}
    for what, identity, pane in done:
        known = plain.setdefault(identity, set())
        if what == "settle":
            assert homes.settle(identity, pane) == (not known)
            known |= set() if known else {pane}
        elif what == "add":
            homes.add(identity, pane)
            known.add(pane)
        else:
            homes.leave(identity, pane)
            known.discard(pane)
        for name in "abcd":
            found = homes.of(name)
            assert (len(found), set(found)) == (len(set(found)), plain.get(name, set()))
    spans = {(name, pane.start_ms // (HORIZON_MS // 2)) for name, known in plain.items() for pane in known}
    assert len(homes) == len(spans)


def test_identities_that_come_and_go_take_the_room_of_three_half_horizons():
    homes, standing, taken, live = Homes(HORIZON_MS), deque(), [], 2000
    half_horizon = sys.getsizeof({f"{number}": None for number in range(live // 2)})
    only_homes = tracemalloc.Filter(inclusive=True, filename_pattern=kpistream.core.homes.__file__)
    tracemalloc.start(1)
    try:
        for number in range(10 * live):
            pane = Pane("acme/agent:1", number * HORIZON_MS // live)
            assert homes.settle(f"acme/pbx/call/{number:032x}", pane)
            standing.append((f"acme/pbx/call/{number:032x}", pane))
            if len(standing) > live:
                homes.leave(*standing.popleft())
            if number % 1000 == 999:
                shot = tracemalloc.take_snapshot().filter_traces([only_homes])
                taken.append(sum(trace.size for trace in shot.traces))
    finally:
        tracemalloc.stop()
    assert half_horizon < max(taken) < 3.1 * half_horizon
