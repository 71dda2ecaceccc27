"""Health, watchdog and endpoint: what is stuck is said, and the process ends; what is late is not stuck."""

import io
import json
import logging
import threading
import time
import urllib.error
import urllib.request

import pytest
from prometheus_client import CollectorRegistry, Counter

from kpistream.endpoint import healthz, readyz, serve
from kpistream.errors import ConfigError
from kpistream.health import Fault, Health
from kpistream.watchdog import Watchdog

LIMIT_S = 30


class Clock:
    def __init__(self):
        self.s = 0.0


class Role:
    """A role that says what it is told to say."""

    def __init__(self, faults=(), waits=()):
        self.said, self.waits = list(faults), list(waits)

    def faults(self, now_s):
        return self.said

    def waits_for(self):
        return self.waits


def made():
    clock = Clock()
    return clock, Health("worker", lambda: clock.s)


def test_pulse_that_beats_in_time_is_no_fault():
    clock, health = made()
    pulse = health.pulse("flush loop has not turned", "restart", 10)
    for _ in range(100):
        pulse.beat()
        clock.s += 9
        assert health.faults() == []


def test_pulse_that_stops_is_a_fault_with_its_hint():
    clock, health = made()
    health.pulse("flush loop has not turned", "restart", 10).beat()
    clock.s += 11

    assert health.faults() == [Fault("flush loop has not turned", 11.0, "restart")]
    assert healthz(health) == (
        503,
        {
            "role": "worker",
            "alive": False,
            "faults": [{"fault": "flush loop has not turned for 11 s", "hint": "restart"}],
        },
    )


def test_pulse_at_rest_is_never_a_fault():
    clock, health = made()
    pulse = health.pulse("call has not come back", "look", 10)
    clock.s += 1000
    pulse.beat()
    pulse.rest()
    clock.s += 1000

    assert healthz(health) == (200, {"role": "worker", "alive": True, "faults": []})


def test_late_event_loop_is_alive_and_not_ready():
    clock, health = made()
    health.pulse("event loop is blocked", "report", 30, unready_after_s=5).beat()
    assert readyz(health)[0] == 200
    clock.s += 6

    assert healthz(health)[0] == 200
    assert readyz(health) == (
        503,
        {"role": "worker", "ready": False, "waits_for": ["event loop is blocked for 6 s"]},
    )


def test_role_that_is_stuck_is_neither_alive_nor_ready():
    _clock, health = made()
    health.watch(Role([Fault("recovery stalled", 121.0, "look")], ["partition 0: recovering"]))

    assert healthz(health)[0] == 503
    assert readyz(health)[1]["waits_for"] == ["recovery stalled for 121 s", "partition 0: recovering"]


def test_end_that_does_not_come_is_a_fault_and_nothing_else_is():
    clock, health = made()
    health.pulse("flush loop has not turned", "restart", 10).beat()
    health.watch(Role([Fault("recovery stalled", 121.0, "look")]))
    ending = health.ending(10, ConnectionError("gone"))
    assert health.faults() == []
    clock.s += 11

    assert [str(fault) for fault in health.faults()] == [
        "end after ConnectionError('gone') has begun and is not done for 11 s"
    ]
    ending.rest()
    assert health.faults() == []


class Ended:
    """Takes the exit of a watchdog's process."""

    def __init__(self):
        self.code, self.came = None, threading.Event()

    def __call__(self, code):
        self.code = code
        self.came.set()


def watching(health, log_limit_s=LIMIT_S):
    ended = Ended()
    dog = Watchdog(health, look_s=0.02, end=ended, log_limit_s=log_limit_s)
    dog.start()
    return dog, ended


def test_watchdog_ends_the_process_with_one_line(caplog):
    _clock, health = made()
    health.watch(Role([Fault("recovery stalled", 121.0, "look at the brokers")]))
    with caplog.at_level(logging.ERROR):
        _dog, ended = watching(health)
        assert ended.came.wait(2 * LIMIT_S)

    assert ended.code == 70
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith("stuck role=worker fault='recovery stalled for 121 s' at='")
    assert line.endswith("hint='look at the brokers'")


def test_fault_that_is_seen_once_does_not_end_the_process():
    """A process that was stopped as a whole finds its pulses old when it goes on, and beats again at once."""
    _clock, health = made()
    looks = []

    class Woken(Role):
        def faults(self, now_s):
            looks.append(now_s)
            return [Fault("event loop is blocked", 60.0, "report")] if len(looks) % 2 else []

    health.watch(Woken())
    dog, ended = watching(health)
    deadline_s = time.monotonic() + LIMIT_S
    while len(looks) < 20:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    dog.stop()

    assert ended.code is None


def test_watchdog_ends_a_process_whose_log_is_blocked():
    """The thread that is stuck in writing its log holds the lock of the log."""
    _clock, health = made()
    health.watch(Role([Fault("event loop is blocked", 60.0, "report")]))
    held = logging.StreamHandler(io.StringIO())
    logger = logging.getLogger("kpistream.watchdog")
    logger.addHandler(held)
    held.acquire()
    try:
        _dog, ended = watching(health, log_limit_s=0.2)
        assert ended.came.wait(LIMIT_S)
    finally:
        held.release()
        logger.removeHandler(held)

    assert ended.code == 70


def test_endpoint_and_watchdog_watch_each_other():
    clock, health = made()
    serve(CollectorRegistry(), health, "127.0.0.1", 0)
    dog = Watchdog(health, look_s=1000, end=Ended())
    dog.start()
    clock.s += 100_000

    deadline_s = time.monotonic() + LIMIT_S
    while [fault.what for fault in health.faults()] != ["watchdog has not looked"]:
        assert time.monotonic() < deadline_s, health.faults()
        time.sleep(0.05)  # the endpoint turns on, the watchdog sleeps
    dog.stop()


def get(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=LIMIT_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_endpoint_serves_metrics_liveness_and_readiness():
    clock, health = made()
    registry = CollectorRegistry()
    Counter("kpistream_events_total", "Records.", registry=registry).inc(3)
    port = serve(registry, health, "127.0.0.1", 0)
    health.pulse("start checks are not done", "look", 60, unready_after_s=0).beat()

    assert "kpistream_events_total 3.0" in get(port, "/metrics")[1]
    assert get(port, "/healthz?verbose")[0] == 200
    status, body = get(port, "/readyz")
    assert (status, json.loads(body)["waits_for"]) == (503, ["start checks are not done for 0 s"])
    assert get(port, "/else")[0] == 404
    clock.s += 61
    assert get(port, "/healthz")[0] == 503


def test_taken_port_is_a_fault_of_the_configuration():
    _clock, health = made()
    port = serve(CollectorRegistry(), health, "127.0.0.1", 0)

    with pytest.raises(ConfigError, match=f"KPISTREAM_METRICS_PORT: 127.0.0.1:{port} cannot be opened"):
        serve(CollectorRegistry(), health, "127.0.0.1", port)
