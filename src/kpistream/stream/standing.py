"""Standing: how far a worker is with each partition, for the watchdog, for readiness and for Prometheus.

Progress is kept by partition: a partition that stands still is not excused by another that moves. Recovery is
one task of Faust for all partitions, so there any record joined is progress for all. The event loop takes
notes (`look`); the watchdog and the endpoint read only these, from threads of their own.
"""

from collections.abc import Callable, Mapping
from typing import Final

from kpistream.core.panes import Pane
from kpistream.core.partition import NOTHING
from kpistream.health import Fault
from kpistream.metrics import WorkerMetrics
from kpistream.stream.state import Shard, Shards

STARTS_A_LOOK: Final = 8
"""Pane starts whose bytes one look adds up: a day and a half of them takes a minute."""
_Marker = tuple[int, bool, int]
_HINT: Final = (
    "read the log lines before this one, and look at the brokers; nothing is lost, the next process reads again from "
    "the committed offsets"
)
_COMMIT_HINT: Final = "look at the group's coordinator and at the right to commit: what is not committed is read again"


class _Sizes:
    """Bytes of the live panes of a partition, start by start: there may be a million, and a look must be short."""

    def __init__(self) -> None:
        self._by_start: dict[int, int] = {}

    def total(self, panes: Mapping[int, Mapping[str, Pane]]) -> int:
        """Bytes of all panes; those of a start are added up when it is new, and then in turn."""
        known = self._by_start
        for start_ms in known.keys() - panes.keys():
            del known[start_ms]
        for start_ms in [*(start_ms for start_ms in panes if start_ms not in known), *list(known)[:STARTS_A_LOOK]]:
            known.pop(start_ms, None)  # goes to the end: its next turn comes after all others'
            known[start_ms] = sum(pane.size for pane in panes[start_ms].values())
        return sum(known.values())


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
        self.limit_s = float("inf")
        """Standing still for longer, with work to do, is a fault."""
        self._shards = shards
        self._metrics = metrics
        self._end_of = end_of
        """Partition -> end of its events as fetched last; None when nothing was fetched yet."""
        self._now_ms = now_ms
        self._steady_s = steady_s
        self._moved: dict[int, tuple[_Marker, float]] = {}
        self._committed: dict[int, tuple[int, float]] = {}
        """Partition -> offset committed last in this assignment, and when."""
        self._uncommitted: dict[int, tuple[int, float]] = {}
        """Partition -> offset committed when something was acknowledged beyond it first, and when that was."""
        self._sizes: dict[int, _Sizes] = {}
        self._notes: tuple[Fault, ...] = ()
        """What stands still; `for_s` holds since when."""
        self._waits: tuple[str, ...] = ()

    # ---- read by other threads

    def faults(self, now_s: float) -> list[Fault]:
        """Partitions that stand still, and commits that do not come."""
        return [note._replace(for_s=now_s - note.for_s) for note in self._notes if now_s - note.for_s > self.limit_s]

    def waits_for(self) -> list[str]:
        """Partitions that are not recovered, or have not caught up with the end seen at their assignment."""
        return list(self._waits)

    # ---- written by the event loop

    def committed(self, number: int, offset: int) -> None:
        """Offsets of a partition were committed."""
        self._committed[number] = (offset, self._steady_s())

    def lag(self, shard: Shard) -> int:
        """Records of the partition that are not acknowledged yet."""
        end = self._end_of(shard.partition.number)
        if end is None:
            end = shard.catch_up_to
        return max(0, end - max(shard.partition.at.acknowledged, shard.begins_at, 0))

    def look(self) -> None:
        """Take note of what moved, and show where everything stands."""
        steady_s = self._steady_s()
        assigned = {number: shard for number, shard in self._shards.items() if shard.generation != NOTHING}
        for number in self._moved.keys() - assigned.keys():
            del self._moved[number]
            self._forget(str(number))
        joined = sum(shard.partition.persisted for shard in assigned.values())
        notes: list[Fault] = []
        for number, shard in assigned.items():
            lag = self.lag(shard) if shard.ready else NOTHING
            notes += self._note(number, shard, lag, joined, steady_s)
            if shard.ready:
                late_ms = self._now_ms() - shard.partition.at.joined_newest_ms
                known = shard.partition.at.joined_newest_ms != NOTHING
                shard.lagging = lag > 0 and known and late_ms > self._shards.settings.pane_ms
                self._show(shard, lag, steady_s)
        self._notes = tuple(notes)
        self._waits = tuple(text for shard in assigned.values() if (text := _missing(shard)) is not None)

    def _note(self, number: int, shard: Shard, lag: int, joined: int, steady_s: float) -> list[Fault]:
        """What this partition has to do and does not, with the time since when."""
        acknowledged = shard.partition.at.acknowledged
        marker = (shard.generation, shard.ready, acknowledged if shard.ready else joined)
        known = self._moved.get(number)
        if lag == 0 or shard.revoked or known is None or known[0] != marker:
            self._moved[number] = (marker, steady_s)
        since_s = self._moved[number][1]
        what = (
            f"partition {number}: no progress, {lag} records wait and none was acknowledged"
            if shard.ready
            else f"partition {number}: recovery stalled, nothing was joined"
        )
        return [Fault(what, since_s, _HINT), *self._note_commit(number, shard, steady_s)]

    def _note_commit(self, number: int, shard: Shard, steady_s: float) -> list[Fault]:
        acknowledged = shard.partition.at.acknowledged
        committed = max(self._committed.get(number, (NOTHING, 0.0))[0], shard.begins_at)
        if not shard.ready or acknowledged <= committed:
            self._uncommitted.pop(number, None)
            return []
        if self._uncommitted.get(number, (NOTHING, 0.0))[0] != committed:
            self._uncommitted[number] = (committed, steady_s)
        since_s = self._uncommitted[number][1]
        return [Fault(f"partition {number}: no commit succeeds, what was acknowledged waits", since_s, _COMMIT_HINT)]

    def _show(self, shard: Shard, lag: int, steady_s: float) -> None:
        label, metrics = str(shard.partition.number), self._metrics
        metrics.lag.labels(label).set(lag)
        panes = shard.partition.panes
        metrics.panes.labels(label).set(sum(map(len, panes.values())))
        metrics.state_bytes.labels(label).set(self._sizes.setdefault(shard.partition.number, _Sizes()).total(panes))
        if shard.partition.frontier_ms > 0:
            metrics.frontier_age.labels(label).set((self._now_ms() - shard.partition.frontier_ms) / 1000)
        if shard.partition.number in self._committed:
            metrics.commit_age.labels(label).set(steady_s - self._committed[shard.partition.number][1])

    def _forget(self, label: str) -> None:
        """A partition is somebody else's: its gauges are, too."""
        metrics = self._metrics
        self._committed.pop(int(label), None)
        self._sizes.pop(int(label), None)
        self._uncommitted.pop(int(label), None)
        for gauge in (metrics.lag, metrics.panes, metrics.state_bytes, metrics.frontier_age, metrics.commit_age):
            gauge.remove(label)
        metrics.agent_kpi.clear()


def _missing(shard: Shard) -> str | None:
    """What the partition lacks to be ready: recovery, then the end seen at assignment."""
    number, end = shard.partition.number, shard.catch_up_to
    if not shard.ready:
        return f"partition {number}: panes are recovered up to changelog offset {shard.partition.persisted}"
    position = max(shard.partition.at.next_offset, shard.begins_at)
    if position < end:
        return f"partition {number}: events are read up to {max(position, 0)}, {end} was the end at assignment"
    return None
