"""Working time of an agent at hours that are written out: patterns, clock changes, holidays, exceptions, absences."""

from datetime import UTC, date, datetime
from fractions import Fraction

import pytest

from kpistream.core.patterns import OFF, Absence, Assignment, HolidayCalendar, Hours, LocalSpan, Pattern
from kpistream.core.public_holidays import public_holidays
from kpistream.core.roster import Dated, Person, Roster, Team, Tenant
from kpistream.core.schedules import Basis, Duty, Schedules, TenantSchedules
from kpistream.core.spans import Span
from kpistream.core.windows import Window, business_day, week

HOUR = 3_600_000
BERLIN = "Europe/Berlin"


def at(text: str) -> int:
    """Epoch ms of a time in UTC: `2026-03-02 12:05`."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


def span(begin: str, end: str) -> Span:
    return Span(at(begin), at(end))


def hours(*work: tuple[int, int], breaks: tuple[tuple[int, int], ...] = ()) -> Hours:
    """Hours of the clock: `(8, 16)`."""
    return Hours(
        tuple(LocalSpan(begin * 60, end * 60) for begin, end in work),
        tuple(LocalSpan(begin * 60, end * 60) for begin, end in breaks),
    )


def weekdays(day: Hours, weekend: Hours = OFF) -> Pattern:
    return Pattern("weekdays", (day,) * 5 + (weekend,) * 2)


DAY = weekdays(hours((8, 12), (13, 17)))
NIGHT = Pattern("night", (hours((22, 30)),) * 7)
TEAMS = {"north": Team("north", "North"), "lisbon": Team("lisbon", "Lisbon", "Europe/Lisbon")}
PEOPLE = {
    "anna": Person("anna", teams=(Dated("north"),)),
    "duarte": Person("duarte", teams=(Dated("lisbon"),)),
    "bela": Person(
        "bela",
        teams=(Dated("north", at("2026-03-03 23:00")),),
        active=Dated("", at("2026-03-03 23:00"), at("2026-06-30 22:00")),
    ),
}
ROSTER = Roster({"acme": Tenant("acme", BERLIN, teams=TEAMS, people=PEOPLE)})


def schedules(**acme) -> Schedules:
    return Schedules(ROSTER, {"acme": TenantSchedules(**acme)})


def of_tenant(pattern: Pattern, **of_assignment) -> Schedules:
    return schedules(shifts={"tenant": (Assignment(pattern, **of_assignment),)})


def works(known: Schedules, begin: str, end: str, agent: str = "anna") -> list[Span]:
    return list(known.working_spans("acme", agent, at(begin), at(end)))


def day_plan(known: Schedules, noon: str, agent: str = "anna"):
    return known.plan("acme", agent, "business-day", business_day(at(noon), BERLIN))


#   Berlin  08:00      12:00  13:00      17:00           Monday, UTC+1
#           [==========)      [==========)
#   UTC     07:00      11:00  12:00      16:00
def test_a_pattern_has_several_spans_a_day():
    assert works(of_tenant(DAY), "2026-03-02 00:00", "2026-03-03 00:00") == [
        span("2026-03-02 07:00", "2026-03-02 11:00"),
        span("2026-03-02 12:00", "2026-03-02 16:00"),
    ]


def test_a_weekend_is_off():
    known = of_tenant(DAY)

    assert works(known, "2026-03-07 00:00", "2026-03-08 23:00") == []
    assert known.duty("acme", "anna", at("2026-03-07 10:00")) is Duty.OFF_SHIFT
    assert known.basis("acme", "anna", at("2026-03-07 10:00")) is Basis.SHIFT


def test_spans_are_half_open():
    known = of_tenant(DAY)

    assert known.duty("acme", "anna", at("2026-03-02 07:00") - 1) is Duty.OFF_SHIFT
    assert known.duty("acme", "anna", at("2026-03-02 07:00")) is Duty.ON_SHIFT
    assert known.duty("acme", "anna", at("2026-03-02 16:00") - 1) is Duty.ON_SHIFT
    assert known.duty("acme", "anna", at("2026-03-02 16:00")) is Duty.OFF_SHIFT


#   Berlin  08:00   10:00 11:00            17:00
#           [=======)     [================)
#                   break
def test_a_break_is_no_working_time_and_does_not_suspend():
    known = of_tenant(weekdays(hours((8, 17), breaks=((10, 11),))))

    assert works(known, "2026-03-02 00:00", "2026-03-03 00:00") == [
        span("2026-03-02 07:00", "2026-03-02 09:00"),
        span("2026-03-02 10:00", "2026-03-02 16:00"),
    ]
    assert known.duty("acme", "anna", at("2026-03-02 09:30")) is Duty.BREAK
    assert not Duty.BREAK.suspends
    assert Duty.OFF_SHIFT.suspends


#   Berlin  08:00      12:00  13:00      17:00      00:00
#           [==========)      [==========)          |
#      ^ off until     ^ off until       ^ off until
def test_duty_says_until_when_it_holds():
    known = of_tenant(DAY)

    def asked(now: str) -> tuple[Duty, int]:
        return known.duty_until("acme", "anna", at(now))

    assert asked("2026-03-02 06:00") == (Duty.OFF_SHIFT, at("2026-03-02 07:00"))
    assert asked("2026-03-02 07:00") == (Duty.ON_SHIFT, at("2026-03-02 11:00"))
    assert asked("2026-03-02 11:00") == (Duty.OFF_SHIFT, at("2026-03-02 12:00"))
    assert asked("2026-03-02 16:00") == (Duty.OFF_SHIFT, at("2026-03-02 23:00"))


def test_times_are_of_the_agents_zone():
    # Lisbon is UTC+0 in winter.
    assert works(of_tenant(DAY), "2026-03-02 00:00", "2026-03-03 00:00", "duarte") == [
        span("2026-03-02 08:00", "2026-03-02 12:00"),
        span("2026-03-02 13:00", "2026-03-02 17:00"),
    ]


#   Berlin  22:00       00:00                   06:00    8 hours over midnight
#           [===========|=======================)
#   UTC     21:00                               05:00
def test_a_night_shift_goes_over_midnight():
    known = of_tenant(NIGHT)

    assert works(known, "2026-03-02 12:00", "2026-03-03 12:00") == [span("2026-03-02 21:00", "2026-03-03 05:00")]
    assert known.duty("acme", "anna", at("2026-03-03 04:59")) is Duty.ON_SHIFT
    assert known.duty("acme", "anna", at("2026-03-03 05:00")) is Duty.OFF_SHIFT


#   28 March 2026, Berlin
#   CET 22:00           01:59|03:00 CEST         06:00   the clock skips an hour
#       [====================|===================)
#   UTC 21:00               01:00                04:00   7 hours
def test_a_night_shift_in_spring_is_an_hour_shorter():
    assert works(of_tenant(NIGHT), "2026-03-28 12:00", "2026-03-29 12:00") == [
        span("2026-03-28 21:00", "2026-03-29 04:00")
    ]


#   24 October 2026, Berlin
#   CEST 22:00          02:59|02:00 CET          06:00   the clock shows an hour twice
#        [===================|===================)
#   UTC  20:00              01:00                05:00   9 hours
def test_a_night_shift_in_autumn_is_an_hour_longer():
    assert works(of_tenant(NIGHT), "2026-10-24 12:00", "2026-10-25 12:00") == [
        span("2026-10-24 20:00", "2026-10-25 05:00")
    ]


@pytest.mark.parametrize(("noon", "length"), [("2026-03-29 12:00", 23), ("2026-10-25 12:00", 25)])
def test_a_day_around_the_clock_is_as_long_as_the_day(noon: str, length: int):
    plan = day_plan(of_tenant(Pattern("always", (hours((0, 24)),) * 7)), noon)

    assert plan.working_ms() == plan.usual_ms == length * HOUR


#   29 March 2026, Berlin: 02:00 becomes 03:00
#   CET 01:00     |03:30 CEST
#       [=========|==)              the end 02:30 does not exist and is read as 03:30
#                 |[==========)     from 03:00: half an hour is in both
#   UTC 00:00  01:00 01:30  02:00
def test_times_that_the_clock_skips_count_once():
    pattern = Pattern("sunday", (OFF,) * 6 + (Hours((LocalSpan(60, 150), LocalSpan(180, 240))),))

    assert works(of_tenant(pattern), "2026-03-29 00:00", "2026-03-29 12:00") == [
        span("2026-03-29 00:00", "2026-03-29 02:00")
    ]


def test_the_closest_scope_decides_and_patterns_have_dates():
    late = weekdays(hours((12, 20)))
    known = schedules(
        shifts={
            "tenant": (Assignment(DAY),),
            "team:north": (Assignment(late, from_ms=at("2026-03-02 23:00")),),
            "agent:anna": (Assignment(NIGHT, from_ms=at("2026-03-03 23:00"), to_ms=at("2026-03-04 23:00")),),
        }
    )

    assert works(known, "2026-03-01 23:00", "2026-03-05 23:00") == [
        span("2026-03-02 07:00", "2026-03-02 11:00"),  # Monday: the tenant's
        span("2026-03-02 12:00", "2026-03-02 16:00"),
        span("2026-03-03 11:00", "2026-03-03 19:00"),  # Tuesday: the team's
        span("2026-03-04 21:00", "2026-03-05 05:00"),  # Wednesday: her own, to its end
        span("2026-03-05 11:00", "2026-03-05 19:00"),  # Thursday: the team's
    ]


def test_business_hours_stand_in_for_a_shift_that_nobody_knows():
    known = schedules(
        business_hours={"tenant": (Assignment(DAY),), "team:lisbon": (Assignment(weekdays(hours((9, 18)))),)}
    )

    assert works(known, "2026-03-02 00:00", "2026-03-03 00:00", "duarte") == [
        span("2026-03-02 09:00", "2026-03-02 18:00")
    ]
    assert known.basis("acme", "duarte", at("2026-03-02 12:00")) is Basis.BUSINESS_HOURS
    assert known.basis("acme", "anna", at("2026-03-02 12:00")) is Basis.BUSINESS_HOURS
    assert Basis.BUSINESS_HOURS.words == Basis.NONE.words == "no shift known"
    assert Basis.SHIFT.words == ""


def test_business_hours_may_name_their_zone():
    open_in_rome = Pattern("open", (hours((9, 18)),) * 7, zone="Europe/Rome")
    known = schedules(business_hours={"tenant": (Assignment(open_in_rome),)})

    assert works(known, "2026-03-02 00:00", "2026-03-03 00:00", "duarte") == [
        span("2026-03-02 08:00", "2026-03-02 17:00")
    ]


def test_without_any_schedule_nothing_is_known():
    for known in (Schedules(), schedules()):
        assert known.duty("acme", "anna", at("2026-03-02 10:00")) is Duty.UNKNOWN
        assert known.basis("acme", "anna", at("2026-03-02 10:00")) is Basis.NONE
        assert works(known, "2026-03-02 00:00", "2026-03-03 00:00") == []
    assert not Duty.UNKNOWN.suspends


def test_a_public_holiday_is_off():
    known = schedules(
        shifts={"tenant": (Assignment(DAY),)},
        holidays={"tenant": (HolidayCalendar("DE", "BE"),), "team:lisbon": (HolidayCalendar("PT"),)},
    )

    # 3 April 2026 is Good Friday in both; Easter Monday is a holiday in Berlin and none in Lisbon.
    assert works(known, "2026-04-03 00:00", "2026-04-07 00:00") == []
    assert works(known, "2026-04-03 00:00", "2026-04-07 00:00", "duarte") == [
        span("2026-04-06 07:00", "2026-04-06 11:00"),
        span("2026-04-06 12:00", "2026-04-06 16:00"),
    ]
    assert known.duty("acme", "anna", at("2026-04-06 10:00")) is Duty.HOLIDAY
    assert Duty.HOLIDAY.suspends
    assert day_plan(known, "2026-04-06 10:00").usual_ms == 8 * HOUR


#   30 April 2026      1 May (holiday)      2 May
#   22:00  [===========|====) 06:00         |           the shift that began before it goes on
#                             22:00  (none) |           the one that begins on it does not
def test_a_holiday_takes_the_shifts_that_begin_on_it():
    known = schedules(shifts={"tenant": (Assignment(NIGHT),)}, holidays={"tenant": (HolidayCalendar("DE"),)})

    assert works(known, "2026-04-30 12:00", "2026-05-02 12:00") == [span("2026-04-30 20:00", "2026-05-01 04:00")]


def test_a_pattern_may_work_holidays():
    hotline = Pattern("hotline", (hours((8, 20)),) * 7, works_holidays=True)
    known = schedules(shifts={"tenant": (Assignment(hotline),)}, holidays={"tenant": (HolidayCalendar("DE"),)})

    assert works(known, "2026-05-01 00:00", "2026-05-02 00:00") == [span("2026-05-01 06:00", "2026-05-01 18:00")]


def test_holidays_can_be_added_and_left_out():
    calendar = HolidayCalendar("DE", "BE", {date(2026, 12, 24): "Christmas Eve"}, frozenset({date(2026, 12, 25)}))

    assert calendar.name(date(2026, 12, 24)) == "Christmas Eve"
    assert calendar.name(date(2026, 12, 25)) is None
    assert calendar.name(date(2026, 12, 26)) == "Second Day of Christmas"
    assert HolidayCalendar(None).name(date(2026, 12, 25)) is None


def test_public_holidays_are_the_same_on_every_machine(monkeypatch: pytest.MonkeyPatch):
    public_holidays.cache_clear()
    monkeypatch.setenv("LANGUAGE", "th")

    assert public_holidays("DE", "BE", 2026) == {
        date(2026, 1, 1): "New Year's Day",
        date(2026, 3, 8): "Women's Day",
        date(2026, 4, 3): "Good Friday",
        date(2026, 4, 6): "Easter Monday",
        date(2026, 5, 1): "Labor Day",
        date(2026, 5, 14): "Ascension Day",
        date(2026, 5, 25): "Pentecost Monday",
        date(2026, 10, 3): "German Unity Day",
        date(2026, 12, 25): "Christmas Day",
        date(2026, 12, 26): "Second Day of Christmas",
    }
    assert public_holidays("DE", None, 1800) == {}


@pytest.mark.parametrize(
    ("country", "subdivision", "fact"),
    [
        ("Germany", None, '"Germany" is no country, write its two letters, such as DE'),
        ("XX", None, 'no public holidays are known of country "XX"'),
        ("GB", "SCO", '"SCO" is no subdivision of GB: ENG, NIR, SCT, WLS'),
        ("DE", "Augsborg", '"Augsborg" is no subdivision of DE, did you mean "Augsburg"?'),
    ],
)
def test_unknown_country_or_subdivision_is_a_fault(country: str, subdivision: str | None, fact: str):
    with pytest.raises(ValueError, match=r"country|subdivision") as caught:
        public_holidays(country, subdivision, 2026)

    assert str(caught.value) == fact


def test_an_exception_replaces_the_hours_of_a_date_even_on_a_holiday():
    known = schedules(
        shifts={"tenant": (Assignment(DAY),)},
        holidays={"tenant": (HolidayCalendar("DE"),)},
        exceptions={
            "tenant": {date(2026, 5, 1): hours((9, 12)), date(2026, 5, 4): OFF},
            "agent:anna": {date(2026, 5, 4): hours((10, 14))},
        },
    )

    assert works(known, "2026-05-01 00:00", "2026-05-05 00:00") == [
        span("2026-05-01 07:00", "2026-05-01 10:00"),
        span("2026-05-04 08:00", "2026-05-04 12:00"),
    ]
    assert known.duty("acme", "duarte", at("2026-05-04 10:00")) is Duty.OFF_SHIFT


def test_imported_shifts_hold_instead_of_pattern_and_holiday():
    known = schedules(
        shifts={"agent:anna": (Assignment(DAY),)},
        holidays={"tenant": (HolidayCalendar("DE"),)},
        exceptions={"tenant": {date(2026, 5, 4): OFF}},
        imported={
            "anna": {date(2026, 5, 1): hours((6, 14)), date(2026, 5, 4): hours((6, 10)), date(2026, 5, 5): OFF},
            "duarte": {date(2026, 5, 5): hours((6, 14))},
        },
    )

    assert works(known, "2026-05-01 00:00", "2026-05-06 00:00") == [
        span("2026-05-01 04:00", "2026-05-01 12:00"),
        span("2026-05-04 04:00", "2026-05-04 08:00"),
    ]
    assert known.basis("acme", "duarte", at("2026-05-05 10:00")) is Basis.SHIFT
    assert known.basis("acme", "duarte", at("2026-05-06 10:00")) is Basis.NONE


#   Berlin  08:00   10:00 12:00  13:00   15:00  17:00
#           [=======)            [=======)               the absence is from 10:00 to 13:00, and from 15:00 on
def test_an_absence_takes_working_time_away():
    known = of_tenant(DAY).with_absences(
        "acme",
        [
            Absence("anna", at("2026-03-02 09:00"), at("2026-03-02 12:00"), "doctor"),
            Absence("anna", at("2026-03-02 14:00"), at("2026-03-02 23:00")),
        ],
    )
    plan = day_plan(known, "2026-03-02 10:00")

    assert works(known, "2026-03-02 00:00", "2026-03-03 00:00") == [
        span("2026-03-02 07:00", "2026-03-02 09:00"),
        span("2026-03-02 12:00", "2026-03-02 14:00"),
    ]
    assert (plan.usual_ms, plan.scheduled_ms(), plan.working_ms()) == (8 * HOUR, 8 * HOUR, 4 * HOUR)
    assert plan.scheduled_ms(at("2026-03-02 12:30")) == 4 * HOUR + HOUR // 2
    assert plan.working_ms(at("2026-03-02 12:30")) == 2 * HOUR + HOUR // 2
    assert known.duty("acme", "anna", at("2026-03-02 10:00")) is Duty.ABSENT
    assert known.duty("acme", "anna", at("2026-03-02 12:00")) is Duty.ON_SHIFT
    assert Duty.ABSENT.suspends


def test_nobody_works_before_the_first_day_and_after_the_last():
    known = schedules(shifts={"team:north": (Assignment(DAY),)})

    # Béla begins on Wednesday, 4 March: the team's week is 40 hours long, his is 24.
    plan = known.plan("acme", "bela", "week", week(at("2026-03-04 12:00"), BERLIN))

    assert (plan.usual_ms, plan.scheduled_ms(), plan.working_ms()) == (40 * HOUR, 40 * HOUR, 24 * HOUR)
    assert known.duty("acme", "bela", at("2026-03-03 12:00")) is Duty.OFF_SHIFT
    assert known.duty("acme", "bela", at("2026-03-04 12:00")) is Duty.ON_SHIFT
    assert known.duty("acme", "bela", at("2026-07-01 12:00")) is Duty.OFF_SHIFT


def test_an_extra_shift_on_a_free_day_is_measured_by_the_patterns_longest_day():
    known = schedules(shifts={"tenant": (Assignment(DAY),)}, exceptions={"tenant": {date(2026, 3, 7): hours((10, 14))}})
    saturday = day_plan(known, "2026-03-07 12:00")
    whole = known.plan("acme", "anna", "week", week(at("2026-03-07 12:00"), BERLIN))

    assert (saturday.usual_ms, saturday.scheduled_ms()) == (8 * HOUR, 4 * HOUR)
    assert (whole.usual_ms, whole.scheduled_ms()) == (40 * HOUR, 44 * HOUR)


def test_part_time_shares_are_of_a_week_or_of_a_day():
    known = of_tenant(DAY, share=Fraction(3, 5))

    def share(name: str, window: Window) -> Fraction:
        return known.plan("acme", "anna", name, window).working[0].share

    assert share("week", week(at("2026-03-02 12:00"), BERLIN)) == Fraction(3, 5)
    assert share("business-day", business_day(at("2026-03-02 12:00"), BERLIN)) == 1
    assert share("rolling-60m", Window(at("2026-03-02 09:00"), at("2026-03-02 10:00"))) == 1


#   business days from 04:00 to 04:00 in Berlin
#   Monday 04:00           22:00         04:00   06:00
#          |---------------[=============|=======)
#                          6 hours       2 hours
def test_a_business_day_cuts_a_shift_that_lasts_longer():
    roster = Roster({"acme": Tenant("acme", BERLIN, 240, teams=TEAMS, people=PEOPLE)})
    known = Schedules(roster, {"acme": TenantSchedules(shifts={"tenant": (Assignment(NIGHT),)})})
    plan = known.plan("acme", "anna", "business-day", business_day(at("2026-03-02 12:00"), BERLIN, 240))

    assert [stint.span for stint in plan.working] == [
        span("2026-03-02 03:00", "2026-03-02 05:00"),
        span("2026-03-02 21:00", "2026-03-03 03:00"),
    ]
    assert plan.usual_ms == 8 * HOUR


def test_a_date_that_a_zone_skipped_has_no_shift():
    # Apia slept through Friday, 30 December 2011; the Saturday is off.
    tenant = Tenant("acme", "Pacific/Apia", people={"anna": Person("anna")})
    known = Schedules(Roster({"acme": tenant}), {"acme": TenantSchedules(shifts={"tenant": (Assignment(DAY),)})})

    assert works(known, "2011-12-29 10:00", "2011-12-31 10:00") == [
        span("2011-12-29 18:00", "2011-12-29 22:00"),
        span("2011-12-29 23:00", "2011-12-30 03:00"),
    ]
