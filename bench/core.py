"""Core: what an event costs from the record's bytes to the encoded flush, without a broker.

    python -m bench.core                                   # microseconds an event; totals are checked
    python -m bench.core --agents 20000 --span-minutes 480   # memory, with as few calls in a pane as people make

One thread, one process: `stream.decode.Decoder.take`, `Partition.snapshot`, encoding of sums, then the
acknowledgement, as the worker does them. Each batch and each flush counts with its best time of several runs: that
is what a shared machine disturbs least.
"""

import gc
import resource
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import click

import kpistream.core.panes
from bench import truth
from bench.workload import PANE_MS, PARTITIONS, Workload, calls
from kpistream.core.measures import named
from kpistream.core.partition import PartitionSettings
from kpistream.log.reading import EventReader
from kpistream.log.records import Outgoing
from kpistream.log.topics import partition_of
from kpistream.service import tame_collector
from kpistream.stream.decode import Decoder
from kpistream.stream.flush import sum_record
from kpistream.stream.state import Shard, Shards

END_MS: Final = 1_767_225_600_000
_BATCH: Final = 1000
_FLUSH: Final = 3000
"""Records of a partition between two flushes: what comes in within 250 ms at full speed."""


class Record:
    """A record as the consumer hands it over; the bench notes its partition in it."""

    __slots__ = ("headers", "key", "offset", "partition", "timestamp", "value")

    def __init__(self, partition: int, offset: int, key: bytes, value: bytes) -> None:
        self.partition, self.offset, self.timestamp, self.key, self.value = partition, offset, END_MS, key, value
        self.headers: tuple[tuple[str, bytes], ...] = ()


def partitions_of(workload: Workload) -> list[list[Record]]:
    """The records of each partition."""
    out: list[list[Record]] = [[] for _ in range(PARTITIONS)]
    for key, value in calls(workload):
        number = partition_of(key, PARTITIONS)
        out[number].append(Record(number, len(out[number]), key, value))
    return out


def batches_of(partitions: list[list[Record]]) -> list[list[Record]]:
    """Batches of all partitions in turn, so that all of them grow together."""
    cut = [[records[at : at + _BATCH] for at in range(0, len(records), _BATCH)] for records in partitions]
    return [batches[n] for n in range(max(map(len, cut))) for batches in cut if n < len(batches)]


@dataclass(slots=True)
class Spent:
    """CPU seconds of each batch and of each flush, and bytes that the flushes would send."""

    take_s: list[float] = field(default_factory=list)
    flush_s: list[float] = field(default_factory=list)
    changelog_bytes: int = 0
    published: int = 0

    def flush(self, shard: Shard) -> None:
        """What the worker's flush does, without the broker."""
        began_s = time.process_time()
        flush = shard.partition.snapshot(None)
        shard.dead_letters, shard.unflushed = [], 0
        sums = [sum_record(change) for change in flush.sums]
        changelog = [Outgoing(key, value) for key, value in flush.changelog]
        for record in changelog:
            self.published += 1
            shard.partition.published(record.key or b"", self.published, record.value is None)
        shard.partition.acknowledged(flush)
        shard.partition.committed(flush.upto)
        self.flush_s.append(time.process_time() - began_s)
        self.changelog_bytes += sum(len(record.value or b"") for record in (*changelog, *sums))


def run(batches: list[list[Record]]) -> tuple[Shards, Spent, int]:
    """Work off all batches: the shards, what it cost, and how many records were refused."""
    shards, spent, refused = Shards(PartitionSettings("bench", PANE_MS)), Spent(), 0
    decoder = Decoder(EventReader(PANE_MS, PARTITIONS), PANE_MS, "kpi.events")
    for number in range(PARTITIONS):
        shards.shard(number).assigned(1)
        shards.shard(number).partition.recovered(0)
    for batch in batches:
        shard = shards[batch[0].partition]
        began_s = time.process_time()
        intake = decoder.take(shard, batch)
        spent.take_s.append(time.process_time() - began_s)
        refused += sum(intake.rejected.values())
        if shard.unflushed >= _FLUSH:
            spent.flush(shard)
    for shard in shards.values():
        spent.flush(shard)
    return shards, spent, refused


def cells_of(shards: Shards) -> truth.Cells:
    """The sums of all panes, by agent and pane start in seconds."""
    panes = [pane for shard in shards.values() for pane in shard.partition.live_panes()]
    return {(p.key.partition("/agent:")[2], p.start_ms // 1000): truth.flat(named(p.tally)) for p in panes}


def best_s(runs: list[list[float]]) -> float:
    """Seconds of all steps together, each at its best: every run takes the same steps."""
    return sum(map(min, zip(*runs, strict=True)))


def resident_bytes() -> int:
    """Memory of this process now."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@click.command()
@click.option("--events", default=20_000, show_default=True, help="Records.")
@click.option("--agents", default=400, show_default=True, help="Agents.")
@click.option("--span-minutes", default=15, show_default=True, help="Time that the records span.")
@click.option("--runs", default=6, show_default=True, help="Runs.")
def core_command(events: int, agents: int, span_minutes: int, runs: int) -> None:
    """Microseconds and memory of an event between its bytes and the encoded flush."""
    workload = Workload(events, END_MS, span_minutes * 60_000, agents)
    partitions = partitions_of(workload)
    batches = batches_of(partitions)
    wanted, wanted_refused = truth.expected_of(record.value for batch in batches for record in batch)
    tame_collector()
    spents, before, each = [], 0, 0.0
    for number in range(runs):
        before = resident_bytes() if number == 0 else before
        shards, spent, refused = run(batches)
        each = (resident_bytes() - before) / events if number == 0 else each
        fault = truth.difference(wanted, cells_of(shards))
        if fault or refused != wanted_refused:
            raise SystemExit(f"{refused} refused, must be {wanted_refused}; {fault}")
        spents.append(spent)
        del shards
    take = best_s([spent.take_s for spent in spents]) / events * 1e6
    flush = best_s([spent.flush_s for spent in spents]) / events * 1e6
    compiled = "compiled" if kpistream.core.panes.__file__.endswith(".so") else "interpreted"
    print(f"{compiled}: take {take:.2f} us, flush {flush:.2f} us, together {take + flush:.2f} us an event")
    print(f"{len(wanted)} panes, {events / len(wanted):.1f} events a pane, exact in every sum; ", end="")
    print(f"{each:.0f} bytes an event in memory, {spents[0].changelog_bytes / events:.0f} bytes an event to send")


if __name__ == "__main__":
    core_command()
