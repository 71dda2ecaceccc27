"""Sinks as processes on a real Apache Kafka: killed between inserts and commits, and two of them at once."""

import time
import uuid
from pathlib import Path

from tests.front.process import Front
from tests.live.broker import Broker
from tests.live.floor import Floor
from tests.live.system import System


def now_ms() -> int:
    return int(time.time() * 1000)


def served(kafka: Broker, front: Front, directory: Path) -> System:
    """A system whose store is a ClickHouse over HTTP, in a database of its own."""
    system = System(kafka, directory, store=front.url(f"live_{uuid.uuid4().hex[:8]}"))
    system.store = str(system.environment()["KPISTREAM_STORE"])
    return system


def test_sink_killed_between_insert_and_commit_loses_and_doubles_nothing(
    kafka: Broker, http_clickhouse: Front, tmp_path: Path
) -> None:
    """The front tells when an insert is in; the sink dies there, before it can have committed it."""
    with served(kafka, http_clickhouse, tmp_path) as system:
        floor = Floor(now_ms(), seed=9)
        worker, sink = system.worker(), system.sink()
        with system.feeding(floor.records(12_000)):
            for _ in range(3):
                before = http_clickhouse.inserts_written
                while http_clickhouse.inserts_written == before:
                    assert sink.code is None, sink.end_of_log()
                sink.kill()
                sink = system.sink()

        system.drained(worker, sink)
        worker.stop()
        sink.stop()
        system.exact()


def test_two_sinks_and_the_death_of_one(kafka: Broker, http_clickhouse: Front, tmp_path: Path) -> None:
    with served(kafka, http_clickhouse, tmp_path) as system:
        floor = Floor(now_ms(), seed=10)
        worker, first, second = system.worker(), system.sink(), system.sink()
        with system.feeding(floor.records(12_000)):
            system.until("two sinks", lambda: "assigned" in first.said and "assigned" in second.said, first, second)
            system.progressed(0.4, 12_000, worker, first, second)
            first.kill()

        system.drained(worker, second)
        worker.stop()
        second.stop()
        system.exact()
