"""Render: a report as a table for people, as CSV or as JSON text.

The table shows n beside every ratio and leaves out columns in which nobody has anything; CSV and JSON
leave out nothing. Money is shown in major units by the digits of its currency; machines get minor units.
"""

import csv
import io
import json
from collections.abc import Sequence
from textwrap import wrap
from typing import Any, Final

from kpistream.core import measures as m
from kpistream.core.currencies import DIGITS
from kpistream.core.kpis import BY_NAME, Family, Kpi, Limits, Value, definition, evaluate
from kpistream.core.measures import Tally, total
from kpistream.core.working_time import by_the_hour
from kpistream.history.reports import Report, group_label, instant, report_json, together

TABLE_KPIS: Final = (
    "calls",
    "connected",
    "connect_share",
    "answer_share",
    "service_level",
    "average_talk_time",
    "too_short_share",
    "too_long_share",
    "average_handle_time",
    "follow_up_on_time_share",
    "deals_won",
    "conversion_per_connected",
    "revenue",
    "csat_mean",
    "satisfied_share",
    "nps",
)
"""KPIs of the table, in its order."""
_NOTHING: Final = "-"
_TITLE_WIDTH: Final = 12


def as_json(report: Report) -> str:
    """The report as JSON text."""
    return json.dumps(report_json(report), ensure_ascii=False, indent=2) + "\n"


def as_csv(report: Report) -> str:
    """The rows as CSV with a header line; a KPI becomes three columns, a family one column a member."""
    rows = [_flat(row) for row in report_json(report)["rows"]]
    header = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, header or ["tenant", "agent_id"], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, each in value.items():
        if not isinstance(each, dict):
            out[prefix + name] = each
        elif each.keys() == {"value", "numerator", "denominator"}:
            out[prefix + name] = each["value"]
            out |= {f"{prefix}{name}_{part}": each[part] for part in ("numerator", "denominator")}
        else:
            out |= _flat(each, f"{prefix}{name}_")
    return out


def as_table(report: Report) -> str:
    """The report for people: span, one line a row, all agents together, and the calls that reached nobody."""
    question = report.question
    if report.from_ms is None or report.to_ms is None:
        return "history holds nothing yet\n"
    lines = [
        f"{instant(report.from_ms, question.zone)} to {instant(report.to_ms, question.zone)} ({question.zone})",
        "",
    ]
    everyone = together(report.rows)
    both = total([everyone, report.unassigned])
    asked = (*(BY_NAME[name] for name in TABLE_KPIS), *question.own.kpis.kpis)
    kpis = [kpi for kpi in asked if kpi.form or _worth_showing(kpi, both, question.limits)]
    show_tenant = len({row.tenant for row in report.rows}) > 1
    head = [*(["tenant"] if show_tenant else []), "agent", *([question.by] if question.by else [])]
    names = len(head)
    table = [[*head, *(kpi.name.replace("_", " ") for kpi in kpis), "talk time"]]
    for row in report.rows:
        label = group_label(question.by, row.group)
        who = [*([row.tenant] if show_tenant else []), row.name or row.agent_id]
        who += [_NOTHING if label is None else str(label)] if question.by else []
        table.append([*who, *_cells(row.tally, kpis, question.limits)])
    for title, tally in (("all agents", everyone), ("no agent", report.unassigned)):
        if tally:
            table.append([title, *[""] * (names - 1), *_cells(tally, kpis, question.limits)])
    lines += _aligned(table, names)
    lines += [
        "",
        *(f"{kpi.name.replace('_', ' ')}: {definition(kpi, question.limits)}" for kpi in kpis if kpi.denominator),
    ]
    return "\n".join(lines) + "\n"


def _worth_showing(kpi: Kpi, tally: Tally, limits: Limits) -> bool:
    if kpi.name == "conversion_per_connected" and not tally.get(m.DEALS_WON) and not tally.get(m.DEALS_LOST):
        return False
    value = evaluate(kpi, tally, limits)
    return bool(value) if isinstance(value, dict) else value.value is not None and bool(value.sample)


def _cells(tally: Tally, kpis: Sequence[Kpi], limits: Limits) -> list[str]:
    cells = [_cell(kpi, evaluate(kpi, tally, limits)) for kpi in kpis]
    return [*cells, duration(tally.get(m.TALK_MS, 0))]


def _cell(kpi: Kpi, value: Value | Family) -> str:
    if isinstance(value, dict):
        parts = [f"{_number(kpi, each, member)}{_unit(kpi, member)}" for member, each in value.items()]
        return ", ".join(parts) or _NOTHING
    return _number(kpi, value, "")


def _unit(kpi: Kpi, member: str) -> str:
    return f" {member}" if kpi.per == "currency" else f" on {member}"


def _number(kpi: Kpi, value: Value, member: str) -> str:
    if value.value is None:
        return _NOTHING
    sample = "" if value.denominator is None else f" (n={value.denominator})"
    if by_the_hour(kpi):
        sample = f" ({duration(value.denominator or 0)})"
    if kpi.unit == "share":
        return f"{100 * value.value:.1f} %{sample}"
    if kpi.unit == "ms":
        return duration(round(value.value)) + sample
    if kpi.unit == "minor units" and member:
        digits = DIGITS[member]
        return f"{value.value / 10**digits:,.{digits}f}"
    if value.denominator is None:
        return f"{value.value:,}" if kpi.form else f"{value.value}"
    return f"{value.value:.2f}{sample}"


def duration(ms: int) -> str:
    """A duration for people: `48 s`, `3:05`, `12:07:31` (hours, minutes, seconds), rounded to seconds."""
    seconds = (ms + 500) // 1000
    if seconds < 60:
        return f"{seconds} s"
    hours, rest = divmod(seconds, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def _aligned(table: Sequence[Sequence[str]], left: int) -> list[str]:
    """Lines of equal columns, the first `left` ones flush left, numbers flush right; long titles take two lines."""
    titles = [wrap(title, _TITLE_WIDTH) for title in table[0]]
    height = max(map(len, titles))
    top = [[""] * (height - len(title)) + title for title in titles]
    rows = [*([title[line] for title in top] for line in range(height)), *table[1:]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(titles))]
    return [_line(row, widths, left) for row in rows]


def _line(row: Sequence[str], widths: Sequence[int], left: int) -> str:
    cells = [cell.ljust(width) for cell, width in zip(row[:left], widths[:left], strict=True)]
    cells += [cell.rjust(width) for cell, width in zip(row[left:], widths[left:], strict=True)]
    return "  ".join(cells).rstrip()
