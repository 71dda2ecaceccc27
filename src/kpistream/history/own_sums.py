"""Own sums: what the measures of settings count in facts, by SQL made from the same predicates.

A fact has every field of its event, so the past has a measure as soon as somebody defines it. What SQL says of a row
is what Python says of the event (`core/own_measures.py`): a test on the real engine holds both together. Texts and
numbers are parameters, never part of the statement.
"""

from collections.abc import Sequence
from typing import Any, Final

from kpistream.core.decoding import CallFields, DealFields, SurveyFields
from kpistream.core.event_fields import ATTRIBUTE
from kpistream.core.event_predicates import AT_LEAST, BELOW, EMPTY, IN, Condition
from kpistream.core.measures import Tally
from kpistream.core.own_measures import OwnMeasure
from kpistream.history import tables

_STRUCTS: Final = {"call": CallFields, "deal": DealFields, "survey": SurveyFields}
_COLUMNS: Final = {
    (kind, attribute): (column, type_)
    for kind, struct in _STRUCTS.items()
    for column, type_, attribute, structs in tables.FACT_FIELDS
    if struct in structs
} | {(kind, "source"): ("source", tables.NAME) for kind in _STRUCTS}
"""Column and type of an event's field, by kind and field."""
_TALK_MS: Final = (
    "ifNull(reported_talk_ms, if(isNull(answered_at), 0, greatest(0, toUnixTimestamp64Milli(assumeNotNull(ended_at))"
    " - toUnixTimestamp64Milli(assumeNotNull(answered_at)) - ifNull(reported_hold_ms, 0))))"
)


class OwnSums:
    """SELECT expressions of some measures, with their parameters, and the tally in a row of them."""

    def __init__(self, measures: Sequence[OwnMeasure]) -> None:
        self.measures = list({measure.number: measure for measure in measures}.values())
        self.parameters: dict[str, Any] = {}
        self.sql = ", ".join(self._sum(measure) for measure in self.measures)
        """One sum for each measure."""

    def tally(self, values: Sequence[int]) -> Tally:
        """The tally in a row's sums, zero left out."""
        pairs = zip(self.measures, values, strict=True)
        return {measure.number: int(value) for measure, value in pairs if value}

    def _sum(self, measure: OwnMeasure) -> str:
        of = measure.predicate.of
        groups = [
            " AND ".join(self._condition(of, each) for each in group) or "1" for group in measure.predicate.groups
        ]
        meant = " OR ".join(f"({group})" for group in groups)
        added = f"ifNull({self._number(of, measure.add)}, 0)" if measure.add else "1"
        return f"sumIf(toInt64({added}), retracted = 0 AND kind = {self._given('String', of)} AND ({meant}))"

    def _given(self, type_: str, value: Any) -> str:
        """A parameter with this value."""
        name = f"own{len(self.parameters)}"
        self.parameters[name] = value
        return f"{{{name}:{type_}}}"

    def _number(self, of: str, field: str) -> str:
        return _TALK_MS if (of, field) == ("call", "talk_ms") else _COLUMNS[of, field][0]

    def _text(self, of: str, field: str) -> str:
        if field.startswith(ATTRIBUTE):
            return f"attributes[{self._given('String', field.removeprefix(ATTRIBUTE))}]"
        return f"ifNull({_COLUMNS[of, field][0]}, '')"

    def _condition(self, of: str, condition: Condition) -> str:
        field, operator = condition.field, condition.operator
        if operator in (AT_LEAST, BELOW):
            sign = ">=" if operator == AT_LEAST else "<"
            return f"ifNull({self._number(of, field)} {sign} {self._given('Int64', condition.number)}, 0)"
        if operator == EMPTY:
            wanted = "" if "yes" in condition.texts else "NOT "
            return f"{wanted}({self._absent(of, field)})"
        texts = " OR ".join(f"{self._text(of, field)} = {self._given('String', text)}" for text in condition.texts)
        return f"({texts})" if operator == IN else f"NOT ({texts})"

    def _absent(self, of: str, field: str) -> str:
        if field.startswith(ATTRIBUTE) or "String" in _COLUMNS[of, field][1]:
            return f"{self._text(of, field)} = ''"
        return "0" if (of, field) == ("call", "talk_ms") else f"isNull({_COLUMNS[of, field][0]})"
