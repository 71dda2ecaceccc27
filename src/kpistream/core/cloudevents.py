"""CloudEvents 1.0 around an event: what to take out of structured and binary records on Kafka.

An object with `specversion` and `data` (or `data_base64`) is a structured CloudEvent; a record with a
`ce_specversion` header is a binary one. The event inside wins: attributes only fill what it leaves out
(`type`, `id` as `event_id`, `source`, the extension `tenant`). So a complete event means the same with
and without its wrapping.

Source: CloudEvents 1.0.2, Kafka protocol binding 1.0.2 (sections 3.2 and 3.3).
"""

from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic_core import from_json

from kpistream.core.quoting import quoted
from kpistream.errors import EventRejected, Reason

Headers = Sequence[tuple[str, bytes | None]]
TYPE_PREFIX: Final = "kpistream."
_FILLS: Final = {"type": "type", "id": "event_id", "source": "source", "tenant": "tenant"}
_VERSION: Final = "1.0"


def unwrap(content: dict[str, Any], headers: Headers = ()) -> dict[str, Any]:
    """The event inside; `content` itself when it is not a CloudEvent. Raises EventRejected."""
    if "specversion" in content and ("data" in content or "data_base64" in content):
        _check_version(content["specversion"])
        return _filled(_data(content), content)
    if headers:
        attributes = {name[3:]: _text(value) for name, value in headers if name.startswith("ce_") and value is not None}
        if "specversion" in attributes:
            _check_version(attributes["specversion"])
            return _filled(content, attributes)
    return content


def is_binary(headers: Headers) -> bool:
    """True when the headers make the record a binary CloudEvent."""
    return any(name == "ce_specversion" for name, _ in headers)


def _filled(event: dict[str, Any], attributes: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(event)
    for attribute, field in _FILLS.items():
        if field not in out and attribute in attributes:
            out[field] = attributes[attribute]
    kind = out.get("type")
    if isinstance(kind, str) and "type" not in event:
        out["type"] = kind.removeprefix(TYPE_PREFIX)
    return out


def _data(content: dict[str, Any]) -> dict[str, Any]:
    data = content.get("data")
    if "data" not in content:
        try:
            data = from_json(b64decode(content["data_base64"], validate=True), allow_inf_nan=False)
        except (TypeError, ValueError):
            raise EventRejected(Reason.INVALID_FIELD, "data_base64: no JSON object in base64") from None
    if not isinstance(data, dict):
        raise EventRejected(Reason.INVALID_FIELD, "data: one JSON object is expected")
    return data


def _check_version(version: object) -> None:
    if version != _VERSION:
        raise EventRejected(Reason.INVALID_FIELD, f'specversion: {quoted(version)} is not "{_VERSION}"')


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
