"""Queries: sums, rows and counts out of history. The SQL of reports and audits is here and nowhere else.

Every query reads the standing rows (FINAL) and sums integers; nothing here divides. Spans are half-open,
epoch ms, and cut at pane starts; None is an open end.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from kpistream.core.alerts import Transition
from kpistream.core.contributing import Part
from kpistream.core.measures import BY_NAME, Tally, difference
from kpistream.core.own_measures import OwnMeasure
from kpistream.core.placing import Place
from kpistream.core.results import Result
from kpistream.core.rows import PaneRow
from kpistream.core.windows import Window
from kpistream.history import tables
from kpistream.history.own_sums import OwnSums
from kpistream.history.store import Store

_AGENT: Final = "agent:"
_START: Final = "toUnixTimestamp64Milli(start)"
_DAY_MS: Final = 24 * 3_600_000
_CALL_ID: Final = "ifNull(call_id, concat(source, '/', event_id))"
"""A call whose event names no call id is a call of its own."""


class Span(NamedTuple):
    """What is asked about: panes that start in `[from_ms, to_ms)`, of one tenant or of all."""

    from_ms: int | None = None
    to_ms: int | None = None
    tenant: str | None = None


class Extent(NamedTuple):
    """From the first pane start to the end of the last pane, epoch ms."""

    from_ms: int
    to_ms: int
    pane_ms: int


class Sums(NamedTuple):
    """The sums of one scope, in one group."""

    tenant: str
    scope: str
    group: str | int | None
    tally: Tally


class Seen(NamedTuple):
    """How often, and between which instants (epoch ms), events named an agent."""

    tenant: str
    agent_id: str
    events: int
    first_ms: int
    last_ms: int


_GROUPS: Final[dict[str, tuple[str, str]]] = {
    "day": (tables.PANES, "toString(toDate(start, {zone:String}))"),
    "hour": (tables.PANES, "toHour(start, {zone:String})"),
    "weekday": (tables.PANES, "toDayOfWeek(start, 0, {zone:String})"),
    "queue": (tables.FACTS, "queue"),
    "campaign": (tables.FACTS, "campaign"),
    "direction": (tables.FACTS, "direction"),
    "disposition": (tables.FACTS, "disposition"),
}
"""By what sums can be split: the table that knows, and the expression. Times of day are the zone's."""
GROUPS: Final = tuple(_GROUPS)


def split_by(by: str | None) -> str:
    """The expression that splits by one of `GROUPS`, or not at all."""
    return "NULL" if by is None else _GROUPS[by][1]


def split_at(start: str) -> str:
    """The expression that says how many of the ascending `edges` have passed at a start in epoch ms."""
    return f"arrayCount(edge -> edge <= {start}, {{edges:Array(Int64)}})"


def extent(store: Store, tenant: str | None = None) -> Extent | None:
    """The time that history covers, None when it is empty."""
    where, parameters = _where(Span(tenant=tenant))
    sql = f"SELECT count(), min({_START}), max({_START} + pane_ms), max(pane_ms) FROM {tables.PANES} {where}"
    count, first_ms, end_ms, pane_ms = store.query(sql, parameters)[0]
    return Extent(first_ms, end_ms, pane_ms) if count else None


def facts_end(store: Store) -> int | None:
    """Start of the newest pane that any fact is in, epoch ms; None when there is no fact."""
    ((count, newest_ms),) = store.query(f"SELECT count(), max({_START}) FROM {tables.FACTS}")
    return int(newest_ms) if count else None


def sums_by_scope(store: Store, span: Span, by: str | None = None, zone: str = "UTC") -> list[Sums]:
    """Sums of every scope in the span; `by` is one of `GROUPS` and splits them. In no order."""
    table, group = (tables.PANES, "NULL") if by is None else _GROUPS[by]
    where, parameters = _where(span)
    sql = (
        f"SELECT tenant, scope, {group} AS split, {tables.sums()} FROM {table} FINAL {where} "
        "GROUP BY tenant, scope, split"
    )
    rows = store.query(sql, {**parameters, "zone": zone})
    return [Sums(row[0], row[1], row[2], tally_of(row[3:])) for row in rows]


def own_by_scope(
    store: Store, span: Span, measures: Sequence[OwnMeasure], by: str | None = None, zone: str = "UTC"
) -> list[Sums]:
    """Own measures of every scope in the span, out of facts; split as `sums_by_scope` does. In no order."""
    group = "NULL" if by is None else _GROUPS[by][1]
    return _own(store, span, measures, group, {"zone": zone})


def own_between(
    store: Store, span: Span, measures: Sequence[OwnMeasure], scopes: Sequence[str], edges: Sequence[int]
) -> list[Sums]:
    """Own measures of some scopes, split at instants as `sums_between` does."""
    given = {"scopes": list(scopes), "edges": list(edges)}
    return _own(store, span, measures, split_at(_START), given)


def _own(store: Store, span: Span, measures: Sequence[OwnMeasure], group: str, given: Mapping[str, Any]) -> list[Sums]:
    where, parameters = _where(span, ["scope IN {scopes:Array(String)}"] if "scopes" in given else [])
    own = OwnSums(measures)
    sql = (
        f"SELECT tenant, scope, {group} AS split, {own.sql} FROM {tables.FACTS} FINAL {where} "
        "GROUP BY tenant, scope, split"
    )
    rows = store.query(sql, {**parameters, **own.parameters, **given})
    return [Sums(row[0], row[1], row[2], own.tally(row[3:])) for row in rows]


class Heard(NamedTuple):
    """Between which instants, epoch ms, there are panes of a tenant."""

    first_ms: int
    """Start of the first."""
    to_ms: int
    """End of the last."""


def heard(store: Store) -> dict[str, Heard]:
    """Every tenant that has a pane."""
    sql = f"SELECT tenant, min({_START}), max({_START} + pane_ms) FROM {tables.PANES} GROUP BY tenant"
    return {tenant: Heard(int(first_ms), int(to_ms)) for tenant, first_ms, to_ms in store.query(sql)}


def written(store: Store, span: Span, table: str = tables.PANES) -> int:
    """When a row of a pane (or a fact) in the span was written last, epoch ms of the store's clock; 0 without any."""
    where, parameters = _where(span)
    sql = f"SELECT count(), max(toUnixTimestamp64Milli(inserted_at)) FROM {table} {where}"
    ((count, newest_ms),) = store.query(sql, parameters)
    return int(newest_ms) if count else 0


def sums_between(store: Store, span: Span, scopes: Sequence[str], edges: Sequence[int]) -> list[Sums]:
    """Sums of some scopes, split at instants: the group is how many of the ascending `edges` have passed."""
    where, parameters = _where(span, ["scope IN {scopes:Array(String)}"])
    sql = (
        f"SELECT tenant, scope, {split_at(_START)} AS split, {tables.sums()} "
        f"FROM {tables.PANES} FINAL {where} GROUP BY tenant, scope, split"
    )
    rows = store.query(sql, {**parameters, "scopes": list(scopes), "edges": list(edges)})
    return [Sums(row[0], row[1], int(row[2]), tally_of(row[3:])) for row in rows]


def results_of(store: Store, tenant: str, name: str, begins: Window) -> dict[str, Result]:
    """The results that stand of one tenant's windows of a name that begin in `begins`, by id."""
    where = "tenant = {tenant:String} AND window = {name:String} AND " + _begins("window_from")
    given = {"tenant": tenant, "name": name, "from_ms": begins.from_ms, "to_ms": begins.to_ms}
    found = _records(store, tables.RESULTS, tables.RESULT_COLUMNS, where, given)
    return {each.result_id: each for each in (msgspec.convert(fields, Result) for fields in found)}


def definition_of(store: Store, target: str, at_ms: int) -> str | None:
    """A target as JSON, as the settings that were applied last at an instant have it; None when history has none."""
    sql = (
        f"SELECT definition FROM {tables.TARGETS} FINAL WHERE target = {{target:String}} AND version = "
        f"(SELECT argMax(targets_version, applied_at) FROM {tables.SETTINGS} FINAL "
        "WHERE applied_at <= fromUnixTimestamp64Milli({at_ms:Int64}, 'UTC'))"
    )
    rows = store.query(sql, {"target": target, "at_ms": at_ms})
    return str(rows[0][0]) if rows else None


def transitions_of(store: Store, windows: Sequence[str], targets: Sequence[str]) -> list[Transition]:
    """The last transition of every alert that was ever on one of these windows, or is of one of these targets."""
    listed = "window IN {windows:Array(String)} OR target IN {targets:Array(String)}"
    key = "tenant, target, scope"
    of_them = f"({key}) IN (SELECT {key} FROM {tables.ALERTS} WHERE {listed})"
    given = {"windows": list(windows), "targets": list(targets)}
    last = f"{of_them} ORDER BY sequence DESC LIMIT 1 BY {key}"
    found = _records(store, tables.ALERTS, tables.ALERT_COLUMNS, last, given)
    return [msgspec.convert({**fields, **_named(fields)}, Transition) for fields in found]


def _named(fields: dict[str, Any]) -> dict[str, Any]:
    return {"from": fields["from_state"], "to": fields["to_state"]}


def _begins(column: str) -> str:
    return (
        f"{column} >= fromUnixTimestamp64Milli({{from_ms:Int64}}, 'UTC') "
        f"AND {column} < fromUnixTimestamp64Milli({{to_ms:Int64}}, 'UTC')"
    )


def _records(
    store: Store, table: str, columns: Mapping[str, str], where: str, parameters: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Standing rows as the fields of the records that they were made from."""
    names = [name for name in columns if name not in (*tables.COORDINATES, "precedence")]
    chosen = (f"toUnixTimestamp64Milli({name})" if tables.INSTANT in columns[name] else f"`{name}`" for name in names)
    sql = f"SELECT {', '.join(chosen)} FROM {table} FINAL WHERE {where}"
    for row in store.query(sql, parameters):
        yield dict(zip(map(tables.field_of, names), row, strict=True))


def distinct_calls(store: Store, span: Span, by: str | None = None, zone: str = "UTC") -> dict[tuple[Any, ...], int]:
    """Distinct call ids by (tenant, scope, group): a transferred call counts once for each scope that had it."""
    group = "NULL" if by is None else _GROUPS[by][1]
    where, parameters = _where(span, ["kind = 'call'", "retracted = 0"])
    sql = (
        f"SELECT tenant, scope, {group} AS split, uniqExact({_CALL_ID}) FROM {tables.FACTS} FINAL {where} "
        "GROUP BY tenant, scope, split"
    )
    return {(row[0], row[1], row[2]): row[3] for row in store.query(sql, {**parameters, "zone": zone})}


def distinct_calls_without_agent(store: Store, span: Span) -> int:
    """Distinct call ids among the calls that reached no agent."""
    where, parameters = _where(span, ["kind = 'call'", "retracted = 0", f"NOT startsWith(scope, '{_AGENT}')"])
    sql = f"SELECT uniqExact((tenant, {_CALL_ID})) FROM {tables.FACTS} FINAL {where}"
    return int(store.query(sql, parameters)[0][0])


def pane_rows(store: Store, span: Span | None = None) -> Iterator[PaneRow]:
    """The standing row of every pane, ordered by place."""
    where, parameters = _where(span or Span())
    columns = ", ".join(tables.MEASURE_COLUMNS)
    sql = (
        f"SELECT tenant, scope, {_START}, pane_ms, version, {columns} FROM {tables.PANES} FINAL {where} "
        "ORDER BY tenant, scope, start"
    )
    for tenant, scope, start_ms, pane_ms, version, *values in store.query(sql, parameters):
        yield PaneRow(Place(f"{tenant}/{scope}", start_ms), pane_ms, version, tally_of(values))


def agent_panes(store: Store, span: Span) -> Iterator[PaneRow]:
    """Standing rows of agents, one agent after the other, each in order of time; a block of them in memory."""
    return _streamed(store, span, "tenant, scope, start")


def panes_in_time(store: Store, span: Span) -> Iterator[PaneRow]:
    """Standing rows of every scope in order of time; the engine sorts a day of them at once, a block is in memory."""
    found = extent(store, span.tenant)
    if found is None:
        return
    begin_ms = found.from_ms if span.from_ms is None else max(span.from_ms, found.from_ms)
    end_ms = found.to_ms if span.to_ms is None else min(span.to_ms, found.to_ms)
    for from_ms in range(begin_ms, end_ms, _DAY_MS):
        to_ms = min(from_ms + _DAY_MS, end_ms)
        yield from _streamed(store, Span(from_ms, to_ms, span.tenant), "start, tenant, scope", [])


def _streamed(
    store: Store, span: Span, order: str, conditions: Sequence[str] = (f"startsWith(scope, '{_AGENT}')",)
) -> Iterator[PaneRow]:
    where, parameters = _where(span, conditions)
    sql = (
        f"SELECT tenant, scope, {_START}, pane_ms, version, {', '.join(tables.MEASURE_COLUMNS)} "
        f"FROM {tables.PANES} FINAL {where} ORDER BY {order}"
    )
    for tenant, scope, start_ms, pane_ms, version, *values in store.stream(sql, parameters):
        yield PaneRow(Place(f"{tenant}/{scope}", start_ms), pane_ms, version, tally_of(values))


def agents_seen(store: Store, span: Span | None = None) -> list[Seen]:
    """Every agent that standing facts name, with counts and the instants of the first and the last event."""
    where, parameters = _where(span or Span(), ["retracted = 0", f"startsWith(scope, '{_AGENT}')"])
    sql = (
        f"SELECT tenant, substring(scope, {len(_AGENT) + 1}), count(), toUnixTimestamp64Milli(min(occurred_at)), "
        f"toUnixTimestamp64Milli(max(occurred_at)) FROM {tables.FACTS} FINAL {where} "
        "GROUP BY tenant, scope ORDER BY tenant, scope"
    )
    return [Seen(*row) for row in store.query(sql, parameters)]


def facts_of(store: Store, scope: str, span: Span) -> list[dict[str, Any]]:
    """Standing facts of one scope in full, oldest first: columns by name, instants as epoch ms."""
    where, parameters = _where(span, ["retracted = 0", "scope = {scope:String}"])
    instants = {name for name, type_ in tables.FACT_COLUMNS.items() if tables.INSTANT in type_}
    names = list(tables.FACT_COLUMNS)
    columns = ", ".join(f"toUnixTimestamp64Milli({name})" if name in instants else f"`{name}`" for name in names)
    sql = f"SELECT {columns} FROM {tables.FACTS} FINAL {where} ORDER BY occurred_at, source, event_id"
    return [dict(zip(names, row, strict=True)) for row in store.query(sql, {**parameters, "scope": scope})]


def parts_of(store: Store, scope: str, span: Span, limit: int) -> list[Part]:
    """What the newest events of one scope add, the newest panes first, at most so many."""
    where, parameters = _where(span, ["retracted = 0", "scope = {scope:String}"])
    identity = "concat(tenant, '/', source, '/', kind, '/', event_id)"
    columns = ", ".join(tables.MEASURE_COLUMNS)
    sql = (
        f"SELECT {identity}, {_START} AS start_ms, {columns} FROM {tables.FACTS} FINAL {where} "
        "ORDER BY start_ms DESC, source, kind, event_id LIMIT {limit:UInt32}"
    )
    rows = store.query(sql, {**parameters, "scope": scope, "limit": limit})
    return [Part(row[0], int(row[1]), difference(tally_of(row[2:]), {})) for row in rows]


def tally_of(values: Sequence[int | Mapping[str, int]]) -> Tally:
    """The tally in the measure columns of a row, in the order of `MEASURE_COLUMNS`."""
    tally: Tally = {}
    for name, value in zip(tables.MEASURE_COLUMNS, values, strict=True):
        if not value:
            continue
        if isinstance(value, Mapping):
            tally.update({tables.measure_number(name, member): amount for member, amount in value.items() if amount})
        else:
            tally[BY_NAME[name].number] = value
    return tally


def _where(span: Span, conditions: Sequence[str] = ()) -> tuple[str, dict[str, Any]]:
    out, parameters = list(conditions), dict[str, Any]()
    if span.from_ms is not None:
        out.append("start >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')")
        parameters["from_ms"] = span.from_ms
    if span.to_ms is not None:
        out.append("start < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')")
        parameters["to_ms"] = span.to_ms
    if span.tenant is not None:
        out.append("tenant = {tenant:String}")
        parameters["tenant"] = span.tenant
    return ("WHERE " + " AND ".join(out) if out else ""), parameters
