"""Targets are met at exactly their bound, and too few cases are no verdict."""

from fractions import Fraction

import pytest

from kpistream.core import measures as m
from kpistream.core.evidence import Level
from kpistream.core.kpis import BY_NAME, KPIS, Limits, Value
from kpistream.core.targets import (
    Direction,
    Due,
    Judgement,
    Scope,
    Severity,
    Target,
    Verdict,
    Why,
    covers,
    default_direction,
    judge,
)


def at_least(kpi: str, low: Fraction | int, **more: object) -> Target:
    return Target(name="t", kpi=kpi, window="business-day", direction=Direction.AT_LEAST, low=Fraction(low), **more)


def at_most(kpi: str, high: Fraction | int, **more: object) -> Target:
    return Target(name="t", kpi=kpi, window="business-day", direction=Direction.AT_MOST, high=Fraction(high), **more)


def dials(connected: int, calls: int) -> m.Tally:
    return {m.OUTBOUND_CALLS: calls, m.OUTBOUND_CONNECTED: connected, m.CALLS: calls, m.CONNECTED: connected}


@pytest.mark.parametrize(
    ("connected", "verdict", "reason"),
    [
        (24, Verdict.MISSED, Why.BELOW_BOUND),
        (25, Verdict.MET, Why.WITHIN_BOUND),
        (26, Verdict.MET, Why.WITHIN_BOUND),
    ],
)
def test_target_is_met_at_exactly_its_bound(connected: int, verdict: Verdict, reason: Why):
    target = at_least("connect_share", Fraction(25, 100), minimum_sample=40)

    judgement = judge(target, dials(connected, 100))
    assert judgement == Judgement(verdict, reason, Value(connected / 100, connected, 100))


@pytest.mark.parametrize(("late", "verdict"), [(1, Verdict.MET), (2, Verdict.MET), (3, Verdict.MISSED)])
def test_upper_bound_is_met_at_exactly_its_bound(late: int, verdict: Verdict):
    assert judge(at_most("follow_ups_late", 2), {m.FOLLOW_UPS_LATE: late}).verdict is verdict


def test_bound_is_compared_exactly():
    """As floats, 333 of 1000 and 33.3 % differ in their last bit on some paths; as fractions they are one."""
    target = at_least("connect_share", Fraction("33.3") / 100)

    assert judge(target, dials(333, 1000)).verdict is Verdict.MET
    assert judge(target, dials(332, 1000)).verdict is Verdict.MISSED
    third = at_least("connect_share", Fraction(1, 3))
    assert judge(third, dials(333_333_333_333_333_333, 10**18)).verdict is Verdict.MISSED


#   low 2 m        high 6 m
#   missed |  met  | missed
@pytest.mark.parametrize(
    ("talk_ms", "verdict", "reason"),
    [
        (119_999, Verdict.MISSED, Why.BELOW_BOUND),
        (120_000, Verdict.MET, Why.WITHIN_BOUND),
        (360_000, Verdict.MET, Why.WITHIN_BOUND),
        (360_001, Verdict.MISSED, Why.ABOVE_BOUND),
    ],
)
def test_band_is_missed_on_both_sides(talk_ms: int, verdict: Verdict, reason: Why):
    target = Target(
        name="t",
        kpi="average_talk_time",
        window="business-day",
        direction=Direction.BETWEEN,
        low=Fraction(120_000),
        high=Fraction(360_000),
    )

    judgement = judge(target, {m.CONNECTED: 1, m.TALK_MS: talk_ms})
    assert (judgement.verdict, judgement.reason) == (verdict, reason)


def test_four_calls_are_no_verdict():
    target = at_least("connect_share", Fraction(1, 4), minimum_sample=5)

    assert judge(target, dials(0, 4)) == Judgement(Verdict.TOO_LITTLE, Why.SAMPLE_TOO_SMALL, Value(0.0, 0, 4))
    assert judge(target, dials(0, 5)).verdict is Verdict.MISSED
    assert judge(target, {}) == Judgement(Verdict.TOO_LITTLE, Why.NO_CASES, Value(None, 0, 0))


def test_a_count_of_nothing_is_a_count():
    assert judge(at_least("calls", 1), {}) == Judgement(Verdict.MISSED, Why.BELOW_BOUND, Value(0, 0, None))


@pytest.mark.parametrize(
    ("connected", "verdict", "reason", "severity"),
    [
        (14, Verdict.MISSED, Why.BELOW_BOUND, Severity.CRITICAL),
        (15, Verdict.MISSED, Why.BELOW_BOUND, Severity.WARNING),
        (24, Verdict.MISSED, Why.BELOW_BOUND, Severity.WARNING),
        (25, Verdict.NEAR, Why.NEAR_BOUND, Severity.WARNING),
        (29, Verdict.NEAR, Why.NEAR_BOUND, Severity.WARNING),
        (30, Verdict.MET, Why.WITHIN_BOUND, Severity.WARNING),
    ],
)
def test_alert_ends_at_its_recover_level_and_is_critical_below_another(
    connected: int, verdict: Verdict, reason: Why, severity: Severity
):
    target = at_least("connect_share", Fraction(1, 4), recover_low=Fraction(3, 10), critical_low=Fraction(15, 100))

    found = judge(target, dials(connected, 100))
    assert (found.verdict, found.reason, found.severity) == (verdict, reason, severity)


def test_band_has_marks_on_both_sides():
    marks = {"recover_low": 130_000, "recover_high": 350_000, "critical_low": 60_000, "critical_high": 600_000}
    target = Target(
        name="t",
        kpi="average_talk_time",
        window="business-day",
        direction=Direction.BETWEEN,
        low=Fraction(120_000),
        high=Fraction(360_000),
        **{name: Fraction(value) for name, value in marks.items()},
    )

    def found(talk_ms: int) -> tuple[Verdict, Severity]:
        judgement = judge(target, {m.CONNECTED: 1, m.TALK_MS: talk_ms})
        return judgement.verdict, judgement.severity

    assert found(59_999) == (Verdict.MISSED, Severity.CRITICAL)
    assert found(119_999) == (Verdict.MISSED, Severity.WARNING)
    assert found(129_999) == (Verdict.NEAR, Severity.WARNING)
    assert found(130_000) == (Verdict.MET, Severity.WARNING)
    assert found(350_000) == (Verdict.MET, Severity.WARNING)
    assert found(360_000) == (Verdict.NEAR, Severity.WARNING)
    assert found(360_001) == (Verdict.MISSED, Severity.WARNING)
    assert found(600_001) == (Verdict.MISSED, Severity.CRITICAL)


def test_critical_bound_is_weighed_like_the_bound():
    """37 of 200 is beyond both bounds; chance brings that rarely at 30 %, but often enough at 24 %."""
    level = Level(1, 5, 20)
    target = at_least("connect_share", Fraction(3, 10), critical_low=Fraction(24, 100), level=level)

    assert judge(target, dials(37, 200)).verdict is Verdict.MISSED
    assert judge(target, dials(37, 200)).severity is Severity.WARNING
    assert judge(target, dials(20, 200)).severity is Severity.CRITICAL


def test_pace_has_marks_in_proportion_to_what_is_expected():
    level, due = Level(1, 5, 20), Due(Fraction(50), "shift")
    target = at_least("calls", 100, recover_low=Fraction(110), critical_low=Fraction(60), level=level)

    def found(calls: int) -> tuple[Verdict, Severity]:
        judgement = judge(target, {m.CALLS: calls}, due=due)
        return judgement.verdict, judgement.severity

    assert found(55) == (Verdict.MET, Severity.WARNING)
    assert found(54) == (Verdict.NEAR, Severity.WARNING)
    assert found(50) == (Verdict.NEAR, Severity.WARNING)
    assert found(49) == (Verdict.TOO_LITTLE, Severity.WARNING)
    assert found(25) == (Verdict.MISSED, Severity.WARNING)
    assert found(5) == (Verdict.MISSED, Severity.CRITICAL)


def test_target_per_currency_and_scale_looks_at_its_member():
    euros = {m.DEALS_WON: 1, m.WON_MINOR + 978: 50_000}
    five = m.scale_code(1, 5)
    answers = {m.CSAT_ANSWERS + five: 2, m.CSAT_SCORE_MILLI + five: 9_000}

    assert judge(at_least("revenue", 50_000, member="EUR"), euros).verdict is Verdict.MET
    assert judge(at_least("revenue", 50_000, member="USD"), euros).verdict is Verdict.MISSED
    assert judge(at_least("csat_mean", Fraction(9, 2), member="1-5"), answers).verdict is Verdict.MET
    assert judge(at_least("csat_mean", Fraction(9, 2), member="0-10"), answers).reason is Why.NO_CASES


def test_nps_is_judged_in_points():
    answers = {m.NPS_RATED: 4, m.NPS_PROMOTERS: 1, m.NPS_DETRACTORS: 3}

    assert judge(at_least("nps", -50), answers).verdict is Verdict.MET
    assert judge(at_least("nps", -49), answers).verdict is Verdict.MISSED


def test_limits_are_applied_when_judging():
    calls = {m.CONNECTED: 2, m.talk_bin(70_000): 1, m.talk_bin(200_000): 1}
    target = at_most("too_short_share", Fraction(1, 4))

    assert judge(target, calls).verdict is Verdict.MET
    assert judge(target, calls, Limits(too_short_ms=90_000)).verdict is Verdict.MISSED


def test_target_covers_its_scope_tenant_and_team():
    everybody = at_least("calls", 1)
    north = at_least("calls", 1, scope=Scope.TEAM, tenant="acme", team="north")

    assert covers(everybody, "acme", "agent:anna", "north")
    assert not covers(everybody, "acme", "queue:sales", "north")
    assert not covers(everybody, "acme", "team:north", "north")
    assert covers(north, "acme", "team:north", "north")
    assert not covers(north, "acme", "team:south", "south")
    assert not covers(north, "other", "team:north", "north")
    assert covers(at_least("calls", 1, scope=Scope.TENANT), "acme", "tenant", "")


def test_default_direction_is_that_of_the_kpi():
    assert default_direction(BY_NAME["calls"]) is Direction.AT_LEAST
    assert default_direction(BY_NAME["abandoned_share"]) is Direction.AT_MOST
    assert default_direction(BY_NAME["average_talk_time"]) is Direction.BETWEEN
    assert {default_direction(kpi) for kpi in KPIS} == set(Direction)
