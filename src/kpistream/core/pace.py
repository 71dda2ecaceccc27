"""Pace: how much of a count an agent should have by now, from the time at work.

Bound x part-time share x share of the usual time that is scheduled, less absences, makes the prorated bound; the share
of the working time that is over makes what is expected by now: exactly the prorated bound when the working time ends.
Integers and fractions only. Without a schedule nothing is expected by now, and nothing is prorated.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from itertools import accumulate, pairwise

from kpistream.core.kpis import Better, Kpi
from kpistream.core.ramps import Factor, FactorKind
from kpistream.core.roster import ALWAYS_TO_MS
from kpistream.core.schedules import Basis, Plan, Stint
from kpistream.core.spans import clip

_ALL = Fraction(1)
_NONE = Fraction(0)


class Proration(StrEnum):
    """Whether the bound of a KPI follows the time at work, and why not."""

    BY_TIME = "by-time"
    """A count or a sum of which more is better."""
    RATIO = "ratio"
    """A share or a mean: half a day at work is no reason for half a conversion."""
    LIMIT = "limit"
    """A count that should stay low: at most 2 a day is not at most 1 by noon."""


def proration(kpi: Kpi) -> Proration:
    """Whether counts of the KPI are expected in proportion to the time at work.

    Source: Ambition, out-of-office proration (not for averages, ratios and lower-is-better).
    """
    if kpi.denominator is not None:
        return Proration.RATIO
    return Proration.LIMIT if kpi.better is Better.LOWER else Proration.BY_TIME


@dataclass(frozen=True, slots=True)
class Curve:
    """A day's usual course: the share of the day's count that is reached after each quarter of an hour at work.

    From 0 to 1 and never falling; between two points it is a straight line. A day with more or fewer quarters is
    stretched to it.
    """

    shares: tuple[Fraction, ...] = (_NONE, _ALL)

    def __post_init__(self) -> None:
        assert len(self.shares) >= 2 and self.shares[0] == 0 and self.shares[-1] == 1, self.shares
        assert all(earlier <= later for earlier, later in pairwise(self.shares)), self.shares

    def at(self, elapsed: Fraction) -> Fraction:
        """Share of the count that is reached at a share of the day's scheduled time."""
        position = elapsed * (len(self.shares) - 1)
        quarter = min(int(position), len(self.shares) - 2)
        low, high = self.shares[quarter], self.shares[quarter + 1]
        return low + (high - low) * (position - quarter)


EVEN = Curve()
"""As much in each hour as in any other."""


def usual_curve(counts: Sequence[int]) -> Curve:
    """The curve of what was counted in each quarter of an hour at work; an even one when nothing was."""
    total = sum(counts)
    return Curve((_NONE, *(Fraction(count, total) for count in accumulate(counts)))) if total else EVEN


@dataclass(frozen=True, slots=True)
class Pace:
    """What is expected of an agent in a window, and by now."""

    bound: Fraction
    """Of the whole window, for somebody who is there full-time."""
    prorated: Fraction
    """Of the whole window, for this agent: `bound` times the factors."""
    expected: Fraction | None
    """By now; None when no schedule is known."""
    basis: Basis
    worked_ms: int
    """Working time that is over."""
    working_ms: int
    """Working time of the whole window."""
    factors: tuple[Factor, ...] = ()


def pace(bound: Fraction, plan: Plan, now_ms: int, curve: Curve = EVEN) -> Pace:
    """What a count's bound asks of an agent with this plan, in all and by now.

    Nobody is asked for more than the bound because of overtime. In a rolling window the bound is that of an hour (or 15
    minutes) spent at work. A curve is for the business day only.
    """
    prorated, by_now, factors = _prorated(bound, plan, now_ms, curve)
    return Pace(bound, prorated, by_now, plan.basis, plan.working_ms(now_ms), plan.working_ms(), factors)


def _prorated(
    bound: Fraction, plan: Plan, now_ms: int, curve: Curve
) -> tuple[Fraction, Fraction | None, tuple[Factor, ...]]:
    """The bound of the whole window, that by now, and the factors."""
    if plan.basis is Basis.NONE:
        return bound, None, ()
    if plan.rolling:
        length_ms = plan.window.to_ms - plan.window.from_ms
        present = Fraction(plan.working_ms(), length_ms)
        by_now = Fraction(plan.working_ms(now_ms), length_ms)
        return bound * present, bound * by_now, _told((FactorKind.SCHEDULE, present))
    if not plan.scheduled:
        return _NONE, _NONE, _told((FactorKind.SCHEDULE, _NONE))
    course = _Course(plan, curve)
    part_time = course.reached(plan.scheduled, ALWAYS_TO_MS)
    present, by_now = course.reached(plan.working, ALWAYS_TO_MS), course.reached(plan.working, now_ms)
    scheduled = min(_ALL, Fraction(plan.scheduled_ms(), plan.usual_ms))
    factors = _told(
        (FactorKind.PART_TIME, part_time),
        (FactorKind.SCHEDULE, scheduled),
        (FactorKind.ABSENCE, present / part_time),
    )
    return bound * scheduled * present, bound * scheduled * by_now, factors


def _told(*shares: tuple[FactorKind, Fraction]) -> tuple[Factor, ...]:
    """The factors that change anything."""
    return tuple(Factor(kind, share) for kind, share in shares if share != 1)


class _Course:
    """Shares of a window's count that fall on pieces of its scheduled time."""

    def __init__(self, plan: Plan, curve: Curve) -> None:
        self._curve = curve
        spans = sorted(clip(tuple(stint.span for stint in plan.scheduled), plan.window.from_ms, ALWAYS_TO_MS))
        self._starts = [span.from_ms for span in spans]
        self._spans = spans
        self._before_ms = [0, *accumulate(span.to_ms - span.from_ms for span in spans)]
        """Scheduled time before each span, and in all."""

    def reached(self, stints: Sequence[Stint], until_ms: int) -> Fraction:
        """Share of the count that belongs to the stints before the instant, part-time shares applied."""
        out = _NONE
        for (from_ms, to_ms), share in stints:
            if from_ms < until_ms:
                out += share * (self._at(min(to_ms, until_ms)) - self._at(from_ms))
        return out

    def _at(self, at_ms: int) -> Fraction:
        number = bisect_right(self._starts, at_ms)
        past_ms = self._before_ms[number]
        if number:
            past_ms -= max(0, self._spans[number - 1].to_ms - at_ms)
        return self._curve.at(Fraction(past_ms, self._before_ms[-1]))
