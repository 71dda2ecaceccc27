"""Progress: what a sink tells about itself, without knowing who counts or shows it."""

from dataclasses import dataclass, field
from typing import Protocol


class SinkObserver(Protocol):
    """What somebody who counts wants to hear."""

    def wrote(self, table: str, rows: int, seconds: float) -> None:
        """The store has confirmed rows of a table; for recomputed panes `table` is `marks`."""

    def retried(self, error: str) -> None:
        """A write failed and is tried again."""

    def committed(self, topic: str, partition: int, offset: int, lag: int) -> None:
        """The group has committed `offset`; `lag` records are behind it."""


class Unobserved:
    """Nobody counts."""

    def wrote(self, table: str, rows: int, seconds: float) -> None:
        """Nothing."""

    def retried(self, error: str) -> None:
        """Nothing."""

    def committed(self, topic: str, partition: int, offset: int, lag: int) -> None:
        """Nothing."""


@dataclass(slots=True)
class Progress:
    """How far the sink is. Read it from the same event loop."""

    facts: int = 0
    rows: int = 0
    marks: int = 0
    appended: int = 0
    """Transitions and results."""
    retries: int = 0
    committed: dict[tuple[str, int], int] = field(default_factory=dict)
    """Committed offset by topic and partition, of the partitions that are assigned now."""
    last_error: str = ""
    unavailable_since_s: float | None = None
    """Steady time of the first failure of an outage that goes on; None when the store answers."""
