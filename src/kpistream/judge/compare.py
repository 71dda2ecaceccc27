"""Compare: what should stand in every cell against what stands there.

A cell is what one scope did in one pane: `{measure or "family.member": integer}`. An absent cell equals a
cell of zeros, so nothing here depends on whether a store keeps empty rows. Like the rest of the judge it
shares no code with the engine. Every place that either side names is looked at, exactly once.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

Spot = tuple[str, int]
"""`tenant/scope` and the start of the pane in epoch ms."""
Cell = dict[str, int]
"""Sums by measure name, or by `family.member`; zero left out."""
Cells = dict[Spot, Cell]

COUNTS: Final = ("calls", "deals_won", "surveys")
"""The sums in which one event is exactly one: what a cell counted twice is recognised by."""
NOT_MEASURES: Final = frozenset({"tenant", "scope", "start", "pane_ms", "version"})
"""Columns of a row of `kpi_panes` that are no sums."""


class Damage(StrEnum):
    """What is wrong with a cell."""

    LOST = "lost"
    DOUBLE = "double"
    PHANTOM = "phantom"
    DIFFERENT = "different"


class Behind(NamedTuple):
    """The events behind a place."""

    standing: Mapping[str, Cell]
    """What each event that counts here adds, by identity."""
    left: tuple[str, ...] = ()
    """Identities that an accepted record put here and whose highest rank stands elsewhere."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One measure of one damaged cell."""

    damage: Damage
    spot: Spot
    measure: str
    expected: int
    found: int
    standing: tuple[str, ...] = ()
    """Identities that count here, of a double those first whose second copy is the surplus."""
    left: tuple[str, ...] = ()
    """Identities that once stood here and moved away."""

    def __str__(self) -> str:
        key, start_ms = self.spot
        events = ", ".join(self.standing) or "none"
        moved = f"; moved away: {', '.join(self.left)}" if self.left else ""
        sums = f"{self.measure} expected {self.expected}, found {self.found}"
        return f"{self.damage} {key} at {start_ms} ms: {sums}; events: {events}{moved}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How many cells were looked at and how many are damaged; each damaged cell is counted once."""

    cells: int = 0
    lost: int = 0
    double: int = 0
    phantom: int = 0
    different: int = 0
    first: tuple[Difference, ...] = field(default=())
    """The first differences in the order of the places, every differing measure of a cell by name."""

    @property
    def exact(self) -> bool:
        """True when no cell is damaged."""
        return not (self.lost or self.double or self.phantom or self.different)

    def __str__(self) -> str:
        damage = f"{self.lost} lost, {self.double} double, {self.phantom} phantom, {self.different} different"
        return f"{self.cells} cells: {damage}"


def compare(
    expected: Mapping[Spot, Mapping[str, int]],
    found: Mapping[Spot, Mapping[str, int]],
    behind: Callable[[Spot], Behind] | None = None,
    keep: int = 20,
) -> Verdict:
    """Compare every cell, and say of each damaged one which damage it is.

    lost: expected, and nothing is found. phantom: found, and nothing is expected. double: see `doubled`.
    different: all else. `behind` names the events of a place (`Recomputation.behind`); without it a single
    event counted twice in a larger cell is `different`. `keep` bounds `Verdict.first`, not the counts.
    """
    tallies = dict.fromkeys(Damage, 0)
    first: list[Difference] = []
    cells = 0
    for spot in sorted({*expected, *found}):
        wanted, seen = _nonzero(expected.get(spot, {})), _nonzero(found.get(spot, {}))
        cells += bool(wanted or seen)
        if wanted == seen:
            continue
        events = behind(spot) if behind else Behind({})
        damage, culprits = _damage(wanted, seen, events)
        tallies[damage] += 1
        standing = (*culprits, *(identity for identity in events.standing if identity not in culprits))
        for measure in sorted({*wanted, *seen}):
            amounts = (wanted.get(measure, 0), seen.get(measure, 0))
            if amounts[0] != amounts[1] and len(first) < keep:
                first.append(Difference(damage, spot, measure, *amounts, standing, events.left))
    return Verdict(cells, **{str(damage): count for damage, count in tallies.items()}, first=tuple(first))


def doubled(wanted: Mapping[str, int], seen: Mapping[str, int]) -> bool:
    """Say whether a cell's counts look as if it had been added more than once.

    Of calls, deals won and surveys: each expected one is found as a whole multiple of what is expected, at
    least one of them twice or more, and none that is not expected. A true second event in a cell of one
    looks the same; `compare` is surer when it knows the events behind the place.
    """
    factors = [divmod(seen.get(name, 0), wanted[name]) for name in COUNTS if wanted.get(name)]
    whole = all(factor >= 1 and not rest for factor, rest in factors)
    unexpected = any(seen.get(name) and not wanted.get(name) for name in COUNTS)
    return whole and not unexpected and any(factor >= 2 for factor, _ in factors)


def cells_of_rows(rows: Iterable[Mapping[str, object]]) -> Cells:
    """Read the cells of rows of `kpi_panes`, read with FINAL.

    A row has `tenant`, `scope`, `start` in epoch ms, each scalar measure by name and each family as a map;
    `pane_ms` and `version` are no sums. Raises AssertionError when a place comes twice.
    """
    return _cells(((f"{row['tenant']}/{row['scope']}", _integer(row["start"], "start")), _sums(row)) for row in rows)


def cells_of_named(tallies: Mapping[Spot, Mapping[str, object]]) -> Cells:
    """Read the cells of named tallies: `{(key, start_ms): {name: sum or {member: sum}}}`."""
    return _cells((spot, _flat(tally)) for spot, tally in tallies.items())


def _damage(wanted: Cell, seen: Cell, events: Behind) -> tuple[Damage, tuple[str, ...]]:
    """Name the damage of a cell, and the events whose one surplus copy explains it exactly."""
    if not seen:
        return Damage.LOST, ()
    if not wanted:
        return Damage.PHANTOM, ()
    names = {*wanted, *seen}
    surplus = _nonzero({name: seen.get(name, 0) - wanted.get(name, 0) for name in names})
    culprits = tuple(identity for identity, adds in events.standing.items() if adds and adds == surplus)
    return (Damage.DOUBLE if culprits or doubled(wanted, seen) else Damage.DIFFERENT), culprits


def _cells(found: Iterable[tuple[Spot, Cell]]) -> Cells:
    out: Cells = {}
    seen: set[Spot] = set()
    for spot, cell in found:
        if spot in seen:
            raise AssertionError(f"two rows for {spot[0]} at {spot[1]} ms; read with FINAL")
        seen.add(spot)
        if cell:
            out[spot] = cell
    return out


def _sums(row: Mapping[str, object]) -> Cell:
    return _flat({name: value for name, value in row.items() if name not in NOT_MEASURES})


def _flat(tally: Mapping[str, object]) -> Cell:
    out: Cell = {}
    for name, value in tally.items():
        if isinstance(value, Mapping):
            out.update({f"{name}.{member}": _integer(amount, name) for member, amount in value.items()})
        else:
            out[name] = _integer(value, name)
    return _nonzero(out)


def _integer(value: object, name: str) -> int:
    """Pass an integer; a sum that is not one is a bug of the reader, never rounded away."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise AssertionError(f"{name} {value!r} is not an integer")
    return value


def _nonzero(cell: Mapping[str, int]) -> Cell:
    return {name: value for name, value in cell.items() if value}
