"""Evidence: how much what was seen speaks against a target, for targets that are looked at all day.

A bet against a target multiplies a stake with every case, and gains nothing on average while the target holds. So its
wealth, an e-value, reaches 1 / alpha with probability alpha at most, however often one looks (Ville 1939, Etude
critique de la notion de collectif). Everything here is the log of wealth and a function of sums alone: evidence
survives corrections, late events, reordering and recovery because sums do, and log wealth of panes adds.
"""

import math
from fractions import Fraction
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

Bets = tuple[float, ...]
"""Log wealth of several bets against one target, which share the stake equally. Those of panes add, bet by bet."""

ODDS_RATIOS: Final = (0.2, 0.35, 0.5, 0.65, 0.8)
"""Slips that a share is bet on: its odds are this part of the target's."""
RATE_RATIOS: Final = (0.4, 0.55, 0.7, 0.85)
"""Slips that a count is bet on: its rate is this part of the pace."""
STAKES: Final = (0.1, 0.2, 0.3, 0.5)
"""Parts of the wealth that bets on a mean risk at a case as good as can be."""
PIVOT: Final = 0.4
"""Where between the bound and the worst score a bet on a mean is followed most closely."""


def share_at_least(bound: Fraction, successes: int, trials: int) -> Bets:
    """Bets against a share of successes of at least `bound`, 0..1.

    Each is the likelihood ratio of a Bernoulli share with lower odds: `r^successes / (1 - bound + r * bound)^trials`.
    Its mean is `((1 - p + r p) / (1 - bound + r bound))^trials`: 1 at p = bound, less above, exactly and whatever the
    number of looks, for trials that are independent or where p is the chance of the next one given those before.

    Source: Robbins 1970, Annals of Mathematical Statistics 41, 1397-1409 (mixtures of likelihood ratios); one-sided and
    discrete here. By odds, because a ratio of shares says little near 1 and its mirror image little near 0.
    """
    assert 0 <= successes <= trials, (successes, trials)
    return tuple([successes * won + trials * tried for won, tried in _odds(bound)])


def share_at_most(bound: Fraction, successes: int, trials: int) -> Bets:
    """Bets against a share of successes of at most `bound`, 0..1: those against failures of at least the rest."""
    return share_at_least(1 - bound, trials - successes, trials)


@lru_cache(maxsize=1024)
def _odds(bound: Fraction) -> tuple[tuple[float, float], ...]:
    """Log wealth that each bet on a share gains with a success and with a trial."""
    assert 0 <= bound <= 1, bound
    return tuple((math.log(r), -math.log1p((r - 1) * float(bound))) for r in ODDS_RATIOS)


def count_at_least(expected: float, seen: int, dispersion: float = 1.0) -> Bets:
    """Bets against a pace: that at least `expected` events were due by now, of which `seen` came.

    Each is the likelihood ratio of a Poisson process with a part of the rate, `r^seen * exp((1 - r) * expected)`. Exact
    for counts that vary as Poisson counts do when the pace is kept, and on the safe side for steadier ones. Counts
    that come in bursts vary more, and fire more often than alpha: `dispersion` is then their variance over their mean.
    It divides log wealth, which is exact for bursts of that size. A pace that is too high for the day is not evened
    out by it.

    Source: Howard, Ramdas, McAuliffe, Sekhon 2021, Annals of Statistics 49, 1055-1080 (sub-Poisson processes).
    """
    assert expected >= 0 and seen >= 0 and dispersion >= 1, (expected, seen, dispersion)
    return tuple([(seen * log + (1 - r) * expected) / dispersion for r, log in _SLOWER])


def count_at_most(expected: float, seen: int, dispersion: float = 1.0) -> Bets:
    """Bets against a pace that at most `expected` events may have come by now; the same with rates above the pace."""
    assert expected >= 0 and seen >= 0 and dispersion >= 1, (expected, seen, dispersion)
    return tuple([(-seen * log + (1 - 1 / r) * expected) / dispersion for r, log in _SLOWER])


_SLOWER: Final = tuple((r, math.log(r)) for r in RATE_RATIOS)


class Scores(NamedTuple):
    """Sums of values in one unit: survey scores in milli-points, talk times in ms."""

    number: int
    total: int
    squares: int
    """Sum of the values' squares."""


def mean_at_least(bound: Fraction, scores: Scores, highest: int, lowest: int | None = None) -> Bets:
    """Bets against a mean of at least `bound`, for scores that cannot exceed `highest`.

    With y = (bound - score) / (highest - bound) >= -1, the wealth of a bet is the product of `1 + stake * y`: its mean
    is 1 at most while the target holds, whatever the scores' distribution. That product is no function of the sums;
    the bet here is a lower bound of it that is: `log(1 + stake * y)` is nowhere below the parabola that meets it at
    y = -1 and touches it at a pivot, because its third derivative is positive. So this is exact, not asymptotic: it
    holds for every number of scores. `lowest`, the worst score, only tells where to put the pivot.

    Source: betting on bounded means is Waudby-Smith and Ramdas 2024, Journal of the Royal Statistical Society B 86,
    1-27 (arXiv 2010.09686). With its pivot at 0 the parabola is the inequality of Fan, Grama and Liu 2015, Electronic
    Journal of Probability 20(1); other pivots follow from the remainder of Hermite's interpolation.
    """
    return _mean(bound, scores, highest, lowest)


def mean_at_most(bound: Fraction, scores: Scores, lowest: int = 0, highest: int | None = None) -> Bets:
    """Bets against a mean of at most `bound`, for values not below `lowest`: the mirror image of `mean_at_least`.

    Talk times are not below 0, so a mean of theirs that is too long is judged exactly, without an upper limit.
    """
    mirrored = Scores(scores.number, -scores.total, scores.squares)
    return _mean(-bound, mirrored, -lowest, None if highest is None else -highest)


def _mean(bound: Fraction, scores: Scores, best: int, worst: int | None) -> Bets:
    number, total, squares = scores
    above, below = bound.numerator, bound.denominator
    room = best * below - above
    assert room >= 0 and number >= 0, (bound, best, scores)
    # As integers: squares about the bound may be the small difference of large numbers.
    shortfall = number * above - below * total
    if not room:
        return tuple(math.inf if shortfall else 0.0 for _ in STAKES)
    spread = number * above * above - 2 * above * below * total + below * below * squares
    depth = 1.0 if worst is None else PIVOT * ((above - worst * below) / room)
    sum_y, sum_yy = shortfall / room, spread / (room * room)
    return tuple(a * number + b * sum_y + c * sum_yy for a, b, c in _parabolas(depth))


@lru_cache(maxsize=1024)
def _parabolas(pivot: float) -> tuple[tuple[float, float, float], ...]:
    """Coefficients of 1, y and y^2 of the parabolas under `log(1 + stake * y)`, one for each stake."""
    out = []
    for stake in STAKES:
        height, slope = math.log1p(stake * pivot), stake / (1 + stake * pivot)
        bend = (math.log1p(-stake) - height + slope * (pivot + 1)) / (pivot + 1) ** 2
        out.append((height - slope * pivot + bend * pivot * pivot, slope - 2 * bend * pivot, bend))
    return tuple(out)


def evidence(bets: Bets) -> float:
    """Log of the mean wealth of the bets: the log of an e-value, since e-values average to one.

    Compare it with `threshold(alpha)`. Infinite only for what cannot happen while the target holds.
    """
    most = max(bets)
    if most in (math.inf, -math.inf):
        return most
    return most + math.log(sum(math.exp(bet - most) for bet in bets) / len(bets))


def either(low: float, high: float) -> float:
    """Evidence against a band from that against its two bounds: the mean of both e-values.

    While the band holds both are 1 on average at most, and so is their mean. It costs each side log 2, like two
    one-sided tests at alpha / 2. The greater of the two says on which side the slip is.
    """
    return evidence((low, high))


def threshold(alpha: float) -> float:
    """Evidence at which a target that holds is given up with probability `alpha` at most: log(1 / alpha)."""
    assert 0 < alpha <= 1, alpha
    return -math.log(alpha)


RHO_SQUARED: Final = 0.02
"""Spread of the mixture over effects of an unlimited mean: tightest for some tens of cases."""


def unlimited_mean_at_least(bound: Fraction, scores: Scores) -> float:
    """Evidence against a mean of at least `bound`, of values without a useful upper limit: only asymptotic.

    For talk times that are too short; `mean_at_most` judges those that are too long exactly.

    A one-sided normal mixture, `2 / sqrt(v) * exp(z^2 / 2) * normal(z)` with `v = 1 + n rho^2`, S the sum of
    shortfalls and `z = rho S / (sd sqrt(v))`. Its level holds in the limit of many cases only, and the more skewed the
    values, the more cases that takes. `sd` is taken about the bound, not about the mean: a run of short calls has
    little spread of its own and would prove too much. The share of calls below a limit is exact instead.

    Source: Howard, Ramdas, McAuliffe, Sekhon 2021, Annals of Statistics 49, 1055-1080 (one-sided normal mixture);
    Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas 2024, Annals of Statistics 52, 2613-2640 (asymptotic use of it); spread
    about the bound as in de la Pena 1999, Annals of Probability 27, 537-564, where it is exact for symmetric values.
    """
    number, total, squares = scores
    if not number:
        return 0.0
    inflation = 1 + number * RHO_SQUARED
    shortfall = number * bound - total
    z = 0.0
    if shortfall:
        spread = number * bound * bound - 2 * bound * total + squares
        # The quotient first: both are exact, and either may be too large for a float.
        z = math.copysign(math.sqrt(shortfall * shortfall / spread * number), shortfall)
    z *= math.sqrt(RHO_SQUARED / inflation)
    return math.log(2) - math.log(inflation) / 2 + _bent_normal(z)


def _bent_normal(z: float) -> float:
    """`z^2 / 2 + log(normal(z))`, also where the normal probability of z is too small for a float."""
    if z < -20:
        return -math.log(-z * math.sqrt(2 * math.pi)) + math.log1p(-1 / (z * z) + 3 / z**4)
    return z * z / 2 + math.log(math.erfc(-z / math.sqrt(2)) / 2)


class Level(msgspec.Struct, frozen=True):
    """How many false alarms somebody will bear: `alarms` in `days` of work, from `agents` with `targets` each."""

    alarms: float = 1.0
    days: int = 5
    agents: int = 20
    targets: int = 1
    """Targets of each agent that may interrupt somebody."""

    @property
    def alpha(self) -> float:
        """Chance of a false alarm that one target of one agent may have on one day.

        The chances are added up, which needs no independence (the union bound): with every agent exactly on every
        target, the worst case, `alarms` false alarms are expected at most; one target of one agent fires once a day.
        """
        return min(1.0, self.alarms / (self.days * self.agents * self.targets))

    def faults(self) -> list[str]:
        """What is wrong with this level, one fact each."""
        named = {"alarms": self.alarms, "days": self.days, "agents": self.agents, "targets": self.targets}
        out = [f"{name}: {value} must be above 0" for name, value in named.items() if not value > 0]
        if not out and self.alarms >= self.days * self.agents * self.targets:
            out.append(f"alarms: {self.alarms} must be below one for each agent, target and day")
        return out
