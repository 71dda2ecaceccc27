"""Conversion: which of its numbers may be judged while the day runs.

Deals close some time after their calls. Deals won today are therefore no part of today's calls: there may be more of
them, and on the first day there are none for a while. Conversion by period is shown, never judged as a share. What is
judged is a call of which it is settled whether it won a deal, or a count of deals against what the calls let expect.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Final

import msgspec

from kpistream.core.evidence import Bets, count_at_least, share_at_least

DEFAULT_SETTLE_MS: Final = 2 * 3_600_000
"""A tenant's settle time when nobody says another: 94 of 100 deals of a usual sales floor have come by then."""
MAX_SETTLE_MS: Final = 10 * 3_600_000
"""Calls of a business day of 25 hours that settle so late are still live with the default horizon of 36 hours."""
DEAL_AHEAD_MS: Final = 45 * 60_000
"""How long before the end of its call a deal may close and still be live with the oldest call of a window."""


def delay_ms(settle_ms: int, pane_ms: int) -> int:
    """From the start of a pane to that of the first one in which all its calls are at least the settle time old."""
    return pane_ms - -settle_ms // pane_ms * pane_ms


class Settled(msgspec.Struct, frozen=True):
    """Connected calls that are older than the settle time, and what came of them."""

    calls: int
    """Connected calls that ended at least the settle time ago."""
    won: int
    """Those of them that a won deal names; two deals that name one call count once."""


def settled_conversion_at_least(bound: Fraction, settled: Settled) -> Bets:
    """Bets against a conversion of at least `bound`: the share of connected calls that win a deal in the settle time.

    A deal that comes after the settle time, or is corrected, may raise `won` later: that takes evidence away only.
    """
    assert settled.won <= settled.calls, settled
    return share_at_least(bound, settled.won, settled.calls)


class LagCurve(msgspec.Struct, frozen=True):
    """How late deals usually come: which share of a call's deals is there when the call has some age."""

    step_ms: int
    shares: tuple[float, ...]
    """At ages 0, 1, 2, ... steps; at any greater age the last one. 0..1, never falling."""

    def faults(self) -> list[str]:
        """What is wrong with this curve, one fact each."""
        out = [f"step_ms: {self.step_ms} ms must be above 0"] if self.step_ms <= 0 else []
        if not self.shares:
            return [*out, "shares: there must be at least one"]
        out += [f"shares: {share} must be in 0..1" for share in self.shares if not 0 <= share <= 1]
        pairs = zip(self.shares, self.shares[1:], strict=False)
        return out + [f"shares: {after} must not be below {before}" for before, after in pairs if after < before]

    def share_at(self, age_ms: int) -> float:
        """Share of the deals that are there at an age: that of the last whole step, so rather too low."""
        return self.shares[min(age_ms // self.step_ms, len(self.shares) - 1)] if age_ms >= 0 else 0.0


def deals_expected(bound: Fraction, calls_by_age: Sequence[int], curve: LagCurve) -> float:
    """Deals that connected calls let expect by now, were their conversion `bound`.

    `calls_by_age[i]` is the number of connected calls whose age is i to i + 1 steps of the curve. Calls of earlier days
    belong in it: their deals come today. Where nobody knows them the expectation is too low, which is the safe side.
    """
    counted = (calls * curve.share_at(step * curve.step_ms) for step, calls in enumerate(calls_by_age))
    return float(bound) * sum(counted)


def deals_at_least(expected: float, deals: int) -> Bets:
    """Bets against a pace of deals that name no call, from what `deals_expected` says.

    At any single look its level is exact if the curve is: deals of calls vary less than Poisson counts. That it holds
    over all looks of a day is shown by simulation (`python -m bench.evidence`), not proven, and a curve that is faster
    than the truth makes false alarms.
    """
    return count_at_least(expected, deals)
