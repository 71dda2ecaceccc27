"""Bounds for reports are those of scipy and statsmodels, with nothing, with everything and with very much."""

import math

import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.rates import confint_poisson
from statsmodels.stats.weightstats import DescrStatsW

from kpistream.core.bounds import Interval, count_interval, mean_interval, ratio_interval, share_interval
from kpistream.core.quantiles import gamma_quantile, normal_quantile, t_quantile

TAILS = (1e-8, 1e-5, 0.001, 0.005, 0.025, 0.05, 0.1, 0.3)
CONFIDENCES = (0.5, 0.8, 0.95, 0.99, 0.9999)


@pytest.mark.parametrize("tail", [1e-15, *TAILS, 0.5, 0.7, 0.999])
def test_normal_quantile_is_that_of_scipy(tail: float):
    assert normal_quantile(tail) == pytest.approx(stats.norm.isf(tail), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("degrees", [1, 2, 3, 5, 10, 29, 100, 500, 999, 1000, 1001, 5000, 10**6, 10**9])
def test_t_quantile_is_that_of_scipy(degrees: int):
    for tail in TAILS:
        assert t_quantile(tail, degrees) == pytest.approx(stats.t.isf(tail, degrees), rel=1e-11)


@pytest.mark.parametrize("shape", [1, 2, 3, 10, 30, 100, 1000, 5000, 9999, 10_000, 10_001, 100_000])
def test_gamma_quantile_is_that_of_scipy(shape: int):
    """Up to 100,000: beyond a million scipy's own gamma distribution is off in the sixth digit."""
    for below in (*TAILS, *(1 - tail for tail in TAILS[1:])):
        assert gamma_quantile(below, shape) == pytest.approx(stats.gamma.ppf(below, shape), rel=1e-10)


def test_gamma_quantile_of_a_huge_shape_is_nearly_normal():
    """Mean and spread of a thousand million, and the first correction: (z^2 - 1) / 3."""
    z = 1.959963984540054

    assert gamma_quantile(0.975, 10**9) - 10**9 == pytest.approx(z * math.sqrt(1e9) + (z * z - 1) / 3, abs=1e-5)


@pytest.mark.parametrize("trials", [1, 2, 7, 30, 100, 12_345, 10**6])
def test_share_interval_is_wilsons(trials: int):
    for successes in {0, 1, trials // 5, trials // 2, trials - 1, trials}:
        for confidence in CONFIDENCES:
            low, high = proportion_confint(successes, trials, alpha=1 - confidence, method="wilson")

            found = share_interval(successes, trials, confidence)
            assert found is not None
            assert (found.low, found.high) == pytest.approx((low, high), rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("seen", [0, 1, 2, 5, 38, 100, 2500, 9999, 10_000, 100_000])
def test_count_interval_is_exact(seen: int):
    for confidence in CONFIDENCES:
        low, high = confint_poisson(seen, 1, alpha=1 - confidence, method="exact-c")

        found = count_interval(seen, confidence)
        assert (found.low, found.high) == pytest.approx((low, high), rel=1e-10)


@pytest.mark.parametrize(
    "values", [[5, 5, 4], [1, 5], [300_000, 250_000, 1_200_000, 90_000], [0, 0, 0, 10**9], list(range(2000))]
)
def test_mean_interval_is_students(values: list[int]):
    for confidence in CONFIDENCES:
        low, high = DescrStatsW(values).tconfint_mean(alpha=1 - confidence)

        found = mean_interval(len(values), sum(values), sum(v * v for v in values), confidence)
        assert found is not None
        assert (found.low, found.high) == pytest.approx((low, high), rel=1e-10, abs=1e-7)


def test_mean_interval_keeps_its_digits_at_a_thousand_million_cases():
    """Half of the values are 3,999,999 and half 4,000,001: a variance of 1 beside squares of 1.6e13."""
    number, squares = 10**9, 10**9 * (4_000_000**2 + 1)

    found = mean_interval(number, number * 4_000_000, squares)
    assert found is not None
    assert found.high - 4_000_000 == pytest.approx(1.959963984540054 / math.sqrt(1e9), rel=1e-4)


def test_mean_of_equal_values_has_no_spread():
    assert mean_interval(30, 120, 480) == Interval(4.0, 4.0)


def test_without_enough_cases_there_is_no_interval():
    assert share_interval(0, 0) is None
    assert mean_interval(0, 0, 0) is None
    assert mean_interval(1, 5, 25) is None
    assert ratio_interval([(3, 10)]) is None
    assert ratio_interval([(0, 0), (0, 0)]) is None


def test_ratio_over_equal_cells_is_the_mean():
    """Four days of 10 calls with 2, 3, 1 and 6 deals: the mean of 0.2, 0.3, 0.1 and 0.6."""
    low, high = DescrStatsW([0.2, 0.3, 0.1, 0.6]).tconfint_mean()

    found = ratio_interval([(2, 10), (3, 10), (1, 10), (6, 10)])
    assert found is not None
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-12)


def test_ratio_agrees_with_the_jack_knife():
    """Leave each of thirty cells out once: the spread of what is left is that of the linearisation, within 3 %."""
    cells = [(7 * i % 11 + i % 3, 40 + 13 * i % 23) for i in range(30)]
    above, below = sum(a for a, _ in cells), sum(b for _, b in cells)
    left = [(above - a) / (below - b) for a, b in cells]
    spread = math.sqrt(29 / 30 * sum((ratio - sum(left) / 30) ** 2 for ratio in left))

    found = ratio_interval(cells)
    assert found is not None
    assert found.high - found.low == pytest.approx(2 * 2.0452296421 * spread, rel=0.03)


def test_ratio_of_cells_with_one_ratio_has_no_spread():
    assert ratio_interval([(1, 5), (2, 10), (20, 100)]) == Interval(0.2, 0.2)
