"""Settled: sums of settled calls out of facts, as live windows have them.

A call counts for the agent who had it, at the start of the pane in which its settle time is up; as won when a won deal
of the same agent names it that closed before the span ends. So a span that is over changes by events of its own panes,
and of as many before it as calls take to settle. Nothing here divides.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from kpistream.core.measures import SETTLED_CALLS, SETTLED_CALLS_IN_DOUBT, SETTLED_CALLS_WON, Tally
from kpistream.history import queries, tables
from kpistream.history.queries import Span, Sums
from kpistream.history.store import Store

LEGS_MS: Final = 24 * 3_600_000
"""How far apart the legs of one call may end."""
_START: Final = "toUnixTimestamp64Milli(start)"
_OF_AGENTS: Final = "retracted = 0 AND startsWith(scope, 'agent:')"
_CONNECTED: Final = f"{_OF_AGENTS} AND kind = 'call' AND outcome = 'connected'"
_WON: Final = f"{_OF_AGENTS} AND kind = 'deal' AND outcome = 'won'"
_NAME: Final = "ifNull(call_id, event_id)"
"""What a deal names a call by."""


def settled_by_scope(store: Store, span: Span, delay_ms: int, by: str | None = None, zone: str = "UTC") -> list[Sums]:
    """Settled calls of every agent in the span; `by` is None, `day`, `hour` or `weekday`. In no order.

    `delay_ms`: from the start of a pane until its calls are of age, `conversion.delay_ms`.
    """
    return _sums(store, span, delay_ms, _Split(queries.split_by(by), {"zone": zone}))


def settled_between(store: Store, span: Span, delay_ms: int, scopes: Sequence[str], edges: Sequence[int]) -> list[Sums]:
    """Settled calls of some scopes, split at instants as `queries.sums_between` splits them."""
    given = {"edges": list(edges), "scopes": list(scopes)}
    split = _Split(queries.split_at(_START), given, "scope IN {scopes:Array(String)}")
    found = _sums(store, span, delay_ms, split)
    return [each._replace(group=int(each.group or 0)) for each in found]


def merged(sums: Sequence[Sums], settled: Sequence[Sums]) -> list[Sums]:
    """Sums of panes with those of settled calls: of the same scope and group, or of its own."""
    out = {each[:3]: each for each in sums}
    for each in settled:
        known = out.get(each[:3])
        out[each[:3]] = each if known is None else known._replace(tally=known.tally | each.tally)
    return list(out.values())


class _Split(NamedTuple):
    """How sums are split, and whose they are."""

    expression: str
    parameters: dict[str, Any]
    scopes: str = "1"


def _sums(store: Store, span: Span, delay_ms: int, split: _Split) -> list[Sums]:
    from_ms, to_ms = (span.from_ms or 0) - delay_ms, _FAR_MS if span.to_ms is None else span.to_ms
    parameters = {**split.parameters, "delay": delay_ms, "to": to_ms, "tenant": span.tenant or ""}
    mine = f"({{tenant:String}} = '' OR tenant = {{tenant:String}}) AND {split.scopes}"
    deals = f"FROM {tables.FACTS} FINAL WHERE {_WON} AND {mine} AND {_starts('deals')}"
    calls = (
        f"SELECT tenant, scope, {_NAME} AS name, max({_START}) + {{delay:Int64}} AS at, "
        f"(tenant, scope, name) IN (SELECT tenant, scope, call_id {deals} AND call_id IS NOT NULL) AS won "
        f"FROM {tables.FACTS} FINAL WHERE {_CONNECTED} AND {mine} AND {_starts('calls')} "
        "GROUP BY tenant, scope, name HAVING at < {to:Int64}"
    )
    settled = (
        f"SELECT tenant, scope, {split.expression} AS split, count(), sum(won) FROM (SELECT tenant, scope, won, "
        f"fromUnixTimestamp64Milli(at, 'UTC') AS start FROM ({calls})) GROUP BY tenant, scope, split"
    )
    unnamed = f"SELECT tenant, scope, count() {deals} AND call_id IS NULL GROUP BY tenant, scope"
    parameters |= {"calls_from": max(0, from_ms), "calls_to": to_ms - delay_ms + LEGS_MS, "deals_to": to_ms}
    named = store.query(settled, {**parameters, "deals_from": max(0, from_ms - LEGS_MS)})
    doubt = {row[:2]: int(row[2]) for row in store.query(unnamed, {**parameters, "deals_from": max(0, from_ms)})}
    return [
        Sums(tenant, scope, group, _tally(int(count), int(won), doubt.get((tenant, scope), 0)))
        for tenant, scope, group, count, won in named
    ]


_FAR_MS: Final = 9_000_000_000_000
"""In 2255; what the engine holds ends in 2299."""


def _starts(of: str) -> str:
    begin, end = (f"fromUnixTimestamp64Milli({{{of}_{side}:Int64}}, 'UTC')" for side in ("from", "to"))
    return f"start >= {begin} AND start < {end}"


def _tally(calls: int, won: int, unnamed: int) -> Tally:
    """No more are in doubt than deals name no call: workers, who know the order of events, may say fewer."""
    sums = {SETTLED_CALLS: calls, SETTLED_CALLS_WON: won, SETTLED_CALLS_IN_DOUBT: min(calls - won, unnamed)}
    return {number: value for number, value in sums.items() if value}
