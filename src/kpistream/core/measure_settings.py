"""Measure settings: the measures of a settings file, each a predicate over the fields of the contract.

The language of predicates is that of mappings: a table of field to condition, a condition is one text, a list of texts,
or a table of operators. There are no patterns, because two engines never read them alike.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import Final, NamedTuple

from kpistream.core.event_fields import ATTRIBUTE, FIELDS, KINDS, SCORE, Field, Type
from kpistream.core.event_predicates import AT_LEAST, BELOW, EMPTY, IN, NOT, Condition, Group, Predicate
from kpistream.core.own_measures import OwnMeasure
from kpistream.core.settings_values import duration_ms, label, whole
from kpistream.core.yaml_nodes import Faults, Node, Section, named_sections, near

OPERATORS: Final[dict[str, str]] = {
    NOT: "is none of these texts",
    AT_LEAST: "is a number, and this or more",
    "above": "is a number, and more than this",
    BELOW: "is a number, and less than this",
    "at_most": "is a number, and this or less",
    EMPTY: "is absent or has no characters (`yes`), or is there (`no`)",
}
"""What a table of operators may say of a field; all of them must hold."""
_STRICT: Final = {AT_LEAST: (AT_LEAST, 0), "above": (AT_LEAST, 1), BELOW: (BELOW, 0), "at_most": (BELOW, 1)}
_LARGEST: Final = 10**15
_UNITS: Final = {"call": "calls", "deal": "deals", "survey": "surveys"}
_CURRENCY: Final = "currency"
NameCheck = Callable[[str], str]


class _At(NamedTuple):
    """The kind of event that is asked about, and where faults go."""

    of: str
    faults: Faults


def read_measures(section: Section, check: NameCheck, measures: dict[str, OwnMeasure]) -> None:
    """Add the measures of a file to `measures`; faults go to the section's. `check` raises ValueError on a name."""
    for name, inner in named_sections(section, "measures", check):
        if name in measures:
            inner.fault(f'there is a measure "{name}" already')
        measure = _measure(name, inner)
        inner.finish()
        if measure is not None:
            measures[name] = measure


def _measure(name: str, section: Section) -> OwnMeasure | None:
    for key in ("of", "description"):
        if key not in section:
            section.fault("is missing", key)
    of = section.choice("of", KINDS, "")
    words, where, add = section.read("description", label), section.node("where"), section.text("add")
    if not of:
        return None
    predicate = Predicate(of) if where is None else Predicate(of, _groups(where, _At(of, section.faults)))
    if add is None or add == "1":
        return OwnMeasure(name, predicate, "", _UNITS[of], words or "")
    field = FIELDS[of].get(add)
    if field is None or field.type is not Type.NUMBER or not field.unit:
        known = [each.name for each in FIELDS[of].values() if each.type is Type.NUMBER and each.unit]
        section.fault(f'"{add}" is no size of a {of}, it has {", ".join(known)}{near(add, known)}', "add")
        return None
    if field.unit == "minor units" and not all(_one_currency(group) for group in predicate.groups):
        section.fault("amounts of two currencies are never added: name one currency in where", "add")
        return None
    unit = "milli-points" if add == SCORE else field.unit
    return OwnMeasure(name, predicate, field.attribute, unit, words or "")


def _one_currency(group: Group) -> bool:
    return any(each.field == _CURRENCY and each.operator == IN and len(each.texts) == 1 for each in group)


def _groups(node: Node, at: _At) -> tuple[Group, ...]:
    nodes = node.value if isinstance(node.value, list) else [node]
    if not nodes:
        at.faults.add(node.where, "must be a table of field to condition, or a list of such tables")
    return tuple(_group(each, at) for each in nodes) or ((),)


def _group(node: Node, at: _At) -> Group:
    if not isinstance(node.value, dict) or not node.value:
        at.faults.add(node.where, "must be a table of field to condition")
        return ()
    out: list[Condition] = []
    for name, condition in node.value.items():
        field = _field(name, at.of)
        if field is None:
            fact = f'"{name}" is no field of a {at.of}{near(name, FIELDS[at.of])}'
            at.faults.add(condition.where, fact)
        elif isinstance(condition.value, dict):
            out += _operators(field, Section(condition, at.faults))
        else:
            out += _texts(field, condition, IN, at.faults)
    return tuple(out)


def _field(name: str, of: str) -> Field | None:
    if name.startswith(ATTRIBUTE) and len(name) > len(ATTRIBUTE):
        return Field(name, Type.TEXT, optional=True)
    return FIELDS[of].get(name)


def _texts(field: Field, node: Node, operator: str, faults: Faults) -> list[Condition]:
    """The condition that a text or a list of texts makes."""
    nodes = node.value if isinstance(node.value, list) else [node]
    texts = [each.value for each in nodes if isinstance(each.value, str)]
    if len(texts) < len(nodes) or not texts:
        faults.add(node.where, "must be a text or a list of texts")
        return []
    if field.type in (Type.NUMBER, Type.INSTANT):
        said = "at_least, above, below, at_most or empty" if field.type is Type.NUMBER else "empty"
        faults.add(node.where, f"{field.name} is no text: say {said}")
        return []
    allowed = (*field.choices, *([""] if field.optional else []))
    for text in texts:
        if field.choices and text not in allowed:
            fact = f'"{text}" is none of {", ".join(field.choices)}{near(text, field.choices)}'
            faults.add(node.where, fact)
    return [Condition(field.attribute, operator, tuple(sorted(set(texts))))]


def _operators(field: Field, section: Section) -> list[Condition]:
    out: list[Condition] = []
    for operator in OPERATORS:
        node = section.node(operator)
        if node is None:
            continue
        if operator == NOT:
            out += _texts(field, node, NOT, section.faults)
        elif operator == EMPTY:
            out.append(Condition(field.attribute, EMPTY, (section.choice(EMPTY, ("yes", "no"), "no"),)))
        elif field.type is not Type.NUMBER:
            section.fault(f"{field.name} is no number", operator)
        else:
            number = section.read(operator, lambda text: _number(field, text))
            name, more = _STRICT[operator]
            out += [] if number is None else [Condition(field.attribute, name, (), number + more)]
    if not any(operator in section for operator in OPERATORS):
        section.fault(f"needs one of {', '.join(OPERATORS)}")
    section.finish()
    return out


def _number(field: Field, text: str) -> int:
    if field.unit == "ms":
        return duration_ms(text)
    if field.name == SCORE:
        try:
            milli = Fraction(text) * 1000
        except (ValueError, ZeroDivisionError) as error:
            raise ValueError(f'"{text}" is no score') from error
        if milli.denominator != 1 or abs(milli) > _LARGEST:
            raise ValueError(f'"{text}" is no score with at most 3 decimals')
        return int(milli)
    return whole(text, 0, _LARGEST)
