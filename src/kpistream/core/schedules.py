"""Schedules: when an agent is at work, as spans of time, and what that knowledge rests on.

Local times are read by `windows.local_ms`, so a shift on the day of a clock change is as long as it really is. A shift
belongs to the date on which it begins, and what holds at the start of that business day (team, zone, pattern, holidays)
holds for the whole shift: what an agent works is one set of instants, and every question is a cut of it. Nobody asks
the clock, and nothing here decides where an event counts.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from typing import Final, NamedTuple, Protocol, TypeVar

from kpistream.core.patterns import NO_WEEK, OFF, Absence, Assignment, HolidayCalendar, Hours
from kpistream.core.roster import ALWAYS, ALWAYS_FROM_MS, ALWAYS_TO_MS, Roster
from kpistream.core.spans import Span, Spans, clip, length_ms, minus, union
from kpistream.core.targets import TENANT_SCOPE, team_scope
from kpistream.core.windows import BUSINESS_DAY, ROLLING_MS, Window, day_start_ms

NO_SHIFT_KNOWN: Final = "no shift known"
"""What a message says of a pace that rests on anything but the agent's own shift."""
_DAY: Final = timedelta(days=1)
_DAY_MS: Final = 24 * 3_600_000


class Basis(StrEnum):
    """What is known of somebody's working time, the best first."""

    SHIFT = "shift"
    """A pattern, or hours for that very date."""
    BUSINESS_HOURS = "business-hours"
    """Only when the team is open."""
    NONE = "none"
    """Nothing: there is no pace."""

    @property
    def words(self) -> str:
        """What a message must say about it; empty for a shift."""
        return "" if self is Basis.SHIFT else NO_SHIFT_KNOWN


class Duty(StrEnum):
    """Whether an agent is at work at an instant, and why not."""

    ON_SHIFT = "on-shift"
    BREAK = "break"
    OFF_SHIFT = "off-shift"
    HOLIDAY = "holiday"
    ABSENT = "absent"
    UNKNOWN = "unknown"
    """No schedule says anything about that day."""

    @property
    def suspends(self) -> bool:
        """True when nothing is expected, so that targets rest; a break is too short for that."""
        return self in (Duty.OFF_SHIFT, Duty.HOLIDAY, Duty.ABSENT)


@dataclass(frozen=True, slots=True)
class TenantSchedules:
    """The schedules of a tenant, by scope: `agent:ID`, `team:NAME` or `tenant`, of which the closest holds."""

    shifts: Mapping[str, tuple[Assignment, ...]] = field(default_factory=dict)
    exceptions: Mapping[str, Mapping[date, Hours]] = field(default_factory=dict)
    """Hours of one date instead of all others, holiday or not."""
    imported: Mapping[str, Mapping[date, Hours]] = field(default_factory=dict)
    """Shifts of a workforce tool, by agent id: hours of one date instead of the pattern's, holiday or not."""
    business_hours: Mapping[str, tuple[Assignment, ...]] = field(default_factory=dict)
    holidays: Mapping[str, tuple[HolidayCalendar, ...]] = field(default_factory=dict)
    absences: Mapping[str, tuple[Absence, ...]] = field(default_factory=dict)
    """By agent id."""


_NOTHING: Final = TenantSchedules()


class Stint(NamedTuple):
    """A piece of working time and the part-time share that counts in it."""

    span: Span
    share: Fraction


@dataclass(frozen=True, slots=True)
class Plan:
    """The working time of one agent in a window. It holds for the window, however often it is asked."""

    window: Window
    rolling: bool
    basis: Basis
    usual_ms: int
    """Working time that a whole bound is for: as it is in such a window without holidays, exceptions and absences, and
    no less than the longest shift of which the window has a part."""
    scheduled: tuple[Stint, ...] = ()
    """Working time with holidays and exceptions, absences not yet taken off."""
    working: tuple[Stint, ...] = ()
    """What is left: without absences, and without the time before and after somebody works here."""

    def scheduled_ms(self, until_ms: int = ALWAYS_TO_MS) -> int:
        """Scheduled time in the window before the instant."""
        return length_ms(clip(tuple(stint.span for stint in self.scheduled), self.window.from_ms, until_ms))

    def working_ms(self, until_ms: int = ALWAYS_TO_MS) -> int:
        """Working time in the window before the instant."""
        return length_ms(clip(tuple(stint.span for stint in self.working), self.window.from_ms, until_ms))


class _Day(NamedTuple):
    """What holds for one agent on one date."""

    day: date
    zone: str
    basis: Basis
    hours: Hours
    usual: Hours
    holiday: str | None
    assignment: Assignment | None
    business_day: Span

    def share(self, window_name: str) -> Fraction:
        """Part-time share that counts: of a day, or of a longer window; an hour at work is one for everybody."""
        if self.assignment is None or window_name in ROLLING_MS:
            return Fraction(1)
        return self.assignment.day_share if window_name == BUSINESS_DAY else self.assignment.share

    def longest_ms(self) -> int:
        """Working time of the longest day of the pattern; 0 without one."""
        week = NO_WEEK if self.assignment is None else self.assignment.pattern.week
        return max(length_ms(hours.spans(self.day, self.zone)) for hours in week)


class _Held(Protocol):
    @property
    def from_ms(self) -> int: ...
    @property
    def to_ms(self) -> int: ...


Held = TypeVar("Held", bound=_Held)


def _closest(held: Mapping[str, tuple[Held, ...]], scopes: Iterable[str], at_ms: int) -> Held | None:
    """What holds at the instant in the first scope that has anything then."""
    for scope in scopes:
        for each in held.get(scope, ()):
            if each.from_ms <= at_ms < each.to_ms:
                return each
    return None


def _weakest(days: list[_Day], window: Window) -> Basis:
    """What the window's working time rests on: the worst of its business days, or the one that it lies in."""
    inside = [day for day in days if window.holds(day.business_day.from_ms)]
    inside = inside or [day for day in days if day.business_day.holds(window.to_ms - 1)]
    return max((day.basis for day in inside), key=list(Basis).index, default=Basis.NONE)


def _usual_ms(days: list[_Day], window: Window) -> int:
    """Working time for which a whole bound is asked; 0 when nobody works in the window.

    A window that cuts shifts is measured by whole ones: the 2 hours before midnight are a quarter of a night. Where the
    pattern has nothing, an extra shift is measured by the pattern's longest day; without a pattern, by what is worked.
    """
    usual = [day.usual.spans(day.day, day.zone) for day in days]
    touching = [spans for spans in usual if clip(spans, *window)]
    if touching:
        inside = clip(union(span for spans in touching for span in spans), *window)
        return max(length_ms(inside), *(length_ms(spans) for spans in touching))
    worked = ((day, day.hours.spans(day.day, day.zone)) for day in days)
    extra = [(day, spans) for day, spans in worked if clip(spans, *window)]
    longest_ms = max((day.longest_ms() for day, _ in extra), default=0)
    if longest_ms or not extra:
        return longest_ms
    inside = clip(union(span for _, spans in extra for span in spans), *window)
    return max(length_ms(inside), *(length_ms(spans) for _, spans in extra))


@dataclass(frozen=True)
class Schedules:
    """The schedules of every tenant. Equal schedules answer equally; nothing here changes."""

    roster: Roster = field(default_factory=Roster)
    tenants: Mapping[str, TenantSchedules] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        """How much there is of each kind, by the words for it."""
        known = self.tenants.values()
        return {
            "assigned patterns": sum(len(held) for each in known for held in each.shifts.values()),
            "exceptions": sum(len(dates) for each in known for dates in each.exceptions.values()),
            "agents with imported shifts": sum(len(each.imported) for each in known),
            "business hours": sum(len(held) for each in known for held in each.business_hours.values()),
            "holiday calendars": sum(len(held) for each in known for held in each.holidays.values()),
            "absences": sum(len(held) for each in known for held in each.absences.values()),
        }

    def with_absences(self, tenant: str, absences: Iterable[Absence]) -> "Schedules":
        """The same with further absences of a tenant."""
        known = self.tenants.get(tenant, _NOTHING)
        by_agent = dict(known.absences)
        for absence in absences:
            by_agent[absence.agent] = (*by_agent.get(absence.agent, ()), absence)
        return replace(self, tenants={**self.tenants, tenant: replace(known, absences=by_agent)})

    def plan(self, tenant: str, agent_id: str, window_name: str, window: Window) -> Plan:
        """The working time of an agent in a window of that name. Costs in proportion to the days of the window."""
        days = list(self._days(tenant, agent_id, *window))
        scheduled: list[Stint] = []
        covered: Spans = ()
        for day in days:
            spans = minus(day.hours.spans(day.day, day.zone), covered)
            covered = union((*covered, *spans))
            scheduled += [Stint(span, day.share(window_name)) for span in clip(spans, *window)]
        away = self._away(tenant, agent_id)
        working = tuple(Stint(span, share) for whole, share in scheduled for span in minus((whole,), away))
        usual_ms = _usual_ms(days, window)
        return Plan(window, window_name in ROLLING_MS, _weakest(days, window), usual_ms, tuple(scheduled), working)

    def working_spans(self, tenant: str, agent_id: str, from_ms: int, to_ms: int) -> Spans:
        """When an agent works in `[from_ms, to_ms)`: the schedule without breaks and absences."""
        days = self._days(tenant, agent_id, from_ms, to_ms)
        spans = union(span for day in days for span in day.hours.spans(day.day, day.zone))
        return clip(minus(spans, self._away(tenant, agent_id)), from_ms, to_ms)

    def duty(self, tenant: str, agent_id: str, at_ms: int) -> Duty:
        """Whether an agent is at work at an instant, and why not."""
        person = self.roster.person(tenant, agent_id)
        if person is not None and not person.active.holds(at_ms):
            return Duty.OFF_SHIFT
        absences = self.tenants.get(tenant, _NOTHING).absences.get(agent_id, ())
        if any(absence.from_ms <= at_ms < absence.to_ms for absence in absences):
            return Duty.ABSENT
        found = Duty.UNKNOWN
        for day in self._days(tenant, agent_id, at_ms, at_ms + 1):
            if any(span.holds(at_ms) for span in day.hours.spans(day.day, day.zone)):
                return Duty.ON_SHIFT
            if any(span.holds(at_ms) for span in day.hours.at_work(day.day, day.zone)):
                found = Duty.BREAK
            elif found is Duty.UNKNOWN and day.basis is not Basis.NONE and day.business_day.holds(at_ms):
                found = Duty.OFF_SHIFT if day.holiday is None else Duty.HOLIDAY
        return found

    def duty_until(self, tenant: str, agent_id: str, at_ms: int) -> tuple[Duty, int]:
        """The duty at an instant, and the first instant after it at which it may be another: when to ask again."""
        days = list(self._days(tenant, agent_id, at_ms, at_ms + _DAY_MS))
        spans = [*self._away(tenant, agent_id), *(day.business_day for day in days)]
        for day in days:
            spans += (*day.hours.spans(day.day, day.zone), *day.hours.at_work(day.day, day.zone))
        until_ms = min(edge_ms for span in spans for edge_ms in span if edge_ms > at_ms)
        return self.duty(tenant, agent_id, at_ms), until_ms

    def basis(self, tenant: str, agent_id: str, at_ms: int) -> Basis:
        """What is known of an agent's working time on the date of an instant."""
        return _weakest(list(self._days(tenant, agent_id, at_ms, at_ms + 1)), Window(at_ms, at_ms + 1))

    def _days(self, tenant: str, agent_id: str, from_ms: int, to_ms: int) -> Iterator[_Day]:
        """Every date whose shifts can reach into the interval: one may begin a day before and end a day after."""
        first = datetime.fromtimestamp(from_ms // 1000, UTC).date() - 2 * _DAY
        last = datetime.fromtimestamp(to_ms // 1000, UTC).date() + _DAY
        for ordinal in range(first.toordinal(), last.toordinal() + 1):
            day = self._day(tenant, agent_id, date.fromordinal(ordinal))
            if day.business_day.from_ms < day.business_day.to_ms:  # else a date that the zone has skipped
                yield day

    def _day(self, tenant: str, agent_id: str, day: date) -> _Day:
        settings, known = self.roster.tenant(tenant), self.tenants.get(tenant, _NOTHING)
        starts_at = settings.day_starts_at_min
        at_ms = self._at_work_ms(tenant, agent_id, day_start_ms(day, settings.zone, starts_at))
        team = self.roster.team_of(tenant, agent_id, at_ms)
        own, wide = f"agent:{agent_id}", (team_scope(team), TENANT_SCOPE)
        shift = _closest(known.shifts, (own, *wide), at_ms)
        imported = known.imported.get(agent_id, {}).get(day)
        assignment = shift or (_closest(known.business_hours, wide, at_ms) if imported is None else None)
        usual = (imported or OFF) if assignment is None else assignment.pattern.week[day.weekday()]
        exception = known.exceptions.get(own, {}).get(day)
        hours = imported if exception is None else exception
        known_shift = shift is not None or hours is not None
        if hours is None:
            hours = next((known.exceptions[s][day] for s in wide if day in known.exceptions.get(s, ())), None)
        holiday = None
        if hours is None and not (assignment is not None and assignment.pattern.works_holidays):
            calendar = _closest(known.holidays, wide, at_ms)
            holiday = None if calendar is None else calendar.name(day)
        if known_shift:
            basis, zone = Basis.SHIFT, self.roster.zone_of(tenant, agent_id, at_ms)
        else:
            basis = Basis.NONE if assignment is None and hours is None else Basis.BUSINESS_HOURS
            own_zone = None if assignment is None else assignment.pattern.zone
            zone = own_zone or self.roster.zone_of_team(tenant, team)
        if hours is None:
            hours = usual if holiday is None else OFF
        business_day = Span(day_start_ms(day, zone, starts_at), day_start_ms(day + _DAY, zone, starts_at))
        return _Day(day, zone, basis, hours, usual, holiday, assignment, business_day)

    def _at_work_ms(self, tenant: str, agent_id: str, at_ms: int) -> int:
        """The instant, or the nearest one at which the person works here: it decides about the other days, too."""
        person = self.roster.person(tenant, agent_id)
        active = ALWAYS if person is None else person.active
        return min(max(at_ms, active.from_ms), active.to_ms - 1)

    def _away(self, tenant: str, agent_id: str) -> Spans:
        """When an agent does not work whatever the schedule says: absences, and before and after working here."""
        person = self.roster.person(tenant, agent_id)
        active = ALWAYS if person is None else person.active
        absences = self.tenants.get(tenant, _NOTHING).absences.get(agent_id, ())
        return union(
            (
                Span(ALWAYS_FROM_MS, active.from_ms),
                *(Span(absence.from_ms, absence.to_ms) for absence in absences),
                Span(active.to_ms, ALWAYS_TO_MS),
            )
        )
