"""Quantiles: of the normal, Student's t and gamma distributions, for bounds in reports.

Written with `math` alone, since nothing at run time needs more. Tails are computed as tails, never as one
less something near one, so small levels keep their digits. Each agrees with scipy in the tests; where a
series would take too long, an expansion takes over whose error is named.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Final

_SMALLEST: Final = 1e-300
_CLOSE: Final = 1e-15
_MANY_DEGREES: Final = 1000
"""From here on the expansion of Student's t is closer than 1e-12."""
_LARGE_SHAPE: Final = 10_000
"""From here on the expansion of the gamma quantile is closer than 1e-9, relative."""


def normal_tail(z: float) -> float:
    """Probability that a standard normal value exceeds `z`."""
    return math.erfc(z / math.sqrt(2)) / 2


@lru_cache(maxsize=1024)
def normal_quantile(tail: float) -> float:
    """The value that a standard normal exceeds with probability `tail`, 0 < tail < 1."""
    assert 0 < tail < 1, tail
    if tail > 0.5:
        return -normal_quantile(1 - tail)
    return _root(lambda z: normal_tail(z) - tail, 0.0, 39.0)


def t_tail(t: float, degrees: int) -> float:
    """Probability that Student's t with `degrees` of freedom exceeds `t` >= 0.

    Source: Abramowitz and Stegun 26.7.1 and 26.5.27, by the incomplete beta function.
    """
    assert t >= 0 and degrees >= 1, (t, degrees)
    return _beta_share(degrees / 2, 0.5, degrees / (degrees + t * t)) / 2


@lru_cache(maxsize=4096)
def t_quantile(tail: float, degrees: int) -> float:
    """The value that Student's t exceeds with probability `tail`, 0 < tail <= 0.5.

    Source: Abramowitz and Stegun 26.7.5 (expansion in 1 / degrees) for many degrees, else the root of `t_tail`.
    """
    assert 0 < tail <= 0.5 and degrees >= 1, (tail, degrees)
    z = normal_quantile(tail)
    if degrees < _MANY_DEGREES:
        high = 2.0 * max(z, 1.0)
        while t_tail(high, degrees) > tail:
            high *= 2
        return _root(lambda t: t_tail(t, degrees) - tail, 0.0, high)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92_160,
    )
    return z + sum(term / float(degrees) ** (power + 1) for power, term in enumerate(terms))


@lru_cache(maxsize=4096)
def gamma_quantile(below: float, shape: int) -> float:
    """The value under which a gamma variable of integer `shape` and scale 1 lies with probability `below`.

    Source: the root of the incomplete gamma function, Abramowitz and Stegun 6.5.29 and 6.5.31; for large shapes the
    expansion of Cornish and Fisher, Abramowitz and Stegun 26.2.49, with the cumulants of the gamma distribution.
    """
    assert 0 < below < 1 and shape >= 1, (below, shape)
    z = -normal_quantile(below)
    root = math.sqrt(shape)
    if shape < _LARGE_SHAPE:
        high = shape + (abs(z) + 2) * (root + abs(z) + 2)
        return _root(lambda x: below - _gamma_share(shape, x), 0.0, high)
    return (
        shape
        + z * root
        + (z * z - 1) / 3
        + (z**3 - 7 * z) / (36 * root)
        - (3 * z**4 + 7 * z * z - 16) / (810 * shape)
        + (9 * z**5 + 256 * z**3 - 433 * z) / (38_880 * shape * root)
    )


def _root(falling: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling function crosses zero, by halves: at most 200 of them, until no float lies between."""
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return (low + high) / 2


def _beta_share(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function, by its continued fraction.

    Source: Abramowitz and Stegun 26.5.8, evaluated by Lentz's method (Numerical Recipes, 6.4).
    """
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta_share(b, a, 1 - x)
    front = a * math.log(x) + b * math.log1p(-x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    c, d = 1.0, 1 / _away_from_zero(1 - (a + b) * x / (a + 1))
    fraction = d
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / _away_from_zero(1 + term * d)
            c = _away_from_zero(1 + term / c)
            fraction *= d * c
        if abs(d * c - 1) < _CLOSE:
            break
    return math.exp(front) * fraction / a


def _gamma_share(shape: int, x: float) -> float:
    """Probability that a gamma variable of `shape` is below `x`: series below the shape, fraction above."""
    if x <= 0:
        return 0.0
    front = math.exp(shape * math.log(x) - x - math.lgamma(shape))
    if x < shape + 1:
        total = term = 1 / shape
        at = float(shape)
        while term > total * _CLOSE:
            at += 1
            term *= x / at
            total += term
        return front * total
    b, c = x + 1 - shape, 1 / _SMALLEST
    d = 1 / b
    fraction = d
    for i in range(1, 10_000):
        term, b = -i * (i - shape), b + 2
        d = 1 / _away_from_zero(term * d + b)
        c = _away_from_zero(b + term / c)
        fraction *= d * c
        if abs(d * c - 1) < _CLOSE:
            break
    return 1 - front * fraction


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _SMALLEST else _SMALLEST
