"""Columns of history hold a tally exactly: what is written is what is read."""

from hypothesis import given
from hypothesis import strategies as st

from kpistream.core import measures as m
from kpistream.core.currencies import ALPHA_BY_NUMERIC
from kpistream.core.placing import Place
from kpistream.core.rows import PaneRow
from kpistream.history import tables, writer
from kpistream.history.queries import tally_of

SCALE = st.tuples(st.integers(0, 99), st.integers(1, 100)).filter(lambda ends: ends[0] < ends[1])
NUMBERS = st.one_of(
    st.sampled_from([measure.number for measure in m.SCALARS]),
    st.integers(m.TALK_BIN, m.TALK_BIN + len(m.TALK_EDGES_MS) - 1),
    st.integers(m.ANSWERED_WAIT_BIN, m.ANSWERED_WAIT_BIN + len(m.WAIT_EDGES_MS) - 1),
    st.integers(m.ABANDONED_WAIT_BIN, m.ABANDONED_WAIT_BIN + len(m.WAIT_EDGES_MS) - 1),
    st.sampled_from([first + number for first in (m.WON_MINOR, m.WON_DEALS) for number in ALPHA_BY_NUMERIC]),
    st.builds(
        lambda first, ends: first + m.scale_code(*ends),
        st.sampled_from([m.CSAT_ANSWERS, m.CSAT_SCORE_MILLI, m.CSAT_SCORE_SQ_MILLI2]),
        SCALE,
    ),
)
TALLIES = st.dictionaries(NUMBERS, st.integers(1, 10**18), max_size=12)


@given(st.lists(TALLIES, min_size=1, max_size=5))
def test_every_tally_comes_back_from_its_columns(tallies: list[m.Tally]) -> None:
    rows = [PaneRow(Place(f"acme/agent:{i}", 0), 300_000, i, tally) for i, tally in enumerate(tallies)]

    insert = writer.pane_insert(rows)

    first = list(tables.PANE_COLUMNS).index("calls")
    last = first + len(tables.MEASURE_COLUMNS)
    columns = [list(values) for values in insert.values[first:last]]
    assert [tally_of(row) for row in zip(*columns, strict=True)] == tallies
