"""Scene: one system under fire. Roles that a supervisor starts again, traffic that flows, and a note of everything.

A strike sees only this. Members are workers and sinks: a process that ends is started again after half a
second, as any supervisor would, until the member is retired. Ends of processes that nobody asked for are
kept; a member that ends unasked with exit code 0 is a fault, since that hides a failure.
"""

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from kpistream.service import EXIT_FAILED
from tests.faults.feed import Feed
from tests.faults.floor import HardFloor
from tests.front.process import Front
from tests.live.system import STOP_LIMIT_S, Role, System

RESTART_S: Final = 0.5
KILLED: Final = -9
PATIENCE_S: Final = 300
"""Longer than a watchdog waits, on a machine that is slow."""


@dataclass
class Member:
    """A worker or sink that a supervisor keeps alive."""

    kind: str
    settings: dict[str, object]
    role: Role
    wanted: bool = True
    """False once it was retired."""
    held: bool = False
    """True while nobody starts it again."""
    starts: int = 1
    asked: set[int] = field(default_factory=set)
    """Process ids that somebody asked to end: their ends are no surprise."""

    @property
    def alive(self) -> bool:
        """Whether its process lives."""
        return self.role.code is None


@dataclass
class Scene:
    """Everything that a strike may touch."""

    system: System
    kafka: Any
    """The stage: a `Broker`, or what another stage gives."""
    front: Front
    floor: HardFloor
    feed: Feed
    random: Random
    """Of this seed; every choice of a strike comes from it."""
    members: list[Member] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What happened, for a reader of the results."""
    faults: list[str] = field(default_factory=list)
    """What must not be; any of them fails the seed."""
    ended: list[str] = field(default_factory=list)
    """Processes that ended by themselves, with their exit code."""
    kept: dict[str, Any] = field(default_factory=dict)
    """What strikes keep between `prepare`, `act` and `judge`: proxies, clusters."""
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _over: threading.Event = field(default_factory=threading.Event)

    # ---- members

    def of(self, kind: str) -> list[Member]:
        """The wanted members of a kind, oldest first."""
        return [member for member in self.members if member.kind == kind and member.wanted]

    @property
    def workers(self) -> list[Member]:
        """Workers that are wanted."""
        return self.of("worker")

    @property
    def sinks(self) -> list[Member]:
        """Sinks that are wanted."""
        return self.of("sink")

    def one(self, kind: str) -> Member:
        """A member of this kind, chosen by the seed."""
        return self.random.choice(self.of(kind))

    def add(self, kind: str, *, fault: dict[str, object] | None = None, **settings: object) -> Member:
        """Start another one. A `fault` (see `process`) is for its first process only."""
        with self._lock:
            member = Member(kind, settings, self._start(kind, settings, fault))
            self.members.append(member)
            return member

    def replace(self, member: Member, *, fault: dict[str, object] | None = None, **settings: object) -> None:
        """Stop its process in order and start one with these settings added, and perhaps a fault."""
        with self.holding(member):
            self.stop(member)
            member.settings.update(settings)
            member.role = self._start(member.kind, member.settings, fault)
            member.starts += 1

    def stop(self, member: Member) -> None:
        """SIGTERM: it must leave in order, or say that it could not in its 10 s. It is started again unless held."""
        with self._lock:
            role = member.role
            member.asked.add(role.pid)
        if role.code is not None:
            return
        began_s = time.monotonic()
        role.signal(signal.SIGTERM)
        try:
            code = role.wait()
        except subprocess.TimeoutExpired:
            self.fault(f"{role.log.stem} did not end after SIGTERM:\n{role.end_of_log()}")
            role.kill()
            return
        took_s = time.monotonic() - began_s
        if took_s > STOP_LIMIT_S:
            self.note(f"{role.log.stem} took {took_s:.0f} s to leave")
        if code == EXIT_FAILED:  # its own limit of 10 s, on a machine that is too slow: loud, and harmless
            self.ended.append(f"{role.log.stem} exit {code} after SIGTERM")
        elif code and not (code == -signal.SIGTERM and not role.said):  # not up yet: Python had not begun
            self.fault(f"{role.log.stem} exit {code} after SIGTERM:\n{role.end_of_log()}")

    def retire(self, member: Member) -> None:
        """Stop it for good, in order."""
        member.wanted = False
        self.stop(member)

    def kill(self, member: Member) -> None:
        """SIGKILL; the supervisor starts it again unless it is held."""
        with self._lock:
            member.asked.add(member.role.pid)
        member.role.kill()

    @contextmanager
    def holding(self, member: Member) -> Iterator[None]:
        """Keep the supervisor away from it."""
        with self._lock:
            member.held = True
        try:
            yield
        finally:
            with self._lock:
                member.held = False

    def trapped(self, member: Member) -> bool:
        """True when the fault inside its first process has sprung."""
        return any("fault: " in path.read_text(errors="replace") for path in [member.role.log] if path.exists())

    def _start(self, kind: str, settings: dict[str, object], fault: dict[str, object] | None) -> Role:
        extra = {} if fault is None else {"fault": json.dumps(fault)}
        return (self.system.worker if kind == "worker" else self.system.sink)(**settings, **extra)

    # ---- the supervisor

    def supervise(self) -> None:
        """Start ended members again until the scene is over; the loop of a thread."""
        while not self._over.wait(RESTART_S):
            with self._lock:
                for member in self.members:
                    if member.wanted and not member.held and not member.alive:
                        self._again(member)

    def _again(self, member: Member) -> None:
        self._note_end(member)
        member.role = self._start(member.kind, member.settings, None)
        member.starts += 1

    def _note_end(self, member: Member) -> None:
        role = member.role
        if role.pid in member.asked or role.code == KILLED:
            return
        self.ended.append(f"{role.log.stem} exit {role.code}")
        if role.code == 0:
            self.fault(f"{role.log.stem} ended unasked with exit 0:\n{role.end_of_log()}")

    def over(self) -> None:
        """End the supervisor."""
        self._over.set()

    # ---- waiting

    def until(self, what: str, condition: Callable[[], bool], limit_s: float = PATIENCE_S) -> None:
        """Wait for a condition; AssertionError after the limit. A broker that does not answer is waited for, too."""
        deadline_s = time.monotonic() + limit_s
        while not self._holds(condition):
            assert self.feed.error is None, self.feed.error
            assert time.monotonic() < deadline_s, f"waited {limit_s} s for: {what}\n{self.logs()}"
            time.sleep(0.5)

    def logs(self) -> str:
        """Where everybody is, and the end of every log."""
        ends = "\n".join(f"--- {member.role.log.name}\n{member.role.end_of_log()}" for member in self.members)
        try:
            return f"{self.system.offsets()}\n{ends}"
        except (KafkaException, TimeoutError) as error:
            return f"offsets: {error!r}\n{ends}"

    def _holds(self, condition: Callable[[], bool]) -> bool:
        """Whether it holds; who gets no answer asks again, as somebody new who knows no coordinator."""
        try:
            return condition()
        except (KafkaException, TimeoutError):
            self.system._admin = AdminClient({"bootstrap.servers": self.system.kafka.bootstrap, "log_level": 0})
            return False

    def flow(self, records: int) -> None:
        """Let this many more records flow in."""
        wanted = self.feed.delivered + self.feed.failed + records
        self.until(f"{records} records", lambda: self.feed.delivered + self.feed.failed >= wanted)

    def calm(self, limit_s: float = PATIENCE_S) -> None:
        """Wait until workers and sinks have committed what the events topic holds now."""
        ends = self.system.ends("events")

        def past(group: str) -> bool:
            committed = self.system.committed(group, "events")
            return all(committed[partition] >= end for partition, end in ends.items())

        self.until("workers past the strike", lambda: past(self.system.worker_group), limit_s)
        self.until("sinks past the strike", lambda: past(self.system.sink_group), limit_s)

    def pause_for(self, member: Member, seconds: float) -> None:
        """Freeze its process for so long; how long is the fault itself."""
        with self.holding(member):
            member.role.pause()
            time.sleep(seconds)
            member.role.resume()

    # ---- notes

    def note(self, text: str) -> None:
        """Write down what happened."""
        self.notes.append(text)

    def fault(self, text: str) -> None:
        """Write down what must not be."""
        self.faults.append(text)

    def directory(self, name: str) -> Path:
        """A directory for a strike."""
        path = self.system.directory / name
        path.mkdir(parents=True, exist_ok=True)
        return path
