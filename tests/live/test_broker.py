"""The broker that the live tests stand on is a real one, and comes back with what it had."""

import asyncio
import time
import uuid

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import ConsumerRecord

from tests.live.broker import Broker

LOG_APPEND_TIME = 1
LONG_AGO_MS = 915_148_800_000


async def produce(broker: Broker, topic: str, values: list[bytes]) -> None:
    async with AIOKafkaProducer(
        bootstrap_servers=broker.bootstrap, acks="all", enable_idempotence=True, compression_type="zstd"
    ) as producer:
        for value in values:
            await producer.send_and_wait(topic, value, key=b"acme/agent:7", partition=1, timestamp_ms=LONG_AGO_MS)


async def consume(broker: Broker, topic: str, count: int) -> list[ConsumerRecord]:
    async with AIOKafkaConsumer(bootstrap_servers=broker.bootstrap) as consumer:
        partition = TopicPartition(topic, 1)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        return [await asyncio.wait_for(consumer.getone(), timeout=30) for _ in range(count)]


@pytest.fixture
def topic(kafka: Broker) -> str:
    name = f"smoke-{uuid.uuid4().hex[:8]}"
    kafka.create_topics({name: 2}, {"message.timestamp.type": "LogAppendTime"})
    return name


def test_record_carries_the_time_at_which_the_broker_took_it(kafka: Broker, topic: str) -> None:
    before_ms = int(time.time() * 1000)

    asyncio.run(produce(kafka, topic, [b"one", b"two"]))
    records = asyncio.run(consume(kafka, topic, 2))

    assert [(record.key, record.value, record.offset) for record in records] == [
        (b"acme/agent:7", b"one", 0),
        (b"acme/agent:7", b"two", 1),
    ]
    assert {record.timestamp_type for record in records} == {LOG_APPEND_TIME}
    assert all(record.timestamp >= before_ms for record in records)


def test_killed_broker_comes_back_at_its_address_with_its_records(kafka: Broker, topic: str) -> None:
    asyncio.run(produce(kafka, topic, [b"kept"]))
    address = kafka.bootstrap

    kafka.kill()
    assert not kafka.running
    kafka.start()

    assert kafka.bootstrap == address
    assert [record.value for record in asyncio.run(consume(kafka, topic, 1))] == [b"kept"]
