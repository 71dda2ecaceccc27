"""Backtest: what one target would have said of a scope on panes of the past, looked at once at the end of each pane.

The same `judge` and `step` as in a worker, with the bound, the schedule and the team of that time. Not replayed: the
target's own `from` and `to`, so that a target can be tried before it begins; looks within a pane; and when which event
arrived: everything is taken to have come in time. Silence of a source is not seen.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final, NamedTuple

from kpistream.core.alerts import Alert, Look, State, Subject, Transition, alert_after, step
from kpistream.core.days import of_teams
from kpistream.core.detecting import Detectors, weighed_in_panes
from kpistream.core.measures import Tally, add
from kpistream.core.pace import pace
from kpistream.core.provenance import scope_window, team_of_scope
from kpistream.core.resolution import Held, deciding_ms, resolve
from kpistream.core.rows import PaneRow
from kpistream.core.schedules import Basis, Duty, Plan
from kpistream.core.settings import Settings
from kpistream.core.tallies import NOTHING, pack_tally
from kpistream.core.targets import NOT_COVERED, OFF_SHIFT, Due, Judgement, Target, covers, judge, paced
from kpistream.core.windows import BUSINESS_DAY, RunningWindow, Window
from kpistream.core.working_time import by_the_hour, with_working_time

_AGENT: Final = "agent:"
_ALARMED: Final = (State.FIRING, State.RECOVERING)
_AT_REST: Final = (State.OK, State.SUSPENDED)


class Alarm(NamedTuple):
    """A time in which the alert was on: `[from_ms, to_ms)`, at ends of panes."""

    from_ms: int
    to_ms: int
    open: bool
    """True when it was still on at the end of what was replayed."""


class Replay:
    """One target for one scope: takes panes in order of time, then `finish`; `transitions` is what was found."""

    def __init__(self, settings: Settings, target: Target, subject: Subject, pane_ms: int) -> None:
        self._settings = settings
        self._target = target
        self._pane_ms = pane_ms
        self._tenant, self._scope = subject.tenant, subject.scope
        self._alert = Alert(subject)
        self._work = _Work(settings, subject)
        self._limits = settings.roster.tenant(subject.tenant).limits
        self._detectors = Detectors()
        self._running: RunningWindow | None = None
        self._held: Held | None = None
        self._next_ms = 0
        """Start of the pane that is looked at next."""
        self._pane: Tally = {}
        """What that pane holds so far."""
        self.transitions: list[Transition] = []
        self.looks = 0
        self.days = 0
        """Business days with panes on which the target is about the scope."""
        self._last_day: Window | None = None

    def take(self, start_ms: int, tally: Tally) -> None:
        """Add a pane, or a part of one; panes before it are looked at first."""
        day = self._window(BUSINESS_DAY, start_ms)
        if self._running is None:
            # Before a first event a worker looks only at those whom it holds against pace.
            self._next_ms = day.from_ms if self._work.known and paced(self._target) else start_ms
            self._running = RunningWindow(self._window(self._target.window, self._next_ms), self._pane_ms)
        if day != self._last_day:
            self._last_day = day
            team = team_of_scope(self._settings.roster, self._tenant, self._scope, start_ms)
            self.days += covers(self._target, self._tenant, self._scope, team)
        self._look_until(start_ms)
        add(self._pane, tuple(item for pair in tally.items() for item in pair))

    def finish(self, to_ms: int) -> None:
        """Look at the rest of the last business day, no further than `to_ms`."""
        if self._last_day is not None:
            self._look_until(min(to_ms, self._last_day.to_ms))

    def alarms(self) -> list[Alarm]:
        """The times in which the alert was on, the first first."""
        out: list[Alarm] = []
        since_ms: int | None = None
        for transition in self.transitions:
            if transition.to_state in _ALARMED:
                since_ms = transition.at_ms if since_ms is None else since_ms
            elif since_ms is not None:
                out.append(Alarm(since_ms, transition.at_ms, open=False))
                since_ms = None
        return out if since_ms is None else [*out, Alarm(since_ms, self._next_ms, open=True)]

    def _window(self, name: str, at_ms: int) -> Window:
        return scope_window(self._settings.roster, self._tenant, self._scope, name, at_ms)

    def _look_until(self, end_ms: int) -> None:
        """A look at the end of every pane that starts before."""
        running = self._running
        assert running is not None
        while self._next_ms < end_ms:
            start_ms, self._next_ms = self._next_ms, self._next_ms + self._pane_ms
            window = self._window(self._target.window, start_ms)
            changed = window != running.window and running.move_to(window, lambda _: NOTHING)
            if self._pane:
                changed |= running.put(start_ms, pack_tally(self._pane))
                self._pane = {}
            # On shift time alone may change a verdict: pace grows, an alert that rested goes on.
            on_shift = self._work.known and not self._work.duty(start_ms).suspends
            other_bound = self._held is not None and self._decides_ms(window, self._next_ms - 1) >= self._held.until_ms
            if changed or on_shift or other_bound or self._alert.state not in _AT_REST:
                self._look(running, self._next_ms)

    def _look(self, running: RunningWindow, end_ms: int) -> None:
        """What a worker would have said just before the end of the pane; the transition is of its end."""
        now_ms = end_ms - 1
        self.looks += 1
        team = team_of_scope(self._settings.roster, self._tenant, self._scope, now_ms)
        held = self._bound(running.window, now_ms)
        judgement = self._judge(held.target, team, running, now_ms)
        if judgement is NOT_COVERED and self._alert.state in _AT_REST:
            return
        look = Look(held.target, judgement, running.window, team or None, bound_from=held.bound_from)
        transition = step(self._alert, look, end_ms)
        if transition is not None:
            self.transitions.append(transition)
            self._alert = alert_after(transition)

    def _decides_ms(self, window: Window, now_ms: int) -> int:
        return deciding_ms(self._target.window, window, now_ms)

    def _bound(self, window: Window, now_ms: int) -> Held:
        at_ms = self._decides_ms(window, now_ms)
        if self._held is None or not self._held.at_ms <= at_ms < self._held.until_ms:
            self._held = resolve(self._target, self._settings.roster, self._tenant, self._scope, at_ms)
        return self._held

    def _judge(self, target: Target, team: str, running: RunningWindow, now_ms: int) -> Judgement:
        if not covers(target, self._tenant, self._scope, team):
            return NOT_COVERED
        if self._work.duty(now_ms).suspends:
            return OFF_SHIFT
        due = self._work.due(target, running.window, now_ms) if paced(target) else None
        against = None
        if weighed_in_panes(target):
            against = self._detectors.against(self._scope, target, running, self._limits)
        tally = self._work.beside(running.tally, target, running.window, now_ms)
        return judge(target, tally, self._limits, due, against)


class _Work:
    """When an agent works, asked as rarely as it changes; unknown for teams and tenants."""

    def __init__(self, settings: Settings, subject: Subject) -> None:
        self._schedules = settings.schedules
        self._tenant, self._agent = subject.tenant, subject.scope.removeprefix(_AGENT)
        self.known = subject.scope.startswith(_AGENT) and subject.tenant in settings.schedules.tenants
        self._duty, self._from_ms, self._until_ms = Duty.UNKNOWN, 0, 0
        self._plan: Plan | None = None

    def duty(self, at_ms: int) -> Duty:
        """Whether the agent is at work."""
        if self.known and not self._from_ms <= at_ms < self._until_ms:
            self._duty, self._until_ms = self._schedules.duty_until(self._tenant, self._agent, at_ms)
            self._from_ms = at_ms
        return self._duty

    def due(self, target: Target, window: Window, at_ms: int) -> Due | None:
        """What a count lets expect by then."""
        if not self.known or target.low is None:
            return None
        plan = self._plan_of(target, window)
        expected = pace(target.low, plan, at_ms).expected
        return None if expected is None or plan.basis is Basis.NONE else Due(expected, str(plan.basis))

    def beside(self, tally: Tally, target: Target, window: Window, at_ms: int) -> Mapping[int, int]:
        """The sums; for a target by the hour with the working time by then beside them."""
        if not self.known or not by_the_hour(target.defined):
            return tally
        return with_working_time(tally, self._plan_of(target, window), at_ms)

    def _plan_of(self, target: Target, window: Window) -> Plan:
        if self._plan is None or self._plan.window != window:
            self._plan = self._schedules.plan(self._tenant, self._agent, target.window, window)
        return self._plan


class Told(NamedTuple):
    """What one target would have told of one scope."""

    subject: Subject
    days: int
    """Business days with panes on which the target is about the scope."""
    alarms: tuple[Alarm, ...]


def agents_told(settings: Settings, targets: Sequence[Target], rows: Iterable[PaneRow], to_ms: int) -> Iterator[Told]:
    """What targets of agents would have told. Rows are one agent's after the other's; one agent is in memory."""
    for key, panes in groupby(rows, key=lambda row: row.place.key):
        tenant, _, scope = key.partition("/")
        if scope.startswith(_AGENT):
            yield from _told(settings, targets, ((tenant, scope, row) for row in panes), to_ms)


def teams_told(settings: Settings, targets: Sequence[Target], rows: Iterable[PaneRow], to_ms: int) -> Iterator[Told]:
    """What targets of teams and tenants would have told. Rows are in order of time; all teams are in memory."""
    scopes_of = of_teams(settings.roster)
    placed = (
        (row.place.tenant, scope, row)
        for row in rows
        for scope in scopes_of(row.place.tenant, row.place.scope, row.place.start_ms)
    )
    yield from _told(settings, targets, placed, to_ms)


def _told(
    settings: Settings, targets: Sequence[Target], placed: Iterable[tuple[str, str, PaneRow]], to_ms: int
) -> Iterator[Told]:
    replays: dict[Subject, Replay] = {}
    for tenant, scope, row in placed:
        for target in targets:
            if scope.partition(":")[0] != target.scope or target.tenant not in (None, tenant):
                continue
            subject = Subject(target.name, tenant, scope)
            replay = replays.get(subject)
            if replay is None:
                replay = replays[subject] = Replay(settings, target, subject, row.pane_ms)
            replay.take(row.place.start_ms, row.tally)
    for subject, replay in replays.items():
        replay.finish(to_ms)
        if replay.days:
            yield Told(subject, replay.days, tuple(replay.alarms()))
