"""The frame of the fault runner, without a Kafka: plans, the measure of standstill, the trap, dead letters."""

import itertools

import pytest

from tests.faults.feed import Feed
from tests.faults.process import Trap
from tests.faults.runner import planned
from tests.faults.standstill import Clockwork
from tests.faults.strikes import all_strikes
from tests.live.system import Sent


def test_same_seed_makes_the_same_plan() -> None:
    plans = [planned(seed) for seed in range(50)]

    assert plans == [planned(seed) for seed in range(50)]
    assert len({plan.strikes for plan in plans}) > 1


def test_plan_has_the_roles_that_its_strikes_need() -> None:
    known = all_strikes()
    for plan in map(planned, range(200)):
        chosen = [known[name] for name in plan.strikes]

        assert plan.workers >= max(each.workers for each in chosen)
        assert plan.sinks >= max(each.sinks for each in chosen)
        assert {each.stage for each in chosen} == {plan.stage}
        assert len(chosen) == 1 or not any(each.alone for each in chosen)


def test_every_strike_is_dealt_out_before_one_comes_again() -> None:
    known, seen = all_strikes(), []
    for seed in range(len(known)):
        seen += planned(seed).strikes
        if len(seen) >= len(known):
            break

    assert sorted(seen) == sorted(known)


def test_standstill_is_that_of_the_partition_that_stands_longest() -> None:
    works = Clockwork(0.0)
    works.look(0.0, {0: 10, 1: 10}, {0: 0, 1: 0})
    works.look(1.0, {0: 20, 1: 20}, {0: 10, 1: 0})
    works.look(2.0, {0: 30, 1: 20}, {0: 20, 1: 0})
    works.look(5.0, {0: 40, 1: 20}, {0: 30, 1: 20})

    assert works.restart(5.0) == 5.0


def test_partition_without_work_does_not_stand_still() -> None:
    works = Clockwork(0.0)
    works.look(0.0, {0: 10}, {0: 10})
    works.look(60.0, {0: 10}, {0: 10})
    works.look(61.0, {0: 11}, {0: 10})
    works.look(62.0, {0: 11}, {0: 11})

    assert works.restart(62.0) == 1.0


def test_standstill_of_a_window_in_which_nobody_could_look_is_not_known() -> None:
    works = Clockwork(0.0)

    assert works.restart(8.0) is None
    works.look(9.0, {0: 10}, {0: 10})
    assert works.restart(9.5) == 0.0


def test_standstill_from_before_a_window_counts_from_its_beginning() -> None:
    works = Clockwork(0.0)
    works.look(0.0, {0: 10}, {0: 0})
    works.look(8.0, {0: 10}, {0: 0})

    assert works.restart(8.0) == 8.0
    works.look(9.5, {0: 10}, {0: 10})
    assert works.restart(9.5) == 1.5


def test_trap_springs_at_its_visit_only(monkeypatch: pytest.MonkeyPatch) -> None:
    sprung: list[str] = []
    monkeypatch.setattr("tests.faults.process._ACTS", {"kill": lambda: sprung.append("kill")})
    trap = Trap("panes", "before", 2, "kill")

    visits = [("panes", "before"), ("panes", "after"), ("commit", "before"), ("panes", "before"), ("panes", "before")]
    counts = []
    for at, when in visits:
        trap.visit(at, when)
        counts.append(len(sprung))

    assert counts == [0, 0, 0, 1, 1]


def test_feed_that_ends_has_drawn_nothing_that_it_did_not_send() -> None:
    """A link that is drawn and not sent would make an announced chain of moves an unannounced one."""
    records = (Sent(b"", str(number).encode()) for number in itertools.count())
    feed = Feed("127.0.0.1:1", "nowhere", records, rate=1000)
    feed.pause()
    feed.start()
    feed.end()

    assert (feed.delivered, feed.failed, next(records).value) == (0, 0, b"0")
