"""Alive, ready, stuck: probes tell the truth, and a stuck process ends with code 70 and one line."""

import time
from collections.abc import Callable
from pathlib import Path

from tests.live.broker import Broker
from tests.live.floor import Floor
from tests.live.system import LIMIT_S, Role, System

PROBES = ("/readyz", "/healthz")


def now_ms() -> int:
    return int(time.time() * 1000)


def fatal(role: Role) -> str:
    """The one line that says why a role ended."""
    lines = [line for line in role.said.splitlines() if " stuck role=" in line or " failed role=" in line]
    assert len(lines) == 1, role.end_of_log()
    return lines[0]


def ready(role: Role) -> Callable[[], bool]:
    return lambda: role.probe("/readyz")[0] == 200


def test_what_is_blocked_held_back_or_down_is_told_and_what_is_stuck_ends(kafka: Broker, tmp_path: Path) -> None:
    """Five stories at once, to wait for their limits together."""
    block, release, never = tmp_path / "block", tmp_path / "release", tmp_path / "never"
    with System(kafka, tmp_path, metrics_port=0, loop_timeout_s=8) as system:
        worker = system.crashing("blocked", "worker", block)
        sink = system.crashing("blocked", "sink", block)
        held = system.crashing("held", "worker", release, group="held")
        stalled = system.crashing("held", "worker", never, group="stalled", stall_timeout_s=20)
        waiting = system.sink(group="waiting", store="http://127.0.0.1:1/kpi")
        for role in (worker, sink):
            system.until(f"{role.log.name} ready", ready(role), role)

        system.until("recovery held", lambda: "changelog offset" in str(held.probe("/readyz")[1]), held)
        assert held.probe("/readyz")[0] == 503 and held.probe("/healthz")[0] == 200
        release.touch()
        system.until("recovery released", ready(held), held)

        block.touch()
        said = probed_until_their_end(worker, sink)
        for role in (worker, sink):
            assert (503, "event loop is blocked") in said[role, "/readyz"], said
            assert {200} <= {status for status, _ in said[role, "/healthz"]} <= {0, 200, 503}
            assert role.wait() == 70
            assert "fault='event loop is blocked for " in fatal(role)
            assert "at='crashing.py:" in fatal(role) and "wait_for_ever' hint='report" in fatal(role)

        system.until("the outage", lambda: "store unavailable" in str(waiting.probe("/readyz")[1]), waiting)
        assert waiting.probe("/readyz")[0] == 503 and waiting.probe("/healthz")[0] == 200
        waiting.stop()

        assert stalled.wait() == 70
        assert "recovery stalled, nothing was joined for 2" in fatal(stalled) and "hint='read the log" in fatal(stalled)
        held.stop()


def probed_until_their_end(*roles: Role) -> dict[tuple[Role, str], set[tuple[int, str]]]:
    """What the probes said until nobody answered: status, and what was waited for, without the time."""
    said: dict[tuple[Role, str], set[tuple[int, str]]] = {(role, path): set() for role in roles for path in PROBES}
    deadline_s = time.monotonic() + LIMIT_S
    while any(role.code is None for role in roles):
        for role in roles:
            assert time.monotonic() < deadline_s, role.end_of_log()
            for path in PROBES:
                status, body = role.probe(path)
                reasons = [] if body is None else body.get("waits_for", body.get("faults"))
                said[role, path].update((status, str(text).partition(" for ")[0]) for text in reasons or [""])
        time.sleep(0.2)
    return said


def test_broker_that_confirms_and_answers_nothing_ends_workers(kafka: Broker, tmp_path: Path) -> None:
    """It stands still between reading and flushing, and at a start; the next worker makes every cell exact."""
    with System(kafka, tmp_path, metrics_port=0) as system:
        floor = Floor(now_ms(), seed=31)
        worker = system.worker(publish_timeout_s=5, flush_ms=10_000)
        sink = system.sink()
        system.until("a ready worker", ready(worker), worker)
        system.until("a ready sink", ready(sink), sink)
        read = system.produce(floor.records(3_000))
        system.until("events read", lambda: events_read(worker) >= read, worker)
        kafka.pause()
        try:
            starting = system.worker(stall_timeout_s=8)
            assert worker.wait() == 70 and starting.wait() == 70
        finally:
            kafka.resume()
        assert " sent and not confirmed for 5 s' hint='look at the brokers" in fatal(worker)
        assert "fault='start checks are not done for " in fatal(starting)
        assert "hint='look at the brokers" in fatal(starting)
        assert sink.probe("/healthz")[0] == 200

        worker = system.worker()
        system.drained(worker, sink)
        worker.stop()
        sink.stop()
        system.exact()


def events_read(role: Role) -> float:
    for line in role.metrics().splitlines():
        if line.startswith("kpistream_events_total "):
            return float(line.split()[1])
    return 0
