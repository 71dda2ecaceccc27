"""Periods by their dates, in every zone."""

from itertools import pairwise

import pytest

from kpistream.core.periods import LOOKED_AT, periods
from kpistream.core.windows import CALENDAR_WINDOWS
from tests.unit.test_schedules import BERLIN, HOUR, at

PANE_MS = 300_000
TOKYO = "Asia/Tokyo"


#   Berlin  25 Mar ... 28 Mar | 29 Mar (23 h) | 30 Mar: now
def test_today_and_the_days_before_it_with_the_short_one_in_march():
    today, *before = periods("business-day", at("2026-03-30 12:00"), PANE_MS, [BERLIN])

    assert today.windows == {BERLIN: (at("2026-03-29 22:00"), at("2026-03-30 22:00"))}
    assert len(before) == 7
    assert before[0].windows[BERLIN] == (at("2026-03-28 23:00"), at("2026-03-29 22:00"))
    assert before[0].last_ms == at("2026-03-29 22:00") - 1
    assert before[1].windows[BERLIN] == (at("2026-03-27 23:00"), at("2026-03-28 23:00"))


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("week", ("2026-03-02", "2026-03-09")),
        ("month", ("2026-02-01", "2026-03-01")),
        ("quarter", ("2025-10-01", "2026-01-01")),
        ("year", ("2025-01-01", "2026-01-01")),
    ],
)
def test_the_period_before_this_one(name: str, first: tuple[str, str]):
    _, before, *_ = periods(name, at("2026-03-11 09:00"), PANE_MS, ["UTC"])

    assert before.windows == {"UTC": tuple(at(f"{day} 00:00") for day in first)}


def test_a_week_is_the_same_dates_in_every_zone():
    week, *_ = periods("week", at("2026-03-11 09:00"), PANE_MS, ["UTC", TOKYO, "America/New_York"])

    assert week.windows["UTC"] == (at("2026-03-09 00:00"), at("2026-03-16 00:00"))
    assert week.windows[TOKYO] == (at("2026-03-08 15:00"), at("2026-03-15 15:00"))
    assert week.windows["America/New_York"] == (at("2026-03-09 04:00"), at("2026-03-16 04:00"))


@pytest.mark.parametrize("name", CALENDAR_WINDOWS)
def test_periods_follow_each_other_without_gaps_in_every_zone(name: str):
    found = list(periods(name, at("2026-03-11 09:00"), PANE_MS, [BERLIN, TOKYO], 240))

    assert len(found) == LOOKED_AT[name] + 1
    for zone in (BERLIN, TOKYO):
        assert all(later.windows[zone].from_ms == earlier.windows[zone].to_ms for later, earlier in pairwise(found))
    assert found[0].windows[BERLIN].to_ms - found[0].windows[BERLIN].from_ms >= 23 * HOUR
