"""Rota: who is at work now, and what their counts let expect, remembered until it may change.

Asking the schedules costs a tenth of a millisecond; a look at a target comes many times a second. Equal questions have
equal answers: nothing here is state of its own.
"""

from kpistream.core.pace import pace
from kpistream.core.readings import About
from kpistream.core.schedules import Basis, Duty, Plan, Schedules
from kpistream.core.targets import Due, Target
from kpistream.core.windows import Window

_AGENT = "agent:"


class Rota:
    """Duties and plans of agents."""

    def __init__(self, schedules: Schedules) -> None:
        self._schedules = schedules
        self._duties: dict[tuple[str, str], tuple[int, int, Duty]] = {}
        """By tenant and scope: since when and until when it is known."""
        self._plans: dict[tuple[str, str], Plan] = {}
        """By tenant and scope: of the window that was asked for last."""

    def knows(self, about: About) -> bool:
        """True when there are schedules for people such as this one."""
        return about.tenant in self._schedules.tenants and about.scope.startswith(_AGENT)

    def duty(self, about: About, now_ms: int) -> Duty:
        """Whether an agent is at work; unknown for everybody else."""
        if not self.knows(about):
            return Duty.UNKNOWN
        key = about.tenant, about.scope
        since_ms, until_ms, duty = self._duties.get(key, (0, 0, Duty.UNKNOWN))
        if not since_ms <= now_ms < until_ms:
            duty, until_ms = self._schedules.duty_until(about.tenant, about.scope.removeprefix(_AGENT), now_ms)
            self._duties[key] = now_ms, until_ms, duty
        return duty

    def due(self, target: Target, about: About, window: Window, now_ms: int) -> Due | None:
        """What a count lets expect of an agent by now; None when nothing is known of the time at work."""
        if not self.knows(about) or target.low is None:
            return None
        key = about.tenant, about.scope
        plan = self._plans.get(key)
        if plan is None or plan.window != window:
            agent = about.scope.removeprefix(_AGENT)
            plan = self._plans[key] = self._schedules.plan(about.tenant, agent, target.window, window)
        found = pace(target.low, plan, now_ms)
        if found.expected is None or plan.basis is Basis.NONE:
            return None
        return Due(found.expected, str(plan.basis))
