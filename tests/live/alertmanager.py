"""A real Prometheus Alertmanager on a free port, with its files in a directory, and a web server that it tells.

`stop` and `start` keep the port and the files, as a restart of the service does.
"""

import json
import signal
import subprocess
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.live.broker import free_ports
from tests.live.recorder import Recorder
from tests.meta.files import alertmanager

_LIMIT_S: Final = 60
_CONFIG: Final = """
route: {{receiver: hook, group_by: [alertname, scope], group_wait: 100ms, group_interval: 1s, repeat_interval: 1h}}
receivers:
  - name: hook
    webhook_configs: [{{url: {url}, send_resolved: true}}]
"""


class AlertManager:
    """One Alertmanager. A context manager."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self._directory = directory
        self._port = free_ports(1)[0]
        self._process: subprocess.Popen[bytes] | None = None
        self.told = Recorder()
        """What it tells its own receivers."""
        self.url = f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self.told.__enter__()
        (self._directory / "config.yml").write_text(_CONFIG.format(url=f"{self.told.url}/am"))
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        self.told.__exit__(kind, error, traceback)

    def start(self) -> None:
        """Start; returns when it answers."""
        program = alertmanager()
        assert program is not None
        command = [
            program,
            f"--config.file={self._directory / 'config.yml'}",
            f"--storage.path={self._directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
            "--cluster.listen-address=",
        ]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        deadline_s = time.monotonic() + _LIMIT_S
        while not self._ready():
            text = (self._directory / "log").read_text()
            assert self._process.poll() is None and time.monotonic() < deadline_s, text
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop in order; returns when it is gone."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(_LIMIT_S)
            self._process = None

    def alerts(self) -> list[dict[str, Any]]:
        """Alerts that are active there."""
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts?active=true", timeout=_LIMIT_S) as answer:
            return list(json.load(answer))

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False
