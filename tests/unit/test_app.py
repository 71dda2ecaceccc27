"""The Faust application is told what a static member needs."""

import asyncio

from kpistream.core.partition import PartitionSettings
from kpistream.log.topics import Topics
from kpistream.stream.app import AppSettings, make_app


def _app(instance):
    settings = AppSettings("127.0.0.1:9092", "group", instance, 15, 4, {})
    return make_app(settings, Topics(), PartitionSettings("writer"), None)


def test_static_member_is_known_by_its_name_and_not_by_its_host():
    """Faust asserts that the URL in an assignment is the process's own: the member may come back on another host."""
    conf = _app("Worker_1").conf

    assert conf.consumer_group_instance_id == "Worker_1"
    assert str(conf.canonical_url) == "http://worker_1"


def test_without_a_name_membership_is_dynamic():
    assert not _app("").conf.consumer_group_instance_id


def test_consumer_waits_shortly_at_the_broker_and_reads_what_is_committed():
    async def settings():
        app = _app("")
        consumer = app.consumer._new_consumer_thread()._create_worker_consumer(app.transport)
        await consumer.stop()
        return consumer._fetch_max_wait_ms, consumer._fetch_min_bytes, consumer._isolation_level

    assert asyncio.run(settings()) == (50, 256 << 10, "read_committed")
