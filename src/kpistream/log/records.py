"""Records: headers that kpistream writes, and dead letters.

A record that is forwarded or replayed carries the timestamp under which it was first appended, so that
"in the future" is decided as it was decided then. A dead letter keeps the original bytes, key and headers.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from kpistream.errors import EventRejected, Reason

FIRST_TIMESTAMP: Final = "kpi-first-timestamp"
HOP: Final = "kpi-hop"
CONFLICT_REASON: Final = ("kpi-reason", str(Reason.CONFLICT).encode())
"""Header of a dead letter that says: two contents came with one revision."""
_ORIGINAL: Final = "kpi-original-"
_DETAIL_LIMIT: Final = 1000
_LETTER_LIMIT: Final = 15 << 20
"""A larger value is cut, and says so; its coordinates lead to the whole."""

Headers = Sequence[tuple[str, bytes]]


class LogRecord(Protocol):
    """What is used of a consumed record."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Outgoing(NamedTuple):
    """A record to publish. `value` None is a tombstone."""

    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp_ms: int | None = None


def first_timestamp_ms(record: LogRecord) -> int:
    """When the record was first appended, epoch ms: never later than its own timestamp."""
    for name, value in record.headers:
        if name == FIRST_TIMESTAMP and value and value.isdigit():
            return min(int(value[:15]), record.timestamp)
    return record.timestamp


def hops(record: LogRecord) -> int:
    """How often the record was forwarded because it was on the wrong partition."""
    return sum(name == HOP for name, _ in record.headers)


def forwarded(record: LogRecord, key: str) -> Outgoing:
    """The record as it is sent on to the partition of `key` (`tenant/scope`)."""
    kept = [(name, value) for name, value in record.headers if name != FIRST_TIMESTAMP]
    first = (FIRST_TIMESTAMP, str(first_timestamp_ms(record)).encode())
    return Outgoing(key.encode("utf-8", "surrogatepass"), record.value, [*kept, first, (HOP, b"1")], record.timestamp)


def dead_letter(record: LogRecord, rejected: EventRejected) -> Outgoing:
    """The record as a dead letter: original key, bytes and headers, and why it was refused."""
    about = {
        "kpi-reason": str(rejected.reason),
        "kpi-detail": rejected.detail[:_DETAIL_LIMIT],
        "kpi-hint": rejected.hint[:_DETAIL_LIMIT],
        "kpi-topic": record.topic,
        "kpi-partition": str(record.partition),
        "kpi-offset": str(record.offset),
        "kpi-timestamp": str(first_timestamp_ms(record)),
    }
    headers = [(name, text.encode("utf-8", "replace")) for name, text in about.items() if text]
    headers += [(_ORIGINAL + name, value) for name, value in record.headers]
    value = record.value or b""
    if record.value is None:
        headers.append(("kpi-null-value", b"1"))
    if len(value) > _LETTER_LIMIT:
        headers.append(("kpi-cut-from-bytes", str(len(value)).encode()))
        value = value[:_LETTER_LIMIT]
    return Outgoing(record.key, value, headers)
