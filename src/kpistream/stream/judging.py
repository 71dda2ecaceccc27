"""Judging: slots whose sums changed become readings, and where a target is crossed, transitions.

No I/O here: the tickers hand in windows and publish what comes out.
"""

from collections.abc import Callable, Iterable

from kpistream.core.alerts import Alert, Look, State, Subject, Transition, alert_after, step
from kpistream.core.readings import About, Reading, Shown, TargetReading, read, target_reading
from kpistream.core.settings import Settings
from kpistream.core.targets import Target, covers, judge
from kpistream.stream.live import LiveWindows, Slot

_HOLDING = (State.PENDING, State.RECOVERING)


class Bench:
    """Judges slots for one partition and remembers the state of its alerts."""

    def __init__(self, settings: Settings, about: Callable[[str, int], About]) -> None:
        self._settings = settings
        self._about = about
        self.alerts: dict[Subject, Alert] = {}
        self.loaded = False
        """True once the states in the log are known: before that nothing is judged."""
        self.holding: set[Slot] = set()
        """Slots with an alert that waits for its hold time."""

    def load(self, alerts: dict[Subject, Alert]) -> None:
        """Start from the states in the log."""
        self.alerts, self.loaded = alerts, True

    def look(
        self, live: LiveWindows, slots: Iterable[Slot], now_ms: int, provisional: bool
    ) -> tuple[list[Reading], list[Transition]]:
        """Readings of the slots, and the transitions that they cause. Provisional numbers are never judged."""
        readings: list[Reading] = []
        transitions: list[Transition] = []
        for slot in slots:
            key, name = slot
            running = live.window(slot)
            about = self._about(key, now_ms)
            shown = Shown(name, running.window, now_ms, provisional)
            limits = self._settings.roster.tenant(about.tenant).limits
            standing: dict[str, TargetReading] = {}
            self.holding.discard(slot)
            for target in self._targets(about, name):
                judgement = judge(target, running.tally, limits)
                subject = Subject(target.name, about.tenant, about.scope)
                alert = self.alerts.get(subject) or Alert(subject)
                if self.loaded and not provisional:
                    look = Look(target, judgement, running.window, about.team, about.display_name)
                    transition = step(alert, look, now_ms)
                    if transition is not None:
                        transitions.append(transition)
                        alert = self.alerts[subject] = alert_after(transition)
                    if alert.state in _HOLDING:
                        self.holding.add(slot)
                standing[target.name] = target_reading(target, alert.state, judgement)
            readings.append(read(about, shown, running.tally, standing, limits))
        return readings, transitions

    def firing(self) -> int:
        """Alerts that fire."""
        return sum(alert.state is State.FIRING for alert in self.alerts.values())

    def _targets(self, about: About, window: str) -> list[Target]:
        team = about.team or ""
        return [t for t in self._settings.targets if t.window == window and covers(t, about.tenant, about.scope, team)]
