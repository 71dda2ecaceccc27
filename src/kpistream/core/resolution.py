"""Resolution: which bound of a target holds for somebody at an instant, and where it comes from.

Agent before tier before team before tenant before the target's own bound; then the ramp of newcomers and the seasons.
A pure function of settings and an instant, exact: what it finds holds for all instants from `at_ms` to `until_ms`.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from fractions import Fraction
from math import prod
from typing import Final, NamedTuple

import msgspec

from kpistream.core.overrides import Override, Reach
from kpistream.core.ramps import Factor, FactorKind, Season, ramp_factors, season_factors, week_of_work
from kpistream.core.roster import ALWAYS_FROM_MS, ALWAYS_TO_MS, Person, Roster, Tenant
from kpistream.core.targets import Target
from kpistream.core.windows import ROLLING_MS, Window, business_date, day_start_ms

_HALF_DAY_MS: Final = 12 * 3_600_000
_AGENT: Final = "agent:"
_TEAM: Final = "team:"


class Held(NamedTuple):
    """A target with the bound that holds for somebody, and its provenance."""

    target: Target
    """With the bound in force: what judges, evidence and alerts take."""
    override: Override
    """Where the bound comes from, before factors."""
    factors: tuple[Factor, ...] = ()
    """What it was multiplied by."""
    overridden: tuple[Override, ...] = ()
    """What is in force for this scope, too, but less close; the closest first."""
    bound_from: str | None = None
    """The provenance in words: `tier new, week 3 of the ramp (60 %)`; None for the target's own bound as it is."""
    at_ms: int = ALWAYS_FROM_MS
    until_ms: int = ALWAYS_TO_MS
    """It holds in `[at_ms, until_ms)`."""


def deciding_ms(window_name: str, window: Window, now_ms: int) -> int:
    """The instant whose settings decide over a window: now for one that rolls, else twelve hours after its begin.

    So one bound holds for the whole period, and a date is the same date in every zone, up to twelve hours apart.
    """
    return now_ms if window_name in ROLLING_MS else window.from_ms + _HALF_DAY_MS


def in_force(target: Target, at_ms: int) -> bool:
    """True between the target's `from` and `to`."""
    return target.from_ms <= at_ms < target.to_ms


def varies(target: Target) -> bool:
    """True when the bound depends on whom the target is judged for, or when."""
    return bool(target.overrides or target.seasons or target.ramp.shares)


def own_bound(target: Target) -> Override:
    """The target's own bound, as the last of those that may hold."""
    return Override(
        Reach.TARGET, target.name, target.low, target.high, target.tenant, target.from_ms, target.to_ms, target.reason
    )


def resolve(target: Target, roster: Roster, tenant: str, scope: str, at_ms: int) -> Held:
    """The bound that holds for a scope (`agent:ID`, `team:NAME` or `tenant`) at an instant."""
    known = roster.tenant(tenant)
    person = roster.person(tenant, scope.removeprefix(_AGENT)) if scope.startswith(_AGENT) else None
    names = _names(roster, tenant, scope, _at_work_ms(person, at_ms))
    holding = [each for each in target.overrides if _applies(each, tenant, names, at_ms)]
    closest, *overridden = [*sorted(holding, key=lambda each: each.reach.rank), own_bound(target)]
    day = business_date(at_ms, known.zone, known.day_starts_at_min) if varies(target) else date.min
    factors = _ramp_factors(target, known, person, at_ms) if closest.reach is not Reach.AGENT else ()
    factors += season_factors(target.seasons, at_ms, day)
    return Held(
        _with_bound(target, closest, factors),
        closest,
        factors,
        tuple(overridden),
        _words(closest, factors),
        at_ms,
        _until_ms(target, known, person, at_ms),
    )


def _names(roster: Roster, tenant: str, scope: str, at_ms: int) -> dict[Reach, str | None]:
    """By which names overrides may mean a scope."""
    names: dict[Reach, str | None] = {Reach.TENANT: tenant}
    if scope.startswith(_AGENT):
        agent_id = scope.removeprefix(_AGENT)
        names[Reach.AGENT] = agent_id
        names[Reach.TIER] = roster.tier_of(tenant, agent_id, at_ms)
        names[Reach.TEAM] = roster.team_of(tenant, agent_id, at_ms)
    elif scope.startswith(_TEAM):
        names[Reach.TEAM] = scope.removeprefix(_TEAM)
    return names


def _at_work_ms(person: Person | None, at_ms: int) -> int:
    """The instant, or the nearest one at which the person works here: the first day may begin after noon."""
    return at_ms if person is None else min(max(at_ms, person.active.from_ms), person.active.to_ms - 1)


def _applies(override: Override, tenant: str, names: dict[Reach, str | None], at_ms: int) -> bool:
    meant = override.tenant in (None, tenant) and names.get(override.reach) == override.name
    return meant and override.from_ms <= at_ms < override.to_ms


def _ramp_factors(target: Target, known: Tenant, person: Person | None, at_ms: int) -> tuple[Factor, ...]:
    if person is None or not target.ramp.shares:
        return ()
    began_ms, now_ms = person.active.from_ms, _at_work_ms(person, at_ms)
    return ramp_factors(target.ramp, week_of_work(began_ms, now_ms, known.zone, known.day_starts_at_min))


def _with_bound(target: Target, override: Override, factors: tuple[Factor, ...]) -> Target:
    """With the bound of an override and the factors. The levels to recover and to be critical are the own bound's."""
    own = override.reach is Reach.TARGET
    low = target.low if override.low is None else override.low
    high = target.high if override.high is None else override.high
    share = prod(factor.share for factor in factors)
    assert share == 1 or high is None, target
    low = None if low is None else low * share
    if (low, high) == (target.low, target.high):
        return target
    marks = {name: getattr(target, name) for name in _MARKS}
    scaled = {name: None if mark is None or not own else mark * share for name, mark in marks.items()}
    return msgspec.structs.replace(target, low=low, high=high, **scaled)


_MARKS: Final = ("recover_low", "recover_high", "critical_low", "critical_high")


def _words(override: Override, factors: tuple[Factor, ...]) -> str | None:
    parts = [] if override.reach is Reach.TARGET else [override.words]
    for factor in factors:
        of = " of the ramp" if factor.kind is FactorKind.RAMP else ""
        parts.append(f"{factor.detail}{of} ({percent(factor.share)})")
    return ", ".join(parts) or None


def percent(share: Fraction) -> str:
    """A share for people: `60 %`, `33.3 %`."""
    return f"{float(100 * share):.4g} %"


def _until_ms(target: Target, known: Tenant, person: Person | None, at_ms: int) -> int:
    """The first instant after `at_ms` at which another bound may hold."""
    if not varies(target):
        return ALWAYS_TO_MS
    edges = [edge_ms for override in target.overrides for edge_ms in (override.from_ms, override.to_ms)]
    edges += [edge_ms for season in target.seasons for edge_ms in (season.from_ms, season.to_ms)]
    day = business_date(at_ms, known.zone, known.day_starts_at_min)
    if any(season.months for season in target.seasons):
        edges.append(_start_ms(known, (day.replace(day=1) + timedelta(days=31)).replace(day=1)))
    if person is not None:
        edges += [edge_ms for each in (*person.tiers, *person.teams, person.active) for edge_ms in each[1:]]
        edges += _next_weeks_ms(target, known, person.active.from_ms, day)
    return min((edge_ms for edge_ms in edges if edge_ms > at_ms), default=ALWAYS_TO_MS)


def _next_weeks_ms(target: Target, known: Tenant, began_ms: int, day: date) -> list[int]:
    """Where the next week of the ramp begins, as long as it has one."""
    if not target.ramp.shares or began_ms == ALWAYS_FROM_MS:
        return []
    first = business_date(began_ms, known.zone, known.day_starts_at_min)
    week = max(0, (day - first).days // 7 + 1)
    return [_start_ms(known, first + timedelta(weeks=week))] if week < len(target.ramp.shares) else []


def _start_ms(known: Tenant, day: date) -> int:
    return day_start_ms(day, known.zone, known.day_starts_at_min)


def possible(target: Target) -> Iterator[tuple[str, Target]]:
    """Every bound that may ever hold, with its provenance in words; the target's own first, without any."""
    weeks = {Fraction(1): tuple[Factor, ...]()}
    for week in range(1, len(target.ramp.shares) + 1):
        weeks.setdefault(target.ramp.share(week), ramp_factors(target.ramp, week))
    seasons = _seasons_at_once(target.seasons)
    seen = set()
    for override in (own_bound(target), *target.overrides):
        for ramp in weeks.values() if override.reach is not Reach.AGENT else [()]:
            for factors in ((*ramp, *season) for season in seasons):
                found = _with_bound(target, override, factors)
                if (found.low, found.high) not in seen:
                    seen.add((found.low, found.high))
                    yield _words(override, factors) or "", found


def _seasons_at_once(seasons: tuple[Season, ...]) -> list[tuple[Factor, ...]]:
    """The factors of every set of seasons that may hold at one instant, the empty one first."""
    sets: list[tuple[Season, ...]] = [()]
    for season in seasons:
        sets += [(*chosen, season) for chosen in sets if all(season.meets(other) for other in chosen)]
    return [tuple(Factor(FactorKind.SEASON, each.share, each.name) for each in chosen) for chosen in sets]
