"""Evidence is right on average: what a bet gains while its target holds is counted out, and compared with scipy."""

import math
from fractions import Fraction
from itertools import product

import pytest
from scipy import integrate, stats

from kpistream.core import evidence as ev
from kpistream.core.evidence import (
    Level,
    Scores,
    count_at_least,
    count_at_most,
    either,
    evidence,
    mean_at_least,
    mean_at_most,
    share_at_least,
    share_at_most,
    threshold,
    unlimited_mean_at_least,
)

FIFTH = Fraction(1, 5)
SHARES = (Fraction(1, 100), FIFTH, Fraction(1, 2), Fraction(9, 10), Fraction(99, 100))
MANY = 10**9


def scores(*values: int) -> Scores:
    return Scores(len(values), sum(values), sum(v * v for v in values))


def mean_e_value(bets_of, trials: int, share: float) -> float:
    """The mean over all outcomes of a number of trials."""
    chances = stats.binom.pmf(range(trials + 1), trials, share)
    return sum(chance * math.exp(evidence(bets_of(s))) for s, chance in enumerate(chances))


@pytest.mark.parametrize("bound", SHARES)
@pytest.mark.parametrize("trials", [0, 1, 2, 5, 20, 60])
def test_share_gains_nothing_on_average_at_its_bound(bound: Fraction, trials: int):
    at_least = mean_e_value(lambda s: share_at_least(bound, s, trials), trials, float(bound))
    at_most = mean_e_value(lambda s: share_at_most(bound, s, trials), trials, float(bound))

    assert at_least == pytest.approx(1, rel=1e-9)
    assert at_most == pytest.approx(1, rel=1e-9)


def test_share_gains_nothing_on_average_at_its_bound_in_exact_fractions():
    """One bet, r = 1/2, bound 1/5, three trials: wealth 1/2^s / (9/10)^3, by hand."""
    at = ev.ODDS_RATIOS.index(0.5)
    wealth = [Fraction(1, 2**s) / Fraction(9, 10) ** 3 for s in range(4)]
    chances = [math.comb(3, s) * FIFTH**s * (1 - FIFTH) ** (3 - s) for s in range(4)]

    assert sum(w * c for w, c in zip(wealth, chances, strict=True)) == 1
    for s in range(4):
        assert share_at_least(FIFTH, s, 3)[at] == pytest.approx(math.log(wealth[s]), rel=1e-12)


@pytest.mark.parametrize("bound", SHARES)
@pytest.mark.parametrize("part", [0.01, 0.1, 0.5, 1.0])
def test_share_loses_on_average_when_the_target_is_more_than_met(bound: Fraction, part: float):
    above = float(bound) + part * (1 - float(bound))
    below = float(bound) * (1 - part)

    assert mean_e_value(lambda s: share_at_least(bound, s, 40), 40, above) < 1
    assert mean_e_value(lambda s: share_at_most(bound, s, 40), 40, below) < 1


def test_share_bets_are_likelihood_ratios():
    """Odds of 1/5 are 1 to 4; half of them are 1 to 8: a share of 1/9."""
    ratio = stats.binom.logpmf(3, 30, 1 / 9) - stats.binom.logpmf(3, 30, 1 / 5)

    assert share_at_least(FIFTH, 3, 30)[ev.ODDS_RATIOS.index(0.5)] == pytest.approx(ratio, rel=1e-12)


def test_no_success_in_twenty_is_worth_twelve_to_one_against_a_fifth():
    assert math.exp(evidence(share_at_least(FIFTH, 0, 20))) == pytest.approx(12.73, abs=0.01)
    assert math.exp(evidence(share_at_least(FIFTH, 4, 20))) < 1
    assert math.exp(evidence(share_at_least(FIFTH, 20, 20))) == pytest.approx(0.0054, abs=0.0001)


@pytest.mark.parametrize("expected", [0.0, 0.5, 4.0, 30.0])
def test_count_gains_nothing_on_average_on_pace(expected: float):
    outcomes = range(int(expected + 20 * math.sqrt(expected + 1)) + 20)
    chances = stats.poisson.pmf(outcomes, expected)

    for bets_of in (count_at_least, count_at_most):
        gained = sum(c * math.exp(evidence(bets_of(expected, x))) for x, c in zip(outcomes, chances, strict=True))
        assert gained == pytest.approx(1, rel=1e-9)


def test_count_bets_are_likelihood_ratios():
    ratio = stats.poisson.logpmf(30, 55) - stats.poisson.logpmf(30, 100)
    above = stats.poisson.logpmf(130, 100 / 0.7) - stats.poisson.logpmf(130, 100)

    assert count_at_least(100, 30)[ev.RATE_RATIOS.index(0.55)] == pytest.approx(ratio, rel=1e-12)
    assert count_at_most(100, 130)[ev.RATE_RATIOS.index(0.7)] == pytest.approx(above, rel=1e-12)


def test_dispersion_is_exact_for_bursts_of_its_size():
    """Calls in pairs: 30 due are 15 pairs."""
    chances = stats.poisson.pmf(range(120), 15)

    for bets_of in (count_at_least, count_at_most):
        gained = sum(c * math.exp(evidence(bets_of(30, 2 * pairs, 2.0))) for pairs, c in enumerate(chances))
        assert gained == pytest.approx(1, rel=1e-9)


DISTRIBUTIONS = [
    (0.025, 0.025, 0.05, 0.225, 0.675),
    (0.125, 0, 0, 0, 0.875),
    (0, 0, 0, 0.5, 0.5),
    (0, 0, 0.25, 0, 0.75),
    (0.05, 0.05, 0, 0.15, 0.75),
]
"""Of scores 1 to 5, each with a mean of 4.5."""


@pytest.mark.parametrize("chances", DISTRIBUTIONS)
@pytest.mark.parametrize("number", [1, 2, 3, 5])
def test_mean_gains_nothing_on_average_at_its_bound(chances: tuple[float, ...], number: int):
    """Every row of up to five scores is counted out; the mean of each distribution is 4.5 exactly."""
    assert sum(chance * score for score, chance in enumerate(chances, 1)) == pytest.approx(4.5)
    gained = mirrored = 0.0
    for row in product(range(1, 6), repeat=number):
        chance = math.prod(chances[score - 1] for score in row)
        gained += chance * math.exp(evidence(mean_at_least(Fraction(9, 2), scores(*row), 5, 1)))
        low = [6 - score for score in row]
        mirrored += chance * math.exp(evidence(mean_at_most(Fraction(3, 2), scores(*low), 1, 5)))

    assert gained <= 1
    assert mirrored == pytest.approx(gained, rel=1e-12)


@pytest.mark.parametrize("pivot", [0.01, 0.4, 1.0, 2.8, 40.0])
def test_parabola_is_nowhere_above_the_bet(pivot: float):
    for stake, (a, b, c) in zip(ev.STAKES, ev._parabolas(pivot), strict=True):
        for step in range(5001):
            y = -1 + step * 0.02
            assert a + b * y + c * y * y <= math.log1p(stake * y) + 1e-12
        for touched in (-1.0, pivot):
            assert a + b * touched + c * touched**2 == pytest.approx(math.log1p(stake * touched), abs=1e-11)


def test_scores_that_are_far_too_low_are_found():
    row = (3, 4, 5, 2, 4, 3, 5, 1, 4, 4, 3, 2)

    found = math.exp(evidence(mean_at_least(Fraction(9, 2), scores(*row), 5, 1)))
    assert found > 100
    assert math.exp(evidence(mean_at_least(Fraction(9, 2), scores(5, 4, 5, 4, 5, 4, 5, 4), 5, 1))) < 1


def test_unit_of_scores_does_not_matter():
    points = evidence(mean_at_least(Fraction(9, 2), scores(5, 3, 4, 4), 5, 1))
    milli = evidence(mean_at_least(Fraction(4500), scores(5000, 3000, 4000, 4000), 5000, 1000))

    assert milli == pytest.approx(points, rel=1e-12)


def test_a_bound_that_only_the_best_score_meets_is_disproved_by_any_other():
    assert evidence(mean_at_least(Fraction(5), scores(5, 5, 5), 5, 1)) == 0
    assert evidence(mean_at_least(Fraction(5), scores(5, 5, 4), 5, 1)) == math.inf


def test_a_share_of_all_or_of_nothing_can_be_a_target():
    """One failure where there may be none: (5 + 20/7 + 2 + 20/13 + 5/4) / 5."""
    assert evidence(share_at_least(Fraction(1), 50, 50)) == pytest.approx(0)
    assert math.exp(evidence(share_at_least(Fraction(1), 49, 50))) == pytest.approx(2.5291, abs=1e-4)
    assert evidence(share_at_least(Fraction(0), 0, 50)) == 0
    assert evidence(share_at_most(Fraction(0), 0, 50)) == pytest.approx(0)


@pytest.mark.parametrize("at", [0, 1, MANY // 5, MANY // 2, MANY - 1, MANY])
def test_a_thousand_million_cases_neither_overflow_nor_lose_the_sign(at: int):
    talks = Scores(MANY, MANY * 10**6, MANY * (10**12 + 1))

    found = [
        evidence(share_at_least(FIFTH, at, MANY)),
        evidence(share_at_most(FIFTH, at, MANY)),
        evidence(count_at_least(float(MANY // 5), at)),
        evidence(count_at_most(float(MANY // 5), at)),
    ]
    assert all(map(math.isfinite, found))
    assert (found[0] > 0) == (found[2] > 0) == (at < MANY // 5)
    assert (found[1] > 0) == (found[3] > 0) == (at > MANY // 5)
    assert evidence(mean_at_most(Fraction(900_000), talks)) > 0 > evidence(mean_at_most(Fraction(1_000_000), talks))
    assert math.isfinite(unlimited_mean_at_least(Fraction(10**6 + 1), talks))


def test_nothing_seen_is_no_evidence():
    nothing = Scores(0, 0, 0)

    assert evidence(share_at_least(FIFTH, 0, 0)) == 0
    assert evidence(count_at_least(0.0, 0)) == 0
    assert evidence(mean_at_least(Fraction(9, 2), nothing, 5, 1)) == 0
    assert evidence(mean_at_most(Fraction(420_000), nothing)) == 0
    assert unlimited_mean_at_least(Fraction(240_000), nothing) == 0


@pytest.mark.parametrize(("number", "off"), [(4, 1), (30, 1), (30, -1), (200, 0), (200, 2)])
def test_unlimited_mean_is_the_normal_mixture_that_it_says(number: int, off: int):
    """Wealth exp(x S - x^2 n / 2), x half-normal of variance rho^2, integrated; S in units of the spread about 50."""
    values = [50 - off + (10 if at % 2 else -10) for at in range(number)]
    unit = math.sqrt(sum((50 - v) ** 2 for v in values) / number)
    shortfall, rho = number * off / unit, math.sqrt(ev.RHO_SQUARED)
    wealth, _ = integrate.quad(
        lambda x: 2 * stats.norm.pdf(x, scale=rho) * math.exp(x * shortfall - x * x * number / 2), 0, 3, points=[0.5]
    )

    assert unlimited_mean_at_least(Fraction(50), scores(*values)) == pytest.approx(math.log(wealth), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("z", [-1e9, -300.0, -21.0, -19.9, -3.0, 0.0, 3.0, 30.0, 1e6])
def test_log_of_a_normal_probability_does_not_underflow(z: float):
    assert ev._bent_normal(z) - z * z / 2 == pytest.approx(stats.norm.logcdf(z), rel=1e-9, abs=1e-9)


def test_a_few_equal_values_do_not_prove_everything():
    """Three calls of exactly 200 s against a mean of at least 240 s: they have no spread of their own."""
    assert unlimited_mean_at_least(Fraction(240_000), scores(200_000, 200_000, 200_000)) < threshold(0.05)
    assert unlimited_mean_at_least(Fraction(240_000), scores(240_000, 240_000)) < 0


def test_band_costs_each_side_log_two():
    assert either(5.0, -math.inf) == pytest.approx(5 - math.log(2))
    assert either(-math.inf, 5.0) == pytest.approx(5 - math.log(2))
    assert either(0.0, 0.0) == 0
    assert either(-math.inf, -math.inf) == -math.inf
    assert either(math.inf, 0.0) == math.inf


def test_one_false_alarm_a_week_for_a_team_of_twenty_is_one_in_a_hundred():
    assert Level(alarms=1, days=5, agents=20, targets=1).alpha == pytest.approx(0.01)
    assert Level(alarms=1, days=5, agents=20, targets=4).alpha == pytest.approx(0.0025)
    assert Level(alarms=1, days=20, agents=1, targets=1).alpha == pytest.approx(0.05)


def test_level_that_means_nothing_is_a_fault():
    assert Level().faults() == []
    assert Level(agents=0, alarms=-1).faults() == ["alarms: -1 must be above 0", "agents: 0 must be above 0"]
    assert Level(alarms=5, days=5, agents=1).faults() == ["alarms: 5 must be below one for each agent, target and day"]
    assert Level(alarms=math.nan).faults() == ["alarms: nan must be above 0"]


def test_sums_that_cannot_be_are_refused():
    for sums in ((-1, 5), (6, 5)):
        with pytest.raises(AssertionError):
            share_at_least(FIFTH, *sums)
    with pytest.raises(AssertionError):
        mean_at_least(Fraction(6), scores(5), 5, 1)
    with pytest.raises(AssertionError):
        count_at_least(-1.0, 0)
