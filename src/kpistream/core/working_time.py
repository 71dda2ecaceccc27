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


def with_working_time(
    tally: Mapping[int, int], plan: Plan | None, until_ms: int, from_ms: int | None = None
) -> Mapping[int, int]:
    """The sums with the working time before an instant, and from one on, beside them; as they are without any."""
    if plan is None or plan.basis is Basis.NONE:
        return tally
    worked_ms = plan.working_ms(until_ms) - (0 if from_ms is None else plan.working_ms(from_ms))
    return {**tally, SCHEDULED_MS: worked_ms} if worked_ms else tally
