"""Workload: calls as a telephone system reports them, in the order of their time, a few twice, a few wrong.

Every event carries the full model: about 500 bytes of JSON. The same settings give the same events, byte for
byte. A shorter run is the beginning of a longer one, so that a slow engine meets the same panes as a fast one.
"""

import heapq
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from confluent_kafka import Producer

PANE_MS: Final = 300_000
PARTITIONS: Final = 4
TENANT: Final = "acme"
_MINUTE_MS: Final = 60_000
_REPEATED_WITHIN: Final = 1000
_DISPOSITIONS: Final = ("sale", "call back", "not interested", "wrong person")
_UNANSWERED: Final = ("no-answer", "no-answer", "busy", "voicemail")

_TEXT: Final = (
    '{{"type":"call.ended","tenant":"acme","source":"pbx","event_id":"{id}","revision":0,"agent_id":"{agent}",'
    '"queue":"{queue}","campaign":"spring-2026","customer_id":"customer-{customer:06}","call_id":"{call}",'
    '"direction":"{direction}","started_at":"{started}","answered_at":{answered},"ended_at":"{ended}",'
    '"queue_wait_ms":{wait},"ring_ms":{ring},"talk_ms":{talk},"hold_ms":{hold},"wrap_up_ms":{wrap_up},'
    '"outcome":"{outcome}","answered_by":{answered_by},"disposition":"{disposition}"}}'
)


@dataclass(frozen=True, slots=True)
class Workload:
    """What is produced."""

    events: int = 1_000_000
    """Records, duplicates included, over the whole span."""
    end_ms: int = 0
    """When the last call ends, epoch ms."""
    span_ms: int = 3_600_000
    agents: int = 2000
    repeated: float = 0.02
    """Share of records that are exact copies of a record up to 1,000 records earlier."""
    refused: float = 0.001
    """Share of records that the contract refuses: an outcome that is none."""
    seed: int = 1


def key_of(agent: str) -> bytes:
    """Kafka key of an agent's events."""
    return f"{TENANT}/agent:{agent}".encode()


def calls(workload: Workload) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of all records, in the order in which they are sent."""
    chance = random.Random(workload.seed)
    begin_ms = workload.end_ms - workload.span_ms
    again: list[tuple[int, bytes, bytes]] = []
    for number in range(workload.events):
        if again and again[0][0] <= number:
            yield heapq.heappop(again)[1:]
            continue
        agent = f"agent-{chance.randrange(workload.agents):05}"
        ended_ms = begin_ms + number * workload.span_ms // workload.events
        key, value = key_of(agent), call(chance, agent, ended_ms, chance.random() < workload.refused)
        if chance.random() < workload.repeated:
            heapq.heappush(again, (number + chance.randrange(1, _REPEATED_WITHIN), key, value))
        yield key, value


def timed_calls(workload: Workload) -> Iterator[tuple[bytes, bytes, int]]:
    """The records of `calls`, each with the time at which it was appended: when its call ended."""
    begin_ms = workload.end_ms - workload.span_ms
    for number, (key, value) in enumerate(calls(workload)):
        yield key, value, begin_ms + number * workload.span_ms // workload.events


def call(chance: random.Random, agent: str, ended_ms: int, refused: bool = False) -> bytes:
    """One call of an agent."""
    outbound, connected = chance.random() < 0.6, chance.random() < 0.7
    talk = chance.randrange(1000, 600_000) if connected else 0
    hold = chance.randrange(0, 60_000) if connected and chance.random() < 0.3 else 0
    ring = chance.randrange(1000, 30_000)
    identity = f"{chance.getrandbits(128):032x}"
    answered_ms = ended_ms - talk - hold
    outcome = "connected" if connected else chance.choice(_UNANSWERED)
    return _TEXT.format(
        id=identity,
        agent=agent,
        queue=f"sales-{chance.randrange(20)}",
        customer=chance.randrange(1_000_000),
        call=f"call-{identity[:16]}",
        direction="outbound" if outbound else "inbound",
        started=time_text(answered_ms - ring),
        answered=f'"{time_text(answered_ms)}"' if connected else "null",
        ended=time_text(ended_ms),
        wait="null" if outbound else chance.randrange(0, 120_000),
        ring=ring,
        talk=talk,
        hold=hold,
        wrap_up=chance.randrange(0, 90_000) if connected else "null",
        outcome="lost in space" if refused else outcome,
        answered_by='"human"' if connected else "null",
        disposition=chance.choice(_DISPOSITIONS),
    ).encode()


_minutes: Final[dict[int, str]] = {}


def time_text(at_ms: int) -> str:
    """RFC 3339 in UTC with milliseconds."""
    minute, rest_ms = divmod(at_ms, _MINUTE_MS)
    text = _minutes.get(minute)
    if text is None:
        text = _minutes[minute] = f"{datetime.fromtimestamp(minute * 60, UTC):%Y-%m-%dT%H:%M:}"
    return f"{text}{rest_ms // 1000:02}.{rest_ms % 1000:03}Z"


def produce(bootstrap: str, topic: str, records: Iterable[tuple[bytes, bytes] | tuple[bytes, bytes, int]]) -> int:
    """Append the records (key, value and perhaps a timestamp), partitioned by key as a Java producer does it.

    Returns how many bytes the values were.
    """
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "compression.type": "lz4",
            "linger.ms": 50,
            "acks": "all",
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    size = 0
    for number, (key, value, *timestamp_ms) in enumerate(records):
        while True:
            try:
                producer.produce(topic, value, key, timestamp=timestamp_ms[0] if timestamp_ms else 0)
                break
            except BufferError:
                producer.poll(0.1)
        size += len(value)
        if number % 1000 == 0:
            producer.poll(0)
    if producer.flush(60):
        raise RuntimeError(f"{topic}: not all records were taken within 60 s")
    return size
