"""Reviewing: what history says of targets: periods that are over close, longer ones are judged to date.

The same core that judges live numbers, over sums out of ClickHouse. Teams and tenants are sums over agents, with the
roster as it was at each pane. Blocking; it knows no clock and no Kafka. What closed is a function of the sums, so a
result is computed again as often as one likes, and told when it is new or differs from what was told.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Final, NamedTuple

from kpistream.core.alerts import Look, Subject
from kpistream.core.measures import Tally, total
from kpistream.core.pace import pace
from kpistream.core.periods import over
from kpistream.core.readings import About
from kpistream.core.results import Result, close, result, same
from kpistream.core.roster import Roster, Tenant
from kpistream.core.schedules import Basis, Plan
from kpistream.core.settings import Settings
from kpistream.core.targets import (
    TENANT_SCOPE,
    Due,
    Judgement,
    Target,
    Verdict,
    Why,
    covers,
    judge,
    paced,
    team_scope,
)
from kpistream.core.windows import CALENDAR_WINDOWS, LIVE_WINDOWS, Window, window_at
from kpistream.history import queries
from kpistream.history.queries import Span
from kpistream.history.store import Store

REVIEWED: Final = tuple(name for name in CALENDAR_WINDOWS if name not in LIVE_WINDOWS)
"""Windows that are judged to date here; the shorter ones are the workers'."""
_AGENT: Final = "agent:"
_DAY_MS: Final = 24 * 3_600_000
_NO_SUMS: Final[Tally] = {}
GONE: Final = Judgement(Verdict.TOO_LITTLE, Why.NO_CASES)
"""Of a result that was told, when corrections have taken away everything it was made of."""


class Seat(NamedTuple):
    """Whom a target is judged for, with the sums of a window."""

    about: About
    tally: Tally


class _Period(NamedTuple):
    """A calendar window of one zone of a tenant."""

    tenant: Tenant
    zone: str
    name: str
    window: Window


@dataclass(frozen=True)
class Reviewing:
    """Judges out of one store."""

    settings: Settings
    pane_ms: int

    @cached_property
    def closing(self) -> dict[str, list[Target]]:
        """Targets that close, by window."""
        return self._by_window(CALENDAR_WINDOWS, self.settings.targets)

    @cached_property
    def judged(self) -> dict[str, list[Target]]:
        """Targets that are judged to date, by window."""
        return self._by_window(REVIEWED, [target for target in self.settings.targets if target.alerts])

    def results(self, store: Store, now_ms: int, grace_ms: int) -> Iterator[Result]:
        """How targets closed in the periods that ended `grace_ms` ago or earlier, without what was told already.

        Not of periods that began more than a day before the first pane of the tenant: there was nobody to count yet.
        """
        for period, first_ms in self._periods(store, now_ms - grace_ms):
            if period.window.from_ms + _DAY_MS <= first_ms:
                continue  # history does not have it whole
            told = queries.results_of(store, period.tenant.tenant, period.name, period.window)
            for each in self._closed(store, period, now_ms):
                known = told.pop(each.result_id, None)
                if known is None or not same(each, known):
                    yield each
            yield from self._gone(told.values(), period, now_ms)

    def looks(self, store: Store, name: str, now_ms: int) -> Iterator[tuple[Subject, Look]]:
        """A look at every target of a window, over what history has of it."""
        for tenant, _ in self._tenants(store):
            for zone in self._zones(tenant):
                window = window_at(name, now_ms, self.pane_ms, zone, tenant.day_starts_at_min)
                for about, tally in self._seats(store, tenant, zone, window):
                    for target in self.judged.get(name, ()):
                        if covers(target, tenant.tenant, about.scope, about.team or ""):
                            judgement = self._to_date(target, about, tally, window, now_ms)
                            look = Look(target, judgement, window, about.team, about.display_name)
                            yield Subject(target.name, tenant.tenant, about.scope), look

    def window_of(self, subject: Subject, name: str, now_ms: int) -> Window:
        """The window of a subject at an instant."""
        tenant, roster = self.settings.roster.tenant(subject.tenant), self.settings.roster
        zone = _zone(roster, tenant, subject.scope, now_ms)
        return window_at(name, now_ms, self.pane_ms, zone, tenant.day_starts_at_min)

    # ---- closing

    def _periods(self, store: Store, until_ms: int) -> Iterator[tuple[_Period, int]]:
        """Every period that a target closes with, with the start of the tenant's first pane."""
        for tenant, first_ms in self._tenants(store):
            for name in self.closing:
                for zone in self._zones(tenant):
                    for window in over(name, until_ms, self.pane_ms, zone, tenant.day_starts_at_min):
                        yield _Period(tenant, zone, name, window), first_ms

    def _closed(self, store: Store, period: _Period, now_ms: int) -> Iterator[Result]:
        tenant, window = period.tenant, period.window
        for about, tally in self._seats(store, tenant, period.zone, window):
            for target in self.closing[period.name]:
                if covers(target, tenant.tenant, about.scope, about.team or ""):
                    judgement = close(target, tally, tenant.limits, self._plan(about, target.window, window))
                    if judgement is not None:
                        yield result(target, judgement, about, window, now_ms)

    def _gone(self, left: Iterable[Result], period: _Period, now_ms: int) -> Iterator[Result]:
        """Results that were told of scopes of the period's zone and are told by nobody any more."""
        by_name = {target.name: target for target in self.closing[period.name]}
        for each in left:
            target = by_name.get(each.target)
            zone = _zone(self.settings.roster, period.tenant, each.scope, each.window_from_ms)
            if target is None or zone != period.zone:
                continue
            about = About(each.tenant, each.scope, each.team, each.display_name)
            now = result(target, GONE, about, period.window, now_ms)
            if not same(now, each):
                yield now

    # ---- to date

    def _to_date(self, target: Target, about: About, tally: Tally, window: Window, now_ms: int) -> Judgement:
        limits = self.settings.roster.tenant(about.tenant).limits
        if not paced(target):
            return judge(target, tally, limits)
        plan, due = self._plan(about, target.window, window), None
        if plan is not None and plan.basis is not Basis.NONE and target.low is not None:
            expected = pace(target.low, plan, now_ms).expected
            due = None if expected is None else Due(expected, str(plan.basis))
        return judge(target, tally, limits, due)

    # ---- sums

    def _seats(self, store: Store, tenant: Tenant, zone: str, window: Window) -> Iterator[Seat]:
        """Everybody of one zone: agents with sums or in the roster, teams, and the tenant."""
        sums = self._sums(store, tenant, window)
        for scope in (*sums, *(f"{_AGENT}{agent}" for agent in tenant.people if f"{_AGENT}{agent}" not in sums)):
            if _zone(self.settings.roster, tenant, scope, window.from_ms) == zone:
                yield Seat(self._about(tenant, scope, window.from_ms), sums.get(scope, _NO_SUMS))

    def _sums(self, store: Store, tenant: Tenant, window: Window) -> dict[str, Tally]:
        """Sums of agents, teams and the tenant; a pane counts for the team that its agent was in then."""
        out: dict[str, list[Tally]] = {}
        for from_ms, to_ms in pairwise(_edges(tenant, window)):
            for each in queries.sums_by_scope(store, Span(from_ms, to_ms, tenant.tenant)):
                team = team_scope(self.settings.roster.team_of_scope(tenant.tenant, each.scope, from_ms))
                own = (each.scope,) if each.scope.startswith(_AGENT) else ()
                for scope in (*own, team, TENANT_SCOPE):
                    out.setdefault(scope, []).append(each.tally)
        return {scope: total(tallies) for scope, tallies in out.items()}

    def _about(self, tenant: Tenant, scope: str, at_ms: int) -> About:
        roster, name = self.settings.roster, scope.partition(":")[2]
        if scope == TENANT_SCOPE:
            return About(tenant.tenant, scope, None, tenant.tenant)
        if scope.startswith(_AGENT):
            shown = roster.display_name(tenant.tenant, name, at_ms)
            return About(tenant.tenant, scope, roster.team_of(tenant.tenant, name, at_ms), shown)
        return About(tenant.tenant, scope, name, roster.team_name(tenant.tenant, name))

    def _plan(self, about: About, name: str, window: Window) -> Plan | None:
        if about.tenant not in self.settings.schedules.tenants or not about.scope.startswith(_AGENT):
            return None
        return self.settings.schedules.plan(about.tenant, about.scope.removeprefix(_AGENT), name, window)

    # ---- inside

    def _tenants(self, store: Store) -> list[tuple[Tenant, int]]:
        """Tenants of whom anything was ever heard, with the start of their first pane."""
        return [(self.settings.roster.tenant(name), at_ms) for name, at_ms in queries.first_panes(store).items()]

    def _zones(self, tenant: Tenant) -> list[str]:
        people = (dated.value for person in tenant.people.values() for dated in person.zones)
        return sorted({tenant.zone, *(team.zone for team in tenant.teams.values() if team.zone), *people})

    def _by_window(self, names: Iterable[str], targets: Iterable[Target]) -> dict[str, list[Target]]:
        found = {name: [target for target in targets if target.window == name] for name in names}
        return {name: some for name, some in found.items() if some}


def _zone(roster: Roster, tenant: Tenant, scope: str, at_ms: int) -> str:
    if scope == TENANT_SCOPE:
        return tenant.zone
    kind, _, name = scope.partition(":")
    return roster.zone_of_team(tenant.tenant, name) if kind == "team" else roster.zone_of(tenant.tenant, name, at_ms)


def _edges(tenant: Tenant, window: Window) -> list[int]:
    """The ends of a window and the instants in it at which somebody changes teams."""
    histories = [*tenant.queues.values(), *tenant.campaigns.values()]
    histories += [(*person.teams, person.active) for person in tenant.people.values()]
    moves = {edge_ms for history in histories for dated in history for edge_ms in (dated.from_ms, dated.to_ms)}
    return sorted({*window, *(edge_ms for edge_ms in moves if window.holds(edge_ms))})
