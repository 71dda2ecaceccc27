"""Hours: the memory of one partition over many horizons, without a broker: what is kept, not what is under way.

    python -m bench.hours --hours 6      # 125 agents with a call every second; the horizon is an hour

A sink is taken to follow at once. After the first horizon the live set is full; in the second one the allocator and
dictionaries settle; from then on the resident size must not grow.
"""

import os
import random

import click

from bench.processes import rss_mb
from bench.recovery import contribution
from bench.workload import PANE_MS, TENANT
from kpistream.core.contributions import EPOCH
from kpistream.core.partition import Partition, PartitionSettings
from kpistream.core.placing import Accepted, rank_of
from kpistream.service import tame_collector

HOUR_S = 3600
BEGIN_MS = 1_767_225_600_000


class Log:
    """Flushes a partition as the worker does, everything confirmed and committed at once."""

    def __init__(self) -> None:
        self.partition = Partition(0, PartitionSettings("bench", PANE_MS, horizon_ms=HOUR_S * 1000))
        self.partition.assigned()
        self.partition.recovered(0)
        self._events = self._panes = 0

    def take(self, event: Accepted) -> None:
        """Accept one event."""
        self.partition.accept(event, self._events)
        self._events += 1

    def flush(self, newest_ms: int) -> None:
        """Publish, acknowledge and commit what was taken."""
        self.partition.advance(self._events, newest_ms)
        flush = self.partition.snapshot(self._panes)
        for key, value in flush.changelog:
            self.partition.published(key, self._panes, value is None)
            self._panes += 1
        self.partition.acknowledged(flush)
        self.partition.committed(flush.upto)


@click.command(help=__doc__)
@click.option("--hours", default=6, show_default=True, help="Hours of event time; the horizon is one.")
@click.option("--agents", default=125, show_default=True, help="Agents; each has a call every second.")
def main(hours: int, agents: int) -> None:
    """Print the resident size every quarter of an hour of event time."""
    log, chance = Log(), random.Random(1)
    added = [contribution(chance) for _ in range(2000)]
    tame_collector()
    print("| minutes | resident, MB | panes | identities |\n| --- | --- | --- | --- |")
    for second in range(hours * HOUR_S):
        at_ms = BEGIN_MS + second * 1000
        for agent in range(agents):
            identity = f"{TENANT}/pbx/call/{chance.getrandbits(128):032x}"
            rank = rank_of(EPOCH, 0, chance.getrandbits(32))
            key, start_ms = f"{TENANT}/agent:{agent:05}", at_ms - at_ms % PANE_MS
            log.take(Accepted(identity, key, start_ms, rank, chance.choice(added), False, None, at_ms, None))
        log.flush(at_ms)
        if second % (HOUR_S // 4) == HOUR_S // 4 - 1:
            panes, ids = sum(1 for _ in log.partition.live_panes()), len(log.partition.homes)
            print(f"| {(second + 1) // 60} | {rss_mb(os.getpid()):.1f} | {panes:,} | {ids:,} |", flush=True)


if __name__ == "__main__":
    main()
