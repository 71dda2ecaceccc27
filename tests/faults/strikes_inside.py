"""Strikes at one point inside a process: between any two publishes of a flush, before a commit, in the middle of
an insert. The process carries the fault in itself (`process`) and kills, freezes or starves itself there.
"""

import time
from typing import Any, Final

from kpistream.service import EXIT_FAILED
from tests.faults.scene import Member, Scene
from tests.faults.strikes import strike
from tests.faults.strikes_process import ASLEEP_S, ends

POINTS: Final = {
    "events": "retractions and forwards",
    "dead-letters": "dead letters",
    "team-panes": "team panes",
    "panes": "the changelog",
    "acknowledge": "acknowledging",
    "commit": "a commit",
}
"""The steps of a flush, in their order."""


def struck_inside(scene: Scene, member: Member, **fault: object) -> None:
    """Start the member anew with the fault in it, and wait until it springs."""
    scene.replace(member, fault={"visit": scene.random.randrange(1, 5), **fault})
    role = member.role
    scene.until(f"{fault} in {role.log.stem}", lambda: "fault: " in role.said or role.code is not None)


def _kill(at: str, when: str, what: str) -> None:
    def act(scene: Scene) -> None:
        struck_inside(scene, scene.one("worker"), at=at, when=when, act="kill")

    act.__doc__ = f"A worker killed {when} {what}."
    strike(f"killed-{when}-{at}")(act)


def _freeze(at: str, when: str, what: str) -> None:
    def act(scene: Scene) -> None:
        member = scene.one("worker")
        struck_inside(scene, member, at=at, when=when, act="stop")
        time.sleep(ASLEEP_S)
        member.role.resume()

    act.__doc__ = f"A worker frozen {when} {what}, for longer than its session."
    strike(f"zombie-{when}-{at}", workers=2)(act)


for _at, _what in POINTS.items():
    for _when in ("before", "after"):
        _kill(_at, _when, _what)
for _at in ("events", "panes", "commit"):
    _freeze(_at, "before", POINTS[_at])
_freeze("events", "after", POINTS["events"])
_freeze("panes", "after", POINTS["panes"])


@strike("killed-in-recovery")
def killed_in_recovery(scene: Scene) -> None:
    """A worker killed at the moment its recovery ends."""
    struck_inside(scene, scene.one("worker"), at="recovery", when="before", act="kill", visit=1)


@strike("sigterm-in-recovery")
def sigterm_in_recovery(scene: Scene) -> None:
    """SIGTERM at the moment a recovery ends."""
    _told_to_stop(scene, at="recovery", when="before", visit=1)


@strike("sigterm-in-flush")
def sigterm_in_flush(scene: Scene) -> None:
    """SIGTERM in the middle of a flush."""
    _told_to_stop(scene, at="panes", when="before")


def _told_to_stop(scene: Scene, **fault: Any) -> None:
    member = scene.one("worker")
    with scene.holding(member):
        struck_inside(scene, member, act="term", **fault)
        member.held = True  # `replace` has let go of it
        member.asked.add(member.role.pid)
        ends(scene, member.role, (0, EXIT_FAILED))


# ---- memory


def _starved(scene: Scene, member: Member, at: str) -> None:
    """It must end loudly, or live on with what it has; it may not be there and do nothing."""
    struck_inside(scene, member, at=at, when="before", act="memory")
    role = member.role
    committed = sum(scene.system.committed(_group(scene, member), "events").values())

    def settled() -> bool:
        lives_on = sum(scene.system.committed(_group(scene, member), "events").values()) > committed + 500
        return role.code is not None or lives_on

    scene.until(f"{role.log.stem} without memory", settled)
    if role.code is None:
        scene.note(f"{role.log.stem} lived on without more memory")
        scene.kill(member)
    elif role.code == 0:
        scene.fault(f"{role.log.stem} ran out of memory and ended with exit 0:\n{role.end_of_log()}")
    else:
        scene.note(f"{role.log.stem} ran out of memory: exit {role.code}")


def _group(scene: Scene, member: Member) -> str:
    return scene.system.worker_group if member.kind == "worker" else scene.system.sink_group


@strike("worker-no-memory")
def worker_no_memory(scene: Scene) -> None:
    """The kernel gives a worker no more memory (RLIMIT_AS)."""
    _starved(scene, scene.one("worker"), scene.random.choice(("snapshot", "panes", "events", "commit")))


@strike("sink-no-memory")
def sink_no_memory(scene: Scene) -> None:
    """The kernel gives a sink no more memory (RLIMIT_AS)."""
    _starved(scene, scene.one("sink"), scene.random.choice(("insert", "sink-commit")))


# ---- sinks


@strike("sink-killed-before-insert")
def sink_killed_before_insert(scene: Scene) -> None:
    """A sink killed before an insert, when those before it are in."""
    struck_inside(scene, scene.one("sink"), at="insert", when="before", act="kill")


@strike("sink-killed-after-insert")
def sink_killed_after_insert(scene: Scene) -> None:
    """A sink killed between two inserts of one round."""
    struck_inside(scene, scene.one("sink"), at="insert", when="after", act="kill")


@strike("sink-killed-before-commit")
def sink_killed_before_commit(scene: Scene) -> None:
    """A sink killed between its inserts and the commit."""
    struck_inside(scene, scene.one("sink"), at="sink-commit", when="before", act="kill")


@strike("sink-zombie-before-insert", sinks=2)
def sink_zombie_before_insert(scene: Scene) -> None:
    """A sink frozen before an insert; it writes old rows when another sink has written newer ones."""
    _frozen_sink(scene, "insert")


@strike("sink-zombie-before-commit", sinks=2)
def sink_zombie_before_commit(scene: Scene) -> None:
    """A sink frozen between its inserts and the commit, which comes in a generation that is over."""
    _frozen_sink(scene, "sink-commit")


def _frozen_sink(scene: Scene, at: str) -> None:
    member = scene.one("sink")
    struck_inside(scene, member, at=at, when="before", act="stop")
    time.sleep(ASLEEP_S)
    member.role.resume()


# ---- clocks


def _wrong_clock(scene: Scene, hours: int) -> None:
    member = scene.one("worker")
    scene.replace(member, clock_ms=hours * 3_600_000)
    scene.flow(300)
    scene.calm()
    scene.replace(member, clock_ms=0)


@strike("clock-ahead", workers=2)
def clock_ahead(scene: Scene) -> None:
    """The clock of one worker's machine hours ahead, then right again."""
    _wrong_clock(scene, scene.random.randrange(1, 50))


@strike("clock-behind", workers=2)
def clock_behind(scene: Scene) -> None:
    """The clock of one worker's machine hours behind, then right again."""
    _wrong_clock(scene, -scene.random.randrange(1, 50))
