"""Dead letters on a real Kafka: counted exactly, replayed after a fix, and the numbers are right; once."""

import json
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from confluent_kafka import Producer

from kpistream.cli import cli
from kpistream.log.topics import partition_of
from tests.live.broker import Broker
from tests.live.floor import Floor
from tests.live.system import LIMIT_S, PANE_MS, Sent, System, raw

MAPPING = """
source: vendor
format: jsonl
skip:
  - as: ring group
    when: {call.agent: group}
events:
  - type: call.ended
    event_id: "{call.id}"
    agent_id: "{call.agent}"
    direction: inbound
    started_at: {column: call.began, format: epoch-s}
    answered_at: {column: call.began, format: epoch-s}
    ended_at: {field: started_at, plus: {column: call.seconds, unit: s}}
    talk_ms: {column: call.seconds, unit: s}
    outcome: connected
"""
WRONG = MAPPING.replace("epoch-s", "epoch-ms")


def vendor(number: int, began_s: int) -> bytes:
    """A payload of a telephone system that knows nothing of the contract, over several lines."""
    agent = "group" if number == 0 else "vera"
    call = {"id": f"v-{number}", "agent": agent, "began": began_s - 600, "seconds": 30 + number, "note": "Zo\u00eb"}
    return json.dumps({"call": call}, indent=2, ensure_ascii=False).encode()


def misrouted(number: int, now_ms: int, size_bytes: int = 0) -> Sent:
    """A sound call that was forwarded once and is on the wrong partition again."""
    ended = now_ms - 60_000 - number
    event = {"type": "call.ended", "tenant": "acme", "source": "pbx", "event_id": f"m-{number}", "agent_id": "mia"}
    event |= {"direction": "outbound", "outcome": "busy", "started_at": ended - 9_000, "ended_at": ended}
    headers = [("kpi-hop", b"1"), ("trace", b"\xff")]
    if size_bytes:
        headers.append(("big", random.Random(1).randbytes(size_bytes)))
    return Sent(None, json.dumps(event).encode(), tuple(headers), 1 - partition_of(b"acme/agent:mia", 2))


def test_letters_are_counted_exactly_and_replayed_once_and_right(kafka: Broker, tmp_path: Path) -> None:
    with System(kafka, tmp_path, partitions=2) as system:
        now_ms = int(time.time() * 1000)
        system.allow_bytes("events", 20 << 20)
        worker, sink = system.worker(), system.sink()
        system.produce(Floor(now_ms, seed=11, partitions=2).records(600))
        system.produce(Sent(b"vendor/agent:vera", vendor(number, now_ms // 1000)) for number in range(21))
        system.produce(misrouted(number, now_ms) for number in range(5))
        produce_large(system, misrouted(5, now_ms, 16 << 20))
        system.worked(worker)
        write_letter_of_a_lost_record(system)

        listed = dlq(system, "list")
        judged = system.recomputed().rejected + Counter({"misrouted": 6, "too-large": 1})
        assert {reason: group["letters"] for reason, group in listed["by_reason"].items()} == judged
        assert (listed["letters"], listed["replayed"]) == (judged.total(), 0)
        narrow = ("--reason", "missing-field", "--tenant", "vendor")
        assert dlq(system, "list", *narrow)["letters"] == 21
        filters(system)

        replay_through_a_mapping(system, tmp_path, narrow)
        assert dlq(system, "replay", "--reason", "misrouted") | {"events": 0} == account(letters=6, sent=6)
        gone = dlq(system, "replay", "--reason", "too-large", code=1)
        assert gone == account(letters=1, gone=1)
        again = dlq(system, "replay", "--reason", "misrouted")
        assert again == account(letters=6, already=6)

        system.drained(worker, sink)
        before = numbers(system, "vera"), numbers(system, "mia")
        assert before[0] == {"calls": 20, "connected": 20, "talk_ms": 1000 * sum(range(31, 51))}
        assert before[1] == {"calls": 6}
        assert dlq(system, "replay", "--reason", "misrouted", "--again")["events"] == 6
        system.drained(worker, sink)
        worker.stop()
        sink.stop()
        seen = system.exact()
        assert (numbers(system, "vera"), numbers(system, "mia")) == before
        assert seen.duplicates >= 6
        stamped(system, now_ms)


def dlq(system: System, verb: str, *arguments: str, code: int = 0) -> dict[str, Any]:
    """What a verb prints as JSON; in this process, to be quick."""
    done = CliRunner().invoke(cli, ["dlq", verb, "--json", *arguments], env=system.environment())
    assert done.exit_code == code and isinstance(done.exception, SystemExit | None), (done.output, done.exception)
    return dict(json.loads(done.stdout))


def account(**counts: int) -> dict[str, Any]:
    """The account of a replay: what is not named is zero."""
    zeros = dict.fromkeys(("letters", "sent", "events", "already", "conflicts", "gone"), 0)
    return {**zeros, "refused": {}, "skipped": {}, "dry_run": False, **counts}


def filters(system: System) -> None:
    """Filters, and single letters."""
    every = dlq(system, "list", "--each")["each"]
    some = next(each for each in every if each["key"] is not None)
    number = "0" if "events[0]" in some["source"] else "1"
    narrow = ("--key", some["key"], "--source-partition", number, "--from", "2020-01-01", "--to", "2100-01-01")
    alike = [each for each in every if each["key"] == some["key"] and f"events[{number}]" in each["source"]]
    assert dlq(system, "list", *narrow)["letters"] == len(alike) > 0
    assert dlq(system, "list", "--offsets", "2-4")["letters"] == 3
    shown = dlq(system, "show", str(some["offset"]))
    assert (shown["reason"], shown["detail"], shown["source"]) == (some["reason"], some["detail"], some["source"])
    cut = dlq(system, "list", "--each", "--reason", "misrouted")["each"][-1]
    whole = dlq(system, "show", str(cut["offset"]))
    assert not whole["cut"] and [name for name, _ in whole["headers"]] == ["kpi-hop", "trace", "big"]
    shown = system.run("dlq", "show", str(some["offset"])).stdout
    assert f"reason    {some['reason']}" in shown and "value     " in shown
    assert "no dead letter at offset 99999" in system.run("dlq", "show", "99999", code=1).stderr


def replay_through_a_mapping(system: System, tmp_path: Path, narrow: tuple[str, ...]) -> None:
    right, wrong = tmp_path / "right.yaml", tmp_path / "wrong.yaml"
    right.write_text(MAPPING)
    wrong.write_text(WRONG)
    ends = system.ends("events")
    counts = {"letters": 21, "skipped": {"ring group": 1}}

    assert dlq(system, "replay", *narrow, code=1) == account(letters=21) | {"refused": {"missing-field": 21}}
    seconds = {"seconds-not-milliseconds": 20}
    assert dlq(system, "replay", *narrow, "--map", str(wrong), code=1) == account() | counts | {"refused": seconds}
    dry = dlq(system, "replay", *narrow, "--map", str(right), "--dry-run")
    assert dry == account(sent=20, events=20) | counts | {"dry_run": True}
    assert system.ends("events") == ends
    assert dlq(system, "list")["replayed"] == 0

    assert dlq(system, "replay", *narrow, "--map", str(right)) == account(sent=20, events=20) | counts
    assert sum(system.ends("events").values()) == sum(ends.values()) + 20
    assert dlq(system, "list", *narrow)["replayed"] == 20
    assert dlq(system, "replay", *narrow, "--map", str(right)) == account(already=20) | counts


def numbers(system: System, agent: str) -> dict[str, int]:
    """Sums of an agent, by the judge."""
    cells = system.recomputed().cells()
    total: Counter[str] = Counter()
    for (key, _), cell in cells.items():
        if key.endswith(f"agent:{agent}"):
            total.update({name: cell.get(name, 0) for name in ("calls", "connected", "talk_ms")})
    return {name: count for name, count in total.items() if count}


def stamped(system: System, now_ms: int) -> None:
    """Replayed records carry the first timestamp, sit on the partition of their key, and no header of a hop."""
    found = [message for message in system.read("events") if "kpi-replayed" in dict(message.headers() or ())]
    assert len(found) == 20 + 6 + 6
    for message in found:
        assert message.partition() == partition_of(message.key(), 2)
        assert "kpi-hop" not in dict(message.headers())
        assert now_ms - PANE_MS < raw(message).timestamp_ms < message.timestamp()[1]


def produce_large(system: System, record: Sent) -> None:
    producer = Producer({"bootstrap.servers": system.kafka.bootstrap, "message.max.bytes": 20 << 20})
    headers = list(record.headers)
    producer.produce(system.topic("events"), record.value, record.key, record.partition or 0, headers=headers)
    assert producer.flush(LIMIT_S) == 0


def write_letter_of_a_lost_record(system: System) -> None:
    """A letter that was cut, of a record that the log does not hold."""
    about = {"kpi-reason": "too-large", "kpi-cut-from-bytes": "99999999", "kpi-topic": system.topic("events")}
    about |= {"kpi-partition": "0", "kpi-offset": "99999999", "kpi-timestamp": "1772612222118"}
    producer = Producer({"bootstrap.servers": system.kafka.bootstrap})
    producer.produce(system.topic("dead-letters"), b"{", None, 0, headers=[(k, v.encode()) for k, v in about.items()])
    assert producer.flush(LIMIT_S) == 0
