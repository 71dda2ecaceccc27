"""Records: forwarded records and dead letters keep what they must keep."""

from types import SimpleNamespace

from kpistream.errors import EventRejected, Reason
from kpistream.log.records import dead_letter, first_timestamp_ms, forwarded, hops


def record(**changes):
    fields = {
        "topic": "kpi.events",
        "partition": 3,
        "offset": 7,
        "timestamp": 1_000,
        "key": b"k",
        "value": b"{",
        "headers": [],
    }
    return SimpleNamespace(**fields | changes)


def test_forwarded_record_keeps_its_first_timestamp_and_counts_the_hop():
    sent = forwarded(record(headers=[("trace", b"t")]), "acme/agent:ann")

    assert (sent.key, sent.value) == (b"acme/agent:ann", b"{")
    assert sent.headers == [("trace", b"t"), ("kpi-first-timestamp", b"1000"), ("kpi-hop", b"1")]
    arrived = record(timestamp=9_000, headers=sent.headers)
    assert (first_timestamp_ms(arrived), hops(arrived)) == (1_000, 1)


def test_first_timestamp_is_never_later_than_the_record():
    assert first_timestamp_ms(record(headers=[("kpi-first-timestamp", b"99999999")])) == 1_000
    assert first_timestamp_ms(record(headers=[("kpi-first-timestamp", b"soon")])) == 1_000
    assert first_timestamp_ms(record(headers=[("kpi-first-timestamp", None)])) == 1_000


def test_dead_letter_keeps_bytes_key_headers_and_coordinates():
    letter = dead_letter(record(headers=[("trace", b"t")]), EventRejected(Reason.NOT_JSON, "no object", "send JSON"))

    assert (letter.key, letter.value) == (b"k", b"{")
    assert dict(letter.headers) == {
        "kpi-reason": b"not-json",
        "kpi-detail": b"no object",
        "kpi-hint": b"send JSON",
        "kpi-topic": b"kpi.events",
        "kpi-partition": b"3",
        "kpi-offset": b"7",
        "kpi-timestamp": b"1000",
        "kpi-original-trace": b"t",
    }


def test_null_value_and_value_beyond_the_limit_say_so():
    empty = dead_letter(record(value=None), EventRejected(Reason.EMPTY, "null"))
    large = dead_letter(record(value=bytes(16 << 20)), EventRejected(Reason.TOO_LARGE, "large"))

    assert (empty.value, dict(empty.headers)["kpi-null-value"]) == (b"", b"1")
    assert (len(large.value), dict(large.headers)["kpi-cut-from-bytes"]) == (15 << 20, b"16777216")
