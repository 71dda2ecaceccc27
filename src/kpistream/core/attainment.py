"""Attainment: on how many past business days the bounds of today would have been met.

A bound that nobody met in months, or everybody always, says nothing. Days are judged by the plain number, with what the
schedule asks of a count; a day of which the minimum sample is not reached is no day.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, NamedTuple

import msgspec

from kpistream.core.bound_words import bound_words, decimal
from kpistream.core.catalogue import Kpi
from kpistream.core.days import Day
from kpistream.core.linting import Check, Finding, named
from kpistream.core.own_kpis import counted
from kpistream.core.pace import Proration, pace, proration
from kpistream.core.provenance import scope_window, team_of_scope
from kpistream.core.resolution import Held, deciding_ms, in_force, resolve
from kpistream.core.schedules import Basis
from kpistream.core.settings import Settings
from kpistream.core.targets import Target, beyond, covers, exact, measured
from kpistream.core.windows import BUSINESS_DAY
from kpistream.core.working_time import by_the_hour, with_working_time

WEEKS: Final = 12
ENOUGH_DAYS: Final = 10
"""Of fewer nothing can be said."""
ENOUGH_DEALS: Final = 20
MOST: Final = Fraction(9, 10)
"""So many deals that are linked to their calls are nothing to tell of."""
_AGENT: Final = "agent:"
_PLACES: Final = 4


@dataclass(slots=True)
class _Met:
    """What is known of one target for one scope."""

    held: Held | None
    """None when it does not cover the scope."""
    days: int = 0
    met: int = 0
    best: Fraction | None = None


class Past:
    """Takes days one by one; `findings` says of which targets the past thinks nothing."""

    def __init__(self, settings: Settings, at_ms: int) -> None:
        self._settings = settings
        self._at_ms = at_ms
        self._met: dict[tuple[str, str], list[_Met]] = {}
        """By tenant and scope, in the order of the targets."""

    def take(self, day: Day) -> None:
        """Judge a day by all targets that are about its scope."""
        known = self._met.get((day.tenant, day.scope))
        if known is None:
            known = [_Met(self._held(target, day)) for target in self._settings.targets]
            self._met[day.tenant, day.scope] = known
        for each in known:
            if each.held is not None:
                self._judge(each, each.held.target, day)

    def _held(self, target: Target, day: Day) -> Held | None:
        """The bound of today, or of the day on which the target begins."""
        kpi, at_ms = target.defined, max(self._at_ms, target.from_ms)
        team = team_of_scope(self._settings.roster, day.tenant, day.scope, self._at_ms)
        if counted(kpi) or (kpi.denominator is None and target.window != BUSINESS_DAY):
            return None  # own measures are in no pane; a count of an hour is not one of a day
        if not covers(target, day.tenant, day.scope, team):
            return None
        window = scope_window(self._settings.roster, day.tenant, day.scope, target.window, at_ms)
        held_ms = deciding_ms(target.window, window, at_ms)
        held = resolve(target, self._settings.roster, day.tenant, day.scope, held_ms)
        return held if in_force(target, held_ms) else None

    def _judge(self, known: _Met, target: Target, day: Day) -> None:
        tally = tally_of(self._settings, target.defined, day)
        value = measured(target, tally, self._settings.roster.tenant(day.tenant).limits)
        seen = exact(target.defined, value)
        asked = asked_of(self._settings, target, day)
        few = value.denominator is not None and value.denominator < target.minimum_sample
        if seen is None or asked is None or few:
            return
        known.days += 1
        known.met += beyond(asked, seen) is None
        better = max if target.high is None else min
        known.best = seen if known.best is None else better(known.best, seen)

    def findings(self) -> Iterator[Finding]:
        """Targets that some never met, and such that some always met, each with whom."""
        for number, target in enumerate(self._settings.targets):
            known = {scope: met[number] for scope, met in self._met.items() if met[number].days >= ENOUGH_DAYS}
            never = sorted(scope for scope, met in known.items() if not met.met)
            always = sorted(scope for scope, met in known.items() if met.met == met.days)
            if never:
                fact = f"never met in {WEEKS} weeks by {_names(never)}, {len(never)} of {len(known)}"
                yield Finding(target.name, Check.UNREACHABLE, fact + _best(known[never[0]]))
            if always:
                fact = f"met every day for {WEEKS} weeks by {_names(always)}, {len(always)} of {len(known)}"
                yield Finding(target.name, Check.TRIVIAL, fact)


class Deals(NamedTuple):
    """The won deals of a tenant's agents in the past."""

    won: int
    linked: int
    """Those of them that name a connected call of the same agent."""


def lint_links(settings: Settings, deals: Mapping[str, Deals], at_ms: int) -> Iterator[Finding]:
    """Targets on calls that settle, where many deals are not of the agents' own calls; `deals` by tenant."""
    for target in settings.targets:
        if not target.defined.settles or target.to_ms <= at_ms:
            continue
        for tenant, (won, linked) in sorted(deals.items()):
            if target.tenant in (None, tenant) and won >= ENOUGH_DEALS and linked < MOST * won:
                fact = (
                    f"{won - linked} of {won} won deals of tenant {tenant} in {WEEKS} weeks name no call of their agent"
                )
                yield Finding(target.name, Check.NO_CALL, fact)


def asked_of(settings: Settings, target: Target, day: Day) -> Target | None:
    """The target with what the schedule asks of an agent's count on a day; None when it asks for nothing."""
    share = working_share(settings, target.defined, day)
    if share == 1 or target.low is None:
        return target
    return msgspec.structs.replace(target, low=target.low * share) if share else None


def working_share(settings: Settings, kpi: Kpi, day: Day) -> Fraction:
    """Share of a count's bound that the schedule asks of a scope on a day; all of it where none is known."""
    known = day.tenant in settings.schedules.tenants and day.scope.startswith(_AGENT)
    if not known or proration(kpi) is not Proration.BY_TIME:
        return Fraction(1)
    plan = settings.schedules.plan(day.tenant, day.scope.removeprefix(_AGENT), BUSINESS_DAY, day.window)
    return Fraction(1) if plan.basis is Basis.NONE else pace(Fraction(1), plan, day.window.to_ms).prorated


def tally_of(settings: Settings, kpi: Kpi, day: Day) -> Mapping[int, int]:
    """The sums of a day; for a KPI by the hour with the working time of an agent beside them."""
    known = day.tenant in settings.schedules.tenants and day.scope.startswith(_AGENT)
    if not known or not by_the_hour(kpi):
        return day.tally
    plan = settings.schedules.plan(day.tenant, day.scope.removeprefix(_AGENT), BUSINESS_DAY, day.window)
    return with_working_time(day.tally, plan, day.window.to_ms)


def _names(scopes: list[tuple[str, str]]) -> str:
    return named([scope.partition(":")[2] or tenant for tenant, scope in scopes])


def _best(met: _Met) -> str:
    """The nearest that somebody came; nothing for a band, which is missed on two sides."""
    assert met.held is not None and met.best is not None, met
    target = met.held.target
    if target.low is not None and target.high is not None:
        return ""
    bound = target.low if target.low is not None else target.high
    assert bound is not None, target
    best = bound_words(target, Fraction(decimal(met.best, _PLACES)))
    return f"; at best {best} of {bound_words(target, bound)} in {met.days} days"
