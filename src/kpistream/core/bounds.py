"""Bounds: how far the truth may lie from a reported number, for one look at a span that is over.

For reports only. Whoever looks again and again, and acts on it, is misled by them four to five times as often as they
promise; alerts use evidence.py. A bound is a function of sums; no cases have no bound, None.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

import msgspec

from kpistream.core.quantiles import gamma_quantile, normal_quantile, t_quantile

DEFAULT_CONFIDENCE: Final = 0.95


class Interval(msgspec.Struct, frozen=True):
    """What the truth lies between, with the stated confidence, both sides together."""

    low: float
    high: float


def share_interval(successes: int, trials: int, confidence: float = DEFAULT_CONFIDENCE) -> Interval | None:
    """Wilson's interval of a share, 0..1; None without trials.

    Its coverage is right on average over shares, not for each share (Brown, Cai and DasGupta 2001, Statistical
    Science 16, 101-133).

    Source: Wilson 1927, Journal of the American Statistical Association 22, 209-212.
    """
    assert 0 <= successes <= trials, (successes, trials)
    if not trials:
        return None
    z = normal_quantile((1 - confidence) / 2)
    share, spread = successes / trials, z * z / trials
    middle = (share + spread / 2) / (1 + spread)
    product = successes / trials * ((trials - successes) / trials)
    half = z * math.sqrt(product / trials + spread / trials / 4) / (1 + spread)
    return Interval(
        0.0 if successes == 0 else max(0.0, middle - half),
        1.0 if successes == trials else min(1.0, middle + half),
    )


def count_interval(seen: int, confidence: float = DEFAULT_CONFIDENCE) -> Interval:
    """The exact interval of a Poisson count's mean; never covers less than it says.

    Source: Garwood 1936, Biometrika 28, 437-442.
    """
    assert seen >= 0, seen
    tail = (1 - confidence) / 2
    return Interval(gamma_quantile(tail, seen) if seen else 0.0, gamma_quantile(1 - tail, seen + 1))


def mean_interval(number: int, total: int, squares: int, confidence: float = DEFAULT_CONFIDENCE) -> Interval | None:
    """Student's interval of a mean from the sums of values and of their squares; None for fewer than two values.

    In the unit of the values. Exact for normal values; for skewed ones, such as talk times, only for many of them.

    Source: Student 1908, Biometrika 6, 1-25.
    """
    if number < 2:
        return None
    # As integers: the two terms of the variance may agree in more digits than a float has.
    spread = number * squares - total * total
    assert spread >= 0, (number, total, squares)
    half = t_quantile((1 - confidence) / 2, number - 1) * _root(spread, number * number * (number - 1))
    return Interval(total / number - half, total / number + half)


def ratio_interval(cells: Sequence[tuple[int, int]], confidence: float = DEFAULT_CONFIDENCE) -> Interval | None:
    """The interval of a ratio of sums, from its numerator and denominator in each cell, such as a day.

    By linearisation (the delta method), with Student's t of one degree less than there are cells. The cells are taken
    to be independent of each other, numerator and denominator of one cell need not be: deals by day over calls by
    day. None for fewer than two cells, or when all denominators are 0.

    Source: Cochran 1977, Sampling Techniques, 3rd edition, section 6.4.
    """
    above, below, count = sum(a for a, _ in cells), sum(b for _, b in cells), len(cells)
    if count < 2 or below == 0:
        return None
    residues = sum((a * below - above * b) ** 2 for a, b in cells)
    half = t_quantile((1 - confidence) / 2, count - 1) * _root(residues * count, (count - 1) * below**4)
    return Interval(above / below - half, above / below + half)


def _root(above: int, below: int) -> float:
    """Square root of a fraction of integers of any size."""
    return math.sqrt(Fraction(above, below))
