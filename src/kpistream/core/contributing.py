"""Contributing: which few events, or agents of a team, have most to do with a target that is missed.

Out of what panes hold anyway, when an alert begins and never else. A part pulls a share or a mean to the wrong side by
what it lacks to its own cases at the bound, so that failed cases come first of a share and extreme values of a mean. A
count that is too high is made of the parts that count most; of one that is too low there are the newest events that
count, and the agents that have the fewest. The order is one for the same parts, whatever order they come in.
"""

from collections.abc import Callable, Iterable, Mapping
from heapq import nsmallest
from typing import Final, NamedTuple

import msgspec

from kpistream.core.kpis import DEFAULT_LIMITS, Limits, weights
from kpistream.core.measures import Contribution
from kpistream.core.targets import Target, Why

MOST: Final = 5
"""Contributors of one transition."""
LOOKED_AT: Final = 2000
"""Events that one transition looks at, about; the newest panes first: 10 ms."""
SUMS_LOOKED_AT: Final = 20_000
"""Panes of agents that a transition of a team or a tenant looks at, about; the newest first: 40 ms."""
CONTRIBUTORS_A_LOOK: Final = 50
"""Alerts that begin in one look and are told with contributors, 1 ms for an agent's day; when hundreds begin at once,
somebody has changed a bound or a switch is down, and it is nobody's single events."""
BELOW: Final = (Why.BELOW_BOUND, Why.BEHIND_PACE)
MISSED: Final = (*BELOW, Why.ABOVE_BOUND)


class Contributor(msgspec.Struct, frozen=True, gc=False):
    """An event, or an agent of a team, that has much to do with a miss."""

    name: str
    """Identity of an event, `tenant/source/kind/event_id`, or the scope of an agent, `agent:ID`."""
    from_ms: int | None
    """Start of the event's pane; None of an agent."""
    numerator: int
    """What it adds to the KPI's."""
    denominator: int | None


class Part(NamedTuple):
    """What an event or an agent adds."""

    name: str
    from_ms: int | None
    """Start of the event's pane; None of an agent."""
    contribution: Contribution


def contributors(
    target: Target, reason: Why, parts: Iterable[Part], limits: Limits = DEFAULT_LIMITS
) -> tuple[Contributor, ...]:
    """The parts that have most to do with a miss, at most five; none where nothing is missed.

    None either of a KPI with own measures or working time: a part does not hold what it adds to those.
    """
    if reason not in MISSED or target.defined.numbers:
        return ()
    above, below = weights(target.defined, limits, target.member)
    pull_of = _pull_of(target, reason)
    found: list[tuple[int, int, str, int, int | None]] = []
    for name, from_ms, contribution in parts:
        numerator = _sum(contribution, above)
        denominator = None if below is None else _sum(contribution, below)
        pull = pull_of(numerator, denominator, from_ms)
        if pull is not None:
            found.append((-pull, -(from_ms or 0), name, numerator, denominator))
    return tuple(
        Contributor(name, -later or None, numerator, denominator)
        for _, later, name, numerator, denominator in nsmallest(MOST, found, key=lambda each: each[:3])
    )


def _sum(contribution: Contribution, weights_: Mapping[int, int]) -> int:
    total, get, pairs = 0, weights_.get, iter(contribution)
    for number, value in zip(pairs, pairs):  # noqa: B905 - a contribution is pairs
        weight = get(number)
        if weight is not None:
            total += weight * value
    return total


def _pull_of(target: Target, reason: Why) -> Callable[[int, int | None, int | None], int | None]:
    """How much a part has to do with a miss, by numerator, denominator and pane; None: nothing."""
    kpi, below = target.defined, reason in BELOW
    bound = target.low if below else target.high
    assert bound is not None, target
    cases, values = bound.numerator * kpi.over, bound.denominator * kpi.times
    sign = 1 if below else -1

    def of_ratio(numerator: int, denominator: int | None, _: int | None) -> int | None:
        pull = sign * (cases * (denominator or 0) - values * numerator)
        return pull if pull > 0 else None

    def of_count(numerator: int, _: int | None, from_ms: int | None) -> int | None:
        if below and from_ms is None:
            return -numerator
        if numerator <= 0:
            return None
        return 0 if below else numerator

    return of_count if kpi.denominator is None else of_ratio
