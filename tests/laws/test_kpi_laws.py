"""A KPI of many panes is that of their sum: numerators and denominators add, values do not."""

from hypothesis import given
from hypothesis import strategies as st

from kpistream.core import measures as m
from kpistream.core.kpis import BY_NAME, KPIS, Value, evaluate, evaluate_all

SCALARS = [measure.number for measure in m.SCALARS]
FIVE, SEVEN = m.scale_code(1, 5), m.scale_code(1, 7)
MEMBERS = [
    *(m.TALK_BIN + offset for offset in range(len(m.TALK_EDGES_MS))),
    *(
        first + offset
        for first in (m.ANSWERED_WAIT_BIN, m.ABANDONED_WAIT_BIN)
        for offset in range(len(m.WAIT_EDGES_MS))
    ),
    *(first + currency for first in (m.WON_MINOR, m.WON_DEALS) for currency in (392, 840, 978)),
    *(first + scale for first in (m.CSAT_ANSWERS, m.CSAT_SCORE_MILLI) for scale in (FIVE, SEVEN)),
]
TALLIES = st.dictionaries(st.sampled_from(SCALARS + MEMBERS), st.integers(1, 10**12), max_size=12)


def parts(tally: m.Tally) -> dict[tuple[str, str], tuple[int, int]]:
    """Numerator and denominator of every KPI and member."""
    out: dict[tuple[str, str], tuple[int, int]] = {}
    for kpi in KPIS:
        found = evaluate(kpi, tally)
        values = {"": found} if isinstance(found, Value) else found
        out |= {(kpi.name, name): (value.numerator, value.denominator or 0) for name, value in values.items()}
    return out


@given(st.lists(TALLIES, max_size=4))
def test_numerators_and_denominators_add(tallies):
    whole = parts(m.total(tallies))

    pieces = [parts(tally) for tally in tallies] or [parts({})]
    for key in set().union(*pieces):
        assert whole.get(key, (0, 0)) == tuple(
            map(sum, zip(*(piece.get(key, (0, 0)) for piece in pieces), strict=True))
        )


@given(TALLIES)
def test_value_is_the_quotient_or_none(tally):
    for kpi in KPIS:
        found = evaluate(kpi, tally)
        for value in [found] if isinstance(found, Value) else found.values():
            if value.denominator is None:
                assert value.value in (value.numerator, None)
            elif value.denominator == 0:
                assert value.value is None
            else:
                assert value.value == kpi.times * value.numerator / (kpi.over * value.denominator)


@given(TALLIES)
def test_too_short_and_not_too_short_are_all_talks(tally):
    """The histogram is cut, nothing falls between its parts."""
    talks = sum(tally.get(m.TALK_BIN + offset, 0) for offset in range(len(m.TALK_EDGES_MS)))
    short, long_ = evaluate(BY_NAME["too_short_share"], tally), evaluate(BY_NAME["too_long_share"], tally)

    assert isinstance(short, Value)
    assert isinstance(long_, Value)
    middle = range(m.TALK_EDGES_MS.index(60_000), m.TALK_EDGES_MS.index(600_000))
    assert short.numerator + sum(tally.get(m.TALK_BIN + offset, 0) for offset in middle) + long_.numerator == talks


@given(TALLIES)
def test_all_at_once_are_the_same_as_one_by_one(tally):
    found = evaluate_all(tally)
    assert found.kpis == {kpi.name: evaluate(kpi, tally) for kpi in KPIS if not kpi.per}
    assert found.by_member == {kpi.name: evaluate(kpi, tally) for kpi in KPIS if kpi.per}
