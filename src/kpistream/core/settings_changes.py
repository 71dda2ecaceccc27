"""Settings changes: what differs between two versions of the settings, in words of the field.

`changes` is for whoever applies a version: who moved, which bound changed from what to what. `touched` is for workers:
whose numbers look different, so that one absence does not make everybody's be shown again.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction
from itertools import pairwise
from typing import Any, Final, NamedTuple

import msgspec

from kpistream.core.kpis import Kpi, definition
from kpistream.core.own_measures import OwnMeasure, measure_words
from kpistream.core.patterns import Absence, Assignment
from kpistream.core.roster import ALWAYS_FROM_MS, ALWAYS_TO_MS, Dated, Person, Tenant, at
from kpistream.core.schedules import TenantSchedules
from kpistream.core.settings import Settings
from kpistream.core.targets import Direction, Target
from kpistream.core.windows import business_date, day_start_ms, zone_of_name

_NOBODY: Final = Tenant("")
_NO_SCHEDULES: Final = TenantSchedules()
_AGENT: Final = "agent:"
_MINUTE_MS: Final = 60_000


class Touched(NamedTuple):
    """Whose numbers, names or targets may differ."""

    everybody: bool
    keys: frozenset[str] = frozenset()
    """Agents, as `tenant/agent:ID`, when it is not everybody."""


def touched(old: Settings, new: Settings) -> Touched:
    """Whom a change of the settings is about; cost follows the number of people."""
    if old._replace(roster=new.roster, schedules=new.schedules) != new or old.roster.zone != new.roster.zone:
        return Touched(True)
    names = old.roster.tenants.keys() | new.roster.tenants.keys()
    keys: set[str] = set()
    for name in names | old.schedules.tenants.keys() | new.schedules.tenants.keys():
        before, after = (each.roster.tenants.get(name, _NOBODY) for each in (old, new))
        was, now = (each.schedules.tenants.get(name, _NO_SCHEDULES) for each in (old, new))
        if replace(before, people={}) != replace(after, people={}) or _shared(was) != _shared(now):
            return Touched(True)
        agents = {*_differ(before.people, after.people), *_differ(was.imported, now.imported)}
        agents |= set(_differ(was.absences, now.absences))
        scopes = {*_differ(was.shifts, now.shifts), *_differ(was.exceptions, now.exceptions)}
        keys |= {f"{name}/{_AGENT}{agent}" for agent in agents} | {f"{name}/{scope}" for scope in scopes}
    return Touched(False, frozenset(keys))


def _shared(schedules: TenantSchedules) -> tuple[Any, ...]:
    """What holds for more than one agent."""
    shared = [
        {scope: held for scope, held in each.items() if not scope.startswith(_AGENT)}
        for each in (schedules.shifts, schedules.exceptions)
    ]
    return (*shared, schedules.business_hours, schedules.holidays)


def _differ(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Keys under which the two say something else, sorted."""
    yield from sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))


def changes(old: Settings, new: Settings) -> list[str]:
    """One line for each difference; empty when both mean the same."""
    out: list[str] = []
    if old.roster.zone != new.roster.zone:
        out.append(f"zone of unknown tenants: {old.roster.zone} -> {new.roster.zone}")
    for name in _differ(old.roster.tenants, new.roster.tenants):
        before, after = old.roster.tenants.get(name), new.roster.tenants.get(name)
        if before is None:
            out.append(f"{name}: new tenant")
        if after is None:
            out.append(f"{name}: tenant is gone, with {len(old.roster.tenants[name].people)} people")
            continue
        out += [f"{name}: {line}" for line in _tenant(before or Tenant(name, after.zone), after)]
    out += _targets({each.name: each for each in old.targets}, {each.name: each for each in new.targets})
    for name in sorted(old.schedules.tenants.keys() | new.schedules.tenants.keys()):
        was, now = (each.schedules.tenants.get(name, _NO_SCHEDULES) for each in (old, new))
        if was != now:
            days = _Days.of((new if name in new.roster.tenants else old).roster.tenant(name))
            out += [f"{name}: {line}" for line in _schedules(was, now, days)]
    out += _measures({each.name: each for each in old.own.measures}, {each.name: each for each in new.own.measures})
    out += _own({each.name: each for each in old.own.kpis}, {each.name: each for each in new.own.kpis})
    others = [name for name in Settings._fields if name not in ("roster", "targets", "schedules", "own")]
    return out + [f"{name}: changed" for name in others if getattr(old, name) != getattr(new, name)]


@dataclass(frozen=True, slots=True)
class _Days:
    """How instants of a tenant are told."""

    zone: str
    day_starts_at_min: int

    @staticmethod
    def of(tenant: Tenant) -> "_Days":
        return _Days(tenant.zone, tenant.day_starts_at_min)

    def at(self, at_ms: int) -> str:
        """A date when it is the start of its business day, else date and time."""
        day = business_date(at_ms, self.zone, self.day_starts_at_min)
        if day_start_ms(day, self.zone, self.day_starts_at_min) == at_ms:
            return str(day)
        return f"{datetime.fromtimestamp(at_ms // 1000, zone_of_name(self.zone)):%Y-%m-%d %H:%M}"

    def span(self, from_ms: int, to_ms: int) -> str:
        """` from A to B`, without the end that is open."""
        begin = "" if from_ms <= ALWAYS_FROM_MS else f" from {self.at(from_ms)}"
        return begin + ("" if to_ms >= ALWAYS_TO_MS else f" to {self.at(to_ms)}")


def _tenant(old: Tenant, new: Tenant) -> Iterator[str]:
    for key in ("zone", "day_starts_at_min"):
        if getattr(old, key) != getattr(new, key):
            yield f"{key}: {getattr(old, key)} -> {getattr(new, key)}"
    for key in type(new.limits).__annotations__:
        if getattr(old.limits, key) != getattr(new.limits, key):
            yield f"limit {key}: {getattr(old.limits, key)} -> {getattr(new.limits, key)}"
    if old.silent_after_ms != new.silent_after_ms:
        yield f"silent_after: {_silence(old.silent_after_ms)} -> {_silence(new.silent_after_ms)}"
    for source in _differ(old.sources, new.sources):
        was_ms, now_ms = old.sources.get(source), new.sources.get(source)
        yield f"source {source}: silent_after {_silence(was_ms)} -> {_silence(now_ms)}"
    if old.settle_ms != new.settle_ms:
        yield f"settle_time: {old.settle_ms / _MINUTE_MS:g} min -> {new.settle_ms / _MINUTE_MS:g} min"
    for team in _differ(old.teams, new.teams):
        was, now = old.teams.get(team), new.teams.get(team)
        if was is None or now is None:
            yield f"team {team} is {'new' if was is None else 'gone'}"
            continue
        yield from _fields(f"team {team}", {"name": was.display_name, "zone": was.zone}, now.display_name, now.zone)
    days = _Days.of(new)
    for agent in _differ(old.people, new.people):
        yield from _person(agent, old.people.get(agent), new.people.get(agent), days)
    for kind, was_of, now_of in (("queue", old.queues, new.queues), ("campaign", old.campaigns, new.campaigns)):
        for name in _differ(was_of, now_of):
            yield from _timeline(f"{kind} {name}: team", was_of.get(name, ()), now_of.get(name, ()), days)


def _silence(after_ms: int | None) -> str:
    return "as usual" if after_ms is None else f"{after_ms / 60_000:g} m" if after_ms else "off"


def _fields(whose: str, old: Mapping[str, Any], *new: Any) -> Iterator[str]:
    for (name, before), after in zip(old.items(), new, strict=True):
        if before != after:
            yield f"{whose}: {name} {_shown(before)} -> {_shown(after)}"


def _shown(value: Any) -> str:
    return "none" if value is None or value == "" else str(value)


def _person(agent: str, old: Person | None, new: Person | None, days: _Days) -> Iterator[str]:
    if new is None:
        yield f"{agent} leaves the roster"
        return
    if old is None:
        yield f"{agent} is new{days.span(new.active.from_ms, new.active.to_ms)}"
        old = Person(agent, active=new.active)
    if old.active != new.active:
        was, now = (days.span(each.from_ms, each.to_ms) or " always" for each in (old.active, new.active))
        yield f"{agent} works here{now}, was{was}"
    for word, was_held, now_held in (
        ("name", old.names, new.names),
        ("team", old.teams, new.teams),
        ("tier", old.tiers, new.tiers),
        ("zone", old.zones, new.zones),
    ):
        yield from _timeline(f"{agent}: {word}", was_held, now_held, days)
    for source in _differ(old.aliases, new.aliases):
        was_ids, now_ids = (", ".join(sorted({d.value for d in each.aliases.get(source, ())})) for each in (old, new))
        yield f"{agent}: alias of {source} {_shown(was_ids)} -> {_shown(now_ids)}" + (
            ", other dates" if was_ids == now_ids else ""
        )


def _timeline(what: str, old: Iterable[Dated], new: Iterable[Dated], days: _Days) -> Iterator[str]:
    """What held and what holds instead, for each span in which they differ."""
    old, new = tuple(old), tuple(new)
    if old == new:
        return
    cuts = sorted({ALWAYS_FROM_MS, ALWAYS_TO_MS, *(ms for each in (*old, *new) for ms in (each.from_ms, each.to_ms))})
    spans: list[tuple[str | None, str | None, int, int]] = []
    for begin, end in pairwise(cuts):
        was, now = at(old, begin), at(new, begin)
        if spans and spans[-1][:2] == (was, now):
            spans[-1] = (was, now, spans[-1][2], end)
        else:
            spans.append((was, now, begin, end))
    for was, now, begin, end in spans:
        if was != now:
            yield f"{what} {_shown(was)} -> {_shown(now)}{days.span(begin, end)}"


# ---- KPIs and targets


def _measures(old: Mapping[str, OwnMeasure], new: Mapping[str, OwnMeasure]) -> Iterator[str]:
    for name in _differ(old, new):
        if name not in new:
            yield f"measure {name} is gone"
        elif name not in old:
            yield f"measure {name} is new: {measure_words(new[name])}"
        elif old[name].number != new[name].number:
            yield f"measure {name}: {measure_words(old[name])} -> {measure_words(new[name])}"
        else:
            yield f"measure {name}: other words"


def _own(old: Mapping[str, Kpi], new: Mapping[str, Kpi]) -> Iterator[str]:
    for name in _differ(old, new):
        if name not in new:
            yield f"KPI {name} is gone"
        elif name not in old:
            yield f"KPI {name} is new: {definition(new[name])}"
        elif definition(old[name]) != definition(new[name]):
            yield f"KPI {name}: {definition(old[name])} -> {definition(new[name])}"
        else:
            yield f"KPI {name}: other words, unit or direction"


def _targets(old: Mapping[str, Target], new: Mapping[str, Target]) -> Iterator[str]:
    for name in _differ(old, new):
        if name not in new:
            yield f"target {name} is gone; its alerts are suspended"
        elif name not in old:
            yield f"target {name} is new: {_bounds(new[name])}"
        else:
            unit = new[name].defined.unit
            for field in msgspec.structs.fields(Target):
                was, now = getattr(old[name], field.name), getattr(new[name], field.name)
                band = Direction.BETWEEN in (old[name].direction, new[name].direction)
                word = "bound" if field.name in ("low", "high") and not band else field.name
                if was != now and field.name != "own":
                    yield f"target {name}: {word} {_in_unit(was, unit)} -> {_in_unit(now, unit)}"


def _bounds(target: Target) -> str:
    unit = target.defined.unit
    low = "" if target.low is None else f" at least {_in_unit(target.low, unit)}"
    high = "" if target.high is None else f" at most {_in_unit(target.high, unit)}"
    return f"{target.kpi}{low}{' and' if low and high else ''}{high}, {target.window}, for each {target.scope}"


def _in_unit(value: Any, unit: str) -> str:
    """A bound as people write it; anything else as it is."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return " ".join(f"{name} {_in_unit(each, unit)}" for name, each in value._asdict().items())
    if not isinstance(value, Fraction):
        return _shown(value)
    if unit == "share":
        return f"{float(value * 100):g} %"
    return f"{float(value / 1000):g} s" if unit == "ms" else f"{float(value):g}"


# ---- schedules


def _schedules(old: TenantSchedules, new: TenantSchedules, days: _Days) -> Iterator[str]:
    for scope in _differ(old.shifts, new.shifts):
        yield from _listed(
            _patterns(old.shifts.get(scope, ()), days), _patterns(new.shifts.get(scope, ()), days), scope
        )
    for scope in _differ(old.exceptions, new.exceptions):
        yield f"{scope}: {_dates(old.exceptions.get(scope, {}), new.exceptions.get(scope, {}))} by exception"
    for agent in _differ(old.imported, new.imported):
        yield f"{agent}: {_dates(old.imported.get(agent, {}), new.imported.get(agent, {}))} by imported shifts"
    for what, was, now in (
        ("business hours", old.business_hours, new.business_hours),
        ("holidays", old.holidays, new.holidays),
    ):
        for scope in _differ(was, now):
            how = "are new" if scope not in was else "are gone" if scope not in now else "change"
            yield f"{scope}: {what} {how}"
    for agent in _differ(old.absences, new.absences):
        was_away, now_away = (_absences(each.absences.get(agent, ()), days) for each in (old, new))
        yield from _listed(was_away, now_away, agent)


def _listed(old: Iterable[str], new: Iterable[str], whose: str) -> Iterator[str]:
    old, new = list(old), list(new)
    yield from (f"{whose}: no longer {line}" for line in old if line not in new)
    yield from (f"{whose}: {line}" for line in new if line not in old)
    if sorted(old) == sorted(new):
        yield f"{whose}: other hours in the same pattern"


def _patterns(held: Iterable[Assignment], days: _Days) -> Iterator[str]:
    for each in held:
        share = "" if each.share == 1 else f" at {float(each.share * 100):g} %"
        yield f"pattern {each.pattern.name}{share}{days.span(each.from_ms, each.to_ms)}"


def _absences(held: Iterable[Absence], days: _Days) -> Iterator[str]:
    for each in held:
        yield f"absent{days.span(each.from_ms, each.to_ms)}" + (f" ({each.reason})" if each.reason else "")


def _dates(old: Mapping[Any, Any], new: Mapping[Any, Any]) -> str:
    differ = sorted(day for day in old.keys() | new.keys() if old.get(day) != new.get(day))
    if len(differ) == 1:
        return f"other hours on {differ[0]}"
    return f"other hours on {len(differ)} days from {differ[0]} to {differ[-1]}"
