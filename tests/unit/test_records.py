"""Records: forwarded records and dead letters keep what they must keep."""

from types import SimpleNamespace

from kpistream.errors import EventRejected, Reason
from kpistream.log.records import dead_letter, first_timestamp_ms, forwarded, hops
from kpistream.log.topics import DEAD_LETTER_BYTES


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
    assert (len(large.value), dict(large.headers)["kpi-cut-from-bytes"]) == ((15 << 20) - 1, b"16777216")


def test_record_of_any_size_becomes_a_letter_that_the_topic_takes():
    rejected = EventRejected(Reason.NOT_JSON, "no object")
    shapes = [
        {"key": bytes(20 << 20)},
        {"headers": [("big", bytes(20 << 20))]},
        {"headers": [(str(number), b"") for number in range(500_000)]},
        {"key": bytes(10 << 20), "value": bytes(10 << 20), "headers": [("big", bytes(10 << 20))]},
        {"key": bytes(7 << 20), "value": bytes(10 << 20), "headers": [("big", bytes(7 << 20)), ("none", None)]},
    ]
    for shape in shapes:
        letter = dead_letter(record(**shape), rejected)

        names = sum(len(name) + len(value or b"") + 10 for name, value in letter.headers)
        assert len(letter.key or b"") + len(letter.value) + names < DEAD_LETTER_BYTES
        assert any(name.startswith("kpi-cut-") for name, _ in letter.headers)
        assert dict(letter.headers)["kpi-offset"] == b"7"


def test_letter_that_fits_is_never_cut():
    whole = record(key=bytes(1 << 20), value=bytes(10 << 20), headers=[("a", bytes(3 << 20)), ("b", None)])

    letter = dead_letter(whole, EventRejected(Reason.TOO_LARGE, "large"))

    assert (letter.key, letter.value) == (whole.key, whole.value)
    assert letter.headers[-2:] == [("kpi-original-a", bytes(3 << 20)), ("kpi-original-b", None)]
    assert not any(name.startswith("kpi-cut-") for name, _ in letter.headers)


def test_largest_accepted_event_fits_when_it_is_forwarded_with_headers_that_do_not():
    filling = [("ce_specversion", b"1.0"), ("ce_id", b"e" * 1024)]
    large = record(value=bytes(1_000_000), headers=[("trace", bytes(40_000)), *filling, ("ce_source", bytes(9_000))])

    sent = forwarded(large, "acme/agent:ann")

    assert list(sent.headers[:2]) == filling
    assert len(sent.value) + sum(len(name) + len(value) + 10 for name, value in sent.headers) < 1_040_000
