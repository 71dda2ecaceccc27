"""Windows at hours that are written out, clock changes included."""

from datetime import UTC, date, datetime

import pytest

from kpistream.core import windows as w
from kpistream.core.measures import CALLS, CONNECTED
from kpistream.core.tallies import NOTHING, pack_tally
from kpistream.errors import ConfigError

MINUTE = 60_000
PANE = 5 * MINUTE


def at(text: str) -> int:
    """Epoch ms of a time in UTC: `2026-03-02 12:05`."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


def span(begin: str, end: str) -> w.Window:
    return w.Window(at(begin), at(end))


def hours(window: w.Window) -> float:
    return (window.to_ms - window.from_ms) / (60 * MINUTE)


#   12:00     12:05     12:10     12:15     12:20
#     |---------|---------|---------|---------|
#                                  ^ now = 12:14:59.999
#     [=============================)            rolling-15m
def test_rolling_window_ends_with_the_current_pane():
    window = w.rolling(at("2026-03-02 12:14:59") + 999, 15 * MINUTE, PANE)

    assert window == span("2026-03-02 12:00", "2026-03-02 12:15")
    assert [start - window.from_ms for start in range(*window, PANE)] == [0, PANE, 2 * PANE]


#   12:00     12:05     12:10     12:15     12:20
#     |---------|---------|---------|---------|
#                                   ^ now = 12:15
#               [=============================)  rolling-15m: starts in (12:00, 12:15]
def test_rolling_window_drops_the_pane_that_started_exactly_its_length_ago():
    assert w.rolling(at("2026-03-02 12:15"), 15 * MINUTE, PANE) == span("2026-03-02 12:05", "2026-03-02 12:20")


def test_rolling_window_of_an_hour_has_twelve_panes():
    window = w.rolling(at("2026-03-02 12:17"), 60 * MINUTE, PANE)

    assert window == span("2026-03-02 11:20", "2026-03-02 12:20")
    assert len(range(*window, PANE)) == 12


def test_window_is_half_open():
    window = span("2026-03-02 12:00", "2026-03-02 12:15")

    assert window.holds(window.from_ms)
    assert window.holds(window.to_ms - 1)
    assert not window.holds(window.to_ms)
    assert not window.holds(window.from_ms - 1)


def test_pane_sizes_divide_a_quarter_of_an_hour():
    assert w.PANE_SIZES_MS[:4] == (1000, 2000, 3000, 4000)
    assert 300_000 in w.PANE_SIZES_MS
    assert 7 * 60_000 not in w.PANE_SIZES_MS
    assert w.PANE_SIZES_MS[-1] == 900_000


def test_business_day_follows_the_zone():
    # Berlin in winter is UTC+1: its 2nd of March begins at 23:00 UTC.
    assert w.business_day(at("2026-03-02 12:00"), "Europe/Berlin") == span("2026-03-01 23:00", "2026-03-02 23:00")
    assert w.business_day(at("2026-03-02 23:00"), "Europe/Berlin") == span("2026-03-02 23:00", "2026-03-03 23:00")


@pytest.mark.parametrize(
    ("zone", "noon", "begin", "end", "length"),
    [
        # Berlin, 29 March 2026: 02:00 becomes 03:00.
        ("Europe/Berlin", "2026-03-29 12:00", "2026-03-28 23:00", "2026-03-29 22:00", 23),
        # Berlin, 25 October 2026: 03:00 becomes 02:00.
        ("Europe/Berlin", "2026-10-25 12:00", "2026-10-24 22:00", "2026-10-25 23:00", 25),
        # Jerusalem, 27 March 2026 (a Friday): 02:00 becomes 03:00.
        ("Asia/Jerusalem", "2026-03-27 12:00", "2026-03-26 22:00", "2026-03-27 21:00", 23),
        # Lord Howe moves its clock by half an hour: 5 April 2026, 02:00 becomes 01:30.
        ("Australia/Lord_Howe", "2026-04-05 02:00", "2026-04-04 13:00", "2026-04-05 13:30", 24.5),
        # Kathmandu is UTC+5:45, all year.
        ("Asia/Kathmandu", "2026-03-02 12:00", "2026-03-01 18:15", "2026-03-02 18:15", 24),
        # St. John's is UTC-3:30 in winter.
        ("America/St_Johns", "2026-01-02 12:00", "2026-01-02 03:30", "2026-01-03 03:30", 24),
        # Sao Paulo, 4 November 2018: midnight does not exist, 00:00 becomes 01:00.
        ("America/Sao_Paulo", "2018-11-04 12:00", "2018-11-04 03:00", "2018-11-05 02:00", 23),
        # Havana, 2 November 2025: 01:00 becomes 00:00; the first midnight begins the day.
        ("America/Havana", "2025-11-02 12:00", "2025-11-02 04:00", "2025-11-03 05:00", 25),
        # St. John's, 7 November 2010: 00:01 became 23:01 of the day before; the second midnight begins the day.
        ("America/St_Johns", "2010-11-07 12:00", "2010-11-07 03:30", "2010-11-08 03:30", 24),
        ("America/St_Johns", "2010-11-07 03:00", "2010-11-06 02:30", "2010-11-07 03:30", 25),
        # Apia slept through 30 December 2011: the 29th meets the 31st.
        ("Pacific/Apia", "2011-12-30 09:59", "2011-12-29 10:00", "2011-12-30 10:00", 24),
        ("Pacific/Apia", "2011-12-30 10:00", "2011-12-30 10:00", "2011-12-31 10:00", 24),
    ],
)
def test_business_day_when_the_clock_changes(zone: str, noon: str, begin: str, end: str, length: float):
    window = w.business_day(at(noon), zone)

    assert window == span(begin, end)
    assert hours(window) == length


def test_business_day_may_start_later_than_midnight():
    # A floor that works past midnight: the day starts at 04:00 in Madrid (UTC+1).
    before, after = at("2026-03-02 02:59"), at("2026-03-02 03:00")

    assert w.business_date(before, "Europe/Madrid", 240) == date(2026, 3, 1)
    assert w.business_date(after, "Europe/Madrid", 240) == date(2026, 3, 2)
    assert w.business_day(after, "Europe/Madrid", 240) == span("2026-03-02 03:00", "2026-03-03 03:00")


def test_calendar_windows_of_berlin():
    now = at("2026-03-31 21:59")  # 23:59 on Tuesday the 31st in Berlin

    assert w.week(now, "Europe/Berlin") == span("2026-03-29 22:00", "2026-04-05 22:00")
    assert w.month(now, "Europe/Berlin") == span("2026-02-28 23:00", "2026-03-31 22:00")
    assert w.quarter(now, "Europe/Berlin") == span("2025-12-31 23:00", "2026-03-31 22:00")
    assert w.year(now, "Europe/Berlin") == span("2025-12-31 23:00", "2026-12-31 23:00")


def test_last_month_of_a_quarter_ends_with_the_year():
    now = at("2026-12-05 12:00")

    assert w.month(now, "UTC") == span("2026-12-01 00:00", "2027-01-01 00:00")
    assert w.quarter(now, "UTC") == span("2026-10-01 00:00", "2027-01-01 00:00")


def test_windows_are_found_by_name():
    now = at("2026-03-02 12:14")

    assert w.window_at("rolling-15m", now, PANE, "UTC") == span("2026-03-02 12:00", "2026-03-02 12:15")
    assert w.window_at("rolling-60m", now, PANE, "UTC") == span("2026-03-02 11:15", "2026-03-02 12:15")
    assert w.window_at("business-day", now, PANE, "UTC") == span("2026-03-02 00:00", "2026-03-03 00:00")
    with pytest.raises(KeyError):
        w.window_at("fortnight", now, PANE, "UTC")


def test_unknown_zone_is_a_configuration_fault():
    with pytest.raises(ConfigError, match='unknown time zone "Europe/Atlantis"'):
        w.business_day(0, "Europe/Atlantis")


def packed(panes):
    """Gives the packed tally at a start, as a window asks for it."""
    return lambda start_ms: panes.get(start_ms, NOTHING)


#   start    12:00   12:05   12:10   12:15
#   calls      1       2       4       8
#   now 12:14  [=======================)          1 + 2 + 4
#   now 12:15          [=======================)  2 + 4 + 8
def test_running_window_adds_what_enters_and_takes_away_what_leaves():
    start = at("2026-03-02 12:00")
    panes = {start + i * PANE: pack_tally({CALLS: 2**i}) for i in range(4)}
    running = w.RunningWindow(w.rolling(start + 14 * MINUTE, 15 * MINUTE, PANE), PANE)

    for start_ms, tally in panes.items():
        running.put(start_ms, tally)
    assert running.tally == {CALLS: 7}

    assert running.move_to(w.rolling(start + 15 * MINUTE, 15 * MINUTE, PANE), packed(panes))
    assert running.tally == {CALLS: 14}


def test_running_window_takes_a_changed_pane_for_the_old_one():
    running = w.RunningWindow(w.Window(0, 3 * PANE), PANE)

    assert running.put(0, pack_tally({CALLS: 5, CONNECTED: 2}))
    assert running.tally == {CALLS: 5, CONNECTED: 2}
    assert running.put(0, pack_tally({CALLS: 6, CONNECTED: 2}))
    assert running.tally == {CALLS: 6, CONNECTED: 2}
    assert not running.put(0, pack_tally({CONNECTED: 2, CALLS: 6}))
    assert running.put(0, NOTHING)
    assert running.tally == {}


def test_running_window_that_moves_past_everything_is_empty():
    running = w.RunningWindow(w.Window(0, 3 * PANE), PANE)
    panes = {PANE: pack_tally({CALLS: 1})}
    running.put(PANE, panes[PANE])

    assert running.move_to(w.Window(30 * PANE, 33 * PANE), packed(panes))
    assert running.tally == {}
    assert not running.move_to(w.Window(31 * PANE, 34 * PANE), packed(panes))
