"""Result records: what one receiver was told of results, and the list that is under way, as a record that survives.

How far `kpi.results` was told is offsets, not times: each record of the log is in one list, whatever clocks say. A list
is sealed with all that is in it before it is handed to a channel, so that every attempt sends the same under one id.
"""

from typing import Final

import msgspec

from kpistream.core.results import Outcome, Result


class ToldResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """One result in a list."""

    result: Result
    was: Outcome | None = None
    """What was told of it before it was corrected."""


class ResultList(msgspec.Struct, frozen=True, kw_only=True):
    """What is told of results at once."""

    met: int
    missed: int
    too_little: int
    listed: tuple[ToldResult, ...]
    """The gravest, misses first; all when there are few."""

    @property
    def count(self) -> int:
        """Results that it is about."""
        return self.met + self.missed + self.too_little


class SealedResults(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A list that is under way."""

    id: str
    made_ms: int
    ends: dict[int, int]
    """Offsets behind the records that it covers, by partition."""
    found: ResultList
    attempt: int = 0
    retry_ms: int = 0


class ResultsTold(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One receiver."""

    receiver: str
    offsets: dict[int, int]
    """Next records of `kpi.results` to tell of, by partition; those that are in `sealed` included."""
    looked_ms: int
    """When they were looked at last."""
    sealed: SealedResults | None = None

    @property
    def key(self) -> str:
        """Key of the record."""
        return f"{RESULTS_KEY}{self.receiver}"


RESULTS_KEY: Final = "results/"
