"""KPIs: how a number comes out of a tally.

What the KPIs are is data, in `catalogue.py`. Sums stay integers until the last step, which is the only
division; an empty denominator gives None, never 0. Never average two values of a KPI: add the tallies
and evaluate again.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import msgspec

from kpistream.core import measures as m
from kpistream.core.catalogue import BY_NAME, KPIS, Better, Kpi

__all__ = [
    "BY_NAME",
    "DEFAULT_LIMITS",
    "EDGES_OF_LIMIT",
    "KPIS",
    "Better",
    "Family",
    "Kpi",
    "Limits",
    "Term",
    "Value",
    "definition",
    "evaluate",
    "evaluate_all",
    "parse",
]


class Value(msgspec.Struct, frozen=True):
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
    """`<` or `>=` for a part of a histogram, else empty."""
    limit: str = ""
    """Name of the limit that cuts the histogram."""


_FAMILIES: Final = {family.name: family for family in m.FAMILIES}
_HISTOGRAMS: Final = {
    "talk_bin": m.TALK_EDGES_MS,
    "answered_wait_bin": m.WAIT_EDGES_MS,
    "abandoned_wait_bin": m.WAIT_EDGES_MS,
}


_TERM: Final = re.compile(r"(-?)(\w+)(?:\[(<|>=) (\w+)\])?")


def _known(name: str, limit: str | None) -> bool:
    if limit is None:
        return name in m.BY_NAME or name in _FAMILIES
    return name in _HISTOGRAMS and limit in EDGES_OF_LIMIT


@lru_cache(maxsize=1024)
def parse(formula: str) -> tuple[Term, ...]:
    """The terms of a formula; raises ValueError when it is not one or names no measure of ours."""
    out: list[Term] = []
    for part in formula.replace(" - ", " + -").split(" + "):
        found = _TERM.fullmatch(part)
        if found is None or not _known(*found.group(2, 4)):
            raise ValueError(f'"{part}" in formula "{formula}" is neither a measure nor a part of a histogram')
        minus, name, comparison, limit = found.groups(default="")
        out.append(Term(-1 if minus else 1, name, comparison, limit))
    return tuple(out)


def _numbers(formula: str, limits: Limits) -> Iterator[tuple[int, int]]:
    """Sign and measure number of everything that a formula without families adds up."""
    for term in parse(formula):
        if not term.comparison:
            yield term.sign, m.BY_NAME[term.name].number
            continue
        edge = getattr(limits, term.limit)
        for offset, lower in enumerate(_HISTOGRAMS[term.name]):
            if (lower < edge) == (term.comparison == "<"):
                yield term.sign, _FAMILIES[term.name].first + offset


class _Plan:
    """How to evaluate some KPIs in one pass over a tally, whatever their number."""

    def __init__(self, kpis: tuple[Kpi, ...], limits: Limits) -> None:
        self.slots: dict[str, int] = {}
        """Formula -> its sum."""
        self.adds: dict[int, list[tuple[int, int]]] = {}
        """Measure number -> sums it goes into, with its sign."""
        for formula in (formula for kpi in kpis for formula in (kpi.numerator, kpi.denominator)):
            if formula is None or formula in self.slots or formula in _FAMILIES:
                continue
            slot = self.slots[formula] = len(self.slots)
            for sign, number in _numbers(formula, limits):
                self.adds.setdefault(number, []).append((slot, sign))
        self._steps: list[tuple[Kpi, str, int, int]] = [
            (kpi, kpi.name, -1 if kpi.per else self.slots[kpi.numerator], self.slots.get(kpi.denominator or "", -1))
            for kpi in kpis
        ]
        """KPI, its name and the sums above and below the line; -1 above: one value for each member, below: no line."""

    def evaluate(self, tally: Mapping[int, int]) -> dict[str, Value | Family]:
        """The values, by KPI name."""
        sums = [0] * len(self.slots)
        members: dict[str, dict[str, int]] = {}
        for number in sorted(tally):
            for slot, sign in self.adds.get(number, ()):
                sums[slot] += sign * tally[number]
            if number >= m.WON_MINOR:  # scalars and histograms lie below, families with members above
                family, name = _member(number)
                members.setdefault(family, {})[name] = tally[number]
        out: dict[str, Value | Family] = {}
        for kpi, name, above, below in self._steps:
            if above < 0:
                out[name] = self._one(kpi, sums, members)
            else:
                out[name] = _value(kpi, sums[above], None if below < 0 else sums[below])
        return out

    def _one(self, kpi: Kpi, sums: list[int], members: dict[str, dict[str, int]]) -> Family:
        below = None if kpi.denominator is None or kpi.denominator in _FAMILIES else sums[self.slots[kpi.denominator]]
        above = members.get(kpi.numerator, {})
        if kpi.denominator in _FAMILIES:
            counts = members.get(kpi.denominator, {})
            names = sorted(above.keys() | counts.keys())
            return {name: _value(kpi, above.get(name, 0), counts.get(name, 0)) for name in names}
        if kpi.denominator is not None and len(above) > 1:
            return {name: Value(None, amount, None) for name, amount in above.items()}
        return {name: _value(kpi, amount, below) for name, amount in above.items()}


@lru_cache(maxsize=4096)
def _member(number: int) -> tuple[str, str]:
    where = m.member(number)
    assert where is not None, number
    return where


@lru_cache(maxsize=1024)
def _plan_of(kpi: Kpi, limits: Limits) -> _Plan:
    return _Plan((kpi,), limits)


@lru_cache(maxsize=64)
def _plan_of_all(limits: Limits) -> _Plan:
    return _Plan(KPIS, limits)


def evaluate(kpi: Kpi, tally: Mapping[int, int], limits: Limits = DEFAULT_LIMITS) -> Value | Family:
    """The KPI's value over a tally; for a KPI per currency or scale, one value for each member."""
    return _plan_of(kpi, limits).evaluate(tally)[kpi.name]


def evaluate_all(tally: Mapping[int, int], limits: Limits = DEFAULT_LIMITS) -> dict[str, Value | Family]:
    """Every KPI of the catalogue over a tally; much cheaper than one by one."""
    return _plan_of_all(limits).evaluate(tally)


def _value(kpi: Kpi, numerator: int, denominator: int | None) -> Value:
    if denominator is None:
        return Value(numerator, numerator, None)
    if denominator == 0:
        return Value(None, numerator, 0)
    return Value(kpi.times * numerator / (kpi.over * denominator), numerator, denominator)


def definition(kpi: Kpi, limits: Limits = DEFAULT_LIMITS) -> str:
    """The formula that is printed beside the number, limits written out: `talk_ms / connected`."""
    text = kpi.numerator
    if kpi.times != 1:
        text = f"{kpi.times} * ({text})"
    if kpi.denominator is not None:
        below = f"({kpi.denominator})" if " + " in kpi.denominator or " - " in kpi.denominator else kpi.denominator
        above = f"({text})" if " + " in text or (" - " in text and kpi.times == 1) else text
        text = f"{above} / {below}"
    if kpi.over != 1:
        text = f"{text} / {kpi.over}"
    for limit in EDGES_OF_LIMIT:
        text = text.replace(limit, f"{getattr(limits, limit) // 1000} s")
    return f"{text}, for each {kpi.per}" if kpi.per else text
