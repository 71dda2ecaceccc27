"""Shards: what the sink holds of one partition number between two commits.

Partition p of events, panes, alerts and results is one shard: facts that are not written yet, rows and marks
(`core/rows.py` decides which are due), what is only appended (transitions, results), and how far each topic was read.
A shard belongs to one assignment; when the partition is lost it is dropped and whoever has it next reads again.
"""

from collections.abc import Mapping

import msgspec

from kpistream.core.rows import RowPlan
from kpistream.errors import EventRejected
from kpistream.history.appending import Append
from kpistream.history.writer import Appended, Fact
from kpistream.log.reading import EventReader
from kpistream.log.records import LogRecord

UNREAD = -1


class Shard:
    """One partition number. Not thread-safe."""

    def __init__(self, number: int, reader: EventReader, appends: Mapping[str, Append]) -> None:
        self.number = number
        self.plan = RowPlan()
        self.facts: list[Fact] = []
        self.appended: dict[str, list[Appended]] = {topic: [] for topic in appends}
        """Records that become a row each, by topic."""
        self.events_next = UNREAD
        """Next offset of the events to read; everything before it is in `facts` or in the store."""
        self.appended_next = dict.fromkeys(appends, UNREAD)
        """Next offset of each of those topics to read."""
        self.skipped = 0
        """Events that were refused or are on a partition that is not theirs: the worker answers for them."""
        self._reader = reader
        self._appends = appends

    @property
    def pending(self) -> int:
        """Rows that wait to be written."""
        return len(self.facts) + sum(map(len, self.appended.values())) + self.plan.pending_rows

    def starts_at(self, events_offset: int) -> None:
        """Everything before this offset of the events is in the store: it was committed, or there is nothing."""
        self.events_next = max(self.events_next, events_offset)
        self.plan.facts_written(events_offset)

    def take_event(self, record: LogRecord) -> None:
        """An event becomes a fact; what the contract refuses and what is on a wrong partition does not."""
        self.events_next = record.offset + 1
        try:
            event = self._reader.read(record)
        except EventRejected:
            self.skipped += 1
            return
        if self._reader.home(event.key) != self.number:
            self.skipped += 1
            return
        self.facts.append(Fact(event, record.topic, record.partition, record.offset, record.timestamp))

    def take_pane(self, record: LogRecord) -> None:
        """A record of the pane topic; raises ValueError when it is not one of ours."""
        self.plan.read(record.offset, record.key or b"", record.value)

    def take_appended(self, record: LogRecord) -> None:
        """A transition or a result; raises ValueError when it is none."""
        self.appended_next[record.topic] = record.offset + 1
        if record.value is None:
            return
        try:
            content = self._appends[record.topic].decode(record.value)
        except msgspec.MsgspecError as error:
            raise ValueError(f"not what belongs here: {error}") from error
        self.appended[record.topic].append(Appended(content, record.topic, record.partition, record.offset))
