"""What the hand-written loops and idiomatic Faust share: a call parsed and checked, and the sums of a pane.

Written as one writes it without kpistream: a struct, a set of ids, a few additions. It knows one type of event, no
revisions, no corrections, no moves; of the contract it checks types, closed lists and the order of times.
"""

from bisect import bisect_right
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec

from kpistream.core.measures import TALK_EDGES_MS, WAIT_EDGES_MS

PANE_S: Final = 300
_Span = Annotated[int, msgspec.Meta(ge=0, le=86_400_000)]


class Call(msgspec.Struct, tag_field="type", tag="call.ended", gc=False):
    """All fields of a call."""

    tenant: str
    source: str
    event_id: str
    direction: Literal["inbound", "outbound"]
    started_at: datetime
    ended_at: datetime
    outcome: Literal["connected", "no-answer", "busy", "failed", "abandoned", "voicemail", "cancelled", "rejected"]
    agent_id: str
    revision: int = 0
    queue: str | None = None
    campaign: str | None = None
    customer_id: str | None = None
    call_id: str | None = None
    answered_at: datetime | None = None
    queue_wait_ms: _Span | None = None
    ring_ms: _Span | None = None
    talk_ms: _Span | None = None
    hold_ms: _Span | None = None
    wrap_up_ms: _Span | None = None
    answered_by: Literal["human", "machine", "unknown"] | None = None
    disposition: str | None = None


_decode: Final = msgspec.json.Decoder(Call).decode


def parse(value: bytes) -> Call | None:
    """The call in a record, None when it is not one."""
    try:
        call = _decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    answered = call.answered_at
    if call.started_at > call.ended_at or (answered is not None and not call.started_at <= answered <= call.ended_at):
        return None
    return None if call.outcome == "connected" and answered is None else call


def pane_start_s(call: Call) -> int:
    """Start of the call's pane, epoch seconds."""
    ended_s = int(call.ended_at.timestamp())
    return ended_s - ended_s % PANE_S


class Pane:
    """Sums of one agent's pane, and the ids that are in them."""

    __slots__ = ("ids", "sums")

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.sums: dict[str, int] = {}

    def add(self, call: Call) -> None:
        """Count a call that is not in the pane yet: the sums that kpistream keeps of a call."""
        self.ids.add(call.event_id)
        sums = self.sums
        for name, value in measures(call):
            if value:
                sums[name] = sums.get(name, 0) + value

    def to_fields(self) -> tuple[dict[str, int], list[str]]:
        """What the changelog holds."""
        return self.sums, list(self.ids)


def measures(call: Call) -> list[tuple[str, Any]]:
    """What a call adds, by name."""
    outbound = call.direction == "outbound"
    out = [
        ("calls", 1),
        ("first_legs", 1),
        ("outbound_calls" if outbound else "inbound_calls", 1),
        ("ring_ms", call.ring_ms),
        ("queue_wait_ms", call.queue_wait_ms),
    ]
    if call.outcome == "voicemail":
        out.append(("voicemails", 1))
    elif call.outcome == "connected":
        talk, hold = call.talk_ms or 0, call.hold_ms or 0
        out += (
            ("connected", 1),
            ("outbound_connected" if outbound else "inbound_connected", 1),
            ("talk_ms", talk),
            ("talk_sq_ms2", talk * talk),
            (TALK_BINS[bisect_right(TALK_EDGES_MS, talk) - 1], 1),
            ("hold_ms", hold),
        )
        if call.wrap_up_ms is not None:
            out += (
                ("wrap_up_known", 1),
                ("wrap_up_ms", call.wrap_up_ms),
                ("handle_ms", talk + hold + call.wrap_up_ms),
            )
        if not outbound and call.queue_wait_ms is not None:
            out += (
                ("answered_wait_known", 1),
                (WAIT_BINS[bisect_right(WAIT_EDGES_MS, call.queue_wait_ms) - 1], 1),
            )
    return out


TALK_BINS: Final = [f"talk_bin/{edge}" for edge in TALK_EDGES_MS]
WAIT_BINS: Final = [f"answered_wait_bin/{edge}" for edge in WAIT_EDGES_MS]
