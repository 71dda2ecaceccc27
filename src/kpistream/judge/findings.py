"""Findings: what an audit may find wrong, each with the place, the events behind it and what mends it.

The words of `What` are those of the report, of its JSON and of docs/how-to/audit.md. Counts are complete;
how many findings are kept in full is bounded, so that a store that is wrong everywhere fits memory.
"""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from kpistream.judge.compare import Spot

KEPT: Final = 10_000
"""Findings kept in full; a repair mends these, and the next one the rest."""
NAMED: Final = 20
"""Events that one finding names."""


class What(StrEnum):
    """What is wrong."""

    ROW_LOST = "row-lost"
    """Events count at the place, and its row is missing or empty."""
    ROW_DOUBLE = "row-double"
    ROW_PHANTOM = "row-phantom"
    """A row with sums where no event counts."""
    ROW_DIFFERENT = "row-different"
    ROW_VERSION = "row-version"
    """The sums are right and the version is not: too high, it would hide every later change."""
    FACT_MISSING = "fact-missing"
    FACT_STALE = "fact-stale"
    """The fact of a lower rank than a record of the log."""
    FACT_ALTERED = "fact-altered"
    """The rank is right and what it adds is not."""
    FACT_PHANTOM = "fact-phantom"
    """No record of the log has this rank at this place."""
    MOVE_UNANNOUNCED = "move-unannounced"
    """An identity counts at a place that it has left: nobody wrote the retraction."""
    RETRACTED_IN_PLACE = "retracted-in-place"
    """A retraction takes away the event that it should leave alone."""
    CHANGELOG_LOST = "changelog-lost"
    CHANGELOG_DIFFERENT = "changelog-different"
    CHANGELOG_PHANTOM = "changelog-phantom"
    CHANGELOG_UNREADABLE = "changelog-unreadable"
    READING_DIFFERENT = "reading-different"


class Seen(NamedTuple):
    """An event behind a finding, and the record that brought it; offset -1: known from its fact alone."""

    identity: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    what: What
    spot: Spot
    said: str
    """What was expected and what was found, in words."""
    behind: tuple[Seen, ...] = ()
    """For facts and the changelog: what must be sent again; else the events that count there."""
    identity: str = ""
    """Whose fact, entry or move it is."""
    rank: int = 0
    """For a move: the rank that stands elsewhere; for a phantom: the rank that was found."""
    by_facts: bool = False
    """The log does not reach back to all of it: facts were the measure."""
    version: int = 0
    """Version of the row as found."""
    expected_version: int = 0
    top: int = 0
    """For a phantom: the rank by which the identity counts wherever it does; 0: it counts nowhere."""


@dataclass(slots=True)
class Findings:
    """Everything found: counts of all, the first in full."""

    counts: Counter[What] = field(default_factory=Counter)
    first: list[Finding] = field(default_factory=list)

    def add(self, finding: Finding) -> None:
        """Count it, and keep it while there is room."""
        self.counts[finding.what] += 1
        if len(self.first) < KEPT:
            self.first.append(finding)

    def withdraw(self, finding: Finding) -> None:
        """Take a finding back that a later look has explained."""
        self.counts[finding.what] -= 1
        self.first.remove(finding)

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not any(self.counts.values())
