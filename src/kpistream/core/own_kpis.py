"""Own KPIs: what settings define beside the catalogue, and how others may show it.

A KPI of the settings is evaluated like one of the catalogue, from sums, when somebody reads. It never has the name of
one of the catalogue, so whoever knows a name knows what it means.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import msgspec

from kpistream.core.catalogue import BY_NAME, Kpi
from kpistream.core.measures import SCHEDULED_MS
from kpistream.core.own_measures import Counting, OwnMeasure

SUM: Final = "sum"
RATIO: Final = "ratio"
MEAN: Final = "mean"
PER_HOUR: Final = "per_hour"
BAND: Final = "band"
FORMS: Final[dict[str, str]] = {
    SUM: "measures added and taken away: `deals_won - deals_voided`",
    RATIO: "one sum over another: `voicemails / outbound_calls`",
    MEAN: "a sum of sizes over the number of cases: `hold_ms / connected`",
    PER_HOUR: "a sum over the agent's working time so far, from the schedule: `calls`",
    BAND: "the share of connected calls whose talk time lies in `[from, to)`: `{from: 2 m, to: 10 m}`",
}
SCHEDULED_TIME: Final = "scheduled_ms"
"""The denominator of a KPI by the hour; sums have it only where the working time is known."""


class Shape(msgspec.Struct, frozen=True):
    """What is told with a number of an own KPI, so that readers need no settings."""

    form: str
    unit: str
    formula: str


@dataclass(frozen=True)
class OwnKpis:
    """The KPIs and measures that settings define, in the order of the files."""

    kpis: tuple[Kpi, ...] = ()
    measures: tuple[OwnMeasure, ...] = ()
    """What is counted for them beside the catalogue's measures."""

    @cached_property
    def by_name(self) -> Mapping[str, Kpi]:
        """By name."""
        return {kpi.name: kpi for kpi in self.kpis}

    @cached_property
    def names(self) -> frozenset[str]:
        """Every KPI that there is, those of the catalogue included."""
        return frozenset((*BY_NAME, *self.by_name))

    def find(self, name: str) -> Kpi | None:
        """A KPI of the catalogue, or of these; None when there is none."""
        return BY_NAME.get(name) or self.by_name.get(name)

    @cached_property
    def counting(self) -> Counting:
        """The measures, ready to be asked what an event adds."""
        return Counting(self.measures)

    @cached_property
    def by_the_hour(self) -> bool:
        """True when some are over the working time, which somebody must then look up."""
        return any(kpi.form == PER_HOUR for kpi in self.kpis)

    @cached_property
    def _hash(self) -> int:
        return hash((self.kpis, self.measures))

    def __hash__(self) -> int:
        return self._hash  # asked for with every reading


def counted(kpi: Kpi) -> bool:
    """True when the KPI is made of own measures, which nobody has counted before somebody defined them."""
    return any(number > SCHEDULED_MS for _, number in kpi.numbers)


NO_OWN_KPIS: Final = OwnKpis()
