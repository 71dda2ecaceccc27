"""Flush: a failed publish is the end of it; nothing that follows may acknowledge what it held."""

import asyncio
import json

import pytest
from prometheus_client import CollectorRegistry

from kpistream.core.decoding import decode
from kpistream.core.partition import PartitionSettings, Retraction
from kpistream.core.placing import Place, place, rank_of
from kpistream.log.records import Outgoing
from kpistream.log.topics import Topics
from kpistream.metrics import WorkerMetrics
from kpistream.stream.flush import Flusher, FlushPorts, retraction_record
from kpistream.stream.state import Shards

NOON_MS = 1_772_625_600_000


class Log:
    """A publisher's twin that refuses the first changelog batch, and remembers the rest."""

    def __init__(self, refusals):
        self.refusals = refusals
        self.published = []

    async def publish(self, topic, partition, records):
        if topic == "kpi.panes" and self.refusals:
            self.refusals -= 1
            raise ConnectionError("not enough replicas")
        self.published += [(topic, record.key) for record in records]
        return list(range(len(records)))

    async def publish_keyed(self, topic, records, partition_for):
        self.published += [(topic, record.key) for record in records]


def event(event_id):
    call = {
        "type": "call.ended",
        "tenant": "acme",
        "source": "pbx",
        "event_id": event_id,
        "agent_id": "ann",
        "direction": "outbound",
        "started_at": NOON_MS,
        "ended_at": NOON_MS + 1000,
        "outcome": "busy",
    }
    return place(decode(json.dumps(call).encode(), NOON_MS + 2000), 300_000)


def made(refusals, clock_s=lambda: 0.0):
    shards = Shards(PartitionSettings("w"))
    shard = shards.shard(0)
    shard.assigned(1)
    shard.partition.recovered(0)
    shard.partition.accept(event("1"), 0)
    shard.partition.advance(1, NOON_MS + 2000)
    log, acknowledged, failures = Log(refusals), [], []

    def acknowledge(partition, offset, generation):
        acknowledged.append(offset)
        return True

    ports = FlushPorts(acknowledge, lambda partition: None, clock_s, failures.append)
    flusher = Flusher(shards, log, Topics(), ports, WorkerMetrics(CollectorRegistry()))
    return flusher, shard, log, acknowledged, failures


def test_flush_acknowledges_what_it_published():
    async def story():
        flusher, _, log, acknowledged, failures = made(refusals=0)
        flusher.start_due(1)
        await flusher.drain()
        return log.published, acknowledged, failures

    published, acknowledged, failures = asyncio.run(story())

    assert ("kpi.panes", b"P/acme/agent:ann/1772625600000/300000#w.1/0.1") in published
    assert (acknowledged, failures) == ([1], [])


def test_a_partition_that_catches_up_is_flushed_less_often():
    now_s = [10.0]

    def started(flusher, shard, catching_up_s):
        flusher.start_due(1, catching_up_s)
        return shard.publishing

    async def story():
        flusher, shard, _log, acknowledged, _ = made(refusals=0, clock_s=lambda: now_s[0])
        shard.catch_up_to = 9
        seen = [started(flusher, shard, 1.0)]
        await flusher.drain()
        shard.partition.accept(event("2"), 1)
        shard.partition.advance(2, NOON_MS + 2000)
        now_s[0] += 0.5
        seen.append(started(flusher, shard, 1.0))
        now_s[0] += 0.5
        seen.append(started(flusher, shard, 1.0))
        await flusher.drain()
        shard.partition.accept(event("3"), 2)
        shard.partition.advance(9, NOON_MS + 2000)
        seen.append(started(flusher, shard, 1.0))
        await flusher.drain()
        return seen, acknowledged

    seen, acknowledged = asyncio.run(story())

    assert seen == [True, False, True, True], "at once, too early, in time, and at once when it has caught up"
    assert acknowledged == [1, 2, 9]


def test_no_flush_follows_one_that_failed():
    async def story():
        flusher, shard, _log, acknowledged, failures = made(refusals=1)
        flusher.start_due(1)
        with pytest.raises(ConnectionError):
            await flusher.drain()
        flusher.start_due(1)
        await asyncio.sleep(0)
        assert not shard.publishing
        await asyncio.wait_for(flusher.room(shard, limit=0), 5)
        return acknowledged, failures

    acknowledged, failures = asyncio.run(story())

    assert acknowledged == []
    assert [str(error) for error in failures] == ["not enough replicas"]


def test_retraction_carries_the_time_of_its_cause():
    retraction = Retraction("acme/pbx/call/1", rank_of(1, 2, 3), Place("acme/agent:ann", NOON_MS))

    record = retraction_record(retraction, NOON_MS + 5)

    assert (record.key, record.timestamp_ms) == (b"acme/agent:ann", NOON_MS + 5)
    assert place(decode(record.value, NOON_MS), 300_000).rank == retraction.rank


def test_bytes_of_dead_letters_bound_what_waits_for_a_flush():
    async def story():
        flusher, shard, _, acknowledged, _ = made(refusals=0)
        shard.refuse(Outgoing(None, bytes(65 << 20)))
        flusher.start_due(1)
        await asyncio.wait_for(flusher.room(shard, limit=50_000), 5)
        return shard.waiting_bytes, shard.dead_letters, acknowledged

    waiting_bytes, waiting, acknowledged = asyncio.run(story())

    assert (waiting_bytes, waiting) == (0, [])
    assert acknowledged in ([], [1])


def test_reading_pauses_while_too_many_bytes_wait():
    async def story():
        flusher, shard, _, _, _ = made(refusals=0)
        shard.publishing = True  # a flush that takes its time
        shard.refuse(Outgoing(None, bytes(65 << 20)))
        room = asyncio.ensure_future(flusher.room(shard, limit=50_000))
        done, _ = await asyncio.wait([room], timeout=0.2)
        room.cancel()
        return done

    assert asyncio.run(story()) == set()
