"""Conversion is judged on settled calls, or as deals against what calls of every age let expect."""

import math
from fractions import Fraction

import pytest

from kpistream.core.conversion import LagCurve, Settled, deals_at_least, deals_expected, settled_conversion_at_least
from kpistream.core.evidence import count_at_least, evidence, share_at_least

FIFTH = Fraction(1, 5)
HOUR_MS = 3_600_000
CURVE = LagCurve(HOUR_MS, (0.0, 0.5, 0.75, 1.0))


def test_settled_calls_are_a_share():
    assert settled_conversion_at_least(FIFTH, Settled(calls=80, won=5)) == share_at_least(FIFTH, 5, 80)


def test_deals_won_today_are_no_share_of_the_calls_of_today():
    with pytest.raises(AssertionError):
        settled_conversion_at_least(FIFTH, Settled(calls=3, won=4))


def test_late_deal_only_takes_evidence_away():
    before, after = (evidence(settled_conversion_at_least(FIFTH, Settled(80, won))) for won in (5, 6))

    assert after < before


#   age      < 1 h   1..2 h   2..3 h   3..4 h   4..5 h
#   calls    10      20       8        4        6
#   there    0       1/2      3/4      all      all
def test_deals_are_expected_by_the_age_of_the_calls():
    """A fifth of 0 + 10 + 6 + 4 + 6."""
    assert deals_expected(FIFTH, (10, 20, 8, 4, 6), CURVE) == pytest.approx(5.2)


def test_first_day_without_calls_of_earlier_days_expects_little():
    assert deals_expected(FIFTH, (30,), CURVE) == 0
    assert evidence(deals_at_least(deals_expected(FIFTH, (30,), CURVE), 0)) == 0


def test_deals_are_a_count_against_pace():
    assert deals_at_least(20.0, 9) == count_at_least(20.0, 9)


def test_share_at_an_age_is_that_of_the_last_whole_step():
    ages_ms = (-1, 0, HOUR_MS - 1, HOUR_MS, 3 * HOUR_MS - 1, 100 * HOUR_MS)

    assert [CURVE.share_at(age_ms) for age_ms in ages_ms] == [0.0, 0.0, 0.0, 0.5, 0.75, 1.0]


def test_curve_that_falls_is_a_fault():
    assert CURVE.faults() == []
    assert LagCurve(0, ()).faults() == ["step_ms: 0 ms must be above 0", "shares: there must be at least one"]
    assert LagCurve(1, (0.5, 0.4, 1.5)).faults() == ["shares: 1.5 must be in 0..1", "shares: 0.4 must not be below 0.5"]
    assert LagCurve(1, (math.nan,)).faults() == ["shares: nan must be in 0..1"]
