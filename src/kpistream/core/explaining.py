"""Explaining: the exact way from the bytes of a record to a model, or to the one reason why not.

JSON, then the CloudEvents wrapping, then the model of the type. The first fault in this order is the
one that is told: size, framing, JSON, type, fields in the order of the model, rules between fields, the
future. A value is quoted at most 64 characters long.
"""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails, from_json

from kpistream.core.cloudevents import Headers, unwrap
from kpistream.core.events import MODELS, AnyEvent, MovedFrom, Retracted
from kpistream.core.instants import to_text
from kpistream.core.quoting import JSON_NAMES, cut, quoted
from kpistream.errors import EventRejected, Reason

MAX_BYTES: Final = 1_000_000
FUTURE_MS: Final = 300_000
"""An event may be this much later than its own record's timestamp (clocks differ)."""
FRAMING_DETAIL: Final = "value looks like Schema Registry framing; kpistream reads JSON"

_REASONS: Final = {reason.value: reason for reason in Reason}
_EXPECTED: Final = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}


def examine(value: bytes | None, timestamp_ms: int, headers: Headers = ()) -> AnyEvent:
    """The event in a record. Raises EventRejected."""
    return check(read(value, headers), timestamp_ms)


def read(value: bytes | None, headers: Headers = ()) -> dict[str, Any]:
    """The event's JSON object, taken out of a CloudEvent if it is wrapped in one. Raises EventRejected."""
    if not value:
        raise EventRejected(Reason.EMPTY, "value is null" if value is None else "value has 0 bytes")
    if len(value) > MAX_BYTES:
        raise EventRejected(Reason.TOO_LARGE, f"value has {len(value)} bytes, the limit is {MAX_BYTES} bytes")
    if value[0] == 0:
        raise EventRejected(
            Reason.SCHEMA_REGISTRY_FRAMING, FRAMING_DETAIL, "use a plain JSON serializer without a schema id"
        )
    return unwrap(_object(value), headers)


def check(content: Mapping[str, Any], timestamp_ms: int | None = None) -> AnyEvent:
    """The event that a JSON object (or a mapping's row) describes. Raises EventRejected.

    `timestamp_ms`: of the record; None leaves the future unchecked.
    """
    kind = content.get("type")
    if kind is None:
        raise EventRejected(Reason.MISSING_FIELD, "type: missing", f"one of {', '.join(MODELS)}")
    model = MODELS.get(kind) if isinstance(kind, str) else None
    if model is None:
        raise EventRejected(Reason.UNKNOWN_TYPE, f"type {quoted(kind)} is unknown", f"one of {', '.join(MODELS)}")
    try:
        event = model.model_validate(content)
    except ValidationError as error:
        raise rejection(error) from None
    if timestamp_ms is not None and not isinstance(event, Retracted):
        _check_future(event, timestamp_ms)
    return event


def rejection(error: ValidationError) -> EventRejected:
    """The first fault that pydantic found, in the words and reasons of the contract."""
    first = error.errors(include_url=False)[0]
    reason = _REASONS.get(first["type"])
    field = ".".join(str(part) for part in first["loc"])
    if reason is None:
        reason = Reason.MISSING_FIELD if first["type"] == "missing" else Reason.INVALID_FIELD
        return EventRejected(reason, f"{cut(field)}: {_fact(first)}")
    context = first["ctx"]
    return EventRejected(reason, f"{field}: {context['detail']}" if field else context["detail"], context["hint"])


def unknown_names(content: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of fields outside the contract, in the order of the object; nested ones as `moved_from.x`."""
    kind = content.get("type")
    known = _FIELDS.get(kind) if isinstance(kind, str) else None
    if known is None:
        return ()
    names = [] if content.keys() <= known else [name for name in content if name not in known]
    old = content.get("moved_from")
    if isinstance(old, dict) and "moved_from" in known:
        names += [f"moved_from.{name}" for name in old if name not in _MOVED_FROM]
    return tuple(names)


def known_only(content: Mapping[str, Any]) -> dict[str, Any]:
    """The object without the fields outside the contract; its type must be known."""
    known = _FIELDS[content["type"]]
    out = {name: value for name, value in content.items() if name in known}
    old = out.get("moved_from")
    if isinstance(old, dict):
        out["moved_from"] = {name: value for name, value in old.items() if name in _MOVED_FROM}
    return out


_FIELDS: Final = {kind: frozenset(model.model_fields) for kind, model in MODELS.items()}
_MOVED_FROM: Final = frozenset(MovedFrom.model_fields)


def _object(value: bytes) -> dict[str, Any]:
    try:
        content = from_json(value, allow_inf_nan=False)
    except ValueError as error:
        raise EventRejected(Reason.NOT_JSON, f"value is not JSON: {cut(str(error))}") from None
    if not isinstance(content, dict):
        what = JSON_NAMES.get(type(content), "null")
        raise EventRejected(Reason.NOT_JSON, f"value is {what}, one JSON object is expected")
    return content


def _check_future(event: AnyEvent, timestamp_ms: int) -> None:
    assert not isinstance(event, Retracted) and event.occurred_at is not None
    ahead_ms = event.occurred_at - timestamp_ms
    if ahead_ms > FUTURE_MS:
        raise EventRejected(
            Reason.IN_THE_FUTURE,
            f"{event.own_time} {to_text(event.occurred_at)} is {ahead_ms} ms after the record's timestamp, "
            f"the limit is {FUTURE_MS} ms",
            "check the clock and the zone of the source",
        )


def _fact(fault: ErrorDetails) -> str:
    """What is wrong with one field: the value quoted, the limit and its unit."""
    kind, seen = fault["type"], quoted(fault["input"])
    limits: Mapping[str, Any] = fault.get("ctx", {})
    name = next((str(part) for part in reversed(fault["loc"]) if isinstance(part, str)), "")
    unit = " ms" if name.endswith("_ms") else ""
    match kind:
        case "missing":
            return "missing"
        case "greater_than_equal":
            return f"{seen} is below the limit of {limits['ge']}{unit}"
        case "less_than_equal":
            return f"{seen} is above the limit of {limits['le']}{unit}"
        case "string_too_short":
            return f"{seen} is empty"
        case "string_too_long":
            return f"{seen} is longer than {limits['max_length']} characters"
        case "too_long":
            return f"more than {limits['max_length']} entries"
        case "literal_error":
            return f"{seen} is not {limits['expected']}"
        case "string_pattern_mismatch":
            return f"{seen} {_pattern_fact(name)}"
    if kind == "float_type" and type(fault["input"]) is int:
        kind = "finite_number"  # pydantic calls a whole number beyond the floats so only when it reads the JSON itself
    return f"{seen} is not {_EXPECTED.get(kind, 'valid')}"


def _pattern_fact(name: str) -> str:
    if name in ("tenant", "source"):
        return "is not 1 to 64 of A-Z a-z 0-9 . _ -"
    if name == "scope":
        return "is not agent:ID, queue:NAME or campaign:NAME"
    return "has a control character"
