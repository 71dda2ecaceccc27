"""Workers and a sink as processes on a real Apache Kafka: whatever happens to them, every cell is exact."""

import time
from collections import Counter
from pathlib import Path

import pytest

from tests.live.broker import Broker
from tests.live.floor import Floor
from tests.live.system import System, raw


def now_ms() -> int:
    return int(time.time() * 1000)


def test_steady_work_is_exact(kafka: Broker, tmp_path: Path) -> None:
    with System(kafka, tmp_path) as system:
        floor = Floor(now_ms())
        worker, sink = system.worker(), system.sink()
        system.produce(floor.records(20_000))

        system.drained(worker, sink)
        worker.stop()
        sink.stop()

        seen = system.exact()
        assert seen.duplicates > 300 and seen.corrections > 600 and seen.retractions > 500
        assert set(seen.rejected) == {"empty", "not-json", "missing-field", "schema-registry-framing", "unknown-type"}
        letters = Counter(dict(message.headers())["kpi-reason"].decode() for message in system.read("dead-letters"))
        assert letters == seen.rejected
