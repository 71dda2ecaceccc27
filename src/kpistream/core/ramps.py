"""Ramps: what a target asks of one agent at one time, as its bound times factors that can be told.

A factor is exact and has a reason, so the product can be explained: 100 calls x 55 % (ramp, week 3) x 50 % (part-time).
Factors are for bounds from below only: 40 % of a bound from above would ask more of a newcomer, not less.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from math import prod
from typing import Final, NamedTuple

from kpistream.core.roster import ALWAYS_FROM_MS, ALWAYS_TO_MS
from kpistream.core.windows import business_date


class FactorKind(StrEnum):
    """Why a bound is not what the target says."""

    RAMP = "ramp"
    SEASON = "season"
    PART_TIME = "part-time"
    SCHEDULE = "schedule"
    """A holiday, an exception, or shorter hours than usual."""
    ABSENCE = "absence"


class Factor(NamedTuple):
    """A share of a bound with its reason."""

    kind: FactorKind
    share: Fraction
    detail: str = ""
    """The week of a ramp, the name of a season; empty where the kind says all."""


class EffectiveBound(NamedTuple):
    """A bound with what was done to it: `value` is `bound` times the shares of all factors."""

    value: Fraction
    bound: Fraction
    factors: tuple[Factor, ...] = ()


def effective_bound(bound: Fraction, factors: Iterable[Factor]) -> EffectiveBound:
    """The bound times every factor."""
    applied = tuple(factors)
    return EffectiveBound(bound * prod(factor.share for factor in applied), bound, applied)


@dataclass(frozen=True, slots=True)
class Ramp:
    """Share of a target that is asked in each week since somebody began, the first first; all of it afterwards."""

    shares: tuple[Fraction, ...]

    def share(self, week: int) -> Fraction:
        """Share in a week, counted from 1."""
        assert week >= 1, week
        return self.shares[week - 1] if week <= len(self.shares) else Fraction(1)


def linear_ramp(first: Fraction, full_in_week: int) -> Ramp:
    """A ramp that begins at a share in week 1 and grows by the same each week, to all of it in another."""
    assert full_in_week >= 2, full_in_week
    step = (1 - first) / (full_in_week - 1)
    return Ramp(tuple(first + step * week for week in range(full_in_week)))


NEW_HIRE_RAMP: Final = linear_ramp(Fraction(40, 100), 9)
"""40 % in week 1, 100 % in week 9."""


def week_of_work(began_ms: int, at_ms: int, zone: str, day_starts_at_min: int = 0) -> int | None:
    """Week since somebody began, 1 for the first seven business days; None before, and for whom no start is known."""
    if began_ms == ALWAYS_FROM_MS or at_ms < began_ms:
        return None
    first = business_date(began_ms, zone, day_starts_at_min)
    return (business_date(at_ms, zone, day_starts_at_min) - first).days // 7 + 1


def ramp_factors(ramp: Ramp, week: int | None) -> tuple[Factor, ...]:
    """The factor of a ramp in a week since somebody began; none once all is asked, or without a start."""
    share = Fraction(1) if week is None else ramp.share(week)
    return () if share == 1 else (Factor(FactorKind.RAMP, share, f"week {week}"),)


class Season(NamedTuple):
    """A share of targets that holds in `[from_ms, to_ms)`: below 1 for a slack season, above 1 for a busy one."""

    name: str
    share: Fraction
    from_ms: int = ALWAYS_FROM_MS
    to_ms: int = ALWAYS_TO_MS


def season_factors(seasons: Iterable[Season], at_ms: int) -> tuple[Factor, ...]:
    """The factor of every season that holds at the instant; those that overlap are multiplied."""
    return tuple(
        Factor(FactorKind.SEASON, season.share, season.name)
        for season in seasons
        if season.from_ms <= at_ms < season.to_ms
    )
