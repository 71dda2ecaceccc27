"""Story: a day on the floor as lines of text, played through the windows, targets and alerts of the worker.

    on 2026-03-02 in Europe/Berlin
    at 09:00 ann has 40 calls, 12 connected of 3 m
    from 09:00 to 12:00 ann has 1 call every 5 m, 1 connected
    at 11:00 ann loses 4 connected
    at 11:05 ann regains what was lost
    at 11:10 ann had 12 calls at 10:00, 12 connected
    at 11:30 the worker is killed
    between 10:00 and 10:02 expect connects of ann firing because below-bound
    at 12:00 expect connects of ann ok
    never expect calls of bob firing

There is no real time in it: the clock is a number; the floor is looked at every 30 s and whenever something happens.
Every firing must be expected by a `between`: what nobody has foretold fails the story.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from kpistream.core import measures as m
from kpistream.core.alerts import State, Subject, Transition, encode_transition
from kpistream.core.readings import About
from kpistream.core.settings import Settings, read_settings
from kpistream.core.settings_values import duration_ms
from kpistream.core.tallies import NOTHING, pack_tally
from kpistream.core.windows import local_ms
from kpistream.stream.judging import AGENT_KINDS, Bench
from kpistream.stream.live import LiveWindows, scope_window
from kpistream.stream.showing import Known, Show

PANE_MS: Final = 300_000
LOOK_MS: Final = 30_000
_CLOCK: Final = r"(\d\d:\d\d)"
_DID: Final = r"(\d+) calls?(?: every (\d+ m))?, (\d+) connected(?: of (.+))?"


@dataclass(frozen=True)
class Expected:
    """What somebody has foretold."""

    line: str
    target: str
    who: str
    state: State
    from_ms: int
    to_ms: int
    reason: str | None = None


@dataclass
class Story:
    """A day; `play` it. Raises AssertionError with the line that did not come true, and with what happened instead."""

    settings: Settings
    _panes: dict[str, dict[int, m.Tally]] = field(default_factory=dict)
    _steps: list[tuple[int, Callable[[int], list[tuple[str, int]]]]] = field(default_factory=list)
    _within: list[Expected] = field(default_factory=list)
    _standing: list[Expected] = field(default_factory=list)
    _never: list[Expected] = field(default_factory=list)
    _lost: list[tuple[int, int]] = field(default_factory=list)
    log: list[Transition] = field(default_factory=list)
    _day: date = date(2026, 3, 2)
    _zone: str = "UTC"

    def play(self, text: str) -> "Story":
        """Read the lines and let the day pass."""
        for line in filter(None, map(str.strip, text.splitlines())):
            self._read(line)
        begin_ms, end_ms = self._at("00:00"), self._at("00:00") + 24 * 3_600_000
        moments = {at_ms for at_ms, _ in self._steps} | {each.from_ms for each in self._standing}
        self._restart()
        for now_ms in sorted({*range(begin_ms, end_ms, LOOK_MS), *moments}):
            changed = [place for at_ms, step in self._steps if at_ms == now_ms for place in step(now_ms)]
            self._look(now_ms, changed)
            for each in self._standing:
                if each.from_ms == now_ms:
                    alert = self._bench.alerts.get(Subject(each.target, "acme", f"agent:{each.who}"))
                    state = State.OK if alert is None else alert.state
                    assert state is each.state, f"{each.line}: it is {state}\n{self.told()}"
        self._check()
        return self

    def told(self) -> str:
        """What happened, a line each."""
        zero_ms, lines = self._at("00:00"), []
        for each in self.log:
            minute = (each.at_ms - zero_ms) // 60_000
            why = f"{each.reason}, {each.numerator} of {each.denominator}"
            lines.append(f"  {minute // 60:02}:{minute % 60:02} {each.target} of {each.scope}: {each.to_state} ({why})")
        return "\n".join(lines)

    # ---- reading

    def _read(self, line: str) -> None:
        for pattern, take in (
            (r"on (\S+) in (\S+)", self._set),
            (rf"at {_CLOCK} (\w+) has {_DID}", self._once),
            (rf"from {_CLOCK} to {_CLOCK} (\w+) has {_DID}", self._again),
            (rf"at {_CLOCK} (\w+) had (\d+) calls? at {_CLOCK}, (\d+) connected", self._late),
            (rf"at {_CLOCK} (\w+) regains what was lost", self._regain),
            (rf"at {_CLOCK} (\w+) loses (\d+) connected", self._lose),
            (rf"at {_CLOCK} the worker is killed", self._kill),
            (rf"between {_CLOCK} and {_CLOCK} expect (\S+) of (\w+) (\S+)(?: because (\S+))?", self._expect),
            (rf"at {_CLOCK} expect (\S+) of (\w+) (\S+)", self._expect_at),
            (r"never expect (\S+) of (\w+) (\S+)", self._expect_never),
        ):
            found = re.fullmatch(pattern, line)
            if found is not None:
                take(line, *found.groups())
                return
        raise AssertionError(f"nobody understands: {line}")

    def _at(self, clock: str) -> int:
        hours, minutes = map(int, clock.split(":"))
        return local_ms(self._day, self._zone, 60 * hours + minutes)

    def _set(self, _: str, day: str, zone: str) -> None:
        self._day, self._zone = date.fromisoformat(day), zone

    def _once(self, line: str, clock: str, who: str, calls: str, every: str | None, won: str, talk: str | None) -> None:
        assert every is None, line
        self._add(self._at(clock), who, int(calls), int(won), talk)

    def _again(self, line: str, begin: str, end: str, who: str, *did: str | None) -> None:
        calls, every, won, talk = did
        assert every is not None and calls is not None and won is not None, line
        for at_ms in range(self._at(begin), self._at(end), duration_ms(every)):
            self._add(at_ms, who, int(calls), int(won), talk)

    def _add(self, at_ms: int, who: str, calls: int, won: int, talk: str | None, ended_ms: int | None = None) -> None:
        """Calls that come at an instant, and ended then or before."""
        start_ms = (at_ms if ended_ms is None else ended_ms) // PANE_MS * PANE_MS
        talk_ms = duration_ms(talk or "3 m")
        tally = {
            m.CALLS: calls,
            m.OUTBOUND_CALLS: calls,
            m.CONNECTED: won,
            m.OUTBOUND_CONNECTED: won,
            m.TALK_MS: won * talk_ms,
            m.TALK_SQ_MS2: won * talk_ms * talk_ms,
            m.talk_bin(talk_ms): won,
        }
        self._steps.append((at_ms, lambda _: self._change(who, start_ms, tally)))

    def _lose(self, _: str, clock: str, who: str, count: str) -> None:
        """A correction: so many calls of the day were not connected after all, the earliest ones."""

        def lose(now_ms: int) -> list[tuple[str, int]]:
            left, changed = int(count), []
            for start_ms, tally in sorted(self._panes[f"acme/agent:{who}"].items()):
                some = min(left, tally.get(m.CONNECTED, 0))
                left -= some
                changed += self._change(who, start_ms, {m.CONNECTED: -some, m.OUTBOUND_CONNECTED: -some})
                self._lost.append((start_ms, some))
            return changed

        self._steps.append((self._at(clock), lose))

    def _regain(self, _: str, clock: str, who: str) -> None:
        """A correction of the correction."""

        def regain(now_ms: int) -> list[tuple[str, int]]:
            lost, self._lost = self._lost, []
            regained = [(start_ms, {m.CONNECTED: some, m.OUTBOUND_CONNECTED: some}) for start_ms, some in lost]
            return [place for start_ms, tally in regained for place in self._change(who, start_ms, tally)]

        self._steps.append((self._at(clock), regain))

    def _late(self, _: str, clock: str, who: str, calls: str, then: str, won: str) -> None:
        """Calls that come late: they count where they happened."""
        then_ms = self._at(then)
        self._add(self._at(clock), who, int(calls), int(won), None, then_ms)

    def _kill(self, _: str, clock: str) -> None:
        def kill(now_ms: int) -> list[tuple[str, int]]:
            self._restart()
            return [(key, start_ms) for key, panes in self._panes.items() for start_ms in panes]

        self._steps.append((self._at(clock), kill))

    def _expect(self, line: str, begin: str, end: str, *what: str) -> None:
        target, who, state, reason = what
        self._within.append(Expected(line, target, who, State(state), self._at(begin), self._at(end), reason))

    def _expect_at(self, line: str, clock: str, target: str, who: str, state: str) -> None:
        self._standing.append(Expected(line, target, who, State(state), self._at(clock), self._at(clock)))

    def _expect_never(self, line: str, target: str, who: str, state: str) -> None:
        self._never.append(Expected(line, target, who, State(state), 0, 1 << 62))

    # ---- playing

    def _restart(self) -> None:
        """A worker that knows the panes, and of its alerts what the log says."""
        roster = self.settings.roster
        live = LiveWindows(PANE_MS, scope_window(roster, PANE_MS))
        self._bench = Bench(self.settings, self._about, AGENT_KINDS)
        self._bench.load(map(encode_transition, self.log))
        self._show = Show(live, self._bench)
        live.keep(f"acme/agent:{agent}" for agent in roster.tenant("acme").people)

    def _look(self, now_ms: int, changed: list[tuple[str, int]]) -> None:
        again = True
        while again:
            _, transitions = self._show.look(now_ms, changed, self, Known(0, True))
            self.log += transitions
            changed, again = [], self._show.behind

    def _about(self, key: str, now_ms: int) -> About:
        agent = key.partition(":")[2]
        return About("acme", f"agent:{agent}", self.settings.roster.team_of("acme", agent, now_ms))

    def _change(self, who: str, start_ms: int, tally: m.Tally) -> list[tuple[str, int]]:
        key = f"acme/agent:{who}"
        held = self._panes.setdefault(key, {}).setdefault(start_ms, {})
        for number, value in tally.items():
            held[number] = held.get(number, 0) + value
        return [(key, start_ms)]

    def starts_of(self, key: str) -> Iterable[int]:
        """Starts of an agent's panes."""
        return list(self._panes.get(key, ()))

    def packed_at(self, key: str, start_ms: int) -> bytes:
        """The packed sums of an agent's pane."""
        tally = {number: value for number, value in self._panes.get(key, {}).get(start_ms, {}).items() if value}
        return pack_tally(tally) if tally else NOTHING

    # ---- checking

    def _check(self) -> None:
        foretold: set[str] = set()
        for each in self._within:
            found = [one for one in self.log if _same(each, one) and each.from_ms <= one.at_ms <= each.to_ms]
            assert found, f"{each.line}: it did not happen\n{self.told()}"
            foretold |= {one.alert_id for one in found}
        for each in self._never:
            found = [one for one in self.log if _same(each, one)]
            assert not found, f"{each.line}: it happened\n{self.told()}"
        fired = {one.alert_id for one in self.log if one.to_state is State.FIRING}
        assert fired <= foretold, f"nobody has foretold {sorted(fired - foretold)}\n{self.told()}"


def _same(each: Expected, one: Transition) -> bool:
    reason = each.reason in (None, str(one.reason))
    return (one.target, one.scope, one.to_state) == (each.target, f"agent:{each.who}", each.state) and reason


def tell(settings: str, text: str) -> Story:
    """Play a story on settings in YAML."""
    return Story(read_settings({"settings.yaml": settings})).play(text)
