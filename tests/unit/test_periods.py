"""Which periods are over, the newest first."""

from itertools import pairwise

import pytest

from kpistream.core.periods import LOOKED_AT, over
from kpistream.core.windows import CALENDAR_WINDOWS
from tests.unit.test_schedules import BERLIN, HOUR, at

PANE_MS = 300_000


#   Berlin  25 Mar ... 28 Mar | 29 Mar (23 h) | 30 Mar: now
def test_days_before_today_with_the_short_one_in_march():
    found = list(over("business-day", at("2026-03-30 12:00"), PANE_MS, BERLIN))

    assert len(found) == 7
    assert found[0] == (at("2026-03-28 23:00"), at("2026-03-29 22:00"))
    assert found[0].to_ms - found[0].from_ms == 23 * HOUR
    assert found[1] == (at("2026-03-27 23:00"), at("2026-03-28 23:00"))


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
    found = next(over(name, at("2026-03-11 09:00"), PANE_MS, "UTC"))

    assert found == tuple(at(f"{day} 00:00") for day in first)


def test_a_period_is_over_at_its_very_end():
    assert next(over("business-day", at("2026-03-11 00:00"), PANE_MS, "UTC")).to_ms == at("2026-03-11 00:00")
    assert next(over("business-day", at("2026-03-10 23:59"), PANE_MS, "UTC")).to_ms == at("2026-03-10 00:00")


@pytest.mark.parametrize("name", CALENDAR_WINDOWS)
def test_periods_follow_each_other_without_gaps(name: str):
    found = list(over(name, at("2026-03-11 09:00"), PANE_MS, BERLIN, 240))

    assert len(found) == LOOKED_AT[name]
    assert all(later.from_ms == earlier.to_ms for later, earlier in pairwise(found))
