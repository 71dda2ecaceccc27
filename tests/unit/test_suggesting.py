"""Suggestions: a percentile of days that somebody really had, scaled to whole ones, for everybody and each tier."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpistream.core.measures import CALLS, CONNECTED, OUTBOUND_CALLS, OUTBOUND_CONNECTED, TALK_MS, Tally
from kpistream.core.settings import read_settings
from kpistream.core.suggesting import Suggestion, Wanted, percentile
from tests.unit.test_attainment import ROSTER, day, settings

CALLS_TARGET = "name: calls, kpi: calls, window: business-day, bound: 1"
SHIFTS = """
schedules:
  patterns:
    office: {hours: {mon-thu: 08:00-16:00, fri: 08:00-11:00}}
    mornings: {hours: {mon-fri: 08:00-12:00}, share: 50 %}
  assigned:
    - {tenant: acme, agent: anna, pattern: office}
    - {tenant: acme, agent: bela, pattern: mornings}
absences:
  - {tenant: acme, agent: anna, from: 2026-01-13 14:00, to: 2026-01-14 00:00}
  - {tenant: acme, agent: anna, from: 2026-01-14 10:00, to: 2026-01-15 00:00}
"""


def suggested(days: list[tuple[int, str, Tally]], wanted: Wanted, more: str = "") -> str:
    suggestion = Suggestion(settings(CALLS_TARGET, more=more), wanted)
    for number, agent, tally in days:
        suggestion.take(day(number, tally, f"agent:{agent}"))
    return "\n".join(suggestion.lines())


@pytest.mark.parametrize(
    ("percent", "value"), [(1, 1), (10, 1), (11, 2), (50, 5), (80, 8), (81, 9), (99, 10), (100, 10)]
)
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(percent: int, value: int):
    assert percentile([Fraction(number) for number in range(1, 11)], percent) == value


@given(st.lists(st.integers(-50, 50), min_size=1), st.integers(1, 100))
def test_a_percentile_is_a_value_that_is_there_and_no_smaller_one_would_do(numbers: list[int], percent: int):
    values = sorted(map(Fraction, numbers))

    found = percentile(values, percent)

    assert found in values
    assert 100 * sum(value <= found for value in values) >= percent * len(values)
    assert 100 * sum(value < found for value in values) < percent * len(values)


#   anna   Monday: 8 h, 80 calls   Tuesday: 6 of 8 h, 60 calls   Wednesday: 2 of 8 h   Friday: 3 of 3 h
#   bela   half a day for half of the calls
def test_a_day_is_scaled_to_a_whole_one_and_less_than_half_is_left_out():
    days = [(0, "anna", {CALLS: 80}), (1, "anna", {CALLS: 60}), (2, "anna", {CALLS: 99}), (4, "bela", {CALLS: 40})]

    text = suggested(days, Wanted("calls", "acme"), SHIFTS)

    assert text.splitlines()[0] == (
        "# percentile 80 of whole days of agents; 3 days of 2 agents, half of them from 80 to 80, median 80"
    )
    assert '    bound: "80"' in text.splitlines()


def test_what_should_be_low_takes_the_percentile_from_the_other_side_and_a_band_takes_both():
    connected = {CONNECTED: 10, OUTBOUND_CONNECTED: 10, OUTBOUND_CALLS: 10}
    days = [(number, "anna", {**connected, TALK_MS: 10 * 1_000 * (100 + number)}) for number in range(10)]

    band = suggested(days, Wanted("average_talk_time", "acme"))
    low = suggested([(n, "anna", {CALLS: 1, 23: n}) for n in range(1, 11)], Wanted("follow_ups_late", "acme"))

    assert [line.strip() for line in band.splitlines()[6:9]] == ["minimum_sample: 10", 'low: "101 s"', 'high: "107 s"']
    assert '    bound: "2"' in low.splitlines()


def test_a_share_of_few_cases_is_no_value():
    few = [(number, "anna", {OUTBOUND_CALLS: 9, OUTBOUND_CONNECTED: 9}) for number in range(10)]
    enough = [(20 + number, "anna", {OUTBOUND_CALLS: 10, OUTBOUND_CONNECTED: 3}) for number in range(10)]

    assert '    bound: "30 %"' in suggested(few + enough, Wanted("connect_share", "acme")).splitlines()


def test_a_tier_with_a_strange_name_is_read_back():
    roster = ROSTER.replace("tier: new", 'tier: "new: \\"A\\" # 1"')
    known = read_settings({"roster.yaml": roster})
    suggestion = Suggestion(known, Wanted("calls", "acme"))
    for number in range(10):
        suggestion.take(day(number, {CALLS: 5}, "agent:bela"))

    [target] = read_settings({"roster.yaml": roster, "targets.yaml": "\n".join(suggestion.lines())}).targets

    assert [override.name for override in target.overrides] == ['new: "A" # 1']
