"""Receivers and routes: who is told of which transitions, when, and through which channel, as data.

A receiver has one channel. Secrets are named here, never held: `Secret` says in which variable or file one is.
What holds for a transition is a function of its fields alone, so that a restart decides the same again.
"""

from collections.abc import Mapping
from datetime import date
from typing import Final, NamedTuple

from kpistream.core.alerts import State, Transition
from kpistream.core.patterns import NO_WEEK, Hours
from kpistream.core.results import Result
from kpistream.core.spans import clip, union
from kpistream.core.targets import BEST, Severity, Why
from kpistream.core.windows import business_date, local_ms

SECOND_MS: Final = 1000
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
LOCALES: Final = ("en", "zh_CN")
DEFAULT_LOCALE: Final = "en"


class Secret(NamedTuple):
    """Where a secret is."""

    kind: str
    """`env` or `file`."""
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


Text = str | Secret


class Webhook(NamedTuple):
    """A signed POST with a CloudEvent."""

    url: Text
    secret: Secret
    allow_internal: bool = False


class Mail(NamedTuple):
    """A mail by SMTP."""

    to: tuple[str, ...]
    sender: str
    host: str
    port: int
    tls: str = "starttls"
    """`starttls`, `tls` from the first byte on, or `none`."""
    user: str | None = None
    password: Secret | None = None


class Alertmanager(NamedTuple):
    """The API v2 of a Prometheus Alertmanager, which groups, repeats and silences itself."""

    url: str
    user: str | None = None
    password: Secret | None = None


class Chat(NamedTuple):
    """A chat through the library apprise."""

    service: str
    url: Secret
    """The address that the service gives for posting, which is a secret as a whole."""
    secret: Secret | None = None
    """Key of a signature, for services that ask for one."""


Channel = Webhook | Mail | Alertmanager | Chat
CHATS: Final = ("slack", "teams", "dingtalk", "feishu", "wecom")


class Quiet(NamedTuple):
    """Hours of the receiver's zone in which nothing is sent; what waited comes as one digest."""

    week: tuple[Hours, ...] = NO_WEEK
    unless: frozenset[Severity] = frozenset()

    def ends_ms(self, now_ms: int, zone: str) -> int | None:
        """When the quiet hours end that hold now; None when none do. At most a week later."""
        days = _days_around(now_ms, zone, 10)
        spans = union(span for day in days for span in self.week[day.weekday()].spans(day, zone))
        found = clip(spans, now_ms, local_ms(days[-1], zone, 0))
        return found[0].to_ms if found and found[0].from_ms == now_ms else None

    def next_end_ms(self, after_ms: int, zone: str) -> int | None:
        """When quiet hours end next after an instant; None when they never do, or there are none."""
        days = _days_around(after_ms, zone, 15)
        spans = union(span for day in days for span in self.week[day.weekday()].spans(day, zone))
        last_ms = local_ms(days[-1], zone, 0)
        return next((span.to_ms for span in spans if after_ms < span.to_ms < last_ms), None)


ALL_WEEK: Final = frozenset(range(7))


class At(NamedTuple):
    """A time of day on some weekdays, 0 for Monday."""

    minute: int
    weekdays: frozenset[int] = ALL_WEEK
    """Empty: never."""

    def after_ms(self, after_ms: int, zone: str) -> int | None:
        """The next such time after an instant."""
        days = [day for day in _days_around(after_ms, zone, 9) if day.weekday() in self.weekdays]
        times = (local_ms(day, zone, self.minute) for day in days)
        return next((at_ms for at_ms in times if at_ms > after_ms), None)


def _days_around(at_ms: int, zone: str, count: int) -> list[date]:
    """So many dates of a zone in a row, from the one before an instant's."""
    first = business_date(at_ms, zone).toordinal() - 1
    return [date.fromordinal(first + n) for n in range(count)]


class Rate(NamedTuple):
    """At most so many messages in so long a time."""

    messages: int
    per_ms: int


class Receiver(NamedTuple):
    """Somebody who is told, through one channel."""

    name: str
    channel: Channel
    locale: str = DEFAULT_LOCALE
    zone: str = "UTC"
    resolved: bool = True
    """Told when what it was told of is over."""
    states: frozenset[State] = frozenset((State.FIRING, State.NO_DATA, State.SUSPENDED))
    """Told when an alert comes to one of these; of resting ones only when it was told of the slip."""
    quiet: Quiet | None = None
    rate: Rate | None = None
    timeout_ms: int = 10 * SECOND_MS
    results: At | None = None
    """When it is told of results; None: after its quiet hours, and not at all without any."""
    good_news: bool = False
    """Told that a target is reached, and of recoveries also when it was not told of the slip."""
    bad_news: bool = True
    """Told of alerts; else of good news only."""

    @property
    def keeps_state(self) -> bool:
        """True for a channel that must hear again and again what fires, and groups and repeats itself."""
        return isinstance(self.channel, Alertmanager)


class Match(NamedTuple):
    """Which transitions are meant; an empty part means all."""

    tenant: frozenset[str] = frozenset()
    team: frozenset[str] = frozenset()
    kpi: frozenset[str] = frozenset()
    target: frozenset[str] = frozenset()
    severity: frozenset[str] = frozenset()
    scope: frozenset[str] = frozenset()
    """Kinds: `agent`, `team`, `tenant`, `source`."""
    agent: frozenset[str] = frozenset()

    def takes(self, transition: Transition | Result) -> bool:
        """True when the transition, or the result, is meant; a best day is meant by the name of its target."""
        kind, _, name = transition.scope.partition(":")
        target, best = transition.target, transition.reason is Why.PERSONAL_BEST
        found = (
            transition.tenant,
            transition.team or "",
            transition.kpi,
            target.removesuffix(BEST) if best else target,
            str(transition.severity),
            kind,
            name if kind == "agent" else "",
        )
        return all(not wanted or value in wanted for wanted, value in zip(self, found, strict=True))


LABELS: Final = ("tenant", "team", "kpi", "target", "severity", "scope", "agent")
"""What alerts are grouped by, and compared by where one silences another."""


def label_of(transition: Transition, label: str) -> str:
    """Value of a label; empty where a transition has none."""
    kind, _, name = transition.scope.partition(":")
    if label == "scope":
        return kind
    if label == "agent":
        return name if kind == "agent" else ""
    return str(getattr(transition, label) or "")


class Escalation(NamedTuple):
    """Who is told when nobody has acknowledged for so long."""

    after_ms: int
    to: tuple[str, ...]


class Route(NamedTuple):
    """For some transitions: who is told, and how it is bundled and repeated."""

    match: Match = Match()
    to: tuple[str, ...] = ()
    group_by: tuple[str, ...] = ("tenant", "team", "target")
    group_wait_ms: int = 30 * SECOND_MS
    group_interval_ms: int = 5 * MINUTE_MS
    repeat_ms: int | None = 4 * HOUR_MS
    """None: told once."""
    escalate: tuple[Escalation, ...] = ()
    """In order of time."""
    goes_on: bool = False
    """Later routes are asked, too."""


class Inhibition(NamedTuple):
    """While an alert of one kind fires or is without data, those of another kind with the same labels are held."""

    when: Match
    silences: Match
    equal: tuple[str, ...] = ("tenant",)


SOURCE_OUTAGE: Final = Inhibition(Match(scope=frozenset(("source",))), Match(scope=frozenset(("agent", "team"))))
"""Holds always: a source that is silent silences what is said of its agents and teams."""


class Notify(NamedTuple):
    """The notification settings of an installation."""

    receivers: Mapping[str, Receiver] = {}
    routes: tuple[Route, ...] = ()
    inhibitions: tuple[Inhibition, ...] = (SOURCE_OUTAGE,)

    def routes_of(self, transition: Transition | Result) -> tuple[Route, ...]:
        """The routes that hold for one of these: the first that matches, and further ones while they go on."""
        out: list[Route] = []
        for route in self.routes:
            if route.match.takes(transition):
                out.append(route)
                if not route.goes_on:
                    break
        return tuple(out)
