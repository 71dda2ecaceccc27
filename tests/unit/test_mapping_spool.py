"""The spool: any number of records in order of time, in the memory of one chunk."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from kpistream.sources.mapping import Record
from kpistream.sources.spool import FAN_IN, Spool


def record(at_ms: int, number: int = 0) -> Record:
    """A record at a time."""
    return Record(f'{{"event_id":"{number}"}}'.encode(), "default/agent:anna", at_ms, "call.ended")


@given(times=st.lists(st.integers(-5, 5), max_size=60), chunk_bytes=st.sampled_from([1, 800, 1 << 20]))
def test_records_come_by_time_and_equal_times_in_order_of_adding(times: list[int], chunk_bytes: int) -> None:
    added = [record(at_ms, number) for number, at_ms in enumerate(times)]

    with Spool(chunk_bytes=chunk_bytes) as spool:
        for one in added:
            spool.add(one)

        assert list(spool.in_order()) == sorted(added, key=lambda one: one.occurred_at_ms)
        assert list(spool.in_order()) == sorted(added, key=lambda one: one.occurred_at_ms)


def test_more_chunks_than_files_may_be_open_are_merged_in_passes(tmp_path: Path) -> None:
    added = [record(-number % 97, number) for number in range(FAN_IN * 2 + 5)]

    with Spool(tmp_path, chunk_bytes=1) as spool:
        for one in added:
            spool.add(one)

        assert list(spool.in_order()) == sorted(added, key=lambda one: one.occurred_at_ms)
        assert spool.count == 133


def test_files_are_gone_when_the_spool_is_closed(tmp_path: Path) -> None:
    with Spool(tmp_path, chunk_bytes=1) as spool:
        spool.add(record(1))
        assert len(list(tmp_path.rglob("0*"))) == 1

    assert list(tmp_path.iterdir()) == []
