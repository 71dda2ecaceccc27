"""ClickHouse refuses, is slow, loses answers or is away while events flow: the sink waits, and every cell is exact."""

import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.front.process import Front
from tests.live.broker import Broker
from tests.live.floor import Floor
from tests.live.system import System

READ_ONLY = 164
MEMORY_LIMIT = 241
TOO_MANY_PARTS = 252


def now_ms() -> int:
    return int(time.time() * 1000)


def served(kafka: Broker, front: Front, directory: Path) -> System:
    """A system whose store is a ClickHouse over HTTP, in a database of its own."""
    system = System(kafka, directory, store=front.url(f"faults_{uuid.uuid4().hex[:8]}"))
    system.store = str(system.environment()["KPISTREAM_STORE"])
    return system


def test_every_refusal_of_the_store_is_waited_for(kafka: Broker, http_clickhouse: Front, tmp_path: Path) -> None:
    """One fault after the other, each until the sink has met it a few times; the worker never waits for it."""
    front = http_clickhouse
    with served(kafka, front, tmp_path) as system:
        floor = Floor(now_ms(), seed=31)
        worker, sink = system.worker(), system.sink()
        system.produce(floor.records(500))
        system.drained(worker, sink)
        for code in (READ_ONLY, TOO_MANY_PARTS, MEMORY_LIMIT):
            front.fail_all_inserts(code)
            before, committed = front.faults_happened, system.committed(system.sink_group, "events")
            system.produce(floor.records(300))
            system.worked(worker, sink)
            system.until("refusals", lambda before=before: front.faults_happened >= before + 3, worker, sink)
            assert system.committed(system.sink_group, "events") == committed
            front.clear_faults()
            system.drained(worker, sink)

        front.drop_all_answers()
        before = front.inserts_written
        system.produce(floor.records(300))
        system.until("answers lost", lambda: front.inserts_written >= before + 4, worker, sink)
        front.slow_all_inserts(1500)
        system.produce(floor.records(300))
        system.drained(worker, sink)
        front.clear_faults()
        worker.stop()
        sink.stop()

        assert sink.said.count("store unavailable") >= 9 and "store available again" in sink.said
        assert system.exact().duplicates > 0


@pytest.mark.long
def test_store_that_is_down_stops_nobody(kafka: Broker, http_clickhouse: Front, tmp_path: Path) -> None:
    """Down before the sink starts, then again in the middle of its work; connections are refused."""
    front = http_clickhouse
    with served(kafka, front, tmp_path) as system:
        floor = Floor(now_ms(), seed=32)
        front.kill()
        worker, sink = system.worker(), system.sink()
        system.produce(floor.records(1_000))
        system.worked(worker, sink)
        system.until("the sink tries", lambda: sink.said.count("store unavailable") >= 3, worker, sink)
        front.start()
        system.drained(worker, sink)
        with system.feeding(floor.records(2_000)):
            front.kill()
            before = sink.said.count("store unavailable")
            system.until("the sink tries", lambda: sink.said.count("store unavailable") > before, worker, sink)
            front.start()

        system.drained(worker, sink)
        worker.stop()
        sink.stop()
        system.exact()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MB; the test skips where nobody may mount one."""
    directory = tmp_path / "disk"
    directory.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no small disk: {done.stderr.strip()}")
    yield directory
    subprocess.run(["umount", "-l", str(directory)], check=True)


def test_full_disk_of_an_embedded_store_is_waited_for(kafka: Broker, small_disk: Path, tmp_path: Path) -> None:
    system = System(kafka, tmp_path, store=small_disk / "store")
    system.store = str(small_disk / "store")
    with system:
        floor = Floor(now_ms(), seed=33)
        worker, sink = system.worker(), system.sink()
        system.produce(floor.records(500))
        system.drained(worker, sink)
        room = shutil.disk_usage(small_disk).free
        (small_disk / "filler").write_bytes(bytes(room - 4096))
        system.produce(floor.records(3_000))
        system.worked(worker, sink)
        system.until("the disk is full", lambda: "store unavailable" in sink.said, worker, sink)
        (small_disk / "filler").unlink()

        system.drained(worker, sink)
        worker.stop()
        sink.stop()
        system.exact()
