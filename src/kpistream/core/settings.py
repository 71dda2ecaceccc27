"""Settings: the roster, the KPIs, the targets and the schedules out of YAML text, with every fault at once.

A pure function over text: who reads the files is not this module's business. Each fault is
`file:line key: fact`. A date is the start of its business day in the tenant's zone, and `to` is the first
moment that no longer counts, so that one person's `to` is the next one's `from`.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from kpistream.core.conversion import DEFAULT_SETTLE_MS
from kpistream.core.kpi_settings import name_of_kpi, read_kpis
from kpistream.core.kpis import DEFAULT_LIMITS, EDGES_OF_LIMIT, Kpi, Limits
from kpistream.core.measure_settings import read_measures
from kpistream.core.notify_settings import read_notify
from kpistream.core.own_kpis import NO_OWN_KPIS, OwnKpis
from kpistream.core.own_measures import OwnMeasure
from kpistream.core.receivers import Notify
from kpistream.core.roster import (
    ALWAYS,
    DEFAULT_ZONE,
    UNASSIGNED,
    Dated,
    Person,
    Roster,
    Team,
    Tenant,
    overlap,
)
from kpistream.core.schedule_settings import read_schedules
from kpistream.core.schedules import Schedules
from kpistream.core.settings_dates import Calendar, span
from kpistream.core.settings_values import (
    clock_min,
    duration_ms,
    identifier,
    label,
    settle_time_ms,
    silent_after_ms,
    zone_name,
)
from kpistream.core.target_settings import read_targets
from kpistream.core.targets import Target
from kpistream.core.yaml_nodes import Faults, Node, ParsedTexts, Section
from kpistream.errors import ConfigError

_AGENT_ID_LIMIT = 128


class Settings(NamedTuple):
    """What the people of an installation have set down."""

    roster: Roster = Roster()
    targets: tuple[Target, ...] = ()
    schedules: Schedules = Schedules()
    notify: Notify = Notify()
    own: OwnKpis = NO_OWN_KPIS
    """KPIs beside those of the catalogue."""


def read_settings(files: Mapping[str, str], texts: ParsedTexts | None = None) -> Settings:
    """The settings in YAML texts by file name; what a file holds is said by its keys, not by its name.

    A CSV text (`*.csv`) holds shifts, and is read when one of the others names it. `texts` may know some of them.

    Raises: ConfigError with every fault of every file.
    """
    facts: list[str] = []
    opened: list[tuple[Faults, Section]] = []
    tables = {name: text for name, text in files.items() if name.endswith(".csv")}
    for name, text in files.items():
        if name in tables:
            continue
        faults = Faults(name)
        try:
            opened.append((faults, Section((texts or ParsedTexts()).parse(text, faults), faults)))
        except ConfigError as error:
            facts += error.faults
    zone, tenants = DEFAULT_ZONE, dict[str, Tenant]()
    for _, section in opened:
        zone = section.read("zone", zone_name) or zone
    for _, section in opened:
        _tenants(section, zone, tenants)
    roster = Roster(tenants, zone)
    own = _own([section for _, section in opened])
    targets: dict[str, Target] = {}
    for _, section in opened:
        read_targets(section, roster, own, targets)
    schedules = read_schedules([section for _, section in opened], roster, tables, facts)
    notify = read_notify([section for _, section in opened], roster, targets, own)
    for _, section in opened:
        section.finish()
    facts += [fact for faults, _ in opened for fact in faults.facts]
    if facts:
        raise ConfigError(facts)
    return Settings(roster, tuple(targets.values()), schedules, notify, own)


def _own(sections: list[Section]) -> OwnKpis:
    """The measures and the KPIs of all files; a KPI may stand before its measures."""
    measures: dict[str, OwnMeasure] = {}
    kpis: dict[str, Kpi] = {}
    for section in sections:
        read_measures(section, name_of_kpi, measures)
    for section in sections:
        read_kpis(section, measures, kpis)
    return OwnKpis(tuple(kpis.values()), tuple(measures.values())) if kpis or measures else NO_OWN_KPIS


def _agent_id(text: str) -> str:
    if len(text) > _AGENT_ID_LIMIT:
        raise ValueError(f'"{text[:40]}..." is longer than {_AGENT_ID_LIMIT} characters')
    return label(text)


def _children(section: Section, key: str, check: Callable[[str], str]) -> dict[str, Node]:
    """The children of a mapping under `key` whose names pass the check."""
    node = section.node(key)
    if node is None:
        return {}
    if not isinstance(node.value, dict):
        section.fault("must be a mapping of names", key)
        return {}
    out: dict[str, Node] = {}
    for name, child in node.value.items():
        try:
            out[check(name)] = child
        except ValueError as error:
            section.faults.add(child.where, str(error))
    return out


def _tenants(section: Section, default_zone: str, tenants: dict[str, Tenant]) -> None:
    for name, node in _children(section, "tenants", identifier).items():
        if name in tenants:
            section.faults.add(node.where, f'tenant "{name}" is in another file already')
            continue
        tenants[name] = _tenant(name, Section(node, section.faults), default_zone)


def _tenant(name: str, section: Section, default_zone: str) -> Tenant:
    zone = section.read("zone", zone_name) or default_zone
    calendar = Calendar(zone, section.read("day_starts_at", clock_min) or 0)
    settle_ms = section.read("settle_time", settle_time_ms)
    teams = {
        team: _team(team, Section(node, section.faults))
        for team, node in _children(section, "teams", identifier).items()
    }
    if UNASSIGNED in teams:
        section.fault(f'"{UNASSIGNED}" is the team of those who are in none', "teams")
    people = {
        agent: _person(agent, Section(node, section.faults), calendar, teams)
        for agent, node in _children(section, "people", _agent_id).items()
    }
    tenant = Tenant(
        name,
        zone,
        calendar.day_starts_at_min,
        _limits(section),
        teams,
        people,
        _teams_of_scopes(section, "queues", calendar, teams),
        _teams_of_scopes(section, "campaigns", calendar, teams),
        section.read("silent_after", silent_after_ms),
        _sources(section),
        DEFAULT_SETTLE_MS if settle_ms is None else settle_ms,
    )
    _check_aliases(section, tenant)
    section.finish()
    return tenant


def _sources(section: Section) -> dict[str, int]:
    out: dict[str, int] = {}
    for source, node in _children(section, "sources", identifier).items():
        inner = Section(node, section.faults)
        found_ms = inner.read("silent_after", silent_after_ms)
        inner.finish()
        if "silent_after" not in inner:
            inner.fault("needs silent_after")
        elif found_ms is not None:
            out[source] = found_ms
    return out


def _limits(section: Section) -> Limits:
    node = section.node("limits")
    if node is None:
        return DEFAULT_LIMITS
    inner = Section(node, section.faults)
    given = {limit: inner.read(limit.removesuffix("_ms"), duration_ms) for limit in EDGES_OF_LIMIT}
    inner.finish()
    limits = Limits(**{limit: value for limit, value in given.items() if value is not None})
    for fact in limits.faults():
        limit, _, rest = fact.partition("_ms: ")
        inner.fault(rest, limit)
    return limits


def _team(name: str, section: Section) -> Team:
    team = Team(name, section.read("name", label) or name, section.read("zone", zone_name))
    section.finish()
    return team


def _known_team(teams: Mapping[str, Team]) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in teams:
            raise ValueError(f'team "{text}" is not among the teams: {", ".join(sorted(teams)) or "there are none"}')
        return text

    return check


def _person(agent_id: str, section: Section, calendar: Calendar, teams: Mapping[str, Team]) -> Person:
    sources = section.node("aliases")
    aliases: dict[str, tuple[Dated, ...]] = {}
    if sources is not None:
        inner = Section(sources, section.faults)
        for source in list(inner):
            try:
                identifier(source)
            except ValueError as error:
                inner.fault(str(error), source)
            aliases[source] = _history(inner, source, "id", label, calendar)
    active = span(section, calendar)
    person = Person(
        agent_id,
        _single(section, "name", label, calendar),
        _single(section, "team", _known_team(teams), calendar),
        _single(section, "tier", label, calendar),
        _single(section, "zone", zone_name, calendar),
        ALWAYS if active is None else Dated("", *active),
        aliases,
    )
    section.finish()
    return person


def _history(
    section: Section, key: str, item_key: str, check: Callable[[str], str], calendar: Calendar
) -> tuple[Dated, ...]:
    """What is said under a key: one text, or a list of texts and of `{item_key, from, to}`."""
    node = section.node(key)
    if node is None:
        return ()
    out: list[Dated] = []
    for item in node.value if isinstance(node.value, list) else [node]:
        inner = Section(_as_mapping(item, item_key), section.faults)
        value = inner.read(item_key, check)
        held = span(inner, calendar)
        if item_key not in inner:
            inner.fault(f"needs {item_key}")
        inner.finish()
        if value is not None and held is not None:
            out.append(Dated(value, *held))
    return tuple(sorted(out, key=lambda dated: dated.from_ms))


def _as_mapping(node: Node, key: str) -> Node:
    """A bare text stands for a mapping with one key."""
    return Node(node.where, {key: node}) if isinstance(node.value, str) else node


def _single(section: Section, key: str, check: Callable[[str], str], calendar: Calendar) -> tuple[Dated, ...]:
    """A history of which only one entry may hold at a time."""
    history = _history(section, key, key, check, calendar)
    clash = overlap(history)
    if clash is not None:
        section.fault(f'"{clash[0].value}" and "{clash[1].value}" hold at the same time', key)
    return history


def _teams_of_scopes(
    section: Section, key: str, calendar: Calendar, teams: Mapping[str, Team]
) -> dict[str, tuple[Dated, ...]]:
    out = {}
    for name, node in _children(section, key, label).items():
        inner = Section(_as_mapping(node, "team"), section.faults)
        out[name] = _single(inner, "team", _known_team(teams), calendar)
        inner.finish()
    return out


def _check_aliases(section: Section, tenant: Tenant) -> None:
    """One id of a source is one person's at a time."""
    people = section.node("people")
    for (source, external_id), holders in tenant.alias_index.items():
        clash = overlap(holders)
        if clash is None:
            continue
        first, second = clash
        assert people is not None and isinstance(people.value, dict)
        where = people.value[second.value].where
        own = people.value[second.value].value
        if isinstance(own, dict) and isinstance(own["aliases"].value, dict):
            where = own["aliases"].value[source].where
        section.faults.add(where, f'"{external_id}" is "{first.value}" and "{second.value}" at the same time')
