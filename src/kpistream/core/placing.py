"""Placing: where an accepted event counts, under which identity and rank, and what it adds.

A pure function of the event's content, the pane size and the epoch. Two records with the same content
get the same identity, place, rank and contribution, on every machine and at every replay.
"""

from typing import Final, NamedTuple
from zlib import crc32

import msgspec

from kpistream.core.contributions import EPOCH, contribute
from kpistream.core.decoding import CallFields, DealFields, Fields, RetractedFields, SurveyFields, canonical
from kpistream.core.measures import Contribution
from kpistream.errors import EventRejected, Reason

REVISION_BITS: Final = 48
EPOCH_SHIFT: Final = 80
REVISION_SHIFT: Final = 32
MAX_REVISION: Final = (1 << REVISION_BITS) - 1
_DIGEST_MASK: Final = (1 << REVISION_SHIFT) - 1


class Place(NamedTuple):
    """Where events count: `key` is `tenant/scope` (the Kafka key of its events), `start_ms` the pane start."""

    key: str
    start_ms: int

    @property
    def tenant(self) -> str:
        """The tenant; it holds no slash."""
        return self.key.partition("/")[0]

    @property
    def scope(self) -> str:
        """`agent:ID`, `queue:NAME` or `campaign:NAME`."""
        return self.key.partition("/")[2]


class Accepted(msgspec.Struct, frozen=True, gc=False):
    """An event that the contract accepts, with everything that the law needs to know about it."""

    identity: str
    """`tenant/source/kind/event_id`; tenant, source and kind hold no slash."""
    key: str
    """`tenant/scope`: the agent (queue, campaign) it counts for, and the Kafka key of its record."""
    start_ms: int
    """Start of its pane, epoch ms."""
    rank: int
    """epoch << 80 | revision << 32 | digest."""
    contribution: Contribution
    retracts: bool
    """True for a retraction: it leaves a tombstone at its place."""
    moved_from: Place | None
    """The place that the event says it held before, never its own place."""
    occurred_at_ms: int
    fields: Fields


def rank_of(epoch: int, revision: int, digest: int) -> int:
    """Rank as one integer; a greater one replaces a smaller one of the same identity."""
    return epoch << EPOCH_SHIFT | revision << REVISION_SHIFT | digest


def rank_parts(rank: int) -> tuple[int, int, int]:
    """Epoch, revision and digest of a rank."""
    return rank >> EPOCH_SHIFT, (rank >> REVISION_SHIFT) & MAX_REVISION, rank & _DIGEST_MASK


def scope_of(agent_id: str | None, queue: str | None, campaign: str | None) -> str:
    """The scope that an event with these fields counts for; the contract has made sure that there is one."""
    if agent_id is not None:
        return "agent:" + agent_id
    if queue is not None:
        return "queue:" + queue
    assert campaign is not None
    return "campaign:" + campaign


def place(fields: Fields, pane_ms: int, epoch: int = EPOCH) -> Accepted:
    """Place an accepted event into panes of `pane_ms`. Raises EventRejected for a retraction of no pane."""
    if isinstance(fields, CallFields):
        kind, at = "call", fields.ended_at
    elif isinstance(fields, DealFields):
        kind, at = "deal", fields.closed_at
    elif isinstance(fields, SurveyFields):
        kind, at = "survey", fields.completed_at
    else:
        return _retraction(fields, pane_ms)
    agent_id = fields.agent_id
    if agent_id is not None:
        key = f"{fields.tenant}/agent:{agent_id}"
    else:
        key = f"{fields.tenant}/{scope_of(None, fields.queue, fields.campaign)}"
    start_ms = at - at % pane_ms
    return Accepted(
        f"{fields.tenant}/{fields.source}/{kind}/{fields.event_id}",
        key,
        start_ms,
        epoch << EPOCH_SHIFT | fields.revision << REVISION_SHIFT | crc32(canonical(fields)),
        contribute(fields),
        False,
        None if fields.moved_from is None else _moved_from(fields, key, start_ms, pane_ms),
        at,
        fields,
    )


def _moved_from(fields: CallFields | DealFields | SurveyFields, key: str, start_ms: int, pane_ms: int) -> Place | None:
    old = fields.moved_from
    assert old is not None
    left = Place(
        f"{fields.tenant}/{scope_of(old.agent_id, old.queue, old.campaign)}",
        old.occurred_at - old.occurred_at % pane_ms,
    )
    return None if left == (key, start_ms) else left


def _retraction(fields: RetractedFields, pane_ms: int) -> Accepted:
    if fields.start_ms % pane_ms:
        detail = f"start_ms: {fields.start_ms} is no start of a pane of {pane_ms} ms"
        raise EventRejected(Reason.INVALID_FIELD, detail)
    return Accepted(
        f"{fields.tenant}/{fields.source}/{fields.kind}/{fields.event_id}",
        f"{fields.tenant}/{fields.scope}",
        fields.start_ms,
        rank_of(fields.epoch, fields.revision, fields.digest),
        (),
        True,
        None,
        fields.start_ms,
        fields,
    )
