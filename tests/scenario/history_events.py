"""Events for tests of history: JSON as a producer writes it, read as the worker and the sink read it."""

import json
from datetime import UTC, datetime
from typing import Any, NamedTuple

from kpistream.core.changelog import encode_pane
from kpistream.core.panes import Pane
from kpistream.core.placing import Accepted
from kpistream.history.writer import Fact
from kpistream.log.reading import EventReader
from kpistream.log.topics import partition_of

PANE_MS = 300_000
NOON = 1_741_003_200_000
"""2025-03-03 12:00:00 UTC, a Monday."""
LATER = NOON + 330 * 86_400_000


class Record(NamedTuple):
    """A consumed record."""

    value: bytes | None
    topic: str = "kpi.events"
    partition: int = 0
    offset: int = 0
    timestamp: int = LATER
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


def at(at_ms: int) -> str:
    """RFC 3339."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")


def call(event_id: str, agent: str | None = "ann", ended_ms: int = NOON + 60_000, **fields: Any) -> dict[str, Any]:
    """A connected outbound call of one minute with 40 s of talk."""
    event = {
        "type": "call.ended",
        "tenant": "acme",
        "source": "pbx",
        "event_id": event_id,
        "agent_id": agent,
        "direction": "outbound",
        "started_at": at(ended_ms - 60_000),
        "answered_at": at(ended_ms - 50_000),
        "ended_at": at(ended_ms),
        "talk_ms": 40_000,
        "outcome": "connected",
    }
    return event | fields


def abandoned(event_id: str, queue: str = "sales", ended_ms: int = NOON + 60_000) -> dict[str, Any]:
    """An inbound call that nobody answered."""
    return {
        "type": "call.ended",
        "tenant": "acme",
        "source": "pbx",
        "event_id": event_id,
        "queue": queue,
        "direction": "inbound",
        "started_at": at(ended_ms - 30_000),
        "ended_at": at(ended_ms),
        "queue_wait_ms": 30_000,
        "outcome": "abandoned",
    }


def deal(event_id: str, agent: str = "ann", closed_ms: int = NOON + 90_000, **fields: Any) -> dict[str, Any]:
    """A deal won for 1,500.00 EUR from a repeat customer."""
    event = {
        "type": "deal.closed",
        "tenant": "acme",
        "source": "crm",
        "event_id": event_id,
        "agent_id": agent,
        "outcome": "won",
        "amount_minor": 150_000,
        "currency": "EUR",
        "customer_type": "repeat",
        "closed_at": at(closed_ms),
    }
    return event | fields


def survey(event_id: str, agent: str = "ann", completed_ms: int = NOON + 100_000, **fields: Any) -> dict[str, Any]:
    """A CSAT answer: 4 of 1 to 5."""
    event = {
        "type": "survey.completed",
        "tenant": "acme",
        "source": "forms",
        "event_id": event_id,
        "agent_id": agent,
        "kind": "csat",
        "score": 4,
        "scale_min": 1,
        "scale_max": 5,
        "completed_at": at(completed_ms),
    }
    return event | fields


def retraction(of: Accepted, scope: str, start_ms: int) -> dict[str, Any]:
    """What the worker writes when an event has left a place."""
    tenant, source, kind, event_id = of.identity.split("/", 3)
    epoch, revision, digest = of.rank >> 80, (of.rank >> 32) & ((1 << 48) - 1), of.rank & 0xFFFFFFFF
    return {
        "type": "retracted",
        "tenant": tenant,
        "source": source,
        "kind": kind,
        "event_id": event_id,
        "epoch": epoch,
        "revision": revision,
        "digest": digest,
        "scope": scope,
        "start_ms": start_ms,
    }


def accepted(event: dict[str, Any]) -> Accepted:
    """The event as worker and sink place it."""
    return EventReader(PANE_MS, 1).read(Record(json.dumps(event).encode()))


def facts(*events: dict[str, Any]) -> list[Fact]:
    """Facts of these events, in this order in the log."""
    return [Fact(accepted(event), "kpi.events", 0, offset, LATER) for offset, event in enumerate(events)]


def panes(*events: dict[str, Any]) -> dict[tuple[str, int], Pane]:
    """The panes that these events make, joined as the worker joins them."""
    out: dict[tuple[str, int], Pane] = {}
    for event in map(accepted, events):
        pane = out.setdefault((event.key, event.start_ms), Pane(event.key, event.start_ms))
        pane.join(event.identity, event.rank, event.contribution, event.retracts)
    return out


def changelog(pane: Pane, writer: str = "w1") -> tuple[bytes, bytes]:
    """The pane's record on the pane topic."""
    return encode_pane(pane, PANE_MS, writer, 1)[0]


def partition_for(event: dict[str, Any], partitions: int) -> int:
    """Where the event's record belongs."""
    return partition_of(accepted(event).key.encode(), partitions)
