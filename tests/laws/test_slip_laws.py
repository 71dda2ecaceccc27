"""Slips, found pane by pane while the day goes on, are those of the whole day gone through at once."""

import math
from fractions import Fraction

import hypothesis.strategies as st
from hypothesis import example, given

from kpistream.core import measures as m
from kpistream.core.detecting import STAKED_MS, Detectors, since_ms
from kpistream.core.evidence import Level, share_at_least, share_at_most
from kpistream.core.kpis import DEFAULT_LIMITS
from kpistream.core.slips import Course, slip
from kpistream.core.tallies import NOTHING, pack_tally
from kpistream.core.targets import Direction, Target
from kpistream.core.weighing import together
from kpistream.core.windows import RunningWindow, Window

PANE_MS = 300_000
DAY = Window(0, 24 * 3_600_000)
CLOSE = 1e-9
FIFTH, HALF = Fraction(1, 5), Fraction(1, 2)
cases = st.tuples(st.integers(0, 9), st.integers(0, 9))
puts = st.tuples(st.integers(0, 20), cases)


@given(st.lists(cases, max_size=30), st.integers(1, 40))
@example([], 1)
@example([(0, 9)], 1)
def test_a_course_is_the_slip_of_the_panes_taken(pairs: list[tuple[int, int]], planned: int):
    panes = [(at, share_at_least(FIFTH, won, won + lost)) for at, (won, lost) in enumerate(pairs)]
    course = Course(planned)

    for end, (_, bets) in enumerate(panes, 1):
        course.take(bets)
        assert math.isclose(course.against(), slip(panes[:end], planned).against, rel_tol=CLOSE, abs_tol=CLOSE)
    assert panes or course.against() == slip(panes, planned).against


def target(high: bool) -> Target:
    return Target(
        name="connects",
        kpi="connect_share",
        window="business-day",
        direction=Direction.BETWEEN if high else Direction.AT_LEAST,
        low=FIFTH,
        high=HALF if high else None,
        level=Level(1, 5, 20),
    )


def packed(won: int, lost: int) -> bytes:
    tally = {m.OUTBOUND_CALLS: won + lost, m.OUTBOUND_CONNECTED: won, m.CALLS: won + lost, m.DEALS_WON: 1}
    return pack_tally({number: value for number, value in tally.items() if value}) if won + lost else NOTHING


@given(st.lists(st.tuples(puts, st.booleans()), max_size=40), st.booleans())
@example([((at, (1, 4)), True) for at in range(12)] + [((2, (0, 9)), True), ((11, (0, 0)), True)], False)
def test_panes_that_change_in_any_order_are_gone_through_as_one_day(
    done: list[tuple[tuple[int, tuple[int, int]], bool]], high: bool
):
    """Late panes, corrections, panes that are emptied, and looks in between or not."""
    running, detectors, held = RunningWindow(DAY, PANE_MS), Detectors(), dict[int, tuple[int, int]]()
    for (at, (won, lost)), looked in done:
        running.put(at * PANE_MS, packed(won, lost))
        held[at] = (won, lost)
        if not looked:
            continue
        panes = [(at * PANE_MS, pair) for at, pair in sorted(held.items()) if sum(pair)]
        found = detectors.against("acme/agent:ann", target(high), running, DEFAULT_LIMITS)
        if not panes:
            assert found is None
            continue
        planned = STAKED_MS // PANE_MS
        low = slip([(start, share_at_least(FIFTH, w, w + x)) for start, (w, x) in panes], planned)
        above = slip([(start, share_at_most(HALF, w, w + x)) for start, (w, x) in panes], planned)
        wanted = together([low.against, above.against] if high else [low.against])
        assert found is not None and math.isclose(found, wanted, rel_tol=CLOSE, abs_tol=CLOSE)
        if not high:
            since = since_ms(target(high), running, DEFAULT_LIMITS)
            assert since == (low.since_ms if low.against > 0 else None)


def test_another_target_and_another_day_begin_anew():
    running, detectors = RunningWindow(DAY, PANE_MS), Detectors()
    for at in range(8):
        running.put(at * PANE_MS, packed(0, 9))
    first = detectors.against("acme/agent:ann", target(False), running, DEFAULT_LIMITS)
    banded = detectors.against("acme/agent:ann", target(True), running, DEFAULT_LIMITS)
    running.move_to(Window(4 * PANE_MS, DAY.to_ms), lambda start_ms: NOTHING)
    later = detectors.against("acme/agent:ann", target(True), running, DEFAULT_LIMITS)

    fresh = Detectors()
    assert later == fresh.against("acme/agent:ann", target(True), running, DEFAULT_LIMITS)
    assert first is not None and banded is not None and later is not None and first > banded > later
    fresh.forget_all_but({})
    assert fresh.against("acme/agent:ann", target(True), running, DEFAULT_LIMITS) == later
