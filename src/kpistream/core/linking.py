"""Linking: which call an event is, or names, as one integer that its entry keeps.

A function of the event alone. A connected call of an agent is its own name: its `call_id`, else its event id. A won
deal of an agent names a call, or none. Everything else has no link. Names are compared within one agent only, so that
ids of two telephone systems hardly meet.
"""

from typing import Final
from zlib import crc32

from kpistream.core.fields import CallFields, DealFields, Fields
from kpistream.core.measures import CONNECTED, DEALS_WON, Contribution

NO_LINK: Final = 0
UNNAMED: Final = -1
"""A won deal that names no call."""
UNREADABLE: Final = -(1 << 63)
"""A connected call or a won deal that an earlier release has written: nobody knows which call it is, or names."""


def link_of(fields: Fields) -> int:
    """The call that an event is (above 0) or names (below 0), `UNNAMED` or `NO_LINK`."""
    if isinstance(fields, CallFields):
        if fields.outcome != "connected" or fields.agent_id is None:
            return NO_LINK
        return named(fields.call_id or fields.event_id)
    if isinstance(fields, DealFields) and fields.outcome == "won" and fields.agent_id is not None:
        return UNNAMED if fields.call_id is None else -named(fields.call_id)
    return NO_LINK


def named(name: str) -> int:
    """A call's name as 62 bits, and 2^62. Checksums forwards and backwards: a quarter of the cost of a hash."""
    text = name.encode("utf-8", "surrogatepass")
    return 1 << 62 | crc32(text) << 30 ^ crc32(text[::-1]) >> 2


def read_link(contribution: Contribution) -> int:
    """The link of an agent's entry without one: `UNREADABLE` of what an earlier release has written, else none."""
    numbers = contribution[::2]
    return UNREADABLE if CONNECTED in numbers or DEALS_WON in numbers else NO_LINK
