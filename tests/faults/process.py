"""Process: a role with a fault inside, as a process: `python -m tests.faults.process worker`.

The fault is one JSON object in `KPISTREAM_FAULT`: at which point of the program, before or after it, at which
visit, and what then: `kill` (SIGKILL itself), `stop` (SIGSTOP itself), `term` (SIGTERM itself) or `memory` (the
kernel gives no more). `KPISTREAM_CLOCK_MS` puts the wall clock of the role wrong. SIGUSR2 writes all stacks to
the log: what a process that hangs was doing.
"""

import asyncio
import faulthandler
import json
import os
import resource
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from kpistream import cli, service
from kpistream.history.sink import Sink
from kpistream.history.store import Store
from kpistream.log.publisher import Publisher
from kpistream.stream.agents import Clocks
from kpistream.stream.flush import Flusher
from kpistream.stream.state import PaneStore
from kpistream.stream.transport import BatchConsumer

POINTS = (
    "events",
    "dead-letters",
    "team-panes",
    "panes",
    "readings",
    "alerts",
    "snapshot",
    "acknowledge",
    "commit",
    "recovery",
    "assigned",
    "insert",
    "sink-commit",
)
"""Topics that a role publishes to, and steps of its work."""


class Trap:
    """Springs once, at the n-th visit of a point."""

    def __init__(self, at: str, when: str, visit: int, act: str) -> None:
        assert at in POINTS and when in ("before", "after"), (at, when)
        self._at, self._when, self._left, self._act = at, when, visit, act

    def visit(self, at: str, when: str) -> None:
        """The program is at a point."""
        if (at, when) != (self._at, self._when):
            return
        self._left -= 1
        if self._left == 0:
            print(f"fault: {self._act} {when} {at}", file=sys.stderr, flush=True)
            _ACTS[self._act]()


def no_more_memory() -> None:
    """Let the kernel refuse whatever would make the process larger."""
    pages = int(open("/proc/self/statm").read().split()[0])  # noqa: SIM115, PTH123
    now = pages * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now, now))


_ACTS: dict[str, Callable[[], None]] = {
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "term": lambda: os.kill(os.getpid(), signal.SIGTERM),
    "memory": no_more_memory,
}


def plant(trap: Trap) -> None:
    """Lead every step past the trap."""
    _lead(Publisher, "publish", lambda _, topic, *__: topic.rpartition(".")[2], trap)
    _lead(BatchConsumer, "_commit_offsets", lambda *_: "commit", trap)
    _lead(BatchConsumer, "acknowledge", lambda *_: "acknowledge", trap)
    _lead(Flusher, "_flush", lambda *_: "snapshot", trap)
    _lead(PaneStore, "on_recovery_completed", lambda *_: "recovery", trap)
    _lead(PaneStore, "on_rebalance", lambda *_: "assigned", trap)
    _lead(Store, "insert", lambda *_: "insert", trap)
    _lead(Sink, "_commit", lambda *_: "sink-commit", trap)


def _lead(owner: type, name: str, point: Callable[..., str], trap: Trap) -> None:
    step = getattr(owner, name)

    async def awaited(*given: Any, **named: Any) -> Any:
        trap.visit(point(*given), "before")
        result: Awaitable[Any] = await step(*given, **named)
        trap.visit(point(*given), "after")
        return result

    def called(*given: Any, **named: Any) -> Any:
        trap.visit(point(*given), "before")
        result = step(*given, **named)
        trap.visit(point(*given), "after")
        return result

    setattr(owner, name, awaited if asyncio.iscoroutinefunction(step) else called)


def wrong_clocks(wrong_ms: int) -> Callable[[], Clocks]:
    """Clocks whose wall clock is wrong by so much."""
    right = service.clocks()
    return lambda: Clocks(lambda: right.now_ms() + wrong_ms, right.steady_s)


def main() -> None:
    """Prepare the fault, then be the `kpistream` command."""
    faulthandler.register(signal.SIGUSR2, all_threads=True)
    if fault := os.environ.get("KPISTREAM_FAULT"):
        plant(Trap(**json.loads(fault)))
    if wrong_ms := int(os.environ.get("KPISTREAM_CLOCK_MS", "0")):
        service.clocks = wrong_clocks(wrong_ms)
    cli.main()


if __name__ == "__main__":
    main()
