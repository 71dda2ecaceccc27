"""Laws of telling people, over random alerts, words, failures and kills.

Nothing is silent without a name: every firing transition reaches each receiver that is routed, or a `Silence` says
why not. Nothing is told twice: a receiver hears of a transition once, but for repeats, which say so; when a process
is killed between delivery and note, the same message comes again under the same id.
"""

from collections import Counter
from typing import Any

from hypothesis import example, given, note
from hypothesis import strategies as st

from kpistream.core.acks import Said, acknowledged, closed, muted, snoozed
from kpistream.core.alerts import State, Subject
from kpistream.core.errands import Kind, Message
from kpistream.core.receivers import MINUTE_MS
from kpistream.core.targets import Severity
from tests.unit.desk import CHAT, Desk, settings
from tests.unit.telling import HOUR_MS, transition

SETTINGS = settings(
    f"a: {{{CHAT}}}, b: {{{CHAT}, also: [pending, recovering], at_most: 3 an hour}}, "
    f"c: {{{CHAT}, resolved: no, quiet: {{hours: {{mon-sun: 20:00-07:00}}, unless: critical}}}}, "
    "am: {alertmanager: {url: http://am}}, "
    f"boss: {{{CHAT}}}",
    "{to: [am, a], continue: yes, group_wait: 0 s}, "
    "{to: b, team: north, group_by: [team], repeat: 1 h, escalate: {after: 10 m, to: boss}}, "
    "{to: [c], repeat: never}",
    "  inhibit: [{when: {scope: team}, silences: {scope: agent}, equal: [team]}]\n",
)
ROUTED = {"north": {"am", "a", "b"}, "south": {"am", "a", "c"}}
FOLLOWERS = {
    State.OK: (State.PENDING, State.FIRING),
    State.PENDING: (State.OK, State.FIRING, State.SUSPENDED),
    State.FIRING: (State.OK, State.RECOVERING, State.NO_DATA, State.SUSPENDED),
    State.RECOVERING: (State.OK, State.FIRING),
    State.NO_DATA: (State.OK, State.FIRING),
    State.SUSPENDED: (State.OK, State.FIRING),
}
SCOPES = (("agent:anna", "north"), ("agent:bela", "north"), ("agent:chiara", "south"), ("team:north", "north"))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("alert"), st.integers(0, 3), st.integers(0, 5), st.booleans()),
        st.tuples(st.just("again"), st.integers(0, 20)),
        st.tuples(st.just("wait"), st.sampled_from((1000, 30_000, 5 * MINUTE_MS, HOUR_MS, 9 * HOUR_MS))),
        st.tuples(st.just("word"), st.integers(0, 3), st.sampled_from(("ack", "close", "snooze", "mute", "unmute"))),
        st.tuples(st.just("turn"), st.sampled_from(("fine", "fails", "unnoted"))),
        st.tuples(st.just("kill")),
    ),
    max_size=40,
)


class Story:
    """A desk, and everything that was delivered at it."""

    def __init__(self) -> None:
        self.desk = Desk(SETTINGS)
        self.delivered: list[Message] = []
        self.taken: list[Any] = []
        self.latest: dict[str, Any] = {}

    def alert(self, which: int, choice: int, critical: bool) -> None:
        scope, team = SCOPES[which]
        before = self.latest.get(scope)
        state = State.OK if before is None else before.to_state
        to = FOLLOWERS[state][choice % len(FOLLOWERS[state])]
        found = transition(
            1 if before is None else before.sequence + 1,
            to,
            from_state=state,
            scope=scope,
            team=team,
            at_ms=self.desk.now_ms,
            severity=Severity.CRITICAL if critical else Severity.WARNING,
        )
        self.latest[scope] = found
        self.taken.append(found)
        self.desk.take(found)

    def again(self, which: int) -> None:
        if self.taken:
            self.desk.take(self.taken[which % len(self.taken)])

    def wait(self, ms: int) -> None:
        self.desk.now_ms += ms

    def word(self, which: int, word: str) -> None:
        scope, _ = SCOPES[which]
        subject, said = Subject("connects", "acme", scope), Said("eva", self.desk.now_ms)
        sequence = self.latest[scope].sequence if scope in self.latest else 0
        before = self.desk.acks.get("/".join(subject))
        words = {
            "ack": lambda: acknowledged(before, subject, sequence, said),
            "close": lambda: closed(before, subject, sequence, said),
            "snooze": lambda: snoozed(before, subject, self.desk.now_ms + HOUR_MS, said),
            "mute": lambda: muted(before, subject, True, said),
            "unmute": lambda: muted(before, subject, False, said),
        }
        self.desk.ack(words[word]())

    def turn(self, how: str) -> None:
        def deliver(message: Message) -> bool:
            if how != "fails":
                self.delivered.append(message)
            return how == "fine"

        self.desk.turn(deliver)
        if how == "unnoted":
            self.desk.kill()

    def kill(self) -> None:
        self.desk.kill()

    def end(self) -> None:
        """Everybody is back, nothing is snoozed any more, and three days pass."""
        for _ in range(3 * 48):
            self.desk.now_ms += 30 * MINUTE_MS
            self.turn("fine")


@given(STEPS)
def test_every_firing_transition_is_told_or_silent_by_name(steps: list[tuple[Any, ...]]) -> None:
    story = Story()
    for name, *arguments in steps:
        if name == "alert":
            story.alert(*arguments)
        else:
            getattr(story, name)(*arguments)
    story.end()

    told = {(message.receiver, e.transition.alert_id) for message in story.delivered for e in message.entries}
    silent = {(each.receiver, each.transition.alert_id) for each in story.desk.silenced}
    causes = [each for each in story.latest.values() if each.scope == "team:north" and each.to_state is not State.OK]
    for each in story.taken:
        held = causes and each.scope in ("agent:anna", "agent:bela")
        if each.to_state is State.FIRING and not held:
            for receiver in ROUTED[each.team]:
                assert (receiver, each.alert_id) in told | silent, (receiver, each, story.desk.log)


@given(STEPS)
def test_nobody_is_told_of_a_transition_twice_but_by_a_repeat(steps: list[tuple[Any, ...]]) -> None:
    story = Story()
    for name, *arguments in steps:
        if name == "alert":
            story.alert(*arguments)
        else:
            getattr(story, name)(*arguments)
    story.end()

    ids: dict[tuple[str, str], set[str]] = {}
    for message in story.delivered:
        for entry in message.entries:
            if not entry.repeat:
                ids.setdefault((message.receiver, entry.transition.alert_id), set()).add(message.id)
    twice = {key: found for key, found in ids.items() if len(found) > 1}
    note(str([(m.receiver, m.kind, m.id[:6], len(m.entries)) for m in story.delivered]))
    assert twice == {}
    contents: dict[str, set[tuple[str, ...]]] = {}
    for message in story.delivered:
        contents.setdefault(message.id, set()).add(tuple(entry.transition.alert_id for entry in message.entries))
    assert Counter(len(each) for each in contents.values()).keys() <= {1}


@given(STEPS)
@example([("alert", 0, 1, False), ("turn", "fine"), ("wait", 9 * HOUR_MS), ("turn", "fails"), ("alert", 0, 0, False)])
def test_alert_that_nobody_was_told_of_recovers_in_silence(steps: list[tuple[Any, ...]]) -> None:
    story = Story()
    for name, *arguments in steps:
        if name == "alert":
            story.alert(*arguments)
        else:
            getattr(story, name)(*arguments)
    story.end()

    known: set[tuple[str, str]] = set()
    for message in story.delivered:
        for entry in message.entries:
            subject = (message.receiver, entry.transition.scope)
            if entry.transition.to_state is State.OK:
                assert subject in known, (message, story.delivered)
            else:
                known.add(subject)
            if message.kind is Kind.REPEAT:
                assert entry.transition.to_state is State.FIRING
