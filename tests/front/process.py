"""Front: the process of `server.py`, started and stopped by a test, with its faults.

`start` may follow `kill`: address and stored rows stay, so an outage of ClickHouse is `kill`, work, `start`.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

_ROOT: Final = Path(__file__).resolve().parents[2]
_TIMEOUT_S: Final = 120


class Front:
    """ClickHouse over HTTP on a free loopback port. Unpacks to host and port."""

    def __init__(self, directory: Path) -> None:
        self.host = "127.0.0.1"
        self.port = 0
        self._directory = directory
        self._process: subprocess.Popen[str] | None = None

    def __iter__(self) -> Iterator[Any]:
        return iter((self.host, self.port))

    def url(self, database: str = "default") -> str:
        """As `KPISTREAM_STORE` takes it."""
        return f"http://default:@{self.host}:{self.port}/{database}"

    def start(self) -> None:
        """Start unless it runs; returns when it listens."""
        if self._process is not None and self._process.poll() is None:
            return
        command = [sys.executable, "-m", "tests.front.server", str(self._directory), str(self.port)]
        # The pipe to its stdin closes when this process is gone, however it went: then the front ends, too.
        self._process = subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the front ended with code {self._process.wait()}"
        self.port = int(line)

    def kill(self) -> None:
        """End it at once; what was inserted stays."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def refuse_inserts(self, count: int) -> None:
        """The next inserts get 503 and write nothing."""
        self._faults("POST", f"?kind=refuse&count={count}")

    def drop_answers(self, count: int) -> None:
        """The next inserts are written, and their connections closed before the answer.

        clickhouse-connect sends such an insert once more by itself: 2 make it fail.
        """
        self._faults("POST", f"?kind=drop&count={count}")

    def fail_inserts(self, count: int, code: int) -> None:
        """The next inserts get this error code of ClickHouse and write nothing."""
        self._faults("POST", f"?kind=error&count={count}&code={code}")

    def fail_all_inserts(self, code: int) -> None:
        """Every insert gets this error code and writes nothing, until `clear_faults`."""
        self._faults("POST", f"?kind=error&count=-1&code={code}")

    def drop_all_answers(self) -> None:
        """Every insert is written and its connection closed before the answer, until `clear_faults`."""
        self._faults("POST", "?kind=drop&count=-1")

    def slow_all_inserts(self, late_ms: int) -> None:
        """Every insert is written, and answered so much later, until `clear_faults`."""
        self._faults("POST", f"?kind=slow&count=-1&code={late_ms}")

    def clear_faults(self) -> None:
        """Nothing more happens to inserts."""
        self._faults("POST", "?count=0")

    @property
    def inserts_written(self) -> int:
        """Inserts that were written since the process started."""
        return self._faults("GET", "")["inserts_written"]

    @property
    def faults_happened(self) -> int:
        """Inserts that went wrong since the process started."""
        return self._faults("GET", "")["happened"]

    @property
    def faults_left(self) -> int:
        """Planned faults that have not happened yet."""
        return self._faults("GET", "")["planned"]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()

    def _faults(self, method: str, query: str) -> dict[str, int]:
        connection = HTTPConnection(self.host, self.port, timeout=_TIMEOUT_S)
        try:
            connection.request(method, f"/faults{query}")
            state: dict[str, int] = json.loads(connection.getresponse().read())
            return state
        finally:
            connection.close()
