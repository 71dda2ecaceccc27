"""Judging: slots whose sums changed become readings, and where a target is crossed, transitions.

No I/O here: the tickers hand in windows and publish what comes out.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from fractions import Fraction
from itertools import islice
from typing import Final

from kpistream.core.alerts import (
    Alert,
    Look,
    State,
    Subject,
    Transition,
    alert_after,
    decode_transition,
    states_from_log,
    step,
)
from kpistream.core.kpis import Limits
from kpistream.core.readings import About, Reading, Shown, TargetReading, read, target_reading
from kpistream.core.settings import Settings
from kpistream.core.targets import (
    CATCHING_UP,
    NOT_COVERED,
    OFF_SHIFT,
    PANES_CLOSED,
    SOURCE_SILENT,
    Judgement,
    Target,
    covers,
    judge,
    paced,
)
from kpistream.core.windows import RunningWindow
from kpistream.stream.live import LiveWindows, Slot
from kpistream.stream.rota import Rota

_HOLDING = (State.PENDING, State.RECOVERING)
_AT_REST = (State.OK, State.SUSPENDED)
LOOK_AGAIN_MS: Final = 60_000
"""Pace falls due and shifts end without an event: where there is a schedule, targets are looked at so often."""
DUE_A_LOOK: Final = 50
"""Slots that time alone brings to one look, 12 ms of it: looks come ten times a second, so in a minute 30,000 do."""
_RESTING_A_LOOK: Final = 500
"""Slots that one look goes through at most: those that rest on need no look."""

AGENT_KINDS: Final = frozenset({"agent", "queue", "campaign"})
TEAM_KINDS: Final = frozenset({"team", "tenant"})


class Bench:
    """Judges slots for one partition and remembers the state of its alerts."""

    def __init__(self, settings: Settings, about: Callable[[str, int], About], kinds: frozenset[str]) -> None:
        self._settings = settings
        self._kinds = kinds
        self._about = about
        self.alerts: dict[Subject, Alert] = {}
        self.loaded = False
        """True once the states in the log are known: before that nothing is judged."""
        self.holding: set[Slot] = set()
        """Slots with an alert that waits for its hold time."""
        self._early: set[Slot] = set()
        self._rota = Rota(settings.schedules)
        self._again_ms: dict[Slot, int] = {}
        """When slots with a schedule were looked at, the longest ago first."""
        self._left: list[Subject] = []
        """Whose alerts the log has left neither ok nor suspended; until they are handed out."""
        self._gone: dict[str, Target] = {}
        """Targets that have left the settings, as they were: their alerts are still to be suspended."""

    def load(self, values: Iterable[bytes]) -> None:
        """Start from the states in the log, of the kinds of scope that are judged here."""
        transitions = map(decode_transition, values)
        mine = [each for each in transitions if each.scope.partition(":")[0] in self._kinds]
        self.alerts, self.loaded = states_from_log(mine), True
        names = {target.name for target in self._settings.targets}
        self._gone |= {each.target: _as_it_was(each) for each in mine if each.target not in names}
        self._left = [subject for subject, alert in self.alerts.items() if alert.state not in _AT_REST]

    def adopt(self, settings: Settings) -> None:
        """Judge by other settings now. Alerts keep their states; `sweep` suspends those of targets that left."""
        names = {target.name for target in settings.targets}
        known = self._gone | {target.name: target for target in self._settings.targets}
        self._gone = {name: target for name, target in known.items() if name not in names}
        self._settings = settings
        self._rota.adopt(settings.schedules)

    def left_standing(self, now_ms: int) -> list[Slot]:
        """Slots of alerts that the log has left neither ok nor suspended, once: nothing else may bring a look.

        Without those that no target covers any more: `sweep` suspends them.
        """
        left, self._left = self._left, []
        if not left:
            return []
        targets = {target.name: target for target in self._settings.targets}
        slots: dict[Slot, None] = {}
        for subject in left:
            key, target = f"{subject.tenant}/{subject.scope}", targets.get(subject.target)
            team = self._about(key, now_ms).team or ""
            if target is not None and covers(target, subject.tenant, subject.scope, team):
                slots[key, target.window] = None
        return list(slots)

    def shown_too_early(self, provisional: bool) -> list[Slot]:
        """Slots that were shown before they could be judged, once they can be; each once."""
        if provisional or not self.loaded:
            return []
        early, self._early = list(self._early), set()
        return early

    def due_again(self, now_ms: int) -> list[Slot]:
        """Slots that time alone may have changed: looked at a while ago, or later, by a clock that has gone back.

        At most 50, the longest ago first; without those that rested then and still do.
        """
        due: list[Slot] = []
        for slot, looked_ms in list(islice(self._again_ms.items(), _RESTING_A_LOOK)):
            if 0 <= now_ms - looked_ms < LOOK_AGAIN_MS or len(due) == DUE_A_LOOK:
                break
            del self._again_ms[slot]
            if self._rota.rests(slot[0], looked_ms, now_ms):
                self._again_ms[slot] = now_ms
            else:
                due.append(slot)
        return due

    def listen(self, now_ms: int, changed: Iterable[tuple[str, int]], live: LiveWindows) -> None:
        """Take in of whom something is heard: while a source is silent, nobody is behind pace."""
        self._rota.listen(now_ms, changed, live.kept)

    def look(
        self, live: LiveWindows, slots: Iterable[Slot], now_ms: int, complete_from_ms: int | None
    ) -> tuple[list[Reading], list[Transition]]:
        """Readings of the slots, and the transitions that they cause. Provisional numbers are never judged.

        `complete_from_ms`: every pane from there on is known; None while the worker recovers or lags, which passes.
        What lies before is closed: gone with the next restart, and late events do not come to it. Of a window that
        begins before, there is no data.
        """
        readings: list[Reading] = []
        transitions: list[Transition] = []
        early = complete_from_ms is None or not self.loaded
        for slot in slots:
            key, name = slot
            running, about = live.window(slot), self._about(key, now_ms)
            self.holding.discard(slot)
            if early:
                self._early.add(slot)
            short = complete_from_ms is not None and running.window.from_ms < complete_from_ms
            targets = self._targets(about, name)
            if targets and self._rota.knows(about):
                self._again_ms.pop(slot, None)
                self._again_ms[slot] = now_ms
            standing: dict[str, TargetReading] = {}
            for target in targets:
                if early:
                    standing[target.name] = target_reading(target, State.NO_DATA, CATCHING_UP)
                    continue
                judgement = PANES_CLOSED if short else self._judge(target, about, running, now_ms)
                look = Look(target, judgement, running.window, about.team, about.display_name)
                alert = self._step(Subject(target.name, about.tenant, about.scope), look, now_ms, transitions)
                if alert.state in _HOLDING:
                    self.holding.add(slot)
                standing[target.name] = target_reading(target, alert.state, judgement)
            shown = Shown(name, running.window, now_ms, provisional=complete_from_ms is None or short)
            readings.append(read(about, shown, running.tally, standing, self._limits(about)))
        return readings, transitions

    def _judge(self, target: Target, about: About, running: RunningWindow, now_ms: int) -> Judgement:
        if self._rota.duty(about, now_ms).suspends:
            return OFF_SHIFT
        if not paced(target):
            return judge(target, running.tally, self._limits(about))
        if self._rota.silent(about.tenant):
            return SOURCE_SILENT
        return judge(target, running.tally, self._limits(about), self._rota.due(target, about, running.window, now_ms))

    def _limits(self, about: About) -> Limits:
        return self._settings.roster.tenant(about.tenant).limits

    def sweep(self, live: LiveWindows, now_ms: int) -> list[Transition]:
        """Suspend alerts whose target does not cover their scope any more: somebody has moved, or the target has left.

        What is remembered of agents without windows is forgotten.
        """
        self._rota.forget_all_but(live)
        transitions: list[Transition] = []
        targets = {target.name: target for target in self._settings.targets}
        for subject, alert in list(self.alerts.items()):
            target = targets.get(subject.target) or self._gone.get(subject.target)
            if target is None or alert.state in _AT_REST:
                continue
            about = self._about(f"{subject.tenant}/{subject.scope}", now_ms)
            left = target.name not in targets
            if left or not covers(target, subject.tenant, subject.scope, about.team or ""):
                window = live.window_at(f"{subject.tenant}/{subject.scope}", target.window, now_ms)
                look = Look(target, NOT_COVERED, window, about.team, about.display_name)
                self._step(subject, look, now_ms, transitions)
        return transitions

    def _step(self, subject: Subject, look: Look, now_ms: int, transitions: list[Transition]) -> Alert:
        alert = self.alerts.get(subject) or Alert(subject)
        transition = step(alert, look, now_ms)
        if transition is not None:
            transitions.append(transition)
            alert = self.alerts[subject] = alert_after(transition)
        return alert

    def firing(self) -> Counter[str]:
        """Alerts that fire, by tenant; tenants whose alerts all rest are there with 0."""
        out: Counter[str] = Counter()
        for alert in self.alerts.values():
            out[alert.subject.tenant] += alert.state is State.FIRING
        return out

    def _targets(self, about: About, window: str) -> list[Target]:
        team = about.team or ""
        return [t for t in self._settings.targets if t.window == window and covers(t, about.tenant, about.scope, team)]


def _as_it_was(transition: Transition) -> Target:
    """The target of a transition, as far as another transition needs it."""
    return Target(
        name=transition.target,
        kpi=transition.kpi,
        window=transition.window,
        direction=transition.direction,
        low=None if transition.low is None else Fraction(transition.low),
        high=None if transition.high is None else Fraction(transition.high),
        owner=transition.owner,
    )
