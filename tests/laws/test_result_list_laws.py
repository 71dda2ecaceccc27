"""Laws of telling results, over random corrections, failures and kills.

Every receiver hears how each target closed in the end, hears of a change once, and what it hears first never says that
it was corrected. A message that comes again has the same content under its id.
"""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kpistream.core.errands import Message
from kpistream.core.receivers import HOUR_MS, MINUTE_MS
from kpistream.core.results import Outcome
from tests.unit.test_result_lists import MORNING, Desk, result

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("close"), st.integers(0, 2), st.sampled_from(Outcome)),
        st.tuples(st.just("wait"), st.sampled_from((MINUTE_MS, HOUR_MS, 9 * HOUR_MS, 24 * HOUR_MS))),
        st.tuples(st.just("turn"), st.sampled_from(("fine", "fails", "unnoted"))),
        st.tuples(st.just("kill")),
    ),
    max_size=40,
)


class Story:
    """A desk, what reviews publish, and everything that was delivered."""

    def __init__(self) -> None:
        self.desk = Desk(MORNING)
        self.desk.turn()
        self.last: dict[str, Outcome] = {}
        self.delivered: list[Message] = []

    def close(self, which: int, outcome: Outcome) -> None:
        agent = f"agent{which}"
        self.desk.log.append(result(agent, outcome, len(self.desk.log) + 1, was=self.last.get(agent)))
        self.last[agent] = outcome

    def wait(self, ms: int) -> None:
        self.desk.now_ms += ms

    def kill(self) -> None:
        self.desk.kill()

    def turn(self, how: str) -> None:
        def deliver(message: Message) -> bool:
            if how == "fails":
                return False
            self.delivered.append(message)
            if how == "unnoted":
                raise InterruptedError
            return True

        try:
            self.desk.turn("floor", deliver)
        except InterruptedError:
            self.desk.kill()


@given(STEPS)
def test_everybody_hears_how_a_target_closed_and_of_each_change_once(steps: list[tuple[Any, ...]]) -> None:
    story = Story()
    for name, *arguments in steps:
        getattr(story, name)(*arguments)
    for _ in range(4 * 24):
        story.wait(HOUR_MS)
        story.turn("fine")

    messages: dict[str, Message] = {}
    for message in story.delivered:
        assert messages.setdefault(message.id, message).results == message.results
    heard: dict[str, Outcome] = {}
    for message in messages.values():
        assert message.results is not None
        for each in message.results.listed:
            agent = each.result.scope.removeprefix("agent:")
            assert each.was is heard.get(agent), "what was told before, None when nothing was"
            assert each.was is not each.result.outcome, "nothing is told that is known"
            heard[agent] = each.result.outcome
    assert heard == story.last
