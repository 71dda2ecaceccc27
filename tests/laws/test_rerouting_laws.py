"""Laws of receivers and routes that change while alerts fire, over random alerts, failures and kills.

What fires is told to whoever the last settings name, or is silent by name; a receiver that left is never the last word.
Nobody is told of a transition twice, but by a repeat or, after a kill, under the same id.
"""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kpistream.core.alerts import State
from kpistream.core.errands import Silence
from kpistream.core.receivers import MINUTE_MS
from tests.laws.test_dispatch_laws import SCOPES, Story
from tests.unit.desk import CHAT, settings
from tests.unit.telling import HOUR_MS

A, B, AM = (
    f"a: {{{CHAT}}}",
    f"b: {{{CHAT}, quiet: {{hours: {{mon-sun: 20:00-07:00}}}}}}",
    "am: {alertmanager: {url: http://am}}",
)
OFTEN = "group_wait: 0 s, group_interval: 0 s, repeat: never"
VERSIONS = (
    (settings(A, f"{{to: a, {OFTEN}}}"), {"a"}),
    (settings(f"{A}, {B}", f"{{to: [a, b], {OFTEN}}}"), {"a", "b"}),
    (settings(f"{B}, {AM}", f"{{to: [am, b], {OFTEN}}}"), {"am", "b"}),
    (type(settings(A, "{to: a}"))(), set()),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("alert"), st.integers(0, 3), st.integers(0, 5), st.booleans()),
        st.tuples(st.just("wait"), st.sampled_from((1000, 5 * MINUTE_MS, HOUR_MS, 9 * HOUR_MS))),
        st.tuples(st.just("turn"), st.sampled_from(("fine", "fails", "unnoted"))),
        st.tuples(st.just("kill")),
        st.tuples(st.just("change"), st.integers(0, len(VERSIONS) - 1)),
    ),
    max_size=30,
)


class Changing(Story):
    """A story in which settings change."""

    def __init__(self) -> None:
        super().__init__()
        self.forgotten: set[str] = set()
        """What was known when the settings named nobody: no record says any more that it fires."""
        self.routed: set[str] = set()
        self.left: set[str] = set()
        """Receivers that have left: one that comes back begins anew, and is told of what fires."""
        self.change(0)

    def change(self, which: int) -> None:
        """The next generation begins from the records, by other settings."""
        before = self.routed
        self.desk.settings, self.routed = VERSIONS[which]
        self.left |= before - self.routed
        if not self.routed:
            self.forgotten |= {each.alert_id for each in self.latest.values()}
        self.desk.save()
        self.desk.kill()
        self.desk.save()


def played(steps: list[tuple[Any, ...]], last: int) -> Changing:
    story = Changing()
    for name, *arguments in steps:
        getattr(story, name)(*arguments)
    story.change(last)
    story.end()
    return story


@given(STEPS, st.integers(0, 2))
def test_what_fires_is_known_to_whom_the_last_settings_name(steps: list[tuple[Any, ...]], last: int) -> None:
    story = played(steps, last)

    told = {(message.receiver, entry.transition.alert_id) for message in story.delivered for entry in message.entries}
    named = {(each.receiver, each.transition.alert_id): each.reason for each in story.desk.silenced}
    heard = {alert for _, alert in told}
    for scope, _ in SCOPES:
        transition = story.latest.get(scope)
        if transition is None or transition.to_state is not State.FIRING or transition.alert_id in story.forgotten:
            continue
        if named.get(("", transition.alert_id)) is Silence.NOT_ROUTED and transition.alert_id not in heard:
            continue  # fired while the settings named nobody, and no record says that it fires
        for receiver in story.routed:
            reason = named.get((receiver, transition.alert_id))
            known = (receiver, transition.alert_id) in told or reason in (Silence.KNOWN, Silence.STALE)
            assert known, (receiver, transition, reason, story.desk.log)


@given(STEPS, st.integers(0, 3))
def test_nobody_is_told_twice_whatever_the_settings_become(steps: list[tuple[Any, ...]], last: int) -> None:
    story = played(steps, last)

    ids: dict[tuple[str, str], set[str]] = {}
    for message in story.delivered:
        for entry in message.entries:
            if not entry.repeat:
                ids.setdefault((message.receiver, entry.transition.alert_id), set()).add(message.id)
    twice = {key for key, found in ids.items() if len(found) > 1 and key[0] not in story.left}
    assert twice == set()
