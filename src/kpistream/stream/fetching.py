"""Fetching: what a fetch brought goes to the worker as aiokafka's own records, batch by batch.

aiokafka makes a `ConsumerRecord` of each record in Python, which is half the cost of fetching; here the
records that its C iterator makes are handed on as they are (no topic, no partition: the batch has them).
CRC checks, transactions, positions and offsets to skip are treated as in aiokafka/consumer/fetcher.py,
`PartitionRecords._unpack_records` and `Fetcher.fetched_records`. Runs in the consumer's thread.
"""

import asyncio
import time
from collections.abc import Collection, Mapping
from typing import Any

from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult
from aiokafka.errors import ConsumerStoppedError, CorruptRecordException
from faust.transport.drivers import aiokafka as driver

from kpistream.log.header_names import Again

Fetched = dict[Any, list[Any]]
"""Records by topic and partition."""


class RecordThread(driver.AIOKafkaConsumerThread):
    """Faust's consumer thread, which asks for whole fetches."""

    async def _fetch_records(  # type: ignore[override] # Faust's name of the limit has no unit
        self, consumer: Any, active_partitions: Any, **limits: Any
    ) -> Mapping[Any, Any]:
        if not self.consumer.flow_active:
            return {}
        fetcher = consumer._fetcher
        if consumer._closed or fetcher._closed:
            raise ConsumerStoppedError()
        with fetcher._subscriptions.fetch_context():
            return await fetched_records(fetcher, active_partitions, limits.get("timeout") or 0.0)


async def getmany(consumer: Any, timeout_s: float) -> Fetched:
    """`AIOKafkaConsumer.getmany` of all partitions, with whole fetches."""
    if consumer._closed:
        raise ConsumerStoppedError()
    consumer._coordinator.check_errors()
    with consumer._subscription.fetch_context():
        return await fetched_records(consumer._fetcher, (), timeout_s)


async def fetched_records(fetcher: Any, partitions: Collection[Any], timeout_s: float) -> Fetched:
    """What was fetched of these partitions; waits up to `timeout_s` when there is nothing yet."""
    while True:
        if fetcher._subscriptions.reassignment_in_progress:
            await fetcher._subscriptions.wait_for_assignment()
        began_s = time.monotonic()
        out = _there(fetcher, partitions)
        if out or not timeout_s:
            return out
        waiter = fetcher._create_fetch_waiter()
        done, pending = await asyncio.wait([waiter], timeout=timeout_s)
        if not done or fetcher._closed:
            for future in pending:
                future.cancel()
            return {}
        waiter.result()  # raises what the fetch failed with
        timeout_s = max(0.0, timeout_s - (time.monotonic() - began_s))


def _there(fetcher: Any, partitions: Collection[Any]) -> Fetched:
    """What is there now. A fault is raised when nothing else is there, so that nothing read is lost with it."""
    out: Fetched = {}
    for tp in list(fetcher._records):
        result = fetcher._records[tp]
        if partitions and tp not in partitions:
            if not fetcher._subscriptions.is_assigned(tp):
                del fetcher._records[tp]
            continue
        if out and type(result) is not FetchResult:
            return out
        del fetcher._records[tp]
        fetcher._notify(fetcher._wait_consume_future)
        if type(result) is not FetchResult:
            result.check_raise()
            continue
        try:
            records = records_of(result)
        except CorruptRecordException:
            if not out:
                raise
            return out  # the position has not moved: it is fetched again, and fails again
        if records:
            out[tp] = records
    return out


def records_of(result: Any) -> list[Any]:
    """All records of a fetch of one partition; its position moves behind them."""
    if not result.check_assignment(result._topic_partition) or not result.has_more():
        return []
    found = result._partition_records
    out: list[Any] = []
    batches = found._records
    while batches.has_next():
        batch = batches.next_batch()
        if found._check_crcs and not batch.validate_crc():
            raise CorruptRecordException(f"Invalid CRC - {result._topic_partition}")
        if not (_aborted(found, batch) or batch.is_control_batch):
            try:
                records = list(batch)
            except UnicodeDecodeError:  # the name of a header: see log/header_names.py
                batches = Again(batches.held, max(batch.base_offset, found.next_fetch_offset))
                continue
            if records and records[0].offset < found.next_fetch_offset:
                records = [record for record in records if record.offset >= found.next_fetch_offset]
            out += records
        found.next_fetch_offset = batch.next_offset
    result._update_position()
    result._partition_records = None
    return out


def _aborted(found: Any, batch: Any) -> bool:
    """True when the batch belongs to a transaction that was aborted and only committed records are wanted."""
    if found._isolation_level != READ_COMMITTED or batch.producer_id is None:
        return False
    found._consume_aborted_up_to(batch.base_offset)
    if batch.is_control_batch and found._contains_abort_marker(batch):
        found._aborted_producers.discard(batch.producer_id)
    return bool(batch.is_transactional and batch.producer_id in found._aborted_producers)
