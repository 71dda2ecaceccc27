"""Whole days: the business days of agents, teams and tenants that lie wholly in a span of history.

A day that has begun before the span or goes on after it says too little. One day of each scope is in memory, and a
block of rows.
"""

from collections.abc import Iterator

from kpistream.core.days import Day, business_days, of_agents, of_teams
from kpistream.core.roster import Roster
from kpistream.history import queries
from kpistream.history.queries import Span
from kpistream.history.settled import agent_panes
from kpistream.history.store import Store


def agent_days(store: Store, roster: Roster, span: Span, *, settled: bool = False) -> Iterator[Day]:
    """Days of agents, those of one agent in order of time; `settled`: with the calls that settled in them."""
    panes = agent_panes(store, span, roster) if settled else queries.agent_panes(store, span)
    return _whole(business_days(panes, roster, of_agents), span)


def team_days(store: Store, roster: Roster, span: Span) -> Iterator[Day]:
    """Days of teams and tenants, those of one in order of time."""
    return _whole(business_days(queries.panes_in_time(store, span), roster, of_teams(roster)), span)


def _whole(days: Iterator[Day], span: Span) -> Iterator[Day]:
    for day in days:
        begins = span.from_ms is None or day.window.from_ms >= span.from_ms
        if begins and (span.to_ms is None or day.window.to_ms <= span.to_ms):
            yield day
