"""Pace: what a count's bound asks of an agent by now, with every number written out."""

from datetime import date
from fractions import Fraction

import pytest

from kpistream.core.kpis import BY_NAME
from kpistream.core.pace import EVEN, Curve, Pace, Proration, pace, proration, usual_curve
from kpistream.core.patterns import OFF, Absence, Assignment, HolidayCalendar, Pattern
from kpistream.core.ramps import Factor, FactorKind
from kpistream.core.schedules import Basis, Schedules
from kpistream.core.windows import Window, business_day, week
from tests.unit.test_schedules import BERLIN, DAY, HOUR, at, hours, of_tenant, schedules, weekdays

CALLS = Fraction(100)
SIX_TO_TWO = weekdays(hours((6, 14)))


def by(known: Schedules, now: str, bound: Fraction = CALLS, curve: Curve = EVEN) -> Pace:
    """Pace of Anna's business day at a time in UTC."""
    plan = known.plan("acme", "anna", "business-day", business_day(at(now), BERLIN))
    return pace(bound, plan, at(now), curve)


#   Berlin  08:00      12:00  13:00      17:00
#           [==========)      [====|=====)
#                                  ^ now = 14:00: 5 of 8 hours are over
def test_by_two_oclock_five_eighths_are_expected():
    assert by(of_tenant(DAY), "2026-03-02 13:00") == Pace(
        Fraction(100), Fraction(100), Fraction(125, 2), Basis.SHIFT, 5 * HOUR, 8 * HOUR
    )


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-03-02 06:59", Fraction(0)),
        ("2026-03-02 07:00", Fraction(0)),
        ("2026-03-02 11:00", Fraction(50)),
        ("2026-03-02 11:30", Fraction(50)),  # the pause at noon
        ("2026-03-02 15:59:59", Fraction(28_799, 288)),
        ("2026-03-02 16:00", Fraction(100)),
        ("2026-03-02 22:00", Fraction(100)),
    ],
)
def test_nothing_is_expected_outside_working_time(now: str, expected: Fraction):
    assert by(of_tenant(DAY), now).expected == expected


def test_half_a_day_of_absence_is_half_the_bound():
    known = of_tenant(DAY).with_absences("acme", [Absence("anna", at("2026-03-02 11:00"), at("2026-03-02 23:00"))])

    found = by(known, "2026-03-02 09:00")

    assert found.prorated == 50
    assert found.expected == 25
    assert found.factors == (Factor(FactorKind.ABSENCE, Fraction(1, 2)),)


def test_a_whole_day_of_absence_expects_nothing():
    known = of_tenant(DAY).with_absences("acme", [Absence("anna", at("2026-03-01 23:00"), at("2026-03-02 23:00"))])

    found = by(known, "2026-03-02 15:00")

    assert (found.prorated, found.expected, found.working_ms) == (0, 0, 0)
    assert found.factors == (Factor(FactorKind.ABSENCE, Fraction(0)),)


def test_part_time_and_absence_multiply():
    # Half-time, 08:00 to 12:00; away from 11:00.
    known = of_tenant(weekdays(hours((8, 12))), day_share=Fraction(1, 2)).with_absences(
        "acme", [Absence("anna", at("2026-03-02 10:00"), at("2026-03-02 23:00"))]
    )

    found = by(known, "2026-03-02 09:00")

    assert found.prorated == Fraction(75, 2)
    assert found.expected == 25
    assert found.factors == (
        Factor(FactorKind.PART_TIME, Fraction(1, 2)),
        Factor(FactorKind.ABSENCE, Fraction(3, 4)),
    )


def test_a_holiday_and_a_free_day_expect_nothing():
    known = schedules(shifts={"tenant": (Assignment(DAY),)}, holidays={"tenant": (HolidayCalendar("DE"),)})

    for now in ("2026-05-01 10:00", "2026-05-02 10:00"):
        found = by(known, now)
        assert (found.prorated, found.expected) == (0, 0)
        assert found.factors == (Factor(FactorKind.SCHEDULE, Fraction(0)),)


def test_a_short_day_asks_for_less_and_a_long_one_for_no_more():
    known = schedules(
        shifts={"tenant": (Assignment(DAY),)},
        exceptions={"tenant": {date(2026, 12, 24): hours((8, 12)), date(2026, 12, 23): hours((8, 18))}},
    )

    short, long = by(known, "2026-12-24 09:00"), by(known, "2026-12-23 12:00")

    assert (short.prorated, short.expected) == (50, 25)
    assert short.factors == (Factor(FactorKind.SCHEDULE, Fraction(1, 2)),)
    assert (long.prorated, long.expected, long.factors) == (100, 50, ())


NIGHTS = Pattern("nights", (hours((22, 30)),) * 4 + (OFF, OFF, hours((22, 30))))
"""Sunday to Thursday, 22:00 to 06:00."""


#   Berlin  Sunday       Monday                   Friday                   Saturday
#           00:00  22:00 00:00   06:00      22:00 00:00   06:00            00:00
#           |      [=====|=======)  |       [=====|=======)                |
#                  2 hours                        6 hours
@pytest.mark.parametrize(
    ("now", "prorated", "expected"),
    [
        ("2026-03-01 20:59", 25, 0),  # Sunday, before the night
        ("2026-03-01 22:00", 25, Fraction(25, 2)),
        ("2026-03-01 22:59", 25, Fraction(595, 24)),
        ("2026-03-02 05:00", 100, 75),  # Monday: the rest of one night and the beginning of the next
        ("2026-03-02 22:00", 100, Fraction(175, 2)),
        ("2026-03-06 02:00", 75, Fraction(75, 2)),  # Friday: only the rest
        ("2026-03-06 12:00", 75, 75),
        ("2026-03-07 12:00", 0, 0),
    ],
)
def test_a_part_of_a_night_asks_for_its_part_of_the_bound(now: str, prorated: int, expected: Fraction | int):
    found = by(of_tenant(NIGHTS), now)

    assert (found.prorated, found.expected) == (prorated, expected)


#   Berlin  Saturday
#           00:00 01:00          10:00   12:00
#           [=====)              [=======)               an hour of Friday's 17:00-01:00, and 2 extra hours: 3 of 8
def test_an_extra_shift_after_a_late_one_is_measured_by_a_whole_shift():
    known = schedules(
        shifts={"tenant": (Assignment(weekdays(hours((17, 25)))),)},
        exceptions={"tenant": {date(2026, 3, 7): hours((10, 12))}},
    )

    assert by(known, "2026-03-07 10:00").expected == 25
    assert by(known, "2026-03-07 12:00").prorated == Fraction(75, 2)


def test_a_night_that_is_no_pattern_is_measured_by_its_whole_length():
    night = {date(2026, 3, 2): hours((22, 30)), date(2026, 3, 3): OFF}

    for known in (schedules(exceptions={"tenant": night}), schedules(imported={"anna": night})):
        assert (by(known, "2026-03-02 22:00").prorated, by(known, "2026-03-03 12:00").prorated) == (25, 75)


def test_a_week_of_nights_is_the_whole_bound():
    sunday_ms = at("2026-03-08 22:59")

    found = pace(Fraction(500), of_tenant(NIGHTS).plan("acme", "anna", "week", week(sunday_ms, BERLIN)), sunday_ms)

    assert (found.prorated, found.working_ms) == (500, 40 * HOUR)


#   29 March 2026, Berlin: the clock skips 02:00 to 03:00, and 7 of the usual 8 hours are at work
def test_the_night_of_a_clock_change_asks_for_the_hours_that_there_are():
    every_night = Pattern("every night", (hours((22, 30)),) * 7)

    assert by(of_tenant(every_night), "2026-03-29 12:00").prorated == Fraction(175, 2)
    assert by(of_tenant(every_night), "2026-10-25 12:00").prorated == 100


def test_a_week_with_a_holiday_is_four_fifths():
    known = schedules(shifts={"tenant": (Assignment(DAY),)}, holidays={"tenant": (HolidayCalendar("DE"),)})
    friday_ms = at("2026-05-01 12:00")  # Labour Day

    found = pace(Fraction(500), known.plan("acme", "anna", "week", week(friday_ms, BERLIN)), friday_ms)

    assert (found.prorated, found.expected) == (400, 400)
    assert found.factors == (Factor(FactorKind.SCHEDULE, Fraction(4, 5)),)


def test_three_full_days_a_week():
    pattern = weekdays(hours((8, 16)))
    three = type(pattern)("three days", pattern.week[:3] + (OFF,) * 4)
    known = of_tenant(three, share=Fraction(3, 5))
    tuesday_ms = at("2026-03-03 15:00")  # 16:00 in Berlin

    assert by(known, "2026-03-03 15:00").prorated == 100
    found = pace(Fraction(500), known.plan("acme", "anna", "week", week(tuesday_ms, BERLIN)), tuesday_ms)
    assert (found.prorated, found.expected) == (300, 200)


#   Berlin  13:15              14:15       pane of 5 minutes, now 14:11; the shift ends at 14:00
#           [==================|===)       45 of 60 minutes are working time
def test_a_rolling_window_asks_for_the_minutes_at_work():
    known = of_tenant(SIX_TO_TWO, day_share=Fraction(1, 2))
    window = Window(at("2026-03-02 12:15"), at("2026-03-02 13:15"))

    found = pace(Fraction(12), known.plan("acme", "anna", "rolling-60m", window), at("2026-03-02 13:11"))

    assert (found.prorated, found.expected) == (9, 9)
    assert found.factors == (Factor(FactorKind.SCHEDULE, Fraction(3, 4)),)


def test_the_rest_of_a_rolling_window_is_still_to_come():
    window = Window(at("2026-03-02 09:15"), at("2026-03-02 10:15"))

    found = pace(
        Fraction(12), of_tenant(SIX_TO_TWO).plan("acme", "anna", "rolling-60m", window), at("2026-03-02 10:10")
    )

    assert (found.prorated, found.expected, found.factors) == (12, 11, ())


def test_without_a_schedule_there_is_no_pace():
    found = by(Schedules(), "2026-03-02 12:00")

    assert (found.expected, found.prorated, found.basis.words) == (None, 100, "no shift known")


def test_business_hours_make_a_pace_and_say_so():
    found = by(schedules(business_hours={"tenant": (Assignment(DAY),)}), "2026-03-02 11:00")

    assert (found.expected, found.basis, found.basis.words) == (50, Basis.BUSINESS_HOURS, "no shift known")


#   usual course of 4 quarters:  1/2       3/4      7/8      1
#   Berlin                 08:00     10:00    12:00    14:00    16:00
def test_a_curve_bends_the_pace():
    known = of_tenant(weekdays(hours((8, 16))))
    curve = usual_curve([4, 2, 1, 1])

    assert curve == Curve((Fraction(0), Fraction(1, 2), Fraction(3, 4), Fraction(7, 8), Fraction(1)))
    assert by(known, "2026-03-02 08:00", curve=curve).expected == 25
    assert by(known, "2026-03-02 09:00", curve=curve).expected == 50
    assert by(known, "2026-03-02 12:00", curve=curve).expected == Fraction(1625, 20)
    assert by(known, "2026-03-02 15:00", curve=curve).expected == 100


def test_an_absence_in_the_busy_hours_takes_more_away():
    known = of_tenant(weekdays(hours((8, 16)))).with_absences(
        "acme", [Absence("anna", at("2026-03-02 07:00"), at("2026-03-02 09:00"))]
    )

    found = by(known, "2026-03-02 15:00", curve=usual_curve([4, 2, 1, 1]))

    assert (found.prorated, found.expected) == (50, 50)


def test_a_curve_of_nothing_is_even():
    assert usual_curve([0, 0]) == EVEN
    assert EVEN.at(Fraction(1, 3)) == Fraction(1, 3)


def test_only_counts_of_which_more_is_better_follow_the_time_at_work():
    found = {name: proration(BY_NAME[name]) for name in BY_NAME}

    assert sorted(name for name, how in found.items() if how is Proration.BY_TIME) == [
        "calls",
        "connected",
        "deals_won",
        "distinct_calls",
        "follow_ups_done",
        "follow_ups_on_time",
        "revenue",
        "surveys",
    ]
    assert sorted(name for name, how in found.items() if how is Proration.LIMIT) == ["deals_lost", "follow_ups_late"]
    assert found["conversion_per_connected"] is found["csat_mean"] is found["average_talk_time"] is Proration.RATIO
