"""Live: the last readings against the sums of their windows, and their KPIs against their own sums.

A reading is a view of one moment. It is checked when its window still runs and everything in the window is
settled: any change since would have been published again. Not checked, and counted as such: readings that
call themselves provisional, of windows that are over, of panes that are still moving, closed or outside
the span, and of teams and tenants, whose sums depend on a roster that is no part of the log. Whether
the KPIs of a reading follow from the sums that it shows is checked always.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from kpistream.judge.compare import Cell, Spot, compare
from kpistream.judge.figures import wrong as wrong_figures
from kpistream.judge.findings import NAMED, Finding, What
from kpistream.judge.places import Place

SCOPES: Final = ("agent:", "queue:", "campaign:")
NOT_OF_PANES: Final = ("settled_calls", "settled_calls_won", "settled_calls_in_doubt")
"""Sums of a reading that its window's panes alone do not give: of calls that settled in it, wherever they ended."""


class Shown(NamedTuple):
    """The last reading of a scope and window."""

    key: str
    """`tenant/scope` of the places it sums."""
    name: str
    """Key of its record."""
    from_ms: int
    to_ms: int
    sums: Cell
    faults: tuple[str, ...]
    """What does not follow from its own sums."""
    whole: bool
    """False: its sums are not checked against panes, whatever else holds."""
    partition: int
    offset: int

    @property
    def where(self) -> str:
        """The record, for a finding."""
        return f"{self.name} at [{self.partition}]@{self.offset}"


def read(name: str, value: bytes, partition: int, offset: int) -> Shown:
    """Read a record of the readings. Raises ValueError when it is none."""
    try:
        told: dict[str, Any] = json.loads(value)
        key, sums = f"{told['tenant']}/{told['scope']}", cell(told["measures"])
        whole = told["provisional"] is False and told["scope"].startswith(SCOPES)
        faults = tuple(wrong_figures(told, sums))
        if name != f"{key}/{told['window']}":
            faults = (*faults, f"its key is not {key}/{told['window']}")
        return Shown(key, name, told["from_ms"], told["to_ms"], sums, faults, whole, partition, offset)
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
    of_panes = {name: amount for name, amount in shown.sums.items() if name not in NOT_OF_PANES}
    verdict = compare({spot: total}, {spot: of_panes})
    if verdict.exact:
        return True, None
    text = "; ".join(f"{each.measure} expected {each.expected}, shown {each.found}" for each in verdict.first)
    behind = tuple(seen for place in there for seen in place.events)[:NAMED]
    return True, Finding(What.READING_DIFFERENT, spot, f"{shown.where}: {text}", behind, shown.name)
