"""Provenance: every target on a KPI that is about somebody at an instant, which bound holds, and what it was made of.

What `resolution.py` finds for a look, with all that people ask next: which window it is about, what the schedule makes
of it there, and what of a team's target somebody carries.
"""

from collections.abc import Iterator
from fractions import Fraction
from typing import Final, NamedTuple

from kpistream.core.pace import Pace, Proration, pace, proration
from kpistream.core.resolution import Held, deciding_ms, in_force, resolve
from kpistream.core.roster import Roster
from kpistream.core.schedules import Basis
from kpistream.core.settings import Settings
from kpistream.core.targets import TENANT_SCOPE, Scope, Target, covers, team_scope
from kpistream.core.windows import DEFAULT_PANE_MS, Window, window_at

_AGENT: Final = "agent:"


class Carried(NamedTuple):
    """What an agent is expected to carry of a team's count."""

    share: Fraction
    bound: Fraction
    """Of the team's bound, in the KPI's unit."""
    members: int
    """Agents of the team at that time."""


class Provenance(NamedTuple):
    """One target for one scope at one instant."""

    held: Held
    in_force: bool
    """False before the target's `from`, and from its `to` on."""
    window: Window
    """The window that holds the instant."""
    pace: Pace | None = None
    """What the schedule makes of a count's bound in the window; None where there is none, or when not in force."""
    carried: Carried | None = None
    """Of a team's target with a split, when an agent is asked about; the bound is then the team's."""


def scope_window(roster: Roster, tenant: str, scope: str, name: str, at_ms: int) -> Window:
    """The window of a scope (`agent:ID`, `team:NAME` or `tenant`) at an instant."""
    known = roster.tenant(tenant)
    kind, _, team = scope.partition(":")
    if kind == Scope.AGENT:
        return roster.window(tenant, scope, name, at_ms, DEFAULT_PANE_MS)
    zone = known.zone if scope == TENANT_SCOPE else roster.zone_of_team(tenant, team)
    return window_at(name, at_ms, DEFAULT_PANE_MS, zone, known.day_starts_at_min)


def team_of_scope(roster: Roster, tenant: str, scope: str, at_ms: int) -> str:
    """Team of an agent or of the team itself; empty for a tenant."""
    kind, _, name = scope.partition(":")
    if kind == Scope.AGENT:
        return roster.team_of(tenant, name, at_ms)
    return name if kind == Scope.TEAM else ""


def provenances(settings: Settings, tenant: str, scope: str, kpi: str, at_ms: int) -> Iterator[Provenance]:
    """Every target on the KPI that is about the scope, in the order of the settings; those not in force, too."""
    asked = _Asked(settings, tenant, scope, at_ms)
    team = team_of_scope(settings.roster, tenant, scope, at_ms)
    members = settings.roster.members(tenant, team, at_ms) if _is_member(asked) else []
    for target in settings.targets:
        if target.kpi != kpi:
            continue
        if covers(target, tenant, scope, team):
            yield _provenance(asked, target)
        elif target.split is not None and members and covers(target, tenant, team_scope(team), team):
            yield _carried(asked, target, team, len(members))


class _Asked(NamedTuple):
    """Whom and when a question is about."""

    settings: Settings
    tenant: str
    scope: str
    at_ms: int


def _provenance(asked: _Asked, target: Target) -> Provenance:
    roster, tenant, scope = asked.settings.roster, asked.tenant, asked.scope
    window = scope_window(roster, tenant, scope, target.window, asked.at_ms)
    held_ms = deciding_ms(target.window, window, asked.at_ms)
    held = resolve(target, roster, tenant, scope, held_ms)
    judged = in_force(target, held_ms)
    return Provenance(held, judged, window, _pace(asked, held.target, window) if judged else None)


def _pace(asked: _Asked, target: Target, window: Window) -> Pace | None:
    schedules = asked.settings.schedules
    if not (asked.scope.startswith(_AGENT) and asked.tenant in schedules.tenants and target.low is not None):
        return None
    if target.high is not None or proration(target.defined) is not Proration.BY_TIME:
        return None
    plan = schedules.plan(asked.tenant, asked.scope.removeprefix(_AGENT), target.window, window)
    return None if plan.basis is Basis.NONE else pace(target.low, plan, asked.at_ms)


def _is_member(asked: _Asked) -> bool:
    return asked.scope.startswith(_AGENT) and asked.settings.roster.knows(
        asked.tenant, asked.scope.removeprefix(_AGENT)
    )


def _carried(asked: _Asked, target: Target, team: str, members: int) -> Provenance:
    """A team's target as an agent of the team meets it."""
    found = _provenance(asked._replace(scope=team_scope(team)), target)
    assert target.split is not None, target
    share = target.split.share(asked.scope.removeprefix(_AGENT), members)
    whole = found.held.target.low if found.held.target.low is not None else found.held.target.high
    assert whole is not None, target
    return found._replace(carried=Carried(share, share * whole, members))
