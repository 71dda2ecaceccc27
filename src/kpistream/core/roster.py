"""Roster: who the agents are, in which team, zone and tier, from when to when.

Everything that can change is effective-dated, half-open and cut at pane starts, so that a pane belongs
to exactly one team. The roster is applied when reading: it never decides where an event is counted. An
id that it does not know is counted under its own name in team `unassigned`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Final, NamedTuple

from kpistream.core.conversion import DEFAULT_SETTLE_MS
from kpistream.core.kpis import DEFAULT_LIMITS, Limits
from kpistream.core.windows import Window, business_day, window_at

UNASSIGNED: Final = "unassigned"
"""Team of whoever is in no settings, or in no team at the time."""
DEFAULT_ZONE: Final = "UTC"
ALWAYS_FROM_MS: Final = -(1 << 62)
ALWAYS_TO_MS: Final = 1 << 62


class Dated(NamedTuple):
    """What held in `[from_ms, to_ms)`."""

    value: str
    from_ms: int = ALWAYS_FROM_MS
    to_ms: int = ALWAYS_TO_MS

    def holds(self, at_ms: int) -> bool:
        """True when it held at the instant."""
        return self.from_ms <= at_ms < self.to_ms


ALWAYS: Final = Dated("")


def at(history: Iterable[Dated], at_ms: int) -> str | None:
    """What held at the instant, None when nothing did."""
    for dated in history:
        if dated.holds(at_ms):
            return dated.value
    return None


def overlap(history: Iterable[Dated]) -> tuple[Dated, Dated] | None:
    """Two entries that claim one instant, the later one second; None when there are none."""
    ordered = sorted(history, key=lambda dated: dated.from_ms)
    for earlier, later in pairwise(ordered):
        if later.from_ms < earlier.to_ms:
            return earlier, later
    return None


@dataclass(frozen=True, slots=True)
class Team:
    """People who are looked at together, in one zone."""

    team: str
    display_name: str
    zone: str | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """One agent; `agent_id` is the id under which events count."""

    agent_id: str
    names: tuple[Dated, ...] = ()
    teams: tuple[Dated, ...] = ()
    tiers: tuple[Dated, ...] = ()
    zones: tuple[Dated, ...] = ()
    active: Dated = ALWAYS
    """When the person works here; outside of it the team is `unassigned`."""
    aliases: Mapping[str, tuple[Dated, ...]] = field(default_factory=dict)
    """Ids of this person in other systems, by source."""


@dataclass(frozen=True)
class Tenant:
    """One customer of the installation: its people, teams, queues and defaults."""

    tenant: str
    zone: str = DEFAULT_ZONE
    day_starts_at_min: int = 0
    """Start of the business day, minutes after local midnight."""
    limits: Limits = DEFAULT_LIMITS
    teams: Mapping[str, Team] = field(default_factory=dict)
    people: Mapping[str, Person] = field(default_factory=dict)
    queues: Mapping[str, tuple[Dated, ...]] = field(default_factory=dict)
    """Team of each queue's calls that reached no agent."""
    campaigns: Mapping[str, tuple[Dated, ...]] = field(default_factory=dict)
    """Team of each campaign's calls that reached no agent."""
    silent_after_ms: int | None = None
    """How long a source may be silent while people are at work; 0: nobody is told. None: nothing is said."""
    sources: Mapping[str, int] = field(default_factory=dict)
    """The same for single sources."""
    settle_ms: int = DEFAULT_SETTLE_MS
    """How long after a call its deal usually has come."""

    @cached_property
    def alias_index(self) -> dict[tuple[str, str], list[Dated]]:
        """Agent ids by source and that system's id."""
        out: dict[tuple[str, str], list[Dated]] = {}
        for person in self.people.values():
            for source, ids in person.aliases.items():
                for alias in ids:
                    out.setdefault((source, alias.value), []).append(alias._replace(value=person.agent_id))
        return out


@lru_cache(maxsize=4096)
def _unknown(tenant: str, zone: str) -> Tenant:
    return Tenant(tenant, zone)


@dataclass(frozen=True)
class Roster:
    """The people of every tenant. Equal rosters answer equally; nothing here changes."""

    tenants: Mapping[str, Tenant] = field(default_factory=dict)
    zone: str = DEFAULT_ZONE
    """Zone of tenants that are in no settings."""

    def tenant(self, tenant: str) -> Tenant:
        """The tenant, or one without people when it is in no settings."""
        return self.tenants.get(tenant) or _unknown(tenant, self.zone)

    def person(self, tenant: str, agent_id: str) -> Person | None:
        """The person with this id; None for an id in no settings."""
        known = self.tenants.get(tenant)
        return None if known is None else known.people.get(agent_id)

    def team_of(self, tenant: str, agent_id: str, at_ms: int) -> str:
        """Team of an agent at an instant; `unassigned` for an unknown one, and outside the time at work."""
        person = self.person(tenant, agent_id)
        if person is None or not person.active.holds(at_ms):
            return UNASSIGNED
        return at(person.teams, at_ms) or UNASSIGNED

    def team_of_scope(self, tenant: str, scope: str, at_ms: int) -> str:
        """Team of `agent:ID`, `queue:NAME` or `campaign:NAME` at an instant."""
        kind, _, name = scope.partition(":")
        if kind == "agent":
            return self.team_of(tenant, name, at_ms)
        known = self.tenant(tenant)
        return at((known.queues if kind == "queue" else known.campaigns).get(name, ()), at_ms) or UNASSIGNED

    def alias(self, tenant: str, source: str, external_id: str, at_ms: int) -> str | None:
        """Agent id of another system's id at an instant; None when nobody has that alias then."""
        known = self.tenants.get(tenant)
        return None if known is None else at(known.alias_index.get((source, external_id), ()), at_ms)

    def resolve(self, tenant: str, source: str, external_id: str, at_ms: int) -> str:
        """Agent id under which to count what a source sends: the alias's person, or the id itself."""
        return self.alias(tenant, source, external_id, at_ms) or external_id

    def display_name(self, tenant: str, agent_id: str, at_ms: int) -> str:
        """Name to show; the id itself for an unknown agent."""
        person = self.person(tenant, agent_id)
        return agent_id if person is None else at(person.names, at_ms) or agent_id

    def team_name(self, tenant: str, team: str) -> str:
        """Name of a team to show; its id when it has none."""
        known = self.tenant(tenant).teams.get(team)
        return team if known is None else known.display_name

    def tier_of(self, tenant: str, agent_id: str, at_ms: int) -> str | None:
        """Tier of an agent (`new`, `veteran`, ...) at an instant, None when none is said."""
        person = self.person(tenant, agent_id)
        return None if person is None else at(person.tiers, at_ms)

    def zone_of_team(self, tenant: str, team: str) -> str:
        """Zone of a team, else of its tenant."""
        known = self.tenant(tenant)
        found = known.teams.get(team)
        return known.zone if found is None or found.zone is None else found.zone

    def zone_of(self, tenant: str, agent_id: str, at_ms: int) -> str:
        """Zone of an agent: the person's own, else the team's, else the tenant's."""
        person = self.person(tenant, agent_id)
        own = None if person is None else at(person.zones, at_ms)
        return own or self.zone_of_team(tenant, self.team_of(tenant, agent_id, at_ms))

    def zone_of_scope(self, tenant: str, scope: str, at_ms: int) -> str:
        """Zone of `agent:ID`, `queue:NAME` or `campaign:NAME` at an instant."""
        kind, _, name = scope.partition(":")
        if kind == "agent":
            return self.zone_of(tenant, name, at_ms)
        return self.zone_of_team(tenant, self.team_of_scope(tenant, scope, at_ms))

    def window(self, tenant: str, scope: str, name: str, now_ms: int, pane_ms: int) -> Window:
        """The window `name` of a scope at `now_ms`, in its zone and with its tenant's start of the day."""
        zone = self.zone_of_scope(tenant, scope, now_ms)
        return window_at(name, now_ms, pane_ms, zone, self.tenant(tenant).day_starts_at_min)

    @cached_property
    def _days(self) -> frozenset[tuple[str, int]]:
        """Every zone that somebody has, with the start of the day there."""
        out = {(self.zone, 0)}
        for tenant in self.tenants.values():
            zones = {tenant.zone, *(team.zone for team in tenant.teams.values() if team.zone)}
            zones |= {dated.value for person in tenant.people.values() for dated in person.zones}
            out |= {(zone, tenant.day_starts_at_min) for zone in zones}
        return frozenset(out)

    def earliest_day_ms(self, now_ms: int) -> int:
        """Begin of the business day of now that began first, of all zones that somebody has."""
        return min(business_day(now_ms, zone, starts_at).from_ms for zone, starts_at in self._days)

    def knows(self, tenant: str, agent_id: str) -> bool:
        """True when the agent is in the settings, at whatever time."""
        return self.person(tenant, agent_id) is not None

    def placed_otherwise(self, other: "Roster") -> list[str]:
        """Keys (`tenant/scope`) of agents, queues and campaigns whose team may be another one at some time."""
        out: list[str] = []
        for name in self.tenants.keys() | other.tenants.keys():
            mine, theirs = self.tenant(name), other.tenant(name)
            for kind, held, others in (
                ("agent", mine.people, theirs.people),
                ("queue", mine.queues, theirs.queues),
                ("campaign", mine.campaigns, theirs.campaigns),
            ):
                out += [
                    f"{name}/{kind}:{each}"
                    for each in sorted(held.keys() | others.keys())
                    if _placing(held.get(each)) != _placing(others.get(each))
                ]
        return out

    def members(self, tenant: str, team: str, at_ms: int) -> list[str]:
        """Agent ids of a team at an instant, sorted."""
        return sorted(agent for agent in self.tenant(tenant).people if self.team_of(tenant, agent, at_ms) == team)


def _placing(held: "Person | tuple[Dated, ...] | None") -> object:
    """What decides about teams: of a person, or of a queue or campaign."""
    return (held.teams, held.active) if isinstance(held, Person) else held
