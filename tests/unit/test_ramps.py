"""Factors of bounds: ramps of newcomers and seasons, exact and with their reasons."""

from datetime import date
from fractions import Fraction

import pytest

from kpistream.core.ramps import (
    Factor,
    FactorKind,
    Ramp,
    Season,
    ramp_factors,
    season_factors,
    stepped_ramp,
    week_of_work,
)
from kpistream.core.roster import ALWAYS_FROM_MS
from tests.unit.test_schedules import BERLIN, at

NEWCOMERS = stepped_ramp({1: Fraction(2, 5), 3: Fraction(3, 5), 6: Fraction(4, 5), 9: Fraction(1)})


#   week    1    2 | 3    4    5 | 6    7    8 | 9 ...
#   share   40 %   | 60 %        | 80 %        | 100 %
def test_a_share_holds_from_its_week_until_the_next_and_all_is_asked_in_the_end():
    shares = [NEWCOMERS.share(week) for week in range(1, 12)]

    assert shares == [Fraction(percent, 100) for percent in (40, 40, 60, 60, 60, 80, 80, 80, 100, 100, 100)]


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
    assert ramp_factors(NEWCOMERS, None) == ()


def test_nothing_is_told_of_a_factor_of_one():
    assert ramp_factors(NEWCOMERS, 9) == ()
    assert ramp_factors(Ramp(), 1) == ()
    assert ramp_factors(NEWCOMERS, 3) == (Factor(FactorKind.RAMP, Fraction(3, 5), "week 3"),)


def test_seasons_are_half_open():
    season = Season("sale", Fraction(3, 2), at("2026-07-06 00:00"), at("2026-07-13 00:00"))
    day = date(2026, 7, 6)

    assert season_factors([season], at("2026-07-05 23:59"), day) == ()
    assert season_factors([season], at("2026-07-12 23:59"), day) == (Factor(FactorKind.SEASON, Fraction(3, 2), "sale"),)
    assert season_factors([season], at("2026-07-13 00:00"), day) == ()


def test_a_season_of_months_comes_every_year_and_may_end_for_good():
    winter = Season("winter", Fraction(9, 10), to_ms=at("2027-01-01 00:00"), months=(1, 12))

    assert [winter.holds(at("2026-06-01 00:00"), date(2026, month, 15)) for month in (1, 6, 11, 12)] == [
        True,
        False,
        False,
        True,
    ]
    assert not winter.holds(at("2027-01-01 00:00"), date(2027, 1, 1))


@pytest.mark.parametrize(
    ("one", "other", "meets"),
    [
        ({"months": (7, 8)}, {"months": (8, 9)}, True),
        ({"months": (7, 8)}, {"months": (9,)}, False),
        ({"months": (7, 8)}, {"from_ms": 5, "to_ms": 9}, True),
        ({"from_ms": 0, "to_ms": 5}, {"from_ms": 5, "to_ms": 9}, False),
        ({"from_ms": 0, "to_ms": 6}, {"from_ms": 5, "to_ms": 9}, True),
    ],
)
def test_seasons_that_may_hold_at_once_meet(one: dict, other: dict, meets: bool):
    first, second = Season("one", Fraction(1, 2), **one), Season("other", Fraction(1, 2), **other)

    assert (first.meets(second), second.meets(first)) == (meets, meets)
