"""Schedule settings: patterns, who has them, holidays, business hours and absences of all settings files.

What is written down is optional, key by key. Each entry is of a tenant, of one of its teams or of one of its agents;
two entries of the same kind that hold for the same at the same time are a fault.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from fractions import Fraction
from typing import Final, NamedTuple

from kpistream.core.patterns import OFF, Absence, Assignment, HolidayCalendar, Hours, LocalSpan, Pattern
from kpistream.core.public_holidays import public_holidays
from kpistream.core.roster import ALWAYS_TO_MS, Roster
from kpistream.core.schedule_values import (
    WEEKDAYS,
    hours_of,
    local_moment_ms,
    local_spans,
    part_time,
    weekday_numbers,
)
from kpistream.core.schedules import Held, Schedules, TenantSchedules
from kpistream.core.settings_dates import SCHEDULE_YEARS, Calendar, calendar_date, listed_dates, named_dates, span
from kpistream.core.settings_values import identifier, label, zone_name
from kpistream.core.shift_files import read_shifts
from kpistream.core.targets import TENANT_SCOPE, team_scope
from kpistream.core.yaml_nodes import Faults, Section, Value, near

_A_YEAR: Final = 2026
"""Any year will do to learn whether a country is known."""


class _Whose(NamedTuple):
    """For whom an entry is."""

    tenant: str
    scope: str
    agent: str | None


@dataclass(slots=True)
class _Draft:
    """The schedules of a tenant while they are read."""

    shifts: dict[str, tuple[Assignment, ...]] = field(default_factory=dict)
    exceptions: dict[str, dict[date, Hours]] = field(default_factory=dict)
    imported: dict[str, dict[date, Hours]] = field(default_factory=dict)
    business_hours: dict[str, tuple[Assignment, ...]] = field(default_factory=dict)
    holidays: dict[str, tuple[HolidayCalendar, ...]] = field(default_factory=dict)
    absences: dict[str, tuple[Absence, ...]] = field(default_factory=dict)

    def done(self) -> TenantSchedules:
        """The same, as nothing may change it any more."""
        return TenantSchedules(
            self.shifts, self.exceptions, self.imported, self.business_hours, self.holidays, self.absences
        )


def read_schedules(sections: list[Section], roster: Roster, tables: Mapping[str, str], facts: list[str]) -> Schedules:
    """The schedules of all files. Faults go to the sections', those of `tables` (CSV texts by name) to `facts`."""
    reader = _Reader(roster, tables, facts)
    inner = []
    for section in sections:
        node = section.node("schedules")
        if node is not None:
            inner.append(Section(node, section.faults))
    for section in inner:
        reader.patterns(section)
    for section in inner:
        for key, read in (("assigned", reader.assigned), ("exceptions", reader.exception), ("shifts", reader.shifts)):
            _each(section, key, read)
        section.finish()
    for section in sections:
        _each(section, "business_hours", reader.business_hours)
        _each(section, "holidays", reader.holidays)
        _each(section, "absences", reader.absence)
    return Schedules(roster, {name: draft.done() for name, draft in reader.drafts.items()})


def _each(section: Section, key: str, read: Callable[[Section], None]) -> None:
    for node in section.nodes(key):
        inner = Section(node, section.faults)
        read(inner)
        inner.finish()


def _required(section: Section, key: str, check: Callable[[str], Value]) -> Value | None:
    if key not in section:
        section.fault("is missing", key)
    return section.read(key, check)


class _Reader:
    """Reads entries, each with its own faults, into drafts by tenant."""

    def __init__(self, roster: Roster, tables: Mapping[str, str], facts: list[str]) -> None:
        self.drafts: dict[str, _Draft] = {}
        self._roster = roster
        self._tables = tables
        self._facts = facts
        self._patterns: dict[str, tuple[Pattern, Fraction | None, Fraction | None]] = {}

    def _draft(self, tenant: str) -> _Draft:
        return self.drafts.setdefault(tenant, _Draft())

    def _calendar(self, tenant: str) -> Calendar:
        known = self._roster.tenant(tenant)
        return Calendar(known.zone, known.day_starts_at_min, SCHEDULE_YEARS)

    def _tenant(self, section: Section) -> str | None:
        """The tenant that an entry names; where there is only one, nobody has to."""
        known = self._roster.tenants
        if "tenant" not in section and len(known) == 1:
            return next(iter(known))
        tenant = _required(section, "tenant", identifier)
        if tenant is not None and tenant not in known:
            section.fault(f'tenant "{tenant}" is not in the roster{near(tenant, known)}', "tenant")
            return None
        return tenant

    def _whose(self, section: Section, *, agents: bool) -> _Whose | None:
        tenant, team = self._tenant(section), section.read("team", identifier)
        agent = section.read("agent", label) if agents else None
        if tenant is None:
            return None
        known = self._roster.tenants[tenant]
        if agent is not None:
            if team is not None:
                section.fault("is for a team or an agent, not both", "team")
            if agent not in known.people:
                section.fault(f'agent "{agent}" is not in the roster{near(agent, known.people)}', "agent")
                return None
            return _Whose(tenant, f"agent:{agent}", agent)
        if team is None:
            return _Whose(tenant, TENANT_SCOPE, None)
        if team not in known.teams:
            section.fault(f'team "{team}" is not in the roster{near(team, known.teams)}', "team")
            return None
        return _Whose(tenant, team_scope(team), None)

    def patterns(self, section: Section) -> None:
        """Every pattern of a file, by its name."""
        node = section.node("patterns")
        if node is None:
            return
        named = Section(node, section.faults)
        for name in named:
            child = named.node(name)
            assert child is not None, name
            inner = Section(child, section.faults)
            pattern = Pattern(name, _week(inner), _works_holidays(inner))
            share, day_share = inner.read("share", part_time), inner.read("day_share", part_time)
            inner.finish()
            if name in self._patterns:
                named.fault(f'there is a pattern "{name}" already', name)
            self._patterns[name] = (pattern, share, day_share)

    def assigned(self, section: Section) -> None:
        """Who has which pattern, from when to when."""
        whose = self._whose(section, agents=True)
        name = _required(section, "pattern", self._pattern)
        share, day_share = section.read("share", part_time), section.read("day_share", part_time)
        held = None if whose is None else span(section, self._calendar(whose.tenant))
        if whose is None or name is None or held is None:
            _skip(section, "from", "to")
            return
        pattern, usual, usual_of_day = self._patterns[name]
        whole = share or usual or Fraction(1)
        of_day = day_share or share or usual_of_day or usual or Fraction(1)
        _add(section, self._draft(whose.tenant).shifts, whose.scope, Assignment(pattern, whole, of_day, *held))

    def _pattern(self, name: str) -> str:
        if name not in self._patterns:
            raise ValueError(f'"{name}" is no pattern{near(name, self._patterns)}')
        return name

    def exception(self, section: Section) -> None:
        """Other hours on one date."""
        whose = self._whose(section, agents=True)
        day = _required(section, "date", calendar_date)
        if "hours" not in section:
            section.fault("is missing", "hours")
        work, breaks = _spans(section, "hours"), _spans(section, "breaks")
        try:
            hours = hours_of(work, breaks)
        except ValueError as error:
            section.fault(str(error), "breaks")
            return
        if whose is None or day is None or "hours" not in section:
            return
        dates = self._draft(whose.tenant).exceptions.setdefault(whose.scope, {})
        if day in dates:
            section.fault(f"{day} has other hours already", "date")
        dates[day] = hours

    def business_hours(self, section: Section) -> None:
        """When a tenant or a team is open."""
        whose = self._whose(section, agents=False)
        pattern = Pattern("business hours", _week(section), _works_holidays(section), section.read("zone", zone_name))
        held = None if whose is None else span(section, self._calendar(whose.tenant))
        if whose is None or held is None:
            _skip(section, "from", "to")
            return
        entry = Assignment(pattern, from_ms=held[0], to_ms=held[1])
        _add(section, self._draft(whose.tenant).business_hours, whose.scope, entry)

    def holidays(self, section: Section) -> None:
        """Which days are free for a tenant or a team."""
        whose = self._whose(section, agents=False)
        country, subdivision = section.read("country", str), section.read("subdivision", str)
        if country is None and "also" not in section:
            section.fault("is missing", "country")
        if country is not None:
            try:
                public_holidays(country, subdivision, _A_YEAR)
            except ValueError as error:
                section.fault(str(error), "country" if subdivision is None else "subdivision")
        also, without = named_dates(section, "also"), listed_dates(section, "except")
        held = None if whose is None else span(section, self._calendar(whose.tenant))
        if whose is None or held is None:
            _skip(section, "from", "to")
            return
        entry = HolidayCalendar(country, subdivision, also, frozenset(without), *held)
        _add(section, self._draft(whose.tenant).holidays, whose.scope, entry)

    def absence(self, section: Section) -> None:
        """When an agent is away: a date, or from one moment to another, in the agent's zone."""
        if "agent" not in section:
            section.fault("is missing", "agent")
        whose = self._whose(section, agents=True)
        reason = section.read("reason", label) or ""
        if whose is None or whose.agent is None:
            _skip(section, "date", "from", "to")
            return
        tenant, agent, calendar = whose.tenant, whose.agent, self._calendar(whose.tenant)

        def in_own_zone(read_ms: Callable[[str], int]) -> int:
            """The instant as it is in the zone that the agent has then."""
            return read_ms(self._roster.zone_of(tenant, agent, read_ms(calendar.zone)))

        def moment(text: str) -> int:
            return in_own_zone(lambda zone: local_moment_ms(text, zone, calendar.day_starts_at_min))

        def start_ms(day: date) -> int:
            return in_own_zone(lambda zone: replace(calendar, zone=zone).start_ms(day))

        held = _absent(section, moment, start_ms)
        if held is not None:
            draft = self._draft(tenant).absences
            draft[agent] = (*draft.get(agent, ()), Absence(agent, *held, reason))

    def shifts(self, section: Section) -> None:
        """A file of a workforce tool."""
        tenant, source = self._tenant(section), section.read("source", identifier)
        name = _required(section, "file", self._table)
        if tenant is None or name is None:
            return
        known, calendar = self._roster.tenants[tenant], self._calendar(tenant)

        def who_is(text: str, day: date) -> str:
            agent = text if source is None else self._roster.alias(tenant, source, text, calendar.start_ms(day))
            if agent is None or agent not in known.people:
                whose = "agent" if source is None else f"{source} id"
                raise ValueError(f'{whose} "{text}" is not in the roster')
            return agent

        faults = Faults(name)
        read = read_shifts(self._tables[name], who_is, faults)
        self._facts += faults.facts
        imported = self._draft(tenant).imported
        for agent, days in read.items():
            twice = sorted(days.keys() & imported.get(agent, {}).keys())
            if twice:
                section.fault(f'agent "{agent}" has a plan of {twice[0]} in another file already', "file")
            imported.setdefault(agent, {}).update(days)

    def _table(self, file: str) -> str:
        for name in self._tables:
            if name == file or name.endswith(f"/{file}"):
                return name
        raise ValueError(f'no file "{file}" is beside the settings, its name must end in .csv')


def _skip(section: Section, *keys: str) -> None:
    """Do not complain about keys that could not be read because of other faults."""
    for key in keys:
        section.node(key)


def _add(section: Section, held: dict[str, tuple[Held, ...]], scope: str, entry: Held) -> None:
    """Add an entry to those of its scope; a fault when one of them holds at the same time."""
    others = held.get(scope, ())
    if any(entry.from_ms < other.to_ms and other.from_ms < entry.to_ms for other in others):
        section.fault("another entry for the same holds at the same time")
    held[scope] = (*others, entry)


def _works_holidays(section: Section) -> bool:
    return section.choice("on_holidays", ("off", "work"), "off") == "work"


def _spans(section: Section, key: str) -> tuple[LocalSpan, ...]:
    texts = section.texts(key)
    try:
        return local_spans(texts) if texts else ()
    except ValueError as error:
        section.fault(str(error), key)
        return ()


def _week(section: Section) -> tuple[Hours, ...]:
    """Seven days out of `hours` and `breaks`, each a mapping of weekdays to spans."""
    if "hours" not in section:
        section.fault("is missing", "hours")
    work, _ = _by_weekday(section, "hours")
    breaks, where = _by_weekday(section, "breaks")
    out = [OFF] * 7
    wrong: dict[tuple[str, str], list[str]] = {}
    for day, name in enumerate(WEEKDAYS):
        pauses, key = breaks.get(day, ((), ""))
        try:
            out[day] = hours_of(work[day][0] if day in work else (), pauses)
        except ValueError as error:
            wrong.setdefault((key, str(error)), []).append(name)
    for (key, fact), names in wrong.items():
        where.fault(f"{', '.join(names)}: {fact}", key)
    return tuple(out)


def _by_weekday(section: Section, key: str) -> tuple[dict[int, tuple[tuple[LocalSpan, ...], str]], Section]:
    """Spans by number of the weekday with the key that says so, and where they stand."""
    node = section.node(key)
    out: dict[int, tuple[tuple[LocalSpan, ...], str]] = {}
    if node is None:
        return out, section
    inner = Section(node, section.faults)
    for days in inner:
        spans = _spans(inner, days)
        try:
            numbers = weekday_numbers(days)
        except ValueError as error:
            inner.fault(str(error), days)
            continue
        for day in numbers:
            if day in out:
                inner.fault(f"{WEEKDAYS[day]} has its hours already", days)
            out[day] = (spans, days)
    return out, inner


def _absent(section: Section, moment: Callable[[str], int], start_ms: Callable[[date], int]) -> tuple[int, int] | None:
    """One date, or from a moment to another one, or to no end."""
    if "date" in section:
        for key in ("from", "to"):
            if section.node(key) is not None:
                section.fault("say date, or from and to", key)
        day = section.read("date", calendar_date)
        return None if day is None else (start_ms(day), start_ms(day + timedelta(days=1)))
    begin, end = _required(section, "from", moment), section.read("to", moment)
    if begin is None or (end is None and "to" in section):
        return None
    if end is not None and end <= begin:
        section.fault("must be after from", "to")
        return None
    return begin, ALWAYS_TO_MS if end is None else end
