"""Bounds in words are read back as what they were."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpistream.core.bound_words import bound_text, bounds_words, decimal
from kpistream.core.settings_values import bound
from kpistream.core.targets import Direction, Target


@pytest.mark.parametrize(
    ("unit", "value", "text"),
    [
        ("calls", Fraction(100), "100"),
        ("calls", Fraction(95, 2), "47.5"),
        ("calls", Fraction(-1, 8), "-0.125"),
        ("share", Fraction(1, 4), "25 %"),
        ("share", Fraction(1, 3), "33.333333333 %"),
        ("ms", Fraction(300_000), "5 m"),
        ("ms", Fraction(90_000), "90 s"),
        ("ms", Fraction(1_500), "1500 ms"),
        ("ms", Fraction(0), "0 m"),
        ("points", Fraction(9, 2), "4.5"),
    ],
)
def test_a_bound_as_settings_say_it(unit: str, value: Fraction, text: str):
    assert bound_text(unit, value) == text


@given(st.sampled_from(("calls", "share", "points", "ms")), st.integers(0, 10**9))
def test_what_is_written_is_read_back(unit: str, number: int):
    value = Fraction(number) if unit == "ms" else Fraction(number, 10**9)

    assert bound(bound_text(unit, value), unit) == value


def test_a_number_is_rounded_where_it_must_be():
    assert [decimal(Fraction(2, 3), 2), decimal(Fraction(5, 1000), 2), decimal(Fraction(200), 2)] == [
        "0.67",
        "0",
        "200",
    ]


def test_bounds_for_people_have_a_side_and_a_unit():
    target = Target(name="t", kpi="revenue", window="business-day", direction=Direction.AT_LEAST, member="EUR")

    assert bounds_words(target, Fraction(5), None) == "at least 5 minor units EUR"
    assert bounds_words(target, None, Fraction(5)) == "at most 5 minor units EUR"
    assert bounds_words(target, Fraction(1), Fraction(5)) == "1 minor units EUR to 5 minor units EUR"
