"""Schemas: the contract as JSON Schema and AsyncAPI, with one example of each event.

Everything is generated from the models, as text under its path in `schemas/`; a test holds that the
files are what is generated. A released version of a schema never changes its file: a new version is a
new number, and the examples of all versions stay accepted. JSON Schema cannot say the rules between
fields; they are listed in words.
"""

import json
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema

from kpistream.core.events import MODELS, Retracted
from kpistream.core.explaining import MAX_BYTES, check
from kpistream.core.rules import WORDS

VERSIONS: Final = {"call.ended": 1, "deal.closed": 1, "survey.completed": 1, "retracted": 1}
"""Version of the schema that the models make now, by type."""
EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "call.ended": {
        "type": "call.ended",
        "tenant": "acme",
        "source": "pbx-eu",
        "event_id": "7c1f0e52-1",
        "revision": 1,
        "agent_id": "maria",
        "queue": "telesales",
        "campaign": "spring",
        "customer_id": "C-2041",
        "call_id": "7c1f0e52",
        "direction": "outbound",
        "started_at": "2026-03-04T08:12:05.000Z",
        "answered_at": "2026-03-04T08:12:19.000Z",
        "ended_at": "2026-03-04T08:17:02.118Z",
        "ring_ms": 14000,
        "talk_ms": 268000,
        "hold_ms": 15000,
        "wrap_up_ms": 41000,
        "outcome": "connected",
        "answered_by": "human",
        "disposition": "SALE",
        "next_follow_up_at": "2026-03-09T09:00:00.000Z",
        "attributes": {"list": "north-7"},
    },
    "deal.closed": {
        "type": "deal.closed",
        "tenant": "acme",
        "source": "crm",
        "event_id": "D-77120",
        "agent_id": "maria",
        "campaign": "spring",
        "customer_id": "C-2041",
        "call_id": "7c1f0e52",
        "outcome": "won",
        "amount_minor": 125000,
        "currency": "EUR",
        "customer_type": "repeat",
        "product": "broadband 500",
        "closed_at": "2026-03-04T08:20:00.000Z",
    },
    "survey.completed": {
        "type": "survey.completed",
        "tenant": "acme",
        "source": "forms",
        "event_id": "R-55017",
        "agent_id": "maria",
        "customer_id": "C-2041",
        "call_id": "7c1f0e52",
        "kind": "csat",
        "score": 4.5,
        "scale_min": 1,
        "scale_max": 5,
        "completed_at": "2026-03-06T10:02:11.500Z",
    },
    "retracted": {
        "type": "retracted",
        "tenant": "acme",
        "source": "pbx-eu",
        "kind": "call",
        "event_id": "7c1f0e52-1",
        "epoch": 1,
        "revision": 2,
        "digest": 2891336453,
        "scope": "queue:telesales",
        "start_ms": 1772612100000,
    },
}
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_KAFKA_BINDING: Final = "0.5.0"


def documents() -> dict[str, str]:
    """Texts by path under `schemas/`: schema and example of each type, and `asyncapi.json`."""
    out: dict[str, str] = {}
    for kind, version in VERSIONS.items():
        out[f"{kind}/{version}.json"] = _text(schema(kind))
        out[f"{kind}/{version}.example.json"] = _text(EXAMPLES[kind])
    out["asyncapi.json"] = _text(asyncapi())
    return out


def schema(kind: str) -> dict[str, Any]:
    """JSON Schema of a type's value on the wire. It refuses nothing that the contract accepts."""
    model = MODELS[kind]
    made = model.model_json_schema(mode="validation", schema_generator=_Plain)
    made["required"] = ["type", *made["required"]]
    made["properties"] = {"type": made["properties"].pop("type"), **made["properties"]}
    made["description"] = model.__doc__ or ""
    rules = [f"{reason}: {words}" for reason, words in WORDS[kind]]
    head = {"$schema": _DIALECT, "$id": f"urn:kpistream:{kind}:{VERSIONS[kind]}", "title": kind}
    return head | {name: part for name, part in made.items() if name != "title"} | {"x-rules": rules}


def asyncapi() -> dict[str, Any]:
    """AsyncAPI 3.0 document of `kpi.events`."""
    names = {kind: _camel(kind) for kind in VERSIONS}
    channel = {
        "address": "kpi.events",
        "title": "Canonical events",
        "description": "One log for each agent, queue or campaign: all its records have the same key.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names.values()},
        "bindings": {"kafka": {"bindingVersion": _KAFKA_BINDING}},
    }
    produced = [{"$ref": f"#/channels/events/messages/{name}"} for kind, name in names.items() if kind != "retracted"]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "kpistream events",
            "version": "1.0.0",
            "description": "What telephony, CRM and survey systems publish for kpistream.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {"events": channel},
        "operations": {
            "receiveEvents": {"action": "receive", "channel": {"$ref": "#/channels/events"}, "messages": produced}
        },
        "components": {"messages": {name: _message(kind) for kind, name in names.items()}},
    }


def _message(kind: str) -> dict[str, Any]:
    event = check(EXAMPLES[kind])
    key = {
        "type": "string",
        "description": "tenant/scope; the scope is agent:ID, else queue:NAME, else campaign:NAME",
        "examples": [event.key().decode()],
    }
    return {
        "name": kind,
        "title": kind,
        "summary": (type(event).__doc__ or "").splitlines()[0],
        "description": f"One JSON object in UTF-8, at most {MAX_BYTES} bytes."
        + (" Producers never send it." if isinstance(event, Retracted) else ""),
        "payload": {"$ref": f"./{kind}/{VERSIONS[kind]}.json"},
        "bindings": {"kafka": {"key": key, "bindingVersion": _KAFKA_BINDING}},
        "examples": [{"name": kind, "payload": EXAMPLES[kind]}],
    }


class _Plain(GenerateJsonSchema):
    """Without a title for every field: their names say as much."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _camel(kind: str) -> str:
    head, *rest = kind.split(".")
    return head + "".join(part.capitalize() for part in rest)


def _text(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
