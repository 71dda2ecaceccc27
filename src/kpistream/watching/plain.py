"""Plain: a view as lines of text, for a log or a pipe: a line for who has changed, now and then, and alerts.

At most one line for each agent, team or queue in `interval_ms`; the last change always gets its line.
"""

from typing import Final

from kpistream.core.acks import Ack
from kpistream.core.alerts import Transition
from kpistream.core.readings import Pacer, Reading
from kpistream.watching.figures import (
    COLUMNS,
    INBOUND,
    Mark,
    ack_words,
    alert_words,
    cell,
    clock,
    name_of,
    own_figures,
    state_words,
    words,
)
from kpistream.watching.view import View

INTERVAL_MS: Final = 30_000


class PlainLines:
    """Turns what a view takes in into lines. `wall_ms` comes from a clock that never goes back."""

    def __init__(self, view: View, zone: str = "UTC", interval_ms: int = INTERVAL_MS) -> None:
        self._view = view
        self._zone = zone
        self._pacer: Pacer[tuple[str, str]] = Pacer(interval_ms)
        self._latest: dict[tuple[str, str], Reading] = {}

    def put_reading(self, reading: Reading, wall_ms: int) -> list[str]:
        """Take a reading in; its line when one may be written now."""
        if not self._view.put_reading(reading) or not reading.measures:
            return []
        key = (reading.tenant, reading.scope)
        self._latest[key] = reading
        return [reading_line(reading, self._zone)] if self._pacer.changed(key, wall_ms) else []

    def put_transition(self, transition: Transition) -> list[str]:
        """Take a transition in; its line."""
        return [alert_line(transition, self._zone)] if self._view.put_transition(transition) else []

    def put_ack(self, ack: Ack, now_ms: int) -> list[str]:
        """Take in what somebody said of an alert; its line while the alert is not over."""
        transition = self._view.put_ack(ack)
        heard = None if transition is None else self._view.said(transition, now_ms)
        if transition is None or heard is None:
            return []
        return [f"{clock(ack.at_ms, self._zone)} {ack_words(*heard, self._zone)}: {alert_words(transition)}"]

    def due(self, wall_ms: int) -> list[str]:
        """Lines of those who have changed since their last line and have waited long enough."""
        return [reading_line(self._latest[key], self._zone) for key in self._pacer.due(wall_ms)]


def reading_line(reading: Reading, zone: str) -> str:
    """A reading in one line; what there is nothing of is left out."""
    parts = []
    for column in (*COLUMNS, *INBOUND):
        shown = cell(reading, column)
        if shown.lines == ("-",):
            continue
        mark = f" {shown.mark.value}" if shown.mark in (Mark.MET, Mark.MISSED) else ""
        parts.append(f"{column.title} {shown.lines[0]}{mark}")
    parts += [f"{name} {figure}" for name, figure in own_figures(reading, zone=zone).items()]
    team = f" ({reading.team})" if reading.team and not reading.scope.startswith("team:") else ""
    provisional = " provisional" if reading.provisional else ""
    at = clock(reading.as_of_ms, zone)
    return f"{at} {name_of(reading)}{team}, {words(reading.window)}{provisional}: {', '.join(parts)}"


def alert_line(transition: Transition, zone: str) -> str:
    """A transition in one line."""
    return f"{clock(transition.at_ms, zone)} alert {state_words(transition)}: {alert_words(transition)}"
