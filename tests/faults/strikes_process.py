"""Strikes on processes: killed, frozen, stopped in every phase, started again, too many or too few of them."""

import signal
import time
from typing import Final

from kpistream.service import EXIT_FAILED
from tests.faults.scene import Member, Scene
from tests.faults.strikes import strike
from tests.live.system import STOP_LIMIT_S, Role

SESSION_S: Final = 6
"""Session timeout of every role here."""
ASLEEP_S: Final = SESSION_S + 3
"""Longer than a session: the group has gone on without the sleeper."""
SHORT_S: Final = 2


# ---- killed


@strike("worker-killed")
def worker_killed(scene: Scene) -> None:
    """kill -9 of a worker."""
    scene.kill(scene.one("worker"))


@strike("workers-killed")
def workers_killed(scene: Scene) -> None:
    """kill -9 of all workers at once."""
    for member in scene.workers:
        scene.kill(member)


@strike("sink-killed")
def sink_killed(scene: Scene) -> None:
    """kill -9 of a sink."""
    scene.kill(scene.one("sink"))


@strike("all-roles-killed")
def all_roles_killed(scene: Scene) -> None:
    """kill -9 of all workers and sinks at once."""
    for member in (*scene.workers, *scene.sinks):
        scene.kill(member)


# ---- frozen


@strike("worker-paused-short")
def worker_paused_short(scene: Scene) -> None:
    """A worker frozen for less than its session."""
    scene.pause_for(scene.one("worker"), SHORT_S)


@strike("worker-zombie", workers=2)
def worker_zombie(scene: Scene) -> None:
    """A worker frozen for longer than its session, then awake again."""
    scene.pause_for(scene.one("worker"), ASLEEP_S)


@strike("all-workers-paused")
def all_workers_paused(scene: Scene) -> None:
    """All workers frozen for longer than their session, then awake at once."""
    members = scene.workers
    for member in members:
        member.held = True
        member.role.pause()
    time.sleep(ASLEEP_S)
    for member in members:
        member.role.resume()
        member.held = False


@strike("sink-paused-short")
def sink_paused_short(scene: Scene) -> None:
    """A sink frozen for less than its session."""
    scene.pause_for(scene.one("sink"), SHORT_S)


@strike("sink-zombie", sinks=2)
def sink_zombie(scene: Scene) -> None:
    """A sink frozen for longer than its session, then awake again."""
    scene.pause_for(scene.one("sink"), ASLEEP_S)


@strike("sinks-fight", sinks=2)
def sinks_fight(scene: Scene) -> None:
    """Two sinks that take each other's partitions three times, each frozen and awake in turn."""
    first, second = scene.sinks[:2]
    for sleeper in (first, second, first):
        scene.pause_for(sleeper, ASLEEP_S)


# ---- more and fewer


def recovered(scene: Scene, member: Member) -> None:
    """Wait until a member has partitions and works, or has ended."""
    word = "recovered" if member.kind == "worker" else "assigned"
    scene.until(f"{member.role.log.stem} {word}", lambda: word in member.role.said or not member.alive)


@strike("rolling-restart", workers=2)
def rolling_restart(scene: Scene) -> None:
    """Every worker stopped in order and started again, one after the other."""
    for member in list(scene.workers):
        scene.replace(member)
        recovered(scene, member)


@strike("sinks-restarted", sinks=2)
def sinks_restarted(scene: Scene) -> None:
    """Every sink stopped in order and started again, one after the other."""
    for member in list(scene.sinks):
        scene.replace(member)
        recovered(scene, member)


@strike("scale-1-4-1")
def scale(scene: Scene) -> None:
    """From one worker to four and back to one."""
    first, *others = scene.workers
    for member in others:
        scene.retire(member)
    added = [scene.add("worker") for _ in range(3)]
    for member in added:
        recovered(scene, member)
    scene.flow(300)
    for member in added:
        scene.retire(member)
    assert scene.workers == [first]


@strike("members-come-and-go")
def members_come_and_go(scene: Scene) -> None:
    """A worker joins every second, and one that has joined leaves or is killed."""
    guests: list[Member] = []
    for _ in range(6):
        guests.append(scene.add("worker"))
        time.sleep(1)
        if len(guests) > 2:
            _gone(scene, guests.pop(0))
    for guest in guests:
        _gone(scene, guest)


def _gone(scene: Scene, guest: Member) -> None:
    """In order, or not; one that is not up yet does not know how to stop in order."""
    guest.wanted = False
    if "assigned" in guest.role.said and scene.random.random() < 0.5:
        scene.stop(guest)
    else:
        scene.kill(guest)


# ---- SIGTERM in every phase


def ends(scene: Scene, role: Role, codes: tuple[int, ...]) -> None:
    """The process must end within its 10 s, with one of these codes."""
    began_s = time.monotonic()
    code = role.wait()
    took_s = time.monotonic() - began_s
    if code not in codes:
        scene.fault(f"exit {code} after SIGTERM, want {codes}:\n{role.end_of_log()}")
    if took_s > STOP_LIMIT_S:
        scene.note(f"{role.log.stem} took {took_s:.0f} s to leave")


@strike("sigterm-at-start")
def sigterm_at_start(scene: Scene) -> None:
    """SIGTERM half a second after the start of a worker, and while it recovers."""
    for wait_for in ("", "assigned"):
        member = scene.add("worker")
        member.wanted = False
        member.asked.add(member.role.pid)
        if wait_for:
            scene.until("an assignment", lambda member=member: "assigned" in member.role.said or not member.alive)  # type: ignore[misc]
        else:
            time.sleep(0.5)
        member.role.signal(signal.SIGTERM)
        ends(scene, member.role, (0, EXIT_FAILED, -signal.SIGTERM))


@strike("sigterm-twice")
def sigterm_twice(scene: Scene) -> None:
    """SIGTERM, and once more while the worker leaves."""
    member = scene.one("worker")
    with scene.holding(member):
        member.asked.add(member.role.pid)
        member.role.signal(signal.SIGTERM)
        time.sleep(0.1)
        member.role.signal(signal.SIGTERM)
        ends(scene, member.role, (0, EXIT_FAILED))


@strike("sink-sigterm-twice")
def sink_sigterm_twice(scene: Scene) -> None:
    """SIGTERM, and once more while the sink leaves."""
    member = scene.one("sink")
    with scene.holding(member):
        member.asked.add(member.role.pid)
        member.role.signal(signal.SIGTERM)
        time.sleep(0.1)
        member.role.signal(signal.SIGTERM)
        ends(scene, member.role, (0, EXIT_FAILED))


# ---- settings

_ROSTERS: Final = (
    "tenants:\n  acme:\n    zone: Europe/Berlin\n    teams:\n      north: {name: North}\n    people:\n"
    + "".join(f"      agent-{n}: {{team: north}}\n" for n in range(20)),
    "tenants:\n  acme:\n    zone: America/New_York\n    teams:\n      south: {name: South}\n    people:\n"
    + "".join(f"      agent-{n}: {{team: south}}\n" for n in range(10, 40)),
)
_TARGETS: Final = (
    "targets:\n  - {name: busy, kpi: calls, window: rolling-60m, scope: agent, bound: 3, direction: at_least}\n",
    "targets:\n  - {name: idle, kpi: calls, window: rolling-15m, scope: agent, bound: 9, direction: at_most}\n",
)


@strike("settings-changed", workers=2)
def settings_changed(scene: Scene) -> None:
    """Roster and targets changed: one worker with the old ones, one with the new ones, then all with the new."""
    directories = []
    for number, (roster, targets) in enumerate(zip(_ROSTERS, _TARGETS, strict=True)):
        directory = scene.directory(f"settings-{number}")
        (directory / "roster.yaml").write_text(roster)
        (directory / "targets.yaml").write_text(targets)
        directories.append(str(directory))
    first, second = scene.workers[:2]
    scene.replace(first, settings=directories[0])
    scene.replace(second, settings=directories[1], flush_ms=50)
    recovered(scene, second)
    scene.flow(300)
    for member in scene.workers:
        scene.replace(member, settings=directories[1])


@strike("horizon-changed", workers=2, settings={"horizon_hours": 36})
def horizon_changed(scene: Scene) -> None:
    """Two workers that disagree by 35 hours how long panes stay live, while partitions change hands."""
    member = scene.workers[0]
    scene.replace(member, horizon_hours=1)
    recovered(scene, member)
    scene.flow(300)
    scene.kill(scene.workers[1])
    scene.flow(300)
    scene.replace(member, horizon_hours=36)
