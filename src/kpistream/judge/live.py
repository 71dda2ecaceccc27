"""Live: the last readings against the sums of their windows.

A reading is a view of one moment. It is checked when its window still runs and everything in the window is
settled: any change since would have been published again. Not checked, and counted as such: readings that
call themselves provisional, of windows that are over, of panes that are still moving, closed or outside
the span, and of teams and tenants, whose sums depend on a roster that is no part of the log. KPIs
are arithmetic on the sums of the same record and are not looked at.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from kpistream.judge.compare import Cell, Spot, compare
from kpistream.judge.findings import NAMED, Finding, What
from kpistream.judge.places import Place

SCOPES: Final = ("agent:", "queue:", "campaign:")


class Shown(NamedTuple):
    """The last reading of a scope and window."""

    key: str
    """`tenant/scope` of the places it sums."""
    name: str
    """Key of its record."""
    from_ms: int
    to_ms: int
    sums: Cell
    partition: int
    offset: int


def read(value: bytes) -> Shown | None:
    """Read what a record of the readings says; None when it is of a sort that is not checked. Raises ValueError."""
    try:
        told: dict[str, Any] = json.loads(value)
        if told["provisional"] or not told["scope"].startswith(SCOPES):
            return None
        sums = cell(told["measures"])
        return Shown(f"{told['tenant']}/{told['scope']}", "", told["from_ms"], told["to_ms"], sums, -1, -1)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a reading: {error!r}") from error


def cell(measures: Mapping[str, Any]) -> Cell:
    """Name the sums that are not zero, members of a family by `family.member`."""
    out: Cell = {}
    for name, value in measures.items():
        pairs = {f"{name}.{member}": n for member, n in value.items()} if isinstance(value, dict) else {name: value}
        out |= {each: amount for each, amount in pairs.items() if amount}
    return out


def judge(
    shown: Shown, places: Mapping[Spot, Place], settled: Callable[[Spot], bool], pane_ms: int
) -> tuple[bool, Finding | None]:
    """Say whether the reading can be checked, and what is wrong with it."""
    spots = [(shown.key, start_ms) for start_ms in range(shown.from_ms, shown.to_ms, pane_ms)]
    there = [places[spot] for spot in spots if spot in places]
    if not all(map(settled, spots)) or any(place.restless for place in there):
        return False, None
    total: Cell = {}
    for place in there:
        for name, amount in place.sums.items():
            total[name] = total.get(name, 0) + amount
    spot = (shown.key, shown.from_ms)
    verdict = compare({spot: total}, {spot: shown.sums})
    if verdict.exact:
        return True, None
    text = "; ".join(f"{each.measure} expected {each.expected}, shown {each.found}" for each in verdict.first)
    where = f"{shown.name} at [{shown.partition}]@{shown.offset}: {text}"
    behind = tuple(seen for place in there for seen in place.events)[:NAMED]
    return True, Finding(What.READING_DIFFERENT, spot, where, behind, shown.name)
