"""Book: the alerts of one review: where each stands, and what it was about last.

What history has comes first, then what the log has more: `kpi.alerts` is kept for 90 days, and an alert of a year must
not begin again at its first sequence. Nothing is changed here but by records that are durable.
"""

from collections import Counter
from collections.abc import Iterable

from kpistream.core.alerts import (
    Alert,
    Look,
    State,
    Subject,
    Transition,
    alert_after,
    as_it_was,
    good_news,
    step,
    take_from_log,
)
from kpistream.core.targets import BEST, NOT_COVERED, Judgement, Target
from kpistream.history.reviewing import REVIEWED, Reviewing

_AT_REST = (State.OK, State.SUSPENDED)


class Book:
    """By subject."""

    def __init__(self, reviewing: Reviewing) -> None:
        self.adopt(reviewing)
        self._alerts: dict[Subject, Alert] = {}
        self._targets: dict[Subject, Target] = {}
        """What each alert was about last."""

    def adopt(self, reviewing: Reviewing) -> None:
        """Judge by other settings; what stands still stands."""
        self._reviewing = reviewing
        self.judged = {target.name: target for some in reviewing.judged.values() for target in some}
        """Targets that are judged, by name."""
        self._elsewhere = {
            target.name for target in reviewing.settings.targets if target.alerts and target.window not in REVIEWED
        }
        """Targets that workers judge."""

    def __len__(self) -> int:
        return len(self._alerts)

    def take(self, transition: Transition) -> None:
        """A record of the log, or what was published: it is the state unless a later one is known."""
        subject = Subject(transition.target, transition.tenant, transition.scope)
        known = self._alerts.get(subject)
        mine = transition.target in self.judged or transition.target.endswith(BEST)
        if known is None and not mine and transition.window not in REVIEWED:
            return
        take_from_log(self._alerts, transition)
        if self._alerts[subject] is not known:
            self._targets[subject] = as_it_was(transition)

    def stepped(self, subject: Subject, look: Look, now_ms: int) -> list[Transition]:
        """The transition that a look makes, if any, and good news. They are not taken: publish them first."""
        alert = self._alerts.get(subject) or Alert(subject)
        transition = step(alert, look, now_ms)
        news = good_news(alert if transition is None else alert_after(transition), look, now_ms)
        return [each for each in (transition, news) if each is not None]

    def praised(self, subject: Subject, look: Look, now_ms: int) -> list[Transition]:
        """The record of a best day, unless it was told. It is not taken: publish it first."""
        news = good_news(self._alerts.get(subject) or Alert(subject), look, now_ms)
        return [] if news is None else [news]

    def left(self, now_ms: int) -> list[Transition]:
        """Suspends what stands of targets that have left the settings, or alarm nobody any more."""
        ours = self.judged.keys() | self._elsewhere
        return self._suspended([each for each in self._alerts if each.target not in ours], now_ms)

    def not_looked_at(self, tenant: str, name: str, looked: set[Subject], now_ms: int) -> list[Transition]:
        """Suspends what stands of a window's targets and no longer covers its scope, or of scopes that are gone."""
        mine = [
            subject
            for subject in self._alerts
            if subject.tenant == tenant and subject.target in self.judged and self.judged[subject.target].window == name
        ]
        return self._suspended([subject for subject in mine if subject not in looked], now_ms)

    def blind(self, judgement: Judgement, now_ms: int) -> list[Transition]:
        """There is no data for whatever stands."""
        out: list[Transition] = []
        for subject, alert in self._alerts.items():
            target = self.judged.get(subject.target)
            if target is not None and alert.state not in (*_AT_REST, State.NO_DATA):
                window = self._reviewing.window_of(subject, target.window, now_ms)
                out += self.stepped(subject, Look(target, judgement, window), now_ms)
        return out

    def firing(self) -> Counter[str]:
        """Alerts that fire, by tenant."""
        out: Counter[str] = Counter()
        for alert in self._alerts.values():
            out[alert.subject.tenant] += alert.state is State.FIRING
        return out

    def _suspended(self, subjects: Iterable[Subject], now_ms: int) -> list[Transition]:
        out: list[Transition] = []
        for subject in subjects:
            target = self.judged.get(subject.target, self._targets[subject])
            if target.window in REVIEWED and self._alerts[subject].state not in _AT_REST:
                window = self._reviewing.window_of(subject, target.window, now_ms)
                out += self.stepped(subject, Look(target, NOT_COVERED, window), now_ms)
        return out
