"""Working time beside sums: what KPIs by the hour are divided by.

Sums never hold it, because it follows from the schedule and the moment, not from events. Where nobody has said when an
agent works there is none, and such a KPI has no value: a team has no schedule of its own.
"""

from collections.abc import Mapping

from kpistream.core.catalogue import Kpi
from kpistream.core.measures import SCHEDULED_MS
from kpistream.core.own_kpis import PER_HOUR
from kpistream.core.schedules import Basis, Plan


def by_the_hour(kpi: Kpi) -> bool:
    """True when the KPI is over the working time."""
    return kpi.form == PER_HOUR


def with_working_time(tally: Mapping[int, int], plan: Plan | None, until_ms: int) -> Mapping[int, int]:
    """The sums with the working time before the instant beside them; as they are where none is known."""
    worked_ms = 0 if plan is None or plan.basis is Basis.NONE else plan.working_ms(until_ms)
    return {**tally, SCHEDULED_MS: worked_ms} if worked_ms else tally
