"""Contributing: which events, or agents, are named of a target that is missed, and in which order."""

from fractions import Fraction
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from kpistream.core import measures as m
from kpistream.core.contributing import Contributor, Part, contributors
from kpistream.core.kpis import BY_NAME, KPIS, Limits, Value, evaluate, weights
from kpistream.core.targets import Direction, Target, Why

PANE_MS = 300_000


def target(kpi: str, low: str | None = None, high: str | None = None, member: str | None = None) -> Target:
    direction = Direction.BETWEEN if low and high else Direction.AT_LEAST if low else Direction.AT_MOST
    bounds = {name: None if text is None else Fraction(text) for name, text in (("low", low), ("high", high))}
    return Target(name="t", kpi=kpi, window="business-day", direction=direction, member=member, **bounds)


def call(name: str, pane: int, *more: int) -> Part:
    return Part(name, pane * PANE_MS, (m.CALLS, 1, m.OUTBOUND_CALLS, 1, *more))


def names(found: tuple[Contributor, ...]) -> list[str]:
    return [each.name for each in found]


CONNECTED = (m.CONNECTED, 1, m.OUTBOUND_CONNECTED, 1)


def test_share_that_is_too_low_names_its_newest_failures() -> None:
    parts = [call(f"c{n}", n, *(CONNECTED if n % 2 else ())) for n in range(14)]

    found = contributors(target("connect_share", "1/2"), Why.BELOW_BOUND, parts)

    assert names(found) == ["c12", "c10", "c8", "c6", "c4"]
    assert found[0] == Contributor("c12", 12 * PANE_MS, 0, 1)


def test_share_that_is_too_high_names_what_counts_and_never_what_is_not_a_case() -> None:
    short, long = m.talk_bin(5000), m.talk_bin(120_000)
    parts = [
        call("short", 1, *CONNECTED, short, 1),
        call("long", 2, *CONNECTED, long, 1),
        call("nobody", 3),
        call("short too", 3, *CONNECTED, short, 1),
    ]

    found = contributors(target("too_short_share", high="1/10"), Why.ABOVE_BOUND, parts)

    assert names(found) == ["short too", "short"]


def test_mean_names_the_most_extreme_values_on_the_side_that_is_missed() -> None:
    talks = {"a": 20_000, "b": 50_000, "c": 400_000, "d": 900_000, "e": 70_000}
    parts = [call(name, 1, *CONNECTED, m.TALK_MS, ms) for name, ms in talks.items()]
    band = target("average_talk_time", "60000", "300000")

    assert names(contributors(band, Why.BELOW_BOUND, parts)) == ["a", "b"]
    assert names(contributors(band, Why.ABOVE_BOUND, parts)) == ["d", "c"]


def test_mean_with_a_factor_is_held_against_its_bound_in_the_same_unit() -> None:
    five = m.scale_code(1, 5)
    parts = [
        Part(f"s{score}", 1, (m.SURVEYS, 1, m.CSAT_ANSWERS + five, 1, m.CSAT_SCORE_MILLI + five, score * 1000))
        for score in (1, 2, 3, 4, 5)
    ]

    found = contributors(target("csat_mean", "7/2", member="1-5"), Why.BELOW_BOUND, parts)
    assert names(found) == ["s1", "s2", "s3"]
    promoters = [
        Part("p", 1, (m.NPS_RATED, 1, m.NPS_PROMOTERS, 1)),
        Part("d", 1, (m.NPS_RATED, 1, m.NPS_DETRACTORS, 1)),
    ]
    assert names(contributors(target("nps", "30"), Why.BELOW_BOUND, promoters)) == ["d"]


def test_count_behind_pace_names_its_newest_events_and_one_that_is_too_high_the_largest() -> None:
    parts = [call(f"c{n}", n) for n in range(9)]
    yen = [Part(f"d{n}", 1, (m.DEALS_WON, 1, m.WON_DEALS + 392, 1, m.WON_MINOR + 392, n * 1000)) for n in (3, 9, 5)]

    assert names(contributors(target("calls", "45"), Why.BEHIND_PACE, parts)) == ["c8", "c7", "c6", "c5", "c4"]
    assert names(contributors(target("revenue", high="10", member="JPY"), Why.ABOVE_BOUND, yen)) == ["d9", "d5", "d3"]
    assert contributors(target("revenue", high="10", member="EUR"), Why.ABOVE_BOUND, yen) == ()


def test_team_names_the_agents_that_lack_most_not_those_with_the_lowest_share() -> None:
    def agent(name: str, connected: int, calls: int) -> Part:
        return Part(f"agent:{name}", None, (m.OUTBOUND_CALLS, calls, m.OUTBOUND_CONNECTED, connected))

    parts = [agent("ann", 0, 3), agent("bob", 20, 100), agent("cho", 60, 100), agent("dee", 9, 40)]

    found = contributors(target("connect_share", "3/10"), Why.BELOW_BOUND, parts)

    assert names(found) == ["agent:bob", "agent:dee", "agent:ann"]
    assert found[0] == Contributor("agent:bob", None, 20, 100)
    few = [Part(f"agent:{n}", None, (m.CALLS, n)) for n in (7, 2, 9)]
    assert names(contributors(target("calls", "30"), Why.BELOW_BOUND, few)) == ["agent:2", "agent:7", "agent:9"]


def test_nothing_is_named_when_nothing_is_missed() -> None:
    for why in (Why.WITHIN_BOUND, Why.OFF_SHIFT, Why.SOURCE_SILENT):
        assert contributors(target("connect_share", "1/2"), why, [call("c", 1)]) == ()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=12), st.randoms(use_true_random=False))
def test_same_parts_give_the_same_names_in_any_order(found: list[tuple[int, int]], random: Random) -> None:
    parts = [call(f"c{n}", pane, *CONNECTED, m.TALK_MS, talk * 100_000) for n, (pane, talk) in enumerate(found)]
    band = target("average_talk_time", "60000", "300000")
    expected = [contributors(band, why, parts) for why in (Why.BELOW_BOUND, Why.ABOVE_BOUND)]

    random.shuffle(parts)

    assert [contributors(band, why, parts) for why in (Why.BELOW_BOUND, Why.ABOVE_BOUND)] == expected


NUMBERS = st.sampled_from(
    [
        *(each.number for each in m.SCALARS),
        *(m.TALK_BIN + n for n in range(8)),
        m.WON_MINOR + 392,
        m.WON_DEALS + 392,
        *(first + m.scale_code(1, 5) for first in (m.CSAT_ANSWERS, m.CSAT_SCORE_MILLI)),
    ]
)


@given(st.dictionaries(NUMBERS, st.integers(1, 10**9), max_size=8))
def test_weights_say_what_a_kpi_says(tally: dict[int, int]) -> None:
    for kpi in KPIS:
        member = {"currency": "JPY", "scale": "1-5"}.get(kpi.per)
        above, below = weights(kpi, Limits(), member)
        found = evaluate(kpi, tally)
        value = found if isinstance(found, Value) else found.get(member or "")
        sums = [sum(weight * tally.get(number, 0) for number, weight in each.items()) for each in (above, below or {})]
        expected = (0, 0) if value is None else (value.numerator, value.denominator or 0)
        assert tuple(sums) == expected, kpi.name
    assert weights(BY_NAME["calls"]).below is None
