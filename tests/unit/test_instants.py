"""Instants: what is taken for a time, and to which millisecond."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpistream.core.instants import HEADS, TAILS, instant, instant_or_zero, to_text
from kpistream.errors import EventRejected, Reason


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1990-01-01T00:00:00Z", 631_152_000_000),
        ("2026-03-04T08:17:02Z", 1_772_612_222_000),
        ("2026-03-04T08:17:02.1Z", 1_772_612_222_100),
        ("2026-03-04T08:17:02.118999999Z", 1_772_612_222_118),
        ("2026-03-04T10:17:02.118+02:00", 1_772_612_222_118),
        ("2026-03-03T22:17:02.118-10:00", 1_772_612_222_118),
        ("2026-03-04t08:17:02.118z", 1_772_612_222_118),
        ("2026-03-04 08:17:02.118-00:00", 1_772_612_222_118),
        ("2024-02-29T23:59:59.999Z", 1_709_251_199_999),
        ("2099-12-31T23:59:59.999Z", 4_102_444_799_999),
    ],
)
def test_rfc_3339_text_becomes_milliseconds(text, ms):
    assert instant(text) == ms


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("2026-03-04T08:17:02", Reason.NO_ZONE),
        ("2026-03-04 08:17:02.118", Reason.NO_ZONE),
        (datetime(2026, 3, 4, 8, 17, 2), Reason.NO_ZONE),
        (1_772_612_222, Reason.SECONDS_NOT_MILLISECONDS),
        (0, Reason.SECONDS_NOT_MILLISECONDS),
        (99_999_999_999, Reason.SECONDS_NOT_MILLISECONDS),
        (100_000_000_000, Reason.TIME_OUT_OF_RANGE),
        (-1, Reason.TIME_OUT_OF_RANGE),
        (631_151_999_999, Reason.TIME_OUT_OF_RANGE),
        (4_102_444_800_000, Reason.TIME_OUT_OF_RANGE),
        ("1990-01-01T00:00:00+00:01", Reason.TIME_OUT_OF_RANGE),
        ("0000-01-01T00:00:00Z", Reason.INVALID_FIELD),
        ("2026-02-29T08:17:02Z", Reason.INVALID_FIELD),
        ("2026-03-04T24:00:00Z", Reason.INVALID_FIELD),
        ("2026-03-04T08:17:60Z", Reason.INVALID_FIELD),
        ("2026-03-04T08:17:02+24:00", Reason.INVALID_FIELD),
        ("2026-03-04T08:17:02+02:60", Reason.INVALID_FIELD),
        ("2026-03-04T08:17:02+0200", Reason.INVALID_FIELD),
        ("2026-03-04T08:17Z", Reason.INVALID_FIELD),
        ("2026-03-04", Reason.INVALID_FIELD),
        ("2026-03-04T08:17:02.Z", Reason.INVALID_FIELD),
        ("2026-03-04T08:17:02Z\n", Reason.INVALID_FIELD),
        ("٢٠٢٦-03-04T08:17:02Z", Reason.INVALID_FIELD),
        ("", Reason.INVALID_FIELD),
        (1_772_612_222_118.0, Reason.INVALID_FIELD),
        (True, Reason.INVALID_FIELD),
        (None, Reason.INVALID_FIELD),
        ([], Reason.INVALID_FIELD),
    ],
)
def test_what_is_no_instant_is_refused_with_its_reason(value, reason):
    with pytest.raises(EventRejected) as refusal:
        instant(value)

    assert refusal.value.reason is reason


@given(
    st.datetimes(datetime(1990, 1, 2), datetime(2099, 12, 30)),
    st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes))),
    st.sampled_from(["seconds", "milliseconds", "microseconds"]),
)
def test_text_and_datetime_are_the_same_instant(naive, zone, precision):
    at = naive.replace(tzinfo=zone, microsecond=0 if precision == "seconds" else naive.microsecond)
    ms = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)

    assert instant(at) == ms
    assert instant(at.isoformat(timespec=precision)) == ms
    assert instant_or_zero(at.isoformat(timespec=precision)) == ms
    assert instant(to_text(ms)) == ms


@given(st.text("0123456789.+-:TtZz \u0663", max_size=9))
def test_look_ups_take_nothing_that_is_refused(tail):
    for warm in ("2026-03-04T08:17:02.118Z", "2026-03-04T08:17:02.118+02:00", "2026-03-04T08:17:02Z"):
        instant(warm)

    for text in ("2026-03-04T08:17:02" + tail, "2026-03-04T08:17:02.118" + tail, "2026-03-04T08:17:02." + tail + "Z"):
        try:
            expected = instant(text)
        except EventRejected:
            expected = 0
        assert instant_or_zero(text) == expected


def test_look_ups_stay_bounded():
    for ms in range(1_772_612_222_000, 1_772_612_222_000 + 70_000_000, 1000):
        instant(to_text(ms))

    assert len(HEADS) <= 65_536
    assert len(TAILS) <= 65_536


def test_milliseconds_are_written_in_utc():
    assert to_text(1_772_612_222_118) == "2026-03-04T08:17:02.118Z"
    assert to_text(631_152_000_000) == "1990-01-01T00:00:00.000Z"
