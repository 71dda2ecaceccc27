"""Decode: the records of one batch become joins, forwards and dead letters of their shard.

Everything here is synchronous: between reading a record and its join nothing else runs. What became of
each record is counted; nothing is logged per record.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from kpistream.core.partition import Outcome
from kpistream.core.placing import Accepted, rank_parts
from kpistream.core.shadow import NOT_YET, Shadow, first_whole_ms
from kpistream.errors import EventRejected, Reason
from kpistream.log.reading import EventReader
from kpistream.log.records import FetchedRecord, dead_letter, forwarded, hops, located
from kpistream.stream.state import Shard

ADDED: Final = Outcome.ADDED
CONFLICT: Final = Outcome.CONFLICT
CLOSED: Final = Outcome.CLOSED
SLICE_RECORDS: Final = 1000
SLICE_BYTES: Final = 1 << 20
"""What is joined in one go, in which nothing else runs: 10 ms as a rule, 0.2 s for the worst bytes that we know."""
_CLOSED_HINT: Final = "switch history on, or send events sooner than the horizon"


@dataclass(slots=True)
class Intake:
    """What became of the records of one batch."""

    records: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    rejected: Counter[Reason] = field(default_factory=Counter)
    forwarded: int = 0
    late: int = 0
    longest_run: int = 0
    """Most refused records in a row, those right before the batch included."""
    run: int = 0
    """Refused records in a row at the end of the batch."""


def slices(records: list[FetchedRecord]) -> Iterator[list[FetchedRecord]]:
    """The records in their order, cut by number and, since a fetch is decompressed, by bytes."""
    first = held = 0
    for last, record in enumerate(records):
        held += len(record.value or b"")
        if last - first >= SLICE_RECORDS or (held > SLICE_BYTES and last > first):
            yield records[first:last]
            first, held = last, len(record.value or b"")
    if records:
        yield records[first:]


class Decoder:
    """Hands the records of a batch to a shard."""

    def __init__(self, reader: EventReader, pane_ms: int, topic: str) -> None:
        self._reader = reader
        self._topic = topic
        self._pane_ms = pane_ms

    def take(self, shard: Shard, records: list[FetchedRecord], run: int = 0) -> Intake:
        """Join, forward or refuse each record; then move the shard's position behind the last one.

        `run`: refused records in a row before these.
        """
        intake, pane_ms = Intake(run=run), self._pane_ms
        partition, number = shard.partition, shard.partition.number
        read, home, outcomes = self._reader.read, self._reader.home, intake.outcomes
        newest_ms, added = 0, 0
        if records[0].offset < partition.at.next_offset:
            records = [record for record in records if record.offset >= partition.at.next_offset]
        intake.records = len(records)
        shadow = self._shadow(shard, records) if shard.counting.numbers else None
        accept = partition.accept if shadow is None else shadow.joining(partition.accept)
        for record in records:
            offset, timestamp_ms = record.offset, record.timestamp
            if timestamp_ms > newest_ms:
                newest_ms = timestamp_ms
            try:
                event = read(record)
                if home(event.key) != number:
                    self._misplaced(shard, record, event.key, intake)
                    continue
                outcome = accept(event, offset)
                intake.run = 0
            except EventRejected as rejected:
                self._refuse(shard, record, rejected, intake)
                continue
            if timestamp_ms - event.occurred_at_ms > pane_ms:
                intake.late += 1
            if outcome is ADDED:
                added += 1
            else:
                outcomes[outcome] += 1
                if outcome is CONFLICT or outcome is CLOSED:
                    self._special(shard, record, event, outcome)
        if added:
            outcomes[ADDED] = added
        if records:
            partition.advance(records[-1].offset + 1, newest_ms)
            if shadow is not None:
                shadow.passed(len(records), partition.frontier_ms)
        shard.unflushed += intake.records
        return intake

    def _shadow(self, shard: Shard, records: list[FetchedRecord]) -> Shadow | None:
        """The shadow, from these records on; whole from the panes on that no earlier record can be of."""
        if not records:
            return None
        shadow = shard.shadow_from(records[0].offset)
        if shadow is not None and shadow.whole_from_ms == NOT_YET:
            shadow.whole_from_ms = first_whole_ms(records[0].timestamp, self._pane_ms)
        return shadow

    def _misplaced(self, shard: Shard, record: FetchedRecord, key: str, intake: Intake) -> None:
        if hops(record):
            detail = f"record is on partition {shard.partition.number} again after it was forwarded"
            self._refuse(shard, record, EventRejected(Reason.MISROUTED, detail), intake)
        else:
            shard.forward(forwarded(record, key))
            intake.forwarded += 1

    def _refuse(self, shard: Shard, record: FetchedRecord, rejected: EventRejected, intake: Intake) -> None:
        self._dead_letter(shard, record, rejected)
        intake.rejected[rejected.reason] += 1
        intake.run += 1
        intake.longest_run = max(intake.longest_run, intake.run)

    def _dead_letter(self, shard: Shard, record: FetchedRecord, rejected: EventRejected) -> None:
        shard.refuse(dead_letter(located(self._topic, shard.partition.number, record), rejected))

    def _special(self, shard: Shard, record: FetchedRecord, event: Accepted, outcome: Outcome) -> None:
        """Outcomes that also leave a dead letter."""
        if outcome is Outcome.CONFLICT:
            self._dead_letter(shard, record, _conflict(shard, event))
        elif not shard.partition.settings.history and not event.retracts:
            detail = f"pane {event.start_ms} ms of {event.key!r} is closed and there is no history"
            self._dead_letter(shard, record, EventRejected(Reason.CLOSED, detail, _CLOSED_HINT))


def _conflict(shard: Shard, event: Accepted) -> EventRejected:
    """Both values of a conflict: what this record says, and what stood or stands beside it."""
    _, revision, digest = rank_parts(event.rank)
    others = [
        f"digest {rank_parts(rank)[2]} at {place.key}/{place.start_ms} adds {contribution}"
        for place, rank, contribution in shard.partition.standing(event.identity)
        if rank != event.rank
    ]
    detail = (
        f"{event.identity!r} revision {revision} came with two contents: digest {digest} adds "
        f"{event.contribution}; beside it {'; '.join(others) or 'a content of lower digest, replaced'}"
    )
    return EventRejected(Reason.CONFLICT, detail, "send a higher revision")
