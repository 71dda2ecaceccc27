"""A worker with a static name (KPISTREAM_INSTANCE) comes back to its partitions; nobody else loses any meanwhile."""

import asyncio
import itertools
import time

import pytest

from bench import truth
from bench.group import Group
from bench.processes import WorkerProcess, wait_for
from bench.runs import make_topics
from bench.workload import PARTITIONS, Workload, calls, produce
from kpistream.log.topics import Topics

pytestmark = pytest.mark.live
EVENTS = 400


def test_restart_of_a_static_member_revokes_nothing_from_the_others(kafka):
    topics = Topics(f"static-{time.monotonic_ns():x}.")
    asyncio.run(make_topics(kafka.bootstrap, topics.specs()))
    group = Group(kafka.bootstrap, f"{topics.prefix}-worker", topics.events)
    records = calls(Workload(2 * EVENTS, end_ms=time.time_ns() // 1_000_000, agents=20))

    def worker(name):
        # The session outlasts any restart, however slow the machine is.
        return WorkerProcess(
            kafka.bootstrap, topics.prefix, "--verbose", instance=name, session_timeout_s=59, stall_timeout_s=900
        )

    def assignments(of):
        of.check()
        return of.said.count("kpistream.stream.state assigned generation=")

    def all_committed():
        return group.behind(group.ends()) == 0

    with worker("worker_a") as restarted, worker("worker_b") as other:
        wait_for("both share the partitions", lambda: group.balanced(2, PARTITIONS))
        produce(kafka.bootstrap, topics.events, itertools.islice(records, EVENTS))
        wait_for("the first half is committed", all_committed)
        shares, assigned = group.assigned(), assignments(other)

        restarted.stop()
        produce(kafka.bootstrap, topics.events, records)
        with worker("worker_a") as again:
            wait_for("the rest is committed, by the one that came back, too", all_committed)

            assert assignments(again) == 1
            assert assignments(other) == assigned
            assert sorted(map(sorted, group.assigned().values())) == sorted(map(sorted, shares.values()))

    cells, refused = truth.expected(kafka.bootstrap, topics.events)
    assert truth.difference(cells, truth.cells_of_worker(kafka.bootstrap, topics.prefix)) == ""
    assert truth.dead_letters(kafka.bootstrap, topics.prefix) == refused
