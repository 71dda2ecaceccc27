"""Episodes: the last one of each alert, and which of them are to be judged again because an earlier pane has changed.

They are found again in the log of alerts, so a correction that came while nobody looked is seen at the next start.
"""

from collections.abc import Iterable
from itertools import islice

from kpistream.core.alerts import RESTING, Alert, State, Subject, Transition
from kpistream.core.correcting import Episode
from kpistream.core.targets import Why

_OPEN = (State.FIRING, State.RECOVERING)
_MISSED = (Why.BELOW_BOUND, Why.ABOVE_BOUND, Why.BEHIND_PACE)


class Episodes:
    """By subject."""

    def __init__(self) -> None:
        self._episodes: dict[Subject, Episode] = {}
        self._by_key: dict[str, set[Subject]] = {}
        """Subjects by `tenant/scope`."""
        self._due: dict[Subject, None] = {}

    def __getitem__(self, subject: Subject) -> Episode:
        return self._episodes[subject]

    def take(self, alert: Alert, transition: Transition) -> None:
        """A transition of an alert that stood so before."""
        subject = alert.subject
        was = alert.before if alert.state in RESTING.values() else alert.state
        next_day = transition.alpha is not None and transition.window_from_ms > alert.window_from_ms
        anew = was not in _OPEN or (next_day and transition.reason in _MISSED)
        if transition.corrects is not None:
            self.drop(subject)
        elif transition.to_state is State.FIRING and anew:
            self._episodes[subject] = Episode(transition)
            self._by_key.setdefault(_key(subject), set()).add(subject)
        elif subject in self._episodes and transition.before not in _OPEN:
            episode = self._episodes[subject]
            if episode.over_ms is None:
                self._episodes[subject] = episode._replace(over_ms=transition.at_ms)

    def drop(self, subject: Subject) -> None:
        """Nothing can be said of it any more."""
        self._due.pop(subject, None)
        if self._episodes.pop(subject, None) is not None:
            subjects = self._by_key[_key(subject)]
            subjects.discard(subject)
            if not subjects:
                del self._by_key[_key(subject)]

    def all_due(self) -> None:
        """Anything may have changed."""
        self._due.update(dict.fromkeys(self._episodes))

    def changed(self, places: Iterable[tuple[str, int]], over_before_ms: int) -> None:
        """Panes that have changed; only those that were over by then correct anything."""
        if not self._by_key:
            return
        for key, start_ms in places:
            if start_ms >= over_before_ms:
                continue
            for subject in self._by_key.get(key, ()):
                if start_ms >= self._episodes[subject].fired.window_from_ms:
                    self._due[subject] = None

    def take_due(self, most: int, limit_ms: int) -> list[Subject]:
        """Subjects to judge again, at most so many; the rest comes next time.

        Those of windows that begin before the limit are dropped: their panes are closed. After a start most are such.
        """
        if len(self._due) > most:
            self.forget_before(limit_ms)
        found = list(islice(self._due, most))
        for subject in found:
            del self._due[subject]
        return found

    def later(self, subject: Subject) -> None:
        """Judge it again once more is known."""
        self._due[subject] = None

    def forget_before(self, limit_ms: int) -> None:
        """Drop those of windows of which panes are closed."""
        for subject in [each for each, it in self._episodes.items() if it.fired.window_from_ms < limit_ms]:
            self.drop(subject)


def _key(subject: Subject) -> str:
    return f"{subject.tenant}/{subject.scope}"
