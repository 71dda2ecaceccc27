"""Shift files: the plan of a workforce tool as CSV, one row for an agent and a shift.

Columns are agent_id, date, start, end and, where wanted, kind, in any order. The file is the whole plan of the agents
in it, from its first date to its last: a day without a row is off. A pure function over text.
"""

import csv
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from typing import Final, NamedTuple

from kpistream.core.patterns import OFF, Hours, LocalSpan
from kpistream.core.schedule_values import hours_of, local_span
from kpistream.core.settings_dates import calendar_date
from kpistream.core.spans import Span, union
from kpistream.core.yaml_nodes import Faults, Value, Where, near

COLUMNS: Final = ("agent_id", "date", "start", "end", "kind")
KINDS: Final = ("work", "break", "off")
"""`off` has no start and end."""
_LONGEST_DAYS: Final = 400
_MOST_FAULTY: Final = 100

WhoIs = Callable[[str, date], str]
"""Agent id of what a row has as agent_id, at a date; raises ValueError for nobody's."""


class _Row(NamedTuple):
    line: int
    agent: str
    day: date
    kind: str
    span: LocalSpan | None


def read_shifts(text: str, who_is: WhoIs, faults: Faults) -> dict[str, dict[date, Hours]]:
    """Hours by agent id and date; every fault is `file:line column: fact`, and there is no plan with one.

    Of an unknown agent the first row is told; after 100 rows with a fault the rest is not read. Costs in proportion to
    the rows, and to the days of each agent's plan.
    """
    lines = text.removeprefix("\ufeff").splitlines()
    delimiter = ";" if lines and ";" in lines[0] else ","
    reader = csv.DictReader(lines, delimiter=delimiter, skipinitialspace=True, restval="")
    try:
        header = [name.strip() for name in reader.fieldnames or ()]
    except csv.Error as error:
        faults.add(Where(1, "header"), str(error))
        return {}
    reader.fieldnames = header
    for name in header:
        if name not in COLUMNS:
            faults.add(Where(1, name or "header"), f"unknown column{near(name, COLUMNS)}")
    for name in COLUMNS[:-1]:
        if name not in header:
            faults.add(Where(1, name), "is missing")
    if faults.facts:
        return {}
    rows = list(_rows(reader, who_is, faults))
    plans = _plans(rows, faults)
    return {} if faults.facts else plans


def _rows(reader: "csv.DictReader[str]", who_is: WhoIs, faults: Faults) -> Iterator[_Row]:
    """The rows without a fault."""
    unknown: set[str] = set()
    faulty = 0
    try:
        for cells in reader:
            found = _row(cells, reader.line_num, who_is)
            if isinstance(found, _Row):
                yield found
                continue
            agent = cells.get("agent_id", "")
            if list(found) == ["agent_id"] and agent in unknown:
                continue
            if "agent_id" in found:
                unknown.add(agent)
            for column, fact in found.items():
                faults.add(Where(reader.line_num, column), fact)
            faulty += 1
            if faulty == _MOST_FAULTY:
                faults.add(Where(reader.line_num, "row"), f"{_MOST_FAULTY} rows have a fault, the rest is not read")
                return
    except csv.Error as error:
        faults.add(Where(reader.line_num, "row"), str(error))


def _row(cells: Mapping[str, str], line: int, who_is: WhoIs) -> _Row | dict[str, str]:
    """The row, or its faults by column."""
    if None in cells:
        return {"row": "has more cells than the header"}
    cell = {name: value.strip() for name, value in cells.items()}
    out: dict[str, str] = {}

    def read(column: str, convert: Callable[[], Value]) -> Value | None:
        try:
            return convert()
        except ValueError as error:
            out[column] = str(error)
            return None

    kind = cell.get("kind") or "work"
    if kind not in KINDS:
        out["kind"] = f'"{kind}" is none of {", ".join(KINDS)}{near(kind, KINDS)}'
    span = None
    if kind != "off":
        span = read("start", lambda: local_span(cell["start"], cell["end"]))
    elif cell["start"] or cell["end"]:
        out["start"] = "a day off has no start and no end"
    day = read("date", lambda: calendar_date(cell["date"]))
    agent = None if day is None else read("agent_id", lambda: who_is(cell["agent_id"], day))
    if out or day is None or agent is None:
        return out
    return _Row(line, agent, day, kind, span)


def _plans(rows: list[_Row], faults: Faults) -> dict[str, dict[date, Hours]]:
    if not rows:
        return {}
    first, last = min(row.day for row in rows), max(row.day for row in rows)
    days = (last - first).days + 1
    if days > _LONGEST_DAYS:
        far = next(row for row in rows if row.day == last)
        faults.add(Where(far.line, "date"), f"{days} days after the first date, at most {_LONGEST_DAYS}")
        return {}
    by_date: dict[tuple[str, date], list[_Row]] = {}
    for row in rows:
        by_date.setdefault((row.agent, row.day), []).append(row)
    free = dict.fromkeys((first + timedelta(days=day) for day in range(days)), OFF)
    out = {agent: dict(free) for agent in dict.fromkeys(row.agent for row in rows)}
    faulty = 0
    for (agent, day), own in by_date.items():
        hours = _hours(own, faults)
        if hours is not None:
            out[agent][day] = hours
            continue
        faulty += 1
        if faulty == _MOST_FAULTY:
            faults.add(Where(own[-1].line, "row"), f"{_MOST_FAULTY} days have a fault, the rest is not read")
            break
    return out


def _hours(rows: list[_Row], faults: Faults) -> Hours | None:
    """Hours of one agent and date, None with a fault; shifts that overlap are one."""
    work = union(Span(*row.span) for row in rows if row.kind == "work" and row.span is not None)
    breaks = tuple(row.span for row in rows if row.kind == "break" and row.span is not None)
    if (work or breaks) and any(row.kind == "off" for row in rows):
        line = next(row.line for row in rows if row.kind == "off")
        faults.add(Where(line, "kind"), f'"{rows[0].agent}" has a shift and a day off on {rows[0].day}')
        return None
    try:
        return hours_of(tuple(LocalSpan(*span) for span in work), breaks)
    except ValueError as error:
        faults.add(Where(next(row.line for row in rows if row.kind == "break"), "start"), str(error))
        return None
