"""Decoding: the bytes of a record become the fields of an event, or a reason why not.

Two ways that must agree. The fast way (structs, look-ups, integers) only ever says yes; whatever it does
not wave through goes the exact way, through the models. So every rejection comes from one place, and a
property test holds that what the fast way accepts the exact way accepts with the same fields. A function
of the record alone: the counts of unknown fields are the only state.
"""

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from kpistream.core.cloudevents import Headers, is_binary
from kpistream.core.currencies import NUMERIC
from kpistream.core.events import (
    NAME_PATTERN,
    SCOPE_PATTERN,
    AnyEvent,
)
from kpistream.core.explaining import FUTURE_MS, MAX_BYTES, check, known_only, read, unknown_names
from kpistream.core.fields import (
    RENAMED,
    CallFields,
    DealFields,
    EventFields,
    Fields,
    MovedFromFields,
    RetractedFields,
    SurveyFields,
    canonical,
)
from kpistream.core.instants import END_MS, HEADS, MIN_MS, TAILS, instant_or_zero
from kpistream.core.rules import MAX_CALL_MS, ROUNDING_MS, SCALE_END, score_milli
from kpistream.errors import EventRejected

__all__ = [
    "CallFields",
    "DealFields",
    "Decoder",
    "EventFields",
    "Fields",
    "MovedFromFields",
    "RetractedFields",
    "SurveyFields",
    "canonical",
    "decode",
    "fields_of",
    "unknown_fields",
]

STRUCTS: Final[dict[str, type[Fields]]] = {
    "call.ended": CallFields,
    "deal.closed": DealFields,
    "survey.completed": SurveyFields,
    "retracted": RetractedFields,
}
_MAX_NAMES: Final = 10_000
_MAX_UNKNOWN: Final = 100
_BACKSLASH, _DEL, _C2 = 0x5C, 0x7F, 0xC2
OTHER: Final = "*"
"""Counts unknown fields beyond the first hundred names."""

_fast: Final = msgspec.json.Decoder(CallFields | DealFields | SurveyFields | RetractedFields).decode
_name: Final = re.compile(NAME_PATTERN).fullmatch
_scope: Final = re.compile(SCOPE_PATTERN).fullmatch
_control: Final = re.compile("[\x00-\x1f\x7f-\x9f]").search
_names: Final[set[str]] = set()
"""Tenants and sources that matched the pattern; bounded."""


class Decoder:
    """Decodes records and counts what it ignored."""

    def __init__(self) -> None:
        self.unknown: dict[str, int] = {}
        """Accepted records by the name of a field outside the contract; at most 100 names and `*`."""

    def decode(self, value: bytes | None, timestamp_ms: int, headers: Headers = ()) -> Fields:
        """The event in a record. Raises EventRejected.

        `timestamp_ms`: of the record; it and the bytes decide, never a clock.
        """
        if value is not None and len(value) <= MAX_BYTES and not (headers and is_binary(headers)):
            try:
                fields: Fields = _fast(value)
                if _ACCEPTS[fields.__class__](fields, timestamp_ms) and (
                    # No string can hold a control character: JSON allows them only escaped (below U+0020),
                    # as DEL, or as U+0080 to U+009F, whose first byte is C2.
                    (_BACKSLASH not in value and _DEL not in value and (value.isascii() or _C2 not in value))
                    or _clean(fields)
                ):
                    return fields
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                pass
        return self._exactly(read(value, headers), timestamp_ms)

    def _exactly(self, content: dict[str, Any], timestamp_ms: int) -> Fields:
        unknown = unknown_names(content)
        fields = _converted(content, timestamp_ms)
        if fields is None:
            fields = fields_of(check(content, timestamp_ms))
        for name in unknown:
            self._count(name)
        return fields

    def _count(self, name: str) -> None:
        name = name[:64]
        if name not in self.unknown and len(self.unknown) >= _MAX_UNKNOWN:
            name = OTHER
        self.unknown[name] = self.unknown.get(name, 0) + 1


decode: Final = Decoder().decode
"""`Decoder.decode` of a decoder whose counts nobody reads."""


def unknown_fields(value: bytes) -> tuple[str, ...]:
    """Names of the record's fields outside the contract; nothing when it is no event at all."""
    try:
        return unknown_names(read(value))
    except EventRejected:
        return ()


def fields_of(event: AnyEvent) -> Fields:
    """The fields of a model."""
    struct = STRUCTS[event.type]
    content = {RENAMED.get(name, name): getattr(event, RENAMED.get(name, name)) for name in type(event).model_fields}
    del content["type"]
    old = content.get("moved_from")
    if old is not None:
        content["moved_from"] = MovedFromFields(**{name: getattr(old, name) for name in type(old).model_fields})
    return struct(**content)


def _converted(content: dict[str, Any], timestamp_ms: int) -> Fields | None:
    """The fast way for an object that was read already; None when the models must decide."""
    kind = content.get("type")
    struct = STRUCTS.get(kind) if isinstance(kind, str) else None
    if struct is None:
        return None
    try:
        fields = msgspec.convert(known_only(content), struct)
    except msgspec.ValidationError:
        return None
    return fields if _ACCEPTS[struct](fields, timestamp_ms) and _clean(fields) else None


# ---- the fast rules: True only if every rule of the contract holds


def _ms(value: Any) -> int:
    """Epoch ms of a raw time; something out of range when it is not one."""
    if value.__class__ is str:
        try:
            return HEADS[value[:19]] + TAILS[value[19:]]
        except KeyError:
            return instant_or_zero(value)
    return value  # type: ignore[no-any-return]


def _call_times(call: CallFields) -> tuple[int, int, int | None]:
    answered = call.answered_at
    return _ms(call.started_at), _ms(call.ended_at), None if answered is None else _ms(answered)


def _accepts_call(call: CallFields, timestamp_ms: int) -> bool:
    text: Any = call.started_at
    if text.__class__ is str:
        try:  # `_ms` three times without the calls: 0.3 us of 2.5
            started = HEADS[text[:19]] + TAILS[text[19:]]
            text = call.ended_at
            ended = HEADS[text[:19]] + TAILS[text[19:]]
            text = call.answered_at
            answered = None if text is None else HEADS[text[:19]] + TAILS[text[19:]]
        except (KeyError, TypeError):
            started, ended, answered = _call_times(call)
    else:
        started, ended, answered = _call_times(call)
    if not (
        MIN_MS <= started <= ended < END_MS
        and ended - started <= MAX_CALL_MS
        and ended <= timestamp_ms + FUTURE_MS
        and _accepts_envelope(call, ended)
    ):
        return False
    if answered is not None:
        used_ms = (call.talk_ms or 0) + (call.hold_ms or 0)
        if not started <= answered <= ended or used_ms > ended - answered + ROUNDING_MS or not _accepts_answered(call):
            return False
    elif call.outcome == "connected" or call.talk_ms:
        return False
    call.started_at, call.ended_at, call.answered_at = started, ended, answered
    if call.follow_up_due_at is None and call.next_follow_up_at is None:
        return True
    return _accepts_follow_up(call)


def _accepts_answered(call: CallFields) -> bool:
    if call.outcome == "connected":
        return call.answered_by != "machine"
    return call.outcome != "abandoned"


def _accepts_follow_up(call: CallFields) -> bool:
    due, promised = call.follow_up_due_at, call.next_follow_up_at
    if due is not None:
        call.follow_up_due_at = due = _ms(due)
        if call.follow_up_of is None or not MIN_MS <= due < END_MS:
            return False
    if promised is not None:
        call.next_follow_up_at = promised = _ms(promised)
        return MIN_MS <= promised < END_MS
    return True


def _accepts_deal(deal: DealFields, timestamp_ms: int) -> bool:
    deal.closed_at = closed = _ms(deal.closed_at)
    currency = deal.currency
    return (
        MIN_MS <= closed < END_MS
        and closed <= timestamp_ms + FUTURE_MS
        and (deal.amount_minor is None) == (currency is None)
        and (currency in NUMERIC if currency is not None else deal.outcome != "won")
        and _accepts_envelope(deal, closed)
    )


def _accepts_survey(survey: SurveyFields, timestamp_ms: int) -> bool:
    survey.completed_at = completed = _ms(survey.completed_at)
    low, high, score = survey.scale_min, survey.scale_max, survey.score_milli
    if not 0 <= low <= score <= high <= SCALE_END or low == high:
        return False
    milli = score_milli(score)
    if milli is None or (survey.kind == "nps" and (low != 0 or high != 10 or milli % 1000)):
        return False
    survey.score_milli = milli
    return (
        MIN_MS <= completed < END_MS and completed <= timestamp_ms + FUTURE_MS and _accepts_envelope(survey, completed)
    )


def _accepts_retraction(retraction: RetractedFields, timestamp_ms: int) -> bool:
    return (
        _name(retraction.tenant) is not None
        and _name(retraction.source) is not None
        and _scope(retraction.scope) is not None
    )


def _accepts_envelope(event: EventFields, at_ms: int) -> bool:
    if event.tenant not in _names and not _learn_name(event.tenant):
        return False
    if event.source not in _names and not _learn_name(event.source):
        return False
    if event.agent_id is None and event.queue is None and event.campaign is None:
        return False
    given: int | None = event.occurred_at
    if given is not None and _ms(given) != at_ms:
        return False
    event.occurred_at = at_ms
    return event.moved_from is None or _accepts_moved_from(event.moved_from)


def _accepts_moved_from(old: MovedFromFields) -> bool:
    old.occurred_at = at_ms = _ms(old.occurred_at)
    return MIN_MS <= at_ms < END_MS and not (old.agent_id is None and old.queue is None and old.campaign is None)


def _learn_name(name: str) -> bool:
    if _name(name) is None:
        return False
    if len(_names) >= _MAX_NAMES:
        _names.clear()
    _names.add(name)
    return True


def _clean(fields: Fields) -> bool:
    """True when no text field holds a control character; attribute values may."""
    texts = [text for text in (getattr(fields, name) for name in _TEXTS[fields.__class__]) if text is not None]
    if not isinstance(fields, RetractedFields):
        texts += fields.attributes or ()
        old = fields.moved_from
        if old is not None:
            texts += [text for text in (old.agent_id, old.queue, old.campaign) if text is not None]
    joined = "".join(texts)
    return joined.isprintable() or _control(joined) is None


_ENVELOPE_TEXTS: Final = ("event_id", "agent_id", "queue", "campaign", "customer_id", "call_id")
_TEXTS: Final[dict[type, tuple[str, ...]]] = {
    CallFields: (*_ENVELOPE_TEXTS, "disposition", "follow_up_of"),
    DealFields: (*_ENVELOPE_TEXTS, "product"),
    SurveyFields: _ENVELOPE_TEXTS,
    RetractedFields: ("event_id", "scope"),
}
_ACCEPTS: Final[dict[type, Callable[[Any, int], bool]]] = {
    CallFields: _accepts_call,
    DealFields: _accepts_deal,
    SurveyFields: _accepts_survey,
    RetractedFields: _accepts_retraction,
}
