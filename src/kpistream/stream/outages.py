"""Outages: the alerts of the sources of one partition's tenants, one alert a source whoever works where.

Who follows a tenant's sums knows which panes hold events of which source, so the owner of that partition is the one
that judges. It says that a source is silent only of a time by which everything is known: what was sent before has gone
through the workers and is here. No I/O: the caller hands in panes and publishes what comes out.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from msgspec.structs import replace

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
from kpistream.core.outages import (
    GIVEN_UP,
    KEPT_MS,
    OUTAGE_TARGET,
    SILENT_MS,
    SOURCE_KIND,
    Crew,
    Heard,
    Silence,
    allowed_ms,
    heard_again,
    judged,
    outage_target,
    quiet,
    source_scope,
    usual_ms,
)
from kpistream.core.readings import About
from kpistream.core.schedules import Duty
from kpistream.core.settings import Settings
from kpistream.core.targets import Judgement, Verdict
from kpistream.core.windows import Window
from kpistream.stream.rota import Rota

_EVERY_MS: Final = 10_000
"""How often a source that is not heard is judged."""
_ASKED_A_LOOK: Final = 50
"""Schedules that one look may ask, about 5 ms; all other duties are remembered."""
_Source = tuple[str, str]
"""Tenant and source."""


class Outages:
    """The sources of one partition of the sums, and their alerts."""

    def __init__(self, settings: Settings, pane_ms: int) -> None:
        self._settings = settings
        self._pane_ms = pane_ms
        self._rota = Rota(settings.schedules)
        self._heard: dict[str, dict[str, Heard]] = {}
        """By tenant, then source."""
        self._kept_from_ms = -1
        self._alerts: dict[Subject, Alert] = {}
        self._loaded = False
        self._judged_ms: dict[_Source, int] = {}
        """When a source that is not heard was judged last."""
        self._usual: dict[_Source, tuple[int, int | None]] = {}
        """Of a source: of how many panes it was reckoned, and the usual silence."""
        self.suspects: set[_Source] = set()
        """Sources that seem to be silent: it is to be found out whether all that was sent is known."""

    def load(self, values: Iterable[bytes]) -> None:
        """Start from the states in the log."""
        transitions = map(decode_transition, values)
        self._alerts = states_from_log(each for each in transitions if each.scope.partition(":")[0] == SOURCE_KIND)
        self._loaded = True

    def adopt(self, settings: Settings) -> None:
        """Judge by other settings from the next look on."""
        self._settings = settings
        self._rota.adopt(settings.schedules)
        self._judged_ms.clear()
        self.suspects.clear()

    def note(self, tenant: str, scope: str, start_ms: int, sources: Iterable[str]) -> None:
        """A pane of a scope holds events of these sources."""
        if start_ms < self._kept_from_ms:
            return
        by_source = self._heard.get(tenant)
        if by_source is None:
            by_source = self._heard[tenant] = {}
        for source in tuple(sources) or tuple(by_source):  # an earlier version names none: it may be any of them
            heard = by_source.get(source)
            if heard is None:
                heard = by_source[source] = Heard()
            heard.note(scope, start_ms)

    def forget(self, now_ms: int) -> None:
        """Drop what is older than is kept; looks at all of it once for each pane of time."""
        limit_ms = (now_ms - KEPT_MS) // self._pane_ms * self._pane_ms
        if limit_ms == self._kept_from_ms:
            return
        self._kept_from_ms = limit_ms
        for by_source in self._heard.values():
            for source, heard in list(by_source.items()):
                heard.forget_before(limit_ms)
                if not heard.starts:
                    del by_source[source]

    def look(self, now_ms: int, whole_to_ms: int | None) -> list[Transition]:
        """What has changed.

        `whole_to_ms`: all that was sent before is known; None where nobody has found out, or not lately.
        """
        if not self._loaded:
            return []
        out: list[Transition] = []
        for tenant, source in list(self._sources()):
            transition = self._look(tenant, source, now_ms, whole_to_ms)
            if transition is not None:
                self._alerts[self._subject(tenant, source)] = alert_after(transition)
                out.append(transition)
        return out

    @property
    def silent(self) -> dict[_Source, bool]:
        """Sources that are known, and whether they are silent."""
        found = dict.fromkeys(self._sources(), False)
        for subject, alert in self._alerts.items():
            found[subject.tenant, subject.scope.partition(":")[2]] = alert.state in (State.FIRING, State.RECOVERING)
        return found

    def _sources(self) -> Iterator[_Source]:
        """Those that were heard, and those with an alert that is not over."""
        seen = {(tenant, source) for tenant, by_source in self._heard.items() for source in by_source}
        open_ = (subject for subject, alert in self._alerts.items() if alert.state is not State.OK)
        yield from seen | {(subject.tenant, subject.scope.partition(":")[2]) for subject in open_}

    def _subject(self, tenant: str, source: str) -> Subject:
        return Subject(OUTAGE_TARGET, tenant, source_scope(source))

    def _look(self, tenant: str, source: str, now_ms: int, whole_to_ms: int | None) -> Transition | None:
        subject, me = self._subject(tenant, source), (tenant, source)
        alert = self._alerts.get(subject) or Alert(subject)
        heard = self._heard.get(tenant, {}).get(source, Heard())
        last_ms = heard.newest_ms + self._pane_ms
        if alert.state is State.OK and now_ms < last_ms:
            self.suspects.discard(me)
            return None  # the usual case, which costs nothing
        may_be_ms = self._allowed_ms(tenant, source, heard)
        if may_be_ms is None or not heard.starts:
            self.suspects.discard(me)
            return self._step(alert, SILENT_MS, Window(alert.window_from_ms, now_ms), GIVEN_UP, now_ms)
        silence = Silence(min(last_ms, now_ms), now_ms, may_be_ms)
        if not quiet(silence):
            self.suspects.discard(me)
            if alert.state is State.OK:
                return None
            return self._step(alert, may_be_ms, Window(silence.last_ms, now_ms), heard_again(silence), now_ms)
        if 0 <= now_ms - self._judged_ms.get(me, -_EVERY_MS) < _EVERY_MS and me not in self.suspects:
            return None
        return self._judge(alert, heard, silence, whole_to_ms)

    def _judge(self, alert: Alert, heard: Heard, silence: Silence, whole_to_ms: int | None) -> Transition | None:
        now_ms, tenant = silence.until_ms, alert.subject.tenant
        me = (tenant, alert.subject.scope.partition(":")[2])
        crew = self._crew(tenant, heard, now_ms)
        if crew is None:
            return None  # the next look asks on
        self._judged_ms[me] = now_ms

        def duty(agent: str, at_ms: int) -> Duty:
            return self._settings.schedules.duty(tenant, agent, at_ms)

        judgement = judged(silence, crew, duty, self._pane_ms)
        self.suspects.discard(me)
        if judgement.verdict is Verdict.TOO_LITTLE and alert.state is State.SUSPENDED:
            return None  # work has begun: it may still come
        if judgement.verdict is Verdict.MISSED and alert.state is not State.FIRING:
            self.suspects.add(me)
            if whole_to_ms is None or not quiet(silence._replace(until_ms=whole_to_ms)):
                return None
            judgement = judged(silence._replace(until_ms=whole_to_ms), crew, duty, self._pane_ms)
            self.suspects.discard(me)
        window = Window(silence.last_ms, now_ms)
        found = self._step(alert, silence.allowed_ms, window, judgement, now_ms)
        if found is None:
            return None
        since_ms = silence.last_ms if found.to_state is State.FIRING else None
        return replace(found, hidden=crew.hidden, slip_from_ms=since_ms)

    def _step(
        self, alert: Alert, allowed_ms: int, window: Window, judgement: Judgement, now_ms: int
    ) -> Transition | None:
        source = alert.subject.scope.partition(":")[2]
        look = Look(outage_target(allowed_ms), judgement, window, display_name=source)
        if judgement is GIVEN_UP and alert.state in (State.OK, State.SUSPENDED):
            return None
        return step(alert, look, now_ms)

    def _allowed_ms(self, tenant: str, source: str, heard: Heard) -> int | None:
        def usual() -> int | None:
            count, found_ms = self._usual.get((tenant, source), (-1, None))
            if count != len(heard.starts):
                everybody = (start_ms for each in self._heard.get(tenant, {}).values() for start_ms in each.starts)
                found_ms = usual_ms(heard.starts, everybody, self._pane_ms)
                self._usual[tenant, source] = len(heard.starts), found_ms
            return found_ms

        return allowed_ms(self._settings.roster.tenant(tenant), source, usual)

    def _crew(self, tenant: str, heard: Heard, now_ms: int) -> Crew | None:
        """Who is at work; None when too many are not remembered: the next look asks on."""
        on_shift: list[str] = []
        others: list[str] = []
        on_break = asked = 0
        for agent in heard.agents:
            about = About(tenant, f"agent:{agent}")
            if not self._rota.remembers(about, now_ms):
                if asked == _ASKED_A_LOOK:
                    return None
                asked += 1
            duty = self._rota.duty(about, now_ms)
            (on_shift if duty is Duty.ON_SHIFT else others).append(agent)
            on_break += duty is Duty.BREAK
        return Crew(tuple(on_shift), on_break, tuple(others))
