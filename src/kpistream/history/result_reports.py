"""Result reports: how often targets closed as met, out of history."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from kpistream.core.results import Outcome
from kpistream.history import tables
from kpistream.history.queries import Span
from kpistream.history.store import Store

HEADER: Final = ("tenant", "scope", "name", "target", "window", "met", "missed", "too little data", "met of judged")


class Row(NamedTuple):
    """One target of one scope over a span of periods."""

    tenant: str
    scope: str
    display_name: str | None
    target: str
    window: str
    met: int
    missed: int
    too_little: int

    @property
    def share(self) -> float | None:
        """Of the periods that were met or missed, those that were met; None when there were none."""
        judged = self.met + self.missed
        return self.met / judged if judged else None

    def as_json(self) -> dict[str, Any]:
        """Plain values, with what the share is made of."""
        return self._asdict() | {"met_share": self.share}


def result_rows(store: Store, span: Span, target: str | None = None) -> list[Row]:
    """Rows ordered by tenant, target and scope, of periods that begin in the span."""
    counted = ", ".join(f"countIf(outcome = '{outcome}')" for outcome in Outcome)
    where, parameters = _where(span, target)
    sql = (
        f"SELECT tenant, scope, argMax(display_name, window_from), target, window, {counted} "
        f"FROM {tables.RESULTS} FINAL {where} "
        "GROUP BY tenant, scope, target, window ORDER BY tenant, target, window, scope"
    )
    return [Row(*row) for row in store.query(sql, parameters)]


def _where(span: Span, target: str | None) -> tuple[str, dict[str, Any]]:
    conditions, parameters = ["1"], dict[str, Any]()
    for name, value, condition in (
        ("from_ms", span.from_ms, "window_from >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')"),
        ("to_ms", span.to_ms, "window_from < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')"),
        ("tenant", span.tenant, "tenant = {tenant:String}"),
        ("target", target, "target = {target:String}"),
    ):
        if value is not None:
            conditions.append(condition)
            parameters[name] = value
    return "WHERE " + " AND ".join(conditions), parameters


def result_table(rows: Sequence[Row]) -> str:
    """A table for people; n is beside the share."""
    lines = [HEADER]
    for row in rows:
        share = "-" if row.share is None else f"{row.share:.0%} (n {row.met + row.missed})"
        counts = (str(row.met), str(row.missed), str(row.too_little))
        lines.append((row.tenant, row.scope, row.display_name or "", row.target, row.window, *counts, share))
    widths = [max(len(line[at]) for line in lines) for at in range(len(HEADER))]
    padded = ((cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join("  ".join(line).rstrip() for line in padded)
