"""The generated documents say what the models do, and released versions stay accepted."""

import ast
import json
from pathlib import Path

import pytest
from hypothesis import given, settings

from kpistream.core import fields
from kpistream.core.decoding import decode
from kpistream.core.event_pages import events_page
from kpistream.core.events import MODELS, MovedFrom
from kpistream.core.explaining import check, examine
from kpistream.core.schemas import EXAMPLES, VERSIONS, asyncapi, documents, schema
from kpistream.errors import EventRejected, Reason
from tests.contract.strategies import TIMESTAMP_MS, objects

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "schemas"
LATE_MS = 4_000_000_000_000
AGAIN = "write them again with `kpistream schemas write schemas`"
RELEASED = sorted(path for path in SCHEMAS.glob("*/*.example.json"))


@pytest.mark.parametrize("path", documents())
def test_document_is_the_generated_one(path):
    assert (SCHEMAS / path).read_text("utf-8") == documents()[path], AGAIN


def test_reference_page_is_the_generated_one():
    assert (ROOT / "docs/reference/events.md").read_text("utf-8") == events_page()


@pytest.mark.parametrize("path", RELEASED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_example_of_every_released_version_stays_accepted(path):
    assert decode(path.read_bytes(), LATE_MS)


def test_every_version_up_to_the_present_one_has_its_files():
    for kind, version in VERSIONS.items():
        for number in range(1, version + 1):
            assert (SCHEMAS / kind / f"{number}.json").is_file()
            assert (SCHEMAS / kind / f"{number}.example.json").is_file()


@pytest.mark.parametrize("kind", MODELS)
def test_example_uses_the_wire_form_of_the_model(kind):
    event = check(EXAMPLES[kind])

    assert json.loads(event.to_json()) == EXAMPLES[kind]


@pytest.mark.parametrize("kind", MODELS)
def test_every_field_is_described(kind):
    made = schema(kind)

    assert all(part["description"] for part in made["properties"].values())
    assert next(iter(made["properties"])) == made["required"][0] == "type"
    assert set(made["properties"]) == set(MODELS[kind].model_fields)


def test_every_reason_is_on_the_reference_page():
    page = events_page()

    assert [reason for reason in Reason if f"| `{reason}` | " not in page] == []


def test_structs_and_their_types_for_the_checker_have_the_fields_of_the_models():
    declared = _declared(Path(fields.__file__).read_text("utf-8"))
    pairs = {
        "CallFields": MODELS["call.ended"],
        "DealFields": MODELS["deal.closed"],
        "SurveyFields": MODELS["survey.completed"],
        "RetractedFields": MODELS["retracted"],
        "MovedFromFields": MovedFrom,
    }
    for name, model in pairs.items():
        names = {fields.RENAMED.get(field, field) for field in model.model_fields} - {"type"}
        assert set(getattr(fields, name).__struct_fields__) == names
        assert declared[name] == names


def _declared(source: str) -> dict[str, set[str]]:
    """Annotated names of the classes under TYPE_CHECKING, those of their base included."""
    out: dict[str, set[str]] = {"Struct": set()}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef):
            base = node.bases[0]
            inherited = out[base.attr if isinstance(base, ast.Attribute) else base.id]
            own = {part.target.id for part in node.body if isinstance(part, ast.AnnAssign)}
            out[node.name] = inherited | own
    return out


def test_json_schema_is_sound_and_takes_the_examples():
    jsonschema = pytest.importorskip("jsonschema")

    for kind in MODELS:
        jsonschema.Draft202012Validator.check_schema(schema(kind))
        jsonschema.Draft202012Validator(schema(kind)).validate(EXAMPLES[kind])


@settings(max_examples=200, deadline=None)
@given(objects())
def test_json_schema_refuses_nothing_that_the_contract_accepts(content):
    jsonschema = pytest.importorskip("jsonschema")
    try:
        examine(json.dumps(content).encode(), TIMESTAMP_MS)
    except EventRejected:
        return

    jsonschema.Draft202012Validator(schema(content["type"])).validate(content)


def test_asyncapi_names_every_message_and_its_schema():
    document = asyncapi()
    messages = document["components"]["messages"]

    assert document["asyncapi"] == "3.0.0"
    assert document["channels"]["events"]["address"] == "kpi.events"
    assert {message["name"] for message in messages.values()} == set(MODELS)
    assert all((SCHEMAS / message["payload"]["$ref"]).is_file() for message in messages.values())
    assert {link["$ref"].rpartition("/")[2] for link in document["operations"]["receiveEvents"]["messages"]} == {
        "callEnded",
        "dealClosed",
        "surveyCompleted",
    }
    assert _dangling(document, document) == []


def _dangling(part, document):
    """Local references that lead nowhere."""
    if isinstance(part, list):
        return [found for each in part for found in _dangling(each, document)]
    if not isinstance(part, dict):
        return []
    out = [found for each in part.values() for found in _dangling(each, document)]
    link = part.get("$ref", "")
    if link.startswith("#/"):
        at = document
        for step in link[2:].split("/"):
            at = at.get(step, {})
        out += [] if at else [link]
    return out
