"""KPIs: how a number comes out of a tally.

What the KPIs are is data, in `catalogue.py`. Sums stay integers until the last step, which is the only
division; an empty denominator gives None, never 0. Never average two values of a KPI: add the tallies
and evaluate again.
"""

import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from kpistream.core import measures as m
from kpistream.core.catalogue import BY_NAME, KPIS, Better, Kpi
from kpistream.core.currencies import NUMERIC
from kpistream.core.measures import name_of
from kpistream.core.own_kpis import SCHEDULED_TIME, OwnKpis, Shape

__all__ = [
    "BY_NAME",
    "DEFAULT_LIMITS",
    "EDGES_OF_LIMIT",
    "KPIS",
    "Better",
    "Evaluated",
    "Family",
    "Kpi",
    "Limits",
    "Term",
    "Value",
    "definition",
    "evaluate",
    "evaluate_all",
    "evaluate_own",
    "parse",
    "shape",
]


class Value(msgspec.Struct, frozen=True, gc=False):
    """A KPI's number with what it was made of."""

    value: float | int | None
    """None when the denominator is 0: there is nothing to say, which is not 0."""
    numerator: int
    denominator: int | None
    """None for a KPI that counts or sums and has no denominator."""

    @property
    def sample(self) -> int:
        """How many cases the value rests on: the denominator, or the count itself."""
        return self.numerator if self.denominator is None else self.denominator


Family = dict[str, Value]
"""A value for each member (currency, scale); members are never added."""


class Limits(msgspec.Struct, frozen=True):
    """Limits that are applied when reading. Each must be a lower edge of its histogram."""

    service_level_ms: int = 20_000
    """A call answered in less than this was answered in time."""
    short_abandon_ms: int = 5_000
    """A caller who gives up in less than this is left out of the inbound shares."""
    too_short_ms: int = 60_000
    """A connected call with less talk than this is too short."""
    too_long_ms: int = 600_000
    """A connected call with this much talk, or more, is too long."""

    def faults(self) -> list[str]:
        """What is wrong with these limits, one fact each."""
        out = []
        for limit, edges in EDGES_OF_LIMIT.items():
            value = getattr(self, limit)
            if value not in edges:
                nearest = min(edges, key=lambda edge: abs(edge - value))
                out.append(f"{limit}: {value} ms is no edge of the histogram; the nearest is {nearest} ms")
        if self.too_long_ms <= self.too_short_ms:
            out.append(f"too_long_ms: {self.too_long_ms} ms must be above too_short_ms {self.too_short_ms} ms")
        return out


EDGES_OF_LIMIT: Final[dict[str, tuple[int, ...]]] = {
    "service_level_ms": m.WAIT_EDGES_MS,
    "short_abandon_ms": m.WAIT_EDGES_MS,
    "too_short_ms": m.TALK_EDGES_MS,
    "too_long_ms": m.TALK_EDGES_MS,
}
DEFAULT_LIMITS: Final = Limits()
assert {field.name for field in msgspec.structs.fields(Limits)} == EDGES_OF_LIMIT.keys()


@dataclass(frozen=True, slots=True)
class Term:
    """One summand of a formula: a measure, a family, or a part of a histogram."""

    sign: int
    name: str
    comparison: str = ""
    """`<` or `>=` for a part of a histogram, `to` for a part between two edges, else empty."""
    limit: str = ""
    """Name of the limit that cuts the histogram, or its edges in seconds: `60`, `120 600`."""


_FAMILIES: Final = {family.name: family for family in m.FAMILIES}
_HISTOGRAMS: Final = {
    "talk_bin": m.TALK_EDGES_MS,
    "answered_wait_bin": m.WAIT_EDGES_MS,
    "abandoned_wait_bin": m.WAIT_EDGES_MS,
}


_TERM: Final = re.compile(r"(-?)(\w+)(?:\[(?:(<|>=) ([a-z]\w*)|(<|>=) (\d+) s|(\d+) s to (\d+) s)\])?")


def _term(part: str, more: Collection[str]) -> Term | None:
    """A summand as it is written; None when it is not one."""
    found = _TERM.fullmatch(part)
    if found is None:
        return None
    minus, name, comparison, limit, own_comparison, edge, low, high = found.groups(default="")
    sign = -1 if minus else 1
    if not (comparison or own_comparison or low):
        return Term(sign, name) if name in m.BY_NAME or name in _FAMILIES or name in more else None
    if name not in _HISTOGRAMS or (comparison and limit not in EDGES_OF_LIMIT):
        return None
    edges = (edge, low, high)
    if any(each and 1000 * int(each) not in _HISTOGRAMS[name] for each in edges):
        return None
    if comparison or own_comparison:
        return Term(sign, name, comparison or own_comparison, limit or edge)
    return Term(sign, name, "to", f"{low} {high}")


@lru_cache(maxsize=1024)
def parse(formula: str, more: tuple[str, ...] = ()) -> tuple[Term, ...]:
    """The terms of a formula; raises ValueError when it is not one or names no measure of ours, or of `more`."""
    out: list[Term] = []
    for part in formula.replace(" - ", " + -").split(" + "):
        term = _term(part, more)
        if term is None:
            raise ValueError(f'"{part}" in formula "{formula}" is neither a measure nor a part of a histogram')
        out.append(term)
    return tuple(out)


def _span_ms(term: Term, limits: Limits) -> tuple[int, float]:
    """The part of a histogram that a term names: lower edges in `[from, to)`."""
    if term.comparison == "to":
        low, high = term.limit.split(" ")
        return 1000 * int(low), 1000 * int(high)
    edge = 1000 * int(term.limit) if term.limit.isdecimal() else getattr(limits, term.limit)
    return (0, edge) if term.comparison == "<" else (edge, math.inf)


def _numbers(formula: str, limits: Limits, own: Mapping[str, int]) -> Iterator[tuple[int, int]]:
    """Sign and measure number of everything that a formula without families adds up."""
    for term in parse(formula, tuple(own)):
        if not term.comparison:
            yield term.sign, own[term.name] if term.name in own else m.BY_NAME[term.name].number
            continue
        from_ms, to_ms = _span_ms(term, limits)
        for offset, lower in enumerate(_HISTOGRAMS[term.name]):
            if from_ms <= lower < to_ms:
                yield term.sign, _FAMILIES[term.name].first + offset


class Evaluated(NamedTuple):
    """Values by KPI name, in the order of the catalogue."""

    kpis: dict[str, Value]
    by_member: dict[str, Family]
    """KPIs with one value for each currency or scale."""


class _Plan:
    """How to evaluate some KPIs in one pass over a tally, whatever their number."""

    def __init__(self, kpis: tuple[Kpi, ...], limits: Limits) -> None:
        self.slots: dict[str, int] = {}
        """Formula -> its sum."""
        self.plain: list[int] = []
        """By sum: number of the measure that it is, -1 when it is more than one measure."""
        self.adds: dict[int, list[tuple[int, int]]] = {}
        """Measure number -> sums of more than one measure that it goes into, with its sign."""
        for kpi in kpis:
            for formula in (kpi.numerator, kpi.denominator):
                if formula is not None and formula not in self.slots and formula not in _FAMILIES:
                    self._add_sum(formula, limits, dict(kpi.numbers))
        self._kpis: list[tuple[str, int, int, int, int]] = [
            (kpi.name, self.slots[kpi.numerator], self.slots.get(kpi.denominator or "", -1), kpi.times, kpi.over)
            for kpi in kpis
            if not kpi.per
        ]
        """Name, sums above and below the line (-1: no line), `times`, `over`."""
        self._families = [kpi for kpi in kpis if kpi.per]

    def _add_sum(self, formula: str, limits: Limits, own: Mapping[str, int]) -> None:
        slot = self.slots[formula] = len(self.slots)
        numbers = list(_numbers(formula, limits, own))
        if len(numbers) == 1 and numbers[0][0] == 1:
            self.plain.append(numbers[0][1])
            return
        self.plain.append(-1)
        for sign, number in numbers:
            self.adds.setdefault(number, []).append((slot, sign))

    def evaluate(self, tally: Mapping[int, int]) -> Evaluated:
        """The values. Written out: a worker does this for every reading."""
        get = tally.get
        sums = [get(number, 0) for number in self.plain]
        for number in self.adds.keys() & tally.keys():
            for slot, sign in self.adds[number]:
                sums[slot] += sign * tally[number]
        kpis: dict[str, Value] = {}
        for name, above, below, times, over in self._kpis:
            numerator = sums[above]
            if below < 0:
                kpis[name] = Value(numerator, numerator, None)
            elif denominator := sums[below]:
                kpis[name] = Value(times * numerator / (over * denominator), numerator, denominator)
            else:
                kpis[name] = Value(None, numerator, 0)
        return Evaluated(kpis, self._by_member(tally, sums))

    def _by_member(self, tally: Mapping[int, int], sums: list[int]) -> dict[str, Family]:
        if max(tally, default=0) < m.WON_MINOR:  # scalars and histograms lie below, families with members above
            return {kpi.name: {} for kpi in self._families}
        members: dict[str, dict[str, int]] = {}
        for number in sorted(tally):
            if m.WON_MINOR <= number < m.OWN_FIRST:
                family, name = name_of(number)
                members.setdefault(family, {})[name] = tally[number]
        return {kpi.name: self._family(kpi, sums, members) for kpi in self._families}

    def _family(self, kpi: Kpi, sums: list[int], members: dict[str, dict[str, int]]) -> Family:
        below = None if kpi.denominator is None or kpi.denominator in _FAMILIES else sums[self.slots[kpi.denominator]]
        above = members.get(kpi.numerator, {})
        if kpi.denominator in _FAMILIES:
            counts = members.get(kpi.denominator, {})
            names = sorted(above.keys() | counts.keys())
            return {name: _value(kpi, above.get(name, 0), counts.get(name, 0)) for name in names}
        if kpi.denominator is not None and len(above) > 1:
            return {name: Value(None, amount, None) for name, amount in above.items()}
        return {name: _value(kpi, amount, below) for name, amount in above.items()}


@lru_cache(maxsize=1024)
def _plan_of(kpi: Kpi, limits: Limits) -> _Plan:
    return _Plan((kpi,), limits)


@lru_cache(maxsize=64)
def _plan_of_all(limits: Limits) -> _Plan:
    return _Plan(KPIS, limits)


def _offset(member: str) -> int:
    """Where a currency or a scale is in its families."""
    if member in NUMERIC:
        return NUMERIC[member]
    low, _, high = member.partition("-")
    return m.scale_code(int(low), int(high))


class Weights(NamedTuple):
    """What each measure adds to a KPI's numerator and denominator; None: it has none."""

    above: Mapping[int, int]
    below: Mapping[int, int] | None


@lru_cache(maxsize=1024)
def weights(kpi: Kpi, limits: Limits = DEFAULT_LIMITS, member: str | None = None) -> Weights:
    """The KPI as weights of measures, for its member where there is one for each: for sums over many parts."""

    def of(formula: str) -> dict[int, int]:
        if formula in _FAMILIES:
            return {} if member is None else {_FAMILIES[formula].first + _offset(member): 1}
        found: dict[int, int] = {}
        for sign, number in _numbers(formula, limits, dict(kpi.numbers)):
            found[number] = found.get(number, 0) + sign
        return found

    return Weights(of(kpi.numerator), None if kpi.denominator is None else of(kpi.denominator))


@lru_cache(maxsize=256)
def _plan_of_own(own: OwnKpis, limits: Limits) -> _Plan:
    return _Plan(own.kpis, limits)


def evaluate(kpi: Kpi, tally: Mapping[int, int], limits: Limits = DEFAULT_LIMITS) -> Value | Family:
    """The KPI's value over a tally; for a KPI per currency or scale, one value for each member."""
    found = _plan_of(kpi, limits).evaluate(tally)
    return found.by_member[kpi.name] if kpi.per else found.kpis[kpi.name]


def evaluate_all(tally: Mapping[int, int], limits: Limits = DEFAULT_LIMITS) -> Evaluated:
    """Every KPI of the catalogue over a tally; much cheaper than one by one."""
    return _plan_of_all(limits).evaluate(tally)


def evaluate_own(own: OwnKpis, tally: Mapping[int, int], limits: Limits = DEFAULT_LIMITS) -> Evaluated:
    """Every KPI that the settings define, over a tally."""
    return _plan_of_own(own, limits).evaluate(tally) if own.kpis else Evaluated({}, {})


def _value(kpi: Kpi, numerator: int, denominator: int | None) -> Value:
    if denominator is None:
        return Value(numerator, numerator, None)
    if denominator == 0:
        return Value(None, numerator, 0)
    return Value(kpi.times * numerator / (kpi.over * denominator), numerator, denominator)


def definition(kpi: Kpi, limits: Limits = DEFAULT_LIMITS) -> str:
    """The formula that is printed beside the number, limits written out: `talk_ms / connected`."""
    text = kpi.numerator
    if kpi.denominator == SCHEDULED_TIME:
        return f"{f'({text})' if ' ' in text else text} / scheduled hour"
    if kpi.times != 1:
        text = f"{kpi.times} * ({text})"
    if kpi.denominator is not None:
        below = f"({kpi.denominator})" if " + " in kpi.denominator or " - " in kpi.denominator else kpi.denominator
        above = f"({text})" if " + " in text or (" - " in text and kpi.times == 1) else text
        text = f"{above} / {below}"
    if kpi.over != 1:
        text = f"{text} / {kpi.over}"
    for limit in EDGES_OF_LIMIT:
        text = text.replace(f" {limit}]", f" {getattr(limits, limit) // 1000} s]")
    return f"{text}, for each {kpi.per}" if kpi.per else text


def shape(own: Kpi | None) -> Shape | None:
    """What is told with a number of a KPI of the settings; None for None."""
    return None if own is None else _shape(own)


@lru_cache(maxsize=1024)
def _shape(own: Kpi) -> Shape:
    return Shape(own.form, own.unit, definition(own))
