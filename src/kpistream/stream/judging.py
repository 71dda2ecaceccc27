"""Judging: slots whose sums changed become readings, and where a target is crossed, transitions.

No I/O here: the tickers hand in windows and publish what comes out.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

from msgspec.structs import replace

from kpistream.core.alerts import (
    Alert,
    Look,
    State,
    Subject,
    Transition,
    alert_after,
    as_it_was,
    decode_transition,
    good_news,
    step,
    take_from_log,
)
from kpistream.core.contributing import CONTRIBUTORS_A_LOOK, Part, contributors
from kpistream.core.conversion import DEAL_AHEAD_MS, delay_ms
from kpistream.core.correcting import Again, Episode, comparable, correction, judged_by, kept_pane, untrue
from kpistream.core.detecting import Detectors, since_ms, weighed_in_panes
from kpistream.core.kpis import Limits
from kpistream.core.own_kpis import counted
from kpistream.core.readings import (
    About,
    Reading,
    Shown,
    TargetReading,
    read,
    target_reading,
)
from kpistream.core.resolution import deciding_ms, in_force
from kpistream.core.settings import Settings
from kpistream.core.targets import (
    CATCHING_UP,
    COUNTED_LATER,
    NOT_COVERED,
    OFF_SHIFT,
    PANES_CLOSED,
    REFILLING,
    SOURCE_SILENT,
    Judgement,
    Target,
    covers,
    judge,
    measured,
    paced,
)
from kpistream.core.windows import LIVE_WINDOWS, RunningWindow, Window, pane_start
from kpistream.core.working_time import by_the_hour
from kpistream.stream.episodes import Episodes
from kpistream.stream.in_force import InForce
from kpistream.stream.live import LiveWindows, PaneSource, Slot
from kpistream.stream.overdue import Overdue
from kpistream.stream.own_windows import OwnWindows
from kpistream.stream.rota import Rota

_HOLDING = (State.PENDING, State.RECOVERING)
_AT_REST = (State.OK, State.SUSPENDED)

CORRECTED_A_LOOK: Final = 20
"""Alerts that one look judges again: up to a millisecond for each hour that they have lasted."""

AGENT_KINDS: Final = frozenset({"agent", "queue", "campaign"})
TEAM_KINDS: Final = frozenset({"team", "tenant"})


class Bench:
    """Judges slots for one partition and remembers the state of its alerts."""

    def __init__(self, settings: Settings, about: Callable[[str, int], About], kinds: frozenset[str]) -> None:
        self._run_by(settings)
        self._kinds = kinds
        self._about = about
        self.parts: Callable[[str, Sequence[int]], Iterable[Part]] = lambda key, starts: ()
        """What a key's panes at these starts are made of, asked for when an alert begins."""
        self._unexplained = 0
        """Alerts of this look that may still be told with contributors."""
        self.alerts: dict[Subject, Alert] = {}
        self.loaded = False
        """True once the states in the log are known: before that nothing is judged."""
        self.holding: set[Slot] = set()
        """Slots with an alert that waits for its hold time."""
        self._early: set[Slot] = set()
        self._rota = Rota(settings.schedules)
        self._detectors = Detectors()
        self._overdue = Overdue(self._rota)
        self._left: list[Subject] = []
        """Whose alerts the log has left neither ok nor suspended; until they are handed out."""
        self.sources_of: Callable[[str], tuple[str, ...]] = lambda _: ()
        """Sources through which somebody was heard lately, by key (`tenant/scope`)."""
        self.episodes = Episodes()
        self.own = OwnWindows(self._rota)
        self._gone: dict[str, Target] = {}
        """Targets that have left the settings, as they were: their alerts are still to be suspended."""

    def load(self, values: Iterable[bytes]) -> None:
        """Start from the states in the log, of the kinds of scope that are judged here."""
        transitions = map(decode_transition, values)
        mine = [each for each in transitions if each.scope.partition(":")[0] in self._kinds]
        self.alerts, self.loaded, self.episodes = {}, True, Episodes()
        for each in mine:
            self._take_from_log(each)
        self.episodes.all_due()
        self._gone |= {
            each.target: as_it_was(each) for each in mine if each.window in LIVE_WINDOWS and self._left_us(each.target)
        }
        self._left = self._standing()

    def _take_from_log(self, transition: Transition) -> None:
        subject = Subject(transition.target, transition.tenant, transition.scope)
        alert = self.alerts.get(subject) or Alert(subject)
        take_from_log(self.alerts, transition)
        if self.alerts[subject].sequence > alert.sequence:
            self.episodes.take(alert, transition)

    def _standing(self) -> list[Subject]:
        return [subject for subject, alert in self.alerts.items() if alert.state not in _AT_REST]

    def adopt(self, settings: Settings) -> None:
        """Judge by other settings now. Alerts keep their states; `sweep` suspends those of targets that left.

        When the review has judged some of them until now, the log must be read again: it has what the review wrote.
        """
        known = self._gone | {target.name: target for target in self._judged}
        elsewhere = self._elsewhere
        self._run_by(settings)
        if elsewhere & self._names:
            self.loaded = False
        self._gone = {name: target for name, target in known.items() if self._left_us(name)}
        self._rota.adopt(settings.schedules)
        self._left = self._standing()

    def _run_by(self, settings: Settings) -> None:
        self._settings = settings
        self._judged = tuple(each for each in settings.targets if each.alerts and each.window in LIVE_WINDOWS)
        self._names = {each.name for each in self._judged}
        self._elsewhere = {each.name for each in settings.targets if each.alerts and each.window not in LIVE_WINDOWS}
        """Targets that the review judges."""
        self._in_force = InForce(settings)

    def _left_us(self, name: str) -> bool:
        """True for a target that nobody judges any more: it has left the settings, or alarms nobody."""
        return name not in self._elsewhere and name not in self._names

    def left_standing(self, now_ms: int) -> list[Slot]:
        """Slots of alerts that the log has left neither ok nor suspended, once: nothing else may bring a look.

        Without those that no target covers any more: `sweep` suspends them.
        """
        left, self._left = self._left, []
        if not left:
            return []
        targets = {target.name: target for target in self._judged}
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

        First those whose bound may be another. Of the rest at most 50, the longest ago first; without those that rested
        then and still do.
        """
        return self._in_force.changed(now_ms) + self._overdue.take(now_ms)

    def listen(self, now_ms: int, changed: Iterable[tuple[str, int]], live: LiveWindows) -> None:
        """Take in of whom something is heard: while a source is silent, nobody is behind pace."""
        self._rota.listen(now_ms, changed, live.kept)
        self.episodes.changed(changed, pane_start(now_ms, live.pane_ms))

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
        self._unexplained = CONTRIBUTORS_A_LOOK
        for slot in slots:
            (key, name), own = slot, self._settings.own
            running, about = live.window(slot), self._about(key, now_ms)
            self.holding.discard(slot)
            if early:
                self._early.add(slot)
            known_from_ms = -1 if complete_from_ms is None else complete_from_ms
            short = running.window.from_ms < known_from_ms
            targets = self._in_force.targets(about, name, running.window, now_ms)
            if targets and self._rota.knows(about):
                self._overdue.looked(slot, now_ms)
            tally = self.own.tally(own, name, about, running, now_ms)
            own_from, since = self.own.since(own, slot, about, running, now_ms)
            standing: dict[str, TargetReading] = {}
            for held in targets:
                target = held.target
                partial = since is not None and counted(target.defined)
                waits = CATCHING_UP if early else REFILLING if partial and own_from.passes else None
                if waits is not None:
                    standing[target.name] = target_reading(target, State.NO_DATA, waits, held.bound_from)
                    continue
                closed = running.window.from_ms - self._reach_ms(target, about.tenant, running) < known_from_ms
                judgement = PANES_CLOSED if closed else COUNTED_LATER if partial else None
                judgement = judgement or self._judge(target, about, running, now_ms)
                look = Look(target, judgement, running.window, about.team, about.display_name, held.bound_from)
                subject = Subject(target.name, about.tenant, about.scope)
                alert = self._step(subject, look, now_ms, transitions, running)
                if target.good_news and not short and not partial:
                    transitions += self._good_news(alert, look, running, now_ms)
                if alert.state in _HOLDING:
                    self.holding.add(slot)
                standing[target.name] = target_reading(target, alert.state, judgement, held.bound_from)
            provisional = complete_from_ms is None or short
            shown = Shown(name, running.window, now_ms, provisional=provisional, own=own, since=since)
            readings.append(read(about, shown, tally, standing, self._limits(about)))
        return readings, transitions

    def _good_news(self, alert: Alert, look: Look, running: RunningWindow, now_ms: int) -> list[Transition]:
        """The record that a target is reached, when it is and nobody has said so yet."""
        target, about = look.target, About(alert.subject.tenant, alert.subject.scope)
        if alert.state is not State.OK or alert.reached_from_ms == running.window.from_ms:
            return []
        value = look.judgement.value or measured(target, running.tally, self._limits(about))
        reached = self._rota.reached(look, about, value, now_ms) if value.numerator else None
        news = good_news(alert, look._replace(reached=reached), now_ms)
        if news is None:
            return []
        news = replace(news, sources=self.sources_of(f"{about.tenant}/{about.scope}"))
        self.alerts[alert.subject] = alert_after(news)
        return [news]

    def correct(
        self, live: LiveWindows, source: PaneSource, now_ms: int, complete_from_ms: int | None
    ) -> list[Transition]:
        """Alerts that were never true, by the panes as they are now. Closed panes correct nothing."""
        if complete_from_ms is None or not self.loaded:
            return []
        out: list[Transition] = []
        for subject in self.episodes.take_due(CORRECTED_A_LOOK, complete_from_ms):
            episode, alert = self.episodes[subject], self.alerts[subject]
            if episode.fired.window_from_ms < complete_from_ms:
                self.episodes.drop(subject)
            elif alert.state in (State.NO_DATA, State.PENDING):
                self.episodes.later(subject)
            else:
                out += self._corrected(episode, alert, live, source, now_ms)
        return out

    def _corrected(
        self, episode: Episode, alert: Alert, live: LiveWindows, source: PaneSource, now_ms: int
    ) -> list[Transition]:
        fired, key = episode.fired, f"{alert.subject.tenant}/{alert.subject.scope}"
        about, window = self._about(key, now_ms), Window(fired.window_from_ms, fired.window_to_ms)
        held = self._in_force.targets(about, fired.window, window, fired.at_ms)
        target = next((each.target for each in held if each.target.name == fired.target), None)
        if target is None or not comparable(target, self._limits(about), fired):
            return []
        again = Again(
            target,
            self._limits(about),
            live.pane_ms,
            partial(source.packed_at, key),
            lambda at_ms: live.window_at(key, fired.window, at_ms),
            lambda at_ms: self._rota.due_at(target, about, window, at_ms),
        )
        found = untrue(episode, again, now_ms)
        if found is None:
            return []
        transition = correction(alert, fired, found, now_ms)
        self.episodes.take(alert, transition)
        self.alerts[alert.subject] = alert_after(transition)
        return [transition]

    def _judge(self, target: Target, about: About, running: RunningWindow, now_ms: int) -> Judgement:
        if self._rota.duty(about, now_ms).suspends:
            return OFF_SHIFT
        limits = self._limits(about)
        if by_the_hour(target.defined):
            tally = self.own.tally(self._settings.own, target.window, about, running, now_ms)
            return judge(target, tally, limits)
        if not paced(target):
            against = None
            if weighed_in_panes(target):
                against = self._detectors.against(f"{about.tenant}/{about.scope}", target, running, limits)
            return judge(target, running.tally, limits, against=against)
        if self._rota.silent(about.tenant):
            return SOURCE_SILENT
        return judge(target, running.tally, limits, self._rota.due(target, about, running.window, now_ms))

    def _delay_ms(self, target: Target, tenant: str, running: RunningWindow) -> int:
        """How long after the start of their pane cases of a target count."""
        if not target.defined.settles:
            return 0
        return delay_ms(self._settings.roster.tenant(tenant).settle_ms, running.pane_ms)

    def _reach_ms(self, target: Target, tenant: str, running: RunningWindow) -> int:
        """How long before its window a target needs panes."""
        wait_ms = self._delay_ms(target, tenant, running)
        return wait_ms + DEAL_AHEAD_MS if wait_ms else 0

    def _limits(self, about: About) -> Limits:
        return self._settings.roster.tenant(about.tenant).limits

    def sweep(self, live: LiveWindows, now_ms: int) -> list[Transition]:
        """Suspend alerts whose target does not cover their scope any more: somebody has moved, or the target has left.

        What is remembered of agents without windows is forgotten.
        """
        self._rota.forget_all_but(live)
        self._detectors.forget_all_but(live)
        self._in_force.forget_all_but(live)
        transitions: list[Transition] = []
        targets = {target.name: target for target in self._judged}
        for subject, alert in list(self.alerts.items()):
            target = targets.get(subject.target) or self._gone.get(subject.target)
            if target is None or alert.state in _AT_REST:
                continue
            key = f"{subject.tenant}/{subject.scope}"
            about, window = self._about(key, now_ms), live.window_at(key, target.window, now_ms)
            left = target.name not in targets or not in_force(target, deciding_ms(target.window, window, now_ms))
            if left or not covers(target, subject.tenant, subject.scope, about.team or ""):
                look = Look(target, NOT_COVERED, window, about.team, about.display_name)
                self._step(subject, look, now_ms, transitions)
        return transitions

    def _step(
        self,
        subject: Subject,
        look: Look,
        now_ms: int,
        transitions: list[Transition],
        running: RunningWindow | None = None,
    ) -> Alert:
        alert = self.alerts.get(subject) or Alert(subject)
        transition = step(alert, look, now_ms)
        if transition is not None:
            transition = replace(transition, sources=self.sources_of(f"{subject.tenant}/{subject.scope}"))
            if transition.begins and running is not None:
                transition = self._explained(transition, look.target, running)
            if transition.to_state is State.FIRING and running is not None:
                by = judged_by(look.target, self._settings.roster.tenant(subject.tenant).limits)
                transition = replace(transition, last_pane=kept_pane(running.pane_at(now_ms)), judged_by=by)
            transitions.append(transition)
            self.episodes.take(alert, transition)
            alert = self.alerts[subject] = alert_after(transition)
        return alert

    def _explained(self, transition: Transition, target: Target, running: RunningWindow) -> Transition:
        """The transition with what only the window's panes tell: since when, and what has most to do with it."""
        limits = self._settings.roster.tenant(transition.tenant).limits
        parts: Iterable[Part] = ()
        if self._unexplained:
            self._unexplained -= 1
            parts = self.parts(f"{transition.tenant}/{transition.scope}", running.starts)
        found = contributors(target, transition.reason, parts, limits)
        if transition.to_state is not State.FIRING or not weighed_in_panes(target):
            return replace(transition, contributors=found)
        since = since_ms(target, running, limits)
        if since is not None:
            since -= self._delay_ms(target, transition.tenant, running)
        return replace(transition, contributors=found, slip_from_ms=since)

    def firing(self) -> Counter[str]:
        """Alerts that fire, by tenant; tenants whose alerts all rest are there with 0."""
        out: Counter[str] = Counter()
        for alert in self.alerts.values():
            ours = alert.subject.target in self._names or alert.subject.target in self._gone
            out[alert.subject.tenant] += ours and alert.state is State.FIRING
        return out
