"""Flush: what a shard has collected becomes durable, and only then is acknowledged.

One synchronous snapshot takes everything that is dirty and the position it came from; all of it is
published and awaited; then exactly that position is acknowledged. At most one flush a partition is in
flight, also across generations of one process. Any failure ends the process without acknowledging.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from kpistream.core.changelog import VERSION_BYTES
from kpistream.core.measures import Tally
from kpistream.core.panes import PaneSum
from kpistream.core.partition import Flush, Retraction
from kpistream.core.placing import rank_parts
from kpistream.core.tallies import pack_tally
from kpistream.log.publisher import Publisher
from kpistream.log.records import SOURCES, Outgoing
from kpistream.log.topics import Topics, partition_of
from kpistream.metrics import WorkerMetrics
from kpistream.stream.state import Shard, Shards

log = logging.getLogger(__name__)

_HELD_BACK_S = 0.05
_WAITING_BYTES = 64 << 20
"""Bytes of dead letters and forwards of one partition that may wait for a flush before reading pauses."""
_encode: Final = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class FlushSettings:
    """How often flushes happen."""

    interval_ms: int = 250
    catching_up_ms: int = 1000
    """The same for a partition that still reads what was there when it was assigned: nobody waits for its numbers,
    and a pane that is published less often costs less."""
    record_limit: int = 50_000
    """Records that may wait for a flush of one partition before reading pauses."""


def retraction_record(retraction: Retraction, timestamp_ms: int) -> Outgoing:
    """The retraction as a record of the events topic, keyed by the place that is left.

    `timestamp_ms` is that of the records that caused it. A topic with LogAppendTime overwrites it; the embedded broker
    keeps it, and a frontier must not jump to the wall clock there.
    """
    tenant, source, kind, event_id = retraction.identity.split("/", 3)
    epoch, revision, digest = rank_parts(retraction.rank)
    value = {
        "type": "retracted",
        "tenant": tenant,
        "source": source,
        "kind": kind,
        "event_id": event_id,
        "epoch": epoch,
        "revision": revision,
        "digest": digest,
        "scope": retraction.place.scope,
        "start_ms": retraction.place.start_ms,
    }
    return Outgoing(retraction.place.key.encode(), msgspec.json.encode(value), (), timestamp_ms)


def sum_record(change: PaneSum, own: Tally | None = None) -> Outgoing:
    """A pane's sums for readers of teams: key tenant/start/scope, value version and tally; sources as a header.

    Readers of a version that knows no sources pass over the header. `own`: every own measure at the place, when they
    are whole there; they follow the tally.
    """
    key, start_ms = change.place
    tenant, _, scope = key.partition("/")
    head = _encode((tenant, scope, start_ms, change.version.to_bytes(VERSION_BYTES, "big")))
    headers = [(SOURCES, " ".join(change.sources).encode())] if change.sources else ()
    # An array of 4; the tally, packed already, makes it 5, and own measures 6.
    rest = change.packed_tally if own is None else change.packed_tally + pack_tally(own)
    value = (b"\x95" if own is None else b"\x96") + head[1:] + rest
    return Outgoing(f"{tenant}/{start_ms}/{scope}".encode(), value, headers)


@dataclass(frozen=True, slots=True)
class FlushPorts:
    """What a flush needs of the rest of the worker."""

    acknowledge: Callable[[int, int, int], bool]
    """(partition, next offset, generation) -> False when the generation is over."""
    sink_committed: Callable[[int], int | None]
    """Offset of the pane topic that the sink has committed."""
    clock_s: Callable[[], float]
    failed: Callable[[BaseException], None]
    may_flush: Callable[[int, int], bool] = lambda partition, published_to: True
    """(partition, offset behind the last published pane record) -> False to wait. For a broker that keeps little."""


class Flusher:
    """Flushes all shards of a worker."""

    def __init__(
        self, shards: Shards, publisher: Publisher, topics: Topics, ports: FlushPorts, metrics: WorkerMetrics
    ) -> None:
        self._shards = shards
        self._publisher = publisher
        self._topics = topics
        self._ports = ports
        self._metrics = metrics
        self._partitions = 0
        self._published_to: dict[int, int] = {}
        self._began_s: dict[int, float] = {}
        """When the last flush of each partition began."""
        self._done = asyncio.Event()
        self._broken: BaseException | None = None
        """What the first failed flush failed with: what it held is in nobody's hands, so none may follow it."""
        self._tasks: set[asyncio.Task[None]] = set()

    def start_due(self, partitions: int, catching_up_s: float = 0.0) -> None:
        """Start a flush for every shard that has something and none in flight.

        One that still catches up is left alone for `catching_up_s` after its last flush began.
        """
        self._partitions = partitions
        if self._broken is not None:
            return
        for shard in self._shards.held():
            number = shard.partition.number
            held_back = not self._ports.may_flush(number, self._published_to.get(number, 0))
            if catching_up_s and not shard.caught_up:
                since_s = self._ports.clock_s() - self._began_s.get(number, -catching_up_s)
                held_back = held_back or since_s < catching_up_s
            if shard.unpublished and not shard.publishing and not held_back:
                shard.publishing = True
                task = asyncio.get_running_loop().create_task(self._run(shard))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def room(self, shard: Shard, limit: int) -> None:
        """Wait until fewer than `limit` records of the shard, and not too many bytes, wait for a flush."""
        while (
            (shard.unflushed >= limit or shard.waiting_bytes >= _WAITING_BYTES) and shard.ready and self._broken is None
        ):
            self._done.clear()
            self.start_due(self._partitions)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._done.wait(), _HELD_BACK_S)

    async def drain(self) -> None:
        """Flush until nothing is left unpublished; for an orderly stop. Raises what a flush failed with."""
        while True:
            if self._broken is not None:
                raise self._broken
            self.start_due(self._partitions)
            if not any(shard.unpublished or shard.publishing for shard in self._shards.held()):
                return
            await (asyncio.wait(self._tasks) if self._tasks else asyncio.sleep(_HELD_BACK_S))

    async def _run(self, shard: Shard) -> None:
        try:
            await self._flush(shard)
        except BaseException as error:
            self._broken = error
            if isinstance(error, asyncio.CancelledError):
                raise
            self._ports.failed(error)
        finally:
            shard.publishing = False
            self._done.set()

    async def _flush(self, shard: Shard) -> None:
        self._began_s[shard.partition.number] = began_s = self._ports.clock_s()
        number, generation = shard.partition.number, shard.generation
        flush = shard.partition.snapshot(self._ports.sink_committed(number))
        forwards, dead_letters = shard.take_others()
        shard.unflushed = 0
        shard.changed.update(change.place for change in flush.sums)
        sums = [sum_record(change, shard.whole_sums(change.place)) for change in flush.sums]
        await self._publish_others(flush, sums, forwards, dead_letters)
        changelog = [Outgoing(key, value) for key, value in flush.changelog]
        offsets = await self._publisher.publish(self._topics.panes, number, changelog)
        if offsets:
            self._published_to[number] = offsets[-1] + 1
        published_s = self._ports.clock_s()
        self._metrics.publish_seconds.observe(published_s - began_s)
        if shard.generation != generation:
            return
        for (key, value), offset in zip(flush.changelog, offsets, strict=True):
            shard.partition.published(key, offset, value is None)
        if self._ports.acknowledge(number, flush.upto, generation):
            shard.partition.acknowledged(flush)
        self._metrics.moves.inc(len(flush.retractions))
        self._metrics.flush_seconds.observe(self._ports.clock_s() - began_s)

    async def _publish_others(
        self, flush: Flush, sums: list[Outgoing], forwards: list[Outgoing], dead_letters: list[Outgoing]
    ) -> None:
        """Everything of a flush that is not the changelog."""
        topics, publish = self._topics, self._publisher.publish_keyed
        out: list[Awaitable[object]] = []
        to_events = [*forwards, *(retraction_record(each, flush.newest_ms) for each in flush.retractions)]
        if to_events:
            out.append(publish(topics.events, to_events, lambda key: partition_of(key, self._partitions)))
        if dead_letters:
            out.append(self._publisher.publish(topics.dead_letters, 0, dead_letters))
        if sums:
            out.append(publish(topics.team_panes, sums, self._tenant_partition))
        if out:
            await asyncio.gather(*out)

    async def publish_sums(self, records: list[Outgoing]) -> None:
        """Publish sums of panes for readers of teams, which were published without own measures before."""
        await self._publisher.publish_keyed(self._topics.team_panes, records, self._tenant_partition)

    def _tenant_partition(self, key: bytes) -> int:
        return partition_of(key.partition(b"/")[0], self._partitions)
