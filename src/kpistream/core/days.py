"""Days: sums of business days out of panes of the past, for agents, or for teams and tenants.

Each scope's day is that of its own zone at the time, as the roster has it. Rows of one scope must come in order of
time; what is held is one day of each scope.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from kpistream.core.measures import Tally, add
from kpistream.core.provenance import scope_window
from kpistream.core.roster import Roster
from kpistream.core.rows import PaneRow
from kpistream.core.targets import TENANT_SCOPE, team_scope
from kpistream.core.windows import BUSINESS_DAY, Window

_AGENT: Final = "agent:"


class Day(NamedTuple):
    """What one scope did on one business day."""

    tenant: str
    scope: str
    """`agent:ID`, `team:NAME` or `tenant`."""
    window: Window
    tally: Tally


ScopesOf = Callable[[str, str, int], Iterable[str]]
"""For whom a pane counts, by tenant, scope and start."""


def of_agents(tenant: str, scope: str, start_ms: int) -> Iterable[str]:
    """The agent itself; nobody for a queue or a campaign."""
    return (scope,) if scope.startswith(_AGENT) else ()


def of_teams(roster: Roster) -> ScopesOf:
    """The team that a pane belonged to at its start, and the tenant."""

    def scopes(tenant: str, scope: str, start_ms: int) -> Iterable[str]:
        return team_scope(roster.team_of_scope(tenant, scope, start_ms)), TENANT_SCOPE

    return scopes


def business_days(rows: Iterable[PaneRow], roster: Roster, scopes_of: ScopesOf) -> Iterator[Day]:
    """Every business day in which a scope has done anything."""
    open_days: dict[tuple[str, str], Day] = {}
    for row in rows:
        tenant, _, scope = row.place.key.partition("/")
        start_ms = row.place.start_ms
        for name in scopes_of(tenant, scope, start_ms):
            day = open_days.get((tenant, name))
            window = scope_window(roster, tenant, name, BUSINESS_DAY, start_ms)
            if day is None or day.window != window:  # days of two zones overlap where somebody has moved
                if day is not None and day.tally:
                    yield day
                day = open_days[tenant, name] = Day(tenant, name, window, {})
            add(day.tally, tuple(item for pair in row.tally.items() for item in pair))
    yield from (day for day in open_days.values() if day.tally)
