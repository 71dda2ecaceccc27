"""The language of mappings: YAML text to a checked description, with every fault as `file:line key: fact`.

Knows the keys and their values, and which fields an event has; never a file's rows. What it returns is plain
data that `mapping` binds to the columns of a file.
"""

import codecs
from dataclasses import dataclass, replace
from typing import Final
from zoneinfo import ZoneInfo

from kpistream.core.events import CallEnded, DealClosed, MovedFrom, SurveyCompleted
from kpistream.sources.fields import Piece, Spec
from kpistream.sources.predicates import Predicate, read_predicate
from kpistream.sources.rows import Format
from kpistream.sources.times import CLOCK, UNITS, format_fault, zone_of
from kpistream.sources.yaml_nodes import Faults, Node, Section, Where, near, parse

FORMATS: Final = ("csv", "tsv", "jsonl")
MODELS: Final = {
    "call.ended": CallEnded,
    "deal.closed": DealClosed,
    "survey.completed": SurveyCompleted,
}
GROUPS: Final = ("attributes", "moved_from")
ENVELOPE: Final = ("type", "tenant", "source")
_SOURCES: Final = ("column", "template", "constant", "first", "field", "date")
_KIND_BY_NAME: Final = {
    "amount_minor": "amount",
    "score": "decimal",
    "revision": "integer",
    "transfer_leg": "integer",
    "scale_min": "integer",
    "scale_max": "integer",
}


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


def kind_of(name: str) -> str:
    """What a field of an event is, by its name: every `_at` is a time, every `_ms` a duration."""
    if name.endswith("_at"):
        return "time"
    return "duration" if name.endswith("_ms") else _KIND_BY_NAME.get(name, "text")


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
    zone = _zone(top)
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
        _check_common(common, events, faults)
    top.finish()
    faults.raise_if_any()
    return Description(file, about, source, form, zone, nulls, skips, events, as_events)


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


def _zone(section: Section) -> ZoneInfo | None:
    name = section.text("zone")
    if name is None:
        return None
    try:
        return zone_of(name)
    except ValueError as error:
        section.fault(str(error), "zone")
        return None


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
    known = {name for event in events for name in field_names(event.type)}
    for name in Section(common, faults):
        if name not in known:
            faults.add(
                Where(common.where.line, f"common.{name}"),
                f"no event here has this field{near(name, known)}",
            )


def _event(section: Section, common: Node | None) -> EventSpec:
    faults = section.faults
    event_type = section.choice("type", MODELS, "call.ended")
    if "type" not in section:
        section.fault(f"missing: one of {', '.join(MODELS)}", "type")
    when = read_predicate(section.node("when"), faults)
    shared = common.value if common is not None and isinstance(common.value, dict) else {}
    specs: dict[str, Spec] = {}
    for name in field_names(event_type):
        node = section.node(name) or shared.get(name)
        if node is None:
            continue
        if name in GROUPS:
            for inner, child in _group(name, node, faults):
                specs[f"{name}.{inner}"] = _spec(child, kind_of(inner) if name == "moved_from" else "text", faults)
        else:
            specs[name] = _spec(node, kind_of(name), faults)
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


def _spec(node: Node, kind: str, faults: Faults) -> Spec:
    if isinstance(node.value, str):
        return Spec(
            node.where,
            kind,
            _template(node.where, node.value, faults),
            unit="major" if kind == "amount" else "ms",
        )
    if isinstance(node.value, list):
        return Spec(
            node.where,
            kind,
            first=tuple(_spec(item, kind, faults) for item in node.value),
        )
    section = Section(node, faults)
    given = [key for key in _SOURCES if key in section]
    if len(given) != 1:
        section.fault(f"needs exactly one of {', '.join(_SOURCES)}" + (f", has {', '.join(given)}" if given else ""))
    spec = _with_reading(section, kind, _found(section, kind))
    section.finish()
    return spec


def _found(section: Section, kind: str) -> Spec:
    """Where the value comes from."""
    where, faults = section.where, section.faults
    column, template, constant = (
        section.text("column"),
        section.text("template"),
        section.text("constant"),
    )
    pieces: tuple[Piece, ...] | None = (Piece("", False),)
    if column is not None:
        pieces = (Piece(column, True),)
    elif constant is not None:
        pieces = (Piece(constant, False),)
    elif template is not None:
        pieces = _template(where, template, faults)
    first = tuple(_spec(item, kind, faults) for item in section.nodes("first"))
    field, date, time = (
        section.text("field"),
        section.text("date"),
        section.text("time"),
    )
    if (date is not None or time is not None) and kind != "time":
        section.fault(
            "only a time has a date and a time column",
            "date" if date is not None else "time",
        )
    if time is not None and date is None:
        section.fault("needs the column of the date as well: date", "time")
    return Spec(
        where,
        kind,
        None if first or field or date else pieces,
        first,
        field,
        date,
        time,
    )


def _with_reading(section: Section, kind: str, spec: Spec) -> Spec:
    """The same with null tokens, look-up and how the text is read."""
    table = _table(section)
    otherwise = section.text("otherwise")
    if otherwise is not None and table is None:
        section.fault("only a value with a table has it", "otherwise")
    spec = replace(
        spec,
        when=read_predicate(section.node("when"), section.faults),
        nulls=frozenset(section.texts("nulls")),
        table=table,
        otherwise=otherwise,
        decimal=_mark(section, "decimal", ".,"),
        thousands=_mark(section, "thousands", ".,' \u00a0"),
        unit=_unit(section, kind),
    )
    if kind != "time":
        return spec
    forms = {key: section.text(key) for key in ("format", "date_format", "time_format")}
    for key, form in forms.items():
        fault = None if form is None else format_fault(form)
        if fault is not None:
            section.fault(fault, key)
        if form is not None and (spec.date is None) is (key != "format"):
            section.fault(
                "format is for one column; date_format and time_format are for date and time",
                key,
            )
    plus, minus = (section.node(key) for key in ("plus", "minus"))
    return replace(
        spec,
        form=forms["format"] or forms["date_format"] or ("iso" if spec.date is None else "%Y-%m-%d"),
        time_form=forms["time_format"] or "%H:%M:%S",
        zone=_zone(section),
        not_before=section.text("not_before"),
        plus=None if plus is None else _spec(plus, "duration", section.faults),
        minus=None if minus is None else _spec(minus, "duration", section.faults),
    )


def _unit(section: Section, kind: str) -> str:
    if kind == "duration":
        if "unit" not in section:
            section.fault(f"missing: one of {', '.join((*UNITS, CLOCK))}", "unit")
        return section.choice("unit", (*UNITS, CLOCK), "ms")
    if kind == "amount":
        return section.choice("unit", ("major", "minor"), "major")
    if "unit" in section:
        section.node("unit")
        section.fault("only durations and amounts have a unit", "unit")
    return "ms"


def _mark(section: Section, key: str, allowed: str) -> str:
    mark = section.text(key)
    if mark is not None and (len(mark) != 1 or mark not in allowed):
        section.fault(f'"{mark}" is none of {" ".join(repr(one) for one in allowed)}', key)
    return mark or ("." if key == "decimal" else "")


def _table(section: Section) -> dict[str, str] | None:
    node = section.node("table")
    if node is None:
        return None
    if not isinstance(node.value, dict) or any(not isinstance(child.value, str) for child in node.value.values()):
        section.fault("must be a table of text to text", "table")
        return {}
    return {name: str(child.value) for name, child in node.value.items()}


def _template(where: Where, text: str, faults: Faults) -> tuple[Piece, ...]:
    """Literal text with `{column}`; `{{` and `}}` are the braces themselves."""
    pieces: list[Piece] = []
    literal, rest = "", text
    while rest:
        if rest[:2] in ("{{", "}}"):
            literal, rest = literal + rest[0], rest[2:]
        elif rest[0] == "{" and "}" in rest[1:]:
            column, _, rest = rest[1:].partition("}")
            if literal:
                pieces.append(Piece(literal, False))
            pieces.append(Piece(column, True))
            literal = ""
        elif rest[0] in "{}":
            faults.add(
                where,
                f'"{text}" has a brace without its partner; write {{{{ for the brace itself',
            )
            return (Piece(text, False),)
        else:
            literal, rest = literal + rest[0], rest[1:]
    if literal or not pieces:
        pieces.append(Piece(literal, False))
    return tuple(pieces)
