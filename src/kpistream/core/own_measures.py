"""Own measures: what settings count beside the catalogue, as a predicate over events and what each of them adds.

The number of a measure is a hash of what it counts: whoever counts something else, has another number, so that two
workers with two versions of the settings never add up different things. Name and words are no part of it.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import msgspec

from kpistream.core.decoding import CallFields, DealFields, EventFields, Fields, RetractedFields, SurveyFields
from kpistream.core.event_fields import getter
from kpistream.core.event_predicates import AT_LEAST, BELOW, EMPTY, IN, NOT, Condition, Group, Predicate
from kpistream.core.measures import Contribution

RULES: Final = 1
"""Number of the rules by which predicates are read; part of every measure's number."""
_FIRST: Final = 1 << 61
_KINDS: Final[dict[type, str]] = {CallFields: "call", DealFields: "deal", SurveyFields: "survey"}
Test = Callable[[EventFields], bool]


@dataclass(frozen=True)
class OwnMeasure:
    """One sum that settings define."""

    name: str
    predicate: Predicate
    add: str = ""
    """Field of the decoded event whose value each event adds; empty: each adds 1."""
    unit: str = ""
    words: str = ""

    @cached_property
    def number(self) -> int:
        """Of the measure, the same for the same events and values."""
        groups = sorted(sorted(set(group)) for group in self.predicate.groups)
        content = msgspec.json.encode((RULES, self.predicate.of, self.add, groups))
        found = int.from_bytes(hashlib.sha256(content).digest()[:8], "big") >> 4
        return _FIRST + found


def _absent(value: Any) -> str:
    return "" if value is None else value


def _test(of: str, condition: Condition) -> Test:
    """The condition as a function of a decoded event."""
    read, number, texts = getter(of, condition.field), condition.number, frozenset(condition.texts)
    if condition.operator == IN:
        return lambda fields: _absent(read(fields)) in texts
    if condition.operator == EMPTY:
        wanted = "yes" in texts
        return lambda fields: (read(fields) in (None, "")) is wanted
    if condition.operator == AT_LEAST:
        return lambda fields: (value := read(fields)) is not None and value >= number
    if condition.operator == BELOW:
        return lambda fields: (value := read(fields)) is not None and value < number
    return lambda fields: _absent(read(fields)) not in texts


def _all_of(of: str, group: Group) -> Test:
    tests = tuple(_test(of, condition) for condition in group)
    if len(tests) == 1:
        return tests[0]
    return lambda fields: all(test(fields) for test in tests)


def predicate_test(predicate: Predicate) -> Test:
    """The predicate as a function of a decoded event of its kind."""
    groups = tuple(_all_of(predicate.of, group) for group in predicate.groups)
    if len(groups) == 1:
        return groups[0]
    return lambda fields: any(group(fields) for group in groups)


class Counting:
    """Some measures, ready to be asked what an event adds to them."""

    def __init__(self, measures: tuple[OwnMeasure, ...]) -> None:
        self.numbers: frozenset[int] = frozenset(measure.number for measure in measures)
        by_number = {measure.number: measure for measure in measures}
        self._by_kind: dict[str, list[tuple[int, Test, Callable[[EventFields], int | None] | None]]] = {}
        for number, measure in sorted(by_number.items()):
            of = measure.predicate.of
            added = getter(of, measure.add) if measure.add else None
            self._by_kind.setdefault(of, []).append((number, predicate_test(measure.predicate), added))

    def counts(self, fields: Fields) -> bool:
        """True for an event, or a retraction of one, of a kind that any of the measures is about."""
        kind = fields.kind if isinstance(fields, RetractedFields) else _KINDS[type(fields)]
        return kind in self._by_kind

    def contribution(self, fields: Fields) -> Contribution:
        """What the event adds, zero values left out. A retraction adds nothing."""
        if isinstance(fields, RetractedFields):
            return ()
        out: list[int] = []
        for number, test, added in self._by_kind.get(_KINDS[type(fields)], ()):
            if test(fields):
                value = 1 if added is None else added(fields)
                if value:
                    out += (number, value)
        return tuple(out)


_WORDS: Final = {AT_LEAST: "at least", BELOW: "below", IN: "is", NOT: "is not"}


def measure_words(measure: OwnMeasure) -> str:
    """What a measure counts, in one line: `talk_ms of calls where disposition is "demo"`."""
    of = measure.predicate.of
    head = f"{measure.add} of {of}s" if measure.add else f"{of}s"
    groups = [" and ".join(map(_condition_words, group)) for group in measure.predicate.groups if group]
    return f"{head} where {', or '.join(groups)}" if groups else f"all {of}s" if not measure.add else head


def _condition_words(condition: Condition) -> str:
    if condition.operator == EMPTY:
        return f"{condition.field} is {'absent' if 'yes' in condition.texts else 'there'}"
    if condition.operator in (AT_LEAST, BELOW):
        return f"{condition.field} {_WORDS[condition.operator]} {condition.number}"
    return f"{condition.field} {_WORDS[condition.operator]} " + " or ".join(f'"{text}"' for text in condition.texts)


NOTHING_OWN: Final = Counting(())
