"""Schedules are read from YAML and CSV, every key is optional, and all faults come at once."""

from datetime import date
from fractions import Fraction

import pytest

from kpistream.core.patterns import OFF, Absence, Assignment, HolidayCalendar, Hours, LocalSpan, Pattern
from kpistream.core.roster import ALWAYS_FROM_MS, ALWAYS_TO_MS
from kpistream.core.schedule_values import local_moment_ms, local_spans, part_time, weekday_numbers
from kpistream.core.schedules import Duty, Schedules, TenantSchedules
from kpistream.core.settings import read_settings
from kpistream.core.shift_files import read_shifts
from kpistream.core.spans import Span
from kpistream.core.yaml_nodes import Faults
from kpistream.errors import ConfigError
from tests.unit.test_schedules import at

ROSTER = """tenants:
  acme:
    zone: Europe/Berlin
    teams:
      north: {name: North}
      lisbon: {name: Lisbon, zone: Europe/Lisbon}
    people:
      anna: {team: north}
      bela: {team: north, aliases: {wfm: "77"}}
      duarte: {team: lisbon}
"""


def read(text: str, **tables: str) -> Schedules:
    files = {"roster.yaml": ROSTER, "schedules.yaml": text}
    return read_settings(files | {f"settings/{name}.csv": table for name, table in tables.items()}).schedules


def acme(text: str, **tables: str) -> TenantSchedules:
    return read(text, **tables).tenants["acme"]


def faults(text: str, roster: str = ROSTER, **tables: str) -> list[str]:
    files = {"roster.yaml": roster, "s.yaml": text} | {f"{name}.csv": table for name, table in tables.items()}
    with pytest.raises(ConfigError) as caught:
        read_settings(files)
    return list(caught.value.faults)


def test_settings_without_schedules_have_none():
    settings = read_settings({"roster.yaml": ROSTER})

    assert settings.schedules == Schedules(settings.roster)
    assert set(settings.schedules.counts().values()) == {0}


def test_a_csv_file_that_nobody_names_is_left_alone():
    assert read("schedules: {}", other="what,ever\n1,2\n").tenants == {}


def test_patterns_are_assigned_to_tenant_team_and_agent():
    found = acme("""
schedules:
  patterns:
    office:
      hours: {mon-thu: [08:00-12:00, 13:00-17:00], fri: "08:00-12:00, 13:00-14:00"}
      breaks: {mon-fri: 10:00-10:15}
    night:
      hours: {sun-thu: 22:00-06:00}
      breaks: {sun-thu: 02:00-02:30}
      on_holidays: work
    half:
      hours: {mon-fri: 08:00-12:00}
      share: 50 %
  assigned:
    - {pattern: office}
    - {tenant: acme, team: north, pattern: night, from: 2026-03-02, to: 2026-04-01}
    - {agent: anna, pattern: half}
    - {agent: bela, pattern: office, share: 60 %, day_share: 100 %}
""")
    office = Hours((LocalSpan(480, 720), LocalSpan(780, 1020)), (LocalSpan(600, 615),))
    friday = Hours((LocalSpan(480, 720), LocalSpan(780, 840)), (LocalSpan(600, 615),))
    night = Hours((LocalSpan(1320, 1800),), (LocalSpan(1560, 1590),))
    half = Pattern("half", (Hours((LocalSpan(480, 720),)),) * 5 + (OFF, OFF))
    week = Pattern("office", (office,) * 4 + (friday, OFF, OFF))

    assert found.shifts == {
        "tenant": (Assignment(week),),
        "team:north": (
            Assignment(
                Pattern("night", (night,) * 4 + (OFF, OFF, night), works_holidays=True),
                from_ms=at("2026-03-01 23:00"),
                to_ms=at("2026-03-31 22:00"),
            ),
        ),
        "agent:anna": (Assignment(half, Fraction(1, 2), Fraction(1, 2)),),
        "agent:bela": (Assignment(week, Fraction(3, 5), Fraction(1)),),
    }


def test_patterns_may_stand_in_another_file_than_who_has_them():
    settings = read_settings(
        {
            "a.yaml": "schedules: {assigned: [{pattern: early}]}",
            "roster.yaml": ROSTER,
            "z.yaml": "schedules: {patterns: {early: {hours: {mon-fri: 06:00-14:00}}}}",
        }
    )

    assert settings.schedules.tenants["acme"].shifts["tenant"][0].pattern.name == "early"


def test_exceptions_holidays_and_business_hours():
    found = acme("""
schedules:
  exceptions:
    - {date: 2026-12-24, hours: 08:00-12:00}
    - {team: lisbon, date: 2026-12-24, hours: off}
    - {agent: anna, date: 2026-12-24, hours: [20:00-04:00], breaks: 00:30-01:00}
holidays:
  - {country: DE, subdivision: BE, also: {2026-12-31: New Year's Eve}, except: [2026-03-08]}
  - {team: lisbon, country: PT, from: 2026-01-01}
business_hours:
  - {hours: {mon-fri: 08:00-20:00}}
  - {team: lisbon, zone: Europe/Rome, hours: {"mon, wed": 09:00-18:00}, on_holidays: work}
""")
    open_, rome = Hours((LocalSpan(480, 1200),)), Hours((LocalSpan(540, 1080),))

    assert found.exceptions == {
        "tenant": {date(2026, 12, 24): Hours((LocalSpan(480, 720),))},
        "team:lisbon": {date(2026, 12, 24): OFF},
        "agent:anna": {date(2026, 12, 24): Hours((LocalSpan(1200, 1680),), (LocalSpan(1470, 1500),))},
    }
    assert found.holidays == {
        "tenant": (HolidayCalendar("DE", "BE", {date(2026, 12, 31): "New Year's Eve"}, frozenset({date(2026, 3, 8)})),),
        "team:lisbon": (HolidayCalendar("PT", from_ms=at("2025-12-31 23:00")),),
    }
    assert found.business_hours == {
        "tenant": (Assignment(Pattern("business hours", (open_,) * 5 + (OFF, OFF))),),
        "team:lisbon": (
            Assignment(Pattern("business hours", (rome, OFF, rome, OFF, OFF, OFF, OFF), True, "Europe/Rome")),
        ),
    }


def test_absences_are_dates_or_moments_in_the_agents_zone():
    found = acme("""
absences:
  - {agent: anna, date: 2026-03-10, reason: training}
  - {agent: anna, from: 2026-04-01, to: 2026-04-15}
  - {agent: duarte, from: 2026-03-10 12:00, to: 2026-03-10 17:30, reason: doctor}
  - {agent: bela, from: 2026-03-10T12:00+01:00}
""")

    assert found.absences == {
        "anna": (
            Absence("anna", at("2026-03-09 23:00"), at("2026-03-10 23:00"), "training"),
            Absence("anna", at("2026-03-31 22:00"), at("2026-04-14 22:00")),
        ),
        "duarte": (Absence("duarte", at("2026-03-10 12:00"), at("2026-03-10 17:30"), "doctor"),),
        "bela": (Absence("bela", at("2026-03-10 11:00"), ALWAYS_TO_MS),),
    }


SHIFTS = """agent_id,date,start,end,kind
anna,2026-03-02,08:00,12:00,
anna,2026-03-02,13:00,17:00,work
anna,2026-03-02,10:00,10:15,break
anna,2026-03-04,22:00,06:00,work
anna,2026-03-03,,,off
bela,2026-03-03,06:00:00,14:00:00,work
"""


def test_a_shift_file_is_the_plan_of_its_agents_from_its_first_date_to_its_last():
    found = acme("schedules: {shifts: [{file: march.csv}]}", march=SHIFTS)

    assert found.imported == {
        "anna": {
            date(2026, 3, 2): Hours((LocalSpan(480, 720), LocalSpan(780, 1020)), (LocalSpan(600, 615),)),
            date(2026, 3, 3): OFF,
            date(2026, 3, 4): Hours((LocalSpan(1320, 1800),)),
        },
        "bela": {
            date(2026, 3, 2): OFF,
            date(2026, 3, 3): Hours((LocalSpan(360, 840),)),
            date(2026, 3, 4): OFF,
        },
    }


def test_a_shift_file_may_have_the_ids_of_its_tool():
    text = "\ufeffdate; agent_id; end; start\n2026-03-03;77;14:00;06:00\n"

    known = read("schedules: {shifts: [{file: march.csv, source: wfm}]}", march=text)

    assert known.working_spans("acme", "bela", at("2026-03-03 00:00"), at("2026-03-04 00:00")) == (
        Span(at("2026-03-03 05:00"), at("2026-03-03 13:00")),
    )
    assert known.duty("acme", "anna", at("2026-03-03 08:00")) is Duty.UNKNOWN


def test_all_faults_of_a_shift_file_come_at_once():
    text = """agent_id,date,start,end,kind
ana,2026-03-02,08:00,12:00,work
anna,2026-02-30,08:00,12:00,work
anna,2026-03-02,8:00,12:00,work
anna,2026-03-03,08:00,12:00,wrk
anna,2026-03-04,08:00,,off
anna,2026-03-05,08:00,12:00,work
anna,2026-03-05,,,off
anna,2026-03-06,08:00,12:00,work
anna,2026-03-06,13:00,13:15,break
anna,2026-03-07,08:00,12:00,work,x
"""

    assert faults("schedules: {shifts: [{file: march.csv}]}", march=text) == [
        'march.csv:2 agent_id: agent "ana" is not in the roster',
        'march.csv:3 date: "2026-02-30" is no date, write 2026-12-24',
        'march.csv:4 start: "8:00" is no time of day, write 00:00 to 24:00',
        'march.csv:5 kind: "wrk" is none of work, break, off, did you mean "work"?',
        "march.csv:6 start: a day off has no start and no end",
        'march.csv:8 kind: "anna" has a shift and a day off on 2026-03-05',
        "march.csv:10 start: the break 13:00-13:15 is in no working time of its day",
        "march.csv:11 row: has more cells than the header",
    ]


def test_an_unknown_agent_is_told_once_and_a_hundred_faulty_rows_are_enough():
    header = "agent_id,date,start,end\n"
    ghost = "ghost,2026-03-02,08:00,12:00\n" * 3
    broken = "anna,2026-03-02,late,12:00\n" * 200

    found = faults("schedules: {shifts: [{file: march.csv}]}", march=header + ghost + broken)

    assert found[0] == 'march.csv:2 agent_id: agent "ghost" is not in the roster'
    assert found[1] == 'march.csv:5 start: "late" is no time of day, write 00:00 to 24:00'
    assert len(found) == 101
    assert found[-1] == "march.csv:103 row: 100 rows have a fault, the rest is not read"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ["f.csv:1 agent_id: is missing", "f.csv:1 date: is missing", "f.csv:1 start: is missing"]),
        ("agent_id,date,start,end,knd\n", ['f.csv:1 knd: unknown column, did you mean "kind"?']),
        ("agent_id,date,start,end\n", []),
        (
            "agent_id,date,start,end\nanna,2026-03-02,08:00,12:00\nanna,2062-03-02,08:00,12:00\n",
            ["f.csv:3 date: 13150 days after the first date, at most 400"],
        ),
    ],
)
def test_a_shift_file_that_cannot_be_a_plan(text: str, found: list[str]):
    noted = Faults("f.csv")

    assert read_shifts(text, lambda agent, day: agent, noted) == {}
    assert noted.facts[:3] == found


def test_all_faults_of_schedules_come_at_once():
    text = """schedules:
  patterns:
    office:
      hours: {mon-fri: 08:00-12:00, fri: 08:00-11:00, someday: 08:00-09:00}
      breaks: {mon-fri: 12:00-12:30}
      shar: 50 %
    empty: {}
    odd:
      hours: {mon: "08:00-12:00, 11:00-13:00", tue: 8-12, wed: 08:00}
      share: 150 %
      on_holidays: maybe
  assigned:
    - {pattern: ofice}
    - {team: south, pattern: office}
    - {agent: ana, pattern: office}
    - {agent: anna, team: north, pattern: office}
    - {tenant: acem, pattern: office}
    - {pattern: office, from: 2026-03-02, to: 2026-03-01}
    - {pattern: office}
    - {pattern: odd, from: 2026-01-01}
  exceptions:
    - {date: 24.12.2026, hours: 08:00-12:00}
    - {date: 2026-12-24}
    - {date: 2026-12-24, hours: off}
    - {date: 2026-12-24, hours: 08:00-12:00}
  shifts:
    - {file: april.csv}
holidays:
  - {country: Germany}
  - {team: lisbon, country: DE, subdivision: ZZ}
  - {team: north}
business_hours:
  - {hours: {mon-fri: 08:00-08:00}, zone: Europe/Atlantis}
absences:
  - {agent: anna, from: 2026-03-02, to: 2026-03-01}
  - {agent: anna, date: 2026-03-02, to: 2026-03-03}
  - {date: 2026-03-02}
  - {agent: bela, from: now, reason: ""}
"""

    assert faults(text) == [
        "s.yaml:4 schedules.patterns.office.hours.fri: fri has its hours already",
        's.yaml:4 schedules.patterns.office.hours.someday: "someday" is no weekday, write mon, mon-fri or "sat, sun"',
        "s.yaml:5 schedules.patterns.office.breaks.mon-fri: mon, tue, wed, thu, fri: the break 12:00-12:30 is in no "
        "working time of its day",
        's.yaml:6 schedules.patterns.office.shar: unknown key, did you mean "share"?',
        "s.yaml:7 schedules.patterns.empty.hours: is missing",
        "s.yaml:9 schedules.patterns.odd.hours.mon: 08:00-12:00 and 11:00-13:00 overlap",
        's.yaml:9 schedules.patterns.odd.hours.tue: "8" is no time of day, write 00:00 to 24:00',
        's.yaml:9 schedules.patterns.odd.hours.wed: "08:00" is no span of time, write 08:00-12:00, or off',
        's.yaml:10 schedules.patterns.odd.share: "150 %" must be above 0 % and at most 100 %',
        's.yaml:11 schedules.patterns.odd.on_holidays: "maybe" is none of off, work',
        's.yaml:13 schedules.assigned[0].pattern: "ofice" is no pattern, did you mean "office"?',
        's.yaml:14 schedules.assigned[1].team: team "south" is not in the roster',
        's.yaml:15 schedules.assigned[2].agent: agent "ana" is not in the roster, did you mean "anna"?',
        "s.yaml:16 schedules.assigned[3].team: is for a team or an agent, not both",
        's.yaml:17 schedules.assigned[4].tenant: tenant "acem" is not in the roster, did you mean "acme"?',
        "s.yaml:18 schedules.assigned[5].to: must be after from",
        "s.yaml:20 schedules.assigned[7]: another entry for the same holds at the same time",
        's.yaml:22 schedules.exceptions[0].date: "24.12.2026" is no date, write 2026-12-24',
        "s.yaml:23 schedules.exceptions[1].hours: is missing",
        "s.yaml:25 schedules.exceptions[3].date: 2026-12-24 has other hours already",
        's.yaml:27 schedules.shifts[0].file: no file "april.csv" is beside the settings, its name must end in .csv',
        's.yaml:29 holidays[0].country: "Germany" is no country, write its two letters, such as DE',
        's.yaml:30 holidays[1].subdivision: "ZZ" is no subdivision of DE: BB, BE, BW, BY, HB, HE, HH, MV, NI, NW, RP, '
        "SH, SL, SN, ST, TH, Augsburg",
        "s.yaml:31 holidays[2].country: is missing",
        's.yaml:33 business_hours[0].hours.mon-fri: "08:00-08:00" is empty, a whole day is 00:00-24:00',
        's.yaml:33 business_hours[0].zone: unknown time zone "Europe/Atlantis"',
        "s.yaml:35 absences[0].to: must be after from",
        "s.yaml:36 absences[1].to: say date, or from and to",
        "s.yaml:37 absences[2].agent: is missing",
        's.yaml:38 absences[3].reason: "" must be 1 to 256 characters without control characters',
        's.yaml:38 absences[3].from: "now" is no date or time, write 2026-12-24 or 2026-12-24 12:00',
    ]


def test_with_several_tenants_an_entry_must_name_its_own():
    roster = "tenants: {acme: {}, umbra: {}}"

    assert faults("holidays: [{country: DE}]", roster) == ["s.yaml:1 holidays[0].tenant: is missing"]


def test_a_date_may_be_in_one_shift_file_only():
    found = faults("schedules: {shifts: [{file: a.csv}, {file: b.csv}]}", a=SHIFTS, b=SHIFTS)

    assert found == [
        's.yaml:1 schedules.shifts[1].file: agent "anna" has a plan of 2026-03-02 in another file already',
        's.yaml:1 schedules.shifts[1].file: agent "bela" has a plan of 2026-03-02 in another file already',
    ]


FAR = "must be of the years 1990 to 2200"


def test_dates_at_the_ends_of_the_calendar_are_faults():
    text = """schedules:
  patterns: {early: {hours: {mon-fri: 06:00-14:00}}}
  assigned: [{pattern: early, from: 0001-01-01, to: 9999-12-31}]
  exceptions: [{date: 9999-12-31, hours: off}]
  shifts: [{file: march.csv}]
holidays: [{country: DE, also: {2201-01-01: Holiday}, except: [1989-12-31], to: 2201-01-01}]
business_hours: [{hours: {mon-fri: 08:00-20:00}, from: 1989-12-31T23:00+00:00}]
absences:
  - {agent: anna, date: 9999-12-31}
  - {agent: anna, from: 0001-01-01, to: 9999-12-31}
  - {agent: anna, from: 0001-01-01 12:00}
  - {agent: anna, from: 9999-W52-5T23:00}
"""
    shifts = "agent_id,date,start,end\nanna,0001-01-01,08:00,12:00\nanna,9999-12-31,08:00,12:00\n"

    assert faults(text, march=shifts) == [
        f'march.csv:2 date: "0001-01-01" {FAR}',
        f'march.csv:3 date: "9999-12-31" {FAR}',
        f's.yaml:3 schedules.assigned[0].from: "0001-01-01" {FAR}',
        f's.yaml:3 schedules.assigned[0].to: "9999-12-31" {FAR}',
        f's.yaml:4 schedules.exceptions[0].date: "9999-12-31" {FAR}',
        f's.yaml:6 holidays[0].also.2201-01-01: "2201-01-01" {FAR}',
        f's.yaml:6 holidays[0].except: "1989-12-31" {FAR}',
        f's.yaml:6 holidays[0].to: "2201-01-01" {FAR}',
        f's.yaml:7 business_hours[0].from: "1989-12-31T23:00+00:00" {FAR}',
        f's.yaml:9 absences[0].date: "9999-12-31" {FAR}',
        f's.yaml:10 absences[1].from: "0001-01-01" {FAR}',
        f's.yaml:10 absences[1].to: "9999-12-31" {FAR}',
        f's.yaml:11 absences[2].from: "0001-01-01 12:00" {FAR}',
        f's.yaml:12 absences[3].from: "9999-W52-5T23:00" {FAR}',
    ]


def test_the_first_and_the_last_date_are_read():
    found = acme(
        "absences: [{agent: anna, date: 1990-01-01}, {agent: anna, date: 2200-12-31}]\n"
        "schedules: {shifts: [{file: a.csv}, {file: z.csv}]}",
        a="agent_id,date,start,end\nanna,1990-01-01,08:00,12:00\n",
        z="agent_id,date,start,end\nanna,2200-12-31,22:00,06:00\n",
    )

    assert found.absences["anna"] == (
        Absence("anna", at("1989-12-31 23:00"), at("1990-01-01 23:00")),
        Absence("anna", at("2200-12-30 23:00"), at("2200-12-31 23:00")),
    )
    assert list(found.imported["anna"]) == [date(1990, 1, 1), date(2200, 12, 31)]


def test_somebody_may_have_begun_before_there_are_schedules():
    roster = "tenants: {acme: {people: {anna: {from: 1985-07-01}}}}"

    found = read_settings({"roster.yaml": roster}).roster.tenants["acme"]

    assert found.people["anna"].active.from_ms == at("1985-07-01 00:00")


def test_values_of_schedules():
    assert weekday_numbers("sat-mon") == (5, 6, 0)
    assert weekday_numbers("mon, wed") == (0, 2)
    assert local_spans(["off"]) == ()
    assert local_spans(["00:00-24:00"]) == (LocalSpan(0, 1440),)
    assert local_spans(["22:00-06:00"]) == (LocalSpan(1320, 1800),)
    assert part_time("0.5") == part_time("50 %") == Fraction(1, 2)
    # Berlin, 29 March 2026: 02:30 does not exist and is read as 03:30.
    assert local_moment_ms("2026-03-29 02:30", "Europe/Berlin", 0) == at("2026-03-29 01:30")
    assert local_moment_ms("2026-03-29", "Europe/Berlin", 240) == at("2026-03-29 02:00")
    with pytest.raises(ValueError, match="whole minute"):
        local_moment_ms("2026-03-29 02:30:10", "Europe/Berlin", 0)


def test_counts_are_what_check_says():
    found = read(
        """
schedules:
  patterns: {early: {hours: {mon-fri: 06:00-14:00}}}
  assigned: [{pattern: early}, {agent: anna, pattern: early}]
  shifts: [{file: march.csv}]
absences: [{agent: anna, date: 2026-03-10}]
""",
        march=SHIFTS,
    )

    assert found.counts() == {
        "assigned patterns": 2,
        "exceptions": 0,
        "agents with imported shifts": 2,
        "business hours": 0,
        "holiday calendars": 0,
        "absences": 1,
    }
    assert found.tenants["acme"].shifts["tenant"][0].from_ms == ALWAYS_FROM_MS
