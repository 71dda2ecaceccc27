"""A role that fails ends at once, with code 70 and one line that says what and what to do."""

import asyncio
import subprocess
import sys
import time

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import NotEnoughReplicasError
from prometheus_client import CollectorRegistry

from kpistream import service
from kpistream.core.partition import PartitionSettings
from kpistream.core.settings import Settings
from kpistream.errors import ConfigError, Stalled
from kpistream.history.store import StoreRefused
from kpistream.log.publisher import Publisher
from kpistream.log.records import Outgoing
from kpistream.log.topics import Topics
from kpistream.metrics import WorkerMetrics
from kpistream.stream.agents import Worker, WorkerSettings
from kpistream.stream.app import AppSettings
from kpistream.stream.showing import TickerPorts
from kpistream.stream.teams import Teams

LIMIT_S = 30


# ---- publishing


class Batch:
    def __init__(self):
        self.count = 0

    def append(self, **record):
        self.count += 1
        return record

    def close(self):
        pass

    def record_count(self):
        return self.count


class Producer:
    """A producer whose broker takes batches and confirms none, or does not even take them."""

    def __init__(self, takes):
        self.takes = takes

    def create_batch(self):
        return Batch()

    async def send_batch(self, batch, topic, partition):
        if not self.takes:
            await asyncio.Event().wait()
        return asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("takes", [True, False])
def test_records_that_are_never_confirmed_fail_the_publish(takes):
    """aiokafka's idempotent producer tries again for ever."""
    publisher = Publisher({}, timeout_s=0.05)
    publisher._producer = Producer(takes)

    with pytest.raises(Stalled, match=r"kpi.panes\[3\]: 2 records sent and not confirmed for 0.05 s\nhint: look at"):
        asyncio.run(asyncio.wait_for(publisher.publish("kpi.panes", 3, [Outgoing(b"k", b"v")] * 2), LIMIT_S))


# ---- loops of a worker


def worker():
    told = WorkerSettings(
        app=AppSettings("127.0.0.1:1", "failing-worker", "", 6, 1, {"bootstrap_servers": "127.0.0.1:1"}),
        topics=Topics(),
        partition=PartitionSettings("w"),
        live=Settings(),
        sink_group="failing-sink",
        teams_group="failing-teams",
    )
    return Worker(told, service.clocks(), WorkerMetrics(CollectorRegistry()))


async def ended():
    return None


def test_loop_that_ends_unasked_fails_the_worker():
    async def story():
        made = worker()
        made._failure = asyncio.get_running_loop().create_future()
        await made._guard("tick", ended)
        await made._failure

    with pytest.raises(RuntimeError, match="tick loop has ended"):
        asyncio.run(story())


def test_worker_is_not_ready_before_its_group_has_given_an_assignment():
    made = worker()
    assert made.health.waits_for() == ["group 'failing-worker' has given no assignment for 0 s"]

    made.assigned()
    assert made.health.waits_for() == []

    made.shards.shard(2).assigned(1)
    made.assigned()
    assert made.health.waits_for() == ["partition 2: panes are recovered up to changelog offset -1"]

    made.revoked()
    assert "group 'failing-worker' has given no assignment for 0 s" in made.health.waits_for()


def test_teams_whose_assignment_fails_fail_the_worker():
    """aiokafka logs what a listener raises, and goes on: the teams would have no numbers, without a word."""
    failures, done = [], []
    ports = TickerPorts(
        Publisher({}),
        Topics(),
        {"bootstrap_servers": "127.0.0.1:1"},
        WorkerMetrics(CollectorRegistry()),
        failures.append,
    )
    ports.following = done.append
    teams = Teams(Settings(), ports, 300_000, 1, "t")

    class Consumer:
        async def end_offsets(self, tps):
            raise NotEnoughReplicasError

    teams._consumer = Consumer()

    async def story():
        await teams.on_partitions_revoked([])
        with pytest.raises(NotEnoughReplicasError):
            await teams.on_partitions_assigned([TopicPartition("kpi.team-panes", 0)])

    asyncio.run(story())

    assert [type(error) for error in failures] == [NotEnoughReplicasError]
    assert done == [False]


# ---- the last line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            Stalled("kpi.panes[3]: 2 records sent and not confirmed for 60 s", "look at the brokers"),
            "failed role=worker fault='kpi.panes[3]: 2 records sent and not confirmed for 60 s' "
            "hint='look at the brokers'",
        ),
        (
            StoreRefused("store ch: code 6"),
            "failed role=worker fault='store ch: code 6' "
            "hint='nothing was committed; it comes again until the cause is mended'",
        ),
        (
            ConnectionResetError("gone"),
            "failed role=worker fault=\"ConnectionResetError('gone')\" hint='look at the brokers; nothing is lost, "
            "the next process reads again from the committed offsets'",
        ),
        (
            KeyError("x"),
            "failed role=worker fault=\"KeyError('x')\" hint='a defect: report it with the traceback; nothing is lost, "
            "the next process reads again'",
        ),
    ],
)
def test_fatal_line_says_what_and_what_to_do(error, line):
    assert service.fatal_line("worker", error) == line
    assert service.unexpected(error) is isinstance(error, KeyError)


ROLE = """
import asyncio, threading, time
from kpistream import cli, service
from kpistream.errors import ConfigError, Stalled

def sleeps():
    while True:
        time.sleep(60)

async def fails(config):
    threading.Thread(target=sleeps).start()      # as Faust's consumer, and a call to a store that hangs
    asyncio.get_running_loop().run_in_executor(None, sleeps)
    raise {error}

service.run_worker = fails
import sys; sys.argv = ["kpistream", "worker"]
cli.main()
"""


def run(error):
    done = subprocess.run(
        [sys.executable, "-c", ROLE.replace("{error}", error)], capture_output=True, text=True, timeout=LIMIT_S * 2
    )
    return done.returncode, done.stderr.splitlines()


def test_stalled_role_ends_with_70_and_one_line_whatever_still_runs():
    code, lines = run("Stalled('nothing confirmed for 60 s', 'look at the brokers')")

    assert code == 70
    assert len(lines) == 1
    assert "failed role=worker fault='nothing confirmed for 60 s' hint='look at the brokers'" in lines[0]


def test_defect_ends_with_70_and_its_traceback():
    code, lines = run("KeyError('x')")

    assert code == 70
    assert "failed role=worker fault=\"KeyError('x')\" hint='a defect: report it with the traceback" in lines[0]
    assert lines[-1] == "KeyError: 'x'"


def test_role_that_the_operator_must_mend_ends_with_2_whatever_still_runs():
    began_s = time.monotonic()
    code, lines = run("ConfigError(['offset 5 is gone', 'topic is missing'])")

    assert (code, lines) == (2, ["error: offset 5 is gone", "error: topic is missing"])
    assert time.monotonic() - began_s < LIMIT_S


def test_timeouts_below_a_second_are_refused():
    with pytest.raises(ConfigError) as refused:
        service.load_config(loop_timeout_s=0, stall_timeout_s=-1)

    assert refused.value.faults == (
        "KPISTREAM_STALL_TIMEOUT_S: -1 s is below 1 s",
        "KPISTREAM_LOOP_TIMEOUT_S: 0 s is below 1 s",
    )
