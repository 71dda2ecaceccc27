"""Bad input on a real Kafka: whatever is in the log, the worker refuses or counts it, and goes on."""

import json
import random
import time
from pathlib import Path

from confluent_kafka import Message, Producer

from kpistream.errors import EventRejected
from kpistream.judge.contract import accept
from tests.live.broker import Broker
from tests.live.floor import Floor
from tests.live.raw_produce import batch, produce
from tests.live.system import LIMIT_S, Sent, System, raw

TEN_MB = 10_000_000
NAMELESS = b"{its header has a name that is no text"


def now_ms() -> int:
    return int(time.time() * 1000)


def call(event_id: str, agent: str = "ann", **more: object) -> dict[str, object]:
    """A sound call of a minute ago."""
    ended = now_ms() - 60_000
    own = {"direction": "outbound", "outcome": "no-answer", "started_at": ended - 20_000, "ended_at": ended}
    return {
        "type": "call.ended",
        "tenant": "acme",
        "source": "pbx",
        "event_id": event_id,
        "agent_id": agent,
        **own,
        **more,
    }


def extremes() -> dict[str, tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]]:
    """Key, value and headers by what is strange about them."""
    good = json.dumps(call("x"))
    head = good[1:-1]
    key = b"acme/agent:ann"

    def event(name: str, **more: object) -> bytes:
        return json.dumps(call(name, **more)).encode()

    plain: dict[str, bytes | None] = {
        "10 MB that compress": f'{{{head},"x":"{"y" * TEN_MB}"}}'.encode(),
        "10 MB that do not": random.Random(8).randbytes(TEN_MB),
        "deep": f'{{{head},"x":{"[" * 5_000}'.encode(),
        "deep and sound": f'{{{head},"x":{"[" * 500}1{"]" * 500}}}'.encode(),
        "NaN": f'{{{head},"talk_ms":NaN}}'.encode(),
        "Infinity": f'{{{head},"talk_ms":-Infinity}}'.encode(),
        "one name twice": f'{{"agent_id":"bob",{head}}}'.encode(),
        "types twice": f'{{{head},"type":"deal.closed"}}'.encode(),
        "UTF-16": good.encode("utf-16"),
        "latin-1": json.dumps(call("l", agent="Zo\u00eb"), ensure_ascii=False).encode("latin-1"),
        "byte order mark": b"\xef\xbb\xbf" + good.encode(),
        "null bytes": bytes(1_000),
        "null byte in a text": event("n\0"),
        "null byte between": good.encode().replace(b", ", b",\0", 1),
        "more than 64 bits": f'{{{head},"revision":{2**64}}}'.encode(),
        "more than 128 bits": f'{{{head},"talk_ms":{2**200}}}'.encode(),
        "10,000 digits": f'{{{head},"talk_ms":{"9" * 10_000}}}'.encode(),
        "exponent": f'{{{head},"talk_ms":1e3}}'.encode(),
        "great exponent": f'{{{head},"talk_ms":1e999}}'.encode(),
        "half a surrogate pair": f'{{{head},"queue":"\\ud800"}}'.encode(),
        "null": None,
        "nothing": b"",
        "seconds": event("s", ended_at=1_772_612_222),
        "microseconds": event("u", ended_at=1_772_612_222_118_000),
        "nanoseconds": event("n", ended_at=1_772_612_222_118_000_000),
        "1970": event("y", started_at="1970-01-01T00:00:00Z"),
        "9999": event("z", ended_at="9999-12-31T23:59:59Z"),
        "id of 10 kB": event("i" * 10_240),
        "agent of 10 kB": event("a", agent="a" * 10_240),
        "random": bytes(range(256)) * 4,
    }
    out = {name: (key, value, []) for name, value in plain.items()}
    many = [(f"h{number}", b"v" * 50) for number in range(2_000)]
    strange: dict[str, tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]] = {
        "null key": (None, event("k1"), []),
        "null key and value": (None, None, []),
        "key of another": (b"acme/agent:zoe", event("k2"), []),
        "key that is no text": (b"\xff\xfe\x00", event("k3"), []),
        "key of 100 kB": (b"k" * 100_000, b"{", []),
        "headers that are no text": (key, event("h1"), [("trace", b"\xff\x00\xfe"), ("tr\u00e4ce", b"\xe9")]),
        "headers without values": (key, event("h2"), [("ce_id", None), ("trace", None)]),
        "the same, refused": (key, b"{", [("ce_id", None), ("trace", None), ("trace", b"twice")]),
        "many headers": (key, event("h3"), many),
        "many headers, refused": (key, b"{", many),
        "headers of 5 MB, refused": (key, b"{", [("big", random.Random(9).randbytes(5_000_000))]),
        "headers of ours": (
            key,
            event("h4"),
            [("kpi-first-timestamp", b"9" * 40), ("kpi-reason", b"x"), ("kpi-hop", None)],
        ),
        "broken first timestamp": (key, event("h5"), [("kpi-first-timestamp", None), ("kpi-first-timestamp", b"-1")]),
        "cloud event of another version": (key, event("h6"), [("ce_specversion", b"\xff")]),
    }
    return {**out, **strange}


def refuses(message: Message) -> str:
    """Why the judge refuses a record; empty when it does not."""
    each = raw(message)
    try:
        accept(each.value, each.timestamp_ms, message.headers() or ())
    except EventRejected as rejected:
        return rejected.reason.value
    return ""


def place_of(letter: Message) -> tuple[int, int]:
    """Partition and offset of the record that a dead letter holds."""
    about = dict(letter.headers())
    return int(about["kpi-partition"]), int(about["kpi-offset"])


def test_every_extreme_is_counted_or_kept_whole_and_the_worker_goes_on(kafka: Broker, tmp_path: Path) -> None:
    with System(kafka, tmp_path, partitions=2) as system:
        system.allow_bytes("events", 16 << 20)
        unknown_codecs(system)
        worker, sink = system.worker(), system.sink()
        floor = Floor(now_ms(), seed=8, partitions=2)
        system.produce(floor.records(500))
        producer = Producer({"bootstrap.servers": kafka.bootstrap, "message.max.bytes": 16 << 20, "linger.ms": 0})
        for each in extremes().values():
            producer.produce(system.topic("events"), key=each[0], value=each[1], headers=each[2])
        assert producer.flush(LIMIT_S) == 0
        system.produce(floor.records(500))

        system.drained(worker, sink)
        worker.stop()
        sink.stop()
        seen = system.exact()
        letters = {place_of(letter): letter for letter in system.read("dead-letters")}
        refused = [message for message in system.read("events") if refuses(message)]
        assert len(letters) == len(refused) == sum(seen.rejected.values()) == len(system.read("dead-letters"))
        for message in refused:
            letter = letters[(message.partition(), message.offset())]
            headers = letter.headers()
            assert (letter.key(), letter.value()) == (message.key(), message.value() or b"")
            assert dict(headers)["kpi-reason"].decode() == refuses(message)
            kept = [
                (name.removeprefix("kpi-original-"), held) for name, held in headers if name.startswith("kpi-original-")
            ]
            assert kept == (message.headers() or [])
        names_that_are_no_text(system, len(letters))


def names_that_are_no_text(system: System, letters: int) -> None:
    """No client library in this process can read them: the worker can."""
    for value in (json.dumps(call("h7")).encode(), NAMELESS):
        records = batch(None, value, [(b"\xff\xfe", b"1"), (b"trace", None)])
        assert produce(system.kafka.bootstrap, system.topic("events"), 0, records) == 0

    worker = system.worker()
    system.worked(worker)
    worker.stop()

    last = system.read("dead-letters")[letters:]
    assert [letter.value() for letter in last] == [NAMELESS]
    assert last[0].headers()[-2:] == [("kpi-original-\\xff\\xfe", b"1"), ("kpi-original-trace", None)]


def unknown_codecs(system: System) -> None:
    """A broker refuses them, so none reaches a worker; a codec of Kafka's without its library is found at start."""
    topic = system.topic("events")
    for codec in (5, 6, 7):
        assert produce(system.kafka.bootstrap, topic, 0, batch(b"k", b"{", [], codec=codec)) != 0
    assert produce(system.kafka.bootstrap, topic, 0, batch(b"k", b"{", [], codec=1)) != 0  # gzip, it says
    assert produce(system.kafka.bootstrap, topic, 0, batch(b"k", b"{", [])) == 0
    assert sum(system.ends("events").values()) == 1


def test_flood_of_bad_records_raises_an_alarm_and_others_are_counted(kafka: Broker, tmp_path: Path) -> None:
    with System(kafka, tmp_path, partitions=2, bad_consecutive=1_000) as system:
        floor = Floor(now_ms(), seed=9, partitions=2, late_share=0)
        worker, sink = system.worker(), system.sink()
        system.produce(Sent(None, b"{", partition=0) for _ in range(8_000))
        system.produce(floor.records(1_000))

        system.drained(worker, sink)
        worker.stop()
        sink.stop()
        system.exact()
        assert "bad input partition=0" in worker.said and "bad input partition=1" not in worker.said
        assert "in_a_row=" in worker.said and "reasons=not-json:" in worker.said
        assert len(system.read("dead-letters")) == sum(system.recomputed().rejected.values())


def test_worker_that_is_told_to_stop_leaves_a_flood_in_the_log(kafka: Broker, tmp_path: Path) -> None:
    with System(kafka, tmp_path, partitions=1, bad_stop=1_000) as system:
        system.produce(Sent(None, b"{", partition=0) for _ in range(8_000))
        worker = system.worker()

        assert worker.wait() == 70
        assert "records in a row were refused, the limit is 1000 (KPISTREAM_BAD_STOP)" in worker.said
        assert system.committed(system.worker_group, "events")[0] < 8_000
        going = system.worker(bad_stop=0)
        system.worked(going)
        going.stop()
        places = {place_of(letter) for letter in system.read("dead-letters")}
        assert len(places) == 8_000
