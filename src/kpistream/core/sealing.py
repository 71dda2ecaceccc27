"""Sealing: which panes of a partition are open, and when one that nothing comes to any more is sealed.

Panes are looked at by age: an age is a number of records of the partition, so no clock is read. A pane that
was touched neither in this age nor in the last one is sealed. Sealing changes memory, never a number.
"""

from collections.abc import Iterable

from kpistream.core.panes import Pane


class Sealer:
    """The panes of one partition that may be open."""

    def __init__(self, age_records: int) -> None:
        self._age_records = age_records
        self._young: dict[Pane, None] = {}
        self._old: dict[Pane, None] = {}
        self._records = 0

    def touched(self, panes: Iterable[Pane]) -> None:
        """These panes are open, or about to be opened."""
        for pane in panes:
            self._young[pane] = None

    def passed(self, records: int) -> None:
        """So many records have passed; at the end of an age, seal what only the last one has touched."""
        self._records += records
        if self._records < self._age_records:
            return
        self._records = 0
        for pane in self._old:
            if pane not in self._young:
                pane.seal()
        self._young, self._old = {}, self._young

    def seal_all(self) -> None:
        """Seal every open pane."""
        for pane in (*self._young, *self._old):
            pane.seal()
        self._young, self._old = {}, {}

    def forget(self, pane: Pane) -> None:
        """The pane is closed."""
        self._young.pop(pane, None)
        self._old.pop(pane, None)
