"""Readings as they are published, and the pace at which they are."""

from fractions import Fraction

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from kpistream.core import measures as m
from kpistream.core.alerts import State
from kpistream.core.kpis import BY_NAME, Value
from kpistream.core.readings import (
    About,
    Pacer,
    Shown,
    TargetReading,
    decode_reading,
    encode_reading,
    read,
    reading_key,
    target_reading,
)
from kpistream.core.targets import CATCHING_UP, Direction, Target, Why, judge
from kpistream.core.windows import Window

TALLY = {
    m.CALLS: 4,
    m.OUTBOUND_CALLS: 4,
    m.CONNECTED: 1,
    m.OUTBOUND_CONNECTED: 1,
    m.TALK_MS: 90_000,
    m.talk_bin(90_000): 1,
    m.DEALS_WON: 1,
    m.WON_MINOR + 978: 19_900,
}
TARGET = Target(
    name="connects",
    kpi="connect_share",
    window="rolling-15m",
    direction=Direction.AT_LEAST,
    low=Fraction(1, 2),
    minimum_sample=2,
)
ABOUT = About("acme", "agent:anna", "north", "Anna Berg")
SHOWN = Shown("rolling-15m", Window(0, 900_000), 899_000)


def test_reading_shows_measures_kpis_and_targets():
    target = target_reading(TARGET, State.FIRING, judge(TARGET, TALLY))

    reading = read(ABOUT, SHOWN, TALLY, {"connects": target})

    assert reading.measures == {
        "calls": 4,
        "outbound_calls": 4,
        "connected": 1,
        "outbound_connected": 1,
        "talk_ms": 90_000,
        "deals_won": 1,
        "talk_bin": {"90000": 1},
        "won_minor": {"EUR": 19_900},
    }
    assert reading.kpis["connect_share"] == Value(0.25, 1, 4)
    assert reading.kpis["service_level"] == Value(None, 0, 0)
    assert reading.kpis_by_member["revenue"] == {"EUR": Value(19_900, 19_900, None)}
    assert reading.kpis.keys() | reading.kpis_by_member.keys() == BY_NAME.keys()
    assert reading.targets == {
        "connects": TargetReading(
            kpi="connect_share",
            state=State.FIRING,
            reason=Why.BELOW_BOUND,
            direction=Direction.AT_LEAST,
            low=0.5,
            minimum_sample=2,
            value=0.25,
            numerator=1,
            denominator=4,
        )
    }
    assert (reading.from_ms, reading.to_ms, reading.as_of_ms, reading.provisional) == (0, 900_000, 899_000, False)
    assert reading_key(reading) == b"acme/agent:anna/rolling-15m"


def test_reading_survives_its_json():
    target = target_reading(TARGET, State.NO_DATA, CATCHING_UP)
    reading = read(ABOUT, SHOWN._replace(provisional=True), TALLY, {"connects": target})

    value = encode_reading(reading)
    assert decode_reading(value) == reading
    plain = msgspec.json.decode(value)
    assert plain["provisional"] is True
    assert plain["team"] == "north"
    assert plain["kpis"]["service_level"] == {"value": None, "numerator": 0, "denominator": 0}
    assert plain["targets"]["connects"]["state"] == "no-data"
    assert plain["targets"]["connects"]["reason"] == "catching-up"


#   ms        0        200      400      500      700      1500
#   change    x        x        x                 x        x
#   out       at once                    due               at once
#                                                 (waits, due at 1000)
def test_change_after_a_quiet_half_second_goes_out_at_once_then_twice_a_second():
    pacer: Pacer[str] = Pacer()

    assert pacer.changed("a", 0)
    assert not pacer.changed("a", 200)
    assert not pacer.changed("a", 400)
    assert pacer.due(499) == []
    assert pacer.due(500) == ["a"]
    assert not pacer.changed("a", 700)
    assert pacer.due(1000) == ["a"]
    assert pacer.due(1500) == []
    assert pacer.changed("a", 1500)


def test_keys_have_their_own_pace():
    pacer: Pacer[str] = Pacer(1000)

    assert pacer.changed("a", 0)
    assert pacer.changed("b", 300)
    assert not pacer.changed("a", 500)
    assert not pacer.changed("b", 500)
    assert pacer.due(1200) == ["a"]
    assert pacer.due(1300) == ["b"]
    assert len(pacer) == 0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 700), st.booleans()), max_size=60))
def test_every_last_change_goes_out_and_never_two_within_the_interval(steps):
    """Whatever comes when, and however seldom `due` is asked."""
    pacer: Pacer[str] = Pacer(1000)
    went: dict[str, list[int]] = {"a": [], "b": [], "c": []}
    changed: dict[str, int] = {}
    now_ms = 0

    for key, later_ms, ask in steps:
        now_ms += later_ms
        changed[key] = now_ms
        if pacer.changed(key, now_ms):
            went[key].append(now_ms)
        if ask:
            for name in pacer.due(now_ms):
                went[name].append(now_ms)
    for name in pacer.due(now_ms + 1000):
        went[name].append(now_ms + 1000)

    for key, at_ms in changed.items():
        assert went[key][-1] >= at_ms
        assert all(b - a >= 1000 for a, b in zip(went[key], went[key][1:], strict=False))
