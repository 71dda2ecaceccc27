"""Truth: what the panes must hold, recomputed from the topic without kpistream, and what an engine wrote.

A run whose totals differ is void. `expected` is deliberately naive: JSON, a set of ids, plain sums.
"""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final

import msgspec
from confluent_kafka import Consumer, KafkaException, TopicPartition

from kpistream.core.measures import named

Cells = dict[tuple[str, int], dict[str, int]]
"""Sums by name (`talk_ms`, `talk_bin/60000`), by agent and pane start in seconds. Zero sums are left out."""

_OUTCOMES: Final = {"connected", "no-answer", "busy", "failed", "abandoned", "voicemail", "cancelled", "rejected"}


def end_offsets(bootstrap: str, topic: str) -> dict[int, int]:
    """End offset of each partition of the topic."""
    consumer = _consumer(bootstrap)
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        return {n: consumer.get_watermark_offsets(TopicPartition(topic, n), timeout=10)[1] for n in sorted(partitions)}
    finally:
        consumer.close()


def read(bootstrap: str, topic: str) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of all records that the topic holds now; empty where there is none."""
    ends = {number: end for number, end in end_offsets(bootstrap, topic).items() if end}
    consumer = _consumer(bootstrap)
    consumer.assign([TopicPartition(topic, number, 0) for number in ends])
    try:
        while ends:
            messages = consumer.consume(10_000, 10.0)
            if not messages:
                raise RuntimeError(f"{topic}: no record for 10 s, still missing {ends}")
            for message in messages:
                if message.error():
                    raise KafkaException(message.error())
                yield message.key() or b"", message.value() or b""
                if message.offset() + 1 >= ends.get(message.partition(), 1 << 62):
                    del ends[message.partition()]
    finally:
        consumer.close()


def expected(bootstrap: str, topic: str) -> tuple[Cells, int]:
    """The cells that an exact engine has, and how many records of the topic it must have refused."""
    return expected_of(value for _, value in read(bootstrap, topic))


def expected_of(values: Iterable[bytes]) -> tuple[Cells, int]:
    """The cells that an exact engine has after these records, and how many it must have refused."""
    cells: Cells = {}
    seen: set[str] = set()
    refused = 0
    for value in values:
        event = json.loads(value)
        if event["outcome"] not in _OUTCOMES:
            refused += 1
        elif event["event_id"] not in seen:
            seen.add(event["event_id"])
            ended_s = int(datetime.fromisoformat(event["ended_at"]).timestamp())
            cell = cells.setdefault((event["agent_id"], ended_s - ended_s % 300), {})
            for name, amount in _sums(event).items():
                if amount:
                    cell[name] = cell.get(name, 0) + amount
    return cells, refused


def _sums(event: dict[str, Any]) -> dict[str, int]:
    connected, outbound = event["outcome"] == "connected", event["direction"] == "outbound"
    wait, wrap_up = event["queue_wait_ms"], event["wrap_up_ms"]
    talk, hold = (event["talk_ms"], event["hold_ms"]) if connected else (0, 0)
    out = {
        "calls": 1,
        "first_legs": 1,
        "outbound_calls": outbound,
        "inbound_calls": not outbound,
        "ring_ms": event["ring_ms"],
        "queue_wait_ms": wait or 0,
        "voicemails": event["outcome"] == "voicemail",
        "connected": connected,
        "outbound_connected": connected and outbound,
        "inbound_connected": connected and not outbound,
        "talk_ms": talk,
        "talk_sq_ms2": talk * talk,
        "hold_ms": hold,
    }
    if connected:
        out[f"talk_bin/{_edge(_TALK_EDGES_S, talk)}"] = 1
        if wrap_up is not None:
            out |= {"wrap_up_known": 1, "wrap_up_ms": wrap_up, "handle_ms": talk + hold + wrap_up}
        if not outbound and wait is not None:
            out |= {"answered_wait_known": 1, f"answered_wait_bin/{_edge(_WAIT_EDGES_S, wait)}": 1}
    return out


_TALK_EDGES_S: Final = (0, 1, 2, 3, 5, 7, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 300, 360, 420, 480, 600)
_WAIT_EDGES_S: Final = (0, 2, 3, 5, 8, 10, 12, 15, 20, 25, 30, 40, 45, 60, 75, 90, 120)


def _edge(edges_s: tuple[int, ...], value_ms: int) -> int:
    """Lower edge in ms of the bin that holds a value; the workload stays below the last edge named here."""
    return max(edge_s * 1000 for edge_s in edges_s if edge_s * 1000 <= value_ms)


def cells_of_worker(bootstrap: str, prefix: str) -> Cells:
    """What kpistream's pane topic says: the highest version of each place."""
    versions: dict[tuple[str, int], int] = {}
    cells: Cells = {}
    for key, value in read(bootstrap, f"{prefix}panes"):
        if not value or not key.startswith(b"P/"):
            continue
        _, scope, start_ms, _, version, sums, _ = msgspec.msgpack.decode(value)
        place = scope.partition("/agent:")[2], start_ms // 1000
        if int.from_bytes(version, "big") > versions.get(place, -1):
            versions[place] = int.from_bytes(version, "big")
            cells[place] = cell(sums)
    return cells


def cell(sums: list[Any]) -> dict[str, int]:
    """Sums by name of a flat tally: number, value, number, value."""
    return flat(named({int(number): int(value) for number, value in zip(sums[::2], sums[1::2], strict=True)}))


def flat(measures: dict[str, Any]) -> dict[str, int]:
    """Named sums with those of families as `family/member`."""
    out: dict[str, int] = {}
    for name, value in measures.items():
        out |= (
            {f"{name}/{member}": count for member, count in value.items()} if isinstance(value, dict) else {name: value}
        )
    return out


def cells_of_loop(bootstrap: str, prefix: str) -> Cells:
    """What the changelog of a hand-written loop says: the last record of each place."""
    cells: Cells = {}
    for key, value in read(bootstrap, f"{prefix}changelog"):
        agent, _, start_s = key.decode().partition("|")
        cells[agent, int(start_s)] = msgspec.msgpack.decode(value)[0]
    return cells


def cells_of_faust(bootstrap: str, prefix: str) -> Cells:
    """What the changelog of Faust's table says: the last record of each place."""
    cells: Cells = {}
    for key, value in read(bootstrap, f"{prefix}faust-panes-changelog"):
        agent, _, start_s = json.loads(key).partition("|")
        pane = json.loads(value)
        cells[agent, int(start_s)] = {name: pane[name] for name in FAUST_KEEPS if pane[name]}
    return cells


FAUST_KEEPS: Final = ("calls", "connected", "talk_ms")


def kept(cells: Cells, names: tuple[str, ...]) -> Cells:
    """The cells with only some of their sums."""
    return {place: {name: cell[name] for name in names if name in cell} for place, cell in cells.items()}


def difference(want: Cells, found: Cells) -> str:
    """What is wrong with the cells of an engine, empty when nothing is."""
    wrong = [place for place in want.keys() | found.keys() if want.get(place) != found.get(place)]
    if not wrong:
        return ""
    place = min(wrong)
    return f"{len(wrong)} of {len(want)} panes differ, first {place}: {found.get(place)}, must be {want.get(place)}"


def dead_letters(bootstrap: str, prefix: str) -> int:
    """Records that an engine has refused."""
    return sum(end_offsets(bootstrap, f"{prefix}dead-letters").values())


def _consumer(bootstrap: str) -> Consumer:
    return Consumer({"bootstrap.servers": bootstrap, "group.id": "bench-truth", "enable.auto.commit": False})
