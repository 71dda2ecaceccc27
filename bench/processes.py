"""Processes: `kpistream worker` as an operator starts it, and what the system says about a process.

Figures come from /proc: CPU of all threads (user and system), resident size now and at its peak.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

KPISTREAM: Final = (sys.executable, "-c", "from kpistream.cli import main; main()")
"""The command line, as users start it."""
STOP_LIMIT_S: Final = 20.0
WAIT_LIMIT_S: Final = 300.0


class WorkerProcess:
    """One `kpistream worker`. A context manager: at its end the process is gone."""

    role = "worker"

    def __init__(self, broker: str, prefix: str, *options: str, **settings: object) -> None:
        """`options` go before the verb; `settings` become `KPISTREAM_*` variables."""
        chosen = {"broker": broker, "topic_prefix": prefix, "group": prefix, "metrics_port": -1, **settings}
        environment = environment_of(chosen)
        self.began_s = time.perf_counter()
        self._process = subprocess.Popen(
            [*KPISTREAM, *options, self.role],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        self._said: deque[bytes] = deque()
        assert self._process.stderr is not None
        self._listener = threading.Thread(target=self._listen, args=(self._process.stderr,), daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def check(self) -> None:
        """Raises RuntimeError when it has ended, with the end of its log."""
        if self._process.poll() is not None:
            raise RuntimeError(f"a worker ended with {self._process.returncode}\n{self.end_of_log()}")

    def pause(self) -> None:
        """SIGSTOP: it does nothing until `resume`."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """SIGTERM, and gone in order. Raises RuntimeError when it ends with anything but 0."""
        self._process.terminate()
        if self._process.wait(STOP_LIMIT_S):
            raise RuntimeError(f"a worker ended with {self._process.returncode} after SIGTERM\n{self.end_of_log()}")

    @property
    def said(self) -> str:
        """Its log so far."""
        return b"".join(self._said).decode(errors="replace")

    def end_of_log(self) -> str:
        """The last lines it said."""
        return "\n".join(self.said.splitlines()[-30:])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self.resume()
            self._process.terminate()
            try:
                self._process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._listener.join()

    def _listen(self, stream: IO[bytes]) -> None:
        with stream:
            self._said.extend(stream)


class SinkProcess(WorkerProcess):
    """One `kpistream sink`."""

    role = "sink"


def environment_of(settings: Mapping[str, object]) -> dict[str, str]:
    """The environment of this process, with these settings of kpistream and no others."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KPISTREAM_")}
    return kept | {f"KPISTREAM_{name.upper()}": str(value) for name, value in settings.items()}


def cpu_s(pid: int) -> float:
    """CPU that a process has used so far, in seconds; 0 where there is no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mb(pid: int, line: str = "VmRSS:") -> float:
    """Resident size of a process in MB; `VmHWM:` asks for its peak. 0 where there is no /proc."""
    try:
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(each.split()[1]) / 1024 for each in status if each.startswith(line)), 0.0)


def wait_for(what: str, done: Callable[[], Any], limit_s: float = WAIT_LIMIT_S, pause_s: float = 0.05) -> None:
    """Until `done()` is true. Raises RuntimeError after `limit_s`."""
    deadline_s = time.monotonic() + limit_s
    while not done():
        if time.monotonic() > deadline_s:
            raise RuntimeError(f"{what}: not so after {limit_s} s")
        time.sleep(pause_s)
