"""Around the contract: CloudEvents wrappings and fields that nobody knows."""

import base64
import json

import pytest

from kpistream.core.decoding import OTHER, Decoder, decode, unknown_fields
from kpistream.errors import EventRejected, Reason

AT_MS = 1_772_612_222_118
INNER = {"tenant": "acme", "agent_id": "maria", "outcome": "lost", "closed_at": AT_MS}
PLAIN = {"type": "deal.closed", "source": "crm", "event_id": "d-1", **INNER}
CLOUD = {"specversion": "1.0", "type": "kpistream.deal.closed", "source": "crm", "id": "d-1"}
HEADERS = [("content-type", b"application/json"), *((f"ce_{name}", text.encode()) for name, text in CLOUD.items())]


def decoded(content, headers=()):
    return decode(json.dumps(content).encode(), AT_MS, headers)


def test_structured_cloud_event_is_the_event_inside():
    assert decoded({**CLOUD, "datacontenttype": "application/json", "data": INNER}) == decoded(PLAIN)


def test_structured_cloud_event_may_hold_its_data_in_base64():
    data = base64.b64encode(json.dumps(INNER).encode()).decode()

    assert decoded({**CLOUD, "data_base64": data}) == decoded(PLAIN)


def test_binary_cloud_event_is_its_value_filled_from_headers():
    assert decoded(INNER, HEADERS) == decoded(PLAIN)


def test_tenant_may_come_as_an_extension_attribute():
    inner = {name: held for name, held in INNER.items() if name != "tenant"}

    assert decoded({**CLOUD, "tenant": "acme", "data": inner}) == decoded(PLAIN)
    assert decoded(inner, [*HEADERS, ("ce_tenant", b"acme")]) == decoded(PLAIN)


def test_complete_event_means_the_same_in_any_wrapping():
    other = [("ce_specversion", b"1.0"), ("ce_type", b"survey.completed"), ("ce_id", b"x"), ("ce_source", b"y")]

    assert decoded(PLAIN, other) == decoded(PLAIN)
    assert decoded({**CLOUD, "id": "x", "source": "y", "data": PLAIN}) == decoded(PLAIN)


def test_headers_of_others_change_nothing():
    assert decoded(PLAIN, [("traceparent", b"\xff"), ("ce_id", None)]) == decoded(PLAIN)


@pytest.mark.parametrize(
    ("content", "headers", "reason", "detail"),
    [
        ({**CLOUD, "specversion": "0.3", "data": INNER}, (), Reason.INVALID_FIELD, 'specversion: "0.3" is not "1.0"'),
        (INNER, [("ce_specversion", b"2")], Reason.INVALID_FIELD, 'specversion: "2" is not "1.0"'),
        ({**CLOUD, "data": "{}"}, (), Reason.INVALID_FIELD, "data: one JSON object is expected"),
        ({**CLOUD, "data_base64": "!"}, (), Reason.INVALID_FIELD, "data_base64: no JSON object in base64"),
        ({**CLOUD, "data_base64": 3}, (), Reason.INVALID_FIELD, "data_base64: no JSON object in base64"),
        (
            {**CLOUD, "source": "urn:crm", "data": INNER},
            (),
            Reason.INVALID_FIELD,
            'source: "urn:crm" is not 1 to 64 of A-Z a-z 0-9 . _ -',
        ),
        ({**CLOUD, "type": "com.other", "data": INNER}, (), Reason.UNKNOWN_TYPE, 'type "com.other" is unknown'),
        (CLOUD, (), Reason.UNKNOWN_TYPE, 'type "kpistream.deal.closed" is unknown'),
    ],
)
def test_wrapping_that_does_not_hold_an_event_is_refused(content, headers, reason, detail):
    with pytest.raises(EventRejected) as refusal:
        decoded(content, headers)

    assert (refusal.value.reason, refusal.value.detail) == (reason, detail)


def test_unknown_fields_are_ignored_and_counted_by_name():
    moved = {"agent_id": "jan", "occurred_at": AT_MS}
    decoder = Decoder()

    with_more = json.dumps({**PLAIN, "stage": 3, "moved_from": {**moved, "reason": "x"}}).encode()
    first = decoder.decode(with_more, AT_MS)
    decoder.decode(json.dumps({**PLAIN, "stage": None}).encode(), AT_MS)
    decoder.decode(json.dumps(PLAIN).encode(), AT_MS)

    assert first == decoded({**PLAIN, "moved_from": moved})
    assert decoder.unknown == {"stage": 2, "moved_from.reason": 1}
    assert unknown_fields(with_more) == ("stage", "moved_from.reason")
    assert unknown_fields(b"{") == ()


def test_refused_records_count_no_unknown_fields():
    decoder = Decoder()

    with pytest.raises(EventRejected):
        decoder.decode(json.dumps({**PLAIN, "tenant": "", "stage": 3}).encode(), AT_MS)

    assert decoder.unknown == {}


def test_names_of_unknown_fields_are_bounded():
    decoder = Decoder()

    for number in range(150):
        decoder.decode(json.dumps({**PLAIN, f"field{number}": 1}).encode(), AT_MS)
    decoder.decode(json.dumps({**PLAIN, "field7": 1}).encode(), AT_MS)

    assert len(decoder.unknown) == 101
    assert decoder.unknown["field7"] == 2
    assert decoder.unknown[OTHER] == 50
