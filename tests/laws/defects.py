"""Defects that are planted to see whether the simulation finds them: each breaks one rule of the protocol.

A defect of the core is a subclass of `Partition` or `RowPlan`; one of the shell is a subclass of `World`.
"""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from kpistream.core.changelog import FrontierRecord, MarkRecord, PaneRecord, encode_pane, frontier_key, mark_key, parse
from kpistream.core.homes import Homes
from kpistream.core.panes import Pane, unpack
from kpistream.core.partition import NOTHING, Flush, Outcome, Partition, Retraction
from kpistream.core.placing import Accepted, Place
from kpistream.core.rows import PaneRow, RowPlan
from tests.laws.world import InFlight, Shard, Worker, World

SAME = (Outcome.DUPLICATE, Outcome.STALE)


class ReplayNotDirty(Partition):
    def accept(self, event: Accepted, offset: int) -> Outcome:
        dirty = set(self.at.dirty)
        outcome = super().accept(event, offset)
        if outcome in SAME:
            for pane in set(self.at.dirty) - dirty:
                del self.at.dirty[pane]
        return outcome


class StoreEmptied(Partition):
    def assigned(self) -> None:
        super().assigned()
        self.panes, self.homes = {}, Homes(self.settings.horizon_ms)


class Overwrite(Partition):
    def _join_record(self, key: bytes, record: PaneRecord | MarkRecord | FrontierRecord) -> None:
        pane = self.panes.get(record.start_ms, {}).pop(record.key, None) if isinstance(record, PaneRecord) else None
        if pane is not None:
            for identity in pane.entries:
                self.homes.leave(identity, pane)
        super()._join_record(key, record)


class Reopen(Partition):
    def accept(self, event: Accepted, offset: int) -> Outcome:
        frontier_ms, self.frontier_ms = self.frontier_ms, NOTHING
        outcome = super().accept(event, offset)
        self.frontier_ms = frontier_ms
        return outcome


class TombstonesDoNotWait(Partition):
    def _buried_keys(self, sink_committed: int | None) -> list[bytes]:
        return super()._buried_keys(1 << 62)


class PaneTombstonesDoNotWait(Partition):
    def _buried_keys(self, sink_committed: int | None) -> list[bytes]:
        waited = super()._buried_keys(sink_committed)
        return waited + [key for key in super()._buried_keys(1 << 62) if key.startswith(b"P/") and key not in waited]


class LocalTombstones(Partition):
    """The places that an identity left are tombstoned in memory at once; a replay sends their retractions again."""

    resend = True

    def _retract_below(self, identity: str, rank: int) -> bool:
        known = dict(self.at.retractions)
        conflict = super()._retract_below(identity, rank)
        for it in [it for it in self.at.retractions if it not in known and it.identity == identity]:
            pane = self.panes.get(it.place.start_ms, {}).get(it.place.key)
            if pane is not None:
                pane.join(identity, it.rank, (), tombstone=True)
                self.at.dirty[pane] = None
        return conflict

    def accept(self, event: Accepted, offset: int) -> Outcome:
        outcome = super().accept(event, offset)
        if self.resend and not event.retracts:
            panes = self.homes.of(event.identity)
            held = [(pane.place, unpack(pane.entries[event.identity])) for pane in panes]
            top = max((entry.rank for _, entry in held), default=NOTHING)
            if any(entry.rank == top and not entry.tombstone for _, entry in held):
                for place, entry in held:
                    if entry.tombstone:
                        self.at.retractions[Retraction(event.identity, top, place)] = None
        return outcome


class LocalTombstonesOnce(LocalTombstones):
    resend = False


class LateLowSilent(Partition):
    def accept(self, event: Accepted, offset: int) -> Outcome:
        known = set(self.at.retractions)
        outcome = super().accept(event, offset)
        own = Place(event.key, event.start_ms)
        for it in [it for it in self.at.retractions if it.place == own and it not in known]:
            del self.at.retractions[it]
        return outcome


class ByScope(Partition):
    def accept(self, event: Accepted, offset: int) -> Outcome:
        known = set(self.at.retractions)
        outcome = super().accept(event, offset)
        for it in [it for it in self.at.retractions if it.place.key != event.key and it not in known]:
            if it.place != event.moved_from:
                del self.at.retractions[it]
        return outcome


class RetractIfChanged(Partition):
    def accept(self, event: Accepted, offset: int) -> Outcome:
        known = set(self.at.retractions)
        outcome = super().accept(event, offset)
        if outcome in SAME and event.moved_from is not None:
            announced = Retraction(event.identity, event.rank, event.moved_from)
            if announced not in known:
                self.at.retractions.pop(announced, None)
        return outcome


class ClosedNoMoved(Partition):
    def _accept_closed(self, event: Accepted, offset: int) -> Outcome:
        return super()._accept_closed(msgspec.structs.replace(event, moved_from=None), offset)


class CloseDropsDirty(Partition):
    def _close(self) -> None:
        marks = dict(self.at.marks)
        super()._close()
        self.at.marks = marks


class FrontierAhead(Partition):
    def _next_frontier(self) -> int | None:
        self.at.committed_newest_ms = self.at.joined_newest_ms
        return super()._next_frontier()


class AckHere(Partition):
    """Acknowledges where it has read to by now, not what the flush was taken from."""

    def acknowledged(self, flush: Flush) -> None:
        flush.upto = self.at.next_offset
        super().acknowledged(flush)


class Rekeyed(Partition):
    """Other keys for marks or frontiers."""

    def snapshot(self, sink_committed: int | None) -> Flush:
        flush = super().snapshot(sink_committed)
        flush.changelog = [(self.rekey(key, value), value) for key, value in flush.changelog]
        return flush

    def rekey(self, key: bytes, value: bytes | None) -> bytes:
        raise NotImplementedError


class WriterOfProcess(Partition):
    """Keys name the process, not the assignment."""

    @property
    def writer(self) -> str:
        return self.settings.writer


class NoWriter(WriterOfProcess):
    @property
    def writer(self) -> str:
        return ""


class SupersededAtOnce(Partition):
    """Keys of other writers are tombstoned without a commit that shows who owns the partition."""

    def acknowledged(self, flush: Flush) -> None:
        self.keys.superseded(self.at.superseded)
        super().acknowledged(flush)


class SupersededUnpublished(Partition):
    """Keys of other writers are tombstoned beside the record that holds what was under them."""

    def snapshot(self, sink_committed: int | None) -> Flush:
        flush = super().snapshot(sink_committed)
        gone = [other for key, value in flush.changelog if value for other in self.keys.earlier(key, self.writer)]
        flush.changelog = [(key, None) for key in gone] + flush.changelog
        return flush


class NeverSuperseded(Partition):
    def committed(self, offset: int) -> None:
        for fence in self.at.fences:
            fence.superseded = []
        super().committed(offset)


class PackedDoNotWait(Partition):
    def acknowledged(self, flush: Flush) -> None:
        super().acknowledged(flush)
        self.keys._blocks = [block._replace(last_offset=-1) for block in self.keys._blocks]


class MarkByPlace(Rekeyed):
    def mark(self, place: Place) -> bytes:
        return mark_key(place, 0)

    def rekey(self, key: bytes, value: bytes | None) -> bytes:
        record = parse(key, value) if value is not None and key.startswith(b"M/") else None
        return self.mark(record.place) if isinstance(record, MarkRecord) else key


class MarkByWriter(MarkByPlace):
    def mark(self, place: Place) -> bytes:
        return mark_key(place, int(float(self.writer[1:]) * 100))


class FrontierOneKey(Rekeyed):
    def rekey(self, key: bytes, value: bytes | None) -> bytes:
        return frontier_key(self.number, "") if key.startswith(b"F/") else key


class ChunkSums(Partition):
    """Each chunk carries the version and sums of itself, not of the whole pane."""

    def snapshot(self, sink_committed: int | None) -> Flush:
        dirty = list(self.at.dirty)
        flush = super().snapshot(sink_committed)
        split = [(key, value) for key, value in flush.changelog if value is None or not key.startswith(b"P/")]
        for pane in dirty:
            halves = [Pane(pane.key, pane.start_ms) for _ in range(2)]
            for number, identity in enumerate(pane.entries):
                halves[number % 2].entries[identity] = pane.entries[identity]
            for number, half in enumerate(halves):
                whole = Pane(pane.key, pane.start_ms)
                whole.join_pane(half)
                key, value = encode_pane(whole, self.settings.pane_ms, self.writer, 1)[0]
                split.append((key.replace(b"/0.1", f"/{number}.2".encode()), value))
        flush.changelog = split
        return flush


class CommitPastMarks(RowPlan):
    def committable(self) -> int | None:
        return self.panes_read if self.panes_read >= 0 else None


class MarkEarly(RowPlan):
    def due_marks(self) -> list[Place]:
        return list(dict.fromkeys(waiting.place for waiting in self._waiting))

    def marks_answered(self, places: list[Place], events_written: int) -> None:
        super().marks_answered(places, 1 << 62)


class MarkAnsweredByPlace(RowPlan):
    def marks_answered(self, places: list[Place], events_written: int) -> None:
        super().marks_answered(places, 1 << 62)


class LastInLog(RowPlan):
    def read(self, offset: int, key: bytes, value: bytes | None) -> None:
        record = parse(key, value) if value is not None and key.startswith(b"P/") else None
        if record is not None:
            self._rows.pop(record.place, None)  # type: ignore[union-attr]
        super().read(offset, key, value)


class RowsUnwritten(RowPlan):
    @property
    def pending_rows(self) -> int:
        return 0 if not getattr(self, "asked", False) else len(self._rows)

    def rows(self) -> list[PaneRow]:
        self.asked = True
        return super().rows()

    def committable(self) -> int | None:
        rows, self._rows = self._rows, {}
        offset = super().committable()
        self._rows = rows
        return offset


class LessOrEqual(World):
    def assign(self, shard: Shard, p: int) -> None:
        super().assign(shard, p)
        if shard.position < len(self.events[p]):
            shard.position += shard.position > 0


class AckFirst(World):
    def early(self, flight: InFlight) -> bool:
        return not flight.changelog


class AckBeforeChangelog(World):
    def early(self, flight: InFlight) -> bool:
        return not flight.retractions


class TwoFlushes(World):
    def may_flush(self, worker: Worker, shard: Shard) -> bool:
        return all(flight.generation != worker.generation for flight in shard.flights)


class FlushesOverlap(World):
    def may_flush(self, worker: Worker, shard: Shard) -> bool:
        return len(shard.flights) < 2


class KeepStale(World):
    def poll(self, worker: Worker) -> None:
        known = set(worker.shards)
        super().poll(worker)
        for p in worker.mine:
            if p in known and worker.shards[p].partition.persisted != NOTHING:
                worker.shards[p].target = 0


class NoRecovery(World):
    def assign(self, shard: Shard, p: int) -> None:
        super().assign(shard, p)
        shard.target = 0


class TargetAtAssignment(World):
    """A record that is compacted away before it is read may live on only in a zombie's record beyond that end."""

    def assign(self, shard: Shard, p: int) -> None:
        super().assign(shard, p)
        shard.target = self.end[p]


class FactsById(World):
    def write_fact(self, event: Accepted) -> None:
        for facts in self.facts.values():
            facts.pop(event.identity, None)
        super().write_fact(event)


class Defect(NamedTuple):
    """What is planted, and in words."""

    words: str
    partition: type[Partition] = Partition
    plan: type[RowPlan] = RowPlan
    world: type[World] = World


DEFECTS = {
    "less_or_equal": Defect("`<=` on read offsets: one event lost for each rebalance", world=LessOrEqual),
    "replay_not_dirty": Defect("a replayed event already in memory does not mark its pane dirty", ReplayNotDirty),
    "store_emptied": Defect("a kept partition is emptied and not read again", StoreEmptied),
    "reopen": Defect("an event below the frontier creates its pane again instead of a mark", Reopen),
    "ack_first": Defect("a flush is acknowledged before its retractions are published", world=AckFirst),
    "tomb_ungated": Defect("tombstones do not wait for the sink", TombstonesDoNotWait),
    "overwrite": Defect("recovery overwrites a pane instead of joining it", Overwrite),
    "no_writer": Defect("changelog keys without the writer", NoWriter),
    "facts_by_id": Defect("facts keyed by identity without the place", world=FactsById),
    "sink_last": Defect("the sink takes the last record of a place, not the highest version", plan=LastInLog),
    "two_flushes": Defect(
        "keys name the process, and a new generation flushes while a flush of the old one still publishes",
        WriterOfProcess,
        world=TwoFlushes,
    ),
    "writer_of_process": Defect("keys name the process, not the assignment", WriterOfProcess),
    "superseded_at_once": Defect("keys of earlier writers go without a commit in between", SupersededAtOnce),
    "superseded_early": Defect("keys of earlier writers go before what was under them is out", SupersededUnpublished),
    "superseded_never": Defect("keys of earlier writers stay until eviction", NeverSuperseded),
    "packed_first": Defect("packed keys do not wait for the sink", PackedDoNotWait),
    "flushes_overlap": Defect("two flushes of one generation overlap", world=FlushesOverlap),
    "local_tomb": Defect("the old place is tombstoned in memory at once", LocalTombstones),
    "local_no_resend": Defect("as local_tomb, and replay sends no retraction again", LocalTombstonesOnce),
    "late_low_silent": Defect("a lower rank that arrives later at another place is not retracted", LateLowSilent),
    "by_scope": Defect("identities are looked up for each scope, not for the partition", ByScope),
    "commit_past_marks": Defect("the sink commits past marks that wait for facts", plan=CommitPastMarks),
    "mark_early": Defect("a closed pane is rewritten without waiting for its facts", plan=MarkEarly),
    "mark_answered": Defect("an answer counts for marks that name later facts, too", plan=MarkAnsweredByPlace),
    "rows_unwritten": Defect("the sink commits past rows that are not written", plan=RowsUnwritten),
    "mark_by_place": Defect("marks keyed by place alone", MarkByPlace),
    "mark_by_writer": Defect("marks keyed by place and writer, not by offset", MarkByWriter),
    "frontier_one_key": Defect("frontier keyed without the writer", FrontierOneKey),
    "frontier_ahead": Defect("the frontier follows records that are not committed", FrontierAhead),
    "close_drops_dirty": Defect("a pane dirty while its frontier was in flight gets no mark", CloseDropsDirty),
    "tomb_panes": Defect("tombstones of panes do not wait for the sink, those of marks do", PaneTombstonesDoNotWait),
    "closed_no_moved": Defect("moved_from of an event for a closed pane is ignored", ClosedNoMoved),
    "retract_if_changed": Defect(
        "an announced retraction is sent only when the join changed something", RetractIfChanged
    ),
    "keep_stale": Defect("memory of a lost partition is used again without reading on", world=KeepStale),
    "no_recovery": Defect("records are accepted before recovery", world=NoRecovery),
    "target_at_assignment": Defect("recovery reads to the end seen at assignment", world=TargetAtAssignment),
    "ack_here": Defect("acknowledges what was read by now, not what was flushed", AckHere),
    "ack_unpublished": Defect("a flush is acknowledged before its panes are published", world=AckBeforeChangelog),
    "chunk_sums": Defect("a chunk carries its own sums, not those of the pane", ChunkSums),
}


def world_of(plant: str) -> Callable[..., World]:
    """A world with a defect, or without."""
    if not plant:
        return World
    defect = DEFECTS[plant]
    return type(defect.world.__name__, (defect.world,), {"partition_type": defect.partition, "plan_type": defect.plan})
