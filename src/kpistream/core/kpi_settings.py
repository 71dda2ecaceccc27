"""KPI settings: the KPIs of a settings file, each checked against the catalogue and the measures that there are.

What a form says follows from its formula: unit, one value for each currency, and whether evidence can be weighed. A
share is known to be one only where every case above the line is known to be one below it.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from kpistream.core import measures as m
from kpistream.core.catalogue import BY_NAME, Better, Cases, Kpi
from kpistream.core.event_predicates import COUNTED, Predicate, all_apart, part_of
from kpistream.core.kpis import Term, parse
from kpistream.core.own_kpis import BAND, FORMS, MEAN, PER_HOUR, RATIO, SCHEDULED_TIME, SUM
from kpistream.core.own_measures import OwnMeasure
from kpistream.core.settings_values import duration_ms, label
from kpistream.core.yaml_nodes import Section, named_sections, near

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_MIXED: Final = "cases"
_COUNTS: Final = ("calls", "deals", "surveys", _MIXED)
"""Units of measures that count events; what counts more than one kind is in cases."""
_HOUR_MS: Final = 3_600_000
_FAMILIES: Final = {family.name: family for family in m.FAMILIES}
_PER_CURRENCY: Final = "won_minor"
Measures = Mapping[str, OwnMeasure]
_TAKEN: Final = {*BY_NAME, *m.BY_NAME, *_FAMILIES, SCHEDULED_TIME, "distinct_call_ids"}


class Counted(NamedTuple):
    """What a formula adds up."""

    text: str
    unit: str
    terms: tuple[Term, ...]
    predicates: tuple[Predicate, ...] = ()
    """Of what is added, where every term counts cases and it is known which; else empty."""
    per: str = ""
    numbers: tuple[tuple[str, int], ...] = ()
    """Of the own measures among them."""

    @property
    def cases(self) -> bool:
        """True when it counts cases, and no sizes."""
        return self.unit in _COUNTS

    @property
    def chance(self) -> str:
        """Why chance says nothing about so many; empty for a number of separate cases."""
        if not self.cases:
            return f"adds {self.unit}: evidence is weighed for numbers of cases"
        if any(term.sign < 0 for term in self.terms):
            return "takes something away: evidence is weighed for numbers of cases"
        if len(self.terms) > 1 and not (self.predicates and all_apart(self.predicates)):
            return "may count one event twice: evidence is weighed for separate cases"
        return ""


def name_of_kpi(text: str) -> str:
    """A name of an own KPI or measure. Raises ValueError when it is none, or when it means something already."""
    if _NAME.fullmatch(text) is None:
        raise ValueError(f'"{text}" must be 1 to 64 of the characters a-z 0-9 _, a letter first')
    if text in _TAKEN:
        raise ValueError(f'"{text}" is a name of the catalogue: choose another one')
    return text


def read_kpis(section: Section, measures: Measures, kpis: dict[str, Kpi]) -> None:
    """Add the KPIs of a file to `kpis`; faults go to the section's."""
    for name, inner in named_sections(section, "kpis", name_of_kpi):
        if name in kpis:
            inner.fault(f'there is a KPI "{name}" already')
        kpi = _kpi(name, inner, measures)
        inner.finish()
        if kpi is None:
            continue
        if name in measures and (kpi.form, kpi.numerator) != (SUM, name):
            inner.fault(f'"{name}" is a measure, a KPI of that name is its sum')
        kpis[name] = kpi


def _kpi(name: str, section: Section, measures: Measures) -> Kpi | None:
    given = [form for form in FORMS if form in section]
    unit, source = section.read("unit", label), section.read("source", label)
    for key in ("better", "description"):
        if key not in section:
            section.fault("is missing", key)
    better = Better(section.choice("better", list(Better), Better.HIGHER))
    words = section.read("description", label)
    if len(given) != 1:
        for form in given:
            section.node(form)
        section.fault(f"needs one of {', '.join(FORMS)}" + (f", not {len(given)} of them" if given else ""))
        return None
    try:
        made = _FORMS[given[0]](section, unit, measures)
    except ValueError as error:
        section.fault(str(error), given[0])
        return None
    if made is None:
        return None
    return replace(made, name=name, form=given[0], better=better, words=words or "", source=source or "settings")


_BLANK: Final = Kpi("", "", None, "", Better.HIGHER, "", "")


def _sum(section: Section, unit: str | None, measures: Measures) -> Kpi | None:
    found = _counted(_text(section, SUM), measures)
    shown = unit or found.unit
    return replace(
        _BLANK, numerator=found.text, unit=shown, per=found.per, numbers=found.numbers, no_evidence=found.chance
    )


def _ratio(section: Section, unit: str | None, measures: Measures) -> Kpi | None:
    above, below = _fraction(_text(section, RATIO), measures)
    if above.cases and below.cases:
        shown = unit or "share"
    elif unit is None and not above.per:
        raise ValueError(f"has {above.unit} over {below.unit}: say the unit, or write it as a mean")
    else:
        shown = unit or above.unit
    kpi = _quotient(above, below, shown)
    if shown != "share":
        return replace(kpi, no_evidence="is no share: evidence is weighed by cases")
    single = len(above.terms) == len(below.terms) == 1 and above.predicates and below.predicates
    if single and part_of(above.predicates[0], below.predicates[0]):
        return replace(kpi, cases=Cases.YES_OR_NO)
    why = f"is judged by its number only: it is not known that every case of {above.text} is one of {below.text}"
    return replace(kpi, no_evidence=why)


def _mean(section: Section, unit: str | None, measures: Measures) -> Kpi | None:
    above, below = _fraction(_text(section, MEAN), measures)
    if above.cases:
        raise ValueError(f"{above.text} counts {above.unit}, a mean has sizes above the line: write it as a ratio")
    if not below.cases:
        raise ValueError(f"{below.text} adds {below.unit}, a mean has a number of cases below the line")
    why = "is judged by its number only: the squares of its values are not kept"
    kpi = replace(_quotient(above, below, unit or above.unit), no_evidence=why)
    return replace(kpi, unit=unit or "points", over=1000) if above.unit == "milli-points" else kpi


def _quotient(above: Counted, below: Counted, unit: str) -> Kpi:
    numbers = tuple(dict.fromkeys((*above.numbers, *below.numbers)))
    return replace(_BLANK, numerator=above.text, denominator=below.text, unit=unit, per=above.per, numbers=numbers)


def _per_hour(section: Section, unit: str | None, measures: Measures) -> Kpi | None:
    found = _counted(_text(section, PER_HOUR), measures)
    if found.per:
        raise ValueError(f"{found.text} has one value for each {found.per}, which cannot be had by the hour")
    return replace(
        _BLANK,
        numerator=found.text,
        denominator=SCHEDULED_TIME,
        unit=unit or f"{found.unit} per hour",
        times=_HOUR_MS,
        numbers=(*found.numbers, (SCHEDULED_TIME, m.SCHEDULED_MS)),
        no_evidence="is judged by its number only: a sum is held against the time at work, with false_alarms",
    )


def _band(section: Section, unit: str | None, measures: Measures) -> Kpi | None:
    node = section.node(BAND)
    assert node is not None
    inner = Section(node, section.faults)
    low, high = inner.read("from", _talk_edge), inner.read("to", _talk_edge)
    inner.finish()
    faulty = any(key in inner and value is None for key, value in (("from", low), ("to", high)))
    if low is None and high is None:
        if not faulty:
            inner.fault("needs from, to or both")
        return None
    if low is not None and high is not None and low >= high:
        inner.fault("must be above from", "to")
    if unit is not None:
        section.fault("a band is a share", "unit")
    if low and high:
        cut = f"{low // 1000} s to {high // 1000} s"
    else:
        cut = f"< {high // 1000} s" if high else f">= {(low or 0) // 1000} s"
    return replace(_BLANK, numerator=f"talk_bin[{cut}]", denominator="connected", unit="share", cases=Cases.YES_OR_NO)


_FORMS: Final = {SUM: _sum, RATIO: _ratio, MEAN: _mean, PER_HOUR: _per_hour, BAND: _band}


def _talk_edge(text: str) -> int:
    length_ms = duration_ms(text)
    if length_ms not in m.TALK_EDGES_MS:
        nearest = min(m.TALK_EDGES_MS, key=lambda edge: abs(edge - length_ms))
        raise ValueError(f'"{text}" is no edge of the talk-time histogram; the nearest is {nearest // 1000} s')
    return length_ms


def _text(section: Section, key: str) -> str:
    text = section.text(key)
    if text is None:
        raise ValueError("must be a formula of measures")
    return " ".join(text.split())


def _fraction(text: str, measures: Measures) -> tuple[Counted, Counted]:
    above, slash, below = text.partition(" / ")
    if not slash or "/" in below:
        raise ValueError(f'"{text}" must be one sum over another, such as voicemails / outbound_calls')
    numerator, denominator = _counted(_bare(above), measures), _counted(_bare(below), measures)
    if denominator.per:
        raise ValueError(f"{denominator.text} has one value for each {denominator.per}, which cannot be divided by")
    return numerator, denominator


def _bare(text: str) -> str:
    return text[1:-1] if text.startswith("(") and text.endswith(")") else text


def _counted(text: str, measures: Measures) -> Counted:
    """What a formula adds up. Raises ValueError with what is wrong with it."""
    names = [*m.BY_NAME, _PER_CURRENCY, *measures]
    for word in re.findall(r"[^\s+-]+", text):
        if word not in names:
            raise ValueError(f'"{word}" is no measure{near(word, names)}')
    terms = parse(text, tuple(measures))
    if any(term.name == _PER_CURRENCY for term in terms):
        if len(terms) > 1:
            raise ValueError(f"{_PER_CURRENCY} has one value for each currency and stands alone")
        return Counted(text, "minor units", terms, per="currency")
    units = list(dict.fromkeys(_unit(term.name, measures) for term in terms))
    if len(units) > 1 and not all(unit in _COUNTS for unit in units):
        raise ValueError(f'"{text}" adds {" and ".join(units)}')
    known = [each for term in terms if (each := _predicate(term.name, measures)) is not None]
    numbers = tuple((term.name, measures[term.name].number) for term in terms if term.name in measures)
    predicates = tuple(known) if len(known) == len(terms) else ()
    return Counted(text, units[0] if len(units) == 1 else _MIXED, terms, predicates, numbers=numbers)


def _unit(name: str, measures: Measures) -> str:
    return measures[name].unit if name in measures else m.BY_NAME[name].unit


def _predicate(name: str, measures: Measures) -> Predicate | None:
    """Which events a measure counts one by one; None for a sum of sizes, and where no predicate says it."""
    if name not in measures:
        return COUNTED.get(name)
    return None if measures[name].add else measures[name].predicate
