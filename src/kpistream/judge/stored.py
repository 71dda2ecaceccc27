"""Stored: what ClickHouse holds, in SQL of the judge's own, row by row.

Only the columns' names come from the store itself (`system.columns`), so that a measure the judge has never
heard of is compared too, and found. The queries stream: whoever runs them hands over rows as they come.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from kpistream.judge.compare import NOT_MEASURES, Cell, Spot

Rows = Iterable[tuple[Any, ...]]
Ask = Callable[[str, Mapping[str, Any]], Rows]
"""Runs a SELECT and yields its rows, a part at a time."""

_START = "toUnixTimestamp64Milli(start)"


@dataclass(frozen=True, slots=True)
class Span:
    """Which panes and whose; None is open."""

    from_ms: int | None = None
    to_ms: int | None = None
    tenant: str | None = None

    def holds(self, spot: Spot) -> bool:
        """Whether the place is inside."""
        key, start_ms = spot
        return (
            (self.from_ms is None or start_ms >= self.from_ms)
            and (self.to_ms is None or start_ms < self.to_ms)
            and self.has_tenant(key.partition("/")[0])
        )

    def has_tenant(self, tenant: str) -> bool:
        """Whether the tenant is asked for."""
        return self.tenant is None or tenant == self.tenant


class StoredRow(NamedTuple):
    """The standing row of a place."""

    spot: Spot
    version: int
    sums: Cell


class StoredFact(NamedTuple):
    """The standing fact of an identity at a place."""

    spot: Spot
    identity: str
    rank: int
    retracted: bool
    topic: str
    partition: int
    offset: int
    record_at_ms: int
    adds: Cell


def measure_columns(ask: Ask) -> list[str]:
    """Names of the sums in a row of panes."""
    sql = (
        "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = 'kpi_panes' "
        "ORDER BY position"
    )
    return [name for name, kind in ask(sql, {}) if name not in NOT_MEASURES and "Int" in kind]


def rows(ask: Ask, span: Span) -> Iterator[StoredRow]:
    """Read the rows of a span."""
    names = measure_columns(ask)
    where, values = _where(span, outside=False)
    sql = f"SELECT tenant, scope, {_START}, version, {', '.join(names)} FROM kpi_panes FINAL{where}"
    for tenant, scope, start_ms, version, *sums in ask(sql, values):
        yield StoredRow((f"{tenant}/{scope}", start_ms), version, cell(names, sums))


def facts(ask: Ask, span: Span) -> Iterator[StoredFact]:
    """Read the facts of a span, and of what lies outside it, for the same tenant, all but the sums."""
    names = measure_columns(ask)
    head = (
        f"tenant, scope, {_START}, source, kind, event_id, rank, retracted, topic, partition, offset, "
        "toUnixTimestamp64Milli(record_at)"
    )
    parts = [(f"{head}, {', '.join(names)}", False)]
    if span.from_ms is not None or span.to_ms is not None:
        parts.append((head, True))
    for columns, outside in parts:
        where, values = _where(span, outside=outside)
        for row in ask(f"SELECT {columns} FROM kpi_facts FINAL{where}", values):
            tenant, scope, start_ms, source, kind, event_id, rank, retracted, *place = row[:12]
            identity = f"{tenant}/{source}/{kind}/{event_id}"
            spot = (f"{tenant}/{scope}", start_ms)
            topic, partition, offset, record_at_ms = place
            record = (topic, partition, offset, record_at_ms)
            yield StoredFact(spot, identity, rank, bool(retracted), *record, cell(names, row[12:]))


def cell(names: Iterable[str], values: Iterable[Any]) -> Cell:
    """Name the sums that are not zero, members of a family by `family.member`."""
    out: Cell = {}
    for name, value in zip(names, values, strict=False):
        if isinstance(value, dict):
            out |= {f"{name}.{member}": amount for member, amount in value.items() if amount}
        elif value:
            out[name] = value
    return out


def _where(span: Span, *, outside: bool) -> tuple[str, dict[str, Any]]:
    conditions: list[str] = []
    inside: list[str] = []
    values: dict[str, Any] = {}
    for name, bound_ms, sign in (("from_ms", span.from_ms, ">="), ("to_ms", span.to_ms, "<")):
        if bound_ms is not None:
            inside.append(f"start {sign} fromUnixTimestamp64Milli({{{name}:Int64}}, 'UTC')")
            values[name] = bound_ms
    if inside:
        conditions.append(f"{'NOT ' if outside else ''}({' AND '.join(inside)})")
    if span.tenant is not None:
        conditions.append("tenant = {tenant:String}")
        values["tenant"] = span.tenant
    return (f" WHERE {' AND '.join(conditions)}" if conditions else ""), values
