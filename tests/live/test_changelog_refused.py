"""The changelog takes no more writes: the worker stops, acknowledges nothing, and says what the topic needs."""

import time
from pathlib import Path

import pytest

from tests.live.broker import Broker
from tests.live.floor import Floor
from tests.live.system import PANE_MS, System


def now_ms() -> int:
    return int(time.time() * 1000)


@pytest.mark.parametrize("name", ["panes", pytest.param("team-panes", marks=pytest.mark.long)])
def test_refused_record_stops_the_worker_before_it_acknowledges(kafka: Broker, tmp_path: Path, name: str) -> None:
    with System(kafka, tmp_path) as system:
        floor = Floor(now_ms(), seed=41)
        worker, sink = system.worker(), system.sink()
        system.produce(floor.records(500))
        system.drained(worker, sink)
        before = system.committed(system.worker_group, "events")
        system.allow_bytes(name, 100)
        system.produce(floor.records(500))

        assert worker.wait() == 2, worker.end_of_log()
        topic = system.topic(name)
        assert f"error: {topic}[" in worker.said and "the broker refuses it as too large" in worker.said
        assert f"hint: set max.message.bytes of {topic} to at least 1048588" in worker.said
        assert system.committed(system.worker_group, "events") == before
        said = system.run("worker", code=2).stderr
        assert f"error: topic '{topic}': max.message.bytes is 100, at least 1048588 is needed" in said

        system.allow_bytes(name, 1048588)
        worker = system.worker()
        system.drained(worker, sink)
        worker.stop()
        sink.stop()
        system.exact()


def test_pane_larger_than_a_message_outlives_its_worker(kafka: Broker, tmp_path: Path) -> None:
    """One agent, one pane, more entries than a message holds; the next worker recovers it from its chunks."""
    at_ms = now_ms() // PANE_MS * PANE_MS - 1
    with System(kafka, tmp_path) as system:
        floor = Floor(at_ms, seed=42, agents=1, history_ms=PANE_MS // 2, late_share=0)
        worker, sink = system.worker(), system.sink()
        system.produce(floor.fresh(16_000))
        system.drained(worker, sink)
        worker.kill()
        worker = system.worker()
        system.produce(floor.fresh(10))

        system.drained(worker, sink)
        worker.stop()
        sink.stop()
        system.exact()
        keys = {message.key() for message in system.read("panes") if message.value()}
        assert any(key.endswith((b"/1.2", b"/1.4", b"/3.8")) for key in keys), keys
