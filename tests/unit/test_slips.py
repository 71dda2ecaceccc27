"""A slip in the middle of a day is found in the panes, and on average nothing is gained while there is none."""

import math
from fractions import Fraction
from itertools import product

import pytest

from kpistream.core.evidence import count_at_least, evidence, share_at_least
from kpistream.core.slips import Slip, slip

FIFTH = Fraction(1, 5)
PANE_MS = 300_000


def day(*panes: tuple[int, int]) -> list[tuple[int, tuple[float, ...]]]:
    """Panes of successes and trials, from 0 ms on."""
    return [(at * PANE_MS, share_at_least(FIFTH, s, n)) for at, (s, n) in enumerate(panes)]


#   panes  0 .. 11: 4 of 12 each   12 .. 19: 0 of 6 each
def test_good_morning_does_not_hide_a_slip_at_noon():
    panes = day(*[(4, 12)] * 12, *[(0, 6)] * 8)

    found = slip(panes, planned=30)
    whole = evidence(share_at_least(FIFTH, 48, 12 * 12 + 48))
    assert whole < 0
    assert found.against == pytest.approx(3.41, abs=0.01)
    assert found.against > math.log(20)
    assert found.since_ms == 12 * PANE_MS


def test_slip_from_the_first_pane_costs_log_two():
    panes = day(*[(0, 6)] * 8)

    found = slip(panes, planned=30)
    assert found.since_ms == 0
    assert evidence(share_at_least(FIFTH, 0, 48)) - math.log(2) < found.against < evidence(share_at_least(FIFTH, 0, 48))


def test_day_without_panes_says_nothing():
    assert slip([], planned=96) == Slip(0.0, -math.inf, None)


def test_day_on_target_has_no_start_of_a_slip():
    assert slip(day((5, 5), (6, 6)), planned=96).since_ms is None


def test_first_of_equal_starts_is_named():
    """A pane without cases changes nothing; the slip may as well have begun there."""
    assert slip(day((9, 9), (0, 0), (0, 9)), planned=10).since_ms == PANE_MS


def test_run_is_the_shiryaev_roberts_recursion():
    """M <- (M + 1) * e, with one bet only: r = 1/2 on a share of 1/5 is 1/2^s / (9/10)^n."""
    panes = [(0, 2), (1, 1), (0, 3), (2, 2), (0, 4)]
    bet = 2

    run = 0.0
    for s, n in panes:
        run = (run + 1) * 0.5**s / 0.9**n
    single = [(at, (bets[bet],)) for at, bets in day(*panes)]
    assert math.exp(slip(single, planned=5).run) == pytest.approx(run, rel=1e-12)


@pytest.mark.parametrize("planned", [1, 2, 3, 4, 6])
def test_day_gains_nothing_on_average_while_the_target_holds(planned: int):
    """All 4^4 days of four panes with three trials each, counted out; also with more panes than were planned."""
    chances = [math.comb(3, s) * 0.2**s * 0.8 ** (3 - s) for s in range(4)]
    gained = run = 0.0
    for successes in product(range(4), repeat=4):
        chance = math.prod(chances[s] for s in successes)
        found = slip(day(*((s, 3) for s in successes)), planned)
        gained += chance * math.exp(found.against)
        run += chance * math.exp(found.run)

    assert gained == pytest.approx(1, rel=1e-9)
    assert run == pytest.approx(4, rel=1e-9)


def test_pane_is_looked_at_while_it_fills():
    """Half of the last pane's trials are the same day with a smaller last pane: no state from the look before."""
    morning = [(3, 12)] * 6

    looks = [slip(day(*morning, (0, n)), planned=30).against for n in range(1, 40)]
    assert looks == sorted(looks)


def test_counts_against_pace_slip_too():
    panes = [(at * PANE_MS, count_at_least(2.0, 3 if at < 40 else 0)) for at in range(50)]

    assert slip(panes, planned=96).since_ms == 40 * PANE_MS


def test_a_thousand_million_cases_in_a_pane_do_not_overflow():
    found = slip(day((10**9 // 4, 10**9), (10**9 // 10, 10**9)), planned=96)

    assert math.isfinite(found.against) and math.isfinite(found.run)
    assert found.since_ms == PANE_MS
