"""Refusals: an alarm by share and by rows, raised once, cleared by a full calm window."""

from kpistream.core.refusals import Change, Limits, Refusals

LIMITS = Limits(percent=20, window=100, consecutive=50)


def told(refusals: Refusals, verdicts: str, size: int = 10) -> list[Change]:
    """Changes that a story of `x` (refused) and `.` (accepted) makes, in batches of `size`."""
    out, run = [], refusals.run
    for first in range(0, len(verdicts), size):
        batch, longest = verdicts[first : first + size], 0
        for verdict in batch:
            run = run + 1 if verdict == "x" else 0
            longest = max(longest, run)
        change = refusals.take(len(batch), batch.count("x"), longest, run)
        if change is not Change.NOTHING:
            out.append(change)
    return out


def test_single_faults_raise_nothing():
    refusals = Refusals(LIMITS)

    assert told(refusals, "x....." * 1000) == []
    assert refusals.percent in (16, 17)


def test_share_of_a_window_raises_once_and_a_calm_window_clears():
    refusals = Refusals(LIMITS)

    assert told(refusals, "x..x." * 100) == [Change.RAISED]
    assert refusals.raised
    assert told(refusals, "." * 90) == []
    assert told(refusals, "." * 10) == [Change.CLEARED]
    assert not refusals.raised


def test_row_raises_before_its_window_is_full():
    refusals = Refusals(LIMITS)

    assert told(refusals, "x" * 49 + ".", size=1) == []
    assert told(refusals, "x" * 50, size=1) == [Change.RAISED]


def test_row_across_batches_and_windows_counts_as_one():
    assert told(Refusals(LIMITS), "." * 80 + "x" * 50 + "." * 170) == [Change.RAISED, Change.CLEARED]


def test_raised_alarm_is_not_raised_again():
    assert told(Refusals(LIMITS), "x" * 5_000) == [Change.RAISED]


def test_flood_between_good_records_does_not_flicker():
    assert told(Refusals(LIMITS), ("x" * 60 + "." * 40) * 50) == [Change.RAISED]


def test_stop_is_for_rows_only_and_off_by_default():
    limits = Limits(percent=20, window=100, consecutive=50, stop_consecutive=200)

    assert told(Refusals(limits), "x." * 1000) == [Change.RAISED]
    assert told(Refusals(limits), "x" * 190) == [Change.RAISED]
    assert told(Refusals(limits), "x" * 200)[-1] is Change.STOP
    assert Change.STOP not in told(Refusals(LIMITS), "x" * 100_000, size=1000)


def test_limit_of_zero_is_off():
    limits = Limits(percent=0, window=100, consecutive=0)

    assert told(Refusals(limits), "x" * 10_000) == []
