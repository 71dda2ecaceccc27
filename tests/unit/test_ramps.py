"""Effective bounds: ramps of newcomers and seasons, as exact factors with their reasons."""

from fractions import Fraction

import pytest

from kpistream.core.ramps import (
    NEW_HIRE_RAMP,
    EffectiveBound,
    Factor,
    FactorKind,
    Ramp,
    Season,
    effective_bound,
    ramp_factors,
    season_factors,
    week_of_work,
)
from kpistream.core.roster import ALWAYS_FROM_MS
from tests.unit.test_schedules import BERLIN, at


def test_a_newcomer_grows_from_forty_per_cent_in_week_one_to_all_in_week_nine():
    assert [NEW_HIRE_RAMP.share(week) for week in range(1, 11)] == [
        Fraction(40, 100),
        Fraction(475, 1000),
        Fraction(55, 100),
        Fraction(625, 1000),
        Fraction(70, 100),
        Fraction(775, 1000),
        Fraction(85, 100),
        Fraction(925, 1000),
        Fraction(1),
        Fraction(1),
    ]


#   Berlin, began on Monday, 23 March 2026; clocks change on the 29th
#   Mon 23  ...  Sun 29 | Mon 30  ...  Sun 5 | Mon 6
#   week 1              | week 2             | week 3
@pytest.mark.parametrize(
    ("now", "week"),
    [
        ("2026-03-22 22:59", None),
        ("2026-03-22 23:00", 1),
        ("2026-03-29 21:59", 1),
        ("2026-03-29 22:00", 2),
        ("2026-04-05 21:59", 2),
        ("2026-04-05 22:00", 3),
        ("2026-05-17 22:00", 9),
    ],
)
def test_weeks_of_work_are_counted_in_business_days(now: str, week: int | None):
    assert week_of_work(at("2026-03-22 23:00"), at(now), BERLIN) == week


def test_who_has_no_first_day_has_no_ramp():
    assert week_of_work(ALWAYS_FROM_MS, at("2026-03-22 23:00"), BERLIN) is None
    assert ramp_factors(NEW_HIRE_RAMP, None) == ()


def test_factors_multiply_and_are_told():
    seasons = (
        Season("summer", Fraction(4, 5), at("2026-07-01 00:00"), at("2026-09-01 00:00")),
        Season("sale", Fraction(3, 2), at("2026-07-06 00:00"), at("2026-07-13 00:00")),
        Season("winter", Fraction(9, 10), at("2026-12-01 00:00")),
    )

    found = effective_bound(
        Fraction(100), (*ramp_factors(NEW_HIRE_RAMP, 3), *season_factors(seasons, at("2026-07-06 00:00")))
    )

    assert found == EffectiveBound(
        Fraction(66),
        Fraction(100),
        (
            Factor(FactorKind.RAMP, Fraction(11, 20), "week 3"),
            Factor(FactorKind.SEASON, Fraction(4, 5), "summer"),
            Factor(FactorKind.SEASON, Fraction(3, 2), "sale"),
        ),
    )


def test_seasons_are_half_open():
    season = Season("sale", Fraction(3, 2), at("2026-07-06 00:00"), at("2026-07-13 00:00"))

    assert season_factors([season], at("2026-07-05 23:59")) == ()
    assert len(season_factors([season], at("2026-07-12 23:59"))) == 1
    assert season_factors([season], at("2026-07-13 00:00")) == ()


def test_nothing_is_told_of_a_factor_of_one():
    assert ramp_factors(NEW_HIRE_RAMP, 9) == ()
    assert ramp_factors(Ramp(()), 1) == ()
    assert effective_bound(Fraction(100), ()) == EffectiveBound(Fraction(100), Fraction(100))
