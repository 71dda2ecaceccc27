"""Reaching: whether a count has reached all that its window asks for.

What a whole window asks for is the bound, less what holidays, absences and part-time take off where a schedule is
known. That nothing is asked for is nothing to tell.
"""

from fractions import Fraction
from typing import NamedTuple

from kpistream.core.alerts import Reached
from kpistream.core.kpis import Value
from kpistream.core.pace import pace
from kpistream.core.schedules import Basis, Plan
from kpistream.core.targets import Target


class Asked(NamedTuple):
    """What a whole window asks for, and what that rests on."""

    bound: Fraction
    basis: str | None = None


def asked(target: Target, plan: Plan | None) -> Asked:
    """What the window of a plan asks for; without a plan, or a schedule behind it, the bound itself."""
    assert target.low is not None, target
    if plan is None or plan.basis is Basis.NONE:
        return Asked(target.low)
    return Asked(pace(target.low, plan, plan.window.to_ms).prorated, str(plan.basis))


def reached(value: Value, wanted: Asked) -> Reached | None:
    """What a count has reached, when that is all; None before."""
    return Reached(value, wanted.bound, wanted.basis) if 0 < wanted.bound <= value.numerator else None
