"""Slips: since when a target does not hold any more, found in the panes of a day in their order.

A good morning hides a slip at noon from evidence of the whole day. So stakes are placed on every pane as the start of
a slip: an e-detector. It is a function of the panes' bets alone: after a correction the day is simply gone through
again, and no state has to survive anything. `slip` costs panes times bets; `Course` gives the same evidence pane by
pane, each for the cost of its bets.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from kpistream.core.evidence import Bets, evidence


class Slip(NamedTuple):
    """What the panes of a day say against a target that should have held in all of them."""

    against: float
    """Evidence of the day: half of the stake on its first pane, half spread evenly over the later ones."""
    run: float
    """Log of the Shiryaev-Roberts statistic: reaches log(N) once in N panes on average at most while all is well."""
    since_ms: int | None
    """Start of the pane from which on most speaks against the target; None when nothing does."""


def slip(panes: Sequence[tuple[int, Bets]], planned: int) -> Slip:
    """The slip that panes with cases show; each is its start in epoch ms and its own bets, oldest first.

    `planned` is how many panes with cases the day may have: the stakes are divided by it. In panes beyond it no slip
    begins any more, though one that began earlier goes on. The last pane may still be filling: a look after each event
    is allowed. While the target holds, `against` reaches log(1 / alpha) on a share alpha of days at most.

    Source: Shin, Ramdas, Rinaldo, "E-detectors", New England Journal of Statistics in Data Science (arXiv 2203.03532):
    the Shiryaev-Roberts form, sums of e-processes started at consecutive times. `against` weighs these with a prior
    that adds up to 1, so that it is an e-process of the day; stakes that are not placed yet count as they are.
    """
    assert planned >= 1, planned
    if not panes:
        return Slip(0.0, -math.inf, None)
    starts = _evidence_from_each(panes)
    later = starts[1:planned]
    unplaced = max(0, planned - max(1, len(panes)))
    share = 1.0 if planned == 1 else 0.5
    parts = [math.log(share) + starts[0]]
    if planned > 1:
        each = math.log(0.5 / (planned - 1))
        parts += [each + against for against in later]
        parts += [each + math.log(unplaced)] if unplaced else []
    best = max(range(len(starts)), key=lambda at: (starts[at], -at))
    return Slip(_log_sum(parts), _log_sum(starts), panes[best][0] if starts[best] > 0 else None)


class Course:
    """The evidence of a day while it goes on: `against` equals `slip(...).against` of the same panes.

    For each bet, the stakes placed so far grow alike with every pane: one sum for each bet is all that must be kept.
    """

    __slots__ = ("_logs", "_placed", "_planned")

    def __init__(self, planned: int) -> None:
        assert planned >= 1, planned
        self._planned = planned
        self._placed = 0
        self._logs: Bets | None = None
        """By bet: log of the sum of all stakes placed, as they have grown."""

    def copy(self) -> "Course":
        """The same so far; each goes on by itself."""
        out = Course(self._planned)
        out._placed, out._logs = self._placed, self._logs
        return out

    def take(self, bets: Bets) -> None:
        """The next pane with cases."""
        self._logs = self._grown(bets)
        self._placed += 1

    def against(self) -> float:
        """Evidence of the panes taken."""
        if self._logs is None:
            return 0.0
        unplaced = self._planned - self._placed
        if unplaced <= 0:
            return evidence(self._logs)
        return _log_sum((evidence(self._logs), math.log(0.5 * unplaced / (self._planned - 1))))

    def _grown(self, bets: Bets) -> Bets:
        share = self._share()
        if self._logs is None:
            return tuple(math.log(share) + bet for bet in bets)
        if not share:
            return tuple(log + bet for log, bet in zip(self._logs, bets, strict=True))
        stake = math.log(share)
        return tuple(_log_sum((log, stake)) + bet for log, bet in zip(self._logs, bets, strict=True))

    def _share(self) -> float:
        """Of the stake, what is placed on the next pane."""
        if self._placed == 0:
            return 1.0 if self._planned == 1 else 0.5
        return 0.5 / (self._planned - 1) if self._placed < self._planned else 0.0


def _evidence_from_each(panes: Sequence[tuple[int, Bets]]) -> list[float]:
    """Evidence of each pane together with all that follow it."""
    sums = [0.0] * len(panes[0][1])
    out = []
    for _, bets in reversed(panes):
        sums = [total + bet for total, bet in zip(sums, bets, strict=True)]
        out.append(evidence(tuple(sums)))
    return out[::-1]


def _log_sum(logs: Sequence[float]) -> float:
    most = max(logs)
    return most if math.isinf(most) else most + math.log(sum(math.exp(each - most) for each in logs))
