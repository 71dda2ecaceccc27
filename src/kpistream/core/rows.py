"""Rows: which rows the sink must write next, and how far it may commit.

Pane records are collapsed by place to the highest version, never to the last in the log. A recompute
mark waits until the facts of its partition have been written past the offset it names; the pane topic
is never committed past a mark that still waits. Reading again what was written before is harmless:
rows are upserts by version.
"""

from dataclasses import dataclass

from kpistream.core.changelog import FrontierRecord, MarkRecord, PaneRecord, parse
from kpistream.core.measures import Tally
from kpistream.core.placing import Place


@dataclass(frozen=True, slots=True)
class PaneRow:
    """The sums of one pane at one version."""

    place: Place
    pane_ms: int
    version: int
    tally: Tally


@dataclass(frozen=True, slots=True)
class _Waiting:
    panes_offset: int
    place: Place
    events_offset: int


class RowPlan:
    """The sink's view of one partition number of `kpi.events` and `kpi.panes`."""

    def __init__(self) -> None:
        self.events_written = -1
        """Facts of all events before this offset are confirmed in the store; -1: unknown yet."""
        self.panes_read = -1
        """Next offset of the pane topic to read; -1: nothing read yet."""
        self._rows: dict[Place, PaneRow] = {}
        self._waiting: list[_Waiting] = []

    def read(self, offset: int, key: bytes, value: bytes | None) -> None:
        """Take one record of the pane topic. Raises ValueError when it is not one of ours."""
        self.panes_read = offset + 1
        if value is None:
            return
        record = parse(key, value)
        if isinstance(record, FrontierRecord):
            return
        if isinstance(record, MarkRecord):
            self._waiting.append(_Waiting(offset, record.place, record.offset))
        elif isinstance(record, PaneRecord):
            best = self._rows.get(record.place)
            if best is None or record.version > best.version:
                self._rows[record.place] = PaneRow(record.place, record.pane_ms, record.version, record.tally)

    @property
    def pending_rows(self) -> int:
        """Rows that `rows` would return."""
        return len(self._rows)

    @property
    def waiting_marks(self) -> int:
        """Marks that still wait for facts or for their answer."""
        return len(self._waiting)

    def rows(self) -> list[PaneRow]:
        """Rows to write; they stay until `rows_written`."""
        return list(self._rows.values())

    def rows_written(self, rows: list[PaneRow]) -> None:
        """The store has confirmed these rows."""
        for row in rows:
            if self._rows.get(row.place) == row:
                del self._rows[row.place]

    def facts_written(self, next_offset: int) -> None:
        """The store has confirmed the facts of all events before `next_offset`."""
        self.events_written = max(self.events_written, next_offset)

    def due_marks(self) -> list[Place]:
        """Closed places whose rows can be computed from facts now, each once."""
        return list(dict.fromkeys(w.place for w in self._waiting if w.events_offset < self.events_written))

    def marks_answered(self, places: list[Place], events_written: int) -> None:
        """The store has confirmed the rows of these places, computed from the facts before `events_written`."""
        answered = set(places)
        self._waiting = [w for w in self._waiting if w.place not in answered or w.events_offset >= events_written]

    def committable(self) -> int | None:
        """Offset of the pane topic that may be committed now, None when nothing was read.

        Call it only when `rows` is empty: rows not yet written must be read again after a crash.
        """
        assert not self._rows, "rows must be written before the pane topic is committed"
        if self.panes_read < 0:
            return None
        return min([self.panes_read, *(w.panes_offset for w in self._waiting)])
