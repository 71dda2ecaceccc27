"""Evidence is a function of sums: it moves the right way, looks the same in the mirror, and never pays on average."""

import math
from fractions import Fraction
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from kpistream.core.bounds import count_interval, mean_interval, share_interval
from kpistream.core.evidence import (
    Scores,
    count_at_least,
    count_at_most,
    evidence,
    mean_at_least,
    mean_at_most,
    share_at_least,
    share_at_most,
    unlimited_mean_at_least,
)
from kpistream.core.slips import slip

BOUNDS = st.fractions(Fraction(1, 1000), Fraction(999, 1000), max_denominator=1000)
COUNTS = st.integers(0, 10**9)
ROWS = st.lists(st.integers(1, 5), min_size=1, max_size=40)
CLOSE = 1e-6


def scores(row: list[int]) -> Scores:
    return Scores(len(row), sum(row), sum(v * v for v in row))


@given(BOUNDS, COUNTS, COUNTS)
def test_each_success_takes_evidence_from_at_least_and_adds_to_at_most(bound, one, other):
    successes, trials = sorted((one, other))
    more = min(successes + max(1, successes // 1000), trials)

    assert evidence(share_at_least(bound, more, trials)) <= evidence(share_at_least(bound, successes, trials))
    assert evidence(share_at_most(bound, more, trials)) >= evidence(share_at_most(bound, successes, trials))


@given(BOUNDS, COUNTS, COUNTS)
def test_successes_and_failures_are_mirror_images(bound, one, other):
    successes, trials = sorted((one, other))

    assert share_at_most(bound, successes, trials) == share_at_least(1 - bound, trials - successes, trials)


@given(BOUNDS, st.integers(0, 10**6), st.integers(0, 10**6))
def test_higher_bound_has_more_against_it(bound, one, other):
    successes, trials = sorted((one, other))
    higher = (bound + 1) / 2

    assert evidence(share_at_least(higher, successes, trials)) >= evidence(share_at_least(bound, successes, trials))


@given(st.floats(0, 1e9), COUNTS)
def test_each_event_takes_evidence_from_a_pace(expected, seen):
    assert evidence(count_at_least(expected, seen + 1)) < evidence(count_at_least(expected, seen)) or seen > 10**8
    assert evidence(count_at_most(expected, seen + 1)) > evidence(count_at_most(expected, seen)) or seen > 10**8
    assert math.isfinite(evidence(count_at_least(expected, seen)))


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=20), BOUNDS)
def test_bets_of_panes_add(pairs, bound):
    panes = [(won, won + lost) for won, lost in pairs]
    whole = share_at_least(bound, sum(s for s, _ in panes), sum(n for _, n in panes))

    added = [sum(bets) for bets in zip(*(share_at_least(bound, s, n) for s, n in panes), strict=True)]
    assert all(abs(a - b) < CLOSE for a, b in zip(added, whole, strict=True))


@given(ROWS, st.integers(11, 49))
def test_scores_in_the_mirror_have_the_same_evidence(row, tenths):
    bound, mirrored = Fraction(tenths, 10), scores([6 - v for v in row])

    one = evidence(mean_at_least(bound, scores(row), 5, 1))
    assert abs(one - evidence(mean_at_most(6 - bound, mirrored, 1, 5))) < CLOSE


@given(ROWS, st.integers(11, 49), st.randoms(use_true_random=False))
def test_order_of_scores_does_not_matter(row, tenths, chance):
    shuffled = list(row)
    chance.shuffle(shuffled)

    assert mean_at_least(Fraction(tenths, 10), scores(row), 5) == mean_at_least(
        Fraction(tenths, 10), scores(shuffled), 5
    )


@given(st.lists(st.integers(0, 10), min_size=5, max_size=5).filter(any), st.integers(1, 3))
def test_mean_never_pays_on_average_whatever_the_scores(weights, number):
    """Any distribution of scores 1 to 5, judged against its own mean and against a bound below it."""
    total = sum(weights)
    mean = Fraction(sum(w * v for v, w in enumerate(weights, 1)), total)
    for bound in {mean, (mean + 1) / 2}:
        gained = 0.0
        for row in product([v for v, w in enumerate(weights, 1) if w], repeat=number):
            chance = math.prod(weights[v - 1] / total for v in row)
            gained += chance * math.exp(evidence(mean_at_least(bound, scores(list(row)), 5, 1)))
        assert gained <= 1 + 1e-9


@given(ROWS, st.integers(11, 49), st.floats(0.0, 1.0))
def test_wealth_of_a_mean_is_never_above_that_of_its_bets(row, tenths, other):
    """What the sums say is at most what the scores one by one would: `log(1 + stake * y)`, added."""
    bound = Fraction(tenths, 10)
    room = float(5 - bound)

    bets = mean_at_least(bound, scores(row), 5, None if other < 0.5 else 1)
    for bet, stake in zip(bets, (0.1, 0.2, 0.3, 0.5), strict=True):
        assert bet <= sum(math.log1p(stake * (float(bound) - v) / room) for v in row) + CLOSE


@given(st.integers(1, 10**9), st.integers(0, 10**7), st.integers(0, 10**7))
def test_sums_of_any_size_give_a_number(number, value, spread):
    row = Scores(number, number * value, number * (value * value + spread))

    for found in (
        evidence(mean_at_most(Fraction(300_000), row)),
        evidence(mean_at_least(Fraction(300_000), row, 28_800_000)),
        unlimited_mean_at_least(Fraction(300_000), row),
    ):
        assert not math.isnan(found)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=30), st.integers(1, 40))
def test_day_of_panes_is_worth_no_more_than_its_best_start(pairs, planned):
    panes = [(at, share_at_least(Fraction(1, 5), won, won + lost)) for at, (won, lost) in enumerate(pairs)]

    found = slip(panes, planned)
    tails = [[bets for _, bets in panes[at:]] for at in range(len(panes))]
    starts = [evidence(tuple(map(sum, zip(*tail, strict=True)))) for tail in tails]
    assert found.against <= max(0.0, *starts) + CLOSE
    assert found.run >= max(starts) - CLOSE


@given(COUNTS, COUNTS, st.floats(0.01, 0.9999))
def test_share_interval_holds_the_share_and_is_its_own_mirror(one, other, confidence):
    successes, trials = sorted((one, other))
    found, mirrored = (share_interval(s, trials, confidence) for s in (successes, trials - successes))

    if found is None or mirrored is None:
        assert trials == 0
        return
    assert 0 <= found.low <= successes / trials + 1e-12
    assert successes / trials - 1e-12 <= found.high <= 1
    assert math.isclose(found.low, 1 - mirrored.high, abs_tol=1e-12)


@given(st.integers(0, 10**9), st.floats(0.5, 0.9999))
def test_count_interval_holds_the_count(seen, confidence):
    found = count_interval(seen, confidence)

    assert found.low <= seen <= found.high


@given(st.lists(st.integers(-(10**7), 10**7), min_size=2, max_size=30))
def test_mean_interval_holds_the_mean_and_grows_with_confidence(values):
    sums = (len(values), sum(values), sum(v * v for v in values))
    narrow, wide = mean_interval(*sums, 0.8), mean_interval(*sums, 0.99)

    assert narrow is not None and wide is not None
    assert wide.low <= narrow.low <= sums[1] / sums[0] <= narrow.high <= wide.high
