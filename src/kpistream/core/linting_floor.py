"""Linting of the floor: targets that meet on the same people, and what agents and their team are asked for together.

Everybody is looked at as they are at one instant, each with the bound that holds for them then.
"""

from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from functools import cached_property
from itertools import combinations
from typing import Final, NamedTuple

from kpistream.core.bound_words import bound_words, bounds_words
from kpistream.core.linting import Check, Finding, covered_tenants, named
from kpistream.core.provenance import scope_window
from kpistream.core.resolution import Held, deciding_ms, in_force, percent, resolve
from kpistream.core.roster import Roster
from kpistream.core.settings import Settings
from kpistream.core.targets import TENANT_SCOPE, Scope, Target, covers, team_scope

MOST_TARGETS: Final = 7
"""For one agent: beyond that nobody knows what to work on."""
_AGENT: Final = "agent:"
_ALL: Final = Fraction(1)


class Whom(NamedTuple):
    """A scope of a tenant, with its team."""

    tenant: str
    scope: str
    team: str

    @property
    def name(self) -> str:
        """Id of the agent, name of the team, or `tenant`."""
        return self.scope.partition(":")[2] or self.scope


def lint_floor(settings: Settings, at_ms: int) -> Iterator[Finding]:
    """What is found across targets, for everybody whom the roster knows at the instant."""
    floor = _Floor(settings, at_ms)
    yield from floor.meetings()
    yield from floor.too_many()
    for target in settings.targets:
        if target.scope is Scope.TEAM and target.defined.denominator is None and target.to_ms > at_ms:
            yield from floor.sums(target)


def scopes(roster: Roster, scope: Scope, at_ms: int) -> Iterator[Whom]:
    """Everybody of a kind who is in the roster at an instant."""
    for name, tenant in roster.tenants.items():
        if scope is Scope.TENANT:
            yield Whom(name, TENANT_SCOPE, "")
        elif scope is Scope.TEAM:
            yield from (Whom(name, team_scope(team), team) for team in tenant.teams)
        else:
            for agent, person in tenant.people.items():
                if person.active.holds(at_ms):
                    yield Whom(name, f"{_AGENT}{agent}", roster.team_of(name, agent, at_ms))


class _Floor:
    """Who there is at one instant, and which bounds hold for them."""

    def __init__(self, settings: Settings, at_ms: int) -> None:
        self._settings = settings
        self._roster = settings.roster
        self._at_ms = at_ms

    @cached_property
    def _everybody(self) -> dict[Scope, list[Whom]]:
        return {scope: list(scopes(self._roster, scope, self._at_ms)) for scope in Scope}

    def _held(self, target: Target, whom: Whom) -> Held | None:
        """The bound of a target for somebody whom it covers; None when it does not, or not at this time."""
        if not covers(target, whom.tenant, whom.scope, whom.team):
            return None
        window = scope_window(self._roster, whom.tenant, whom.scope, target.window, self._at_ms)
        held_ms = deciding_ms(target.window, window, self._at_ms)
        return resolve(target, self._roster, whom.tenant, whom.scope, held_ms) if in_force(target, held_ms) else None

    def meetings(self) -> Iterator[Finding]:
        """Targets that judge the same thing of the same people, or ask for what cannot be."""
        about: dict[tuple[str, str | None, str, Scope], list[Target]] = defaultdict(list)
        for target in self._settings.targets:
            about[target.kpi, target.member, target.window, target.scope].append(target)
        for targets in about.values():
            for one, other in combinations(targets, 2):
                if max(one.from_ms, other.from_ms, self._at_ms) < min(one.to_ms, other.to_ms):
                    yield from self._meeting(one, other)

    def _meeting(self, one: Target, other: Target) -> Iterator[Finding]:
        twice: list[str] = []
        against: list[tuple[Whom, Held, Held]] = []
        for whom in self._everybody[one.scope]:
            first, second = self._held(one, whom), self._held(other, whom)
            if first is None or second is None:
                continue
            if _same_side(first.target, second.target):
                twice.append(whom.name)
            if _contradict(first.target, second.target):
                against.append((whom, first, second))
        if twice:
            yield Finding(other.name, Check.OVERLAP, f"{one.name} judges {one.kpi} of {named(twice)} on the same side")
        if against:
            whom, first, second = against[0]
            words = [bounds_words(held.target, held.target.low, held.target.high) for held in (second, first)]
            fact = f"{words[0]}, but {words[1]} by {one.name}, for {named([each.name for each, _, _ in against])}"
            yield Finding(other.name, Check.CONTRADICTION, fact)

    def too_many(self) -> Iterator[Finding]:
        """Agents with more targets than anybody can work on."""
        by_count: dict[int, list[str]] = defaultdict(list)
        for whom in self._everybody[Scope.AGENT]:
            by_count[sum(self._held(target, whom) is not None for target in self._settings.targets)].append(whom.name)
        for count, names in sorted(by_count.items()):
            if count > MOST_TARGETS:
                yield Finding("", Check.TOO_MANY, f"{count} targets, more than {MOST_TARGETS}, for {named(names)}")

    def sums(self, target: Target) -> Iterator[Finding]:
        """Where all agents may meet their own bounds and their team still misses this one."""
        for tenant in covered_tenants(target, self._roster):
            for team in tenant.teams:
                held = self._held(target, Whom(tenant.tenant, team_scope(team), team))
                agents = self._everybody[Scope.AGENT]
                members = [each for each in agents if (each.tenant, each.team) == (tenant.tenant, team)]
                if held is not None and members:
                    own = {each.name: self._own(held.target, each) for each in members}
                    yield from _sum(held.target, team, own) if target.split is None else _parts(held.target, team, own)

    def _own(self, team_target: Target, agent: Whom) -> Fraction | None:
        """What an agent is asked for of the same KPI and window, on the same side; None when nothing."""
        found: list[Fraction] = []
        for target in self._settings.targets:
            same = (target.kpi, target.member, target.window) == (
                team_target.kpi,
                team_target.member,
                team_target.window,
            )
            held = self._held(target, agent) if same and target.scope is Scope.AGENT else None
            bound = None if held is None else _side(held.target, team_target)
            found += [] if bound is None else [bound]
        return None if not found else max(found) if team_target.low is not None else min(found)


def _side(target: Target, like: Target) -> Fraction | None:
    return target.low if like.low is not None else target.high


def _same_side(one: Target, other: Target) -> bool:
    return (one.low is not None and other.low is not None) or (one.high is not None and other.high is not None)


def _contradict(one: Target, other: Target) -> bool:
    pairs = ((one.low, other.high), (other.low, one.high))
    return any(low is not None and high is not None and low > high for low, high in pairs)


def _sum(target: Target, team: str, own: dict[str, Fraction | None]) -> Iterator[Finding]:
    asked = [bound for bound in own.values() if bound is not None]
    whole = _side(target, target)
    if not asked or whole is None:
        return
    total = sum(asked, Fraction(0))
    all_have_one = len(asked) == len(own)
    if (target.low is not None and total < whole) or (target.low is None and all_have_one and total > whole):
        word = "asked for" if target.low is not None else "allowed"
        fact = f"team {team} is {word} {bound_words(target, whole)}, its {len(own)} agents {bound_words(target, total)}"
        yield Finding(target.name, Check.SUM, fact)


def _parts(target: Target, team: str, own: dict[str, Fraction | None]) -> Iterator[Finding]:
    """A stated split: it adds up to all, names the members, and nobody is asked for less than they carry."""
    assert target.split is not None, target
    whole = _side(target, target)
    shares = {agent: target.split.share(agent, len(own)) for agent in own}
    total = sum((share for _, share in target.split.shares), Fraction(0)) if target.split.shares else _ALL
    if total != _ALL:
        yield Finding(target.name, Check.SUM, f"the shares of the split add up to {percent(total)}")
    without = [agent for agent, share in shares.items() if not share]
    strangers = [agent for agent, _ in target.split.shares if agent not in own]
    if without:
        yield Finding(target.name, Check.SUM, f"the split gives {named(without)} of team {team} nothing")
    if strangers:
        yield Finding(target.name, Check.SUM, f"the split names {named(strangers)}, who is not in team {team}")
    if whole is not None and target.low is not None:
        less = [agent for agent, bound in own.items() if bound is not None and bound < whole * shares[agent]]
        if less:
            carried = bound_words(target, whole * shares[less[0]])
            fact = f"less is asked of {named(less)} than the split gives: {less[0]} carries {carried}"
            yield Finding(target.name, Check.SUM, fact)
