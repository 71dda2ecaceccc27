"""Ground: what an audit stands on (the log's ends, the span, the rules of reading it) and its account.

Every decision about a record is one of its bytes, headers, timestamp and partition alone; what the log
still holds, and from where on it is settled, is handed in.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from kpistream.judge.compare import Spot
from kpistream.judge.contract import OWN_TIME, Event, scope
from kpistream.judge.recompute import Raw, check_pane
from kpistream.judge.routing import home
from kpistream.judge.stored import Span

OLDEST_LEAD_MS: Final = 300_000
"""How long before it happened a record of an event may have been appended: the contract's leeway."""
HOP: Final = "kpi-hop"
FIRST_TIMESTAMP: Final = "kpi-first-timestamp"


@dataclass(frozen=True, slots=True)
class Ground:
    """What the log looks like and what is asked."""

    topic: str
    partitions: int
    pane_ms: int
    earliest: Mapping[int, int]
    """First offset that each partition still holds."""
    settled: Mapping[int, int]
    """Everything that follows from records before these offsets is where it belongs."""
    span: Span = Span()
    live: bool = False
    """Also the changelog and the readings."""
    now_ms: int = 0
    """When the log's end was fixed: decides which windows still run."""


@dataclass(slots=True)
class Account:
    """How much was checked, and by which way."""

    records: int = 0
    events: int = 0
    """Records of events that the contract accepts, repetitions included."""
    retractions: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    identities: int = 0
    facts: int = 0
    """Facts of the span that were compared."""
    rows: int = 0
    cells_by_log: int = 0
    cells_by_facts: int = 0
    cells_moving: int = 0
    """Places that changed while the audit ran: not judged."""
    panes_joined: int = 0
    """Live places that were compared with the changelog."""
    changelog_records: int = 0
    readings: int = 0
    readings_unchecked: int = 0


def counting_ms(record: Raw) -> int:
    """Return the timestamp by which the record is decided: the first one, which a record sent again carries."""
    for name, value in record.headers:
        if name == FIRST_TIMESTAMP and value and value.isdigit():
            return min(int(value[:15]), record.timestamp_ms)
    return record.timestamp_ms


def astray(record: Raw, key: str, partitions: int) -> bool:
    """Say whether a record that was sent on once is on a wrong partition again: nobody counts it."""
    return any(name == HOP for name, _ in record.headers) and home(key, partitions) != record.partition


def spot_of(event: Event, pane_ms: int) -> Spot:
    """Return where an event counts, or which place a retraction leaves. Raises EventRejected for no pane's start."""
    check_pane(event, pane_ms)
    if event["type"] == "retracted":
        return f"{event['tenant']}/{event['scope']}", event["start_ms"]
    return _spot(event["tenant"], scope(event), event[OWN_TIME[event["type"]]], pane_ms)


def left_by(event: Event, pane_ms: int) -> Spot | None:
    """Return the place that an event says it has left."""
    old = event["moved_from"]
    return None if old is None else _spot(event["tenant"], scope(old), old["occurred_at"], pane_ms)


def _spot(tenant: str, scope_: str | None, at_ms: int, pane_ms: int) -> Spot:
    return f"{tenant}/{scope_}", at_ms // pane_ms * pane_ms
