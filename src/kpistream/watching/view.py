"""View: the newest readings and transitions of a running system, and which of them to look at.

It keeps what it is given and computes nothing: every number was made where the events are. The latest
reading of a scope stands, whatever order they arrive in; a transition that arrives twice is one.
"""

from dataclasses import dataclass, field
from typing import Final

from kpistream.core.acks import Ack, Firing, still_said
from kpistream.core.alerts import State, Subject, Transition
from kpistream.core.readings import Reading
from kpistream.core.roster import UNASSIGNED
from kpistream.core.targets import TENANT_SCOPE, Why
from kpistream.core.windows import BUSINESS_DAY

STALE_S: Final = 10.0
"""Age of the newest reading from which on it is a warning, in seconds."""
_OVER_MS: Final = 3_600_000
"""A window that has ended longer ago than this is no longer shown."""
_KEPT_ALERTS: Final = 100
_ALARMED: Final = (State.PENDING, State.FIRING, State.RECOVERING)


@dataclass(frozen=True, slots=True)
class Choice:
    """What somebody wants to see."""

    window: str = BUSINESS_DAY
    tenant: str | None = None
    team: str | None = None
    agent: str | None = None

    def takes(self, reading: Reading) -> bool:
        """True for a reading that is to be shown."""
        return reading.window == self.window and self._whose(reading.tenant, reading.team, reading.scope)

    def takes_alert(self, transition: Transition) -> bool:
        """True for a transition that is to be shown; of every window."""
        return self._whose(transition.tenant, transition.team, transition.scope)

    def _whose(self, tenant: str, team: str | None, scope: str) -> bool:
        if self.tenant not in (None, tenant) or self.team not in (None, team):
            return False
        return self.agent is None or scope == f"agent:{self.agent}"


@dataclass(slots=True)
class Team:
    """The readings of one team."""

    tenant: str
    team: str
    total: Reading | None = None
    members: list[Reading] = field(default_factory=list)
    """Agents by name, then queues and campaigns."""

    @property
    def title(self) -> str:
        """The team's name to show."""
        return (self.total.display_name if self.total is not None else None) or self.team


class View:
    """The newest of everything."""

    def __init__(self, choice: Choice | None = None) -> None:
        self.choice = choice or Choice()
        self.newest_ms: int | None = None
        """When the newest reading was made, of any window; None before the first."""
        self._readings: dict[tuple[str, str], Reading] = {}
        self._alerts: dict[str, Transition] = {}
        self._standing: dict[Subject, Transition] = {}
        self._acks: dict[Subject, Ack] = {}
        self._firing = Firing()

    def put_reading(self, reading: Reading) -> bool:
        """Take a reading in; True when it is to be shown and newer than what was there."""
        self.newest_ms = max(self.newest_ms or 0, reading.as_of_ms)
        if not self.choice.takes(reading):
            return False
        key = (reading.tenant, reading.scope)
        known = self._readings.get(key)
        if known is not None and known.as_of_ms > reading.as_of_ms:
            return False
        self._readings[key] = reading
        return True

    def put_transition(self, transition: Transition) -> bool:
        """Take a transition in; True when it is to be shown and new."""
        if not self.choice.takes_alert(transition) or transition.alert_id in self._alerts:
            return False
        subject = Subject(transition.target, transition.tenant, transition.scope)
        if subject not in self._standing or self._standing[subject].sequence < transition.sequence:
            self._standing[subject] = transition
        self._alerts[transition.alert_id] = transition
        if len(self._alerts) > _KEPT_ALERTS:
            del self._alerts[min(self._alerts.values(), key=lambda each: each.at_ms).alert_id]
        return True

    def note(self, transition: Transition) -> None:
        """Take note of when an alert began to fire: of every record of the log, in its order."""
        self._firing.note(transition)

    def put_ack(self, ack: Ack) -> Transition | None:
        """Take in what somebody said; the alert that it is about when that is shown and not over."""
        subject = Subject(ack.target, ack.tenant, ack.scope)
        self._acks[subject] = ack
        transition = self._standing.get(subject)
        return None if transition is None or transition.to_state is State.OK else transition

    def said(self, transition: Transition, now_ms: int) -> tuple[Ack, tuple[str, ...]] | None:
        """What people said of an alert and still holds; None of nothing, and of what others have followed."""
        subject = Subject(transition.target, transition.tenant, transition.scope)
        ack = self._acks.get(subject)
        if ack is None or self._standing.get(subject) is not transition or transition.to_state is State.OK:
            return None
        found = still_said(ack, self._firing.since(transition), now_ms, self._firing.graver(transition))
        return (ack, found) if found else None

    def shown(self, now_ms: int) -> list[Reading]:
        """Readings that have something to show and whose window is not long over."""
        known = self._readings.values()
        return [r for r in known if (r.measures or _wants_attention(r)) and r.to_ms > now_ms - _OVER_MS]

    def teams(self, now_ms: int) -> list[Team]:
        """Readings by team: teams by name, those in no team last."""
        out: dict[tuple[str, str], Team] = {}
        for reading in self.shown(now_ms):
            if reading.scope == TENANT_SCOPE:
                continue
            team = reading.team or UNASSIGNED
            block = out.setdefault((reading.tenant, team), Team(reading.tenant, team))
            if reading.scope.startswith("team:"):
                block.total = reading
            else:
                block.members.append(reading)
        for block in out.values():
            block.members.sort(key=_by_name)
        return sorted(out.values(), key=lambda each: (each.tenant, each.team == UNASSIGNED, each.title))

    def tenants(self, now_ms: int) -> list[Reading]:
        """Readings of whole tenants."""
        found = [reading for reading in self.shown(now_ms) if reading.scope == TENANT_SCOPE]
        return sorted(found, key=lambda reading: reading.tenant)

    def alerts(self, count: int) -> list[Transition]:
        """The last transitions, newest first."""
        return sorted(self._alerts.values(), key=lambda each: (each.at_ms, each.alert_id), reverse=True)[:count]

    def firing(self) -> int:
        """How many alerts fire, of every window."""
        return sum(transition.to_state is State.FIRING for transition in self._standing.values())


def _by_name(reading: Reading) -> tuple[bool, str, str]:
    return not reading.scope.startswith("agent:"), reading.display_name or "", reading.scope


def _wants_attention(reading: Reading) -> bool:
    """True when a target is missed, or was a moment ago: also of somebody without a single call."""
    return any(each.state in _ALARMED or each.reason is Why.BEHIND_PACE for each in reading.targets.values())


def fires(reading: Reading) -> bool:
    """True when an alert on one of the reading's targets fires."""
    return any(target.state is State.FIRING for target in reading.targets.values())
