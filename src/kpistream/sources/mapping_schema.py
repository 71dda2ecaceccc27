"""The language of mappings: YAML text to a checked description, with every fault as `file:line key: fact`.

Knows the keys and their values, and which fields an event has; never a file's rows. What it returns is plain
data that `mapping` binds to the columns of a file.
"""

import codecs
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

from kpistream.core.events import CallEnded, DealClosed, Event, MovedFrom, SurveyCompleted
from kpistream.core.settings_values import identifier
from kpistream.core.yaml_nodes import Faults, Node, Section, Where, near, parse
from kpistream.sources.field_schema import kind_of, read_spec, read_zone
from kpistream.sources.fields import Spec
from kpistream.sources.predicates import EVERY, Predicate, read_predicate
from kpistream.sources.rows import Format

FORMATS: Final = ("csv", "tsv", "jsonl")
MODELS: Final[dict[str, type[Event]]] = {
    "call.ended": CallEnded,
    "deal.closed": DealClosed,
    "survey.completed": SurveyCompleted,
}
GROUPS: Final = ("attributes", "moved_from")
ENVELOPE: Final = ("type", "tenant", "source")


@dataclass(frozen=True, slots=True)
class Skip:
    """Rows that are left out on purpose, and the name under which they are counted."""

    name: str
    when: Predicate


@dataclass(frozen=True, slots=True)
class EventSpec:
    """One event made from a row: its fields in the order in which they can be made."""

    where: Where
    type: str
    when: Predicate
    fields: tuple[tuple[str, Spec], ...]
    """Field path (`attributes.NAME` for groups) and how it comes."""


@dataclass(frozen=True, slots=True)
class Description:
    """A whole mapping as it was written."""

    file: str
    about: str
    source: str
    form: Format
    zone: ZoneInfo | None
    nulls: frozenset[str]
    skips: tuple[Skip, ...]
    events: tuple[EventSpec, ...]
    as_events: bool
    """True when the rows are events already (`events: rows`)."""


def field_names(event_type: str) -> tuple[str, ...]:
    """Fields that a mapping can make for an event of this type, groups included."""
    return tuple(name for name in MODELS[event_type].model_fields if name not in ENVELOPE)


def read_description(text: str, file: str) -> Description:
    """The description in a YAML text. Raises: ConfigError with every fault."""
    faults = Faults(file)
    top = Section(parse(text, faults), faults)
    source = top.text("source") or ""
    about = top.text("about") or ""
    form = _format(top)
    zone = read_zone(top)
    nulls = frozenset(top.texts("nulls"))
    skips = tuple(_skip(Section(node, faults)) for node in top.nodes("skip"))
    events: tuple[EventSpec, ...] = ()
    as_events = top.node("events") is not None and _is_rows(top)
    if as_events:
        if form.kind != "jsonl":
            top.fault("rows can be events only in format jsonl", "events")
    else:
        common = top.node("common")
        events = tuple(_event(Section(node, faults), common) for node in top.nodes("events"))
        if not events:
            top.fault("no event is made from a row", "events")
        if not source:
            top.fault("missing: the system that the file comes from, such as crm", "source")
        else:
            _check_source(source, top)
        _check_common(common, events, faults)
    top.finish()
    faults.raise_if_any()
    return Description(file, about, source, form, zone, nulls, skips, events, as_events)


def _check_source(source: str, top: Section) -> None:
    try:
        identifier(source)
    except ValueError as error:
        top.fault(str(error), "source")


def _is_rows(top: Section) -> bool:
    node = top.node("events")
    return node is not None and node.value == "rows"


def _format(top: Section) -> Format:
    kind = top.choice("format", FORMATS, "csv")
    delimiter = top.text("delimiter")
    if delimiter is not None and (len(delimiter) != 1 or kind != "csv"):
        top.fault("must be one character, and only format csv has it", "delimiter")
        delimiter = None
    quote = top.text("quote")
    if quote is not None and len(quote) > 1:
        top.fault('must be one character, or "" for none', "quote")
        quote = None
    encoding = top.text("encoding") or "utf-8"
    try:
        codecs.lookup(encoding)
    except LookupError:
        top.fault(
            f'"{encoding}" is not an encoding, such as utf-8 or windows-1252',
            "encoding",
        )
    columns = tuple(top.texts("columns"))
    header = top.choice("header", ("yes", "no", "true", "false"), "yes") in (
        "yes",
        "true",
    )
    if not header and not columns:
        top.fault("a file without header needs the names of its columns here", "columns")
    if columns and (header or kind == "jsonl"):
        top.fault("only a file with header: no has its columns named here", "columns")
    return Format(
        "jsonl" if kind == "jsonl" else "csv",
        "\t" if kind == "tsv" else delimiter or ",",
        '"' if quote is None else quote or None,
        encoding,
        header,
        columns,
    )


def _skip(section: Section) -> Skip:
    name = section.text("as")
    if not name:
        section.fault("missing: the name under which these rows are counted", "as")
    if "when" not in section:
        section.fault("missing: which rows", "when")
    when = read_predicate(section.node("when"), section.faults)
    section.finish()
    return Skip(name or "", when)


def _check_common(common: Node | None, events: tuple[EventSpec, ...], faults: Faults) -> None:
    if common is None:
        return
    known = {name for event in events if event.type for name in field_names(event.type)}
    for name in Section(common, faults):
        if name not in known:
            faults.add(
                Where(common.where.line, f"common.{name}"),
                f"no event here has this field{near(name, known)}",
            )


def _event(section: Section, common: Node | None) -> EventSpec:
    faults = section.faults
    event_type = section.choice("type", MODELS, "")
    if not event_type:
        if "type" not in section:
            section.fault(f"missing: one of {', '.join(MODELS)}", "type")
        return EventSpec(section.where, "", EVERY, ())
    when = read_predicate(section.node("when"), faults)
    shared = common.value if common is not None and isinstance(common.value, dict) else {}
    specs: dict[str, Spec] = {}
    for name in field_names(event_type):
        node = section.node(name) or shared.get(name)
        if node is None:
            continue
        if name in GROUPS:
            for inner, child in _group(name, node, faults):
                specs[f"{name}.{inner}"] = read_spec(child, kind_of(inner) if name == "moved_from" else "text", faults)
        else:
            specs[name] = read_spec(node, kind_of(name), faults)
    for name, field in MODELS[event_type].model_fields.items():
        if field.is_required() and name not in ENVELOPE and name not in specs:
            section.fault(f"missing: every {event_type} has it", name)
    section.finish()
    return EventSpec(section.where, event_type, when, _ordered(specs, faults))


def _group(name: str, node: Node, faults: Faults) -> list[tuple[str, Node]]:
    if not isinstance(node.value, dict):
        faults.add(node.where, "must be a table of name to value")
        return []
    for inner, child in node.value.items():
        if name == "moved_from" and inner not in MovedFrom.model_fields:
            faults.add(child.where, f"unknown field{near(inner, MovedFrom.model_fields)}")
    return list(node.value.items())


def _ordered(specs: dict[str, Spec], faults: Faults) -> tuple[tuple[str, Spec], ...]:
    """The fields, each after those that it is made from."""
    done: dict[str, Spec] = {}

    def visit(name: str, asked: tuple[str, ...]) -> None:
        if name in done:
            return
        if name in asked:
            faults.add(specs[name].where, f"is made from itself: {' -> '.join((*asked, name))}")
            return
        for needed in sorted(specs[name].needs()):
            if needed in specs:
                visit(needed, (*asked, name))
            elif needed != "currency":
                faults.add(
                    specs[name].where,
                    f'there is no field "{needed}" here{near(needed, specs)}',
                )
            else:
                faults.add(
                    specs[name].where,
                    "an amount in major units needs the field currency",
                )
        done[name] = specs[name]

    for name in specs:
        visit(name, ())
    return tuple(done.items())
