"""Predicates: which rows a rule or a field takes, as a table of column to condition.

All conditions of one table must hold; a list of tables holds when any of them does. They compare the text of
the cell as it stands in the file, outer blanks removed, before null tokens and look-up tables.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from kpistream.core.yaml_nodes import Faults, Node, Section, Where
from kpistream.sources.rows import Columns, Row

Test = Callable[[Row], bool]

OPERATORS = ("not", "matches", "above", "below", "empty")


@dataclass(frozen=True, slots=True)
class Condition:
    """One column and what its text must be."""

    where: Where
    column: str
    operator: str
    """`in`, or one of the operators of the file."""
    operands: frozenset[str]
    limit: Decimal | None = None
    pattern: re.Pattern[str] | None = None

    def bind(self, columns: Columns) -> Test:
        """The condition as a function of a row."""
        cell = columns.cell(self.column, self.where)
        operands, pattern, limit = self.operands, self.pattern, self.limit
        if self.operator == "in":
            return lambda row: (cell(row) or "") in operands
        if self.operator == "not":
            return lambda row: (cell(row) or "") not in operands
        if self.operator == "empty":
            wanted = "yes" in operands
            return lambda row: (not cell(row)) is wanted
        if pattern is not None:
            search = pattern.search
            return lambda row: search(cell(row) or "") is not None
        assert limit is not None
        above = self.operator == "above"
        return lambda row: _beyond(cell(row), limit, above)


def _beyond(text: str | None, limit: Decimal, above: bool) -> bool:
    try:
        number = Decimal(text or "")
    except InvalidOperation:
        return False
    return bool(number > limit if above else number < limit)


@dataclass(frozen=True, slots=True)
class Predicate:
    """Any of its groups, each of which is all of its conditions. No group: every row."""

    groups: tuple[tuple[Condition, ...], ...]

    def bind(self, columns: Columns) -> Test:
        """The predicate as a function of a row."""
        groups = [[condition.bind(columns) for condition in group] for group in self.groups]
        if not groups:
            return lambda row: True
        if len(groups) == 1:
            (only,) = groups
            return lambda row: all(test(row) for test in only)
        return lambda row: any(all(test(row) for test in group) for group in groups)


EVERY = Predicate(())


def read_predicate(node: Node | None, faults: Faults) -> Predicate:
    """The predicate of a `when` key; absent means every row."""
    if node is None:
        return EVERY
    groups = node.value if isinstance(node.value, list) else [node]
    return Predicate(tuple(_read_group(group, faults) for group in groups))


def _read_group(node: Node, faults: Faults) -> tuple[Condition, ...]:
    if not isinstance(node.value, dict) or not node.value:
        faults.add(node.where, "must be a table of column to condition")
        return ()
    found: list[Condition] = []
    for column, condition in node.value.items():
        if isinstance(condition.value, dict):
            found += _read_operators(column, Section(condition, faults))
        elif isinstance(condition.value, list):
            if any(not isinstance(item.value, str) for item in condition.value):
                faults.add(condition.where, "must be a list of texts")
            operands = frozenset(item.value for item in condition.value if isinstance(item.value, str))
            found.append(Condition(condition.where, column, "in", operands))
        else:
            found.append(Condition(condition.where, column, "in", frozenset((condition.value,))))
    return tuple(found)


def _read_operators(column: str, section: Section) -> list[Condition]:
    found = []
    for operator in OPERATORS:
        if operator not in section:
            continue
        operands = frozenset(section.texts(operator))
        limit, pattern = None, None
        first = next(iter(operands), "")
        if operator in ("above", "below"):
            limit = _number(section, operator, first)
        elif operator == "matches":
            pattern = _pattern(section, first)
        elif operator == "empty" and first not in ("yes", "no"):
            section.fault(f'"{first}" is none of yes, no', operator)
        found.append(Condition(section.where, column, operator, operands, limit, pattern))
    section.finish()
    return found


def _number(section: Section, operator: str, text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        section.fault(f'"{text}" is not a number', operator)
        return Decimal(0)


def _pattern(section: Section, text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        section.fault(f'"{text}" is not a regular expression: {error}', "matches")
        return re.compile("")
