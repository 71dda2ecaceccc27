"""States of alerts, transition by transition, and what the log makes of them."""

from fractions import Fraction

import msgspec
import pytest

from kpistream.core.alerts import (
    TABLE,
    Alert,
    Look,
    State,
    Subject,
    Transition,
    alert_after,
    alert_key,
    decode_transition,
    encode_transition,
    next_state,
    states_from_log,
    step,
)
from kpistream.core.evidence import Level
from kpistream.core.kpis import Value
from kpistream.core.targets import (
    CATCHING_UP,
    NOT_COVERED,
    OFF_SHIFT,
    Direction,
    Judgement,
    Severity,
    Target,
    Verdict,
    Why,
)
from kpistream.core.windows import Window

SUBJECT = Subject("connects", "acme", "agent:anna")
MISSED = Judgement(Verdict.MISSED, Why.BELOW_BOUND, Value(0.18, 18, 100))
MET = Judgement(Verdict.MET, Why.WITHIN_BOUND, Value(0.25, 25, 100))
NEAR = Judgement(Verdict.NEAR, Why.NEAR_BOUND, Value(0.25, 25, 100))
GRAVE = Judgement(Verdict.MISSED, Why.BELOW_BOUND, Value(0.1, 10, 100), severity=Severity.CRITICAL)
TOO_LITTLE = Judgement(Verdict.TOO_LITTLE, Why.SAMPLE_TOO_SMALL, Value(0.0, 0, 4))
WINDOW = Window(0, 86_400_000)
LETTERS = {"-": MISSED, "+": MET, "~": NEAR, "=": GRAVE, "?": TOO_LITTLE, "n": CATCHING_UP, "s": OFF_SHIFT}


def target(hold_ms: int = 0, recover_hold_ms: int = 0) -> Target:
    return Target(
        name="connects",
        kpi="connect_share",
        window="business-day",
        direction=Direction.AT_LEAST,
        low=Fraction(1, 4),
        minimum_sample=40,
        owner="floor lead",
        hold_ms=hold_ms,
        recover_hold_ms=recover_hold_ms,
    )


def run(looks: str, aim: Target) -> list[str]:
    """The state after each look, one look a second.

    `-` missed, `=` missed by far, `+` met, `~` met but short of the recover level, `?` too little, `n` no data, `s` off
    shift. A critical alert has a `!`.
    """
    alert, out = Alert(SUBJECT), []
    for second, letter in enumerate(looks):
        transition = step(alert, Look(aim, LETTERS[letter], WINDOW), second * 1000)
        if transition is not None:
            assert transition.sequence == alert.sequence + 1
            assert transition.from_state is alert.state
            alert = alert_after(transition)
        out.append(alert.state.value + "!" * (alert.severity is Severity.CRITICAL))
    return out


#   looks   +    -    -    ?    +    +
#   state   ok   firing ........ ok ...
def test_simple_target_fires_and_recovers_at_once():
    assert run("+--?++", target()) == ["ok", "firing", "firing", "firing", "ok", "ok"]


#   hold 2 s:    0         1         2
#   looks        -         -         -
#   state        pending   pending   firing
def test_hold_time_must_pass_before_an_alert_fires():
    assert run("---", target(hold_ms=2000)) == ["pending", "pending", "firing"]
    assert run("--+-", target(hold_ms=2000)) == ["pending", "pending", "ok", "pending"]


#   recover hold 2 s:   - firing, + recovering, + recovering, + ok; a miss on the way fires again
def test_recover_hold_time_must_pass_before_an_alert_is_over():
    assert run("-+++", target(recover_hold_ms=2000)) == ["firing", "recovering", "recovering", "ok"]
    assert run("-++-++", target(recover_hold_ms=2000)) == [
        "firing",
        "recovering",
        "recovering",
        "firing",
        "recovering",
        "recovering",
    ]


def test_value_that_is_only_just_back_at_its_bound_ends_no_alert():
    assert run("~-~~+~", target()) == ["ok", "firing", "firing", "firing", "ok", "ok"]
    assert run("-~", target(hold_ms=2000)) == ["pending", "ok"]
    assert run("-+~+++", target(recover_hold_ms=2000)) == [
        "firing",
        "recovering",
        "firing",
        "recovering",
        "recovering",
        "ok",
    ]


def test_alert_becomes_critical_and_stays_so_until_it_ends():
    assert run("-=-?+-", target()) == ["firing", "firing!", "firing!", "firing!", "ok", "firing"]
    assert run("=s-+", target()) == ["firing!", "suspended!", "firing!", "ok"]
    assert run("=+=", target(hold_ms=1000)) == ["pending", "ok", "pending"]
    assert run("=+-", target(recover_hold_ms=2000)) == ["firing!", "recovering!", "firing!"]


def test_critical_alert_at_rest_writes_nothing_when_a_new_day_begins():
    weighed = msgspec.structs.replace(target(), level=Level(1, 5, 20))
    resting = Alert(SUBJECT, State.SUSPENDED, 1, 2, State.FIRING, 0, Severity.CRITICAL)

    assert step(resting, Look(weighed, OFF_SHIFT, Window(86_400_000, 2 * 86_400_000)), 86_400_001) is None


def test_becoming_critical_does_not_begin_the_alert_anew():
    alert = Alert(SUBJECT, State.FIRING, 7, 1, State.FIRING)

    risen = step(alert, Look(target(), GRAVE, WINDOW), 9)
    assert risen is not None
    assert (risen.from_state, risen.to_state, risen.severity, risen.at_ms, risen.since_ms, risen.sequence) == (
        State.FIRING,
        State.FIRING,
        Severity.CRITICAL,
        9,
        7,
        2,
    )
    assert (alert_after(risen).since_ms, alert_after(risen).severity) == (7, Severity.CRITICAL)


def test_too_little_data_keeps_every_state():
    aim = target(hold_ms=2000, recover_hold_ms=2000)

    assert run("??", aim) == ["ok", "ok"]
    assert run("-????", aim) == ["pending"] * 5
    assert run("---?+?", aim) == ["pending", "pending", "firing", "firing", "recovering", "recovering"]


def test_no_data_is_neither_an_alarm_nor_a_recovery():
    assert run("-n-", target()) == ["firing", "no-data", "firing"]
    assert run("-n?", target()) == ["firing", "no-data", "firing"]
    assert run("-n+", target()) == ["firing", "no-data", "ok"]
    assert run("-n+", target(recover_hold_ms=2000)) == ["firing", "no-data", "recovering"]
    assert run("-+n-", target()) == ["firing", "ok", "no-data", "firing"]


def test_going_home_is_not_a_recovery():
    assert run("-ssn-", target()) == ["firing", "suspended", "suspended", "no-data", "firing"]
    assert run("-s+", target(recover_hold_ms=2000)) == ["firing", "suspended", "recovering"]


def test_hold_time_of_evidence_counts_within_one_day():
    """What was found of yesterday says nothing of today, and neither does how long it had lasted."""
    day_ms = WINDOW.to_ms
    aim = msgspec.structs.replace(target(hold_ms=10_000), level=Level(1, 5, 20))
    alert = Alert(SUBJECT)
    states = []
    for at_ms in (day_ms - 5000, day_ms + 5000, day_ms + 9000, day_ms + 10_000):
        window = WINDOW if at_ms < day_ms else Window(day_ms, 2 * day_ms)
        transition = step(alert, Look(aim, MISSED, window), at_ms)
        alert = alert if transition is None else alert_after(transition)
        states.append(str(alert.state))

    assert states == ["pending", "pending", "pending", "firing"]


def test_hold_time_starts_again_after_no_data():
    assert run("-n---", target(hold_ms=2000)) == ["pending", "no-data", "pending", "pending", "firing"]


def test_alert_that_never_left_ok_writes_nothing_when_data_are_missing():
    assert run("ns+", target()) == ["ok", "ok", "ok"]


def test_target_that_no_longer_covers_its_scope_is_suspended():
    alert = Alert(SUBJECT, State.FIRING, 0, 1, State.FIRING)

    transition = step(alert, Look(target(), NOT_COVERED, WINDOW), 5)
    assert transition is not None
    assert (transition.to_state, transition.reason) == (State.SUSPENDED, Why.NOT_COVERED)


def test_table_has_a_row_for_each_judged_state():
    assert TABLE.keys() == {State.OK, State.PENDING, State.FIRING, State.RECOVERING}
    for state in State:
        for verdict in Verdict:
            assert next_state(Alert(SUBJECT, state, 0, 1), target(), verdict, 10) in State


FIRING = Transition(
    alert_id="connects/acme/agent:anna/1",
    target="connects",
    tenant="acme",
    scope="agent:anna",
    sequence=1,
    from_state=State.OK,
    to_state=State.FIRING,
    at_ms=1_000,
    reason=Why.BELOW_BOUND,
    kpi="connect_share",
    window="business-day",
    window_from_ms=0,
    window_to_ms=86_400_000,
    direction=Direction.AT_LEAST,
    low=0.25,
    high=None,
    value=0.18,
    numerator=18,
    denominator=100,
    before=State.FIRING,
    team="north",
    display_name="Anna Berg",
    owner="floor lead",
)


def test_transition_carries_what_explains_it():
    look = Look(target(), MISSED, WINDOW, "north", "Anna Berg")

    assert step(Alert(SUBJECT), look, 1_000) == FIRING


def test_transition_as_json():
    value = encode_transition(FIRING)

    assert value == (
        b'{"alert_id":"connects/acme/agent:anna/1","target":"connects","tenant":"acme","scope":"agent:anna",'
        b'"sequence":1,"from":"ok","to":"firing","at_ms":1000,"reason":"below-bound","kpi":"connect_share",'
        b'"window":"business-day","window_from_ms":0,"window_to_ms":86400000,"direction":"at_least","low":0.25,'
        b'"high":null,"value":0.18,"numerator":18,"denominator":100,"before":"firing","team":"north",'
        b'"display_name":"Anna Berg","owner":"floor lead","against":null,"alpha":null,"expected":null,"basis":null,'
        b'"severity":"warning","since_ms":null,"slip_from_ms":null,"bound_from":null,"hidden":null,"sources":[],'
        b'"last_pane":null,"judged_by":null,"corrects":null,"told_at_ms":null,"told_value":null,"told_numerator":null,'
        b'"told_denominator":null,"reached_from_ms":null,"contributors":[]}'
    )
    assert decode_transition(value) == FIRING
    assert alert_key(FIRING) == b"connects/acme/agent:anna"


def recorded(sequence: int, to_state: State, at_ms: int = 0, scope: str = "agent:anna") -> Transition:
    changed = {"sequence": sequence, "to_state": to_state, "at_ms": at_ms, "before": to_state, "scope": scope}
    values = {name: getattr(FIRING, name) for name in Transition.__struct_fields__}
    return Transition(**(values | changed))


#   log    1 firing | 2 ok (worker A) | 2 firing (worker B, a zombie) | 1 firing (delivered again)
#   state                ok stands
def test_first_record_of_the_highest_sequence_is_the_state():
    log = [
        recorded(1, State.FIRING, 10),
        recorded(2, State.OK, 20),
        recorded(2, State.FIRING, 21),
        recorded(1, State.FIRING, 10),
        recorded(1, State.PENDING, 5, "agent:bela"),
    ]

    assert states_from_log(log) == {
        SUBJECT: Alert(SUBJECT, State.OK, 20, 2, State.OK),
        Subject("connects", "acme", "agent:bela"): Alert(
            Subject("connects", "acme", "agent:bela"), State.PENDING, 5, 1, State.PENDING
        ),
    }


@pytest.mark.parametrize("looks", ["+--?++", "-n+-s-", "n-+n?+-"])
def test_log_of_a_run_gives_the_state_it_ended_in(looks: str):
    aim, alert, log = target(hold_ms=1000, recover_hold_ms=1000), Alert(SUBJECT), []
    for second, letter in enumerate(looks):
        transition = step(alert, Look(aim, LETTERS[letter], WINDOW), second * 1000)
        if transition is not None:
            log.append(decode_transition(encode_transition(transition)))
            alert = alert_after(transition)

    assert states_from_log(log + log) == {SUBJECT: alert}


def found(verdict: Verdict, reason: Why) -> Judgement:
    return Judgement(verdict, reason, Value(0.2, 4, 20), 0.5)


def test_evidence_of_one_day_alarms_nobody_on_the_next():
    """A day without evidence enough begins at ok; within a day an alert stays while its evidence fades."""
    weighed = msgspec.structs.replace(target(), level=Level(1, 5, 20))
    open_ = found(Verdict.TOO_LITTLE, Why.EVIDENCE_OPEN)
    today, tomorrow = Window(0, 10), Window(10, 20)
    firing = Alert(SUBJECT, State.FIRING, 1, 1, State.FIRING, today.from_ms)
    suspended = Alert(SUBJECT, State.SUSPENDED, 2, 2, State.FIRING, today.from_ms)

    assert step(firing, Look(weighed, open_, today), 5) is None
    for alert in (firing, suspended):
        over = step(alert, Look(weighed, open_, tomorrow), 15)
        assert over is not None and over.to_state is State.OK
    again = step(suspended, Look(weighed, found(Verdict.MISSED, Why.BELOW_BOUND), tomorrow), 15)
    assert again is not None and again.to_state is State.FIRING
    rests = step(firing, Look(weighed, found(Verdict.OFF_SHIFT, Why.OFF_SHIFT), tomorrow), 15)
    assert rests is not None and (rests.to_state, rests.before) == (State.SUSPENDED, State.OK)


def test_what_still_fires_on_the_next_days_evidence_says_so():
    """Else its record would be about yesterday, and it would end when today's evidence fades."""
    weighed = msgspec.structs.replace(target(), level=Level(1, 5, 20))
    firing = Alert(SUBJECT, State.FIRING, 1, 1, State.FIRING, 0)

    renewed = step(firing, Look(weighed, found(Verdict.MISSED, Why.BELOW_BOUND), Window(10, 20)), 15)
    assert renewed is not None
    assert (renewed.from_state, renewed.to_state, renewed.window_from_ms) == (State.FIRING, State.FIRING, 10)
    after = alert_after(renewed)
    assert (after.since_ms, after.window_from_ms) == (1, 10)
    assert step(after, Look(weighed, found(Verdict.MISSED, Why.BELOW_BOUND), Window(10, 20)), 16) is None
    assert step(after, Look(weighed, found(Verdict.TOO_LITTLE, Why.EVIDENCE_OPEN), Window(10, 20)), 17) is None


def test_a_target_on_the_point_carries_its_alert_into_the_next_window():
    firing = Alert(SUBJECT, State.FIRING, 1, 1, State.FIRING, 0)

    assert step(firing, Look(target(), found(Verdict.TOO_LITTLE, Why.SAMPLE_TOO_SMALL), Window(10, 20)), 15) is None


def test_end_of_a_shift_writes_no_record_for_who_has_no_alert():
    rest = found(Verdict.OFF_SHIFT, Why.OFF_SHIFT)

    assert step(Alert(SUBJECT, State.OK, 1, 2), Look(target(), rest, Window(0, 10)), 5) is None
    suspended = step(Alert(SUBJECT, State.FIRING, 1, 1, State.FIRING), Look(target(), rest, Window(0, 10)), 5)
    assert suspended is not None and suspended.to_state is State.SUSPENDED
