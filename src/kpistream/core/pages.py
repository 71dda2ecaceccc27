"""Pages: reference pages generated from the catalogue, as text.

A page is a function of the catalogue alone. The file under `docs/reference/` is its output, and a test
holds that both agree; it names the command that writes the file again.
"""

from kpistream.core import measures as m
from kpistream.core.event_fields import FIELDS, KINDS, Field, Type
from kpistream.core.kpis import DEFAULT_LIMITS, EDGES_OF_LIMIT, KPIS, Kpi, definition
from kpistream.core.measure_settings import OPERATORS
from kpistream.core.own_kpis import FORMS

_HEAD = """# KPIs

Generated from the catalogue, `src/kpistream/core/catalogue.py`; a test holds that both agree.

A KPI is a numerator over a denominator, both sums of [measures](#measures) over the panes of a window. Sums are
integers; the division is the last step. An empty denominator gives no value (`null`), never 0. Values of a KPI are
never averaged: sums are added and divided again. Every value is shown with its numerator and denominator; the
denominator is its sample size.
"""

_LIMITS = """## Limits

Applied when reading, so a change counts for the past too. They are set for each tenant in the roster (`limits:`); each
must be an edge of its histogram.

| limit | default | edges, seconds |
| --- | --- | --- |
"""

_MEASURES = """## Measures

What panes keep: integers that add. A family holds one number for each member. Settled calls are not
kept: they come of calls and deals together, and live readings of agents have them.

| measure | unit | meaning |
| --- | --- | --- |
"""

_OWN = """## Own KPIs

Settings add KPIs of their own, without code: a name under `kpis`, with one of these forms. Step by step:
[own KPIs](../how-to/own-kpis.md).

| form | value |
| --- | --- |
"""

_OWN_MEASURES = """
## Own measures

A measure of the settings counts events (`of`: call, deal or survey) whose fields meet its `where`: a table of field to
condition, all of which must hold, or a list of such tables, any of which must. A condition is one text, a list of
texts, or a table of operators. With `add` each event adds that field instead of 1.

| operator | holds when |
| --- | --- |
"""

_OWN_FIELDS = """
A field that is absent is the text `""` and no number. Fields in `ms` take durations (`90 s`), a score up to 3 decimals;
a field with a unit can be added. `talk_ms` is as reported, else answered to ended without hold. Attributes of
the producer are `attributes.NAME`.

| kind | fields |
| --- | --- |
"""

_BETTER = {"higher": "higher is better", "lower": "lower is better", "band": "neither too low nor too high"}


def kpis_page() -> str:
    """The text of `docs/reference/kpis.md`."""
    parts = [_HEAD, _overview(), *(_kpi(kpi) for kpi in KPIS), _limits(), _measures(), _own()]
    return "\n".join(parts)


def _overview() -> str:
    rows = [f"| [`{kpi.name}`](#{kpi.name}) | {kpi.unit} | {kpi.better} | `{definition(kpi)}` |" for kpi in KPIS]
    return "\n".join(
        ["| KPI | unit | better | formula, with the default limits |", "| --- | --- | --- | --- |", *rows, ""]
    )


def _kpi(kpi: Kpi) -> str:
    formula = kpi.numerator if kpi.denominator is None else f"{kpi.numerator} over {kpi.denominator}"
    lines = [
        f"## {kpi.name}",
        "",
        kpi.words,
        "",
        f"- Formula: `{formula}`" + (f", one value for each {kpi.per}" if kpi.per else ""),
        f"- Unit: {kpi.unit}; {_BETTER[kpi.better]}",
        f"- Source: {kpi.source}",
        "",
    ]
    return "\n".join(lines)


def _limits() -> str:
    rows = [
        f"| `{limit}` | {getattr(DEFAULT_LIMITS, limit) // 1000} s | {', '.join(str(edge // 1000) for edge in edges)} |"
        for limit, edges in EDGES_OF_LIMIT.items()
    ]
    return _LIMITS + "\n".join(rows) + "\n"


def _own() -> str:
    forms = "\n".join(f"| `{form}` | {words} |" for form, words in FORMS.items())
    operators = "\n".join(f"| `{operator}` | the field {words} |" for operator, words in OPERATORS.items())
    fields = "\n".join(f"| {kind} | {', '.join(map(_field, FIELDS[kind].values()))} |" for kind in KINDS)
    return "\n".join([_OWN + forms, _OWN_MEASURES + operators, _OWN_FIELDS + fields, ""])


def _field(field: Field) -> str:
    notes = [*([field.unit] if field.unit else []), *([" or ".join(field.choices)] if field.choices else [])]
    notes += ["is it there"] if field.type is Type.INSTANT else []
    return f"`{field.name}`" + (f" ({'; '.join(notes)})" if notes else "")


def _measures() -> str:
    every: tuple[m.Measure | m.Family, ...] = (*m.SCALARS, *m.DERIVED, *m.FAMILIES)
    rows = [f"| `{measure.name}` | {measure.unit} | {measure.meaning} |" for measure in every]
    return _MEASURES + "\n".join(rows) + "\n"
