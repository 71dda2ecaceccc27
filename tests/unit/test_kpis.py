"""Each KPI over a tally that is written out."""

import pytest

from kpistream.core import measures as m
from kpistream.core.kpis import BY_NAME, DEFAULT_LIMITS, KPIS, Limits, Value, definition, evaluate, evaluate_all, parse

NUMBERS = {measure.name: measure.number for measure in m.SCALARS}


def tally(**measures: int) -> m.Tally:
    return {NUMBERS[name]: value for name, value in measures.items()}


def talks(*seconds: int) -> m.Tally:
    """The tally of connected calls with these talk times."""
    out: m.Tally = {}
    for talk in seconds:
        m.add(out, (m.CONNECTED, 1, m.TALK_MS, talk * 1000, m.talk_bin(talk * 1000), 1))
    return out


def waits(answered: tuple[int, ...] = (), abandoned: tuple[int, ...] = ()) -> m.Tally:
    """The tally of inbound calls that waited these seconds."""
    out: m.Tally = {}
    for wait in answered:
        bin_ = m.wait_bin(m.ANSWERED_WAIT_BIN, wait * 1000)
        m.add(out, (m.INBOUND_CALLS, 1, m.INBOUND_CONNECTED, 1, m.ANSWERED_WAIT_KNOWN, 1, bin_, 1))
    for wait in abandoned:
        bin_ = m.wait_bin(m.ABANDONED_WAIT_BIN, wait * 1000)
        m.add(out, (m.INBOUND_CALLS, 1, m.ABANDONED, 1, m.ABANDONED_WAIT_KNOWN, 1, bin_, 1))
    return out


@pytest.mark.parametrize(
    ("name", "measures", "expected"),
    [
        ("calls", {"calls": 7}, Value(7, 7, None)),
        ("distinct_calls", {"calls": 7, "first_legs": 6}, Value(6, 6, None)),
        ("connected", {"calls": 7, "connected": 3}, Value(3, 3, None)),
        ("connect_share", {"outbound_calls": 8, "outbound_connected": 2, "connected": 5}, Value(0.25, 2, 8)),
        ("answerer_unknown_share", {"outbound_connected": 4, "answerer_unknown": 1}, Value(0.25, 1, 4)),
        ("average_talk_time", {"talk_ms": 900_000, "connected": 4, "calls": 9}, Value(225_000.0, 900_000, 4)),
        (
            "average_handle_time",
            {"handle_ms": 600_000, "wrap_up_known": 2, "connected": 4},
            Value(300_000.0, 600_000, 2),
        ),
        ("follow_ups_done", {"follow_ups_done": 3}, Value(3, 3, None)),
        ("follow_ups_on_time", {"follow_ups_done": 3, "follow_ups_on_time": 1}, Value(1, 1, None)),
        ("follow_ups_late", {"follow_ups_late": 1}, Value(1, 1, None)),
        ("follow_up_on_time_share", {"follow_ups_on_time": 3, "follow_ups_late": 1}, Value(0.75, 3, 4)),
        ("deals_won", {"deals_won": 2}, Value(2, 2, None)),
        ("deals_lost", {"deals_lost": 1}, Value(1, 1, None)),
        ("conversion_per_connected", {"deals_won": 3, "connected": 2, "calls": 12}, Value(1.5, 3, 2)),
        ("conversion_per_call", {"deals_won": 3, "connected": 2, "calls": 12}, Value(0.25, 3, 12)),
        ("repeat_deal_share", {"deals_won": 9, "deals_repeat": 1, "deals_customer_known": 4}, Value(0.25, 1, 4)),
        ("surveys", {"surveys": 5}, Value(5, 5, None)),
        ("survey_share", {"surveys": 1, "connected": 4}, Value(0.25, 1, 4)),
        ("satisfied_share", {"csat_satisfied": 3, "csat_rated": 4}, Value(0.75, 3, 4)),
        ("nps", {"nps_promoters": 1, "nps_detractors": 3, "nps_rated": 4}, Value(-50.0, -2, 4)),
    ],
)
def test_value_of_a_written_out_tally(name: str, measures: dict[str, int], expected: Value):
    assert evaluate(BY_NAME[name], tally(**measures)) == expected


def test_empty_denominator_is_none_and_never_zero():
    for kpi in KPIS:
        value = evaluate(kpi, {})
        if kpi.per:
            assert value == {}
        elif kpi.denominator is None:
            assert value == Value(0, 0, None)
        else:
            assert value == Value(None, 0, 0)


def test_too_short_and_too_long_are_cut_when_reading():
    calls = talks(59, 60, 299, 599, 600)

    assert evaluate(BY_NAME["too_short_share"], calls) == Value(0.2, 1, 5)
    assert evaluate(BY_NAME["too_long_share"], calls) == Value(0.2, 1, 5)
    assert evaluate(BY_NAME["average_talk_time"], calls) == Value(323_400.0, 1_617_000, 5)
    wide = Limits(too_short_ms=300_000, too_long_ms=480_000)
    assert evaluate(BY_NAME["too_short_share"], calls, wide) == Value(0.6, 3, 5)
    assert evaluate(BY_NAME["too_long_share"], calls, wide) == Value(0.4, 2, 5)


def test_short_abandons_are_left_out_of_the_inbound_shares():
    calls = waits(answered=(3, 19, 20, 60), abandoned=(2, 4, 5, 30))

    assert evaluate(BY_NAME["answer_share"], calls) == Value(4 / 6, 4, 6)
    assert evaluate(BY_NAME["abandoned_share"], calls) == Value(2 / 6, 2, 6)
    assert evaluate(BY_NAME["service_level"], calls) == Value(2 / 6, 2, 6)


def test_service_level_knows_nothing_of_calls_without_a_wait():
    calls = waits(answered=(10,)) | {m.INBOUND_CALLS: 5, m.INBOUND_CONNECTED: 5}

    assert evaluate(BY_NAME["service_level"], calls) == Value(1.0, 1, 1)
    assert evaluate(BY_NAME["answer_share"], calls) == Value(1.0, 5, 5)


def test_revenue_is_never_added_across_currencies():
    euros, yen = m.WON_MINOR + 978, m.WON_MINOR + 392
    won = {m.DEALS_WON: 3, euros: 120_000, yen: 900}

    assert evaluate(BY_NAME["revenue"], won) == {"JPY": Value(900, 900, None), "EUR": Value(120_000, 120_000, None)}


def test_average_deal_counts_the_deals_of_its_currency():
    euros = {m.WON_MINOR + 978: 50_001, m.WON_DEALS + 978: 2}
    yen = {m.WON_MINOR + 392: 900, m.WON_DEALS + 392: 1}

    assert evaluate(BY_NAME["average_deal"], {m.DEALS_WON: 3} | euros | yen) == {
        "JPY": Value(900.0, 900, 1),
        "EUR": Value(25_000.5, 50_001, 2),
    }


def test_csat_scales_are_never_mixed():
    five, ten = m.scale_code(1, 5), m.scale_code(0, 10)
    answers = {m.CSAT_ANSWERS + five: 2, m.CSAT_SCORE_MILLI + five: 9_000, m.CSAT_ANSWERS + ten: 1}

    assert evaluate(BY_NAME["csat_mean"], answers) == {"0-10": Value(0.0, 0, 1), "1-5": Value(4.5, 9_000, 2)}


def test_sample_is_the_denominator_or_the_count():
    assert Value(0.25, 2, 8).sample == 8
    assert Value(7, 7, None).sample == 7


def test_names_and_directions_of_the_catalogue():
    assert [kpi.name for kpi in KPIS] == [
        "calls", "distinct_calls", "connected", "connect_share", "answerer_unknown_share", "answer_share",
        "abandoned_share", "service_level", "average_talk_time", "too_short_share", "too_long_share",
        "average_handle_time", "follow_ups_done", "follow_ups_on_time", "follow_ups_late",
        "follow_up_on_time_share", "deals_won", "deals_lost", "conversion_per_connected", "conversion_per_call",
        "settled_conversion", "revenue", "average_deal", "repeat_deal_share", "surveys", "survey_share", "csat_mean",
        "satisfied_share", "nps",
    ]  # fmt: skip
    found = evaluate_all({})
    assert [*found.kpis] == [kpi.name for kpi in KPIS if not kpi.per]
    assert [*found.by_member] == [kpi.name for kpi in KPIS if kpi.per]


def test_every_formula_names_measures_that_exist():
    for kpi in KPIS:
        assert parse(kpi.numerator)
        assert kpi.denominator is None or parse(kpi.denominator)
    with pytest.raises(ValueError, match="happiness"):
        parse("calls + happiness")


def test_definition_states_the_limits():
    assert definition(BY_NAME["average_talk_time"]) == "talk_ms / connected"
    assert definition(BY_NAME["too_short_share"]) == "talk_bin[< 60 s] / connected"
    assert (
        definition(BY_NAME["service_level"])
        == "answered_wait_bin[< 20 s] / (answered_wait_known + abandoned_wait_bin[>= 5 s])"
    )
    assert definition(BY_NAME["nps"]) == "100 * (nps_promoters - nps_detractors) / nps_rated"
    assert definition(BY_NAME["csat_mean"]) == "csat_score_milli / csat_answers / 1000, for each scale"
    assert definition(BY_NAME["too_long_share"], Limits(too_long_ms=480_000)) == "talk_bin[>= 480 s] / connected"


def test_limit_must_be_an_edge_of_its_histogram():
    assert DEFAULT_LIMITS.faults() == []
    assert Limits(service_level_ms=21_000, too_long_ms=60_000).faults() == [
        "service_level_ms: 21000 ms is no edge of the histogram; the nearest is 20000 ms",
        "too_long_ms: 60000 ms must be above too_short_ms 60000 ms",
    ]
