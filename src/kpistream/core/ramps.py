"""Ramps and seasons: shares of a target's bound, for newcomers and for times of the year.

A factor is exact and has a reason, so the product can be explained: 100 calls x 55 % (ramp, week 3) x 50 % (part-time).
Factors are for bounds from below only: 40 % of a bound from above would ask more of a newcomer, not less.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from fractions import Fraction
from typing import Final, NamedTuple

from kpistream.core.roster import ALWAYS_FROM_MS, ALWAYS_TO_MS
from kpistream.core.windows import business_date

MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEK_DAYS: Final = 7


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


@dataclass(frozen=True, slots=True)
class Ramp:
    """Share of a target that is asked in each week since somebody began, the first first; all of it afterwards."""

    shares: tuple[Fraction, ...] = ()

    def share(self, week: int) -> Fraction:
        """Share in a week, counted from 1."""
        assert week >= 1, week
        return self.shares[week - 1] if week <= len(self.shares) else Fraction(1)


def stepped_ramp(steps: Mapping[int, Fraction]) -> Ramp:
    """A ramp of shares by the week from which on they hold: the first is week 1, after the last all is asked."""
    assert min(steps) == 1, steps
    shares: list[Fraction] = []
    for week in range(1, max(steps) + 1):
        shares.append(steps.get(week, shares[-1] if shares else Fraction(1)))
    return Ramp(tuple(shares))


def week_of_work(began_ms: int, at_ms: int, zone: str, day_starts_at_min: int = 0) -> int | None:
    """Week since somebody began, 1 for the first seven business days; None before, and for whom no start is known."""
    if began_ms == ALWAYS_FROM_MS or at_ms < began_ms:
        return None
    first = business_date(began_ms, zone, day_starts_at_min)
    return (business_date(at_ms, zone, day_starts_at_min) - first).days // _WEEK_DAYS + 1


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
    months: tuple[int, ...] = ()
    """Only in these months of each year, 1 for January; empty for all of the span."""

    def holds(self, at_ms: int, day: date) -> bool:
        """True when it holds at an instant, which lies in a business day."""
        return self.from_ms <= at_ms < self.to_ms and (not self.months or day.month in self.months)

    def meets(self, other: "Season") -> bool:
        """True when both may hold at one instant."""
        apart = self.to_ms <= other.from_ms or other.to_ms <= self.from_ms
        return not apart and (not self.months or not other.months or not {*self.months}.isdisjoint(other.months))


def season_factors(seasons: Iterable[Season], at_ms: int, day: date) -> tuple[Factor, ...]:
    """The factor of every season that holds at the instant, in its business day; those that overlap are multiplied."""
    return tuple(Factor(FactorKind.SEASON, season.share, season.name) for season in seasons if season.holds(at_ms, day))
