"""World: workers and a sink on a broker in memory, around the real `Partition` and `RowPlan`.

One seed is one history: crashes between any two publishes, paused workers that go on as zombies, eager rebalances
with memory kept or forgotten, processes replaced within a generation, compaction at any time, recovery in pieces, a
sink that crashes or is away for long, brokers whose clocks are hours apart. A defect is planted by a subclass
(`defects.py`); `worker_and_sink.py` runs histories and judges them.
"""

from dataclasses import dataclass

from kpistream.core.keys import BLOCK_KEYS
from kpistream.core.partition import Flush, Partition, PartitionSettings, Retraction
from kpistream.core.placing import Accepted, Place
from kpistream.core.rows import PaneRow, RowPlan
from tests.laws.broker import PANE_MS, Broker, Sums, retraction_of, sums_of

FAULTS = ("crash", "pause", "resume", "resume", "resume", "rebalance", "sink", "replace", "sink_away", "skew")
STORM = ("rebalance", "rebalance", "rebalance", "pause", "resume", "resume", "replace", "crash")
"""What goes wrong in a history of rebalances and little else: 50 and more of them."""


@dataclass(slots=True)
class InFlight:
    """A flush on its way: what is still to be published."""

    flush: Flush
    generation: int
    changelog: list[tuple[bytes, bytes | None]]
    retractions: list[Retraction]
    acknowledged: bool = False
    begun: bool = False


class Shard:
    """The shell's side of one partition in one worker."""

    def __init__(self, partition: Partition) -> None:
        self.partition = partition
        self.position = 0
        self.acknowledged = 0
        self.target: int | None = None
        """End of the changelog that recovery reads to; None: wherever the end is by then."""
        self.flights: list[InFlight] = []
        self.reply: int | None = None
        """Offset of a commit that succeeded and of which the worker has not heard yet."""


class Worker:
    """One process: its shards, and the generation that it knows of."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.generation = -1
        self.paused = False
        self.mine: list[int] = []
        self.shards: dict[int, Shard] = {}


class World(Broker):
    """One history of everything."""

    partition_type: type[Partition] = Partition
    plan_type: type[RowPlan] = RowPlan

    def __init__(self, seed: int, traced: bool = False) -> None:
        super().__init__(seed, traced)
        r = self.rnd
        self.generation, self.serial = 0, 0
        self.owner: dict[int, Worker] = {}
        self.workers = [self.spawn() for _ in range(r.choice((1, 2, 2, 3)))]
        self.facts: dict[Place, dict[str, tuple[int, Accepted]]] = {}
        self.rows: dict[Place, dict[int, set[Sums]]] = {}
        self.facts_committed, self.panes_committed = [0] * self.count, [0] * self.count
        self.start_sink()
        self.steps = r.choice((200, 400, 700))
        self.piece = r.choice((2, 1000))
        self.rate = {
            "produce": r.choice((0.3, 1)),
            "work": r.choice((5, 5, 1.5)),
            "sink": r.choice((0.2, 1, 2)),
            "poll": r.choice((0.15, 0.15, 0.03)),
            "publish": r.choice((0.5, 0.5, 0.15)),
            "tick": r.choice((0.2, 0.2, 1)),
            "fault": r.choice((0.05, 0.15, 0.4)),
            "mid": r.choice((0, 0.1, 0.3)),
            "recover": r.choice((1, 0.15)),
            "compact": r.choice((0.05, 0.5)),
        }
        self.block_keys = r.choice((1, 3, BLOCK_KEYS))
        self.faults = r.choice((FAULTS, FAULTS, FAULTS, STORM))
        self.sink_away = False
        for number in range(r.choice((3, 6, 10))):
            self.plan(f"acme/pbx/call/{number}")
        self.todo.sort(key=lambda item: item[0])

    def spawn(self) -> Worker:
        """A new process."""
        self.serial += 1
        return Worker(f"w{self.serial}")

    # ---- group

    def rebalance(self) -> None:
        """A new generation; most partitions stay where they are."""
        r, able = self.rnd, [worker for worker in self.workers if not worker.paused]
        if not able:
            return
        self.generation += 1
        for p in range(self.count):
            if self.owner.get(p) not in able or r.random() < 0.4:
                self.owner[p] = r.choice(able)
        self.log(f"rebalance to generation {self.generation}:", {p: worker.name for p, worker in self.owner.items()})

    def poll(self, worker: Worker) -> None:
        """The worker learns of the rebalance: all partitions are revoked, some come back."""
        if worker.generation == self.generation:
            return
        worker.generation = self.generation
        worker.mine = [p for p in self.owner if self.owner[p] is worker]
        for p, shard in worker.shards.items():
            shard.reply = None
            if shard.flights and self.rnd.random() < 0.5:
                shard.flights = []  # cancelled; else it goes on publishing
            if p not in worker.mine and self.rnd.random() < 0.5:
                shard.partition.forget()
        for p in worker.mine:
            if p not in worker.shards:
                settings = PartitionSettings(
                    self.writer(worker), PANE_MS, self.horizon * PANE_MS, self.chunk_bytes, seal_after=2, history=True
                )
                partition = self.partition_type(p, settings)
                partition.keys.block_keys = self.block_keys
                worker.shards[p] = Shard(partition)
            self.assign(worker.shards[p], p)
        self.log(worker.name, "sees generation", worker.generation, "owns", worker.mine)

    def assign(self, shard: Shard, p: int) -> None:
        """The partition is the worker's from here on."""
        shard.partition.assigned()
        shard.position = shard.acknowledged = self.committed[p]
        shard.target = None

    def writer(self, worker: Worker) -> str:
        """What the worker calls itself in changelog keys."""
        return worker.name

    # ---- worker

    def recover(self, worker: Worker, p: int) -> None:
        """Read a piece of the changelog, up to its end as it is now: see `TargetAtAssignment` for why."""
        shard = worker.shards[p]
        end = self.end[p] if shard.target is None else shard.target
        start = self.panes_from(p, shard.partition.persisted + 1)
        stop = self.panes_from(p, end)
        for offset, key, value in self.panes[p][start : min(stop, start + self.piece)]:
            shard.partition.recover(offset, key, value)
        if start + self.piece >= stop:
            shard.partition.recovered(end)
            self.log(worker.name, f"recovered panes[{p}] to {end}: {partition_words(shard.partition)}")

    def fetch(self, worker: Worker, p: int) -> None:
        """Hand a batch of records in."""
        shard = worker.shards[p]
        batch = self.events[p][shard.position : shard.position + self.rnd.randint(1, 3)]
        for offset, record in enumerate(batch, shard.position):
            if record.event is not None:
                shard.partition.accept(record.event, offset)
        shard.position += len(batch)
        shard.partition.advance(shard.position, max(record.timestamp_ms for record in batch))
        self.log(worker.name, f"joined events[{p}] to {shard.position - 1}")

    def flush(self, worker: Worker, p: int) -> None:
        """Take what must be published."""
        shard = worker.shards[p]
        if not shard.partition.unpublished:
            return
        flush = shard.partition.snapshot(self.panes_committed[p] or None)
        retractions = list(flush.retractions)
        self.rnd.shuffle(retractions)
        shard.flights.append(InFlight(flush, worker.generation, list(flush.changelog), retractions))
        keys = [("" if value else "-") + key.decode() for key, value in flush.changelog]
        self.log(
            worker.name, f"flush of {p} up to {flush.upto - 1}:", keys, [(r.identity, r.place) for r in retractions]
        )

    def publish(self, worker: Worker, p: int) -> None:
        """One record of a flush reaches the broker; after the last one the flush is acknowledged."""
        shard = worker.shards[p]
        flight = self.rnd.choice([*shard.flights[:1], *shard.flights[1:] * 4])  # a second one only if planted
        waiting = [queue for queue in (flight.changelog, flight.retractions) if queue]
        if waiting:
            flight.begun = True
            if self.rnd.choice(waiting) is flight.changelog:
                key, value = flight.changelog.pop(0)
                offset = self.append_pane(p, key, value)
                self.log(worker.name, f"publishes panes[{p}]@{offset}", "" if value else "-", key.decode())
                if flight.generation == worker.generation and shard.partition.at.recovered:
                    shard.partition.published(key, offset, value is None)
            else:
                self.append_event(retraction_of(flight.retractions.pop(0)))
        done = not (flight.changelog or flight.retractions)
        if (done or self.early(flight)) and not flight.acknowledged:
            flight.acknowledged = True
            if flight.generation == worker.generation and p in worker.mine:
                shard.partition.acknowledged(flight.flush)
                shard.acknowledged = shard.partition.at.acknowledged
        if done:
            shard.flights.remove(flight)

    def early(self, flight: InFlight) -> bool:
        """May a flush be acknowledged before all of it is published?"""
        return False

    def commit(self, worker: Worker, p: int) -> None:
        """Commit what is acknowledged, or hear that the last commit succeeded."""
        shard = worker.shards[p]
        if shard.reply is not None:
            shard.partition.committed(shard.reply)
            shard.reply = None
            return
        good = worker.generation == self.generation and self.owner[p] is worker
        if good:
            self.committed[p] = max(self.committed[p], shard.acknowledged)
            shard.reply = shard.acknowledged
        self.log(worker.name, f"commits events[{p}] {shard.acknowledged}", "" if good else "REFUSED")

    def work(self, worker: Worker, zombie: bool = False) -> None:
        """One step of a worker."""
        r = self.rnd
        if not zombie and r.random() < self.rate["poll"]:
            self.poll(worker)
        if not worker.shards:
            return self.poll(worker)
        p = r.choice(sorted(worker.shards))
        shard, mine = worker.shards[p], p in worker.mine
        if shard.flights and (r.random() < self.rate["publish"] or not mine):
            return self.publish(worker, p)
        if not mine:
            return None
        if not shard.partition.at.recovered:
            return self.recover(worker, p) if r.random() < self.rate["recover"] else None
        act = r.choice(("fetch", "flush", "commit"))
        if act == "fetch" and shard.position < len(self.events[p]):
            self.fetch(worker, p)
        elif act == "flush" and self.may_flush(worker, shard):
            self.flush(worker, p)
        elif act == "commit" and (shard.reply is not None or shard.acknowledged > self.committed[p]):
            self.commit(worker, p)
        return None

    def may_flush(self, worker: Worker, shard: Shard) -> bool:
        """At most one flush is in flight, also across generations."""
        return not shard.flights

    # ---- sink

    def start_sink(self) -> None:
        """A sink starts where the last one committed."""
        self.facts_read, self.panes_read = list(self.facts_committed), list(self.panes_committed)
        self.plans = [self.plan_type() for _ in range(self.count)]
        for p, plan in enumerate(self.plans):
            plan.facts_written(self.facts_read[p])
        self.writing: list[tuple[int, list[PaneRow]]] = []
        self.answering: list[tuple[int, list[Place], int]] = []

    def sink(self) -> None:
        """One step of the sink."""
        if self.sink_away:
            return
        r, p = self.rnd, self.rnd.randrange(self.count)
        act = r.choice(("facts", "facts", "panes", "panes", "rows", "rows", "marks", "commit", "commit"))
        plan = self.plans[p]
        if act == "facts":
            for record in self.events[p][self.facts_read[p] : self.facts_read[p] + r.randint(1, 4)]:
                if record.event is not None:
                    self.write_fact(record.event)
                self.facts_read[p] += 1
            plan.facts_written(self.facts_read[p])
        elif act == "panes":
            first = self.panes_from(p, self.panes_read[p])
            for offset, key, value in self.panes[p][first : first + r.randint(1, 5)]:
                plan.read(offset, key, value)
                self.panes_read[p] = offset + 1
        elif act == "rows":
            self.write_rows(p)
        elif act == "marks":
            self.answer_marks(p)
        elif r.random() < 0.5:
            self.facts_committed[p] = max(self.facts_committed[p], self.facts_read[p])
        elif not plan.pending_rows:
            self.panes_committed[p] = max(self.panes_committed[p], plan.committable() or 0)

    def write_fact(self, event: Accepted) -> None:
        """A row of facts: its place is part of its key, its version is its rank."""
        facts = self.facts.setdefault(Place(event.key, event.start_ms), {})
        if event.identity not in facts or event.rank > facts[event.identity][0]:
            facts[event.identity] = (event.rank, event)

    def write_rows(self, p: int) -> None:
        """The store takes rows; it confirms them a step later."""
        for it in [it for it in self.writing if it[0] == p]:
            self.plans[p].rows_written(it[1])
            self.writing.remove(it)
        rows = self.plans[p].rows()
        for row in rows:
            self.write_row(row.place, row.version, tuple(sorted(row.tally.items())))
        self.writing.append((p, rows))

    def answer_marks(self, p: int) -> None:
        """The store rewrites rows of closed panes from its facts; it confirms them a step later."""
        for it in [it for it in self.answering if it[0] == p]:
            self.plans[p].marks_answered(it[1], it[2])
            self.answering.remove(it)
        places = self.plans[p].due_marks()
        for place in places:
            facts = self.facts.get(place, {}).values()
            self.write_row(place, sum(rank + 1 for rank, _ in facts), sums_of([event for _, event in facts]))
            self.log("sink rewrites", place, "from facts", [(event.identity, rank) for rank, event in facts])
        self.answering.append((p, places, self.plans[p].events_written))

    def write_row(self, place: Place, version: int, sums: Sums) -> None:
        """The store keeps the highest version; of two rows of one version it may keep either."""
        self.rows.setdefault(place, {}).setdefault(version, set()).add(sums)

    # ---- faults

    def crash(self, index: int) -> None:
        """A worker dies; another starts in its place."""
        self.log(self.workers[index].name, "crashes")
        self.workers[index] = self.spawn()
        self.rebalance()

    def replace(self, index: int) -> None:
        """A new process takes the place of a stalled one at once: static membership makes no new generation."""
        old, new = self.workers[index], self.spawn()
        old.paused = True
        self.workers.append(new)
        for p in [p for p, owner in self.owner.items() if owner is old]:
            self.owner[p] = new
        self.log(new.name, "replaces", old.name, "which stalls")

    def pause(self, worker: Worker) -> None:
        """A worker stops in the middle of what it does."""
        worker.paused = True
        self.log(worker.name, "is paused")
        if self.rnd.random() < 0.8:
            self.rebalance()

    def fault(self) -> None:
        """Something goes wrong."""
        r, index = self.rnd, self.rnd.randrange(len(self.workers))
        what = r.choice(self.faults)
        busy = [it for it in self.workers if not it.paused and any(shard.flights for shard in it.shards.values())]
        worker = r.choice(busy) if busy and what == "pause" else self.workers[index]
        if what == "crash":
            self.crash(index)
        elif what == "pause" and not worker.paused:
            self.pause(worker)
        elif what == "resume" and worker.paused:
            worker.paused = False
            self.log(worker.name, "resumes")
            for _ in range(r.choice((0, 2, 6))):  # a zombie goes on with what it was doing, before it polls
                self.work(worker, zombie=True)
        elif what == "rebalance":
            self.rebalance()
        elif what == "sink":
            self.start_sink()
            self.log("sink crashes; resumes at", self.facts_read, self.panes_read)
        elif what == "replace" and not worker.paused:
            self.replace(index)
        elif what == "sink_away":
            self.sink_away = not self.sink_away
        elif what == "skew":
            self.skew[r.randrange(self.count)] = r.choice((-3, 0, 0, 2, 6))


def partition_words(partition: Partition) -> str:
    """A partition in a trace."""
    panes = {tuple(pane.place): sorted(pane.entries) for pane in partition.live_panes()}
    return f"frontier {partition.frontier_ms}, {panes}"
