"""Runner: plays seeds. A seed says how many roles there are, what strikes and in which order; the same seed plays
the same plan, on traffic made from the same numbers.

One seed is one system of its own on a stage (a Kafka) that many seeds share: roles start, traffic flows, strikes
come one after the other, the traffic ends, everything must drain, all roles must stop in order, and the judge
compares. Whatever went wrong is in the result; the files of a seed that failed are kept.
"""

import contextlib
import json
import os
import shutil
import signal
import tempfile
import threading
import time
import traceback
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from kpistream.history.store import open_store
from tests.faults import verdict
from tests.faults.feed import Feed
from tests.faults.floor import HardFloor
from tests.faults.nursery import ForkedSystem, Nursery
from tests.faults.scene import Scene
from tests.faults.standstill import Standstill
from tests.faults.strikes import BROKER, Strike, all_strikes, stage, stages
from tests.front.process import Front
from tests.live.broker import Broker
from tests.live.system import LIMIT_S, System

PARTITIONS: Final = 4
RATE: Final = 120
"""Records a second."""
WARM: Final = 200
"""Records before the first strike, and between two."""
DRAIN_LIMIT_S: Final = 300


@dataclass(frozen=True, slots=True)
class Plan:
    """What a seed does."""

    seed: int
    stage: str
    strikes: tuple[str, ...]
    workers: int
    sinks: int
    horizon_hours: int
    settings: dict[str, object]


@dataclass(slots=True)
class Struck:
    """One strike as it went."""

    name: str
    took_s: float = 0.0
    """Until it was put right."""
    calm_s: float = 0.0
    """Until workers and sinks had committed everything that was there when it had been put right."""
    worker_still_s: float | None = None
    """Longest standstill; None when it could not be measured."""
    sink_still_s: float | None = None


@dataclass(slots=True)
class Result:
    """One seed as it went."""

    seed: int
    stage: str
    workers: int
    sinks: int
    horizon_hours: int
    strikes: list[Struck] = field(default_factory=list)
    records: int = 0
    cells: int = 0
    verdict: str = ""
    seconds: float = 0.0
    load: float = 0.0
    """Load average of the machine when it ended: other work makes it slow."""
    ended: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """True when nothing is wrong."""
        return not self.faults

    def line(self) -> str:
        """The seed in one line."""
        struck = ", ".join(f"{each.name} {_seconds(each.worker_still_s)}" for each in self.strikes)
        roles = f"{self.workers}w{self.sinks}s"
        word = "ok  " if self.good else "FAIL"
        return f"{word} seed {self.seed} {self.seconds:.0f} s {roles} {self.records} records; {self.verdict}; {struck}"


@stage(BROKER)
@contextmanager
def one_broker(directory: Path) -> Iterator[Broker]:
    """One Apache Kafka."""
    with Broker(heap_mb=512) as broker:
        yield broker


def _seconds(still_s: float | None) -> str:
    return "not measured" if still_s is None else f"{still_s:.1f} s"


def planned(seed: int, names: Sequence[str] = (), stage_name: str = "") -> Plan:
    """The plan of a seed; with `names` those strikes, in that order, and all else from the seed."""
    known, chance = all_strikes(), Random(seed)
    pool = [each for each in known.values() if not stage_name or each.stage == stage_name]
    chosen = [known[name] for name in names] or _chosen(seed, pool)
    return Plan(
        seed,
        chosen[0].stage,
        tuple(each.name for each in chosen),
        max(chance.randrange(1, 4), *(each.workers for each in chosen)),
        max(chance.randrange(1, 3), *(each.sinks for each in chosen)),
        chance.choice((1, 36)),
        {name: value for each in chosen for name, value in each.settings.items()},
    )


def _chosen(seed: int, pool: list[Strike]) -> list[Strike]:
    """The seed's hand: all strikes are shuffled and dealt out, again and again, so that none is left out for long."""
    assert pool, "no strike is known there"
    deck, left = 0, seed
    while True:
        hands = _dealt(Random(f"deck {deck}"), list(pool))
        if left < len(hands):
            return hands[left]
        deck, left = deck + 1, left - len(hands)


def _dealt(chance: Random, pool: list[Strike]) -> list[list[Strike]]:
    """The pool in hands of two or three strikes that fit: one stage, settings that do not clash."""
    chance.shuffle(pool)
    hands: list[list[Strike]] = []
    while pool:
        hand, wanted = [pool.pop(0)], chance.randrange(2, 4)
        for each in list(pool):
            if len(hand) < wanted and _fits(hand, each):
                hand.append(each)
                pool.remove(each)
        hands.append(hand)
    return hands


def _fits(hand: list[Strike], each: Strike) -> bool:
    if each.alone or any(one.alone or one.stage != each.stage for one in hand):
        return False
    settled = {name: value for one in hand for name, value in one.settings.items()}
    return all(settled.get(name, value) == value for name, value in each.settings.items())


class Runner:
    """Plays plans on stages that stay up between them."""

    def __init__(self, front: Front, directory: Path) -> None:
        self._front = front
        self._directory = directory
        self._open = ExitStack()
        self._stages: dict[str, Any] = {}
        self._nursery = Nursery()
        self._open.callback(self._nursery.close)

    def __enter__(self) -> "Runner":
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def play(self, plan: Plan) -> Result:
        """Play one seed. Only a stage that cannot be set up raises."""
        kafka = self._stage(plan.stage)
        result = Result(plan.seed, plan.stage, plan.workers, plan.sinks, plan.horizon_hours)
        directory = Path(tempfile.mkdtemp(prefix=f"seed-{plan.seed}-", dir=self._directory))
        began_s = time.monotonic()
        try:
            self._play(plan, kafka, directory, result)
        except BaseException as error:
            result.faults.append("".join(traceback.format_exception(error))[-6000:])
            if not isinstance(error, Exception):
                raise
        finally:
            result.seconds, result.load = round(time.monotonic() - began_s, 1), round(os.getloadavg()[0], 1)
        if result.good:
            shutil.rmtree(directory, ignore_errors=True)
        else:
            (directory / "result.json").write_text(json.dumps(asdict(result), indent=1))
            result.notes.append(f"files are in {directory}")
        return result

    def _stage(self, name: str) -> Any:
        if name not in self._stages:
            directory = Path(tempfile.mkdtemp(prefix=f"stage-{name}-", dir=self._directory))
            self._stages[name] = self._open.enter_context(stages()[name](directory))
        self._stages[name].start()
        self._front.start()
        return self._stages[name]

    def _play(self, plan: Plan, kafka: Any, directory: Path, result: Result) -> None:
        database = f"faults_{uuid.uuid4().hex[:8]}"
        system = ForkedSystem(
            kafka,
            directory,
            partitions=PARTITIONS,
            store=self._front.url(database),
            **{"horizon_hours": plan.horizon_hours, "sink_ms": 500, **plan.settings},
        )
        system.store, system.nursery = self._front.url(database), self._nursery
        with system:
            try:
                scene = self._scene(plan, system, kafka, result)
                _played(scene, plan, result)
            finally:
                _clear(system, result.faults)

    def _scene(self, plan: Plan, system: System, kafka: Any, result: Result) -> Scene:
        floor = HardFloor(int(time.time() * 1000), seed=plan.seed, partitions=PARTITIONS)
        feed = Feed(system.kafka.bootstrap, system.topic("events"), floor.endless(), RATE)
        return Scene(
            system,
            kafka,
            self._front,
            floor,
            feed,
            Random(f"strikes {plan.seed}"),
            notes=result.notes,
            faults=result.faults,
            ended=result.ended,
        )


def _played(scene: Scene, plan: Plan, result: Result) -> None:
    strikes = [all_strikes()[name] for name in plan.strikes]
    for each in strikes:
        if each.prepare is not None:
            each.prepare(scene)
    for kind, number in (("worker", plan.workers), ("sink", plan.sinks)):
        for _ in range(number):
            scene.add(kind)
    supervisor = threading.Thread(target=scene.supervise, daemon=True)
    supervisor.start()
    system = scene.system
    still = Standstill(
        system.kafka.bootstrap, system.topic("events"), PARTITIONS, (system.worker_group, system.sink_group)
    )
    try:
        scene.feed.start()
        scene.flow(WARM)
        scene.calm()
        for each in strikes:
            result.strikes.append(_struck(scene, each, still))
        scene.feed.end()
        judges = [each.judge for each in strikes if each.judge is not None]
        if judges:
            result.verdict = "; ".join(judge(scene) for judge in judges)
        else:
            _settled(scene, result)
    except BaseException:
        _show_stacks(scene)
        raise
    finally:
        scene.over()
        still.end()
        supervisor.join(LIMIT_S)
        with contextlib.suppress(Exception):
            scene.feed.end()


def _struck(scene: Scene, strike: Strike, still: Standstill) -> Struck:
    """Strike once, and wait until everybody is past it."""
    struck = Struck(strike.name)
    still.restart()
    began_s = time.monotonic()
    strike.act(scene)
    struck.took_s = round(time.monotonic() - began_s, 1)
    if strike.judge is None:
        scene.flow(WARM)
        scene.calm()
        struck.calm_s = round(time.monotonic() - began_s, 1)
    longest = still.restart()
    worker_s, sink_s = longest[scene.system.worker_group], longest[scene.system.sink_group]
    struck.worker_still_s = None if worker_s is None else round(worker_s, 1)
    struck.sink_still_s = None if sink_s is None else round(sink_s, 1)
    return struck


def _settled(scene: Scene, result: Result) -> None:
    """Everything drains, everybody stops in order, and the judge finds nothing."""
    system = scene.system
    system.produce(scene.floor.rest())
    scene.until("everything drained", system._idle, DRAIN_LIMIT_S)
    scene.over()
    for member in scene.members:
        if member.wanted:
            scene.retire(member)
    for name, group in (("events", system.worker_group), ("events", system.sink_group), ("panes", system.sink_group)):
        ends, committed = system.ends(name), system.committed(group, name)
        if any(committed[number] < end for number, end in ends.items()):
            scene.fault(f"{group} has committed {committed} of {name}, which ends at {ends}")
    if scene.feed.failed:
        scene.note(f"{scene.feed.failed} records were refused by the broker and never counted")
    found = verdict.judged(system)
    result.records, result.cells, result.verdict = found.records, found.verdict.cells, str(found.verdict)
    if not found.exact:
        scene.fault(str(found))


def _show_stacks(scene: Scene) -> None:
    """Let every living member write its stacks to its log."""
    for member in scene.members:
        if member.alive:
            member.role.signal(signal.SIGCONT)
            member.role.signal(signal.SIGUSR2)
    time.sleep(1)  # for them to write


def _clear(system: System, faults: list[str]) -> None:
    """Leave nothing on the stage: a hundred seeds share it. The events of a seed that failed are kept in a file."""
    with contextlib.suppress(Exception):
        if faults:
            with (system.directory / "events.jsonl").open("w") as out:
                for message in system.read("events"):
                    shown = [message.partition(), message.offset(), message.timestamp()[1], repr(message.key())]
                    out.write(json.dumps([*shown, repr(message.value()), repr(message.headers())]) + "\n")
            (system.directory / "rows.json").write_text(json.dumps(system.rows()))
    with contextlib.suppress(Exception):
        with open_store(system.store) as store:
            store.command(f"DROP DATABASE {system.store.rpartition('/')[2]} SYNC")
        names = [name for name in system._admin.list_topics(timeout=30).topics if name.startswith(system.prefix)]
        for future in system._admin.delete_topics(names).values():
            future.result(timeout=30)
