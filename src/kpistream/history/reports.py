"""Reports: KPIs of every agent over a span of history, whole or split.

Sums come from `queries`, the division is the catalogue's (`core/kpis.py`): a ratio is computed once, from
the sums of its whole row. A span is a union of panes; a bound inside a pane is refused, because history
cannot say which part of a pane's sum lies before it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any, Final

from kpistream.core import measures as m
from kpistream.core.conversion import delay_ms
from kpistream.core.kpis import DEFAULT_LIMITS, KPIS, Family, Limits, Value, evaluate_all, evaluate_own
from kpistream.core.measures import Tally, total
from kpistream.core.own_kpis import NO_OWN_KPIS, OwnKpis
from kpistream.core.schedules import Schedules
from kpistream.core.spans import length_ms
from kpistream.core.windows import DEFAULT_PANE_MS, day_start_ms, zone_of_name
from kpistream.errors import ConfigError
from kpistream.history import queries
from kpistream.history.queries import GROUPS, Span
from kpistream.history.settled import merged, settled_by_scope
from kpistream.history.store import Store

WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_AGENT: Final = "agent:"
Group = str | int | None
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Own:
    """What the settings add to the catalogue, and the schedules that KPIs by the hour are over."""

    kpis: OwnKpis = NO_OWN_KPIS
    schedules: Schedules = field(default_factory=Schedules)


@dataclass(frozen=True, slots=True)
class Question:
    """What a report is about. Bounds are epoch ms at pane starts; None is an open end."""

    from_ms: int | None = None
    to_ms: int | None = None
    zone: str = "UTC"
    """Decides where days and hours begin, and how instants are printed."""
    tenant: str | None = None
    by: str | None = None
    """One of `queries.GROUPS`, or None for one row an agent. `hour` is the hour of the day, 0 to 23."""
    limits: Limits = DEFAULT_LIMITS
    settle_ms: Callable[[str], int] | None = None
    """After how long a call of a tenant counts in `settled_conversion`, which reports have as a whole and by day.

    None: without.
    """
    own: Own = Own()

    @property
    def settles(self) -> bool:
        """True when the report has settled calls: an hour or a queue of its own they do not have."""
        return self.settle_ms is not None and self.by in (None, "day")


@dataclass(frozen=True, slots=True)
class AgentRow:
    """What one agent did, in the whole span or in one group."""

    tenant: str
    agent_id: str
    group: Group
    tally: Tally
    distinct_call_ids: int
    name: str | None = None
    """Display name, when a roster was given and knows the agent."""


@dataclass(frozen=True, slots=True)
class Report:
    """Rows ordered by tenant, agent and group, and the sums of the calls that reached no agent."""

    question: Question
    from_ms: int | None
    """Start of the span, or of the first pane when it was open; None when there is nothing."""
    to_ms: int | None
    rows: tuple[AgentRow, ...]
    unassigned: Tally
    unassigned_call_ids: int


def _settled(store: Store, question: Question, span: Span, pane_ms: int) -> list[queries.Sums]:
    """Calls that have settled, each tenant's by its own settle time."""
    out: list[queries.Sums] = []
    if question.settles and question.settle_ms is not None:
        for name in [name for name in queries.heard(store) if question.tenant in (None, name)]:
            wait_ms = delay_ms(question.settle_ms(name), pane_ms)
            out += settled_by_scope(store, span._replace(tenant=name), wait_ms, question.by, question.zone)
    return out


def report_agents(
    store: Store, question: Question, display_name: Callable[[str, str], str | None] | None = None
) -> Report:
    """KPIs of all agents. `display_name(tenant, agent_id)` may name them.

    Raises `ConfigError` for an unknown zone, an unknown `by`, or a bound that is no pane start.
    """
    extent = queries.extent(store, question.tenant)
    _check(question, extent.pane_ms if extent else DEFAULT_PANE_MS)
    span = Span(question.from_ms, question.to_ms, question.tenant)
    found = queries.sums_by_scope(store, span, question.by, question.zone)
    if extent is not None:
        found = merged(found, _settled(store, question, span, extent.pane_ms))
    own = _own_sums(store, question, span)
    ids = queries.distinct_calls(store, span, question.by, question.zone)
    rows = [
        AgentRow(
            each.tenant,
            each.scope.removeprefix(_AGENT),
            each.group,
            each.tally | own.get((each.tenant, each.scope, each.group), {}),
            ids.get((each.tenant, each.scope, each.group), 0),
            display_name(each.tenant, each.scope.removeprefix(_AGENT)) if display_name else None,
        )
        for each in found
        if each.scope.startswith(_AGENT) and each.tally
    ]
    if question.own.kpis.by_the_hour and extent is not None:
        rows = [_at_work(row, question, extent) for row in rows]
    rows.sort(key=lambda row: (row.tenant, row.agent_id, row.group is not None, row.group))
    return Report(
        question,
        question.from_ms if question.from_ms is not None or extent is None else extent.from_ms,
        question.to_ms if question.to_ms is not None or extent is None else extent.to_ms,
        tuple(rows),
        total(
            each.tally | own.get((each.tenant, each.scope, each.group), {})
            for each in found
            if not each.scope.startswith(_AGENT)
        ),
        queries.distinct_calls_without_agent(store, span),
    )


def _own_sums(store: Store, question: Question, span: Span) -> dict[tuple[str, str, Group], Tally]:
    """Own measures by tenant, scope and group, out of facts; nothing is asked without any."""
    measures = question.own.kpis.measures
    found = queries.own_by_scope(store, span, measures, question.by, question.zone) if measures else []
    return {(each.tenant, each.scope, each.group): each.tally for each in found}


def _at_work(row: AgentRow, question: Question, extent: queries.Extent) -> AgentRow:
    """The row with the agent's working time beside its sums, where a schedule knows it: of all, or of one day.

    Up to the end of what history holds: nobody is behind because the day goes on.
    """
    if question.by not in (None, "day") or row.tenant not in question.own.schedules.tenants:
        return row
    from_ms = extent.from_ms if question.from_ms is None else question.from_ms
    to_ms = extent.to_ms if question.to_ms is None else min(question.to_ms, extent.to_ms)
    if question.by == "day":
        day = date.fromisoformat(str(row.group))
        from_ms = max(from_ms, day_start_ms(day, question.zone))
        to_ms = min(to_ms, day_start_ms(day + timedelta(days=1), question.zone))
    spans = question.own.schedules.working_spans(row.tenant, row.agent_id, from_ms, to_ms)
    worked_ms = length_ms(spans)
    return replace(row, tally={**row.tally, m.SCHEDULED_MS: worked_ms}) if worked_ms else row


def together(rows: Sequence[AgentRow]) -> Tally:
    """The sums of all rows; without working time when it is not known of every one of them."""
    out = total(row.tally for row in rows)
    if any(m.SCHEDULED_MS not in row.tally for row in rows):
        out.pop(m.SCHEDULED_MS, None)
    return out


def _check(question: Question, pane_ms: int) -> None:
    zone_of_name(question.zone)
    faults = []
    if question.by is not None and question.by not in GROUPS:
        faults.append(f'by "{question.by}": want one of {", ".join(GROUPS)}')
    for name, at_ms in (("from", question.from_ms), ("to", question.to_ms)):
        if at_ms is not None and at_ms % pane_ms:
            faults.append(
                f'{name} "{instant(at_ms, question.zone)}" lies inside a pane; a bound must be a multiple of '
                f"{pane_ms // 1000} s after the full hour"
            )
    if question.from_ms is not None and question.to_ms is not None and question.to_ms <= question.from_ms:
        faults.append(f'to "{instant(question.to_ms, question.zone)}" must be after from')
    if faults:
        raise ConfigError(faults)


def instant(at_ms: int, zone: str) -> str:
    """The instant as RFC 3339 text in the zone."""
    at = datetime.fromtimestamp(at_ms // 1000, zone_of_name(zone))
    return (
        at.isoformat()
        if at_ms % 1000 == 0
        else at.replace(microsecond=at_ms % 1000 * 1000).isoformat("T", "milliseconds")
    )


def group_label(by: str | None, group: Group) -> Group:
    """How a group is called: weekdays by name, everything else as it is."""
    return WEEKDAYS[group - 1] if by == "weekday" and isinstance(group, int) else group


def report_json(report: Report) -> Json:
    """The report as plain JSON values."""
    question = report.question
    return {
        "from": None if report.from_ms is None else instant(report.from_ms, question.zone),
        "to": None if report.to_ms is None else instant(report.to_ms, question.zone),
        "zone": question.zone,
        "rows": [row_json(row, question) for row in report.rows],
        "unassigned": sums_json(report.unassigned, report.unassigned_call_ids, question),
    }


def row_json(row: AgentRow, question: Question) -> Json:
    """One row: who, which group, the measures as integers and every KPI with what it was made of."""
    head: Json = {"tenant": row.tenant, "agent_id": row.agent_id}
    if row.name is not None:
        head["name"] = row.name
    if question.by is not None:
        head[question.by] = group_label(question.by, row.group)
    return head | sums_json(row.tally, row.distinct_call_ids, question)


def sums_json(tally: Tally, distinct_call_ids: int, question: Question) -> Json:
    """Measures under their own names, families by member, `revenue` by currency, then each KPI.

    A KPI that is nothing but a measure of the same name is that integer.
    """
    out: Json = {each.name: tally.get(each.number, 0) for each in m.SCALARS}
    families = m.named({number: value for number, value in tally.items() if number not in m.BY_NUMBER})
    out |= {each.name: families.get(each.name, {}) for each in m.FAMILIES}
    out["revenue"] = out.pop("won_minor")
    out["distinct_call_ids"] = distinct_call_ids
    found, own = evaluate_all(tally, question.limits), evaluate_own(question.own.kpis, tally, question.limits)
    values: dict[str, Value | Family] = {**found.kpis, **found.by_member, **own.kpis, **own.by_member}
    kpis = (*KPIS, *question.own.kpis.kpis)
    told = (kpi for kpi in kpis if kpi.name not in out and (question.settles or not kpi.settles))
    return out | {kpi.name: _value_json(values[kpi.name]) for kpi in told}


def _value_json(value: Value | Family) -> Json:
    if isinstance(value, dict):
        return {member: _value_json(each) for member, each in value.items()}
    return {"value": value.value, "numerator": value.numerator, "denominator": value.denominator}
