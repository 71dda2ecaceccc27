"""Target marks: where an alert ends and where it is critical, in a settings file.

`recover` lies on the good side of the bound: a value that has only just come back ends no alert. `critical` lies on the
bad side. A band says both for each of its sides.
"""

from fractions import Fraction
from typing import Final, NamedTuple

from kpistream.core.kpis import Kpi
from kpistream.core.settings_values import bound
from kpistream.core.targets import Direction
from kpistream.core.yaml_nodes import Section

_SIDES: Final = {Direction.AT_LEAST: ("low",), Direction.AT_MOST: ("high",), Direction.BETWEEN: ("low", "high")}
_MARKS: Final = ("recover", "critical")


class Marks(NamedTuple):
    """Values in the KPI's unit; None where there is none."""

    recover_low: Fraction | None = None
    recover_high: Fraction | None = None
    critical_low: Fraction | None = None
    critical_high: Fraction | None = None


def read_marks(
    section: Section, kpi: Kpi | None, direction: Direction, bounds: tuple[Fraction | None, Fraction | None]
) -> Marks:
    """The marks of a target with these bounds from below and above; faults go to the section's."""
    if kpi is None:
        for mark in _MARKS:
            for name in (mark, f"{mark}_low", f"{mark}_high"):
                section.node(name)
        return Marks()
    edges = dict(zip(("low", "high"), bounds, strict=True))
    found: dict[str, Fraction] = {}
    for mark in _MARKS:
        for side in _SIDES[direction]:
            name, edge = (f"{mark}_{side}" if direction is Direction.BETWEEN else mark), edges[side]
            value = section.read(name, lambda text: bound(text, kpi.unit))
            if value is None or edge is None:
                continue
            found[f"{mark}_{side}"] = value
            above = (mark == "recover") == (side == "low")
            if value == edge or (value > edge) != above:
                of = side if direction is Direction.BETWEEN else "bound"
                section.fault(f"must be {'above' if above else 'below'} {of}", name)
    marks = Marks(**found)
    if marks.recover_low is not None and marks.recover_high is not None and marks.recover_low > marks.recover_high:
        section.fault("must not be below recover_low", "recover_high")
    return marks
