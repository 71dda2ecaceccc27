"""Quix Streams as its documentation writes it: a tumbling window of five minutes, reduced by agent.

RocksDB state with its changelog topic, a commit every second, one output record for each event (`current()`). The state
of a window holds the same sums as the hand-written loops, and the ids of its calls, so that duplicates count once.
It runs in a virtual environment of its own (`quix-requirements.txt`): it needs an older confluent-kafka.
"""

import os
import sys
from datetime import timedelta
from typing import Any

from quixstreams import Application

from bench.engines.call import PANE_S, Call, measures, parse
from bench.meter import Job, Meter, job_of_process

_GRACE = timedelta(minutes=1)


def ended_ms(value: Any, headers: Any, timestamp_ms: int, kind: Any) -> int:
    """Time of the event; that of the record when the contract refuses it."""
    call = parse(value)
    return timestamp_ms if call is None else int(call.ended_at.timestamp() * 1000)


def begin(call: Call) -> dict[str, Any]:
    """State of a window after its first call."""
    return add({"sums": {}, "ids": {}}, call)


def add(state: dict[str, Any], call: Call) -> dict[str, Any]:
    """State of a window with one more call in it."""
    if call.event_id not in state["ids"]:
        state["ids"][call.event_id] = 1
        sums = state["sums"]
        for name, value in measures(call):
            if value:
                sums[name] = sums.get(name, 0) + value
    return state


def attach(app: Application, job: Job, meter: Meter) -> list[int]:
    """The processing; returns the counter of records handled."""
    handled = [0]
    source = app.topic(job.events, value_deserializer="bytes", timestamp_extractor=ended_ms)
    output = app.topic(f"{job.prefix}output", value_serializer="json", key_serializer="str")
    refused = app.topic(f"{job.prefix}dead-letters", value_serializer="bytes")

    def count(value: bytes) -> None:
        handled[0] += 1
        meter.begin(1)
        if handled[0] == sum(job.ends.values()):
            app.stop()  # after this record; then it commits

    events = app.dataframe(source).update(count)
    events.filter(lambda value: parse(value) is None).to_topic(refused)
    windows = (
        events.apply(parse)
        .filter(lambda call: call is not None)
        .tumbling_window(timedelta(seconds=PANE_S), grace_ms=_GRACE)
        .reduce(add, begin)
        .current()
    )

    def shown(window: dict[str, Any], key: bytes, timestamp: int, headers: Any) -> dict[str, Any]:
        return {"key": f"{key.decode()}|{window['start'] // 1000}", "sums": window["value"]["sums"]}

    windows.apply(shown, metadata=True).to_topic(output, key=lambda value: value["key"])
    return handled


def drain(job: Job) -> None:
    """Run until all records are handled and committed; with QUIX_IDLE_S: until none comes for so long."""
    app = Application(
        broker_address=job.bootstrap,
        consumer_group=f"{job.prefix}quix",
        auto_offset_reset="earliest",
        commit_interval=1.0,
        state_dir=os.environ["QUIX_STATE"],
        processing_guarantee=os.environ.get("QUIX_GUARANTEE", "at-least-once"),  # type: ignore[arg-type]
        loglevel="ERROR",
        producer_extra_config={"compression.type": "lz4", "linger.ms": 20},
    )
    meter = Meter()
    handled = attach(app, job, meter)
    app.run(timeout=float(os.environ.get("QUIX_IDLE_S", "0")))
    meter.end(handled[0])


if __name__ == "__main__":
    drain(job_of_process())
    sys.exit(0)
