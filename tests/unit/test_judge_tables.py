"""What the judge writes a second time agrees with the engine, and with third parties where there are any."""

import pycountry
from hypothesis import given
from hypothesis import strategies as st

from kpistream.core import measures
from kpistream.core.changelog import encode_frontier, encode_mark, encode_pane, frontier_key
from kpistream.core.panes import Pane, unpack
from kpistream.core.placing import Place
from kpistream.judge.routing import home
from kpistream.judge.wire import MEASURES, Frontier, Mark, PaneOnWire, place_of_key, read
from kpistream.log.topics import partition_of

PANE_MS = 300_000


def test_every_measure_on_the_wire_has_the_name_that_it_has_in_the_engine() -> None:
    engine = {number: ".".join(measures.member(number) or (measures.BY_NUMBER[number].name,)) for number in MEASURES}

    assert engine == MEASURES
    assert set(measures.BY_NUMBER) <= set(MEASURES)


def test_currencies_on_the_wire_are_those_of_the_standard() -> None:
    told = {number - 1000: name[-3:] for number, name in MEASURES.items() if name.startswith("won_minor.")}
    standard = {int(each.numeric): each.alpha_3 for each in pycountry.currencies}

    assert {number: code for number, code in told.items() if standard.get(number, code) != code} == {}


@given(key=st.text(), partitions=st.integers(1, 1000))
def test_judge_and_log_send_a_key_to_one_partition(key: str, partitions: int) -> None:
    assert home(key, partitions) == partition_of(key.encode("utf-8", "surrogatepass"), partitions)


@given(
    key=st.text(min_size=1),
    start_ms=st.integers(0, 10**13),
    entries=st.lists(st.tuples(st.text(), st.integers(1, 1 << 96), st.booleans())),
)
def test_panes_are_read_as_they_were_written(key: str, start_ms: int, entries: list[tuple[str, int, bool]]) -> None:
    pane = Pane(key, start_ms)
    for identity, rank, tombstone in entries:
        pane.join(identity, rank, () if tombstone else (1, 1, 12, 1 << 60, 2978, 5), tombstone)

    lines = {}
    for at, value in encode_pane(pane, PANE_MS, "w1", 2):
        found = read(value, PANE_MS)
        assert isinstance(found, PaneOnWire)
        assert (found.key, found.start_ms, found.version) == (key, start_ms, pane.version)
        assert place_of_key(at) == (key, start_ms)
        lines |= {line.identity: (line.rank, line.tombstone) for line in found.lines}

    entry = {name: unpack(packed) for name, packed in pane.entries.items()}
    assert lines == {name: (each.rank, each.tombstone) for name, each in entry.items()}


def test_marks_and_frontiers_are_read() -> None:
    key, value = encode_mark(Place("acme/agent:a/b#c", 600_000), 17)

    assert read(value, PANE_MS) == Mark("acme/agent:a/b#c", 600_000)
    assert place_of_key(key) == ("acme/agent:a/b#c", 600_000)
    assert read(encode_frontier(3, "w1", 900_000)[1], PANE_MS) == Frontier(900_000)
    assert place_of_key(frontier_key(3, "w1")) is None
