"""Settled: sums of settled calls out of facts, as live windows have them.

A call counts for the agent who had it, at the start of the pane in which its settle time is up; as won when a won deal
of the same agent names it that closed before the span ends. So a span that is over changes by events of its own panes,
and of as many before it as calls take to settle. Nothing here divides.
"""

from collections.abc import Iterator, Sequence
from heapq import merge
from typing import Any, Final, NamedTuple

from kpistream.core.attainment import Deals
from kpistream.core.conversion import delay_ms
from kpistream.core.measures import SETTLED_CALLS, SETTLED_CALLS_IN_DOUBT, SETTLED_CALLS_WON, Tally
from kpistream.core.placing import Place
from kpistream.core.roster import Roster
from kpistream.core.rows import PaneRow
from kpistream.history import queries, tables
from kpistream.history.queries import Span, Sums
from kpistream.history.store import Store

LEGS_MS: Final = 24 * 3_600_000
"""How far apart the legs of one call may end."""
_BEFORE_MS: Final = 90 * 24 * 3_600_000
"""How long before a deal its call may have been, when it is asked whether there is one."""
_START: Final = "toUnixTimestamp64Milli(start)"
_OF_AGENTS: Final = "retracted = 0 AND startsWith(scope, 'agent:')"
_CONNECTED: Final = f"{_OF_AGENTS} AND kind = 'call' AND outcome = 'connected'"
_WON: Final = f"{_OF_AGENTS} AND kind = 'deal' AND outcome = 'won'"
_MINE: Final = "({tenant:String} = '' OR tenant = {tenant:String})"
_NAME: Final = "ifNull(call_id, event_id)"
"""What a deal names a call by."""


def settled_by_scope(store: Store, span: Span, wait_ms: int, by: str | None = None, zone: str = "UTC") -> list[Sums]:
    """Settled calls of every agent in the span; `by` is None, `day`, `hour` or `weekday`. In no order.

    `wait_ms`: from the start of a pane until its calls are of age, `conversion.delay_ms`.
    """
    return _sums(store, span, wait_ms, _Split(queries.split_by(by), {"zone": zone}))


def settled_between(store: Store, span: Span, wait_ms: int, scopes: Sequence[str], edges: Sequence[int]) -> list[Sums]:
    """Settled calls of some scopes, split at instants as `queries.sums_between` splits them."""
    given = {"edges": list(edges), "scopes": list(scopes)}
    split = _Split(queries.split_at(_START), given, "scope IN {scopes:Array(String)}")
    found = _sums(store, span, wait_ms, split)
    return [each._replace(group=int(each.group or 0)) for each in found]


def agent_panes(store: Store, span: Span, roster: Roster) -> Iterator[PaneRow]:
    """Panes of agents with what settled in them, one agent after the other, each in order of time.

    What settled is a row of its own at the same place. Of what is in doubt nothing is said: see `deals_without_call`.
    Costs memory for every pane in which something has settled.
    """
    return merge(queries.agent_panes(store, span), _settled_rows(store, span, roster), key=_order)


def deals_without_call(store: Store, span: Span) -> int:
    """Won deals of agents in a span that name no call."""
    given = {"tenant": span.tenant or "", "deals_from": span.from_ms or 0, "deals_to": span.to_ms or _FAR_MS}
    sql = (
        f"SELECT count() FROM {tables.FACTS} FINAL WHERE {_WON} AND {_MINE} AND {_starts('deals')} AND call_id IS NULL"
    )
    return int(store.query(sql, given)[0][0])


def deals_linked(store: Store, span: Span) -> dict[str, Deals]:
    """Won deals of agents in a span, by tenant, and how many name a connected call of the same agent."""
    from_ms, to_ms = span.from_ms or 0, _FAR_MS if span.to_ms is None else span.to_ms
    given = {"tenant": span.tenant or "", "deals_from": from_ms, "deals_to": to_ms}
    given |= {"calls_from": max(0, from_ms - _BEFORE_MS), "calls_to": to_ms}
    calls = (
        f"SELECT tenant, scope, {_NAME} FROM {tables.FACTS} FINAL WHERE {_CONNECTED} AND {_MINE} AND {_starts('calls')}"
    )
    sql = (
        f"SELECT tenant, count(), countIf((tenant, scope, ifNull(call_id, '')) IN ({calls})) FROM {tables.FACTS} FINAL "
        f"WHERE {_WON} AND {_MINE} AND {_starts('deals')} GROUP BY tenant"
    )
    return {tenant: Deals(int(won), int(linked)) for tenant, won, linked in store.query(sql, given)}


def _order(row: PaneRow) -> tuple[str, str, int]:
    return row.place.tenant, row.place.scope, row.place.start_ms


def _settled_rows(store: Store, span: Span, roster: Roster) -> Iterator[PaneRow]:
    known = queries.extent(store, span.tenant)
    for tenant in sorted(queries.heard(store)) if known is not None else ():
        if known is None or span.tenant not in (None, tenant):
            continue
        wait_ms = delay_ms(roster.tenant(tenant).settle_ms, known.pane_ms)
        found = _sums(store, span._replace(tenant=tenant), wait_ms, _Split(_START, {}))
        for scope, start_ms, tally in sorted((each.scope, int(each.group or 0), each.tally) for each in found):
            certain = {number: value for number, value in tally.items() if number != SETTLED_CALLS_IN_DOUBT}
            yield PaneRow(Place(f"{tenant}/{scope}", start_ms), known.pane_ms, 0, certain)


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


def _sums(store: Store, span: Span, wait_ms: int, split: _Split) -> list[Sums]:
    from_ms, to_ms = (span.from_ms or 0) - wait_ms, _FAR_MS if span.to_ms is None else span.to_ms
    parameters = {**split.parameters, "delay": wait_ms, "to": to_ms, "tenant": span.tenant or ""}
    mine = f"{_MINE} AND {split.scopes}"
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
    parameters |= {"calls_from": max(0, from_ms), "calls_to": to_ms - wait_ms + LEGS_MS, "deals_to": to_ms}
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
