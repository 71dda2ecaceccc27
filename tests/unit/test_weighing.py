"""A target with a level of false alarms is missed when evidence says so, and by chance as rarely as stated."""

import math
import random
from fractions import Fraction

import pytest

from kpistream.core import measures as m
from kpistream.core.alerts import Alert, Look, State, Subject, alert_after, step
from kpistream.core.catalogue import Cases
from kpistream.core.evidence import ODDS_RATIOS, Level
from kpistream.core.kpis import BY_NAME, KPIS, Value
from kpistream.core.targets import Direction, Judgement, Target, Verdict, Why, judge
from kpistream.core.windows import Window

A_WEEK_FOR_20 = Level(1, 5, 20)
"""alpha 0.01"""
CALLS, DAYS = 100, 400
DAY = Window(0, 86_400_000)


def connects(bound: Fraction, level: Level | None = A_WEEK_FOR_20, **more: object) -> Target:
    return Target("t", "connect_share", "business-day", Direction.AT_LEAST, low=bound, level=level, **more)


def dials(connected: int, calls: int) -> m.Tally:
    return {m.OUTBOUND_CALLS: calls, m.OUTBOUND_CONNECTED: connected}


def scores(number: int, total: int, squares: int) -> m.Tally:
    five = m.scale_code(1, 5)
    families = (m.CSAT_ANSWERS, m.CSAT_SCORE_MILLI, m.CSAT_SCORE_SQ_MILLI2)
    return {first + five: value for first, value in zip(families, (number, total, squares), strict=True)}


def talks(*each_ms: int) -> m.Tally:
    return {
        m.CONNECTED: len(each_ms),
        m.TALK_MS: sum(each_ms),
        m.TALK_SQ_MS2: sum(talk_ms * talk_ms for talk_ms in each_ms),
    }


def test_share_beyond_its_bound_is_no_alarm_until_evidence_is_enough():
    target = connects(Fraction(30, 100))

    few, many = judge(target, dials(4, 20)), judge(target, dials(10, 100))

    assert (few.verdict, few.reason) == (Verdict.TOO_LITTLE, Why.EVIDENCE_OPEN)
    assert few.value == Value(0.2, 4, 20)
    assert (many.verdict, many.reason) == (Verdict.MISSED, Why.BELOW_BOUND)


def test_evidence_of_a_share_is_the_log_of_the_mean_of_its_bets():
    wealth = [r**4 / (0.7 + r * 0.3) ** 20 for r in ODDS_RATIOS]

    against = judge(connects(Fraction(30, 100)), dials(4, 20)).against

    assert against == pytest.approx(math.log(sum(wealth) / len(wealth)), rel=1e-12)


def test_target_is_met_within_its_bound_whatever_evidence_says():
    judgement = judge(connects(Fraction(30, 100)), dials(30, 100))

    assert (judgement.verdict, judgement.reason) == (Verdict.MET, Why.WITHIN_BOUND)
    assert judgement.against is not None and judgement.against < 0


def test_minimum_sample_stands_on_top():
    target = connects(Fraction(30, 100), minimum_sample=101)

    assert judge(target, dials(0, 100)).reason is Why.SAMPLE_TOO_SMALL
    assert judge(target, {}) == Judgement(Verdict.TOO_LITTLE, Why.NO_CASES, Value(None, 0, 0))


def test_target_without_a_level_is_judged_on_the_point():
    assert judge(connects(Fraction(30, 100), None), dials(4, 20)) == Judgement(
        Verdict.MISSED, Why.BELOW_BOUND, Value(0.2, 4, 20)
    )


def test_mean_of_a_scale_is_weighed_by_its_sums():
    target = Target(
        "t", "csat_mean", "business-day", Direction.AT_LEAST, low=Fraction(9, 2), member="1-5", level=A_WEEK_FOR_20
    )

    two_threes = judge(target, scores(2, 6_000, 18_000_000))
    thirty_threes = judge(target, scores(30, 90_000, 270_000_000))

    assert (two_threes.verdict, two_threes.reason) == (Verdict.TOO_LITTLE, Why.EVIDENCE_OPEN)
    assert (thirty_threes.verdict, thirty_threes.reason) == (Verdict.MISSED, Why.BELOW_BOUND)


#     low 3 m         high 6 m
#     missed |   met   | missed
@pytest.mark.parametrize(
    ("talk_ms", "reason"),
    [(60_000, Why.BELOW_BOUND), (240_000, Why.WITHIN_BOUND), (900_000, Why.ABOVE_BOUND)],
)
def test_band_is_weighed_on_both_sides(talk_ms: int, reason: Why):
    bounds = {"low": Fraction(180_000), "high": Fraction(360_000)}
    target = Target("t", "average_talk_time", "business-day", Direction.BETWEEN, level=A_WEEK_FOR_20, **bounds)

    assert judge(target, talks(*[talk_ms] * 60)).reason is reason
    if reason is not Why.WITHIN_BOUND:
        assert judge(target, talks(talk_ms)).reason is Why.EVIDENCE_OPEN


def test_only_kpis_whose_denominator_holds_the_numerators_cases_are_weighed():
    assert {kpi.name for kpi in KPIS if kpi.cases is Cases.YES_OR_NO} == {
        "connect_share", "answerer_unknown_share", "answer_share", "abandoned_share", "service_level",
        "too_short_share", "too_long_share", "follow_up_on_time_share", "repeat_deal_share", "satisfied_share",
        "settled_conversion",
    }  # fmt: skip
    assert {kpi.name for kpi in KPIS if kpi.cases is Cases.VALUES} == {"average_talk_time", "csat_mean"}
    assert BY_NAME["conversion_per_connected"].cases is Cases.NONE


def days_with_an_alarm(target: Target, share: float) -> float:
    """Share of days on which the alert fires, with a look after every call."""
    chance, alarms = random.Random(5), 0
    for _ in range(DAYS):
        alert, connected = Alert(Subject("t", "acme", "agent:ann")), 0
        for call in range(1, CALLS + 1):
            connected += chance.random() < share
            transition = step(alert, Look(target, judge(target, dials(connected, call)), DAY), call)
            if transition is not None:
                alert = alert_after(transition)
                if alert.state is State.FIRING:
                    alarms += 1
                    break
    return alarms / DAYS


def test_alert_of_an_agent_on_target_fires_as_rarely_as_stated_and_one_on_the_point_nearly_every_day():
    fifth = Fraction(1, 5)

    assert days_with_an_alarm(connects(fifth), 0.2) <= 0.01 + 3 * math.sqrt(0.01 * 0.99 / DAYS)
    assert days_with_an_alarm(connects(fifth, None, minimum_sample=10), 0.2) > 0.8
    assert days_with_an_alarm(connects(fifth), 0.04) > 0.9


def test_transition_says_how_much_evidence_there_was():
    target = connects(Fraction(30, 100))
    judgement = judge(target, dials(10, 100))

    transition = step(Alert(Subject("t", "acme", "agent:ann")), Look(target, judgement, DAY), 7)

    assert transition is not None
    assert transition.to_state is State.FIRING
    assert transition.against == judgement.against
    assert transition.against is not None and transition.against >= math.log(100)
    assert transition.alpha == pytest.approx(0.01)


def test_firing_alert_stays_while_evidence_fades_and_recovers_within_the_bound():
    """A run of good calls takes evidence away long before the day's share is back: that is no recovery."""
    target = connects(Fraction(30, 100))
    firing = Alert(Subject("t", "acme", "agent:ann"), State.FIRING, 1, 1, State.FIRING)

    faded, back = judge(target, dials(28, 100)), judge(target, dials(60, 200))

    assert faded.reason is Why.EVIDENCE_OPEN
    assert step(firing, Look(target, faded, DAY), 7) is None
    recovered = step(firing, Look(target, back, DAY), 8)
    assert recovered is not None and recovered.to_state is State.OK
