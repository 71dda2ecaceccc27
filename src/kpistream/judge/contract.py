"""Contract: what a record must be to count, written again as tables of fields and a list of rules.

A second hand: it was written from the words of the contract and shares no code with the engine that
decodes events for a living. It is not fast and need not be. A verdict is a function of the record alone
(its bytes, headers and the timestamp that counts), so it can be passed again at any time.
"""

import json
import re
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NoReturn

from kpistream.errors import EventRejected, Reason
from kpistream.judge.values import (
    Check,
    currency,
    instant,
    invalid,
    name,
    one_of,
    place,
    refuse,
    text,
    texts,
    thousandths,
    whole,
)

Event = dict[str, Any]
"""An accepted event: every field of its type, absent ones with their default, times in epoch ms."""
Headers = Sequence[tuple[str, bytes | None]]

DAY_MS: Final = 86_400_000
LARGEST: Final = 1_000_000
"""Bytes of a value."""
DEEPEST: Final = 200
"""Levels of nesting in a value: a bound of our own, since Python's depends on who calls."""
LONGEST_NUMBER: Final = 4300
"""Digits before the point of a number."""
LEEWAY_MS: Final = 300_000
"""How far after its record's timestamp an event may have happened."""
ROUNDING_MS: Final = 1_000
"""Sources that count whole seconds may show a second more talk than there was call."""
LONGEST_MS: Final = 7 * DAY_MS
"""No call lasts longer."""
_REQUIRED: Final = object()


def accept(value: bytes | None, timestamp_ms: int, headers: Headers = ()) -> Event:
    """Return the event that the record holds; raises EventRejected with the first reason found."""
    content = _unwrapped(_document(value), headers)
    kind = content.get("type")
    if kind is None:
        refuse(Reason.MISSING_FIELD, "type")
    if not isinstance(kind, str) or kind not in FIELDS:
        refuse(Reason.UNKNOWN_TYPE, f"type {kind!r}")
    event: Event = {"type": kind}
    for each, (check, default) in FIELDS[kind].items():
        event[each] = _field(each, content.get(each, _REQUIRED), check, default)
    for reason, detail in _broken(event):
        refuse(reason, detail)
    if kind in OWN_TIME:
        happened = event[OWN_TIME[kind]]
        if happened > timestamp_ms + LEEWAY_MS:
            refuse(Reason.IN_THE_FUTURE, f"{happened} ms is {happened - timestamp_ms} ms after its record")
    return event


def _document(value: bytes | None) -> Event:
    """Parse the value as one JSON object, strictly: UTF-8, no NaN, no half of a surrogate pair."""
    if not value:
        refuse(Reason.EMPTY, "no value")
    if len(value) > LARGEST:
        refuse(Reason.TOO_LARGE, f"{len(value)} bytes")
    if value[0] == 0:
        refuse(Reason.SCHEMA_REGISTRY_FRAMING, "value looks like Schema Registry framing; kpistream reads JSON")
    try:
        text_ = value.decode("utf-8")
        found = json.loads(text_, parse_constant=_constant, parse_int=_int, parse_float=_float)
    except (ValueError, RecursionError) as error:
        raise EventRejected(Reason.NOT_JSON, str(error)) from error
    if not isinstance(found, dict):
        refuse(Reason.NOT_JSON, "not an object")
    if value.count(b"[") + value.count(b"{") > DEEPEST and _levels(text_) > DEEPEST:
        refuse(Reason.NOT_JSON, f"nested more than {DEEPEST} levels deep")
    if rb"\u" in value and any(found_[1] for found_ in _ESCAPES.finditer(text_)):
        refuse(Reason.NOT_JSON, "half of a surrogate pair")
    return found


_ESCAPES: Final = re.compile(r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(\\u[dD][89a-fA-F]..)|\\.")
"""Escapes of sound JSON; the group is half of a surrogate pair, which is no character."""
_BRACKETS: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]\s*[]}]|([]\[{}])')
"""Texts, empty objects and arrays, and, as the group, every other bracket of sound JSON."""


def _constant(word: str) -> NoReturn:
    refuse(Reason.NOT_JSON, word)


def _int(digits: str) -> int:
    if len(digits.lstrip("-")) > LONGEST_NUMBER:
        refuse(Reason.NOT_JSON, f"a number of {len(digits)} digits")
    return int(digits)


def _float(digits: str) -> float:
    whole_part = re.split("[.eE]", digits.lstrip("-"), maxsplit=1)[0]
    if len(whole_part) > LONGEST_NUMBER:
        refuse(Reason.NOT_JSON, f"a number of {len(whole_part)} digits before the point")
    return float(digits)


def _levels(text_: str) -> int:
    """Count how deep objects and arrays are nested, those that a later name hides included; empty ones do not count."""
    level = deepest = 0
    for bracket in _BRACKETS.finditer(text_):
        if bracket[1]:
            level += 1 if bracket[1] in "[{" else -1
            deepest = max(deepest, level)
    return deepest


def _unwrapped(content: Event, headers: Headers) -> Event:
    """Return the event inside a CloudEvent, its attributes filling what it leaves out; else the object itself."""
    if "specversion" in content and ("data" in content or "data_base64" in content):
        about, inner = content, content.get("data")
        _check_version(about)
        if "data" not in content:
            try:
                inner = _document(b64decode(content["data_base64"], validate=True))
            except (TypeError, ValueError, EventRejected):
                refuse(Reason.INVALID_FIELD, "data_base64 is not an object in base64")
    else:
        told = [(key[3:], held) for key, held in headers if key.startswith("ce_") and held is not None]
        about = {key: held.decode("utf-8", "replace") for key, held in told}
        inner = content
        if "specversion" not in about:
            return content
        _check_version(about)
    if not isinstance(inner, dict):
        refuse(Reason.INVALID_FIELD, "data is not an object")
    filling = {"type": "type", "source": "source", "event_id": "id", "tenant": "tenant"}
    event = {**{field: about[key] for field, key in filling.items() if key in about}, **inner}
    if "type" not in inner and isinstance(event.get("type"), str):
        event["type"] = event["type"].removeprefix("kpistream.")
    return event


def _check_version(about: Mapping[str, object]) -> None:
    if about["specversion"] != "1.0":
        refuse(Reason.INVALID_FIELD, f"specversion {about['specversion']!r:.80}")


def _field(each: str, value: object, check: Check, default: object) -> object:
    if value is _REQUIRED:
        return refuse(Reason.MISSING_FIELD, each) if default is _REQUIRED else default
    if value is None and default is None:
        return None
    try:
        return check(value)
    except EventRejected as rejected:
        raise EventRejected(rejected.reason, f"{each}: {rejected.detail}") from None


def moved_from(value: object) -> Event:
    """Check where an earlier revision stood: a place and a time."""
    if not isinstance(value, dict):
        invalid(value, "an object")
    out = {each: _field(each, value.get(each, _REQUIRED), *rule) for each, rule in MOVED_FROM.items()}
    if scope(out) is None:
        refuse(Reason.NO_PLACE, "neither agent_id nor queue nor campaign")
    return out


def scope(event: Mapping[str, Any]) -> str | None:
    """Name what an event counts for: its agent, else its queue, else its campaign."""
    for kind, field in (("agent", "agent_id"), ("queue", "queue"), ("campaign", "campaign")):
        if event[field] is not None:
            return f"{kind}:{event[field]}"
    return None


def _broken(event: Event) -> Iterator[tuple[Reason, str]]:
    """Yield every rule that the event breaks."""
    kind = event["type"]
    if kind == "retracted":
        return
    if scope(event) is None:
        yield Reason.NO_PLACE, "neither agent_id nor queue nor campaign"
    yield from {"call.ended": _broken_call, "deal.closed": _broken_deal, "survey.completed": _broken_survey}[kind](
        event
    )
    own = OWN_TIME[kind]
    if event["occurred_at"] not in (None, event[own]):
        yield Reason.OCCURRED_AT_DIFFERS, f"occurred_at is not {own}"


def _broken_call(call: Event) -> Iterator[tuple[Reason, str]]:
    started, answered, ended = call["started_at"], call["answered_at"], call["ended_at"]
    talk, hold, outcome = call["talk_ms"] or 0, call["hold_ms"] or 0, call["outcome"]
    if ended < started:
        yield Reason.ENDED_BEFORE_STARTED, f"{ended} < {started}"
    if ended - started > LONGEST_MS:
        yield Reason.CALL_TOO_LONG, f"a call of {ended - started} ms"
    if answered is not None and not started <= answered <= ended:
        yield Reason.ANSWERED_OUTSIDE_CALL, f"{answered} is not in {started}..{ended}"
    if answered is not None and talk + hold > ended - answered + ROUNDING_MS:
        yield Reason.TALK_LONGER_THAN_CALL, f"{talk} + {hold} ms in {ended - answered} ms"
    if answered is None and (outcome == "connected" or talk > 0):
        yield Reason.OUTCOME_CONTRADICTS, f"{outcome} with {talk} ms of talk and never answered"
    if outcome == "abandoned" and (answered is not None or talk > 0):
        yield Reason.OUTCOME_CONTRADICTS, "abandoned and answered"
    if outcome == "connected" and call["answered_by"] == "machine":
        yield Reason.OUTCOME_CONTRADICTS, "connected to a machine: say outcome voicemail"
    if call["follow_up_due_at"] is not None and call["follow_up_of"] is None:
        yield Reason.MISSING_FIELD, "follow_up_due_at needs follow_up_of"


def _broken_deal(deal: Event) -> Iterator[tuple[Reason, str]]:
    amount, unit = deal["amount_minor"], deal["currency"]
    if (amount is None) != (unit is None):
        yield Reason.MISSING_FIELD, "amount_minor and currency go together"
    if deal["outcome"] == "won" and amount is None:
        yield Reason.MISSING_FIELD, "a deal that is won needs amount_minor and currency"


def _broken_survey(survey: Event) -> Iterator[tuple[Reason, str]]:
    low, high, score = survey["scale_min"], survey["scale_max"], survey["score"]
    if low >= high:
        yield Reason.INVALID_FIELD, f"scale {low} to {high}"
    if not 1000 * low <= score <= 1000 * high:
        yield Reason.SCORE_OUTSIDE_SCALE, f"{score} thousandths on {low} to {high}"
    if survey["kind"] == "nps" and ((low, high) != (0, 10) or score % 1000):
        yield Reason.SCORE_OUTSIDE_SCALE, "nps is a whole number from 0 to 10"


RULES: Final = {"call.ended": _broken_call, "deal.closed": _broken_deal, "survey.completed": _broken_survey}
Fields = dict[str, tuple[Check, object]]
_DURATION: Final = (whole(0, DAY_MS), None)
_REVISION: Final = whole(0, 2**48 - 1)
_WHERE: Final[Fields] = {"agent_id": (text(128), None), "queue": (text(256), None), "campaign": (text(256), None)}
MOVED_FROM: Final[Fields] = {**_WHERE, "occurred_at": (instant, _REQUIRED)}
_HEAD: Final[Fields] = {"tenant": (name, _REQUIRED), "source": (name, _REQUIRED)}
_EVENT_ID: Final = (text(256), _REQUIRED)
_ENVELOPE: Final[Fields] = {
    **_HEAD,
    "event_id": _EVENT_ID,
    "revision": (_REVISION, 0),
    **_WHERE,
    "customer_id": (text(256), None),
    "call_id": (text(256), None),
}
_TAIL: Final[Fields] = {
    "attributes": (texts, None),
    "moved_from": (moved_from, None),
    "occurred_at": (instant, None),
}
FIELDS: Final[dict[str, Fields]] = {
    "call.ended": {
        **_ENVELOPE,
        "direction": (one_of("inbound", "outbound"), _REQUIRED),
        "started_at": (instant, _REQUIRED),
        "answered_at": (instant, None),
        "ended_at": (instant, _REQUIRED),
        **dict.fromkeys(("queue_wait_ms", "ring_ms", "talk_ms", "hold_ms", "wrap_up_ms"), _DURATION),
        "outcome": (
            one_of("connected", "no-answer", "busy", "failed", "abandoned", "voicemail", "cancelled", "rejected"),
            _REQUIRED,
        ),
        "answered_by": (one_of("human", "machine", "unknown"), None),
        "disposition": (text(256), None),
        "follow_up_of": (text(256), None),
        "follow_up_due_at": (instant, None),
        "next_follow_up_at": (instant, None),
        "transfer_leg": (whole(0, 100), 0),
        **_TAIL,
    },
    "deal.closed": {
        **_ENVELOPE,
        "outcome": (one_of("won", "lost", "voided"), _REQUIRED),
        "amount_minor": (whole(0, 10**13), None),
        "currency": (currency, None),
        "customer_type": (one_of("new", "repeat"), None),
        "product": (text(256), None),
        "closed_at": (instant, _REQUIRED),
        **_TAIL,
    },
    "survey.completed": {
        **_ENVELOPE,
        "kind": (one_of("csat", "nps", "ces", "other"), _REQUIRED),
        "score": (thousandths, _REQUIRED),
        "scale_min": (whole(0, 100), _REQUIRED),
        "scale_max": (whole(0, 100), _REQUIRED),
        "completed_at": (instant, _REQUIRED),
        **_TAIL,
    },
    "retracted": {
        **_HEAD,
        "kind": (one_of("call", "deal", "survey"), _REQUIRED),
        "event_id": _EVENT_ID,
        "epoch": (whole(1, 2**16 - 1), _REQUIRED),
        "revision": (_REVISION, _REQUIRED),
        "digest": (whole(0, 2**32 - 1), _REQUIRED),
        "scope": (place, _REQUIRED),
        "start_ms": (whole(0, 4_102_444_800_000), _REQUIRED),
    },
}
"""Fields by type: how each is checked, and what stands for an absent one; null may stand where that does."""
OWN_TIME: Final = {"call.ended": "ended_at", "deal.closed": "closed_at", "survey.completed": "completed_at"}
"""The field that says when the event happened."""
KINDS: Final = {"call.ended": "call", "deal.closed": "deal", "survey.completed": "survey"}
"""The part of an identity that says what sort of thing happened."""
