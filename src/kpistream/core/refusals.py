"""Refusals: when refused records are too many to be single faults of a producer, and an alarm is due.

Counted by records, never by time: so many in a row without an accepted one, or so large a share of the last
so many. What happens to a record does not depend on it: each is decided by itself, alarm or not.
"""

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class Limits:
    """When it is too much, for one partition; 0 switches a limit off."""

    percent: int = 20
    """Share of a window of records that was refused."""
    window: int = 1000
    """Records over which the share is taken."""
    consecutive: int = 500
    """Refused records in a row."""
    stop_consecutive: int = 0
    """Refused records in a row at which the worker stops without acknowledging."""


class Change(Enum):
    """What a batch changed."""

    NOTHING = "nothing"
    RAISED = "raised"
    CLEARED = "cleared"
    STOP = "stop"


class Refusals:
    """The state of one partition, from the start of its assignment on."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._records = 0
        self._refused = 0
        self.run = 0
        """Refused records in a row, up to now."""
        self.longest = 0
        """Most in a row since the last full window."""
        self.percent = 0
        """Share of the last full window."""
        self.raised = False

    def take(self, records: int, refused: int, longest: int, run: int) -> Change:
        """Count a batch: `longest` in a row, the row from before it included, and `run` at its end."""
        limits = self._limits
        self._records += records
        self._refused += refused
        self.run, self.longest = run, max(self.longest, longest)
        if 0 < limits.stop_consecutive <= longest:
            return Change.STOP
        in_a_row = 0 < limits.consecutive <= self.longest
        full = self._records >= limits.window
        if full:
            self.percent = 100 * self._refused // self._records
            self._records, self._refused, self.longest = 0, 0, run
        much = full and 0 < limits.percent <= self.percent
        if not self.raised and (in_a_row or much):
            self.raised = True
            return Change.RAISED
        if self.raised and full and not in_a_row and not much:
            self.raised = False
            return Change.CLEARED
        return Change.NOTHING
