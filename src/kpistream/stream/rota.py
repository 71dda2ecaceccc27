"""Rota: who is at work now, what their counts let expect, and whether anything is heard of them.

Asking the schedules costs a tenth of a millisecond; a look at a target comes many times a second. So answers are
remembered until they may change, or for a few seconds. The one state of its own: how long nothing has been heard
although people are at work, which says something about the source, not about them.
"""

from collections.abc import Collection, Container, Iterable
from dataclasses import dataclass, field
from typing import Final

from kpistream.core.alerts import Look, Reached
from kpistream.core.kpis import Value
from kpistream.core.pace import pace
from kpistream.core.reaching import Asked, asked, reached
from kpistream.core.readings import About
from kpistream.core.schedules import Basis, Duty, Plan, Schedules
from kpistream.core.targets import Due, Target
from kpistream.core.windows import Window

SILENT_MS: Final = 900_000
"""Nothing heard of anybody for so long, although people are at work, is a silent source. Three agents with 12 calls an
hour each are without any for 15 minutes once in 8,000 times."""
ENOUGH_AT_WORK: Final = 3
"""Of fewer it may be true that nobody has done anything."""
DUE_MS: Final = 10_000
"""How old what is expected by now may be: in ten seconds it grows by less than 0.1 % of a day's."""
_COUNT_MS: Final = 10_000
_ASKED_A_COUNT: Final = 50
"""Schedules that one count may ask, about 5 ms; all other duties are remembered."""
_AGENT: Final = "agent:"


@dataclass(slots=True)
class _Agent:
    """What is remembered of one agent."""

    duty: Duty = Duty.UNKNOWN
    asked_ms: int = 0
    until_ms: int = 0
    """The duty is known from when it was asked until then."""
    plan: Plan | None = None
    """Of the window that was asked for last."""
    plans: dict[str, Plan] = field(default_factory=dict)
    """By the name of the window, for KPIs by the hour."""
    dues: dict[str, tuple[int, Due | None]] = field(default_factory=dict)
    """By target, with when it was computed; of that plan."""
    asked: dict[str, tuple[Plan, Asked]] = field(default_factory=dict)
    """What whole windows ask for, by target."""


@dataclass(slots=True)
class _Floor:
    """The agents of a tenant who are looked at also when nothing happens."""

    keys: Collection[str]
    quiet_from_ms: int
    """Since when nothing has been heard although enough of them are at work; the time now when that is not so."""
    counted_ms: int
    silent: bool = False


class Rota:
    """Duties, plans and dues of agents, by key (`tenant/agent:ID`), and the silence of their tenants."""

    def __init__(self, schedules: Schedules) -> None:
        self._schedules = schedules
        self._agents: dict[str, _Agent] = {}
        self._kept: frozenset[str] = frozenset()
        self._floors: dict[str, _Floor] = {}

    def adopt(self, schedules: Schedules) -> None:
        """Go by other schedules from now on; how long nothing has been heard stays known."""
        self._schedules = schedules
        self._agents = {}
        self._kept = frozenset()

    def knows(self, about: About) -> bool:
        """True when there are schedules for people such as this one."""
        return about.tenant in self._schedules.tenants and about.scope.startswith(_AGENT)

    def duty(self, about: About, now_ms: int) -> Duty:
        """Whether an agent is at work; unknown for everybody else."""
        return self._agent(f"{about.tenant}/{about.scope}", now_ms).duty if self.knows(about) else Duty.UNKNOWN

    def remembers(self, about: About, now_ms: int) -> bool:
        """True when the duty is known without asking the schedules."""
        agent = self._agents.get(f"{about.tenant}/{about.scope}")
        return not self.knows(about) or (agent is not None and agent.asked_ms <= now_ms < agent.until_ms)

    def rests(self, key: str, looked_ms: int, now_ms: int) -> bool:
        """True when it is known without asking that targets of the key rest now, as they did when it was looked at."""
        agent = self._agents.get(key)
        if agent is None or not agent.duty.suspends:
            return False
        return agent.asked_ms <= min(looked_ms, now_ms) and now_ms < agent.until_ms

    def due(self, target: Target, about: About, window: Window, now_ms: int) -> Due | None:
        """What a count lets expect of an agent by now, or up to 10 s ago; None without a known time at work."""
        if not self.knows(about) or target.low is None:
            return None
        agent = self._agent(f"{about.tenant}/{about.scope}", now_ms)
        plan = agent.plan
        if plan is None or plan.window != window:
            name = about.scope.removeprefix(_AGENT)
            plan = agent.plan = self._schedules.plan(about.tenant, name, target.window, window)
            agent.dues = {}
        computed_ms, due = agent.dues.get(target.name, (now_ms - DUE_MS, None))
        if not 0 <= now_ms - computed_ms < DUE_MS:
            due = _due(target, plan, now_ms)
            agent.dues[target.name] = now_ms, due
        return due

    def reached(self, look: Look, about: About, value: Value, now_ms: int) -> Reached | None:
        """What a count has reached, when that is all that its window asks for; an absence makes that less."""
        target, window = look.target, look.window
        if not self.knows(about):
            return reached(value, asked(target, None))
        agent = self._agent(f"{about.tenant}/{about.scope}", now_ms)
        plan, wanted = agent.asked.get(target.name, (None, None))
        if wanted is None or plan is None or plan.window != window:
            plan = self._plan(target, about, window)
            wanted = asked(target, plan)
            agent.asked[target.name] = plan, wanted
        return reached(value, wanted)

    def _plan(self, target: Target, about: About, window: Window) -> Plan:
        agent = self._agents.get(f"{about.tenant}/{about.scope}")
        plan = None if agent is None else agent.plan
        if plan is None or plan.window != window:
            plan = self._schedules.plan(about.tenant, about.scope.removeprefix(_AGENT), target.window, window)
        return plan

    def due_at(self, target: Target, about: About, window: Window, at_ms: int) -> Due | None:
        """What a count let expect of an agent at an instant, exactly; nothing of it is remembered."""
        if not self.knows(about) or target.low is None:
            return None
        return _due(target, self._plan(target, about, window), at_ms)

    def plan(self, about: About, window_name: str, window: Window) -> Plan | None:
        """The working time of an agent in a window; None for everybody else."""
        if not self.knows(about):
            return None
        plans = self._agents.setdefault(f"{about.tenant}/{about.scope}", _Agent()).plans
        plan = plans.get(window_name)
        if plan is None or plan.window != window:
            name = about.scope.removeprefix(_AGENT)
            plan = plans[window_name] = self._schedules.plan(about.tenant, name, window_name, window)
        return plan

    def forget_all_but(self, live: Container[str]) -> None:
        """Drop what is remembered of keys that have no windows any more."""
        for key in [key for key in self._agents if key not in live]:
            del self._agents[key]

    def listen(self, now_ms: int, changed: Iterable[tuple[str, int]], kept: frozenset[str]) -> None:
        """Take in of whom something is heard, and who is looked at also when nothing happens.

        Cost follows what changed; every ten seconds of silence those who are kept are counted until enough are found.
        """
        if kept is not self._kept:
            self._group(kept, now_ms)
        if not self._floors:
            return
        heard = {tenant for tenant, agent in (_split(key) for key, _ in changed) if agent}
        for tenant, floor in self._floors.items():
            if tenant in heard or now_ms < floor.quiet_from_ms:
                floor.quiet_from_ms, floor.silent = now_ms, False
            elif not 0 <= now_ms - max(floor.quiet_from_ms, floor.counted_ms) < _COUNT_MS:
                self._count(floor, now_ms)

    def silent(self, tenant: str) -> bool:
        """True while nothing is heard of any agent of the tenant although enough are at work."""
        floor = self._floors.get(tenant)
        return floor is not None and floor.silent

    def _group(self, kept: frozenset[str], now_ms: int) -> None:
        self._kept = kept
        keys: dict[str, list[str]] = {}
        for key in kept:
            tenant, agent = _split(key)
            if agent and tenant in self._schedules.tenants:
                keys.setdefault(tenant, []).append(key)
        known, self._floors = self._floors, {}
        for tenant, mine in keys.items():
            floor = self._floors[tenant] = known.get(tenant) or _Floor(mine, now_ms, now_ms)
            floor.keys = mine

    def _count(self, floor: _Floor, now_ms: int) -> None:
        """A break neither begins a silence nor ends one."""
        floor.counted_ms = now_ms
        enough = self._enough(floor.keys, (Duty.ON_SHIFT, Duty.BREAK) if floor.silent else (Duty.ON_SHIFT,), now_ms)
        if enough is None:
            return
        if not enough:
            floor.quiet_from_ms = now_ms
        floor.silent = now_ms - floor.quiet_from_ms >= SILENT_MS

    def _enough(self, keys: Iterable[str], duties: tuple[Duty, ...], now_ms: int) -> bool | None:
        """Whether enough have one of the duties; None when too many are not remembered: the next count asks on."""
        found = asked = 0
        for key in keys:
            agent = self._agents.get(key)
            if agent is None or not agent.asked_ms <= now_ms < agent.until_ms:
                if asked == _ASKED_A_COUNT:
                    return None
                asked += 1
                agent = self._agent(key, now_ms)
            found += agent.duty in duties
            if found == ENOUGH_AT_WORK:
                return True
        return False

    def _agent(self, key: str, now_ms: int) -> _Agent:
        """What is remembered, with the duty of now."""
        agent = self._agents.get(key)
        if agent is None:
            agent = self._agents[key] = _Agent()
        if not agent.asked_ms <= now_ms < agent.until_ms:
            agent.duty, agent.until_ms = self._schedules.duty_until(*_split(key), now_ms)
            agent.asked_ms = now_ms
        return agent


def _due(target: Target, plan: Plan, at_ms: int) -> Due | None:
    assert target.low is not None, target
    expected = pace(target.low, plan, at_ms).expected
    return None if expected is None or plan.basis is Basis.NONE else Due(expected, str(plan.basis))


def _split(key: str) -> tuple[str, str]:
    """Tenant and agent id of a key; an empty id for whoever is no agent."""
    tenant, _, scope = key.partition("/")
    return tenant, scope.removeprefix(_AGENT) if scope.startswith(_AGENT) else ""
