"""Producers that write in transactions: what was aborted never counts, and the marks hold nothing up."""

import time
from collections.abc import Iterable
from pathlib import Path

from confluent_kafka import Producer

from tests.live.broker import Broker
from tests.live.floor import Floor
from tests.live.system import LIMIT_S, Sent, System


class Transactions:
    """A producer that writes to the events in transactions."""

    def __init__(self, system: System) -> None:
        self._topic = system.topic("events")
        self._producer = Producer(
            {
                "bootstrap.servers": system.kafka.bootstrap,
                "transactional.id": f"{system.prefix}floor",
                "partitioner": "murmur2_random",
            }
        )
        self._producer.init_transactions(LIMIT_S)

    def begin(self, records: Iterable[Sent]) -> None:
        """Write records in a new transaction and leave it open."""
        self._producer.begin_transaction()
        for record in records:
            self._producer.produce(self._topic, key=record.key, value=record.value, headers=list(record.headers))
        assert self._producer.flush(LIMIT_S) == 0

    def commit(self) -> None:
        self._producer.commit_transaction(LIMIT_S)

    def abort(self) -> None:
        self._producer.abort_transaction(LIMIT_S)


def test_aborted_records_never_count_and_a_log_that_ends_with_a_mark_is_committed_to_its_end(
    kafka: Broker, tmp_path: Path
) -> None:
    with System(kafka, tmp_path, partitions=2) as system:
        floor = Floor(int(time.time() * 1000), seed=11, partitions=2)
        worker, sink, producer = system.worker(), system.sink(), Transactions(system)
        for _ in range(5):
            producer.begin(floor.fresh(100))
            producer.commit()
            producer.begin(Floor(floor.now_ms, seed=12).fresh(100))
            producer.abort()

        system.drained(worker, sink)
        second = system.worker()
        system.until("a second member", lambda: "recovered" in second.said, worker, second)
        producer.begin(floor.fresh(100))
        producer.commit()
        system.drained(worker, second, sink)
        for role in (worker, second, sink):
            role.stop()

        system.run("audit", "--live")
        seen = system.exact()
        assert seen.accepted == 600 and system.read("dead-letters") == []
        facts = sum(row["calls"] + row["deals_won"] + row["deals_lost"] + row["surveys"] for row in system.rows())
        assert facts == 600


def test_an_open_transaction_is_no_lag(kafka: Broker, tmp_path: Path) -> None:
    """What waits for a producer is not ours to work on: the worker must not take itself for stuck."""
    with System(kafka, tmp_path, partitions=2, stall_timeout_s=4) as system:
        floor = Floor(int(time.time() * 1000), seed=13, partitions=2)
        worker, sink, producer = system.worker(), system.sink(), Transactions(system)
        producer.begin(floor.fresh(50))
        system.produce(floor.records(200))
        time.sleep(12)  # three times what the watchdog bears
        assert worker.code is None, worker.end_of_log()
        producer.commit()

        system.drained(worker, sink)
        worker.stop()
        sink.stop()
        assert system.exact().accepted == 250
