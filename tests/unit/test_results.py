"""How targets close: by the plain number, counts in proportion to the time at work."""

import json
from fractions import Fraction

import pytest
from msgspec import UNSET, structs

from kpistream.core import measures as m
from kpistream.core.evidence import Level
from kpistream.core.patterns import Absence
from kpistream.core.readings import About
from kpistream.core.results import (
    Outcome,
    asks_for_plan,
    close,
    close_again,
    corrected,
    decode_result,
    encode_result,
    result,
    result_key,
    same,
)
from kpistream.core.schedules import Plan
from kpistream.core.targets import Direction, Severity, Target, Verdict, Why
from kpistream.core.windows import Window, business_day, week
from tests.unit.test_schedules import BERLIN, DAY, at, of_tenant

MONDAY = business_day(at("2026-03-02 12:00"), BERLIN)
SUNDAY = business_day(at("2026-03-01 12:00"), BERLIN)
ANNA = About("acme", "agent:anna", "north", "Anna Berg")


def calls(**more: object) -> Target:
    return Target(
        name="calls", kpi="calls", window="business-day", direction=Direction.AT_LEAST, low=Fraction(100), **more
    )


def connects(**more: object) -> Target:
    return Target(
        name="connects",
        kpi="connect_share",
        window="business-day",
        direction=Direction.AT_LEAST,
        low=Fraction(1, 4),
        minimum_sample=10,
        **more,
    )


def plan(window: Window = MONDAY, *absences: Absence) -> Plan:
    return of_tenant(DAY).with_absences("acme", absences).plan("acme", "anna", "business-day", window)


def dials(connected: int, made: int) -> m.Tally:
    return {m.OUTBOUND_CALLS: made, m.OUTBOUND_CONNECTED: connected, m.CALLS: made, m.CONNECTED: connected}


@pytest.mark.parametrize(
    ("made", "verdict", "reason"),
    [(99, Verdict.MISSED, Why.BELOW_BOUND), (100, Verdict.MET, Why.WITHIN_BOUND)],
)
def test_count_closes_at_its_bound(made: int, verdict: Verdict, reason: Why):
    judgement = close(calls(), {m.CALLS: made}, plan=plan())

    assert judgement is not None
    assert (judgement.verdict, judgement.reason) == (verdict, reason)


def test_evidence_and_recover_level_play_no_part():
    """One call short is nothing to interrupt anybody for; for the record it is missed."""
    target = calls(level=Level(1, 5, 20), recover_low=Fraction(120))

    assert close(target, {m.CALLS: 99}, plan=plan()).verdict is Verdict.MISSED  # type: ignore[union-attr]
    assert close(target, {m.CALLS: 100}, plan=plan()).verdict is Verdict.MET  # type: ignore[union-attr]


def test_half_a_day_of_absence_asks_for_half_the_count_and_for_the_same_share():
    half = plan(MONDAY, Absence("anna", at("2026-03-02 11:00"), at("2026-03-02 23:00")))

    closed = close(calls(critical_low=Fraction(60)), {m.CALLS: 50}, plan=half)
    assert closed is not None
    assert (closed.verdict, closed.due) == (Verdict.MET, (Fraction(50), "shift"))
    worse = close(calls(critical_low=Fraction(60)), {m.CALLS: 29}, plan=half)
    assert worse is not None
    assert (worse.verdict, worse.severity) == (Verdict.MISSED, Severity.CRITICAL)
    assert close(connects(), dials(4, 20), plan=half).verdict is Verdict.MISSED  # type: ignore[union-attr]


def test_who_was_not_expected_to_work_has_no_result_without_sums():
    away = plan(MONDAY, Absence("anna", at("2026-03-01 12:00"), at("2026-03-03 12:00")))

    for target in (calls(), connects()):
        assert close(target, {}, plan=plan(SUNDAY)) is None
        assert close(target, {}, plan=away) is None
        assert close(target, {}) is None
    assert close(calls(), {m.CALLS: 3}, plan=away) is None  # nothing was asked for


def test_a_day_at_work_without_a_call_is_missed_and_says_nothing_of_shares():
    assert close(calls(), {}, plan=plan()).verdict is Verdict.MISSED  # type: ignore[union-attr]
    closed = close(connects(), {}, plan=plan())
    assert closed is not None
    assert (closed.verdict, closed.reason) == (Verdict.TOO_LITTLE, Why.NO_CASES)


def test_too_few_cases_close_as_too_little_data():
    closed = close(connects(), dials(0, 9))
    assert closed is not None

    assert result(connects(), closed, ANNA, MONDAY, 5).outcome is Outcome.TOO_LITTLE


def test_count_of_a_week_is_prorated_by_its_days():
    window = week(at("2026-03-04 12:00"), BERLIN)
    whole = of_tenant(DAY).with_absences("acme", [Absence("anna", at("2026-03-04 23:00"), at("2026-03-07 23:00"))])
    target = calls()

    closed = close(target, {m.CALLS: 60}, plan=whole.plan("acme", "anna", "week", window))
    assert closed is not None
    assert (closed.verdict, closed.due) == (Verdict.MET, (Fraction(60), "shift"))


def test_result_carries_what_was_asked_for_and_comes_back_from_json():
    half = plan(MONDAY, Absence("anna", at("2026-03-02 11:00"), at("2026-03-02 23:00")))
    closed = close(calls(owner="floor lead"), {m.CALLS: 49}, plan=half)
    assert closed is not None

    each = result(calls(owner="floor lead"), closed, ANNA, MONDAY, 7)
    assert encode_result(each) == (
        b'{"result_id":"calls/acme/agent:anna/business-day/1772406000000","target":"calls","tenant":"acme","scope":"agent:anna",'
        b'"window":"business-day","window_from_ms":1772406000000,"window_to_ms":1772492400000,"as_of_ms":7,'
        b'"outcome":"missed","severity":"warning","reason":"below-bound","kpi":"calls","direction":"at_least",'
        b'"low":50.0,"high":null,"value":49,"numerator":49,"denominator":null,"basis":"shift","bound_from":null,"team":"north",'
        b'"display_name":"Anna Berg","owner":"floor lead","was":null}'
    )
    assert decode_result(encode_result(each)) == each
    assert result_key(each) == b"calls/acme/agent:anna/business-day/1772406000000"


def test_results_that_say_the_same_are_the_same_whenever_they_were_computed():
    closed = close(calls(), {m.CALLS: 100}, plan=plan())
    fewer = close(calls(), {m.CALLS: 99}, plan=plan())
    assert closed is not None and fewer is not None
    first = result(calls(), closed, ANNA, MONDAY, 5)

    assert same(first, result(calls(), closed, ANNA, MONDAY, 9))
    assert not same(first, result(calls(), fewer, ANNA, MONDAY, 5))


def band(low: int) -> Target:
    return Target(
        name="band",
        kpi="calls",
        window="business-day",
        direction=Direction.BETWEEN,
        low=Fraction(low),
        high=Fraction(120),
    )


@pytest.mark.parametrize(("made", "reason"), [(39, Why.BELOW_BOUND), (40, Why.WITHIN_BOUND), (121, Why.ABOVE_BOUND)])
def test_band_of_a_count_is_prorated_from_below_only(made: int, reason: Why):
    half = plan(MONDAY, Absence("anna", at("2026-03-02 11:00"), at("2026-03-02 23:00")))
    closed = close(band(80), {m.CALLS: made}, plan=half)
    assert closed is not None

    assert closed.reason is reason
    told = result(band(80), closed, ANNA, MONDAY, 5)
    assert (told.low, told.high) == (40.0, 120.0)


def test_band_that_asks_for_nothing_still_has_its_other_end():
    closed = close(band(0), {m.CALLS: 500}, plan=plan())
    assert closed is not None

    assert closed.reason is Why.ABOVE_BOUND


def test_plan_is_asked_for_only_where_it_matters():
    assert asks_for_plan(calls(), {m.CALLS: 1})
    assert asks_for_plan(connects(), {})
    assert not asks_for_plan(connects(), dials(1, 2))


def test_other_sums_are_judged_by_the_bounds_that_were_told():
    """A bound that was raised since, and a third that no float is: 100 / 3."""
    third = Target(name="calls", kpi="calls", window="business-day", direction=Direction.AT_LEAST, low=Fraction(100, 3))
    closed = close(third, {m.CALLS: 33})
    assert closed is not None
    told = result(third, closed, ANNA, MONDAY, 5)
    assert told.outcome is Outcome.MISSED

    assert close_again(calls(), told, {m.CALLS: 34}).verdict is Verdict.MET
    assert close_again(calls(), told, {m.CALLS: 33}).verdict is Verdict.MISSED
    assert close_again(calls(), told, {}).reason is Why.NO_CASES


def test_correction_keeps_all_that_was_told_but_the_numbers():
    """The bound, the owner and how grave a miss is: whatever the target says today."""
    before = connects(owner="floor lead", critical_low=Fraction(1, 5))
    closed = close(before, dials(1, 20))
    assert closed is not None
    told = result(before, closed, ANNA, MONDAY, 9)
    assert (told.outcome, told.severity) == (Outcome.MISSED, Severity.CRITICAL)

    today = connects(owner="somebody else", critical_low=Fraction(1, 100), reason="raised")
    graver = corrected(told, close_again(today, told, dials(2, 21)), 5)
    assert (graver.outcome, graver.severity, graver.owner, graver.low) == (
        Outcome.MISSED,
        Severity.CRITICAL,
        "floor lead",
        0.25,
    )
    assert (graver.as_of_ms, graver.numerator, graver.denominator) == (10, 2, 21)
    met = corrected(told, close_again(today, told, dials(9, 21)), 12)
    assert (met.outcome, met.severity, met.as_of_ms) == (Outcome.MET, Severity.WARNING, 12)


def test_correction_says_how_grave_it_ever_was():
    """Whoever was told of the critical miss is to hear of each change, also of the second."""
    before = connects(critical_low=Fraction(1, 5))
    closed = close(before, dials(1, 20))
    assert closed is not None
    told = result(before, closed, ANNA, MONDAY, 9)
    assert told.was_severity is UNSET

    met = corrected(told, close_again(before, told, dials(9, 21)), 12)
    missed = corrected(met, close_again(before, met, dials(5, 21)), 13)
    assert (missed.outcome, missed.severity) == (Outcome.MISSED, Severity.WARNING)
    assert met.was_severity is missed.was_severity is Severity.CRITICAL
    assert same(met, structs.replace(met, as_of_ms=99, was=None, was_severity=UNSET))
    warned = structs.replace(told, severity=Severity.WARNING)
    assert corrected(warned, close_again(before, warned, dials(9, 21)), 12).was_severity is Severity.WARNING


def test_correction_of_the_former_release_is_read():
    closed = close(connects(), dials(1, 20))
    assert closed is not None
    met = corrected(result(connects(), closed, ANNA, MONDAY, 9), closed, 12)
    former = json.loads(encode_result(met))
    assert former.pop("was_severity") == "warning"
    assert decode_result(json.dumps(former).encode()) == structs.replace(met, was_severity=UNSET)


def test_value_exactly_at_a_told_bound_meets_it():
    most = Target(
        name="late", kpi="abandoned_share", window="business-day", direction=Direction.AT_MOST, high=Fraction(3, 10)
    )
    tally = {m.INBOUND_CALLS: 10, m.ABANDONED: 3, m.ABANDONED_WAIT_BIN + 5: 3}
    closed = close(most, tally)
    assert closed is not None and closed.verdict is Verdict.MET

    told = result(most, closed, ANNA, MONDAY, 5)
    assert close_again(most, told, tally).verdict is Verdict.MET
