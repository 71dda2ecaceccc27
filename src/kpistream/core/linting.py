"""Linting: what is allowed in targets and yet is hardly meant, target by target.

Settings with faults are not read at all; these are. Each finding names the target, the check and one fact. Checks
across targets and people are in `linting_floor.py`, those against the past in `attainment.py`.
"""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from fractions import Fraction
from typing import Final, NamedTuple

from kpistream.core.bound_words import bound_words
from kpistream.core.catalogue import Better
from kpistream.core.kpis import Kpi
from kpistream.core.overrides import Reach
from kpistream.core.resolution import possible
from kpistream.core.roster import Dated, Roster, Tenant
from kpistream.core.targets import Direction, Scope, Target
from kpistream.core.weighing import scale_ends

_SECOND_MS: Final = 1000
_LONGEST_MS: Final = 4 * 3_600_000
_NAMED: Final = 3


class Check(StrEnum):
    """What was looked at: the closed list that the command and the docs share."""

    UNIT = "unit"
    DIRECTION = "direction"
    ZERO = "zero"
    MISSING_TIER = "missing-tier"
    OVERLAP = "overlap"
    CONTRADICTION = "contradiction"
    TOO_MANY = "too-many"
    SUM = "sum"
    UNREACHABLE = "unreachable"
    TRIVIAL = "trivial"
    NO_CALL = "no-call"


class Finding(NamedTuple):
    """Something that is hardly meant."""

    target: str
    """Empty for what no single target is to blame for."""
    check: Check
    fact: str


def lint_targets(targets: Iterable[Target], roster: Roster, at_ms: int) -> Iterator[Finding]:
    """What is found in each target alone; those that are over by `at_ms` are left out."""
    for target in targets:
        if target.to_ms <= at_ms:
            continue
        kpi = target.defined
        yield from _unit(target, kpi)
        if (target.direction, kpi.better) in _WRONG_WAY:
            side = target.direction.replace("_", " ")
            yield Finding(target.name, Check.DIRECTION, f"{side} for {kpi.name}, of which {kpi.better} is better")
        yield from _zero(target, kpi)
        yield from _missing_tiers(target, roster, at_ms)


_WRONG_WAY: Final = ((Direction.AT_MOST, Better.HIGHER), (Direction.AT_LEAST, Better.LOWER))


def _unit(target: Target, kpi: Kpi) -> Iterator[Finding]:
    """The first bound, or level to recover, that lies where the KPI never is, or where another unit would put it."""
    for words, each in possible(target):
        for bound in (each.low, each.high, each.recover_low, each.recover_high):
            fact = "" if bound is None else _out_of_range(target, kpi, bound)
            if fact:
                yield Finding(target.name, Check.UNIT, f"{words}: {fact}" if words else fact)
                return


def _out_of_range(target: Target, kpi: Kpi, bound: Fraction) -> str:
    shown = bound_words(target, bound)
    if kpi.unit == "share" and not 0 <= bound <= 1:
        return f"{shown} is no share of a whole"
    if kpi.unit == "ms" and bound != 0 and not _SECOND_MS <= bound <= _LONGEST_MS:
        return f"{shown} is no time that a call takes, from 1 s to 4 h"
    if kpi.denominator is None and 0 < bound < 1:
        return f"{shown} is less than one"
    ends = _ends(target, kpi)
    if ends is not None and not ends[0] <= bound <= ends[1]:
        return f"{shown} is outside of {ends[0]} to {ends[1]}"
    return ""


def _ends(target: Target, kpi: Kpi) -> tuple[int, int] | None:
    """Lowest and highest value of a KPI in points."""
    if kpi.per == "scale" and target.member is not None:
        return scale_ends(target.member)
    return (-kpi.times, kpi.times) if kpi.times != 1 else None


def _zero(target: Target, kpi: Kpi) -> Iterator[Finding]:
    if kpi.times != 1:
        return  # the NPS is as often below 0 as above
    for words, each in possible(target):
        head = f"{words}: " if words else ""
        if each.low is not None and each.low <= 0:
            yield Finding(target.name, Check.ZERO, f"{head}at least {bound_words(target, each.low)} asks for nothing")
            return
        if each.high is not None and each.high <= 0:
            yield Finding(target.name, Check.ZERO, f"{head}at most {bound_words(target, each.high)}: one is enough")
            return


def _missing_tiers(target: Target, roster: Roster, at_ms: int) -> Iterator[Finding]:
    own = [each for each in target.overrides if each.reach is Reach.TIER and each.to_ms > at_ms]
    if target.scope is not Scope.AGENT or not own:
        return
    for tenant in covered_tenants(target, roster):
        mine = {each.name for each in own if each.tenant in (None, tenant.tenant)}
        missing = sorted(_tiers(tenant, at_ms) - mine)
        if mine and missing:
            fact = f"no bound for tier {named(missing)} of tenant {tenant.tenant}, but for {named(sorted(mine))}"
            yield Finding(target.name, Check.MISSING_TIER, fact)


def _tiers(tenant: Tenant, at_ms: int) -> set[str]:
    """Tiers that somebody has at the instant or later."""
    here = [person for person in tenant.people.values() if person.active.to_ms > at_ms]
    held: list[Dated] = [tier for person in here for tier in person.tiers if tier.to_ms > at_ms]
    return {tier.value for tier in held}


def covered_tenants(target: Target, roster: Roster) -> list[Tenant]:
    """The tenants of the roster that a target is about."""
    return [each for each in roster.tenants.values() if target.tenant in (None, each.tenant)]


def named(names: list[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
