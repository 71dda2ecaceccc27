"""Weighing: the evidence of a tally against a target's bounds.

A function of sums alone. Only for KPIs whose denominator counts cases of the numerator (`Kpi.cases`): conversion by
period, whose deals are no part of the period's calls, is none of them; settled conversion is. The level holds over one
period (a business day; a week and more: then false alarms are fewer than was asked), whatever the number of looks;
windows that roll have no such level, because what leaves them takes its evidence along.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Protocol

from kpistream.core import measures as m
from kpistream.core.catalogue import Cases, Kpi
from kpistream.core.evidence import (
    Bets,
    Scores,
    either,
    evidence,
    mean_at_least,
    mean_at_most,
    share_at_least,
    share_at_most,
    unlimited_mean_at_least,
)
from kpistream.core.kpis import Value
from kpistream.core.windows import CALENDAR_WINDOWS

WINDOWS = frozenset(CALENDAR_WINDOWS)
"""Windows over which evidence is weighed."""


def weighed_range(kpi: Kpi, member: str | None) -> tuple[Fraction, Fraction | None]:
    """Between which values, both excluded, a bound can be weighed: at an end nothing, or anything, is against it."""
    if kpi.cases is Cases.YES_OR_NO:
        return Fraction(0), Fraction(1)
    if member is None:
        return Fraction(0), None
    worst, best = scale_ends(member)
    return Fraction(worst), Fraction(best)


class Bounded(Protocol):
    """What is used of a target: its bounds in the unit of its KPI, None where there is none, and its member."""

    @property
    def low(self) -> Fraction | None:
        """From below."""

    @property
    def high(self) -> Fraction | None:
        """From above."""

    @property
    def member(self) -> str | None:
        """Currency or scale."""


def weigh(kpi: Kpi, target: Bounded, tally: Mapping[int, int], value: Value) -> float:
    """Evidence against the target: the log of an e-value. `value` is the KPI's over the tally, and not empty."""
    return together([side if isinstance(side, float) else evidence(side) for side in sides(kpi, target, tally, value)])


def sides(kpi: Kpi, target: Bounded, tally: Mapping[int, int], value: Value) -> list[Bets | float]:
    """Bets against each bound, from below and from above; where there are none that add, the evidence itself."""
    assert value.denominator, value
    low, high = target.low, target.high
    if kpi.cases is Cases.YES_OR_NO:
        won, tried = value.numerator, value.denominator
        out: list[Bets | float] = []
        if low is not None:
            out.append(share_at_least(low, won + in_doubt(kpi, tally), tried))
        return out + ([share_at_most(high, won, tried)] if high is not None else [])
    assert kpi.cases is Cases.VALUES, kpi
    return _mean(kpi, target, Scores(value.denominator, value.numerator, _squares(kpi, target.member, tally)))


def in_doubt(kpi: Kpi, tally: Mapping[int, int]) -> int:
    """Cases of which nobody knows whether they belong to the numerator."""
    return tally.get(m.BY_NAME[kpi.doubt].number, 0) if kpi.doubt else 0


def together(evidences: Sequence[float]) -> float:
    """Evidence against a bound, or against a band from that against its two bounds."""
    return evidences[0] if len(evidences) == 1 else either(*evidences)


def _mean(kpi: Kpi, target: Bounded, scores: Scores) -> list[Bets | float]:
    """Bets against each bound. A scale has two ends; a time is not below 0 and has no upper one."""
    low = None if target.low is None else target.low * kpi.over
    high = None if target.high is None else target.high * kpi.over
    if target.member is None:
        out: list[Bets | float] = [unlimited_mean_at_least(low, scores)] if low is not None else []
        return out + ([mean_at_most(high, scores)] if high is not None else [])
    worst, best = (end * kpi.over for end in scale_ends(target.member))
    bets: list[Bets | float] = [mean_at_least(low, scores, best, worst)] if low is not None else []
    return bets + ([mean_at_most(high, scores, worst, best)] if high is not None else [])


def _squares(kpi: Kpi, member: str | None, tally: Mapping[int, int]) -> int:
    if member is None:
        return tally.get(m.BY_NAME[kpi.squares].number, 0)
    family = next(family for family in m.FAMILIES if family.name == kpi.squares)
    return tally.get(family.first + m.scale_code(*scale_ends(member)), 0)


def scale_ends(scale: str) -> tuple[int, int]:
    """Worst and best score of a scale such as `1-5`."""
    worst, best = scale.split("-")
    return int(worst), int(best)
