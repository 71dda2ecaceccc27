"""The two commands that show live numbers, run as people run them: as processes."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kpistream.config import Config
from kpistream.core.acks import Ack, encode_ack
from kpistream.core.alerts import State, Transition, alert_id, alert_key, encode_transition
from kpistream.core.alerts import Subject as AlertSubject
from kpistream.core.measures import BY_NAME
from kpistream.core.readings import About, Reading, Shown, encode_reading, read, reading_key
from kpistream.core.targets import Direction, Why
from kpistream.core.windows import business_day
from kpistream.embedded import EmbeddedBroker
from kpistream.log.publisher import Publisher
from kpistream.log.records import Outgoing
from kpistream.log.topics import Topics

COMMAND = [sys.executable, "-c", "from kpistream.cli import main; main()"]
PROMPT_S = 40.0


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=180, check=False)


@pytest.mark.engine
def test_demo_ends_with_an_account_that_an_independent_recomputation_confirms(tmp_path: Path) -> None:
    pytest.importorskip("chdb", reason="chdb is not installed")
    picture = tmp_path / "demo.svg"

    done = run("demo", "--for", "15", "--store", str(tmp_path / "store"), "--capture", str(picture))

    assert done.returncode == 0, done.stdout + done.stderr
    cells = re.search(r"every pane equals an independent recomputation: (\d+) cells: (.*)", done.stdout)
    assert cells is not None
    assert int(cells[1]) > 300
    assert cells[2] == "0 lost, 0 double, 0 phantom, 0 different"
    assert re.search(r"^sent +[\d,]+  calls [\d,]+, deals \d+, surveys \d+, bad [1-9]\d*$", done.stdout, re.M)
    assert re.search(r"^rejected +[1-9]", done.stdout, re.M)
    assert re.search(r"^duplicates +[1-9]", done.stdout, re.M)
    assert re.search(
        r"Ana Ruiz \(north\), business day(?: provisional)?: calls \d+(?: \w+)?, connect [\d.]+ % \(n \d+\)",
        done.stdout,
    )
    assert "Ruiz" in picture.read_text(encoding="utf-8")

    again = run("demo", "--for", "2", "--store", str(tmp_path / "store"))

    assert again.returncode == 0, again.stdout + again.stderr
    assert "the store held facts of an earlier run" in again.stdout
    assert "0 lost, 0 double, 0 phantom, 0 different" in again.stdout


@pytest.mark.engine
def test_interrupting_a_demo_ends_it_in_order() -> None:
    pytest.importorskip("chdb", reason="chdb is not installed")

    with process("demo", "--speed", "30") as demo:
        until(demo, "business day")
        demo.send_signal(signal.SIGINT)
        rest, _ = demo.communicate(timeout=60)

    assert demo.returncode == 0
    assert "every pane equals an independent recomputation" in rest


def test_demo_refuses_a_clock_that_stands() -> None:
    done = run("demo", "--speed", "0")

    assert done.returncode == 2
    assert done.stderr == "error: speed 0 must be above 0 simulated seconds in a second\n"


def test_watch_shows_what_is_there_then_what_comes() -> None:
    pytest.importorskip("confluent_kafka", reason="confluent_kafka is not installed")
    now_ms = time.time_ns() // 1_000_000

    with EmbeddedBroker() as broker:
        send(broker, [reading("ann", 4, now_ms), reading("ann", 7, now_ms), reading("bob", 9, now_ms, team="b")])
        with process("watch", "--broker", broker.address, "--team", "a") as watch:
            there = until(watch, "ann")
            send(broker, [reading("cleo", 1, now_ms)], [fired("cleo", now_ms)])
            came = until(watch, "alert", "calls 1")
            watch.send_signal(signal.SIGINT)
            rest, _ = watch.communicate(timeout=30)

    assert "ann (a), business day: calls 7" in there
    assert "calls 4" not in there
    assert "cleo (a), business day: calls 1" in came
    assert "MISSED: cleo: connect" in came
    assert "bob" not in there + came + rest
    assert watch.returncode == 0


def test_watch_says_what_people_say_of_alerts() -> None:
    pytest.importorskip("confluent_kafka", reason="confluent_kafka is not installed")
    now_ms = time.time_ns() // 1_000_000
    eva = {"target": "connect", "tenant": "acme", "by": "eva", "at_ms": now_ms}

    with EmbeddedBroker() as broker:
        seen = [Ack(scope="agent:ann", acked=1, **eva), Ack(scope="agent:nobody", acked=1, **eva)]
        send(broker, [], [fired("ann", now_ms), fired("bob", now_ms)], seen)
        with process("watch", "--broker", broker.address) as watch:
            there = until(watch, "MISSED: ann", "MISSED: bob", "acknowledged")
            send(broker, [], None, [Ack(scope="agent:bob", muted=True, **eva)])
            came = until(watch, "muted by eva")
            watch.send_signal(signal.SIGINT)
            watch.communicate(timeout=30)

    assert "acknowledged by eva: ann: connect share" in there
    assert "muted by eva: bob: connect share" in came
    assert there.count("acknowledged") == 1


def test_watch_says_which_topic_is_missing_and_makes_none() -> None:
    pytest.importorskip("confluent_kafka", reason="confluent_kafka is not installed")

    with EmbeddedBroker() as broker:
        first = run("watch", "--broker", broker.address)
        second = run("watch", "--broker", broker.address)

    assert first.returncode == second.returncode == 2
    assert first.stderr.splitlines()[0] == f"error: topic 'kpi.readings' is not on {broker.address}"
    assert second.stderr == first.stderr


def test_watch_refuses_a_window_that_is_not_kept_live() -> None:
    done = run("watch", "--window", "week")

    assert done.returncode == 2
    assert done.stderr == 'error: window "week" is none of rolling-15m, rolling-60m, business-day\n'


# ---- twins


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The command, with its output as it comes."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    running = subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, text=True, env=environment)
    try:
        yield running
    finally:
        running.kill()


def until(running: subprocess.Popen[str], *words: str) -> str:
    """Everything up to the line with which all words have been seen; a process that is too slow is killed."""
    assert running.stdout is not None
    out, late = "", threading.Timer(PROMPT_S, running.kill)
    late.start()
    try:
        while not all(word in out for word in words):
            line = running.stdout.readline()
            assert line, f"ended before {words}: {out}"
            out += line
    finally:
        late.cancel()
    return out


def reading(agent: str, calls: int, now_ms: int, team: str = "a") -> Reading:
    window = Shown("business-day", business_day(now_ms, "UTC"), now_ms)
    return read(About("acme", f"agent:{agent}", team, agent), window, {BY_NAME["calls"].number: calls})


def fired(agent: str, now_ms: int) -> Transition:
    subject = AlertSubject("connect", "acme", f"agent:{agent}")
    window = business_day(now_ms, "UTC")
    return Transition(
        alert_id=alert_id(subject, 1),
        target=subject.target,
        tenant=subject.tenant,
        scope=subject.scope,
        sequence=1,
        from_state=State.OK,
        to_state=State.FIRING,
        at_ms=now_ms,
        reason=Why.BELOW_BOUND,
        kpi="connect_share",
        window="business-day",
        window_from_ms=window.from_ms,
        window_to_ms=window.to_ms,
        direction=Direction.AT_LEAST,
        low=0.3,
        high=None,
        value=0.2,
        numerator=10,
        denominator=50,
        before=State.FIRING,
        team="a",
        display_name=agent,
    )


def send(
    broker: EmbeddedBroker,
    readings: list[Reading],
    transitions: list[Transition] | None = None,
    acks: list[Ack] | None = None,
) -> None:
    """Publish into a broker on which both topics then exist, and with `acks` also theirs."""

    async def publish() -> None:
        topics = Topics()
        publisher = Publisher(Config(broker=broker.address).connection())
        await publisher.start()
        for name in (topics.readings, topics.alerts):
            await publisher.partitions(name)
        await publisher.publish(topics.readings, 0, [Outgoing(reading_key(r), encode_reading(r)) for r in readings])
        alerts = [Outgoing(alert_key(t), encode_transition(t)) for t in transitions or []]
        await publisher.publish(topics.alerts, 0, alerts)
        for each in acks or []:
            await publisher.partitions(topics.alert_acks)
            await publisher.publish(topics.alert_acks, 0, [Outgoing(each.key.encode(), encode_ack(each))])
        await publisher.stop()

    asyncio.run(publish())
