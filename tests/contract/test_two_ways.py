"""The fast way and the models accept and reject the same bytes, field for field and reason for reason."""

import json

import pytest
from hypothesis import example, given, settings
from pydantic import ValidationError

from kpistream.core.decoding import Decoder, canonical, decode, fields_of
from kpistream.core.events import MODELS
from kpistream.core.explaining import examine, rejection
from kpistream.errors import EventRejected
from tests.contract.strategies import TIMESTAMP_MS, cloud_records, objects, records, sound_objects

CASES = settings(max_examples=400, deadline=None)


class FastOnly(Decoder):
    """Fails where the models would be asked."""

    def _exactly(self, content, timestamp_ms):
        raise AssertionError("the fast way did not accept")


def by_models(value, headers=()):
    try:
        return fields_of(examine(value, TIMESTAMP_MS, headers))
    except EventRejected as rejected:
        return rejected.reason, rejected.detail, rejected.hint


def by_decoder(value, headers=()):
    try:
        return decode(value, TIMESTAMP_MS, headers)
    except EventRejected as rejected:
        return rejected.reason, rejected.detail, rejected.hint


@CASES
@given(records())
@example(b"")
@example(b"\x00\x00\x00\x00\x01{}")
@example(b"[" * 100_000)
@example(b'{"type":"call.ended","a":' + b"[" * 5_000)
@example(b'{"type":' * 50_000)
@example(b'{"type":"call.ended","revision":' + b"9" * 5_000 + b"}")
@example(b"\xef\xbb\xbf{}")
def test_decoder_and_models_agree_on_bytes(value):
    assert by_decoder(value) == by_models(value)


@CASES
@given(objects())
def test_decoder_and_models_agree_on_objects(content):
    value = json.dumps(content).encode()

    assert by_decoder(value) == by_models(value)


@CASES
@given(cloud_records())
def test_decoder_and_models_agree_on_cloud_events(record):
    value, headers = record

    assert by_decoder(value, headers) == by_models(value, headers)


BEYOND_FLOATS = (
    b'{"type":"survey.completed","tenant":"acme","source":"pbx","event_id":"e-1","agent_id":"a","kind":"csat",'
    b'"score":1' + 400 * b"0" + b',"scale_min":1,"scale_max":5,"completed_at":1772612222118}'
)


@CASES
@given(records())
@example(BEYOND_FLOATS)
def test_pydantic_itself_agrees_on_bytes(value):
    """`Model.model_validate_json`, as a consumer with pydantic would call it, without our reading of JSON."""
    found = by_decoder(value)
    kind = _type_of(value)

    try:
        event = MODELS[kind].model_validate_json(value) if kind in MODELS else None
    except ValidationError as error:
        told = rejection(error)
        assert found == (told.reason, told.detail, told.hint)
    else:
        ours = found if isinstance(found, tuple) else None
        if event is None or (ours and ours[0] in ("in-the-future", "too-large")):
            assert isinstance(found, tuple)
        else:
            assert found == fields_of(event)


def _type_of(value):
    """The type that the last `type` member names; None where the JSON is not that of RFC 8259."""

    def constant(word):
        raise ValueError(word)

    try:
        content = json.loads(value.decode("utf-8"), parse_constant=constant)
        json.dumps(content, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        return None
    kind = content.get("type") if isinstance(content, dict) else None
    return kind if isinstance(kind, str) and "specversion" not in content else None


@CASES
@given(objects())
def test_models_write_what_the_decoder_reads(content):
    value = json.dumps(content).encode()
    try:
        event = examine(value, TIMESTAMP_MS)
    except EventRejected:
        return

    again = decode(event.to_json(), TIMESTAMP_MS)

    assert again == fields_of(event)
    assert canonical(again) == canonical(decode(value, TIMESTAMP_MS))


@pytest.mark.parametrize("content", sound_objects(), ids=lambda content: content["type"])
def test_fast_way_takes_sound_events_by_itself(content):
    value = json.dumps(content).encode()

    FastOnly().decode(value, TIMESTAMP_MS)
    FastOnly().decode(value.replace(b"agent-7", "Zoë 7".encode()), TIMESTAMP_MS)
    FastOnly().decode(value.replace(b"agent-7", b"a\\\\7"), TIMESTAMP_MS)


_TEXTS = {
    "call.ended": (
        "event_id",
        "agent_id",
        "queue",
        "campaign",
        "customer_id",
        "call_id",
        "disposition",
        "follow_up_of",
    ),
    "deal.closed": ("event_id", "agent_id", "queue", "campaign", "customer_id", "call_id", "product"),
    "survey.completed": ("event_id", "agent_id", "queue", "campaign", "customer_id", "call_id"),
    "retracted": ("event_id", "scope"),
}


@pytest.mark.parametrize("escaped", [True, False], ids=["escaped", "as it is"])
@pytest.mark.parametrize("content", sound_objects(), ids=lambda content: content["type"])
def test_control_characters_are_refused_in_every_text(content, escaped):
    for name in _TEXTS[content["type"]]:
        for char in "\x00\n\x1f\x7f\x80\x9f":
            value = json.dumps({**content, name: f"agent:a{char}b"}, ensure_ascii=escaped).encode()

            found = by_decoder(value)

            assert found == by_models(value)
            assert found[0] == "invalid-field"
            assert found[1].endswith("has a control character") or name == "scope"


@pytest.mark.parametrize("escaped", [True, False], ids=["escaped", "as it is"])
@pytest.mark.parametrize("content", sound_objects()[:3], ids=lambda content: content["type"])
def test_control_characters_are_refused_in_names_but_taken_in_texts_of_attributes(content, escaped):
    for char in "\x00\n\x1f\x7f\x80\x9f":
        name = json.dumps({**content, "attributes": {f"a{char}": "b"}}, ensure_ascii=escaped).encode()
        text = json.dumps({**content, "attributes": {"a": f"b{char}"}}, ensure_ascii=escaped).encode()
        moved = {"queue": f"a{char}", "occurred_at": TIMESTAMP_MS}
        place = json.dumps({**content, "moved_from": moved}, ensure_ascii=escaped).encode()

        assert by_decoder(name) == by_models(name)
        assert by_decoder(name)[0] == by_decoder(place)[0] == "invalid-field"
        assert by_decoder(text) == by_models(text)
        assert by_decoder(text).attributes == {"a": f"b{char}"}


def test_last_of_two_equal_names_counts_on_both_ways():
    value = json.dumps(sound_objects()[0]).encode()

    twice = value.replace(b'"talk_ms": 268000', b'"talk_ms": 1, "talk_ms": 2')
    wrong_first = value.replace(b'"talk_ms": 268000', b'"talk_ms": "x", "talk_ms": 2')

    assert by_models(twice).talk_ms == decode(twice, TIMESTAMP_MS).talk_ms == 2
    assert by_models(wrong_first).talk_ms == decode(wrong_first, TIMESTAMP_MS).talk_ms == 2
