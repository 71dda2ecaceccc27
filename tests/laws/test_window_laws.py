"""Windows partition time, are unions of panes, and running sums equal plain sums."""

from hypothesis import given, settings
from hypothesis import strategies as st

from kpistream.core import windows as w
from kpistream.core.measures import total
from kpistream.core.tallies import pack_tally

ZONES = (
    "UTC",
    "Africa/Cairo",
    "America/Havana",
    "America/Los_Angeles",
    "America/Santiago",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Antarctica/Casey",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Jerusalem",
    "Asia/Kathmandu",
    "Asia/Tehran",
    "Australia/Eucla",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Pacific/Kiritimati",
)
FIRST_MS, LAST_MS = 631_152_000_000, 2_208_988_800_000  # 1990 to 2040
INSTANTS = st.integers(FIRST_MS, LAST_MS)
STARTS = st.integers(0, 95).map(lambda quarter: quarter * 15)
CALENDARS = st.sampled_from((w.business_day, w.week, w.month, w.quarter, w.year))


@settings(max_examples=400)
@given(INSTANTS, st.sampled_from(ZONES), STARTS, CALENDARS)
def test_windows_partition_time(now_ms, zone, day_starts_at, calendar):
    """Every instant lies in exactly one window; the next begins where it ends."""
    window = calendar(now_ms, zone, day_starts_at)

    assert window.holds(now_ms)
    assert calendar(window.from_ms, zone, day_starts_at) == window
    assert calendar(window.to_ms - 1, zone, day_starts_at) == window
    assert calendar(window.to_ms, zone, day_starts_at).from_ms == window.to_ms
    assert calendar(window.from_ms - 1, zone, day_starts_at).to_ms == window.from_ms


@given(INSTANTS, st.sampled_from(ZONES), STARTS, CALENDARS, st.sampled_from(w.PANE_SIZES_MS))
def test_every_calendar_window_is_a_union_of_panes(now_ms, zone, day_starts_at, calendar, pane_ms):
    window = calendar(now_ms, zone, day_starts_at)

    assert window.from_ms % pane_ms == 0
    assert window.to_ms % pane_ms == 0


@given(INSTANTS, st.sampled_from(ZONES), STARTS, st.sampled_from(w.PANE_SIZES_MS))
def test_a_pane_lies_in_exactly_one_business_day(now_ms, zone, day_starts_at, pane_ms):
    start_ms = w.pane_start(now_ms, pane_ms)

    first = w.business_day(start_ms, zone, day_starts_at)
    assert first == w.business_day(start_ms + pane_ms - 1, zone, day_starts_at)
    assert start_ms in range(*first, pane_ms)


@given(INSTANTS, st.sampled_from(ZONES))
def test_larger_windows_are_unions_of_business_days(now_ms, zone):
    day = w.business_day(now_ms, zone)

    for calendar in (w.week, w.month, w.quarter, w.year):
        window = calendar(now_ms, zone)
        assert window.from_ms <= day.from_ms
        assert day.to_ms <= window.to_ms


@given(INSTANTS, st.sampled_from(w.PANE_SIZES_MS), st.sampled_from(sorted(w.ROLLING_MS.values())))
def test_rolling_window_holds_the_panes_that_started_within_its_length(now_ms, pane_ms, length_ms):
    window = w.rolling(now_ms, length_ms, pane_ms)

    around = range(w.pane_start(now_ms, pane_ms) - length_ms - 2 * pane_ms, now_ms + 3 * pane_ms, pane_ms)
    assert list(range(*window, pane_ms)) == [start for start in around if now_ms - length_ms < start <= now_ms]


TALLIES = st.dictionaries(st.integers(1, 4), st.integers(-3, 3).filter(bool), max_size=3)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 20), TALLIES),
        st.tuples(st.just("move"), st.integers(0, 20), st.integers(1, 8)),
    ),
    max_size=40,
)


@settings(max_examples=300)
@given(STEPS)
def test_running_window_equals_the_plain_sum(steps):
    """Whatever panes change, enter and leave, in any order, forwards and backwards."""
    pane_ms = 1000
    panes: dict[int, dict[int, int]] = {}
    running = w.RunningWindow(w.Window(0, 3 * pane_ms), pane_ms)

    for verb, number, what in steps:
        before = dict(running.tally)
        if verb == "put":
            panes[number * pane_ms] = what
            changed = running.put(number * pane_ms, pack_tally(what))
        else:
            window = w.Window(number * pane_ms, (number + what) * pane_ms)
            changed = running.move_to(window, lambda start_ms: pack_tally(panes.get(start_ms, {})))
        assert running.tally == total(tally for start, tally in panes.items() if running.window.holds(start))
        assert changed or running.tally == before
