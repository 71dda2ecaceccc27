"""Shadow: the own measures of one partition's live panes, beside the panes and never part of them.

A second set of panes, joined by the same law from the same records, whose contributions are what settings define. So it
is a function of the records that it was shown, whatever their order, number and time: records of the past can be shown
to it after those of the present. Nothing of it is a row of history, a rank or a version; it is made again from the log.
"""

from collections.abc import Callable, Iterator
from sys import intern
from typing import Final

from kpistream.core.explaining import FUTURE_MS
from kpistream.core.measures import Tally
from kpistream.core.own_measures import Counting
from kpistream.core.panes import Pane
from kpistream.core.partition import Outcome, PartitionSettings
from kpistream.core.placing import Accepted
from kpistream.core.sealing import Sealer
from kpistream.core.tallies import unpack_tally
from kpistream.core.windows import Window

ALWAYS_WHOLE: Final = -1
NOT_YET: Final = 1 << 62
"""Of a shadow of which it is not known from when on it is whole."""
Accept = Callable[[Accepted, int], Outcome]


def first_whole_ms(timestamp_ms: int, pane_ms: int) -> int:
    """Start of the first pane of which no record was appended before one with this timestamp.

    An event may be so far ahead of its record, and is refused beyond that.
    """
    return -(-(timestamp_ms + FUTURE_MS) // pane_ms) * pane_ms


class Shadow:
    """What own measures count in the panes of one partition. Not thread-safe; no method awaits or reads a clock."""

    def __init__(self, counting: Counting, settings: PartitionSettings, begins_at: int) -> None:
        self.counting = counting
        self.begins_at = begins_at
        """Records from this offset on were, or will be, shown when they are read; what is before must be read again."""
        self.refilled = begins_at == 0
        """True when as much of what is before was shown as there is."""
        self.whole_from_ms = ALWAYS_WHOLE if self.refilled else NOT_YET
        """All records of the panes from there on were shown."""
        self.untold = Window(0, 0)
        """Panes that were published without own measures, and are whole by now."""
        self.panes: dict[int, dict[str, Pane]] = {}
        """By start, then by key."""
        self._frontier_ms = ALWAYS_WHOLE
        self._sealer = Sealer(settings.seal_after)

    def reached(self, whole_from_ms: int) -> None:
        """All that there is of earlier records was shown: it is whole from there on."""
        first_ms = min(whole_from_ms, self.whole_from_ms)
        self.untold = Window(first_ms, max(self.whole_from_ms, self.untold.to_ms))
        self.whole_from_ms, self.refilled = first_ms, True

    def joining(self, accept: Accept) -> Accept:
        """The function, and then a join of the same event."""

        def both(event: Accepted, offset: int) -> Outcome:
            outcome = accept(event, offset)
            self.join(event)
            return outcome

        return both

    def join(self, event: Accepted) -> None:
        """Join what the event adds; a pane below the frontier is nobody's."""
        start_ms, fields = event.start_ms, event.fields
        if start_ms < self._frontier_ms or not self.counting.counts(fields):
            return
        by_key = self.panes.get(start_ms)
        if by_key is None:
            by_key = self.panes[start_ms] = {}
        pane = by_key.get(event.key)
        if pane is None:
            pane = by_key[event.key] = Pane(intern(event.key), start_ms)
        pane.join(event.identity, event.rank, self.counting.contribution(fields), event.retracts)
        self._sealer.touched((pane,))

    def passed(self, records: int, frontier_ms: int) -> None:
        """So many records were shown, and panes below the frontier are closed."""
        self._sealer.passed(records)
        if frontier_ms <= self._frontier_ms:
            return
        self._frontier_ms = frontier_ms
        for start_ms in [start_ms for start_ms in self.panes if start_ms < frontier_ms]:
            for pane in self.panes.pop(start_ms).values():
                self._sealer.forget(pane)

    def sums(self, key: str, start_ms: int) -> Tally:
        """What was counted at a place so far, zero left out."""
        pane = self.panes.get(start_ms, {}).get(key)
        return {} if pane is None else unpack_tally(pane.packed_tally)

    def whole_sums(self, key: str, start_ms: int) -> Tally | None:
        """Every measure at a place, zero or not; None when it is not known to be whole."""
        if start_ms < self.whole_from_ms:
            return None
        return dict.fromkeys(sorted(self.counting.numbers), 0) | self.sums(key, start_ms)

    def places(self) -> Iterator[tuple[str, int]]:
        """Key and start of all panes, in no order."""
        for start_ms, by_key in self.panes.items():
            for key in by_key:
                yield key, start_ms
