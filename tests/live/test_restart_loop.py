"""A supervisor's restart loop is harmless: no number changes, no frontier runs ahead, the others go on.

`KPISTREAM_RESTARTS=50` makes the long run; what it measures is in the output of `pytest -s`.
"""

import os
import threading
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Final

import msgspec

from tests.live.broker import Broker
from tests.live.crashing import CODE, POINTS
from tests.live.floor import Floor
from tests.live.system import LIMIT_S, System

RESTARTS: Final = int(os.environ.get("KPISTREAM_RESTARTS", "2"))
FIRST: Final = ("published", "acknowledged")
"""What the short run takes; the long run takes all points in turn."""
SESSION_TIMEOUT_S: Final = 6
REBALANCE_LIMIT_S: Final = 60
HORIZON_MS: Final = 36 * 3_600_000


def points() -> list[str]:
    return list(islice(cycle(FIRST if len(FIRST) >= RESTARTS else POINTS), RESTARTS))


class Progress:
    """How long the group went without a commit while events kept coming."""

    def __init__(self, system: System) -> None:
        self.longest_s = 0.0
        self._system = system
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Progress":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(LIMIT_S)

    def _watch(self) -> None:
        before, since_s = -1, time.monotonic()
        while not self._done.wait(0.2):
            now = sum(self._system.committed(self._system.worker_group, "events").values())
            if now != before:
                before, since_s = now, time.monotonic()
            self.longest_s = max(self.longest_s, time.monotonic() - since_s)


def test_restart_loop_changes_no_number_and_lets_the_others_work(kafka: Broker, tmp_path: Path) -> None:
    with System(kafka, tmp_path) as system:
        floor = Floor(int(time.time() * 1000), seed=21)
        steady, sink = system.worker(), system.sink()
        system.until("a steady worker", lambda: "recovered" in steady.said, steady)
        total, fed = 0, threading.Event()

        def feed() -> None:
            nonlocal total
            while not fed.wait(0.1):
                total += system.produce(floor.records(40))

        feeding = threading.Thread(target=feed, daemon=True)
        feeding.start()
        with Progress(system) as progress:
            for point in points():
                crashing = system.crashing(point)
                assert crashing.wait() == CODE, crashing.end_of_log()
                assert steady.code is None, steady.end_of_log()
            system.until("the group's peace", lambda: system.committed(system.worker_group, "events") != {}, steady)
        fed.set()
        feeding.join(LIMIT_S)

        system.drained(steady, sink)
        steady.stop()
        sink.stop()
        system.exact()
        _report(system, progress, total)
        assert progress.longest_s < REBALANCE_LIMIT_S


def _report(system: System, progress: Progress, total: int) -> None:
    """Frontiers are behind the newest record by the horizon; print what the loop left in the changelog."""
    panes = system.read("panes")
    newest_ms = max(message.timestamp()[1] for message in system.read("events"))
    standing = {message.key(): message.value() for message in panes}
    frontiers = [msgspec.msgpack.decode(value)[1] for key, value in standing.items() if key.startswith(b"F/") and value]
    assert all(start_ms <= newest_ms - HORIZON_MS for start_ms in frontiers)
    keys = [key for key, value in standing.items() if key.startswith(b"P/") and value]
    places = {key.rpartition(b"#")[0] for key in keys}
    writers = {key.rpartition(b"#")[2].partition(b"/")[0] for key in keys}
    print(
        f"\n{RESTARTS} restarts, {total} events: {len(panes)} changelog records, {len(keys)} standing keys of "
        f"{len(writers)} writers for {len(places)} live panes ({len(keys) / len(places):.2f} a pane); "
        f"longest time without a commit {progress.longest_s:.1f} s"
    )
