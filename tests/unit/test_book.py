"""The review's book of alerts: what it suspends, and what it leaves to workers."""

import pytest

from kpistream.core.alerts import State, Subject, Transition
from kpistream.core.settings import read_settings
from kpistream.core.targets import CATCHING_UP, Direction, Why
from kpistream.history.book import Book
from kpistream.history.reviewing import Reviewing

PANE_MS, DAY_MS, NOW_MS = 300_000, 86_400_000, 1_772_532_000_000
WEEK = "{name: connects, kpi: connect_share, window: week, bound: 30 %}"
ANNA = Subject("connects", "acme", "agent:anna")


def reviewing(*targets: str) -> Reviewing:
    listed = "".join(f"  - {target}\n" for target in targets)
    text = "tenants: {acme: {people: {anna: {}}}}\n" + (f"targets:\n{listed}" if targets else "")
    return Reviewing(read_settings({"all.yaml": text}), PANE_MS)


def transition(sequence: int, to: State, window: str = "week") -> Transition:
    return Transition(
        alert_id=f"connects/acme/agent:anna/{sequence}",
        target="connects",
        tenant="acme",
        scope="agent:anna",
        sequence=sequence,
        from_state=State.OK,
        to_state=to,
        at_ms=NOW_MS - DAY_MS,
        reason=Why.BELOW_BOUND,
        kpi="connect_share",
        window=window,
        window_from_ms=NOW_MS - DAY_MS,
        window_to_ms=NOW_MS + DAY_MS,
        direction=Direction.AT_LEAST,
        low=0.3,
        high=None,
        value=0.1,
        numerator=1,
        denominator=10,
        before=to,
    )


def book(*targets: str, log: tuple[Transition, ...] = ()) -> Book:
    made = Book(reviewing(*targets))
    for each in log:
        made.take(each)
    return made


def told(found: list[Transition]) -> list[tuple[int, State, Why]]:
    return [(each.sequence, each.to_state, each.reason) for each in found]


@pytest.mark.parametrize("other", [(), (WEEK.replace("bound: 30 %", "bound: 30 %, alerts: off"),)])
def test_alert_of_a_target_that_alarms_nobody_any_more_is_suspended(other: tuple[str, ...]):
    found = book(*other, log=(transition(1, State.FIRING),)).left(NOW_MS)

    assert told(found) == [(2, State.SUSPENDED, Why.NOT_COVERED)]


def test_alert_that_workers_judge_now_is_left_to_them():
    assert book(WEEK.replace("week", "business-day"), log=(transition(1, State.FIRING),)).left(NOW_MS) == []


def test_alert_that_workers_judged_before_and_nobody_looks_at_is_suspended():
    standing = book(WEEK, log=(transition(3, State.FIRING, "business-day"),))

    assert told(standing.not_looked_at("acme", "week", set(), NOW_MS)) == [(4, State.SUSPENDED, Why.NOT_COVERED)]
    assert standing.not_looked_at("acme", "week", {ANNA}, NOW_MS) == []
    assert standing.not_looked_at("other", "week", set(), NOW_MS) == []


def test_other_settings_keep_what_stands():
    standing = book(WEEK, log=(transition(1, State.FIRING),))
    standing.adopt(reviewing(WEEK.replace("30 %", "20 %")))

    assert standing.firing() == {"acme": 1}
    assert told(standing.blind(CATCHING_UP, NOW_MS)) == [(2, State.NO_DATA, Why.CATCHING_UP)]


def test_first_record_of_a_sequence_stands():
    standing = book(WEEK, log=(transition(1, State.FIRING), transition(1, State.OK)))

    assert standing.firing() == {"acme": 1}
