"""The contract: what is accepted, what is refused, and with which reason and words."""

import json
from datetime import datetime, timedelta, timezone

import pytest
from pydantic import ValidationError

from kpistream.core.decoding import canonical, decode
from kpistream.core.events import CallEnded, DealClosed, MovedFrom, Retracted, SurveyCompleted
from kpistream.errors import EventRejected, Reason

AT = "2026-03-04T08:17:02.118Z"
AT_MS = 1_772_612_222_118
CALL = {
    "type": "call.ended",
    "tenant": "acme",
    "source": "pbx",
    "event_id": "c-1",
    "agent_id": "maria",
    "direction": "outbound",
    "started_at": "2026-03-04T08:12:05Z",
    "answered_at": "2026-03-04T08:12:19Z",
    "ended_at": AT,
    "talk_ms": 268_000,
    "hold_ms": 15_000,
    "outcome": "connected",
}
DEAL = {
    "type": "deal.closed",
    "tenant": "acme",
    "source": "crm",
    "event_id": "d-1",
    "agent_id": "maria",
    "outcome": "won",
    "amount_minor": 125_000,
    "currency": "EUR",
    "closed_at": AT,
}
SURVEY = {
    "type": "survey.completed",
    "tenant": "acme",
    "source": "forms",
    "event_id": "s-1",
    "agent_id": "maria",
    "kind": "csat",
    "score": 4.5,
    "scale_min": 1,
    "scale_max": 5,
    "completed_at": AT,
}
GONE = object()


def value(base, **changes):
    content = {name: held for name, held in {**base, **changes}.items() if held is not GONE}
    return json.dumps(content).encode()


def refusal(raw, timestamp_ms=AT_MS):
    with pytest.raises(EventRejected) as caught:
        decode(raw, timestamp_ms)
    return caught.value.reason, caught.value.detail


ACCEPTED = {
    "a connected call": value(CALL),
    "a second of rounding in talk and hold": value(CALL, talk_ms=269_118),
    "no talk time": value(CALL, talk_ms=None, hold_ms=None),
    "an abandoned call of a queue": value(
        CALL, agent_id=None, queue="sales", outcome="abandoned", answered_at=None, talk_ms=0, hold_ms=None
    ),
    "a call of a campaign": value(
        CALL, agent_id=GONE, campaign="spring", outcome="busy", answered_at=None, talk_ms=GONE
    ),
    "a machine": value(CALL, outcome="voicemail", answered_by="machine"),
    "a call of seven days": value(CALL, started_at="2026-02-25T08:17:02.118Z"),
    "a call of no length": value(CALL, started_at=AT, answered_at=AT, talk_ms=0, hold_ms=0),
    "a follow-up": value(CALL, follow_up_of="k-0", follow_up_due_at="2026-03-04T09:00:00Z"),
    "a promise": value(CALL, next_follow_up_at="2026-03-09T09:00:00Z"),
    "occurred_at in another zone": value(CALL, occurred_at="2026-03-04T10:17:02.118+02:00"),
    "five minutes ahead of its record": value(CALL, ended_at="2026-03-04T08:22:02.118Z"),
    "the highest revision": value(CALL, revision=281_474_976_710_655),
    "a newline in an attribute": value(CALL, attributes={"note": "first\nsecond"}),
    "a move from a queue": value(CALL, moved_from={"queue": "sales", "occurred_at": AT}),
    "a deal without amount that is lost": value(DEAL, outcome="lost", amount_minor=GONE, currency=GONE),
    "a deal for nothing": value(DEAL, amount_minor=0),
    "three decimals": value(SURVEY, score=4.567),
    "NPS": value(SURVEY, kind="nps", score=9, scale_min=0, scale_max=10),
}
REFUSED = {
    "blank": (b"", Reason.EMPTY, "value has 0 bytes"),
    "null": (None, Reason.EMPTY, "value is null"),
    "too large": (b" " * 1_000_001, Reason.TOO_LARGE, "value has 1000001 bytes, the limit is 1000000 bytes"),
    "framed": (
        b"\x00\x00\x00\x00\x07" + value(CALL),
        Reason.SCHEMA_REGISTRY_FRAMING,
        "value looks like Schema Registry framing; kpistream reads JSON",
    ),
    "an array": (b"[]", Reason.NOT_JSON, "value is an array, one JSON object is expected"),
    "not a number": (
        value(SURVEY, score=float("nan")),
        Reason.NOT_JSON,
        "value is not JSON: expected value at line 1 column 132",
    ),
    "no type": (value(CALL, type=GONE), Reason.MISSING_FIELD, "type: missing"),
    "another type": (value(CALL, type="call.began"), Reason.UNKNOWN_TYPE, 'type "call.began" is unknown'),
    "no tenant": (value(CALL, tenant=GONE), Reason.MISSING_FIELD, "tenant: missing"),
    "a tenant with a slash": (
        value(CALL, tenant="a/b"),
        Reason.INVALID_FIELD,
        'tenant: "a/b" is not 1 to 64 of A-Z a-z 0-9 . _ -',
    ),
    "a control character": (
        value(CALL, agent_id="ma\x00ria"),
        Reason.INVALID_FIELD,
        'agent_id: "ma\\u0000ria" has a control character',
    ),
    "a long agent": (
        value(CALL, agent_id="m" * 129),
        Reason.INVALID_FIELD,
        f'agent_id: "{"m" * 61}..." is longer than 128 characters',
    ),
    "text for a number": (value(CALL, talk_ms="268"), Reason.INVALID_FIELD, 'talk_ms: "268" is not a whole number'),
    "a float for an integer": (
        value(CALL, talk_ms=268.0),
        Reason.INVALID_FIELD,
        "talk_ms: 268.0 is not a whole number",
    ),
    "more than a day": (
        value(CALL, wrap_up_ms=86_400_001),
        Reason.INVALID_FIELD,
        "wrap_up_ms: 86400001 is above the limit of 86400000 ms",
    ),
    "a high revision": (
        value(CALL, revision=1 << 48),
        Reason.INVALID_FIELD,
        "revision: 281474976710656 is above the limit of 281474976710655",
    ),
    "another direction": (
        value(CALL, direction="out"),
        Reason.INVALID_FIELD,
        "direction: \"out\" is not 'inbound' or 'outbound'",
    ),
    "many attributes": (
        value(CALL, attributes={str(n): "" for n in range(65)}),
        Reason.INVALID_FIELD,
        "attributes: more than 64 entries",
    ),
    "no zone": (
        value(CALL, started_at="2026-03-04T08:12:05"),
        Reason.NO_ZONE,
        'started_at: "2026-03-04T08:12:05" has no zone',
    ),
    "seconds": (
        value(CALL, started_at=1_772_612_222),
        Reason.SECONDS_NOT_MILLISECONDS,
        "started_at: 1772612222 is too small for epoch milliseconds",
    ),
    "another century": (
        value(CALL, ended_at="2126-03-04T08:17:02Z"),
        Reason.TIME_OUT_OF_RANGE,
        "ended_at: 2126-03-04T08:17:02Z is outside 1990-01-01 to 2100-01-01",
    ),
    "ended before started": (
        value(CALL, ended_at="2026-03-04T08:12:00Z", answered_at=None),
        Reason.ENDED_BEFORE_STARTED,
        "ended_at is 5000 ms before started_at",
    ),
    "a call of more than seven days": (
        value(CALL, started_at="2026-02-25T08:17:02.117Z"),
        Reason.CALL_TOO_LONG,
        "the call lasts 604800001 ms, the limit is 604800000 ms",
    ),
    "answered before started": (
        value(CALL, answered_at="2026-03-04T08:12:04Z"),
        Reason.ANSWERED_OUTSIDE_CALL,
        "answered_at is 1000 ms before started_at",
    ),
    "answered after ended": (
        value(CALL, answered_at="2026-03-04T08:17:03.118Z"),
        Reason.ANSWERED_OUTSIDE_CALL,
        "answered_at is 1000 ms after ended_at",
    ),
    "talk longer than the call": (
        value(CALL, talk_ms=269_119),
        Reason.TALK_LONGER_THAN_CALL,
        "talk_ms + hold_ms is 284119 ms, answered to ended is 283118 ms",
    ),
    "connected, never answered": (
        value(CALL, answered_at=None),
        Reason.OUTCOME_CONTRADICTS,
        'outcome "connected" needs answered_at',
    ),
    "connected to a machine": (
        value(CALL, answered_by="machine"),
        Reason.OUTCOME_CONTRADICTS,
        'outcome "connected" with answered_by "machine"',
    ),
    "abandoned, yet answered": (
        value(CALL, outcome="abandoned"),
        Reason.OUTCOME_CONTRADICTS,
        'outcome "abandoned" with answered_at',
    ),
    "talk, never answered": (
        value(CALL, outcome="no-answer", answered_at=None),
        Reason.OUTCOME_CONTRADICTS,
        "talk_ms 268000 without answered_at",
    ),
    "a due time of nothing": (
        value(CALL, follow_up_due_at=AT),
        Reason.MISSING_FIELD,
        "follow_up_of: missing, follow_up_due_at is given",
    ),
    "another occurred_at": (
        value(CALL, occurred_at=AT_MS + 1),
        Reason.OCCURRED_AT_DIFFERS,
        "occurred_at: 2026-03-04T08:17:02.119Z differs from ended_at 2026-03-04T08:17:02.118Z",
    ),
    "nobody's call": (
        value(CALL, agent_id=None),
        Reason.NO_PLACE,
        "agent_id, queue and campaign are all missing",
    ),
    "moved from nowhere": (
        value(CALL, moved_from={"occurred_at": AT}),
        Reason.NO_PLACE,
        "moved_from: agent_id, queue and campaign are all missing",
    ),
    "moved at no time": (
        value(CALL, moved_from={"agent_id": "jan"}),
        Reason.MISSING_FIELD,
        "moved_from.occurred_at: missing",
    ),
    "ahead of its record": (
        value(CALL, ended_at="2026-03-04T08:22:02.119Z"),
        Reason.IN_THE_FUTURE,
        "ended_at 2026-03-04T08:22:02.119Z is 300001 ms after the record's timestamp, the limit is 300000 ms",
    ),
    "won without amount": (
        value(DEAL, amount_minor=None, currency=None),
        Reason.MISSING_FIELD,
        'amount_minor: missing, outcome "won" needs amount_minor and currency',
    ),
    "an amount of no currency": (
        value(DEAL, currency=None),
        Reason.MISSING_FIELD,
        "currency: missing, amount_minor is given",
    ),
    "a currency in small letters": (
        value(DEAL, currency="eur"),
        Reason.UNKNOWN_CURRENCY,
        'currency: "eur" is not an ISO 4217 currency',
    ),
    "four decimals": (value(SURVEY, score=4.5678), Reason.INVALID_FIELD, "score: 4.5678 has more than 3 decimals"),
    "off the scale": (value(SURVEY, score=6), Reason.SCORE_OUTSIDE_SCALE, "score 6.0 is outside 1 to 5"),
    "no scale": (value(SURVEY, scale_max=1), Reason.INVALID_FIELD, "scale_min 1 is not below scale_max 1"),
    "NPS of five": (
        value(SURVEY, kind="nps"),
        Reason.SCORE_OUTSIDE_SCALE,
        'kind "nps" with scale 1 to 5, it must be 0 to 10',
    ),
    "half an NPS": (
        value(SURVEY, kind="nps", scale_min=0, scale_max=10),
        Reason.SCORE_OUTSIDE_SCALE,
        'kind "nps" with score 4.5, it must be whole',
    ),
}


@pytest.mark.parametrize("raw", ACCEPTED.values(), ids=ACCEPTED)
def test_accepted(raw):
    fields = decode(raw, AT_MS)

    assert 1_700_000_000_000 < fields.occurred_at < 1_800_000_000_000


@pytest.mark.parametrize(("raw", "reason", "detail"), REFUSED.values(), ids=REFUSED)
def test_refused(raw, reason, detail):
    assert refusal(raw) == (reason, detail)


def test_times_become_milliseconds_and_scores_thousandths():
    call, survey = decode(value(CALL), AT_MS), decode(value(SURVEY, score=4.567), AT_MS)

    assert (call.started_at, call.answered_at, call.ended_at) == (1_772_611_925_000, 1_772_611_939_000, AT_MS)
    assert survey.score_milli == 4567
    assert (call.occurred_at, survey.occurred_at) == (AT_MS, AT_MS)


def test_producers_may_give_datetimes_text_or_milliseconds():
    zone = timezone(timedelta(hours=2))
    given = {"ended_at": datetime(2026, 3, 4, 10, 17, 2, 118_999, zone), "answered_at": 1_772_611_939_000}

    call = CallEnded(**{**CALL, **given})

    assert call == CallEnded(**CALL)
    assert call.occurred_at == AT_MS
    assert call.key() == b"acme/agent:maria"
    assert decode(call.to_json(), AT_MS) == decode(value(CALL), AT_MS)


def test_producer_sees_the_reason_when_an_event_cannot_be_made():
    with pytest.raises(ValidationError, match="ended_at is 5000 ms before started_at") as caught:
        CallEnded(**{**CALL, "ended_at": "2026-03-04T08:12:00Z", "answered_at": None})

    assert caught.value.errors()[0]["type"] == Reason.ENDED_BEFORE_STARTED


def test_json_of_a_model_leaves_out_what_is_implied():
    assert DealClosed(**DEAL, moved_from=MovedFrom(queue="sales", occurred_at=AT_MS)).to_json() == (
        b'{"type":"deal.closed","tenant":"acme","source":"crm","event_id":"d-1","agent_id":"maria","outcome":"won",'
        b'"amount_minor":125000,"currency":"EUR","closed_at":"2026-03-04T08:17:02.118Z",'
        b'"moved_from":{"queue":"sales","occurred_at":"2026-03-04T08:17:02.118Z"}}'
    )


def test_scope_is_the_agent_else_the_queue_else_the_campaign():
    both = {**SURVEY, "queue": "sales", "campaign": "spring"}

    assert SurveyCompleted(**both).scope == "agent:maria"
    assert SurveyCompleted(**{**both, "agent_id": None}).scope == "queue:sales"
    assert SurveyCompleted(**{**both, "agent_id": None, "queue": None}).scope == "campaign:spring"


def test_retraction_is_decoded_whatever_its_timestamp():
    retraction = Retracted(
        tenant="acme",
        source="pbx",
        kind="call",
        event_id="c-1",
        epoch=1,
        revision=3,
        digest=4_294_967_295,
        scope="agent:maria",
        start_ms=1_772_612_100_000,
    )

    fields = decode(retraction.to_json(), 0)

    assert (fields.scope, fields.start_ms, fields.revision, fields.digest) == (
        "agent:maria",
        1_772_612_100_000,
        3,
        4_294_967_295,
    )


def test_equal_content_has_equal_canonical_bytes_whatever_the_json():
    plain = value(CALL, attributes={"a": "1", "b": "2"})
    other = json.dumps(
        {
            **CALL,
            "attributes": {"b": "2", "a": "1"},
            "ended_at": AT_MS,
            "occurred_at": AT,
            "queue": None,
            "revision": 0,
        },
        indent=1,
        sort_keys=True,
    ).encode()

    assert canonical(decode(plain, AT_MS)) == canonical(decode(other, AT_MS))
    assert canonical(decode(plain, AT_MS)) != canonical(decode(plain.replace(b'"2"', b'"3"'), AT_MS))


def test_canonical_bytes_of_a_known_event_never_change():
    """Ranks hold a digest of these bytes: a change here makes every replayed event a conflict with itself."""
    assert canonical(decode(value(DEAL), AT_MS)).hex() == (
        "de000aa474797065ab6465616c2e636c6f736564a674656e616e74a461636d65a6736f75726365a363726da86576656e745f"
        "6964a3642d31a86167656e745f6964a56d61726961a76f7574636f6d65a3776f6eac616d6f756e745f6d696e6f72ce0001e8"
        "48a863757272656e6379a3455552a9636c6f7365645f6174cf0000019cb7ebfca6ab6f636375727265645f6174cf0000019c"
        "b7ebfca6"
    )
