"""A whole kpistream on a real broker: topics, a store, and roles as processes of their own, for one test.

Everything goes through the command line, as an operator would do it. Waiting is for conditions, with limits
that are generous; a role that ends unasked fails the test at once, with the end of its log. The judge reads
the raw topic with a plain consumer and compares every cell: `exact`.

`python -m tests.live.system rows DIR` prints the pane rows of an embedded store: the engine serves a
directory to one process at a time, so a test looks at it through a process of its own.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, OffsetSpec

from kpistream.history import tables
from kpistream.history.store import open_store
from kpistream.judge.compare import Verdict, cells_of_rows, compare
from kpistream.judge.recompute import Raw, Recomputation, recompute
from tests.live.broker import Broker

LIMIT_S: Final = 120
STOP_LIMIT_S: Final = 10
PANE_MS: Final = 300_000
ROOT: Final = Path(__file__).resolve().parents[2]
KPISTREAM: Final = str(Path(sys.executable).with_name("kpistream"))
_FIRST_TIMESTAMP: Final = "kpi-first-timestamp"
_BUSY: Final = (
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
    KafkaError._NOENT,  # a broker that stood still is fenced at first, and leads nothing
    KafkaError.UNKNOWN_LEADER_EPOCH,  # or does not know yet what others know of it
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError._TIMED_OUT,
    KafkaError._WAIT_COORD,
    KafkaError._TRANSPORT,
)


class Sent(NamedTuple):
    """A record to produce; `partition` None: where the key belongs."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int | None = None
    timestamp_ms: int = 0
    """Of the record, in a topic that keeps the producer's; 0: now."""


class Role:
    """A worker or a sink as a process."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def code(self) -> int | None:
        """Exit code; None while it runs."""
        return self._process.poll()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing when the process is gone."""
        self._process.send_signal(number)

    @property
    def said(self) -> str:
        """Its log."""
        return self.log.read_text(errors="replace")

    def probe(self, path: str) -> tuple[int, Any]:
        """Status and JSON of `/healthz` or `/readyz`, with `metrics_port=0`; (0, None) while nobody answers."""
        found = re.search(r"metrics address=(\S+)", self.said)
        if found is None:
            return 0, None
        try:
            with urllib.request.urlopen(f"http://{found[1]}{path}", timeout=LIMIT_S) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)
        except OSError:
            return 0, None

    def metrics(self) -> str:
        """Text of `/metrics` of a role with `metrics_port=0`. Raises AssertionError, with its log, when it is gone."""
        found = re.search(r"metrics address=(\S+)", self.said)
        assert found is not None, self.end_of_log()
        try:
            with urllib.request.urlopen(f"http://{found[1]}/metrics", timeout=LIMIT_S) as answer:
                return str(answer.read().decode())
        except OSError as error:
            where = f"no metrics of {self.log.name}, exit code {self.code}: {error}"
            raise AssertionError(f"{where}\n{self.end_of_log()}") from None

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.wait(timeout=LIMIT_S)

    def pause(self) -> None:
        """SIGSTOP: alive for the system, dead for the group once its session has timed out."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> float:
        """SIGTERM, and exit 0 within 10 s; how long it took, in s."""
        began_s = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(timeout=STOP_LIMIT_S + 2)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"did not stop within {STOP_LIMIT_S} s:\n{self.end_of_log()}") from None
        assert code == 0, f"exit {code} after SIGTERM:\n{self.end_of_log()}"
        took_s = time.monotonic() - began_s
        assert took_s < STOP_LIMIT_S, f"{took_s:.1f} s from SIGTERM to the end, at most {STOP_LIMIT_S} s"
        return took_s

    def wait(self) -> int:
        """Exit code of a process that ends by itself."""
        return self._process.wait(timeout=LIMIT_S)

    def end(self) -> None:
        """Kill it unless it is gone; for clearing up."""
        if self.code is None:
            self.kill()

    def end_of_log(self) -> str:
        """Its last lines."""
        return "\n".join(self.said.splitlines()[-40:])


class System:
    """Topics under a prefix of their own, a store, and roles. A context manager: at its end no process is left."""

    def __init__(self, kafka: Broker, directory: Path, *, partitions: int = 4, **settings: object) -> None:
        """`settings` become `KPISTREAM_*` variables of every role."""
        self.kafka = kafka
        self.partitions = partitions
        self.directory = directory
        name = f"t{os.getpid()}-{time.monotonic_ns():x}"
        self.prefix = f"{name}."
        self.worker_group, self.sink_group = f"{name}-worker", f"{name}-sink"
        self.notify_group = f"{name}-notify"
        self.store = str(directory / "store")
        self._settings = {
            "broker": kafka.for_roles,
            "topic_prefix": self.prefix,
            "group": name,
            "store": self.store,
            "metrics_port": -1,
            "session_timeout_s": 6,
            "sink_ms": 300,
            **settings,
        }
        self._roles: list[Role] = []
        address = {"bootstrap.servers": kafka.bootstrap}
        self._admin = AdminClient(address)
        self._groups: dict[str, Consumer] = {}
        self._consumer = Consumer({**address, "group.id": f"{name}-reader", "enable.auto.commit": False})

    def __enter__(self) -> "System":
        replication = str(getattr(self.kafka, "replication", 1))
        self.run("topics", "apply", "--partitions", str(self.partitions), "--replication", replication)
        self.run("ddl", "apply")
        return self

    def __exit__(self, *_: object) -> None:
        for role in self._roles:
            role.end()
        self._consumer.close()
        for reader in self._groups.values():
            reader.close()

    # ---- processes

    def environment(self, **settings: object) -> dict[str, str]:
        """The variables of a role."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("KPISTREAM_")}
        chosen = {**self._settings, **settings}
        return {**kept, **{f"KPISTREAM_{name.upper()}": str(value) for name, value in chosen.items()}}

    def run(self, *arguments: str, code: int = 0, **settings: object) -> subprocess.CompletedProcess[str]:
        """A command that ends by itself, with the exit code that is expected of it."""
        done = subprocess.run(
            [KPISTREAM, *arguments],
            cwd=ROOT,
            env=self.environment(**settings),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )
        assert done.returncode == code, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def worker(self, **settings: object) -> Role:
        """Start a worker."""
        return self._role("worker", settings)

    def sink(self, **settings: object) -> Role:
        """Start a sink."""
        return self._role("sink", settings)

    def review(self, **settings: object) -> Role:
        """Start a review."""
        return self._role("review", settings)

    def notify(self, **settings: object) -> Role:
        """Start the role that tells people."""
        return self._role("notify", settings)

    def _role(self, name: str, settings: Mapping[str, object]) -> Role:
        return self._started(name, [KPISTREAM, name], settings)

    def crashing(self, point: str, role: str = "worker", trigger: Path | None = None, **settings: object) -> Role:
        """Start a role that goes wrong at a point; see `tests/live/crashing.py`."""
        command = [sys.executable, "-m", "tests.live.crashing", point, role]
        return self._started(role, command if trigger is None else [*command, str(trigger)], settings)

    def _started(self, name: str, command: Sequence[str], settings: Mapping[str, object]) -> Role:
        log = self.directory / f"{name}-{len(self._roles)}.log"
        role = Role(command, self.environment(**settings), log)
        self._roles.append(role)
        return role

    # ---- the log

    def topic(self, name: str) -> str:
        """Full name of a topic."""
        return self.prefix + name

    def allow_bytes(self, name: str, size_bytes: int) -> None:
        """Let records of this size into a topic."""
        self._alter(name, "max.message.bytes", str(size_bytes))

    def stamp(self, name: str, kind: str) -> None:
        """Let a topic carry the producer's time (`CreateTime`), or the broker's again (`LogAppendTime`)."""
        self._alter(name, "message.timestamp.type", kind)

    def _alter(self, name: str, setting: str, value: str) -> None:
        entry = ConfigEntry(setting, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ConfigResource.Type.TOPIC, self.topic(name), incremental_configs=[entry])
        for future in self._admin.incremental_alter_configs([resource]).values():
            future.result(timeout=30)

    def forget_before(self, name: str, partition: int, offset: int) -> None:
        """Delete the records of a partition before an offset, as retention does."""
        where = TopicPartition(self.topic(name), partition, offset)
        for future in self._admin.delete_records([where]).values():
            future.result(timeout=30)

    def produce(self, records: Iterable[Sent]) -> int:
        """Append to the events topic; how many, once all are durable."""
        return self.produce_to("events", records)

    def produce_to(self, name: str, records: Iterable[Sent]) -> int:
        """Append to a topic; how many, once all are durable."""
        producer = Producer(
            {
                "bootstrap.servers": self.kafka.bootstrap,
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "compression.type": "lz4",
                "linger.ms": 5,
                "queue.buffering.max.messages": 1_000_000,
            }
        )
        failed: list[object] = []

        def delivered(error: object, _: Message) -> None:
            if error is not None:
                failed.append(error)

        count = 0
        for record in records:
            where = {} if record.partition is None else {"partition": record.partition}
            producer.produce(
                self.topic(name),
                key=record.key,
                value=record.value,
                headers=list(record.headers),
                on_delivery=delivered,
                timestamp=record.timestamp_ms,
                **where,
            )
            producer.poll(0)
            count += 1
        assert producer.flush(LIMIT_S) == 0 and not failed
        return count

    @contextmanager
    def feeding(self, records: Iterable[Sent]) -> Iterator[None]:
        """Produce in a thread, 400 records ten times a second at most, while the context does its worst."""
        outcome: list[BaseException] = []

        def feed() -> None:
            try:
                for batch in batched(records, 400):
                    self.produce(batch)
                    time.sleep(0.1)  # a load that lasts, nothing waits for it
            except BaseException as error:
                outcome.append(error)

        thread = threading.Thread(target=feed, daemon=True)
        thread.start()
        try:
            yield
        finally:
            thread.join(LIMIT_S)
        assert not thread.is_alive() and not outcome, outcome

    def read(self, name: str) -> list[Message]:
        """All records that a topic holds now, partition by partition."""
        out: list[Message] = []
        for partition, end in self.ends(name).items():
            tp = TopicPartition(self.topic(name), partition)
            tp.offset = next_offset = self._consumer.get_watermark_offsets(tp, timeout=30)[0]
            self._consumer.assign([tp])
            deadline_s = time.monotonic() + LIMIT_S
            while next_offset < end:
                assert time.monotonic() < deadline_s, f"{name}[{partition}] ends at {next_offset}, not {end}"
                for message in self._consumer.consume(5000, timeout=0.5):
                    assert message.error() is None, message.error()
                    next_offset = message.offset() + 1
                    out.append(message)
                next_offset = max(next_offset, self._consumer.position([tp])[0].offset)  # compaction may take the last
        self._consumer.unassign()
        return out

    def ends(self, name: str) -> dict[int, int]:
        """End offset of every partition of a topic."""
        topic = self.topic(name)
        asked = self._admin.list_offsets(
            {TopicPartition(topic, n): OffsetSpec.latest() for n in self._partitions_of(topic)}
        )
        return {tp.partition: future.result(timeout=30).offset for tp, future in asked.items()}

    def _partitions_of(self, topic: str) -> list[int]:
        return sorted(self._admin.list_topics(topic, timeout=30).topics[topic].partitions)

    def committed(self, group: str, name: str) -> dict[int, int]:
        """What a group has committed of a topic; 0 for nothing."""
        topic = self.topic(name)
        asked = [TopicPartition(topic, n) for n in range(self.partitions)]
        if group not in self._groups:
            self._groups[group] = group_reader(self.kafka.bootstrap, group)
        return {tp.partition: max(0, tp.offset) for tp in self._groups[group].committed(asked, timeout=30)}

    # ---- waiting

    def until(self, what: str, condition: Callable[[], bool], *alive: Role, limit_s: float = LIMIT_S) -> None:
        """Wait for a condition while the named roles live."""
        deadline_s = time.monotonic() + limit_s
        while not _holds(condition):
            for role in alive:
                assert role.code is None, f"{role.log.name} ended with {role.code}:\n{role.end_of_log()}"
            logs = "\n".join(f"--- {role.log.name}\n{role.end_of_log()}" for role in self._roles)
            assert time.monotonic() < deadline_s, f"waited {limit_s} s for: {what}\n{self.offsets()}\n{logs}"
            time.sleep(0.1)

    def worked(self, *alive: Role, limit_s: float = LIMIT_S) -> None:
        """Wait until the workers have committed all events, those they wrote themselves included."""
        self.until("events worked", lambda: self.at_end(self.worker_group, "events"), *alive, limit_s=limit_s)

    def drained(self, *alive: Role, limit_s: float = LIMIT_S) -> None:
        """Wait until workers and sinks have committed everything."""
        self.until("everything drained", self._idle, *alive, limit_s=limit_s)

    def progressed(self, share: float, total: int, *alive: Role) -> None:
        """Wait until workers have committed this share of `total` events: the middle of the load."""
        enough = share * total
        self.until(
            f"{enough:.0f} events worked",
            lambda: sum(self.committed(self.worker_group, "events").values()) >= enough,
            *alive,
        )

    def offsets(self) -> str:
        """Where everybody is, for a message."""
        lines = []
        for group, name in ((self.worker_group, "events"), (self.sink_group, "events"), (self.sink_group, "panes")):
            lines.append(f"{group} {name} committed {self.committed(group, name)} of {self.ends(name)}")
        return "\n".join(lines)

    def _idle(self) -> bool:
        before = self.ends("events")
        return (
            self.at_end(self.worker_group, "events")
            and self.at_end(self.sink_group, "events")
            and self.at_end(self.sink_group, "panes")
            and self.at_end(self.sink_group, "alerts")
            and self.ends("events") == before
        )

    def at_end(self, group: str, name: str) -> bool:
        """Whether a group has committed all of a topic."""
        ends, committed = self.ends(name), self.committed(group, name)
        return all(committed[partition] >= end for partition, end in ends.items())

    # ---- the judge

    def recomputed(self) -> Recomputation:
        """Every cell again, from the raw topic."""
        return recompute(map(raw, self.read("events")), PANE_MS)

    def rows(self) -> list[dict[str, Any]]:
        """The standing rows of the store: of a directory through another process, of a server as it runs."""
        if self.store.startswith("http"):
            return list(store_rows(self.store))
        command = [sys.executable, "-m", "tests.live.system", "rows", self.store]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def exact(self) -> Recomputation:
        """Compare every cell of the store (its sink has stopped) with the judge's; what the judge has seen."""
        seen = self.recomputed()
        verdict = compare(seen.cells(), cells_of_rows(self.rows()), seen.behind)
        assert str(verdict) == str(Verdict(verdict.cells)), "\n".join(map(str, (verdict, *verdict.first)))
        assert verdict.cells > 0
        return seen


def group_reader(bootstrap: str, group: str) -> Consumer:
    """A consumer that never joins, to ask what a group has committed.

    librdkafka 2.16's admin client crashes the process when a group's coordinator is not there.
    """
    return Consumer({"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False, "log_level": 0})


def _holds(condition: Callable[[], bool]) -> bool:
    """Whether it holds; a broker that is still busy with its own start, or has just died, does not say so."""
    try:
        return condition()
    except TimeoutError:
        return False
    except KafkaException as error:
        if error.args[0].code() not in _BUSY:
            raise
        return False


def batched(records: Iterable[Sent], size: int) -> Iterator[list[Sent]]:
    """The records in lists of `size`."""
    each = iter(records)
    while batch := list(islice(each, size)):
        yield batch


def raw(message: Message) -> Raw:
    """A record as the judge takes it."""
    headers = [(name, value or b"") for name, value in message.headers() or ()]
    timestamp_ms = message.timestamp()[1]
    for name, value in headers:
        if name == _FIRST_TIMESTAMP and value.isdigit():
            timestamp_ms = min(timestamp_ms, int(value))
            break
    return Raw(message.partition(), message.offset(), timestamp_ms, message.key(), message.value(), headers)


def store_rows(location: str) -> Iterable[dict[str, Any]]:
    """Rows of `kpi_panes` as the judge takes them, `version` as text, ordered by place."""
    measures = ", ".join(tables.MEASURE_COLUMNS)
    sql = (
        f"SELECT tenant, scope, toUnixTimestamp64Milli(start), pane_ms, toString(version), {measures} "
        f"FROM {tables.PANES} FINAL ORDER BY tenant, scope, start"
    )
    names = ("tenant", "scope", "start", "pane_ms", "version", *tables.MEASURE_COLUMNS)
    with open_store(location) as store:
        for row in store.query(sql):
            yield dict(zip(names, row, strict=True))


if __name__ == "__main__":
    assert sys.argv[1] == "rows"
    for each in store_rows(sys.argv[2]):
        print(json.dumps(each))
