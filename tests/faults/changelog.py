"""Changelog: what the joined pane topic says of every live cell, as a worker would recover it.

Frontiers are joined by maximum, panes by their entries, records of all writers alike; what lies below the
frontier of its partition is history's and left out here.
"""

from collections.abc import Iterable

from confluent_kafka import Message

from kpistream.core.changelog import FrontierRecord, PaneRecord, entries_of, parse
from kpistream.core.measures import named
from kpistream.core.panes import Pane
from kpistream.judge.compare import Cells, Spot, cells_of_named


class Changelog:
    """The joined pane topic."""

    def __init__(self, messages: Iterable[Message]) -> None:
        self.frontiers: dict[int, int] = {}
        """Frontier in ms, by partition; a partition without one has closed nothing."""
        self._panes: dict[Spot, tuple[int, Pane]] = {}
        for message in messages:
            if message.value() is not None:
                self._join(message)

    def _join(self, message: Message) -> None:
        record = parse(message.key(), message.value())
        number = message.partition()
        if isinstance(record, FrontierRecord):
            self.frontiers[number] = max(self.frontiers.get(number, -1), record.start_ms)
        elif isinstance(record, PaneRecord):
            spot = (record.key, record.start_ms)
            pane = self._panes.setdefault(spot, (number, Pane(*spot)))[1]
            for entry in entries_of(record):
                pane.join(entry.identity, entry.rank, entry.contribution, entry.tombstone)

    def live(self, partition: int, start_ms: int) -> bool:
        """Whether panes that start then are live on the partition."""
        return start_ms >= self.frontiers.get(partition, -1)

    def cells(self) -> Cells:
        """Sums of all live panes."""
        live = {spot: pane for spot, (number, pane) in self._panes.items() if self.live(number, spot[1])}
        return cells_of_named({spot: named(pane.tally) for spot, pane in live.items()})
