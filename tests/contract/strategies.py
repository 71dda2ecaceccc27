"""Hypothesis strategies: event objects, sound and broken, and bytes made from them."""

import json
from base64 import b64encode
from typing import Any

from hypothesis import strategies as st

TIMESTAMP_MS = 1_772_612_222_118
"""2026-03-04T08:17:02.118Z, the timestamp of every record in these tests."""

_instants = st.one_of(
    st.integers(TIMESTAMP_MS - 1_000_000, TIMESTAMP_MS + 400_000),
    st.sampled_from(
        [
            "2026-03-04T08:12:05Z",
            "2026-03-04T08:12:05.5Z",
            "2026-03-04T10:12:19.123456+02:00",
            "2026-03-04t08:17:02.118z",
            "2026-03-04 08:17:02.118-00:00",
            "2026-03-04T08:12:05",
            "2026-02-29T08:12:05Z",
            "2026-03-04T24:00:00Z",
            "2026-03-04T08:12:60Z",
            "1989-12-31T23:59:59.999Z",
            "1990-01-01T00:00:00+00:01",
            "2099-12-31T23:59:59.999Z",
            "2100-01-01T00:00:00Z",
            "2026-03-04T08:12:05+24:00",
            "2026-03-04T08:12:05+0200",
            "٢٠٢٦-03-04T08:12:05Z",
            "",
        ]
    ),
    st.sampled_from([1_772_612_222, 0, -1, 99_999_999_999, 100_000_000_000, 4_102_444_800_000, 1e12, True, None]),
)
_texts = st.one_of(
    st.sampled_from(
        ["a", "agent-7", "Zoë", "x" * 128, "x" * 129, "x" * 256, "x" * 257, "", "a\nb", "\x7f", "\x85", "\xa0", "\\"]
    ),
    st.text(max_size=6),
    st.none(),
)
_names = st.one_of(st.sampled_from(["acme", "pbx.eu-1", "a" * 64, "a" * 65, "", "a b", "a\n"]), _texts)
_numbers = st.one_of(
    st.integers(-1, 400_000),
    st.sampled_from(
        [86_400_000, 86_400_001, 2**48 - 1, 2**48, 2**64, 10**13, 10**13 + 1, 10**30, 1.0, 0.5, True, "3", None]
    ),
)
_scores = st.one_of(
    st.integers(-1, 11),
    st.decimals(0, 10, places=3).map(float),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([4.5555, 1e300, -0.0, "5", None, True, 10**400]),
)
_moved = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {},
        optional={
            "agent_id": _texts,
            "queue": _texts,
            "campaign": _texts,
            "occurred_at": _instants,
            "zone": st.just(1),
        },
    ),
    st.sampled_from([[], "agent:a", 3]),
)
_attributes = st.one_of(
    st.none(),
    st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=3),
    st.sampled_from(
        [{str(n): "" for n in range(64)}, {str(n): "" for n in range(65)}, {"a": "x" * 1025}, {"a": 1}, {"a": None}, []]
    ),
)

_SOUND: dict[str, dict[str, Any]] = {
    "call.ended": {
        "direction": "outbound",
        "started_at": "2026-03-04T08:12:05Z",
        "answered_at": "2026-03-04T08:12:19Z",
        "ended_at": TIMESTAMP_MS,
        "talk_ms": 268_000,
        "outcome": "connected",
    },
    "deal.closed": {"outcome": "won", "amount_minor": 125_000, "currency": "EUR", "closed_at": TIMESTAMP_MS},
    "survey.completed": {"kind": "csat", "score": 4.5, "scale_min": 1, "scale_max": 5, "completed_at": TIMESTAMP_MS},
}
_ENVELOPE = {"tenant": "acme", "source": "pbx", "event_id": "e-1", "agent_id": "agent-7"}
_RETRACTED = {
    "type": "retracted",
    "tenant": "acme",
    "source": "pbx",
    "kind": "call",
    "event_id": "e-1",
    "epoch": 1,
    "revision": 2,
    "digest": 77,
    "scope": "agent:agent-7",
    "start_ms": TIMESTAMP_MS - TIMESTAMP_MS % 300_000,
}
_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "type": st.sampled_from([*_SOUND, "retracted", "call.began", "", None, 3, []]),
    "tenant": _names,
    "source": _names,
    "revision": _numbers,
    "direction": st.sampled_from(["inbound", "outbound", "OUTBOUND", None, 1]),
    "outcome": st.sampled_from(["connected", "no-answer", "abandoned", "voicemail", "won", "lost", "voided", "", None]),
    "answered_by": st.sampled_from(["human", "machine", "unknown", "fax", None]),
    "currency": st.sampled_from(["EUR", "JPY", "eur", "EURO", "XXX", "", None, 978]),
    "customer_type": st.sampled_from(["new", "repeat", "old", None]),
    "kind": st.sampled_from(["csat", "nps", "ces", "other", "call", "deal", "fcr", None]),
    "score": _scores,
    "scope": st.sampled_from(["agent:a", "queue:", "team:x", "campaign:\n", "", None, "agent:" + "x" * 260]),
    "moved_from": _moved,
    "attributes": _attributes,
    "surprise": st.sampled_from([1, None, "x", {"a": [1]}, []]),
}
for _name in (
    "event_id",
    "agent_id",
    "queue",
    "campaign",
    "customer_id",
    "call_id",
    "disposition",
    "follow_up_of",
    "product",
):
    _VALUES[_name] = _texts
for _name in ("queue_wait_ms", "ring_ms", "talk_ms", "hold_ms", "wrap_up_ms", "transfer_leg", "amount_minor"):
    _VALUES[_name] = _numbers
for _name in ("scale_min", "scale_max", "epoch", "digest", "start_ms"):
    _VALUES[_name] = st.one_of(st.integers(-1, 101), _numbers)
for _name in ("started_at", "answered_at", "ended_at", "closed_at", "completed_at", "occurred_at"):
    _VALUES[_name] = _instants
for _name in ("follow_up_due_at", "next_follow_up_at"):
    _VALUES[_name] = _instants


def sound_objects() -> list[dict[str, Any]]:
    """One sound event of each type."""
    return [*({"type": kind, **_ENVELOPE, **own} for kind, own in _SOUND.items()), dict(_RETRACTED)]


@st.composite
def objects(draw: st.DrawFn) -> dict[str, Any]:
    """A sound event with up to four of its fields replaced, added or removed, in any order of fields."""
    content = dict(draw(st.sampled_from(sound_objects())))
    for name in draw(st.lists(st.sampled_from(sorted(_VALUES)), max_size=4)):
        if draw(st.integers(0, 5)) == 0:
            content.pop(name, None)
        else:
            content[name] = draw(_VALUES[name])
    return dict(draw(st.permutations(list(content.items())))) if draw(st.booleans()) else content


@st.composite
def records(draw: st.DrawFn) -> bytes:
    """JSON of an object, escaped or not; one time in three some bytes are changed."""
    value = json.dumps(draw(objects()), ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 2)):
        return value
    at = draw(st.integers(0, len(value)))
    piece = draw(
        st.one_of(
            st.binary(max_size=3),
            st.sampled_from(
                [
                    b"\\ud800",
                    b"\\u0000",
                    b"\xc2\x85",
                    b"\xed\xa0\x80",
                    b"NaN",
                    b"-",
                    b"1e999",
                    b"[" * 300,
                    b'"a":1,',
                    b"0",
                    b".0",
                ]
            ),
        )
    )
    return value[:at] + piece + value[at + draw(st.integers(0, 3)) :]


_ATTRIBUTES = {
    "specversion": st.sampled_from(["1.0", "1.0", "1.0", "0.3", 1.0, None]),
    "type": st.sampled_from(["kpistream.call.ended", "deal.closed", "survey.completed", "com.other", None]),
    "id": st.sampled_from(["e-2", "", 3, None]),
    "source": st.sampled_from(["pbx", "urn:pbx", None]),
    "tenant": st.sampled_from(["acme", "a b", None]),
}


@st.composite
def cloud_records(draw: st.DrawFn) -> tuple[bytes, list[tuple[str, bytes | None]]]:
    """Value and headers of a CloudEvent, structured or binary, around an object that may lack what it fills."""
    content = dict(draw(objects()))
    for name in draw(st.lists(st.sampled_from(["type", "event_id", "source", "tenant"]), max_size=3)):
        content.pop(name, None)
    attributes = {name: draw(values) for name, values in _ATTRIBUTES.items() if draw(st.integers(0, 5))}
    mode = draw(st.sampled_from(["data", "data_base64", "headers"]))
    if mode == "headers":
        headers = [(f"ce_{name}", None if held is None else str(held).encode()) for name, held in attributes.items()]
        return json.dumps(content).encode(), headers
    if mode == "data":
        return json.dumps({**attributes, "data": draw(st.sampled_from([content, content, "{}", None]))}).encode(), []
    held = b64encode(json.dumps(content).encode()).decode()
    return json.dumps(
        {**attributes, "data_base64": draw(st.sampled_from([held, held, "!", "W10=", None]))}
    ).encode(), []
