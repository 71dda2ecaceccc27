"""Dead letters: reading them back, finding the whole record behind one that was cut, and receipts of replays.

A letter is known by its source: a worker that read a record twice wrote its letter twice, and only the first
counts. A receipt is a record of the same topic that names letters whose events were replayed; it is written
when these are durable, and being younger it outlives them.
"""

import json
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from kpistream.log import header_names as _header_names  # noqa: F401 installs itself
from kpistream.log.records import (
    CUT_HEADERS,
    CUT_KEY,
    CUT_VALUE,
    FIRST_TIMESTAMP,
    HOP,
    NULL_VALUE,
    ORIGINAL,
    Headers,
    LogRecord,
    Outgoing,
    kept_headers,
)

RECEIPT: Final = "kpi-receipt"
REPLAYED: Final = "kpi-replayed"
"""On a replayed event: the offset of its dead letter."""
_CUTS: Final = frozenset((CUT_VALUE, CUT_KEY, CUT_HEADERS))


class Source(NamedTuple):
    """Where a refused record is in the log."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter: the refused record, and why."""

    offset: int
    """Of the letter itself."""
    reason: str
    detail: str
    hint: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    """Those of the refused record."""
    first_ms: int
    """When the refused record was first appended; of a file's row: when its letter was."""
    source: Source | None = None
    """None for a row of a file."""
    file: str = ""
    """`name:line` of a file's row."""
    cut: bool = False
    """Holds less than the record."""

    @property
    def replay_of(self) -> int | None:
        """Offset of the letter whose replay was refused again; None when the record was no replay."""
        for name, value in self.headers:
            if name == REPLAYED and value and value.isdigit():
                return int(value)
        return None


def letter_of(record: LogRecord) -> Letter:
    """The letter in a record of the dead-letter topic; one that is none has the reason `unreadable`."""
    about: dict[str, str] = {}
    originals: list[tuple[str, bytes | None]] = []
    for name, value in record.headers:
        if name.startswith(ORIGINAL):
            originals.append((name[len(ORIGINAL) :], value))
        else:
            about.setdefault(name, (value or b"").decode("utf-8", "replace"))
    where = [about.get(f"kpi-{each}", "") for each in ("topic", "partition", "offset")]
    source = Source(where[0], int(where[1]), int(where[2])) if where[1].isdigit() and where[2].isdigit() else None
    first = about.get("kpi-timestamp", "")
    return Letter(
        record.offset,
        about.get("kpi-reason", "unreadable"),
        about.get("kpi-detail", ""),
        about.get("kpi-hint", ""),
        record.key,
        None if NULL_VALUE in about else record.value,
        tuple(originals),
        int(first) if first.isdigit() else record.timestamp,
        source,
        f"{about['kpi-file']}:{about.get('kpi-line', '')}" if "kpi-file" in about else "",
        bool(_CUTS & about.keys()),
    )


def receipt(offsets: Iterable[int], events: int) -> Outgoing:
    """The record that says which letters were replayed."""
    ranges: list[list[int]] = []
    for offset in sorted(offsets):
        if ranges and ranges[-1][1] == offset - 1:
            ranges[-1][1] = offset
        else:
            ranges.append([offset, offset])
    return Outgoing(None, json.dumps({"letters": ranges, "events": events}).encode(), ((RECEIPT, b"replay"),))


def replayed(letter: Letter, key: str, value: bytes | None, *, mapped: bool) -> Outgoing:
    """The event of a letter as it goes to the events topic again: judged as it was, at its first timestamp.

    `mapped`: the value is not the original one; then headers of a CloudEvent say nothing about it.
    """
    ours = (FIRST_TIMESTAMP, HOP, REPLAYED)
    kept = [(name, held) for name, held in letter.headers if name not in ours]
    if mapped:
        kept = [(name, held) for name, held in kept if not name.startswith("ce_")]
    about = [(FIRST_TIMESTAMP, str(letter.first_ms).encode()), (REPLAYED, str(letter.offset).encode())]
    return Outgoing(key.encode("utf-8", "surrogatepass"), value, [*kept_headers(kept), *about])


class DeadLetters:
    """An async context manager over the dead-letter topic, as it is when it is entered; without a group."""

    def __init__(self, connection: Mapping[str, Any], topic: str) -> None:
        self._connection = dict(connection)
        self._topic = topic
        self._consumer: AIOKafkaConsumer | None = None
        self._sources: AIOKafkaConsumer | None = None
        self.replayed: set[int] = set()
        """Offsets of letters that receipts name."""

    async def __aenter__(self) -> "DeadLetters":
        self._consumer = await self._started()
        async for record in self._records():
            if _is_receipt(record):
                self.replayed.update(_named(record))
        return self

    async def __aexit__(self, *_: object) -> None:
        for consumer in (self._consumer, self._sources):
            if consumer is not None:
                await consumer.stop()

    async def letters(self) -> AsyncIterator[Letter]:
        """Every letter in order, each source and reason once."""
        seen: set[tuple[Source, str]] = set()
        async for record in self._records():
            if _is_receipt(record):
                continue
            letter = letter_of(record)
            if letter.source is not None:
                known = (letter.source, letter.reason)
                if known in seen:
                    continue
                seen.add(known)
            yield letter

    async def whole(self, letter: Letter) -> Letter | None:
        """The letter with all of its record; None when the log does not hold that any more."""
        if not letter.cut:
            return letter
        if letter.source is None:
            return None
        if self._sources is None:
            self._sources = await self._started()
        tp = TopicPartition(letter.source.topic, letter.source.partition)
        self._sources.assign([tp])
        oldest = (await self._sources.beginning_offsets([tp]))[tp]
        end = (await self._sources.end_offsets([tp]))[tp]
        if not oldest <= letter.source.offset < end:
            return None
        self._sources.seek(tp, letter.source.offset)
        record = await self._sources.getone(tp)
        if record.offset != letter.source.offset:
            return None
        return replace(letter, key=record.key, value=record.value, headers=tuple(record.headers), cut=False)

    async def _started(self) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(**self._connection, enable_auto_commit=False, auto_offset_reset="earliest")
        await consumer.start()
        return consumer

    async def _records(self) -> AsyncIterator[LogRecord]:
        """All records, to the end as it is when this begins."""
        assert self._consumer is not None
        tp = TopicPartition(self._topic, 0)
        self._consumer.assign([tp])
        end = (await self._consumer.end_offsets([tp]))[tp]
        await self._consumer.seek_to_beginning(tp)
        while await self._consumer.position(tp) < end:
            for record in (await self._consumer.getmany(tp, timeout_ms=1000, max_records=500)).get(tp, ()):
                if record.offset < end:
                    yield record


def _is_receipt(record: LogRecord) -> bool:
    return any(name == RECEIPT for name, _ in record.headers)


def _named(record: LogRecord) -> Iterable[int]:
    try:
        ranges = json.loads(record.value or b"")["letters"]
        return [offset for first, last in ranges for offset in range(int(first), int(last) + 1)]
    except (ValueError, TypeError, KeyError):
        return ()
