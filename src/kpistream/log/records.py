"""Records: headers that kpistream writes, and dead letters.

A record that is forwarded or replayed carries the timestamp under which it was first appended, so that
"in the future" is decided as it was decided then. A dead letter keeps the original bytes, key and headers.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

from kpistream.errors import EventRejected, Reason

FIRST_TIMESTAMP: Final = "kpi-first-timestamp"
HOP: Final = "kpi-hop"
SOURCES: Final = "kpi-sources"
"""Of a record of the team panes: where the events of the pane come from, by spaces; source names hold none."""
CONFLICT_REASON: Final = ("kpi-reason", str(Reason.CONFLICT).encode())
"""Header of a dead letter that says: two contents came with one revision."""
ORIGINAL: Final = "kpi-original-"
"""Before the name of a header that the refused record had."""
NULL_VALUE: Final = "kpi-null-value"
"""The refused record had no value; the letter's is empty."""
CUT_VALUE: Final = "kpi-cut-from-bytes"
CUT_KEY: Final = "kpi-cut-key-from-bytes"
CUT_HEADERS: Final = "kpi-cut-headers"
"""Marks of what a letter holds less than its record: bytes of the value and of the key, number of headers."""
_DETAIL_LIMIT: Final = 1000
_LETTER_LIMIT: Final = 15 << 20
"""Of a larger record the letter holds less, and says so; its coordinates lead to the whole."""
_HEADER_BYTES: Final = 32
"""What a header takes beside name and value, and the prefix of an original one."""
_FORWARDED_HEADERS_LIMIT: Final = 16_384
_COUNTED_HEADERS: Final = frozenset(("ce_specversion", "ce_type", "ce_id", "ce_source", "ce_tenant"))
_COUNTED_LIMIT: Final = 1024
"""No longer header fills a field: 256 characters are its limit."""

Headers = Sequence[tuple[str, bytes | None]]


class FetchedRecord(Protocol):
    """What is used of a record whose topic and partition the reader knows."""

    @property
    def offset(self) -> int:
        """Its place in its partition."""

    @property
    def timestamp(self) -> int:
        """Epoch ms."""

    @property
    def key(self) -> bytes | None:
        """Kafka key."""

    @property
    def value(self) -> bytes | None:
        """None is a tombstone."""

    @property
    def headers(self) -> Headers:
        """Names and values."""


class LogRecord(FetchedRecord, Protocol):
    """What is used of a consumed record."""

    @property
    def topic(self) -> str:
        """Where it was read."""

    @property
    def partition(self) -> int:
        """Where it was read."""


class Located(NamedTuple):
    """A fetched record with its topic and partition."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


def located(topic: str, partition: int, record: FetchedRecord) -> Located:
    """The record with where it was read."""
    return Located(topic, partition, record.offset, record.timestamp, record.key, record.value, record.headers)


class Outgoing(NamedTuple):
    """A record to publish. `value` None is a tombstone."""

    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp_ms: int | None = None


def first_timestamp_ms(record: FetchedRecord) -> int:
    """When the record was first appended, epoch ms: never later than its own timestamp."""
    for name, value in record.headers:
        if name == FIRST_TIMESTAMP and value and value.isdigit():
            return min(int(value[:15]), record.timestamp)
    return record.timestamp


def sources_of(headers: Headers) -> tuple[str, ...]:
    """The sources that a record of the team panes names; none for one that an earlier version wrote."""
    for name, value in headers:
        if name == SOURCES and value:
            return _names(value)
    return ()


@lru_cache(maxsize=4096)
def _names(value: bytes) -> tuple[str, ...]:
    """Nearly all panes of an installation name one of few sets of sources."""
    return tuple(value.decode("utf-8", "replace").split(" "))


def kept_headers(headers: Headers) -> Headers:
    """The headers that go along with an event that is sent again; of large ones only those that say what it is."""
    if _size(headers) <= _FORWARDED_HEADERS_LIMIT:
        return headers
    return [
        (name, value) for name, value in headers if name in _COUNTED_HEADERS and len(value or b"") <= _COUNTED_LIMIT
    ]


def hops(record: FetchedRecord) -> int:
    """How often the record was forwarded because it was on the wrong partition."""
    return sum(name == HOP for name, _ in record.headers)


def forwarded(record: FetchedRecord, key: str) -> Outgoing:
    """The record as it is sent on to the partition of `key` (`tenant/scope`).

    An accepted value has at most 1,000,000 bytes; with the headers that count it fits wherever it came from. Other
    headers go along unless they are large.
    """
    kept = kept_headers([(name, value) for name, value in record.headers if name != FIRST_TIMESTAMP])
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
    headers: list[tuple[str, bytes | None]] = [
        (name, text.encode("utf-8", "replace")) for name, text in about.items() if text
    ]
    if record.value is None:
        headers.append((NULL_VALUE, b"1"))
    originals = [(ORIGINAL + name, value) for name, value in record.headers]
    key, value = record.key, record.value or b""
    if len(key or b"") + _size(originals) + len(value) <= _LETTER_LIMIT:
        return Outgoing(key, value, headers + originals)
    return _cut(key, value, headers, originals)


def _cut(
    key: bytes | None,
    value: bytes,
    headers: list[tuple[str, bytes | None]],
    originals: list[tuple[str, bytes | None]],
) -> Outgoing:
    """A letter of less than the record: as much as fits of its key, its headers and its value, in this order."""
    room = _LETTER_LIMIT
    if key is not None and len(key) > room // 2:
        headers.append((CUT_KEY, str(len(key)).encode()))
        key = key[: room // 2]
    room -= len(key or b"")
    if _size(originals) > room:
        headers.append((CUT_HEADERS, str(len(originals)).encode()))
        originals = []
    room -= _size(originals)
    if len(value) > room:
        headers.append((CUT_VALUE, str(len(value)).encode()))
        value = value[:room]
    return Outgoing(key, value, headers + originals)


def _size(headers: Headers) -> int:
    return sum(_HEADER_BYTES + 4 * len(name) + len(value or b"") for name, value in headers)
