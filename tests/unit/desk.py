"""A desk to try a dispatcher at: settings out of YAML, a clock that is moved by hand, and the log of its records."""

from collections.abc import Callable

from kpistream.core.acks import Ack
from kpistream.core.alerts import Transition
from kpistream.core.dispatch import Dispatcher, Silenced
from kpistream.core.errands import Message, decode
from kpistream.core.receivers import MINUTE_MS, Notify
from kpistream.core.settings import read_settings
from tests.unit.telling import NOON_MS

ROSTER = "tenants: {acme: {zone: Europe/Berlin, teams: {north: {}, south: {}}}}"
CHAT = "chat: {service: slack, url: {env: A}}"


def settings(receivers: str, routes: str, more: str = "") -> Notify:
    """Settings with these receivers and routes, in YAML's flow style."""
    text = f"notify:\n  receivers: {{{receivers}}}\n  routes: [{routes}]\n{more}"
    return read_settings({"roster.yaml": ROSTER, "notify.yaml": text}).notify


class Desk:
    """One dispatcher with its clock, and what it has sent."""

    def __init__(self, found: Notify, now_ms: int = NOON_MS) -> None:
        self.settings = found
        self.now_ms = now_ms
        self.log: dict[str, bytes] = {}
        self.acks: dict[str, Ack] = {}
        self.sent: list[Message] = []
        self.silenced: list[Silenced] = []
        self.dispatcher = Dispatcher(found)

    def take(self, *transitions: Transition) -> None:
        """Transitions of the alert log."""
        for each in transitions:
            self.dispatcher.take(each, self.now_ms)
        self.save()

    def ack(self, ack: Ack) -> None:
        """A word of somebody."""
        self.acks[ack.key] = ack
        self.dispatcher.ack(ack)

    def save(self) -> None:
        """What a role does before anything else happens."""
        for key, value in self.dispatcher.changes():
            if value is None:
                self.log.pop(key, None)
            else:
                self.log[key] = value
        self.silenced += self.dispatcher.silenced
        self.dispatcher.silenced.clear()

    def kill(self) -> None:
        """The process is gone; the next one has the records only."""
        records = [decode(key, value) for key, value in self.log.items()]
        self.dispatcher = Dispatcher(self.settings, records, self.acks.values())
        self.dispatcher.reroute(self.now_ms)

    def turn(self, deliver: Callable[[Message], bool] = lambda _: True) -> list[Message]:
        """Everything that is due now, to all receivers."""
        out: list[Message] = []
        for name in self.settings.receivers:
            while (message := self.dispatcher.next(name, self.now_ms)) is not None:
                self.save()
                if deliver(message):
                    out.append(message)
                    self.dispatcher.sent(message, self.now_ms)
                elif not self.dispatcher.failed(message, self.now_ms):
                    self.dispatcher.give_up(message, self.now_ms)
                self.save()
        self.save()
        self.sent += out
        return out

    def wait(self, ms: int, step_ms: int = MINUTE_MS) -> list[Message]:
        """All that is sent while so much time passes."""
        out: list[Message] = []
        end_ms = self.now_ms + ms
        while self.now_ms < end_ms:
            self.now_ms = min(end_ms, self.now_ms + step_ms)
            out += self.turn()
        return out


def told(messages: list[Message]) -> list[tuple[str, str, list[str]]]:
    """Receiver, kind and ids of each message."""
    return [(each.receiver, str(each.kind), [entry.transition.alert_id for entry in each.entries]) for each in messages]
