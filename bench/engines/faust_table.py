"""Idiomatic Faust: an agent, `async for`, a Table with its changelog topic, one output record for each event.

As Faust's own documentation writes it. It keeps fewer sums than the other engines: calls, connected calls, talk
time, and the ids of each pane.
"""

import asyncio
import logging
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import faust
import msgspec
from faust.types import TP

from bench.engines.call import pane_start_s, parse
from bench.meter import Job, Meter, job_of_process


def make_app(job: Job, directory: str) -> faust.App:
    """The application, with an in-memory table as fast as Faust has one."""
    return faust.App(
        f"{job.prefix}faust",
        broker=f"kafka://{job.bootstrap}",
        store="memory://",
        topic_partitions=len(job.ends),
        topic_replication_factor=1,
        broker_commit_interval=1.0,
        consumer_auto_offset_reset="earliest",
        producer_compression_type="lz4",
        producer_acks=-1,
        web_enabled=False,
        worker_redirect_stdouts=False,
        datadir=Path(directory),
    )


def count(totals: dict[str, Any], call: Any) -> dict[str, Any] | None:
    """The totals with the call in them, None when it was in them already."""
    if call.event_id in totals["ids"]:
        return None
    totals["ids"][call.event_id] = 1
    totals["calls"] += 1
    if call.outcome == "connected":
        totals["connected"] += 1
        totals["talk_ms"] += call.talk_ms or 0
    return totals


def attach(app: faust.App, job: Job, meter: Meter) -> list[int]:
    """The agent; returns the counter of records it has handled."""
    events = app.topic(job.events, key_serializer="raw", value_serializer="raw")
    output = app.topic(f"{job.prefix}readings", key_serializer="raw", value_serializer="raw")
    refused = app.topic(f"{job.prefix}dead-letters", key_serializer="raw", value_serializer="raw")
    panes = app.Table("panes", partitions=len(job.ends))
    handled = [0]

    @app.agent(events)
    async def totals(stream: Any) -> None:
        async for value in stream:
            call = parse(value)
            if call is None:
                await refused.send(value=value)
            else:
                key = f"{call.agent_id}|{pane_start_s(call)}"
                pane = count(panes.get(key) or {"calls": 0, "connected": 0, "talk_ms": 0, "ids": {}}, call)
                if pane is not None:
                    panes[key] = pane
                    shown = msgspec.json.encode({name: pane[name] for name in ("calls", "connected", "talk_ms")})
                    await output.send(key=key.encode(), value=shown)
            handled[0] += 1
            meter.begin(1)

    return handled


async def drain(job: Job) -> None:
    """Run until the group has committed the end of every partition."""
    meter = Meter()
    with TemporaryDirectory() as directory:
        app = make_app(job, directory)
        handled = attach(app, job, meter)
        app.finalize()
        await app.start()
        while handled[0] < sum(job.ends.values()):
            await asyncio.sleep(0.02)
        await app.producer.flush()
        committed = cast(Any, app.consumer)._committed_offset
        while any((committed[TP(job.events, number)] or 0) < end for number, end in job.ends.items()):
            await asyncio.sleep(0.02)
        meter.end(handled[0])
        await app.stop()


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    asyncio.run(drain(job_of_process()))
