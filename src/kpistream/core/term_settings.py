"""Terms of a target in settings: from when to when and why, overrides, the ramp of newcomers, seasons, and the split.

Every name is looked up in the roster, and every bound is read in the unit of the KPI. Dates are those of the target's
tenant, or of the override's; of the installation for a target of all tenants.
"""

from fractions import Fraction
from itertools import combinations
from typing import Final

import msgspec

from kpistream.core.kpis import Kpi
from kpistream.core.overrides import Override, Reach, Split
from kpistream.core.pace import Proration, proration
from kpistream.core.ramps import MONTHS, Ramp, Season, stepped_ramp
from kpistream.core.roster import Roster, Tenant
from kpistream.core.settings_dates import Calendar, span
from kpistream.core.settings_values import bound, identifier, label, whole
from kpistream.core.targets import Direction, Scope, Target
from kpistream.core.yaml_nodes import Section, near

_KEYS: Final = ("from", "to", "reason", "overrides", "ramp", "seasons", "scale_ratio", "split")
_MOST_WEEKS: Final = 104
_MOST_SEASONS: Final = 12
_LARGEST_SHARE: Final = 10
_REACHES: Final = {
    Scope.AGENT: (Reach.AGENT, Reach.TIER, Reach.TEAM, Reach.TENANT),
    Scope.TEAM: (Reach.TEAM, Reach.TENANT),
    Scope.TENANT: (Reach.TENANT,),
}
"""By whom a target's scope can be told apart."""


def skip_terms(section: Section) -> None:
    """Take the keys of a target that is not understood, so that nobody complains about them."""
    for key in _KEYS:
        section.node(key)


def read_terms(section: Section, target: Target, kpi: Kpi, roster: Roster) -> Target:
    """The target with its terms; faults go to the section's."""
    return _Reader(target, kpi, roster).read(section)


class _Reader:
    """Reads the terms of one target."""

    def __init__(self, target: Target, kpi: Kpi, roster: Roster) -> None:
        self._target = target
        self._kpi = kpi
        self._roster = roster

    def read(self, section: Section) -> Target:
        """The target with all terms."""
        held = span(section, self._calendar(self._target.tenant))
        fields = {} if held is None else {"from_ms": held[0], "to_ms": held[1]}
        self._target = msgspec.structs.replace(
            self._target,
            **fields,
            reason=section.read("reason", label),
            overrides=self._overrides(section),
            ramp=self._ramp(section),
            seasons=self._seasons(section),
            split=self._split(section),
        )
        fit = self._factors_fit(section)
        return self._target if fit else msgspec.structs.replace(self._target, ramp=Ramp(), seasons=())

    def _calendar(self, tenant: str | None) -> Calendar:
        if tenant is None:
            return Calendar(self._roster.zone, 0)
        known = self._roster.tenant(tenant)
        return Calendar(known.zone, known.day_starts_at_min)

    def _tenants(self, tenant: str | None) -> list[Tenant]:
        """Those of the roster that are meant."""
        known = self._roster.tenants
        return list(known.values()) if tenant is None else [known[tenant]] if tenant in known else []

    def _overrides(self, section: Section) -> tuple[Override, ...]:
        read: list[tuple[Section, Override]] = []
        for node in section.nodes("overrides"):
            inner = Section(node, section.faults)
            override = self._override(inner)
            inner.finish()
            if override is not None:
                read.append((inner, override))
        for (_, first), (inner, second) in combinations(read, 2):
            if first.clashes(second):
                inner.fault(f"there is a bound for {second.words} at the same time already")
        return tuple(override for _, override in read)

    def _override(self, section: Section) -> Override | None:
        tenant = section.read("tenant", identifier) or self._target.tenant
        reach, name = self._whose(section, tenant)
        low, high = self._bounds(section)
        held, reason = span(section, self._calendar(tenant)), section.read("reason", label)
        if reach is None or name is None or held is None or (low is None and high is None):
            return None
        return Override(reach, name, low, high, tenant, *held, reason)

    def _whose(self, section: Section, tenant: str | None) -> tuple[Reach | None, str | None]:
        """For whom an override is, with every reason why it can be for nobody."""
        given = [reach for reach in (Reach.AGENT, Reach.TIER, Reach.TEAM) if reach in section]
        if "tenant" in section:
            own = self._target.tenant
            if tenant is not None and tenant not in self._roster.tenants:
                known = near(tenant, self._roster.tenants)
                section.fault(f'tenant "{tenant}" is not in the roster{known}', "tenant")
            elif own not in (None, tenant):
                section.fault(f'the target is of tenant "{own}" only', "tenant")
            given = given or [Reach.TENANT]
        names = {reach: section.read(reach, label) for reach in given}
        if len(given) != 1:
            section.fault("needs one of agent, tier, team and tenant" if not given else "is for more than one, say one")
            return None, None
        [(reach, name)] = names.items()
        if reach not in _REACHES[self._target.scope]:
            section.fault(f"the target is judged for each {self._target.scope}, which has no {reach}", reach)
        elif name is not None and reach is not Reach.TENANT:
            self._check_name(section, reach, name, tenant)
        return reach, name

    def _check_name(self, section: Section, reach: Reach, name: str, tenant: str | None) -> None:
        known = self._known_names(reach, tenant)
        if name not in known:
            section.fault(f'{reach} "{name}" is not in the roster{near(name, known)}', reach)
        elif reach is Reach.TEAM and self._target.team not in (None, name):
            section.fault(f'the target is of team "{self._target.team}" only', reach)

    def _known_names(self, reach: Reach, tenant: str | None) -> set[str]:
        tenants = self._tenants(tenant)
        if reach is Reach.TEAM:
            return {team for each in tenants for team in each.teams}
        people = [person for each in tenants for person in each.people.values()]
        if reach is Reach.AGENT:
            return {person.agent_id for person in people}
        return {tier.value for person in people for tier in person.tiers}

    def _bounds(self, section: Section) -> tuple[Fraction | None, Fraction | None]:
        """The bounds of an override, said as the target says its own."""
        band = self._target.direction is Direction.BETWEEN
        wrong, right = (("bound",), ("low", "high")) if band else (("low", "high"), ("bound",))
        for key in wrong:
            if section.node(key) is not None:
                section.fault(f"the target says {' and '.join(right)}", key)
        if not any(key in section for key in right):
            section.fault("is missing", right[0])
        low, high = [section.read(key, lambda text: bound(text, self._kpi.unit)) for key in (right[0], right[-1])]
        if not band:
            return (low, None) if self._target.direction is Direction.AT_LEAST else (None, low)
        own = self._target
        wholly = (own.low if low is None else low, own.high if high is None else high)
        if wholly[0] is not None and wholly[1] is not None and wholly[0] > wholly[1]:
            section.fault("must not be below low", "high" if "high" in section else "low")
        return low, high

    def _ramp(self, section: Section) -> Ramp:
        node = section.node("ramp")
        if node is None:
            return Ramp()
        inner = Section(node, section.faults)
        steps: dict[int, Fraction] = {}
        for text in inner:
            share = inner.read(text, _share)
            try:
                week = whole(text, 1, _MOST_WEEKS)
            except ValueError as error:
                inner.fault(f"{error}, it is a week of work", text)
                continue
            if steps and week <= max(steps):
                inner.fault("weeks must rise", text)
            steps[week] = Fraction(1) if share is None else share
        if 1 not in steps:
            inner.fault("must begin with week 1")
            return Ramp()
        if steps[max(steps)] != 1:
            inner.fault("must end with 100 %", str(max(steps)))
        return stepped_ramp(steps)

    def _seasons(self, section: Section) -> tuple[Season, ...]:
        nodes = section.nodes("seasons")
        if len(nodes) > _MOST_SEASONS:
            section.fault(f"are more than {_MOST_SEASONS}", "seasons")
            return ()
        read = [self._season(Section(node, section.faults)) for node in nodes]
        return tuple(season for season in read if season is not None)

    def _season(self, section: Section) -> Season | None:
        for key in ("name", "share"):
            if key not in section:
                section.fault("is missing", key)
        if not any(key in section for key in ("months", "from", "to")):
            section.fault("needs months, or from and to")
        name, share = section.read("name", label), section.read("share", _share)
        held = span(section, self._calendar(self._target.tenant))
        months: list[int] = []
        for text in section.texts("months"):
            try:
                months += _months(text)
            except ValueError as error:
                section.fault(str(error), "months")
        section.finish()
        if name is None or share is None or held is None:
            return None
        return Season(name, share, *held, tuple(sorted(set(months))))

    def _factors_fit(self, section: Section) -> bool:
        """Factors are for counts from below, and for shares and means from below that say so."""
        fit = True
        scales = section.choice("scale_ratio", ("yes", "no"), "no") == "yes"
        given = [key for key in ("ramp", "seasons") if key in section]
        if "scale_ratio" in section and (proration(self._kpi) is not Proration.RATIO or not given):
            section.fault("is for the ramp and the seasons of a share or a mean", "scale_ratio")
        for key in given:
            if self._target.direction is not Direction.AT_LEAST:
                fit = False
                section.fault("is for bounds from below only; say what holds for whom in overrides", key)
            elif proration(self._kpi) is Proration.RATIO and not scales:
                section.fault(f"{self._kpi.name} is a share or a mean: if it is to follow, say scale_ratio: yes", key)
            elif key == "ramp" and self._target.scope is not Scope.AGENT:
                section.fault(f"is for agents, the target is judged for each {self._target.scope}", key)
        return fit

    def _split(self, section: Section) -> Split | None:
        node = section.node("split")
        if node is None:
            return None
        inner = Section(node, section.faults)
        if self._target.scope is not Scope.TEAM or self._kpi.denominator is not None:
            section.fault("is for a count of a team", "split")
        shares = self._shares(inner)
        inner.finish()
        return Split(tuple(shares.items()))

    def _shares(self, section: Section) -> dict[str, Fraction]:
        node = section.node("agents")
        if node is None:
            section.fault("is missing: equal, or a share for each agent", "agents")
            return {}
        if isinstance(node.value, str):
            section.choice("agents", ("equal",), "equal")
            return {}
        inner, known = Section(node, section.faults), self._known_names(Reach.AGENT, self._target.tenant)
        if self._target.team is None:
            section.fault("shares by agent need a target of one team", "agents")
        for agent in inner:
            if agent not in known:
                inner.fault(f'agent "{agent}" is not in the roster{near(agent, known)}', agent)
        shares = {agent: inner.read(agent, _share) for agent in inner}
        return {agent: share for agent, share in shares.items() if share is not None}


def _share(text: str) -> Fraction:
    """A share above 0, also above the whole: `60 %`, `120 %` or `0.6`."""
    share = bound(text, "share")
    if not 0 < share <= _LARGEST_SHARE:
        raise ValueError(f'"{text}" must be above 0 % and at most {_LARGEST_SHARE}00 %')
    return share


def _months(text: str) -> list[int]:
    """Months of `jul`, `jun-aug` or `nov-jan`, 1 for January."""
    first, dash, last = (part.strip() for part in text.partition("-"))
    if first not in MONTHS or (dash and last not in MONTHS):
        raise ValueError(f'"{text}" is no month, write jul, jun-aug or [jan, jul]')
    begin = MONTHS.index(first)
    count = (MONTHS.index(last) - begin) % 12 + 1 if dash else 1
    return [(begin + month) % 12 + 1 for month in range(count)]
