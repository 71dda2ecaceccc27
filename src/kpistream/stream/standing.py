"""Standing: how far a worker is with each partition, for the watchdog and for Prometheus.

Progress is kept by partition: a partition that stands still is not excused by another that moves. A
partition that is assigned and not ready yet waits, too; joining its changelog is its progress.
"""

from collections.abc import Callable

from kpistream.core.partition import NOTHING
from kpistream.metrics import WorkerMetrics
from kpistream.stream.state import Shard, Shards

_Marker = tuple[int, bool, int, int]


class Standing:
    """Looks at the shards once a second and remembers when each moved last."""

    def __init__(
        self,
        shards: Shards,
        metrics: WorkerMetrics,
        end_of: Callable[[int], int | None],
        now_ms: Callable[[], int],
        steady_s: Callable[[], float],
    ) -> None:
        self._shards = shards
        self._metrics = metrics
        self._end_of = end_of
        """Partition -> end of its events as fetched last; None when nothing was fetched yet."""
        self._now_ms = now_ms
        self._steady_s = steady_s
        self._moved: dict[int, tuple[_Marker, float]] = {}
        self._committed_s: dict[int, float] = {}

    @property
    def progress_s(self) -> float:
        """When the partition that stands still longest moved last; now, when nothing is assigned."""
        times = [moved_s for _, moved_s in self._moved.copy().values()]
        return min(times, default=self._steady_s())

    def committed(self, number: int) -> None:
        """Offsets of a partition were committed."""
        self._committed_s[number] = self._steady_s()

    def lag(self, shard: Shard) -> int:
        """Records of the partition that are not acknowledged yet."""
        end = max(self._end_of(shard.partition.number) or 0, shard.catch_up_to)
        return max(0, end - max(shard.partition.at.acknowledged, shard.begins_at, 0))

    def look(self) -> None:
        """Take note of what moved, and show where everything stands."""
        steady_s = self._steady_s()
        assigned = {number: shard for number, shard in self._shards.items() if shard.generation != NOTHING}
        for number in self._moved.keys() - assigned.keys():
            del self._moved[number]
            self._forget(str(number))
        for number, shard in assigned.items():
            at = shard.partition.at
            marker = (shard.generation, shard.ready, shard.partition.persisted, at.acknowledged)
            lag = self.lag(shard) if shard.ready else NOTHING
            known = self._moved.get(number)
            if lag == 0 or known is None or known[0] != marker:
                self._moved[number] = (marker, steady_s)
            if shard.ready:
                late_ms = self._now_ms() - at.joined_newest_ms
                shard.lagging = lag > 0 and at.joined_newest_ms != NOTHING and late_ms > self._shards.settings.pane_ms
                self._show(shard, lag, steady_s)

    def _show(self, shard: Shard, lag: int, steady_s: float) -> None:
        label, metrics = str(shard.partition.number), self._metrics
        metrics.lag.labels(label).set(lag)
        panes = list(shard.partition.live_panes())
        metrics.panes.labels(label).set(len(panes))
        metrics.state_bytes.labels(label).set(sum(pane.size for pane in panes))
        if shard.partition.frontier_ms > 0:
            metrics.frontier_age.labels(label).set((self._now_ms() - shard.partition.frontier_ms) / 1000)
        if shard.partition.number in self._committed_s:
            metrics.commit_age.labels(label).set(steady_s - self._committed_s[shard.partition.number])

    def _forget(self, label: str) -> None:
        """A partition is somebody else's: its gauges are, too."""
        metrics = self._metrics
        self._committed_s.pop(int(label), None)
        for gauge in (metrics.lag, metrics.panes, metrics.state_bytes, metrics.frontier_age, metrics.commit_age):
            gauge.remove(label)
        metrics.agent_kpi.clear()
