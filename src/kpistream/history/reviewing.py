"""Reviewing: what history says of targets: periods that are over close, longer ones are judged to date.

The same core that judges live numbers, over sums out of ClickHouse. Teams and tenants are sums over agents, with the
roster as it was at each pane. Blocking; it knows no clock and no Kafka. A result is told once, and again when its sums
have changed: by the bounds that were told, so that no later setting rewrites what was closed.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import msgspec

from kpistream.core.alerts import Look, Reached, Subject, Transition
from kpistream.core.contributing import LOOKED_AT, Part, contributors
from kpistream.core.conversion import delay_ms
from kpistream.core.kpis import shape
from kpistream.core.measures import Tally, difference
from kpistream.core.own_measures import OwnMeasure
from kpistream.core.pace import pace
from kpistream.core.periods import Period, periods
from kpistream.core.reaching import asked, reached
from kpistream.core.readings import About
from kpistream.core.resolution import Held, deciding_ms, in_force, resolve
from kpistream.core.results import GONE, Result, asks_for_plan, beside_told, close, close_again, corrected, result, same
from kpistream.core.roster import Roster, Tenant
from kpistream.core.schedules import Basis, Plan
from kpistream.core.settings import Settings
from kpistream.core.targets import TENANT_SCOPE, Due, Judgement, Target, covers, judge, measured, paced, team_scope
from kpistream.core.windows import CALENDAR_WINDOWS, LIVE_WINDOWS, Window, window_at
from kpistream.core.working_time import by_the_hour, with_working_time
from kpistream.history import queries, tables
from kpistream.history.queries import Heard, Span, Sums
from kpistream.history.settled import LEGS_MS, settled_between, settled_by_scope
from kpistream.history.store import Store

REVIEWED: Final = tuple(name for name in CALENDAR_WINDOWS if name not in LIVE_WINDOWS)
"""Windows that are judged to date here; the shorter ones are the workers'."""
_AGENT: Final = "agent:"
_DAY_MS: Final = 24 * 3_600_000
_ZONES_APART_MS: Final = 26 * 3_600_000
"""From UTC+14 to UTC-12: the windows of one period begin within that of each other."""
_NO_SUMS: Final[Tally] = {}


class Closing(NamedTuple):
    """A period of a tenant that closes."""

    tenant: Tenant
    period: Period
    heard: Heard
    """Between which instants there are panes of the tenant."""

    @property
    def span(self) -> Window:
        """From the first zone's begin to the last zone's end."""
        windows = self.period.windows.values()
        return Window(min(each.from_ms for each in windows), max(each.to_ms for each in windows))


class Seat(NamedTuple):
    """Whom a target is judged for, with the sums of a window."""

    about: About
    tally: Tally


class Extent(NamedTuple):
    """Of what the sums are."""

    name: str
    """The window's."""
    window: Window
    known_to_ms: int
    """What happened later is not known yet: nothing has settled there."""


@dataclass(frozen=True)
class Reviewing:
    """Judges out of one store."""

    settings: Settings
    pane_ms: int

    @cached_property
    def closing(self) -> dict[str, list[Target]]:
        """Targets that close, by window."""
        return _by_window(CALENDAR_WINDOWS, self.settings.targets)

    @cached_property
    def judged(self) -> dict[str, list[Target]]:
        """Targets that are judged to date, by window."""
        return _by_window(REVIEWED, [target for target in self.settings.targets if target.alerts])

    @cached_property
    def counted(self) -> list[OwnMeasure]:
        """Own measures that targets ask for; facts are gone through for them."""
        kpis = [target.defined for target in self.settings.targets]
        names = {name for kpi in kpis for name, _ in kpi.numbers}
        return [measure for measure in self.settings.own.measures if measure.name in names]

    @cached_property
    def praised(self) -> list[str]:
        """What the records of best days are called."""
        return [target.best for target in self.settings.targets if target.good_news]

    def tenants(self, store: Store) -> list[tuple[Tenant, Heard]]:
        """Tenants of whom anything was ever heard, and when."""
        return [(self.settings.roster.tenant(name), heard) for name, heard in queries.heard(store).items()]

    # ---- periods that are over

    def closings(self, store: Store, until_ms: int) -> list[Closing]:
        """Periods that are over somewhere, of tenants that had begun by then, the newest first."""
        return [
            Closing(tenant, period, heard)
            for tenant, heard in self.tenants(store)
            for name in self.closing
            for period in periods(name, until_ms, self.pane_ms, _zones(tenant), tenant.day_starts_at_min)
            if any(_closes(window, heard, until_ms) for window in period.windows.values())
        ]

    def changed(self, store: Store, closing: Closing) -> int:
        """A number that grows when the sums of a period change: it need not be closed again before."""
        reach_ms = self._delay_ms(closing.tenant) + LEGS_MS if self._settles(closing.period.name) else 0
        span = Span(closing.span.from_ms - reach_ms, closing.span.to_ms, closing.tenant.tenant)
        newest = queries.written(store, span)
        if not self.counted and not self._settles(closing.period.name):
            return newest
        return max(newest, queries.written(store, span, tables.FACTS))

    def results(self, store: Store, closing: Closing, until_ms: int, now_ms: int) -> list[Result]:
        """How targets closed in a period, without what was told and still holds."""
        tenant, period, heard = closing
        around = Window(closing.span.from_ms - _ZONES_APART_MS, closing.span.from_ms + _ZONES_APART_MS)
        told = queries.results_of(store, tenant.tenant, period.name, around)
        out: list[Result] = []
        for zone, window in period.windows.items():
            if not _closes(window, heard, until_ms):
                continue
            for about, tally in self._seats(
                store, tenant, zone, Extent(period.name, window, window.to_ms), period.last_ms
            ):
                for held in self._held(self.closing[period.name], about, window):
                    found = self._result(held, Seat(about, tally), window, told, now_ms)
                    if found is not None and _meant(store, held.target, told.get(found.result_id)):
                        out.append(found)
        return out + list(self._misplaced(tenant, period, told, now_ms))

    def _result(self, held: Held, seat: Seat, window: Window, told: dict[str, Result], now_ms: int) -> Result | None:
        (about, tally), target = seat, held.target
        limits = self.settings.roster.tenant(about.tenant).limits
        known = told.get(f"{target.name}/{about.tenant}/{about.scope}/{target.window}/{window.from_ms}")
        if known is None:
            plan = self._plan(about, target.window, window) if asks_for_plan(target, tally) else None
            judgement = close(target, tally, limits, plan)
            return None if judgement is None else result(held, judgement, about, window, now_ms)
        value = measured(target, beside_told(target, known, tally), limits)
        if target.kpi != known.kpi or (value.numerator, value.denominator) == (known.numerator, known.denominator):
            return None
        found = corrected(known, close_again(target, known, tally, limits), now_ms)
        return None if same(found, known) else msgspec.structs.replace(found, shape=shape(target.own) or msgspec.UNSET)

    def _misplaced(self, tenant: Tenant, period: Period, told: dict[str, Result], now_ms: int) -> Iterator[Result]:
        """Results of this period whose scope has it in another zone now, and so is told of elsewhere."""
        targets = {target.name for target in self.closing[period.name]}
        for each in told.values():
            zone = _zone(self.settings.roster, tenant, each.scope, period.last_ms)
            mine = any(each.window_from_ms == window.from_ms for window in period.windows.values())
            if each.target in targets and mine and period.windows[zone].from_ms != each.window_from_ms:
                gone = corrected(each, GONE, now_ms)
                if not same(gone, each):
                    yield gone

    # ---- to date

    def looks(
        self, store: Store, name: str, tenant: Tenant, heard: Heard, now_ms: int
    ) -> Iterator[tuple[Subject, Look]]:
        """A look at every target of a window of a tenant, over what history has of it.

        None in a window that began more than a day before the tenant did: there was nobody to count yet.
        """
        for zone in _zones(tenant):
            window = window_at(name, now_ms, self.pane_ms, zone, tenant.day_starts_at_min)
            if window.from_ms + _DAY_MS <= heard.first_ms:
                continue
            extent = Extent(name, window, min(now_ms, heard.to_ms))
            for about, tally in self._seats(store, tenant, zone, extent, now_ms):
                for held in self._held(self.judged.get(name, []), about, window):
                    judgement = self._to_date(held.target, Seat(about, tally), window, min(now_ms, heard.to_ms))
                    look = Look(held.target, judgement, window, about.team, about.display_name, held.bound_from)
                    look = look._replace(reached=self._reached(held.target, Seat(about, tally), window))
                    yield Subject(held.target.name, tenant.tenant, about.scope), look

    def _held(self, targets: list[Target], about: About, window: Window) -> Iterator[Held]:
        """What is judged for a scope over a window, each with the bound that holds for all of it."""
        for target in targets:
            at_ms = deciding_ms(target.window, window, window.from_ms)
            if in_force(target, at_ms) and covers(target, about.tenant, about.scope, about.team or ""):
                yield resolve(target, self.settings.roster, about.tenant, about.scope, at_ms)

    def window_of(self, subject: Subject, name: str, now_ms: int) -> Window:
        """The window of a subject at an instant."""
        tenant = self.settings.roster.tenant(subject.tenant)
        zone = _zone(self.settings.roster, tenant, subject.scope, now_ms)
        return window_at(name, now_ms, self.pane_ms, zone, tenant.day_starts_at_min)

    def _to_date(self, target: Target, seat: Seat, window: Window, at_ms: int) -> Judgement:
        """`at_ms`: the end of what was heard of anybody. A silent source lets nobody fall behind."""
        limits = self.settings.roster.tenant(seat.about.tenant).limits
        if by_the_hour(target.defined):
            plan = self._plan(seat.about, target.window, window)
            return judge(target, with_working_time(seat.tally, plan, at_ms), limits)
        if not paced(target):
            return judge(target, seat.tally, limits)
        plan, due = self._plan(seat.about, target.window, window), None
        if plan is not None and plan.basis is not Basis.NONE and target.low is not None:
            expected = pace(target.low, plan, at_ms).expected
            due = None if expected is None else Due(expected, str(plan.basis))
        return judge(target, seat.tally, limits, due)

    def _reached(self, target: Target, seat: Seat, window: Window) -> Reached | None:
        """What a count has reached, when that is all that its period asks for."""
        if not target.good_news:
            return None
        value = measured(target, seat.tally, self.settings.roster.tenant(seat.about.tenant).limits)
        if not value.numerator:
            return None
        return reached(value, asked(target, self._plan(seat.about, target.window, window)))

    # ---- sums

    def _seats(self, store: Store, tenant: Tenant, zone: str, extent: Extent, at_ms: int) -> Iterator[Seat]:
        """Everybody who has this zone at an instant: agents with sums or in the roster, teams, and the tenant."""
        window = extent.window
        sums = self._sums(store, tenant, window)
        if self._settles(extent.name):
            for scope, tally in self._settled(store, tenant, extent).items():
                _fold(sums, scope, tally)
        for scope in (*sums, *(f"{_AGENT}{agent}" for agent in tenant.people if f"{_AGENT}{agent}" not in sums)):
            if _zone(self.settings.roster, tenant, scope, at_ms) == zone:
                yield Seat(self._about(tenant, scope, Window(window.from_ms, at_ms + 1)), sums.get(scope, _NO_SUMS))

    def _sums(self, store: Store, tenant: Tenant, window: Window) -> dict[str, Tally]:
        """Sums of agents, teams and the tenant; a pane counts for the team that its agent was in then."""
        out: dict[str, Tally] = {}
        for scope, team, tally in self._placed(store, tenant, window):
            if scope.startswith(_AGENT):
                _fold(out, scope, tally)
            _fold(out, TENANT_SCOPE, tally)
            _fold(out, team, tally)
        return out

    def _placed(self, store: Store, tenant: Tenant, window: Window) -> Iterator[tuple[str, str, Tally]]:
        """Sums of who has any, with the team (its scope) that they count for: of who changes teams several."""
        moves = _moves(tenant, window)
        roster, span = self.settings.roster, Span(*window, tenant.tenant)
        for each in (*queries.sums_by_scope(store, span), *self._own(store, span)):
            if each.scope not in moves:
                team = roster.team_of_scope(tenant.tenant, each.scope, window.from_ms)
                yield each.scope, team_scope(team), each.tally
        edges = sorted({window.from_ms, *(edge_ms for found in moves.values() for edge_ms in found)})
        for each in self._between(store, span, list(moves), edges) if moves else ():
            assert isinstance(each.group, int)
            team = roster.team_of_scope(tenant.tenant, each.scope, edges[each.group - 1])
            yield each.scope, team_scope(team), each.tally

    def explained(self, store: Store, transition: Transition, target: Target) -> Transition:
        """The transition with what has most to do with it, when an alert begins: out of facts, or agents' sums."""
        if not transition.begins:
            return transition
        tenant = self.settings.roster.tenant(transition.tenant)
        window = Window(transition.window_from_ms, transition.window_to_ms)
        parts: Iterable[Part]
        if transition.scope.startswith(_AGENT):
            parts = queries.parts_of(store, transition.scope, Span(*window, tenant.tenant), LOOKED_AT)
        else:
            sums: dict[str, Tally] = {}
            for scope, team, tally in self._placed(store, tenant, window):
                if transition.scope in (TENANT_SCOPE, team):
                    _fold(sums, scope, tally)
            parts = [Part(scope, None, difference(tally, {})) for scope, tally in sums.items()]
        found = contributors(target, transition.reason, parts, tenant.limits)
        return msgspec.structs.replace(transition, contributors=found)

    def _settles(self, name: str) -> bool:
        """True when a target of a window counts calls where they settle."""
        targets = (*self.closing.get(name, ()), *self.judged.get(name, ()))
        return any(target.defined.settles for target in targets)

    def _delay_ms(self, tenant: Tenant) -> int:
        return delay_ms(tenant.settle_ms, self.pane_ms)

    def _settled(self, store: Store, tenant: Tenant, extent: Extent) -> dict[str, Tally]:
        """Calls of agents, teams and the tenant that have settled, each for the team of the pane in which it has."""
        out: dict[str, Tally] = {}
        window = extent.window
        moves, roster, wait_ms = _moves(tenant, window), self.settings.roster, self._delay_ms(tenant)
        span = Span(window.from_ms, min(window.to_ms, extent.known_to_ms), tenant.tenant)
        for each in settled_by_scope(store, span, wait_ms):
            _fold(out, each.scope, each.tally)
            _fold(out, TENANT_SCOPE, each.tally)
            if each.scope not in moves:
                _fold(out, team_scope(roster.team_of_scope(tenant.tenant, each.scope, window.from_ms)), each.tally)
        edges = sorted({window.from_ms, *(edge_ms for found in moves.values() for edge_ms in found)})
        for each in settled_between(store, span, wait_ms, list(moves), edges) if moves else ():
            assert isinstance(each.group, int)
            team = roster.team_of_scope(tenant.tenant, each.scope, edges[each.group - 1])
            _fold(out, team_scope(team), each.tally)
        return out

    def _own(self, store: Store, span: Span) -> list[Sums]:
        return queries.own_by_scope(store, span, self.counted) if self.counted else []

    def _between(self, store: Store, span: Span, scopes: list[str], edges: list[int]) -> list[Sums]:
        found = queries.sums_between(store, span, scopes, edges)
        return found + (queries.own_between(store, span, self.counted, scopes, edges) if self.counted else [])

    def _about(self, tenant: Tenant, scope: str, window: Window) -> About:
        """Who somebody is at the end of a window, or when they left in it."""
        roster, name, at_ms = self.settings.roster, scope.partition(":")[2], window.to_ms - 1
        if scope == TENANT_SCOPE:
            return About(tenant.tenant, scope, None, tenant.tenant)
        if not scope.startswith(_AGENT):
            return About(tenant.tenant, scope, name, roster.team_name(tenant.tenant, name))
        person = roster.person(tenant.tenant, name)
        if person is not None and window.from_ms < person.active.to_ms <= at_ms:
            at_ms = person.active.to_ms - 1
        shown = roster.display_name(tenant.tenant, name, at_ms)
        return About(tenant.tenant, scope, roster.team_of(tenant.tenant, name, at_ms), shown)

    def _plan(self, about: About, name: str, window: Window) -> Plan | None:
        if about.tenant not in self.settings.schedules.tenants or not about.scope.startswith(_AGENT):
            return None
        return self.settings.schedules.plan(about.tenant, about.scope.removeprefix(_AGENT), name, window)


def _meant(store: Store, target: Target, told: Result | None) -> bool:
    """False when the target's KPI is one of the settings, and meant something else when this result was told.

    Later settings rewrite nothing that was closed; where history does not know what it meant it is taken as it is.
    """
    if told is None or target.own is None:
        return True
    found = queries.definition_of(store, target.name, told.as_of_ms)
    before = None if found is None else msgspec.json.decode(found).get("own")
    now = msgspec.json.decode(msgspec.json.encode(target.own))
    return before is None or all(before.get(part) == now[part] for part in _MEANING)


_MEANING: Final = ("numerator", "denominator", "times", "over", "numbers")
"""What of a KPI of the settings decides its number."""


def _closes(window: Window, heard: Heard, until_ms: int) -> bool:
    """True when a window is over and history has it whole: the tenant had begun within a day of its begin."""
    return window.to_ms <= until_ms and heard.first_ms < window.from_ms + _DAY_MS


def _fold(out: dict[str, Tally], scope: str, tally: Tally) -> None:
    held = out.setdefault(scope, {})
    for number, value in tally.items():
        held[number] = held.get(number, 0) + value


def _by_window(names: Iterable[str], targets: Iterable[Target]) -> dict[str, list[Target]]:
    listed = list(targets)
    found = {name: [target for target in listed if target.window == name] for name in names}
    return {name: some for name, some in found.items() if some}


def _zones(tenant: Tenant) -> list[str]:
    """The tenant's own zone first, then those of its teams and people."""
    people = (dated.value for person in tenant.people.values() for dated in person.zones)
    others = {*people, *(team.zone for team in tenant.teams.values() if team.zone)} - {tenant.zone}
    return [tenant.zone, *sorted(others)]


def _zone(roster: Roster, tenant: Tenant, scope: str, at_ms: int) -> str:
    if scope == TENANT_SCOPE:
        return tenant.zone
    kind, _, name = scope.partition(":")
    return roster.zone_of_team(tenant.tenant, name) if kind == "team" else roster.zone_of(tenant.tenant, name, at_ms)


def _moves(tenant: Tenant, window: Window) -> dict[str, list[int]]:
    """Scopes that change teams in a window, with the instants at which they do."""
    histories = {f"{_AGENT}{agent}": (*each.teams, each.active) for agent, each in tenant.people.items()}
    histories |= {f"queue:{name}": teams for name, teams in tenant.queues.items()}
    histories |= {f"campaign:{name}": teams for name, teams in tenant.campaigns.items()}
    inner = Window(window.from_ms + 1, window.to_ms)
    found = {
        scope: [edge_ms for dated in history for edge_ms in (dated.from_ms, dated.to_ms) if inner.holds(edge_ms)]
        for scope, history in histories.items()
    }
    return {scope: edges for scope, edges in found.items() if edges}
