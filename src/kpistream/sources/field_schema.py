"""The language of one value: how a field is written in a mapping, checked and turned into a `Spec`.

A plain text is a template of columns, a list is "the first of these that has a value", a table says the rest.
"""

from dataclasses import replace
from typing import Final
from zoneinfo import ZoneInfo

from kpistream.core.windows import zone_of_name
from kpistream.core.yaml_nodes import Faults, Node, Section, Where
from kpistream.errors import ConfigError
from kpistream.sources.fields import Piece, Spec
from kpistream.sources.predicates import read_predicate
from kpistream.sources.times import CLOCK, UNITS, format_fault

_SOURCES: Final = ("column", "template", "constant", "first", "field", "date")
_KIND_BY_NAME: Final = {
    "amount_minor": "amount",
    "score": "decimal",
    "revision": "integer",
    "transfer_leg": "integer",
    "scale_min": "integer",
    "scale_max": "integer",
}


def kind_of(name: str) -> str:
    """What a field of an event is, by its name: every `_at` is a time, every `_ms` a duration."""
    if name.endswith("_at"):
        return "time"
    return "duration" if name.endswith("_ms") else _KIND_BY_NAME.get(name, "text")


def read_spec(node: Node, kind: str, faults: Faults) -> Spec:
    """The value that a node describes, read as `kind`."""
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
            first=tuple(read_spec(item, kind, faults) for item in node.value),
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
    first = tuple(read_spec(item, kind, faults) for item in section.nodes("first"))
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
    otherwise = section.node("otherwise")
    if otherwise is not None and table is None:
        section.fault("only a value with a table has it", "otherwise")
    spec = replace(
        spec,
        when=read_predicate(section.node("when"), section.faults),
        nulls=frozenset(section.texts("nulls")),
        table=table,
        otherwise=None if otherwise is None else read_spec(otherwise, "text", section.faults),
        decimal=_mark(section, "decimal", ".,"),
        thousands=_mark(section, "thousands", ".,' \u00a0"),
        unit=_unit(section, kind),
    )
    return _with_time(section, spec) if kind == "time" else spec


def _with_time(section: Section, spec: Spec) -> Spec:
    """The same with how a time is read."""
    forms = {
        "format": section.text("format"),
        "date_format": section.text("date_format"),
        "time_format": section.text("time_format"),
    }
    for key, form in forms.items():
        fault = None if form is None else format_fault(form)
        if fault is not None:
            section.fault(fault, key)
        if form is not None and (spec.date is None) is (key != "format"):
            section.fault(
                "format is for one column; date_format and time_format are for date and time",
                key,
            )
    plus, minus = section.node("plus"), section.node("minus")
    return replace(
        spec,
        form=forms["format"] or forms["date_format"] or ("iso" if spec.date is None else "%Y-%m-%d"),
        time_form=forms["time_format"] or "%H:%M:%S",
        zone=read_zone(section),
        not_before=section.text("not_before"),
        plus=None if plus is None else read_spec(plus, "duration", section.faults),
        minus=None if minus is None else read_spec(minus, "duration", section.faults),
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


def read_zone(section: Section) -> ZoneInfo | None:
    """The zone of the key `zone`, None when it is absent."""
    name = section.text("zone")
    if name is None:
        return None
    try:
        return zone_of_name(name)
    except ConfigError as error:
        section.fault(str(error), "zone")
        return None
