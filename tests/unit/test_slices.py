"""Slices: what is decoded in one go is bounded by records and by bytes, and no record is lost or doubled."""

from hypothesis import given
from hypothesis import strategies as st

from kpistream.stream.decode import SLICE_BYTES, SLICE_RECORDS, slices
from tests.fuzz.inputs import Record


def sized(*sizes: int) -> list[Record]:
    return [Record(bytes(size), offset=number) for number, size in enumerate(sizes)]


@given(st.lists(st.sampled_from([0, 1, 400_000, 700_000, 3_000_000]), max_size=12), st.integers(0, 2_100))
def test_slices_hold_every_record_once_in_order(sizes: list[int], small: int) -> None:
    records = sized(*sizes, *[3] * small)

    cut = list(slices(records))

    assert [record.offset for each in cut for record in each] == list(range(len(records)))
    assert all(1 <= len(each) <= SLICE_RECORDS for each in cut)
    assert all(len(each) == 1 or sum(len(record.value) for record in each) <= SLICE_BYTES for each in cut)


def test_small_records_are_cut_by_number_alone() -> None:
    assert [len(each) for each in slices(sized(*[500] * 2_500))] == [1000, 1000, 500]


def test_null_values_weigh_nothing() -> None:
    assert [len(each) for each in slices([Record(None)] * 3)] == [3]
