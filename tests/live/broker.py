"""A real Apache Kafka on free ports of this machine, started from its published jars.

Needs Java 17 or newer; Maven fetches the jars once into `tests/live/.kafka`. Importable without pytest: the
benches use it too. `python -m tests.live.broker fetch` fetches, `... run` runs a broker until Ctrl-C. A start
is over when the broker answers a metadata request, never after a sleep.
"""

import atexit
import base64
import fcntl
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

_HERE: Final = Path(__file__).resolve().parent
_POM: Final = _HERE / "kafka" / "pom.xml"
_TEMPLATE: Final = _HERE / "kafka" / "server.properties"
_CACHE: Final = _HERE / ".kafka"
START_TIMEOUT_S: Final = 120
STOP_TIMEOUT_S: Final = 60


class BrokerFailed(Exception):
    """The broker did not start; the text ends with its last output."""


def jars() -> Path:
    """Folder of the jars that the pom asks for; it exists once they were fetched."""
    return _CACHE / hashlib.sha256(_POM.read_bytes()).hexdigest()[:12]


def missing() -> str:
    """What is not there to run a broker; empty when nothing is."""
    if shutil.which("java") is None:
        return "no java"
    if not jars().is_dir() and shutil.which("mvn") is None:
        return "no Kafka jars, and no mvn to fetch them"
    return ""


def fetch() -> Path:
    """Fetch the jars unless they are there; their folder. Raises CalledProcessError when Maven fails."""
    _CACHE.mkdir(exist_ok=True)
    with (_CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if jars().is_dir():
            return jars()
        arriving = Path(tempfile.mkdtemp(dir=_CACHE))
        try:
            command = ["mvn", "-q", "-B", "-f", str(_POM), "dependency:copy-dependencies"]
            subprocess.run([*command, f"-DoutputDirectory={arriving}"], check=True, stdin=subprocess.DEVNULL)
            arriving.rename(jars())
        finally:
            shutil.rmtree(arriving, ignore_errors=True)
    return jars()


class Broker:
    """One broker. `start` may follow `stop` or `kill`: address and logs stay. Also a context manager."""

    def __init__(
        self,
        settings: Mapping[str, str] | None = None,
        *,
        heap_mb: int = 1024,
        ports: tuple[int, int] | None = None,
        cluster_id: str = "",
        extra_listener: tuple[str, int, int] | None = None,
    ) -> None:
        """`settings` are added to `server.properties`, the later line wins.

        `ports`: of broker and controller, free ones without it. `extra_listener`: name, port, and the port that it
        says it has (of a proxy).
        """
        self._settings = dict(settings or {})
        self._heap_mb = heap_mb
        self._directory = Path(tempfile.mkdtemp(prefix="kpistream-kafka-"))
        port, controller_port = ports or free_ports(2)
        self._cluster_id = cluster_id or self.new_cluster_id()
        self._settings |= _listeners(port, controller_port, extra_listener)
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._process_output = self._directory / "output"
        self.bootstrap = f"127.0.0.1:{port}"
        """host:port for clients."""
        self.for_roles = self.bootstrap
        """host:port for roles; another one when a proxy stands between."""
        self._write_properties(port, controller_port)
        atexit.register(self.close)

    @staticmethod
    def new_cluster_id() -> str:
        """An id as `kafka-storage random-uuid` makes them; one that begins with `-` would be an option."""
        return "k" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]

    @property
    def running(self) -> bool:
        """Whether the broker's process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Process id. Raises AssertionError when the broker does not run."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start, and return when the broker answers. Raises BrokerFailed."""
        if not self.running:
            self.launch()
            self.answering()

    def launch(self) -> None:
        """Start the process."""
        if not (self._directory / "logs").exists():
            self._format()
        self._process = self._java("kafka.Kafka", str(self._directory / "server.properties"))
        self._guard = _end_with_us(self._process.pid, self._directory)

    def answering(self) -> None:
        """Return when the broker answers. Raises BrokerFailed."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if not self.running or time.monotonic() > deadline:
                self.kill()
                raise BrokerFailed(self._last_output())

    def stop(self) -> None:
        """Stop in order (SIGTERM); returns when the process is gone."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill (SIGKILL); returns when the process is gone."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Freeze the process: connections stay open and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen process go on."""
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """Kill the broker and delete its files."""
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)
        atexit.unregister(self.close)

    def create_topics(self, partitions: Mapping[str, int], config: Mapping[str, str] | None = None) -> None:
        """Make topics, all with the same topic configuration; returns when each has leaders."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        topics = [
            NewTopic(name, count, replication_factor=1, config=dict(config or {})) for name, count in partitions.items()
        ]
        for future in admin.create_topics(topics).values():
            future.result(timeout=30)
        deadline = time.monotonic() + 30
        while not all(_has_leaders(admin, name, count) for name, count in partitions.items()):
            assert time.monotonic() < deadline, f"topics {sorted(partitions)} have no leaders after 30 s"
            time.sleep(0.05)

    def delete_topics(self, *names: str) -> None:
        """Delete topics."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for future in admin.delete_topics(list(names)).values():
            future.result(timeout=30)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _write_properties(self, port: int, controller_port: int) -> None:
        text = _TEMPLATE.read_text()
        for name, value in {"port": port, "controller_port": controller_port, "logs": self._directory / "logs"}.items():
            text = text.replace(f"{{{name}}}", str(value))
        lines = "".join(f"{name}={value}\n" for name, value in self._settings.items())
        (self._directory / "server.properties").write_text(text + lines)

    def _format(self) -> None:
        properties = str(self._directory / "server.properties")
        tool = self._java("kafka.tools.StorageTool", "format", "-t", self._cluster_id, "-c", properties)
        if tool.wait(timeout=START_TIMEOUT_S):
            raise BrokerFailed(self._last_output())

    def _java(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = ["java", f"-Xmx{self._heap_mb}m", "-cp", f"{fetch()}/*", *arguments]
        with self._process_output.open("ab") as output:
            # A session of its own: Ctrl-C in a terminal must not end the broker before the tests that use it.
            return subprocess.Popen(
                command,
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _answers(self) -> bool:
        client = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        try:
            return bool(client.list_topics(timeout=1).brokers)
        except KafkaException as error:
            known = (KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN)
            if error.args[0].code() not in known:
                raise
            return False

    def _end(self, sign: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(sign)
        self._process.wait(timeout=STOP_TIMEOUT_S)
        self._process = None
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            self._guard = None

    def _last_output(self) -> str:
        return "\n".join(self._process_output.read_text(errors="replace").splitlines()[-30:])


def _has_leaders(admin: AdminClient, name: str, count: int) -> bool:
    topic = admin.list_topics(name, timeout=10).topics[name]
    return (
        topic.error is None
        and len(topic.partitions) == count
        and all(each.leader >= 0 for each in topic.partitions.values())
    )


def _end_with_us(pid: int, directory: Path) -> subprocess.Popen[bytes]:
    """A guard that ends a process and deletes its files when this one is gone, however it went.

    Its pipe from here closes then.
    """
    script = 'read -r _; kill -9 "$0"; rm -rf "$1"'
    return subprocess.Popen(
        ["sh", "-c", script, str(pid), str(directory)], stdin=subprocess.PIPE, start_new_session=True
    )


def _listeners(port: int, controller_port: int, extra: tuple[str, int, int] | None) -> dict[str, str]:
    """Settings of a second listener that advertises another port than its own."""
    if extra is None:
        return {}
    name, own, told = extra
    return {
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port},{name}://127.0.0.1:{own}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port},{name}://127.0.0.1:{told}",
        "listener.security.protocol.map": f"CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,{name}:PLAINTEXT",
    }


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody has now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


def main(arguments: list[str]) -> int:
    """`fetch` or `run`."""
    if arguments == ["fetch"]:
        print(f"Kafka jars: {fetch()}")
        return 0
    if arguments == ["run"]:
        with Broker() as broker:
            print(f"broker at {broker.bootstrap}; Ctrl-C ends it", flush=True)
            try:
                signal.pause()
            except KeyboardInterrupt:
                return 0
    print("usage: python -m tests.live.broker fetch|run", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
