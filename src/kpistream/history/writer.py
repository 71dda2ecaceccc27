"""Writer: facts, panes, alerts, results and rosters as rows, and a closed pane computed again from its facts.

Every table replaces by version, so writing a row twice, late or out of order changes nothing. The row
that `recompute` makes equals the one that a worker would have published for the same events: same sums,
same version, tombstones counted.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, NamedTuple

from kpistream.core import measures as m
from kpistream.core.fields import RetractedFields
from kpistream.core.placing import Accepted, Place, rank_parts
from kpistream.core.roster import ALWAYS_FROM_MS, ALWAYS_TO_MS, Dated, Person, Roster
from kpistream.core.rows import PaneRow
from kpistream.history import tables
from kpistream.history.store import Insert, Store

RECOMPUTE_PLACES: Final = 2000
"""Places that one INSERT SELECT computes again: measured 10,000 places a second, 3,000 with 200."""


class Fact(NamedTuple):
    """An accepted event and the record that brought it."""

    event: Accepted
    topic: str
    partition: int
    offset: int
    timestamp_ms: int


class Appended(NamedTuple):
    """A transition or a result, and the record that brought it."""

    content: Any
    topic: str
    partition: int
    offset: int


def pane_insert(rows: Sequence[PaneRow]) -> Insert:
    """Rows of `kpi_panes`."""
    places = [row.place for row in rows]
    values: list[Sequence[Any]] = [
        [place.tenant for place in places],
        [place.scope for place in places],
        [place.start_ms for place in places],
        [row.pane_ms for row in rows],
        *_measures([[item for pair in row.tally.items() for item in pair] for row in rows]),
        [row.version for row in rows],
    ]
    return Insert(tables.PANES, tables.PANE_COLUMNS, values)


def fact_insert(facts: Sequence[Fact], pane_ms: int) -> Insert:
    """Rows of `kpi_facts`: every field of the event, what it adds, and where it was read."""
    events = [fact.event for fact in facts]
    fields = [event.fields for event in events]
    scopes = [event.key.partition("/") for event in events]
    moved_from = [getattr(each, "moved_from", None) for each in fields]
    values: list[Sequence[Any]] = [
        [tenant for tenant, _, _ in scopes],
        [scope for _, _, scope in scopes],
        [event.start_ms for event in events],
        [each.source for each in fields],
        [event.identity.split("/", 3)[2] for event in events],
        [each.event_id for each in fields],
        [event.rank for event in events],
        [rank_parts(event.rank)[1] for event in events],
        [int(event.retracts) for event in events],
        [event.occurred_at_ms for event in events],
        [pane_ms] * len(facts),
        *(_column(fields, attribute, kinds) for _, _, attribute, kinds in tables.FACT_FIELDS),
        [getattr(each, "attributes", None) or {} for each in fields],
        *([None if old is None else get(old) for old in moved_from] for get in _MOVED_FROM),
        *_measures([event.contribution for event in events]),
        [fact.topic for fact in facts],
        [fact.partition for fact in facts],
        [fact.offset for fact in facts],
        [fact.timestamp_ms for fact in facts],
    ]
    assert not any(event.retracts != isinstance(event.fields, RetractedFields) for event in events)
    return Insert(tables.FACTS, tables.FACT_COLUMNS, values)


_MOVED_FROM: Final = tuple(attrgetter(name) for name in ("agent_id", "queue", "campaign", "occurred_at"))


def _column(fields: Sequence[Any], attribute: str, kinds: tuple[type, ...]) -> list[Any]:
    get = attrgetter(attribute)
    return [get(each) if type(each) in kinds else None for each in fields]


@lru_cache(maxsize=100_000)
def _where(number: int) -> tuple[int, str]:
    """Position of a measure's column among the measure columns, and its member (empty for a scalar)."""
    member = m.member(number)
    if member is None:
        return _POSITION[m.BY_NUMBER[number].name], ""
    return _POSITION[member[0]], member[1]


_POSITION: Final = {name: index for index, name in enumerate(tables.MEASURE_COLUMNS)}
_SCALARS: Final = len(tables.SCALAR_COLUMNS)
_NO_MEMBERS: Final[dict[str, int]] = {}


def _measures(contributions: Sequence[Sequence[int]]) -> list[list[Any]]:
    """All measure columns of rows whose sums are given flat: number, value, number, value."""
    count = len(contributions)
    columns: list[list[Any]] = [[0] * count for _ in range(_SCALARS)]
    columns += [[_NO_MEMBERS] * count for _ in tables.FAMILY_COLUMNS]
    for row, flat in enumerate(contributions):
        pairs = iter(flat)
        for number, value in zip(pairs, pairs, strict=True):
            position, member = _where(number)
            column = columns[position]
            if not member:
                column[row] = value
            elif column[row]:
                column[row][member] = value
            else:
                column[row] = {member: value}
    return columns


def recompute(store: Store, places: Sequence[Place]) -> None:
    """Write the rows of these places as their facts make them; a place with tombstones only becomes a zero row."""
    for first in range(0, len(places), RECOMPUTE_PLACES):
        some = places[first : first + RECOMPUTE_PLACES]
        starts = [place.start_ms for place in some]
        store.insert_select(
            _RECOMPUTE,
            {
                "places": [(place.tenant, place.scope, place.start_ms) for place in some],
                "from_ms": min(starts),
                "to_ms": max(starts),
            },
        )


_RECOMPUTE: Final = f"""
INSERT INTO {tables.PANES} ({", ".join(tables.PANE_COLUMNS)})
SELECT tenant, scope, start, any(pane_ms), {tables.sums()}, sum(rank) + toUInt128(count())
FROM {tables.FACTS} FINAL
WHERE start >= fromUnixTimestamp64Milli(toInt64(%(from_ms)s), 'UTC')
  AND start <= fromUnixTimestamp64Milli(toInt64(%(to_ms)s), 'UTC')
  AND (tenant, scope, start) IN (
    SELECT place.1, place.2, fromUnixTimestamp64Milli(toInt64(place.3), 'UTC')
    FROM (SELECT arrayJoin(%(places)s) AS place)
  )
GROUP BY tenant, scope, start
"""
# The places go into the statement, quoted by the driver: as parameters of the URL hundreds of them would not fit.


_LAST_OFFSET: Final = (1 << 63) - 1


def _getters(columns: Mapping[str, str], behind: Sequence[str]) -> tuple[tuple[Callable[[Any], Any], bool], ...]:
    """How to get each column's value out of a record, and whether it is to be text; those `behind` are not in it."""
    return tuple(
        (attrgetter(tables.field_of(name)), type_ == tables.NAME)
        for name, type_ in columns.items()
        if name not in behind
    )


_TRANSITION: Final = _getters(tables.ALERT_COLUMNS, (*tables.COORDINATES, "precedence"))
_RESULT: Final = _getters(tables.RESULT_COLUMNS, tables.COORDINATES)


def alert_insert(records: Sequence[Appended]) -> Insert:
    """Rows of `kpi_alerts`; of two records with one sequence the earlier one in the log stands."""
    values = [*_contents(records, _TRANSITION), [_LAST_OFFSET - record.offset for record in records]]
    return Insert(tables.ALERTS, tables.ALERT_COLUMNS, values)


def result_insert(records: Sequence[Appended]) -> Insert:
    """Rows of `kpi_results`; of two results of one period the one that was computed later stands."""
    return Insert(tables.RESULTS, tables.RESULT_COLUMNS, _contents(records, _RESULT))


def _contents(records: Sequence[Appended], getters: Sequence[tuple[Callable[[Any], Any], bool]]) -> list[Sequence[Any]]:
    contents = [record.content for record in records]
    values: list[Sequence[Any]] = [
        [str(get(each)) if text else get(each) for each in contents] for get, text in getters
    ]
    return values + [[getattr(record, name) for record in records] for name in tables.COORDINATES]


def roster_insert(version: int, roster: Roster) -> Insert:
    """Rows of `kpi_roster`: a whole roster, as version `version` of the settings states it."""
    rows = [
        (
            version,
            tenant.tenant,
            person.agent_id,
            attribute,
            source,
            dated.value,
            None if dated.from_ms == ALWAYS_FROM_MS else dated.from_ms,
            None if dated.to_ms == ALWAYS_TO_MS else dated.to_ms,
        )
        for tenant in roster.tenants.values()
        for person in tenant.people.values()
        for attribute, source, dated in _said_of(person)
    ]
    return Insert(tables.ROSTER, tables.ROSTER_COLUMNS, list(zip(*rows, strict=True)) or [[]])


def _said_of(person: Person) -> Iterator[tuple[str, str, Dated]]:
    yield "active", "", person.active
    said = {"name": person.names, "team": person.teams, "tier": person.tiers, "zone": person.zones}
    for attribute, history in said.items():
        for dated in history:
            yield attribute, "", dated
    for source, history in person.aliases.items():
        for dated in history:
            yield "alias", source, dated
