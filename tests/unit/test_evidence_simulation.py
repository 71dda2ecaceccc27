"""An agent exactly on target is not alarmed more often than stated, looked at after every event; one who slips is.

The same code as `python -m bench.evidence`, with fewer days and fixed seeds. Limits leave room for chance: a share of
`alpha` over some days is exceeded by three standard errors once in 700 times.
"""

import math
import random
from fractions import Fraction

import pytest

from bench import evidence as sim
from kpistream.core import evidence as ev
from kpistream.core.evidence import Level, evidence, threshold

FIFTH = Fraction(1, 5)
DAYS = 800


def at_most(alpha: float, days: int) -> float:
    """The stated level, and three standard errors."""
    return alpha + 3 * math.sqrt(alpha * (1 - alpha) / days)


def chance() -> random.Random:
    return random.Random(11)


@pytest.mark.parametrize("alpha", [0.05, 0.01])
@pytest.mark.parametrize("bound", [Fraction(1, 20), FIFTH, Fraction(3, 5), Fraction(19, 20)])
def test_share_exactly_on_target_is_rarely_alarmed(bound: Fraction, alpha: float):
    assert sim.shares(sim.by_odds(alpha), bound, float(bound), chance(), DAYS).share <= at_most(alpha, DAYS)


def test_plain_threshold_and_wilson_alarm_who_is_on_target():
    """What evidence is for: nearly nine of ten days, and one of five."""
    naive = sim.shares(sim.naive, FIFTH, 0.2, chance(), DAYS).share
    wilson = sim.shares(sim.wilson, FIFTH, 0.2, chance(), DAYS).share

    assert naive == pytest.approx(0.88, abs=0.04)
    assert wilson == pytest.approx(0.21, abs=0.045)


def test_slips_from_the_start_of_the_day_are_found():
    rule = sim.SHARE_RULES["evidence, alpha 0.05"]

    assert sim.shares(rule, FIFTH, 0.1, chance(), DAYS).share > 0.55
    assert sim.shares(rule, FIFTH, 0.05, chance(), DAYS).share > 0.95


def test_detector_is_the_slip_of_the_panes():
    assert all(sim.slip_agrees(random.Random(seed)) for seed in range(6))


def test_detector_rarely_alarms_who_does_not_slip_and_finds_who_slips_at_noon():
    noon = 37
    still = sim.slips("detector", 0.2, noon, chance(), DAYS)
    slipped = sim.slips("detector", 0.05, noon, chance(), DAYS).between(noon, sim.CALLS)
    whole = sim.slips("whole day", 0.05, noon, chance(), DAYS).between(noon, sim.CALLS)

    assert still.share <= at_most(0.05, DAYS)
    assert slipped.share > 0.65
    assert whole.share < 0.5


@pytest.mark.parametrize(("alpha", "kind"), [(0.05, {}), (0.01, {}), (0.05, {"shape": 3})])
def test_count_on_pace_is_rarely_alarmed(alpha: float, kind: dict[str, int]):
    rule = sim.COUNT_RULES[f"evidence, alpha {alpha}"]

    assert sim.counts(rule, 1, chance(), DAYS, **kind).share <= at_most(alpha, DAYS)


def test_count_in_bursts_needs_its_dispersion():
    with_it = sim.counts(sim.COUNT_RULES["evidence, alpha 0.05, dispersion 2"], 1, chance(), DAYS, burst=2)
    without = sim.counts(sim.COUNT_RULES["evidence, alpha 0.05"], 1, chance(), DAYS, burst=2)

    assert with_it.share <= at_most(0.05, DAYS) < without.share


def test_count_at_sixty_per_cent_of_pace_is_found():
    assert sim.counts(sim.COUNT_RULES["evidence, alpha 0.05"], 0.6, chance(), DAYS).share > 0.95


@pytest.mark.parametrize("chances", [sim.ON_TARGET, (0.125, 0, 0, 0, 0.875), (0, 0, 0, 0.5, 0.5)])
def test_mean_exactly_on_target_is_rarely_alarmed(chances: tuple[float, ...]):
    """Whatever the distribution of scores: as measured, all or nothing, and narrow."""
    rule = sim.MEAN_RULES["evidence, alpha 0.05"]

    assert sim.means(rule, Fraction(4500), sim.surveys(chance(), chances, DAYS)).share <= at_most(0.05, DAYS)


def test_mean_of_scores_that_is_too_low_is_found():
    rule = sim.MEAN_RULES["evidence, alpha 0.05"]

    assert sim.means(rule, Fraction(4500), sim.surveys(chance(), sim.BELOW, DAYS)).share > 0.75


def test_talk_time_exactly_at_its_upper_bound_is_rarely_alarmed():
    found = sim.means(
        lambda scores, bound: evidence(ev.mean_at_most(bound, scores)) >= threshold(0.05),
        Fraction(360_000),
        sim.talks(chance(), 360, DAYS),
    )

    assert found.share <= at_most(0.05, DAYS)


@pytest.mark.parametrize("rule", ["settled", "curve"])
@pytest.mark.parametrize("kind", [(0, False), (25, False), (10, True)], ids=str)
def test_deals_that_lag_are_judged_within_the_level(rule: str, kind: tuple[int, bool]):
    """Also on the first day, with nothing carried over."""
    assert sim.lagged(sim.Lagged(*kind), rule, 0.2, chance(), 300).share <= at_most(0.05, 300)


def test_conversion_of_a_period_must_not_be_judged_as_a_share():
    """Deals that close 25 calls later: every agent on target is alarmed on the first day."""
    assert sim.lagged(sim.Lagged(25, False), "period", 0.2, chance(), 50).share == 1.0


def test_settled_conversion_that_is_too_low_is_found():
    assert sim.lagged(sim.Lagged(10, False), "settled", 0.05, chance(), 200).share > 0.9


def test_team_of_twenty_on_target_has_at_most_one_false_alarm_a_week():
    """40 weeks of 100 agent-days: 40 alarms are allowed on average."""
    level = Level(alarms=1, days=5, agents=20, targets=1)

    found = sim.shares(sim.by_odds(level.alpha), FIFTH, 0.2, chance(), 4000)
    assert sum(look is not None for look in found.looks) <= 40
