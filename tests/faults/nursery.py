"""Nursery: a process that has imported everything and forks roles, so that a start costs no CPU for imports.

A hundred seeds start thousands of roles; two seconds of imports each would be most of the run. What is forked is
`process.main`, in an environment and with a log of its own, before any thread or loop exists. The nursery ends,
and its children with it, when the pipe to it closes: however the runner went.
"""

import json
import os
import random
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from kpistream import commands, service  # noqa: F401 - so that no role has to
from tests.faults import process
from tests.live.system import LIMIT_S, ROOT, Role, System

_FORKED: Final = "forked"
_ENDED: Final = "ended"


class Nursery:
    """The runner's side."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.nursery"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._changed = threading.Condition()
        self._forked: dict[int, int] = {}
        self._codes: dict[int, int] = {}
        self._asked = 0
        threading.Thread(target=self._listen, daemon=True).start()

    def fork(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> int:
        """Start a role; its process id."""
        with self._changed:
            self._asked += 1
            number = self._asked
            request = {"number": number, "arguments": arguments, "environment": dict(environment), "log": str(log)}
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            assert self._changed.wait_for(lambda: number in self._forked, LIMIT_S), "the nursery does not answer"
            return self._forked.pop(number)

    def code(self, pid: int) -> int | None:
        """Exit code of a role, negative for a signal; None while it runs."""
        return self._codes.get(pid)

    def wait(self, pid: int, timeout_s: float) -> int:
        """Exit code of a role that ends. Raises TimeoutExpired."""
        with self._changed:
            if not self._changed.wait_for(lambda: pid in self._codes, timeout_s):
                raise subprocess.TimeoutExpired(f"role {pid}", timeout_s)
            return self._codes[pid]

    def close(self) -> None:
        """End it and all its children."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(LIMIT_S)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            word, number, value = line.split()
            with self._changed:
                if word == _FORKED:
                    self._codes.pop(int(value), None)  # the number of a process that is gone
                    self._forked[int(number)] = int(value)
                else:
                    self._codes[int(number)] = int(value)
                self._changed.notify_all()


class Child:
    """A role of the nursery, as far as `Role` uses a Popen."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self._nursery = nursery
        self.pid = pid

    def poll(self) -> int | None:
        """Exit code; None while it runs."""
        return self._nursery.code(self.pid)

    def wait(self, timeout: float) -> int:
        """Exit code of a process that ends. Raises TimeoutExpired."""
        return self._nursery.wait(self.pid, timeout)

    def send_signal(self, number: int) -> None:
        """A signal; nothing when it is gone."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


class ForkedRole(Role):
    """A role out of a nursery."""

    def __init__(self, nursery: Nursery, name: str, environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        log.touch()
        self._process: Any = Child(nursery, nursery.fork([name], environment, log))


class ForkedSystem(System):
    """A system whose roles and commands come out of a nursery."""

    nursery: Nursery

    def run(self, *arguments: str, code: int = 0, **settings: object) -> subprocess.CompletedProcess[str]:
        """A command that ends by itself."""
        log = self.directory / f"command-{time.monotonic_ns()}.log"
        ended = self.nursery.wait(self.nursery.fork(arguments, self.environment(**settings), log), LIMIT_S)
        said = log.read_text(errors="replace")
        assert ended == code, f"{arguments}: exit {ended}\n{said}"
        return subprocess.CompletedProcess(arguments, ended, said, "")

    def _role(self, name: str, settings: Mapping[str, object]) -> Role:
        log = self.directory / f"{name}-{len(self._roles)}.log"
        role = ForkedRole(self.nursery, name, self.environment(**settings), log)
        self._roles.append(role)
        return role


def _fork(request: dict[str, Any], living: set[int]) -> int:
    """The child's process id; the child itself ends here, by `SystemExit`."""
    pid = os.fork()
    if pid:
        return pid
    living.clear()  # its siblings are not its own
    null, log = os.open(os.devnull, os.O_RDONLY), os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for end, number in ((null, 0), (log, 1), (log, 2)):
        os.dup2(end, number)
    os.closerange(3, 64)
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["kpistream", *request["arguments"]]
    random.seed()
    process.main()
    sys.exit(0)


def _reap(living: set[int]) -> None:
    for pid in list(living):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            living.discard(pid)
            print(_ENDED, pid, os.waitstatus_to_exitcode(status), flush=True)


def main() -> None:
    """Fork what is asked for, and tell who has ended, until stdin ends."""
    living: set[int] = set()
    waiting = b""
    try:
        while True:
            if select.select([0], [], [], 0.05)[0]:
                read = os.read(0, 1 << 16)
                if not read:
                    return
                *lines, waiting = (waiting + read).split(b"\n")
                for line in lines:
                    request = json.loads(line)
                    pid = _fork(request, living)
                    living.add(pid)
                    print(_FORKED, request["number"], pid, flush=True)
            _reap(living)
    finally:
        for pid in living:
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
