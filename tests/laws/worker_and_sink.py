"""The whole worker and sink against plain recomputation, in any number of seeded histories.

`python -m tests.laws.worker_and_sink --seeds N --first S [--plant NAME] [--all]` from the repository's root with
`PYTHONPATH=src`. Without a plant there must be no violation; with one there must be some (`--all` tries every
plant in turn and says after how many runs it was found). A found violation is printed with its trace.
"""

import argparse
from typing import NamedTuple

from kpistream.core.changelog import start_of_key
from kpistream.core.placing import Accepted, Place
from tests.laws.broker import Sums, agent, event_of, sums_of
from tests.laws.defects import DEFECTS, world_of
from tests.laws.world import World

REST = 400
"""Rounds of 40 steps after which everything must have come to rest."""
LATER_MS = 9_000_000
"""Start of a pane that no history reaches."""
RESTLESS = "something is never finished"


class Violation(NamedTuple):
    """A row that is not what it should be."""

    seed: int
    words: str
    trace: list[str]


def step(world: World, kinds: tuple[str, ...]) -> None:
    """One step of whatever comes next."""
    what = world.rnd.choices(kinds, [world.rate[kind] for kind in kinds])[0]
    able = [worker for worker in world.workers if not worker.paused]
    if what == "work" and able:
        worker = world.rnd.choice(able)
        world.work(worker)
        begun = any(flight.begun for shard in worker.shards.values() for flight in shard.flights)
        if "fault" in kinds and begun and world.rnd.random() < world.rate["mid"]:
            what = world.rnd.choice(("crash", "rebalance", "pause", "pause"))  # in the middle of a flush
            if what == "crash":
                world.crash(world.workers.index(worker))
            elif what == "pause":
                world.pause(worker)
            else:
                world.rebalance()
    elif what == "tick":
        world.clock += world.rnd.random() < 0.2
    elif what != "work":
        getattr(world, what)()


def idle(world: World) -> bool:
    """True when there is nothing left to do."""
    for p, worker in world.owner.items():
        shard = worker.shards.get(p)
        if worker.generation != world.generation or shard is None or not shard.partition.at.recovered:
            return False
        if shard.flights or shard.partition.unpublished or world.plans[p].pending_rows or world.plans[p].waiting_marks:
            return False
        if min(world.committed[p], world.facts_read[p]) < len(world.events[p]):
            return False
        if world.panes_from(p, world.panes_read[p]) < len(world.panes[p]):
            return False
    return not any(shard.flights for worker in world.workers for shard in worker.shards.values())


def drain(world: World) -> bool:
    """Let everything come to rest, without faults; False when it does not."""
    for worker in world.workers:
        worker.paused = False
    world.sink_away, world.skew = False, [0] * world.count
    world.rate.update(work=1, sink=1, compact=0.1, publish=0.5, poll=0.15, recover=1)
    world.piece = 1000
    for _ in range(REST):
        for _ in range(40):
            step(world, ("work", "work", "work", "sink", "sink", "compact"))
        if idle(world):
            return True
    return False


def check(world: World, when: str) -> str | None:
    """What is wrong with the rows, None when nothing is."""
    best: dict[str, Accepted] = {}
    for event in (event for event in world.accepted if not event.retracts):
        if event.identity not in best or event.rank > best[event.identity].rank:
            best[event.identity] = event
    groups: dict[Place, list[Accepted]] = {}
    for event in best.values():
        groups.setdefault(Place(event.key, event.start_ms), []).append(event)
    for place in sorted(set(groups) | set(world.rows)):
        want: Sums = sums_of(groups.get(place, []))
        rows = world.rows.get(place, {0: {()}})
        if rows[max(rows)] != {want}:
            return f"{when}: row {tuple(place)} is {sorted(rows[max(rows)])}, should be {want}"
    return None


def run(world: World) -> str | None:
    """One history; says what is wrong at its end, None when nothing is."""
    world.rebalance()
    for _ in range(world.steps):
        step(world, ("produce", "work", "sink", "tick", "fault", "compact"))
    while world.todo:
        world.produce()
    wrong = check(world, "after the faults") if drain(world) else RESTLESS
    if wrong:
        return wrong
    if world.rnd.random() < 0.2:
        world.committed = [0] * world.count
        world.log("committed offsets are lost")
    for index in range(len(world.workers)):
        world.crash(index)
    places = sorted({Place(event.key, event.start_ms) for event in world.accepted})
    for number, place in enumerate(places):
        world.append_event(event_of(f"acme/probe/call/{number}", (1, 0), place, 1000 + number))
    wrong = check(world, "after restart and probes") if drain(world) else RESTLESS
    return wrong or untidy(world)


def untidy(world: World) -> str | None:
    """What the changelog holds too much of once its owners have published every pane; None when nothing.

    Some more events for each partition, each brought to rest: for commits, for tombstones, and for the sink.
    """
    for number in range(8):
        for scope in range(world.count):
            place = Place(agent(scope), LATER_MS)
            world.append_event(event_of(f"acme/tidy/call/{number}-{scope}", (1, 0), place, 1))
        if not drain(world):
            return RESTLESS
        world.panes_committed = [plan.committable() or 0 for plan in world.plans]
        words = superfluous(world)
        if words is None:
            return None
    return words


def superfluous(world: World) -> str | None:
    """Keys in the compacted changelog that no recovery and no sink needs, None when there are none."""
    for p, owner in world.owner.items():
        partition = owner.shards[p].partition
        world.compact_to(p, world.end[p])
        keys = [key for _, key, _ in world.panes[p] if not key.startswith(b"F/")]
        foreign = [key for key in keys if f"#{partition.writer}/".encode() not in key]
        closed = [key for key in keys if (start_of_key(key) or 0) < partition.frontier_ms]
        if foreign or closed:
            return f"panes[{p}] keeps {foreign} of earlier writers, {closed} of closed panes"
    return None


def search(first: int, seeds: int, plant: str = "", stop: bool = False) -> tuple[int, list[Violation]]:
    """Runs made, and what was found; with `stop` only until something is found."""
    kind, found = world_of(plant), []
    for seed in range(first, first + seeds):
        words = run(kind(seed))
        if words:
            found.append(Violation(seed, words, []))
            if stop:
                return seed - first + 1, found
    return seeds, found


def traced(violation: Violation, plant: str = "") -> Violation:
    """The same history again, with its trace."""
    world = world_of(plant)(violation.seed, traced=True)
    words = run(world)
    assert words == violation.words, "a history must depend on its seed alone"
    return violation._replace(trace=world.trace or [])


def main() -> int:
    """Search by hand."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--plant", default="", choices=("", *DEFECTS))
    parser.add_argument("--all", action="store_true", help="every plant in turn, until it is found")
    parser.add_argument("--quiet", action="store_true", help="no trace")
    options = parser.parse_args()
    if options.all:
        missed = 0
        for name, defect in DEFECTS.items():
            runs, found = search(options.first, options.seeds, name, stop=True)
            missed += not found
            print(f"{name:22} {'found at run' if found else 'NOT FOUND in'} {runs:<6} {defect.words}", flush=True)
        return 1 if missed else 0
    runs, found = search(options.first, options.seeds, options.plant)
    print(f"runs {runs} (first seed {options.first}), violations {len(found)}")
    if found:
        shortest = min((traced(it, options.plant) for it in found[:20]), key=lambda it: len(it.trace))
        print(f"seeds {[it.seed for it in found[:20]]}\nseed {shortest.seed}: {shortest.words}")
        print("" if options.quiet else "\n".join(shortest.trace))
    return 1 if bool(found) != bool(options.plant) else 0


if __name__ == "__main__":
    raise SystemExit(main())
