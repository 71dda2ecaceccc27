"""Dispatch: who is told what, and when, on a clock that is moved by hand."""

import pytest
from msgspec import structs

from kpistream.core.acks import Said, acknowledged, closed, muted, snoozed
from kpistream.core.alerts import State, Subject, Transition
from kpistream.core.errands import GIVE_UP_MS, Kind, Message, Silence, retry_after_ms
from kpistream.core.receivers import HOUR_MS, MINUTE_MS
from kpistream.core.targets import Severity, Why
from tests.unit.desk import CHAT, Desk, settings, told
from tests.unit.telling import DAY_MS, NOON_MS, transition

AT_ONCE = "group_wait: 0 s, group_interval: 0 s"
ANNA = Subject("connects", "acme", "agent:anna")
PLAIN = settings(f"floor: {{{CHAT}}}", "{to: floor}")
CALM = settings(f"floor: {{{CHAT}}}", "{to: floor, group_wait: 0 s, group_interval: 0 s, repeat: never}")


def said(at_ms: int = NOON_MS) -> Said:
    return Said("eva", at_ms, "on it")


def reasons(desk: Desk) -> list[tuple[str, str, str]]:
    return [(each.receiver, each.transition.alert_id, str(each.reason)) for each in desk.silenced]


# ---- grouping


def test_slips_of_a_team_that_come_together_go_in_one_message() -> None:
    """
    12:00:00 anna   12:00:10 bela   12:00:20 south's chiara
    12:00:30 -> anna and bela       12:00:50 -> chiara
    """
    desk = Desk(PLAIN)

    desk.take(transition())
    desk.now_ms += 10_000
    desk.take(transition(scope="agent:bela"))
    desk.now_ms += 10_000
    desk.take(transition(scope="agent:chiara", team="south"))

    assert told(desk.wait(9_000, 1000)) == []
    assert told(desk.wait(1_000, 1000)) == [
        ("floor", "news", ["connects/acme/agent:anna/1", "connects/acme/agent:bela/1"])
    ]
    assert told(desk.wait(20_000, 1000)) == [("floor", "news", ["connects/acme/agent:chiara/1"])]


def test_next_message_of_a_group_waits_for_its_interval() -> None:
    desk = Desk(PLAIN)
    desk.take(transition())
    desk.wait(MINUTE_MS)

    desk.take(transition(scope="agent:bela"))

    assert told(desk.wait(4 * MINUTE_MS)) == []
    assert told(desk.wait(MINUTE_MS)) == [("floor", "news", ["connects/acme/agent:bela/1"])]


def test_what_fired_and_recovered_within_the_wait_is_told_whole() -> None:
    desk = Desk(PLAIN)

    desk.take(transition(1), transition(2, State.OK))

    assert told(desk.wait(MINUTE_MS)) == [
        ("floor", "news", ["connects/acme/agent:anna/1", "connects/acme/agent:anna/2"])
    ]


# ---- what is told


def test_pending_and_recovering_are_not_told_unless_asked_for() -> None:
    desk = Desk(
        settings(
            f"a: {{{CHAT}}}, b: {{{CHAT}, also: [pending, recovering]}}",
            "{to: [a, b], group_wait: 0 s, group_interval: 0 s}",
        )
    )

    desk.take(transition(1, State.PENDING))
    desk.turn()
    desk.take(transition(2))
    desk.turn()
    desk.take(transition(3, State.RECOVERING))
    desk.turn()

    assert [each[0] for each in told(desk.sent)] == ["b", "a", "b", "b"]
    assert reasons(desk) == [
        ("a", "connects/acme/agent:anna/1", "not-wanted"),
        ("a", "connects/acme/agent:anna/3", "not-wanted"),
    ]


def test_no_data_and_suspended_are_told_to_who_knows_of_the_slip_only() -> None:
    desk = Desk(CALM)

    desk.take(transition(1, State.PENDING), transition(2, State.SUSPENDED))
    assert desk.turn() == []
    desk.take(transition(3))
    desk.turn()
    desk.take(transition(4, State.NO_DATA))
    desk.turn()

    assert [each[2] for each in told(desk.sent)] == [["connects/acme/agent:anna/3"], ["connects/acme/agent:anna/4"]]
    assert reasons(desk)[1] == ("floor", "connects/acme/agent:anna/2", "never-told")


def test_recovery_is_told_unless_it_is_switched_off_and_the_next_slip_is_news() -> None:
    desk = Desk(
        settings(f"a: {{{CHAT}}}, b: {{{CHAT}, resolved: no}}", "{to: [a, b], group_wait: 0 s, group_interval: 0 s}")
    )

    for each in (transition(1), transition(2, State.OK), transition(3, State.PENDING), transition(4)):
        desk.take(each)
        desk.turn()

    assert [(name, ids[0][-1]) for name, _, ids in told(desk.sent)] == [
        ("a", "1"),
        ("b", "1"),
        ("a", "2"),
        ("a", "4"),
        ("b", "4"),
    ]


def test_flapping_between_firing_and_recovering_is_told_once() -> None:
    desk = Desk(CALM)

    desk.take(transition(1))
    desk.turn()
    desk.take(transition(2, State.RECOVERING), transition(3, from_state=State.RECOVERING))

    assert desk.turn() == []
    assert reasons(desk)[-1] == ("floor", "connects/acme/agent:anna/3", "known")


def test_alert_that_becomes_critical_is_told_again() -> None:
    desk = Desk(CALM)

    desk.take(transition(1))
    desk.turn()
    desk.take(transition(2, severity=Severity.CRITICAL))

    assert told(desk.turn()) == [("floor", "news", ["connects/acme/agent:anna/2"])]


def test_transition_that_is_read_twice_is_told_once() -> None:
    desk = Desk(CALM)

    desk.take(transition(1), transition(2, State.OK))
    desk.turn()
    desk.kill()
    desk.take(transition(1), transition(2, State.OK))

    assert desk.turn() == []
    assert [reason for *_, reason in reasons(desk)] == ["duplicate", "duplicate"]


def test_transition_that_no_route_matches_is_silent_by_name() -> None:
    desk = Desk(settings(f"floor: {{{CHAT}}}", "{to: floor, team: south}"))

    desk.take(transition())

    assert reasons(desk) == [("", "connects/acme/agent:anna/1", "not-routed")]


def test_who_was_told_of_a_slip_hears_of_its_end_when_the_agent_has_moved() -> None:
    desk = Desk(
        settings(f"n: {{{CHAT}}}, s: {{{CHAT}}}", "{to: n, team: north, group_wait: 0 s}, {to: s, group_wait: 0 s}")
    )
    desk.take(transition())
    desk.turn()

    desk.take(transition(2, State.OK, team="south"))

    assert told(desk.wait(6 * MINUTE_MS)) == [("n", "news", ["connects/acme/agent:anna/2"])]
    assert reasons(desk) == [("s", "connects/acme/agent:anna/2", "never-told")]


def test_old_log_tells_what_still_fires_and_not_what_is_long_over() -> None:
    desk = Desk(CALM)
    old_ms = NOON_MS - 3 * DAY_MS

    desk.take(transition(1, at_ms=old_ms), transition(2, State.OK, at_ms=old_ms + HOUR_MS))
    desk.take(transition(1, at_ms=old_ms, scope="agent:bela"))

    assert told(desk.turn()) == [("floor", "news", ["connects/acme/agent:bela/1"])]
    assert [reason for *_, reason in reasons(desk)] == ["stale", "stale"]


# ---- repeats, acks


def test_what_fires_is_repeated_until_somebody_acknowledges_and_again_when_it_fires_anew() -> None:
    desk = Desk(settings(f"floor: {{{CHAT}}}", "{to: floor, repeat: 1 h, group_wait: 0 s, group_interval: 0 s}"))
    desk.take(transition())
    desk.turn()

    assert told(desk.wait(2 * HOUR_MS)) == [("floor", "repeat", ["connects/acme/agent:anna/1"])] * 2
    assert [entry.repeat for message in desk.sent for entry in message.entries] == [0, 1, 2]
    assert len({message.id for message in desk.sent}) == 3
    desk.ack(acknowledged(None, ANNA, 1, said()))
    assert desk.wait(3 * HOUR_MS) == []
    desk.take(transition(2, State.OK))
    assert told(desk.turn()) == [("floor", "news", ["connects/acme/agent:anna/2"])]
    desk.take(transition(3))
    assert [message.kind for message in desk.wait(HOUR_MS + MINUTE_MS)] == [Kind.NEWS, Kind.REPEAT]


def test_repeat_that_failed_tells_the_same_again_when_the_alert_is_over_meanwhile() -> None:
    desk = Desk(settings(f"floor: {{{CHAT}}}", "{to: floor, repeat: 1 h, group_wait: 0 s, group_interval: 0 s}"))
    desk.take(transition())
    desk.turn()
    desk.now_ms += HOUR_MS
    failed = []
    desk.turn(lambda message: failed.append(message) or False)
    desk.take(transition(2, State.OK))

    again = desk.wait(MINUTE_MS)

    assert told(failed) == [("floor", "repeat", ["connects/acme/agent:anna/1"])]
    assert told(again) == [*told(failed), ("floor", "news", ["connects/acme/agent:anna/2"])]
    assert again[0].id == failed[0].id


def test_snoozed_alert_is_told_at_its_end_if_it_still_fires() -> None:
    desk = Desk(CALM)
    desk.ack(snoozed(None, ANNA, NOON_MS + HOUR_MS, said()))

    desk.take(transition())

    assert desk.wait(59 * MINUTE_MS) == []
    assert told(desk.wait(MINUTE_MS)) == [("floor", "news", ["connects/acme/agent:anna/1"])]


def test_snoozed_alert_that_is_over_by_then_is_never_told() -> None:
    desk = Desk(CALM)
    desk.ack(snoozed(None, ANNA, NOON_MS + HOUR_MS, said()))
    desk.take(transition())
    desk.turn()
    desk.take(transition(2, State.OK))

    assert desk.wait(2 * HOUR_MS) == []
    assert [reason for *_, reason in reasons(desk)] == ["over-before-told", "over-before-told"]


def test_snooze_of_one_alert_does_not_end_with_the_message_of_its_group() -> None:
    desk = Desk(CALM)
    desk.ack(snoozed(None, ANNA, NOON_MS + HOUR_MS, said()))

    desk.take(transition(), transition(scope="agent:bela"))

    assert told(desk.turn()) == [("floor", "news", ["connects/acme/agent:bela/1"])]


def test_end_of_a_slip_that_was_told_comes_after_the_snooze() -> None:
    desk = Desk(CALM)
    desk.take(transition())
    desk.turn()
    desk.ack(snoozed(None, ANNA, NOON_MS + HOUR_MS, said()))
    desk.take(transition(2, State.OK))

    assert desk.wait(59 * MINUTE_MS) == []
    assert told(desk.wait(MINUTE_MS)) == [("floor", "news", ["connects/acme/agent:anna/2"])]


def test_muted_alert_is_silent_by_name_and_tells_its_next_slip_when_it_is_not_any_more() -> None:
    desk = Desk(CALM)
    desk.ack(muted(None, ANNA, True, said()))
    desk.take(transition(), transition(2, State.OK))

    assert desk.turn() == []
    assert [reason for *_, reason in reasons(desk)] == ["muted", "muted"]
    desk.ack(muted(None, ANNA, False, said(NOON_MS + 1)))
    desk.take(transition(3))
    assert told(desk.turn()) == [("floor", "news", ["connects/acme/agent:anna/3"])]


def test_closed_alert_that_becomes_graver_is_told_and_its_end_too() -> None:
    """Or that is missed in the next week, too: the same record."""
    desk = Desk(CALM)
    desk.take(transition())
    desk.turn()
    desk.ack(closed(None, ANNA, 1, said()))

    graver = transition(2, severity=Severity.CRITICAL)
    desk.take(graver)
    assert told(desk.turn()) == [("floor", "news", ["connects/acme/agent:anna/2"])]
    desk.kill()
    desk.ack(
        closed(desk.acks[desk.sent[0].entries[0].transition.alert_id.rpartition("/")[0]], ANNA, 2, said(NOON_MS + 1))
    )
    desk.take(transition(3, State.OK))
    assert desk.turn() == []
    assert reasons(desk)[-1][2] == "closed"


def test_end_of_what_became_graver_after_it_was_closed_is_told() -> None:
    desk = Desk(CALM)
    desk.take(transition())
    desk.turn()
    desk.ack(closed(None, ANNA, 1, said()))

    desk.take(transition(2, severity=Severity.CRITICAL), transition(3, State.SUSPENDED), transition(4, State.OK))

    assert [each for _, _, ids in told(desk.turn()) for each in ids] == [
        f"connects/acme/agent:anna/{sequence}" for sequence in (2, 3, 4)
    ]


def test_closed_alert_is_silent_until_it_fires_anew() -> None:
    desk = Desk(CALM)
    desk.take(transition())
    desk.turn()
    desk.ack(closed(None, ANNA, 1, said()))
    desk.take(transition(2, State.OK))

    assert desk.turn() == []
    assert reasons(desk)[-1][2] == "closed"
    desk.take(transition(3))
    desk.turn()
    desk.take(transition(4, State.OK))
    assert told(desk.turn()) == [("floor", "news", ["connects/acme/agent:anna/4"])]


def test_older_word_does_not_undo_a_newer_one() -> None:
    desk = Desk(CALM)

    desk.ack(muted(None, ANNA, True, said(NOON_MS + 1)))
    desk.dispatcher.ack(muted(None, ANNA, False, said(NOON_MS)))
    desk.take(transition())

    assert desk.turn() == []


# ---- escalation

STEPS = "{to: floor, group_wait: 0 s, repeat: never, escalate: [{after: 15 m, to: head}, {after: 1 h, to: boss}]}"
LADDER = settings(f"floor: {{{CHAT}}}, head: {{{CHAT}}}, boss: {{{CHAT}}}", STEPS)


def test_nobody_acknowledges_and_the_next_is_told() -> None:
    desk = Desk(LADDER)
    desk.take(transition())
    desk.turn()

    assert desk.wait(14 * MINUTE_MS) == []
    assert told(desk.wait(MINUTE_MS)) == [("head", "escalation", ["connects/acme/agent:anna/1"])]
    assert told(desk.wait(HOUR_MS)) == [("boss", "escalation", ["connects/acme/agent:anna/1"])]
    assert desk.wait(DAY_MS, 10 * MINUTE_MS) == []


@pytest.mark.parametrize("word", [acknowledged, closed])
def test_acknowledged_alert_is_not_escalated(word) -> None:
    desk = Desk(LADDER)
    desk.take(transition())
    desk.turn()
    desk.ack(word(None, ANNA, 1, said()))

    assert desk.wait(3 * HOUR_MS) == []


def test_who_was_told_by_escalation_hears_of_the_end() -> None:
    desk = Desk(LADDER)
    desk.take(transition())
    desk.wait(20 * MINUTE_MS)
    desk.take(transition(2, State.OK))

    assert {name for name, *_ in told(desk.wait(10 * MINUTE_MS))} == {"floor", "head"}


def test_broken_receiver_is_escalated_like_a_silent_one() -> None:
    desk = Desk(LADDER)
    desk.take(transition())

    for _ in range(20):
        desk.now_ms += MINUTE_MS
        desk.turn(lambda message: message.receiver != "floor")

    assert told(desk.sent) == [("head", "escalation", ["connects/acme/agent:anna/1"])]


def test_escalation_survives_a_kill() -> None:
    desk = Desk(LADDER)
    desk.take(transition())
    desk.turn()
    desk.kill()

    assert told(desk.wait(15 * MINUTE_MS)) == [("head", "escalation", ["connects/acme/agent:anna/1"])]


# ---- inhibition

RULE = "  inhibit: [{when: {scope: team}, silences: {scope: agent}, equal: [tenant, team]}]\n"
RULED = settings(
    f"floor: {{{CHAT}}}", "{to: floor, scope: [agent, source], group_wait: 0 s, group_interval: 0 s}", RULE
)


def test_alert_of_a_team_silences_its_agents_and_no_others() -> None:
    desk = Desk(RULED)

    desk.take(transition(scope="team:north"), transition(), transition(scope="agent:chiara", team="south"))

    assert told(desk.turn()) == [("floor", "news", ["connects/acme/agent:chiara/1"])]
    desk.take(transition(2, State.OK, scope="team:north"))
    assert told(desk.turn()) == [("floor", "news", ["connects/acme/agent:anna/1"])]


def test_cause_that_is_told_to_nobody_is_known_after_a_kill() -> None:
    desk = Desk(RULED)
    desk.take(transition(scope="team:north"))
    desk.kill()

    desk.take(transition())

    assert desk.turn() == []


def test_source_outage_silences_its_agents_without_a_rule() -> None:
    desk = Desk(CALM)

    desk.take(
        transition(1, State.NO_DATA, scope="source:pbx", team=None), transition(), transition(1, scope="agent:bela")
    )
    desk.take(transition(2, State.OK, scope="agent:bela"))

    assert told(desk.turn()) == [("floor", "news", ["connects/acme/source:pbx/1"])]
    desk.take(transition(2, State.OK, scope="source:pbx", team=None))
    assert sorted(ids[0] for _, _, ids in told(desk.turn())) == [
        "connects/acme/agent:anna/1",
        "connects/acme/source:pbx/2",
    ]
    assert {reason for *_, reason in reasons(desk)} == {"over-before-told"}


def untrue(sequence: int, corrects: int = 1, scope: str = "agent:anna") -> Transition:
    was = {"told_at_ms": NOON_MS, "told_value": 0.15, "told_numerator": 24, "told_denominator": 160}
    return transition(sequence, State.OK, reason=Why.CORRECTED, corrects=corrects, scope=scope, value=0.3, **was)


def test_who_was_told_of_an_alert_hears_that_it_was_not_true_also_when_it_is_over() -> None:
    desk = Desk(CALM)
    desk.take(transition(), transition(scope="agent:bela"))
    desk.turn()
    desk.take(transition(2, State.OK))
    desk.turn()
    desk.kill()

    desk.take(untrue(3), untrue(2, scope="agent:bela"))

    assert told(desk.wait(6 * MINUTE_MS)) == [
        ("floor", "news", ["connects/acme/agent:anna/3", "connects/acme/agent:bela/2"])
    ]


def test_nobody_hears_that_something_was_not_true_who_was_not_told_of_it() -> None:
    """Chiara's first alert was told, her second was over before it was; David's never was."""
    desk = Desk(CALM)
    desk.take(transition(scope="agent:chiara"))
    desk.turn()
    desk.take(transition(2, State.OK, scope="agent:chiara"))
    desk.turn()
    desk.take(silent_source(1, State.FIRING))
    desk.take(transition(3, scope="agent:chiara"), transition(4, State.OK, scope="agent:chiara"))
    desk.take(transition(scope="agent:david"), transition(2, State.OK, scope="agent:david"))
    desk.wait(MINUTE_MS)
    desk.take(silent_source(2, State.OK))
    desk.turn()

    desk.take(untrue(5, 3, "agent:chiara"), untrue(3, 1, "agent:david"))

    assert desk.wait(10 * MINUTE_MS) == []
    assert {reason for *_, reason in reasons(desk)[-2:]} == {"never-told"}


GLAD = settings(
    f"floor: {{{CHAT}}}, cheers: {{{CHAT}, good_news: only}}, both: {{{CHAT}, good_news: yes}}",
    "{to: [floor, cheers, both], group_wait: 0 s, group_interval: 0 s, repeat: never}",
)


def reached(sequence: int, at_ms: int = NOON_MS, **changed: object) -> Transition:
    return transition(sequence, State.OK, from_state=State.OK, reason=Why.REACHED, at_ms=at_ms, **changed)


def test_good_news_reach_who_asks_for_them_and_nobody_else() -> None:
    desk = Desk(GLAD)

    desk.take(reached(1))

    assert told(desk.turn()) == [(name, "news", ["connects/acme/agent:anna/1"]) for name in ("cheers", "both")]
    assert reasons(desk) == [("floor", "connects/acme/agent:anna/1", "not-wanted")]
    desk.take(transition(1, State.OK, from_state=State.OK, reason=Why.PERSONAL_BEST, target="connects.best"))
    assert told(desk.turn()) == [(name, "news", ["connects.best/acme/agent:anna/1"]) for name in ("cheers", "both")]


def test_who_asks_for_good_news_only_hears_once_a_day_that_somebody_has_recovered() -> None:
    desk = Desk(GLAD)
    for sequence in (1, 3):
        desk.take(transition(sequence, from_state=State.OK), transition(sequence + 1, State.OK))
        desk.wait(MINUTE_MS)
        desk.kill()
    desk.take(transition(5, from_state=State.OK), transition(6, State.SUSPENDED), transition(7, State.OK))
    tomorrow = {"window_from_ms": NOON_MS + 11 * HOUR_MS}
    desk.take(transition(8, from_state=State.OK, **tomorrow), transition(9, State.OK, **tomorrow))
    desk.wait(MINUTE_MS)

    heard = [ids for name, _, ids in told(desk.sent) if name == "cheers"]
    assert heard == [["connects/acme/agent:anna/2"], ["connects/acme/agent:anna/9"]]


def turned(desk: Desk, good_news: str) -> None:
    """The receiver is told of other things from now on, with what waits for it already."""
    desk.settings = settings(f"floor: {{{CHAT}, good_news: {good_news}}}", FLOOR_HOURLY)
    desk.kill()
    desk.save()


FLOOR_HOURLY = "{to: floor, group_wait: 30 s, group_interval: 0 s, repeat: 1 h}"


def test_who_turns_to_good_news_only_hears_no_more_of_what_fires_and_waits() -> None:
    desk = Desk(settings(f"floor: {{{CHAT}}}", FLOOR_HOURLY))
    desk.take(transition())
    assert len(desk.wait(MINUTE_MS)) == 1
    desk.take(transition(scope="agent:bela"))
    desk.take(transition(scope="agent:chiara"), transition(2, State.OK, scope="agent:chiara"))

    turned(desk, "only")
    desk.kill()

    assert told(desk.wait(6 * HOUR_MS)) == [("floor", "news", ["connects/acme/agent:chiara/2"])]
    assert reasons(desk) == [("floor", f"connects/acme/agent:{name}/1", "not-wanted") for name in ("bela", "chiara")]
    desk.take(transition(2, State.OK))
    desk.kill()
    desk.take(transition(3, from_state=State.OK, scope="agent:chiara"), transition(4, State.OK, scope="agent:chiara"))
    assert told(desk.wait(HOUR_MS)) == [("floor", "news", ["connects/acme/agent:anna/2"])], "of each once a day"


def test_message_under_way_to_who_turns_to_good_news_only_keeps_its_content_and_id() -> None:
    desk = Desk(settings(f"floor: {{{CHAT}}}", FLOOR_HOURLY))
    desk.take(transition())
    desk.now_ms += MINUTE_MS
    tried = []

    def fails(message: Message) -> bool:
        tried.append(message)
        return False

    desk.turn(fails)

    turned(desk, "only")

    [again] = desk.wait(HOUR_MS)
    assert (again.id, again.entries) == (tried[0].id, tried[0].entries)
    assert desk.wait(6 * HOUR_MS) == [], "it was told, and is not told again"


def test_who_turns_away_from_good_news_hears_none_that_waits() -> None:
    desk = Desk(settings(f"floor: {{{CHAT}, good_news: yes}}", FLOOR_HOURLY))
    desk.take(reached(1), transition(scope="agent:bela"))

    turned(desk, "no")

    assert [ids for _, _, ids in told(desk.wait(HOUR_MS - MINUTE_MS))] == [["connects/acme/agent:bela/1"]]
    assert reasons(desk) == [("floor", "connects/acme/agent:anna/1", "not-wanted")]


def test_good_news_of_an_alert_that_was_closed_are_told() -> None:
    desk = Desk(GLAD)
    desk.take(transition())
    desk.turn()
    desk.ack(closed(None, ANNA, 1, said()))
    desk.take(transition(2, State.OK))
    desk.turn()

    desk.take(reached(3))

    assert [name for name, _, ids in told(desk.turn()) if ids == ["connects/acme/agent:anna/3"]] == ["cheers", "both"]


def test_end_of_a_period_is_no_good_news() -> None:
    desk = Desk(GLAD)

    desk.take(transition(), transition(2, State.OK, reason=Why.NO_CASES))

    assert [name for name, *_ in told(desk.turn())] == ["floor", "both"]


def test_good_news_wait_for_an_outage_and_the_morning_but_not_for_a_day() -> None:
    desk = Desk(GLAD)
    desk.take(silent_source(1, State.FIRING))
    desk.turn()
    desk.take(reached(1), reached(1, NOON_MS - 2 * DAY_MS, scope="agent:bela"))
    desk.take(transition(scope="agent:chiara"), reached(2, NOON_MS - 2 * DAY_MS, scope="agent:chiara"))

    assert desk.wait(MINUTE_MS) == []
    desk.take(silent_source(2, State.OK))
    ids = {each for _, _, ids in told(desk.wait(10 * MINUTE_MS)) for each in ids}
    assert "connects/acme/agent:anna/1" in ids
    assert "connects/acme/agent:chiara/1" in ids
    assert ids.isdisjoint(("connects/acme/agent:bela/1", "connects/acme/agent:chiara/2"))


def silent_source(sequence: int, to: State, source: str = "pbx") -> Transition:
    return transition(sequence, to, target="source-silent", scope=f"source:{source}", team=None, hidden=4)


def test_source_that_dies_is_one_message_and_who_is_really_behind_is_told_when_it_is_back() -> None:
    """anna and chiara fire because nothing is heard; when it is back chiara has caught up, and anna has not."""
    desk = Desk(CALM)
    desk.take(silent_source(1, State.FIRING))
    heard = {"sources": ("pbx",)}
    desk.take(transition(**heard), transition(scope="agent:chiara", **heard), transition(scope="team:north"))
    desk.kill()

    assert told(desk.wait(10 * MINUTE_MS)) == [("floor", "news", ["source-silent/acme/source:pbx/1"])]
    desk.take(silent_source(2, State.RECOVERING), transition(2, State.OK, scope="agent:chiara", **heard))
    assert desk.wait(10 * MINUTE_MS) == []
    desk.take(silent_source(3, State.OK), transition(2, State.OK, scope="team:north"))
    assert sorted(ids[0] for _, _, ids in told(desk.wait(10 * MINUTE_MS))) == [
        "connects/acme/agent:anna/1",
        "source-silent/acme/source:pbx/3",
    ]


def test_who_is_heard_through_other_sources_only_is_told_in_an_outage() -> None:
    desk = Desk(CALM)

    desk.take(silent_source(1, State.FIRING, "crm"))
    desk.take(transition(sources=("pbx",)), transition(scope="agent:bela", sources=("crm", "pbx")))

    assert sorted(ids[0] for _, _, ids in told(desk.wait(10 * MINUTE_MS))) == [
        "connects/acme/agent:anna/1",
        "source-silent/acme/source:crm/1",
    ]


TEAM_FIRST = "  inhibit: [{when: {scope: team}, silences: {scope: agent}, equal: [tenant, team]}]\n"


def test_new_rule_holds_for_what_fires_already_and_over_a_kill() -> None:
    desk = Desk(settings(f"floor: {{{CHAT}}}", FLOOR_HOURLY))
    desk.take(transition(scope="team:north"))
    assert len(desk.wait(MINUTE_MS)) == 1

    desk.settings = settings(f"floor: {{{CHAT}}}", FLOOR_HOURLY, TEAM_FIRST)
    desk.kill()
    desk.save()
    desk.kill()
    desk.take(transition())

    assert desk.wait(20 * MINUTE_MS) == []
    desk.take(transition(2, State.OK, scope="team:north"))
    ids = {each for _, _, found in told(desk.wait(MINUTE_MS)) for each in found}
    assert ids == {"connects/acme/agent:anna/1", "connects/acme/team:north/2"}


def test_rule_that_left_and_comes_back_knows_what_has_ended_meanwhile() -> None:
    plain, ruled = (settings(f"floor: {{{CHAT}}}", FLOOR_HOURLY, more) for more in ("", TEAM_FIRST))
    desk = Desk(ruled)
    desk.take(transition(scope="team:north"))
    desk.wait(MINUTE_MS)
    desk.settings = plain
    desk.kill()
    desk.take(transition(2, State.OK, scope="team:north"))
    desk.wait(MINUTE_MS)

    desk.settings = ruled
    desk.kill()
    desk.take(transition())

    assert [ids for _, _, ids in told(desk.wait(MINUTE_MS))] == [["connects/acme/agent:anna/1"]]


# ---- quiet hours, rate

NIGHT = "quiet: {hours: {mon-sun: 20:00-07:00}, unless: critical}"
SLEEPER = settings(f"floor: {{{CHAT}, zone: Europe/Berlin, {NIGHT}}}", "{to: floor, group_by: [agent], repeat: never}")
EVENING_MS = NOON_MS + 8 * HOUR_MS
"""21:00 in Berlin."""


def test_quiet_hours_end_with_one_digest_of_all_groups() -> None:
    desk = Desk(SLEEPER, EVENING_MS)

    desk.take(transition(1), transition(2, State.OK), transition(scope="agent:bela"))

    assert desk.wait(10 * HOUR_MS - MINUTE_MS) == []
    assert told(desk.wait(MINUTE_MS)) == [
        ("floor", "digest", ["connects/acme/agent:anna/1", "connects/acme/agent:anna/2", "connects/acme/agent:bela/1"])
    ]


def test_quiet_hours_survive_a_kill() -> None:
    desk = Desk(SLEEPER, EVENING_MS)
    desk.take(transition())
    desk.wait(HOUR_MS)
    desk.kill()

    assert desk.wait(8 * HOUR_MS) == []
    assert [each.kind for each in desk.wait(HOUR_MS)] == [Kind.DIGEST]


def test_critical_alert_comes_at_night() -> None:
    desk = Desk(SLEEPER, EVENING_MS)

    desk.take(transition(severity=Severity.CRITICAL), transition(scope="agent:bela"))

    assert told(desk.wait(HOUR_MS)) == [("floor", "news", ["connects/acme/agent:anna/1"])]


def test_failed_message_is_not_tried_again_at_night() -> None:
    desk = Desk(SLEEPER, EVENING_MS - HOUR_MS - 30_000)
    desk.take(transition())
    desk.now_ms += 30_000 - 1
    assert desk.turn() == []

    desk.now_ms = EVENING_MS - HOUR_MS - 1
    desk.dispatcher.take(transition(scope="agent:bela", at_ms=desk.now_ms), desk.now_ms - 30_000)
    desk.turn(lambda _: False)

    assert desk.wait(10 * HOUR_MS) == []
    assert len(desk.wait(2 * HOUR_MS)) >= 1


def test_rate_limit_holds_further_messages_and_sends_them_as_one() -> None:
    routes = "{to: floor, group_by: [agent], group_wait: 0 s, repeat: never}"
    desk = Desk(settings(f"floor: {{{CHAT}, at_most: 2 an hour}}", routes))

    for name in ("a", "b", "c", "d"):
        desk.take(transition(scope=f"agent:{name}"))
        desk.turn()
        desk.now_ms += 1000

    assert len(desk.sent) == 2
    desk.kill()
    assert desk.wait(59 * MINUTE_MS) == []
    assert told(desk.wait(MINUTE_MS)) == [("floor", "digest", ["connects/acme/agent:c/1", "connects/acme/agent:d/1"])]


# ---- failures


def test_failed_message_comes_again_under_its_id_with_what_was_in_it() -> None:
    desk = Desk(CALM)
    desk.take(transition())
    tried = []
    desk.turn(lambda message: tried.append(message) or False)
    desk.take(transition(2, State.OK))
    desk.kill()

    again = desk.wait(MINUTE_MS)

    assert [(message.id, message.attempt) for message in tried] == [(again[0].id, 0)]
    assert told(again) == [
        ("floor", "news", ["connects/acme/agent:anna/1"]),
        ("floor", "news", ["connects/acme/agent:anna/2"]),
    ]
    assert again[0].attempt == 1


def test_broken_receiver_does_not_stall_another() -> None:
    desk = Desk(settings(f"a: {{{CHAT}}}, b: {{{CHAT}}}", "{to: [a, b], group_wait: 0 s}"))
    desk.take(transition())

    desk.turn(lambda message: message.receiver != "a")

    assert [name for name, *_ in told(desk.sent)] == ["b"]


def test_message_that_cannot_be_sent_holds_up_no_other() -> None:
    desk = Desk(settings(f"a: {{{CHAT}}}", "{to: a, group_by: [agent], group_wait: 0 s}"))
    desk.take(transition(), transition(scope="agent:bela"))

    desk.turn(lambda message: "bela" in message.entries[0].transition.scope)

    assert told(desk.sent) == [("a", "news", ["connects/acme/agent:bela/1"])]


def test_after_a_day_in_vain_it_is_given_up_by_name() -> None:
    desk = Desk(CALM)
    desk.take(transition())
    attempts = 0

    while not desk.silenced:
        desk.now_ms += 5 * MINUTE_MS
        attempts += 1
        desk.turn(lambda _: False)

    assert desk.now_ms - NOON_MS >= GIVE_UP_MS
    assert desk.now_ms - NOON_MS < GIVE_UP_MS + HOUR_MS
    assert reasons(desk) == [("floor", "connects/acme/agent:anna/1", "undelivered")]
    assert desk.wait(HOUR_MS) == []


def test_waits_between_attempts_double_up_to_half_an_hour_and_depend_on_the_id_alone() -> None:
    waits = [retry_after_ms("a", attempt) for attempt in range(30)]

    assert waits == [retry_after_ms("a", attempt) for attempt in range(30)]
    assert waits != [retry_after_ms("b", attempt) for attempt in range(30)]
    for attempt, wait_ms in enumerate(waits):
        plain_ms = min(30 * MINUTE_MS, 5000 * 2**attempt)
        assert 0.75 * plain_ms <= wait_ms <= 1.25 * plain_ms


def test_receiver_that_has_left_the_settings_is_silent_by_name() -> None:
    desk = Desk(settings(f"a: {{{CHAT}}}, b: {{{CHAT}}}", "{to: [a, b]}"))
    desk.take(transition())
    desk.settings = settings(f"b: {{{CHAT}}}", "{to: b}")
    desk.kill()
    desk.save()

    assert reasons(desk) == [("a", "connects/acme/agent:anna/1", "receiver-gone")]
    assert not [key for key in desk.log if key.startswith("errand/a/")]


def test_what_waited_for_a_receiver_that_left_goes_to_whom_the_routes_name_now() -> None:
    desk = Desk(settings(f"a: {{{CHAT}}}", "{to: a}"))
    desk.take(transition(), transition(2, State.OK), transition(scope="agent:bela"))
    desk.settings = settings(f"b: {{{CHAT}}}", "{to: b}")
    desk.kill()

    assert told(desk.wait(5 * MINUTE_MS)) == [
        ("b", "news", ["connects/acme/agent:anna/1", "connects/acme/agent:anna/2", "connects/acme/agent:bela/1"])
    ]
    assert sorted(reasons(desk)) == [
        ("a", "connects/acme/agent:anna/1", "receiver-gone"),
        ("a", "connects/acme/agent:anna/2", "receiver-gone"),
        ("a", "connects/acme/agent:bela/1", "receiver-gone"),
    ]


def test_receiver_that_is_new_to_a_route_is_told_of_what_fires_and_of_nothing_else() -> None:
    desk = Desk(settings(f"a: {{{CHAT}}}", "{to: a, repeat: never}"))
    desk.take(transition(), transition(scope="agent:bela"))
    desk.wait(MINUTE_MS)
    desk.take(transition(2, State.OK, scope="agent:bela"))
    desk.wait(10 * MINUTE_MS)
    desk.settings = settings(f"a: {{{CHAT}}}, b: {{{CHAT}}}", "{to: [a, b], repeat: never}")
    desk.kill()

    assert told(desk.wait(MINUTE_MS)) == [("b", "news", ["connects/acme/agent:anna/1"])]
    desk.kill()
    assert desk.wait(MINUTE_MS) == [], "the next process finds that both know"
    desk.take(transition(2, State.OK))
    assert [receiver for receiver, _, _ in told(desk.wait(10 * MINUTE_MS))] == ["a", "b"]


def test_settings_that_name_nobody_are_silent_by_name() -> None:
    desk = Desk(PLAIN)
    desk.take(transition())
    desk.settings = type(PLAIN)()
    desk.kill()
    desk.take(transition(scope="agent:bela"))

    assert desk.wait(HOUR_MS) == []
    assert reasons(desk) == [
        ("floor", "connects/acme/agent:anna/1", "receiver-gone"),
        ("", "connects/acme/agent:bela/1", "not-routed"),
    ]


# ---- receivers that keep state


def test_alertmanager_is_told_at_once_and_keeps_what_rests_until_it_is_over() -> None:
    desk = Desk(settings("am: {alertmanager: {url: http://am}}", "{to: am}"))
    desk.take(transition())
    assert told(desk.turn()) == [("am", "news", ["connects/acme/agent:anna/1"])]
    desk.ack(acknowledged(None, ANNA, 1, said()))
    desk.take(transition(2, State.SUSPENDED))
    desk.turn()

    [standing] = desk.dispatcher.standing("am")
    assert (standing.transition.sequence, standing.began_ms) == (2, NOON_MS)
    assert desk.wait(DAY_MS, HOUR_MS) == []
    desk.take(transition(3, State.OK))
    desk.turn()
    assert desk.dispatcher.standing("am") == ()


def test_alertmanager_that_was_away_for_days_hears_of_what_fires_within_a_minute() -> None:
    desk = Desk(settings("am: {alertmanager: {url: http://am}}", "{to: am}"))
    desk.take(transition())

    for _ in range(2 * 24 * 60):
        desk.now_ms += MINUTE_MS
        desk.turn(lambda _: False)

    assert desk.silenced == []
    assert told(desk.wait(MINUTE_MS)) == [("am", "news", ["connects/acme/agent:anna/1"])]


def test_what_was_over_long_ago_is_forgotten() -> None:
    desk = Desk(CALM)
    desk.take(transition(), transition(2, State.OK), transition(scope="agent:bela"))
    desk.turn()
    desk.now_ms += 2 * DAY_MS
    desk.dispatcher.sweep(desk.now_ms)
    desk.save()

    assert list(desk.log) == ["errand/floor/connects/acme/agent:bela"]


def test_target_that_left_the_settings_is_forgotten_too() -> None:
    desk = Desk(CALM)
    desk.take(transition())
    desk.turn()
    desk.take(transition(2, State.SUSPENDED, reason=Why.NOT_COVERED))
    desk.turn()
    desk.now_ms += 2 * DAY_MS
    desk.dispatcher.sweep(desk.now_ms)
    desk.save()

    assert desk.log == {}


def test_of_very_many_that_wait_the_latest_are_told() -> None:
    desk = Desk(SLEEPER, EVENING_MS)

    for n in range(1, 60, 2):
        desk.take(transition(n), transition(n + 1, State.OK))

    [digest] = desk.wait(11 * HOUR_MS)
    assert len(digest.entries) == 50
    assert [reason for *_, reason in reasons(desk)] == [str(Silence.SUPERSEDED)] * 10


def test_outage_that_rests_over_night_still_holds_what_it_explains() -> None:
    desk = Desk(CALM)
    desk.take(silent_source(1, State.FIRING))
    desk.turn()
    heard = {"sources": ("pbx",)}
    desk.take(*(transition(scope=f"agent:{name}", **heard) for name in ("anna", "bela")))
    desk.wait(3 * HOUR_MS)
    evening = [transition(2, State.SUSPENDED, scope=f"agent:{name}", **heard) for name in ("anna", "bela")]
    desk.take(*evening, structs.replace(silent_source(2, State.SUSPENDED), before=State.FIRING))

    assert [ids for _, _, ids in told(desk.wait(HOUR_MS))] == [["source-silent/acme/source:pbx/2"]]
    gone = structs.replace(silent_source(3, State.SUSPENDED), before=State.OK, reason=Why.NOT_COVERED)
    desk.take(gone)
    assert {each for _, _, ids in told(desk.wait(10 * MINUTE_MS)) for each in ids} >= {
        "connects/acme/agent:anna/1",
        "connects/acme/agent:bela/2",
    }


def test_correction_that_waits_for_an_outage_is_told_to_who_heard_of_the_alert() -> None:
    desk = Desk(CALM)
    for each in (transition(sources=("pbx",)), transition(2, State.OK, sources=("pbx",))):
        desk.take(each)
        desk.wait(6 * MINUTE_MS)
    desk.take(silent_source(1, State.FIRING))
    desk.wait(6 * MINUTE_MS)
    desk.take(silent_source(2, State.RECOVERING), structs.replace(untrue(3), sources=("pbx",)))

    assert desk.wait(5 * MINUTE_MS) == []
    desk.take(silent_source(3, State.OK))
    assert ["connects/acme/agent:anna/3"] in [ids for _, _, ids in told(desk.wait(10 * MINUTE_MS))]


def test_good_news_do_not_bring_along_the_slip_that_an_outage_held_back() -> None:
    desk = Desk(GLAD)
    desk.take(silent_source(1, State.FIRING))
    desk.turn()
    desk.take(transition(), transition(2, State.OK), reached(3))
    desk.wait(MINUTE_MS)

    desk.take(silent_source(2, State.OK))
    ids = {each for name, _, heard in told(desk.wait(10 * MINUTE_MS)) if name == "both" for each in heard}
    assert "connects/acme/agent:anna/3" in ids
    assert ids.isdisjoint(("connects/acme/agent:anna/1", "connects/acme/agent:anna/2"))
