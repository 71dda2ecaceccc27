"""Alarm: says that a partition refuses too much, in one log line and a gauge, and stops the worker if told so.

By default the worker goes on: what others sent must be counted, and refused records are whole in dead letters.
A line a minute at most for each partition; the clock serves the log alone.
"""

import logging
from collections.abc import Callable
from typing import Final

from kpistream.core.refusals import Change, Limits, Refusals
from kpistream.metrics import WorkerMetrics
from kpistream.stream.decode import Intake

log = logging.getLogger(__name__)

_AGAIN_S: Final = 60.0
_HINT: Final = "kpistream dlq list shows reasons; replay after the fix"


class FloodStop(RuntimeError):
    """So many records in a row were refused that the worker is told to stop, and to leave them in the log."""


class Alarm:
    """The refusals of all partitions of a worker."""

    def __init__(self, limits: Limits, metrics: WorkerMetrics, steady_s: Callable[[], float]) -> None:
        self._limits = limits
        self._metrics = metrics
        self._steady_s = steady_s
        self._partitions: dict[int, tuple[int, Refusals]] = {}
        self._told_s: dict[int, float] = {}
        self._shown: set[int] = set()

    def take(self, partition: int, generation: int, intake: Intake) -> None:
        """Count a batch of an assignment. Raises FloodStop."""
        known = self._partitions.get(partition)
        if known is None or known[0] != generation:
            known = self._partitions[partition] = (generation, Refusals(self._limits))
        refusals = known[1]
        refused = sum(intake.rejected.values())
        change = refusals.take(intake.records, refused, intake.longest_run, intake.run)
        if change is Change.STOP:
            raise FloodStop(
                f"partition {partition}: {intake.longest_run} records in a row were refused, the limit is "
                f"{self._limits.stop_consecutive} (KPISTREAM_BAD_STOP); reasons {_reasons(intake)}; hint: {_HINT}"
            )
        if change is not Change.NOTHING or refusals.raised:
            self._tell(partition, change, refusals, intake)

    def run(self, partition: int, generation: int) -> int:
        """Refused records in a row before the batch that comes."""
        known = self._partitions.get(partition)
        return known[1].run if known is not None and known[0] == generation else 0

    def keep(self, held: set[int]) -> None:
        """Forget the partitions that are somebody else's now."""
        for partition in self._partitions.keys() - held:
            del self._partitions[partition]
            self._told_s.pop(partition, None)
            if partition in self._shown:
                self._shown.remove(partition)
                self._metrics.bad_input.remove(str(partition))

    def _tell(self, partition: int, change: Change, refusals: Refusals, intake: Intake) -> None:
        self._metrics.bad_input.labels(str(partition)).set(int(refusals.raised))
        self._shown.add(partition)
        if change is Change.CLEARED:
            log.warning("bad input is over partition=%s share=%s%%", partition, refusals.percent)
            return
        if change is Change.RAISED or self._steady_s() - self._told_s.get(partition, 0.0) >= _AGAIN_S:
            self._told_s[partition] = self._steady_s()
            log.error(
                "bad input partition=%s share=%s%% in_a_row=%s reasons=%s hint=%s",
                partition,
                refusals.percent,
                refusals.longest,
                _reasons(intake),
                _HINT,
            )


def _reasons(intake: Intake) -> str:
    return ",".join(f"{reason}:{count}" for reason, count in intake.rejected.most_common(3)) or "-"
