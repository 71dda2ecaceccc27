"""Event pages: the reference page of the contract, generated from the models field by field.

`docs/reference/events.md` is the output; a test holds that both agree.
"""

import json
from typing import Any, Final

from kpistream.core.events import MODELS, MovedFrom
from kpistream.core.explaining import FUTURE_MS, MAX_BYTES
from kpistream.core.rules import WORDS
from kpistream.core.schemas import EXAMPLES, VERSIONS, schema
from kpistream.errors import Reason

_HEAD: Final = f"""# Events

Generated from the models, `src/kpistream/core/events.py`; a test holds that both agree. How to send them:
[emit events](../how-to/emit-events.md).

A record of `kpi.events` holds one event: a JSON object in UTF-8, at most {MAX_BYTES:,} bytes. Its key is
`tenant/scope`, and the scope is `agent:ID`; without an agent `queue:NAME`; without a queue too `campaign:NAME`. A
[CloudEvents](#cloudevents) wrapping is taken off.

- **Time**: RFC 3339 text with a zone (`2026-03-04T08:17:02.118Z`, `2026-03-04T10:17:02+02:00`) or epoch milliseconds as
  a whole number, from 1990-01-01 up to but not including 2100-01-01. Digits behind the millisecond are cut off.
- **Durations** end in `_ms` and are whole milliseconds. A number with a decimal point is not a whole number, not even
  `5.0`.
- **Text** has no control characters (U+0000 to U+001F, U+007F to U+009F); values of `attributes` may have them. Limits
  are in characters.
- `null` means absent for a field whose default is `null`; everywhere else it is refused.
- Unknown fields are ignored and counted, and the record takes a slower way (about five times the decoding): what you
  want to keep belongs into `attributes`. When a name stands twice in an object, the last one counts.
- An identity is (tenant, source, kind, `event_id`); the kinds are call, deal and survey. The same identity with a
  higher `revision` replaces what was there; with the same revision and other content it is a conflict.

JSON Schemas, an AsyncAPI document and an example of each event are under `schemas/`; JSON Schema cannot say the rules
between fields.
"""
_CLOUD: Final = """## CloudEvents

CloudEvents 1.0 on Kafka are taken in both modes. *Structured*: the value is an object with `specversion` "1.0" and
`data` (or `data_base64`); the event is what `data` holds. *Binary*: the record has a header `ce_specversion` "1.0"; the
value is the event.

What the event leaves out is filled from the attributes: `type` from `type` (`call.ended` or `kpistream.call.ended`),
`event_id` from `id`, `source` from `source`, `tenant` from an extension attribute `tenant`. What the event says itself
stands. `source` must then be a name as above, not a URI: put it into the event when it is one. `time`, `subject` and
other attributes are not used; batches are refused.
"""
_REASONS: Final[dict[Reason, str]] = {
    Reason.EMPTY: "the value is null or has no bytes",
    Reason.TOO_LARGE: f"the value has more than {MAX_BYTES:,} bytes",
    Reason.SCHEMA_REGISTRY_FRAMING: "the value begins with byte 0, as a Schema Registry serializer writes it",
    Reason.NOT_JSON: "the value is no JSON object in UTF-8, has half of a surrogate pair, or is nested too deeply",
    Reason.MISSING_FIELD: "a required field is absent, or a field that another one needs",
    Reason.UNKNOWN_TYPE: "`type` is none of those above",
    Reason.INVALID_FIELD: "a field has the wrong type, or is outside its limits",
    Reason.NO_ZONE: "a time has no zone",
    Reason.SECONDS_NOT_MILLISECONDS: "a time is a whole number below 100,000,000,000: epoch seconds, most likely",
    Reason.TIME_OUT_OF_RANGE: "a time is before 1990 or after 2099",
    Reason.IN_THE_FUTURE: f"the event is more than {FUTURE_MS // 60_000} minutes after its record's timestamp",
    Reason.ENDED_BEFORE_STARTED: "a call ends before it starts",
    Reason.CALL_TOO_LONG: "a call lasts longer than 7 days",
    Reason.ANSWERED_OUTSIDE_CALL: "a call is answered before it starts or after it ends",
    Reason.TALK_LONGER_THAN_CALL: "talk and hold take longer than answered to ended, by more than 1000 ms",
    Reason.OUTCOME_CONTRADICTS: "the outcome of a call contradicts its other fields",
    Reason.OCCURRED_AT_DIFFERS: "`occurred_at` is not the event's own time",
    Reason.SCORE_OUTSIDE_SCALE: "a score is off its scale",
    Reason.UNKNOWN_CURRENCY: "a currency is not in ISO 4217",
    Reason.NO_PLACE: "neither agent nor queue nor campaign is given",
    Reason.RESERVED: "a file holds what only the system writes; refused by `validate`, `load` and `try`",
    Reason.CONFLICT: "the identity has another content at the same revision; the higher digest stands",
    Reason.MISROUTED: "the record came to the wrong partition a second time",
    Reason.CLOSED: "the pane is closed, and history is switched off",
    Reason.UNMAPPED: "a row of a file could not be read by its mapping",
}


def events_page() -> str:
    """The text of `docs/reference/events.md`."""
    parts = [_HEAD, *(_event(kind) for kind in VERSIONS), _moved_from(), _CLOUD, _reasons()]
    return "\n".join(parts)


def _event(kind: str) -> str:
    model, made = MODELS[kind], schema(kind)
    lines = [f"## {kind}", "", model.__doc__ or "", "", *_table(made)]
    if WORDS[kind]:
        lines += ["", "| rule | reason when broken |", "| --- | --- |"]
        lines += [f"| {words} | `{reason}` |" for reason, words in WORDS[kind]]
    lines += ["", "```json", _json(EXAMPLES[kind]), "```", ""]
    return "\n".join(lines)


def _moved_from() -> str:
    made = MovedFrom.model_json_schema()
    head = ["## moved_from", "", "An object: " + (MovedFrom.__doc__ or ""), ""]
    tail = ["", "At least one of `agent_id`, `queue` and `campaign` is given, else `no-place`.", ""]
    return "\n".join([*head, *_table(made), *tail])


def _table(made: dict[str, Any]) -> list[str]:
    rows = ["| field | value | default | meaning |", "| --- | --- | --- | --- |"]
    for name, part in made["properties"].items():
        default = "required" if name in made["required"] else f"`{_json(part.get('default'))}`"
        rows.append(f"| `{name}` | {_value(name, part)} | {default} | {part['description']} |")
    return rows


def _value(name: str, part: dict[str, Any]) -> str:
    """Type and limits of a field, in words."""
    options = [option for option in part.get("anyOf", [part]) if option.get("type") != "null"]
    if any(option.get("format") == "date-time" for option in options):
        return "time"
    option = options[0]
    if name == "currency":
        return "ISO 4217 code"
    if "$ref" in option:
        return "[object](#moved_from)"
    if "const" in option:
        return f"`{option['const']}`"
    if "enum" in option:
        return ", ".join(f"`{each}`" for each in option["enum"])
    return _plain(name, option)


def _plain(name: str, option: dict[str, Any]) -> str:
    kind = option["type"]
    if kind == "object":
        return f"object of text, at most {option['maxProperties']} entries"
    if kind == "number":
        return "number"
    if kind == "integer":
        unit = " ms" if name.endswith("_ms") else ""
        return f"whole number, {option['minimum']:,} to {option['maximum']:,}{unit}"
    if name in ("tenant", "source"):
        return "1 to 64 of `A-Z a-z 0-9 . _ -`"
    return f"text, {option.get('minLength', 1)} to {option['maxLength']}"


def _reasons() -> str:
    head = ["## Reasons", "", "Why a record goes to dead letters instead; the list is closed.", ""]
    rows = [f"| `{reason}` | {words} |" for reason, words in _REASONS.items()]
    return "\n".join([*head, "| reason | when |", "| --- | --- |", *rows, ""])


def _json(value: Any) -> str:
    return json.dumps(value, indent=2 if isinstance(value, dict) else None, ensure_ascii=False)
