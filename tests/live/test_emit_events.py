"""The snippets of `docs/how-to/emit-events.md`, run against a real broker: all three reach one partition."""

import asyncio
import shutil
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer

from kpistream.core.decoding import decode
from tests.contract.emit_snippets import snippets
from tests.live.broker import Broker, fetch

pytestmark = pytest.mark.live

KEY = b"acme/agent:maria"


def run_python(code: str, folder: Path) -> None:
    scope = {"__name__": "snippet"}
    exec(compile(code, "emit-events.md", "exec"), scope)
    asyncio.run(scope["emit"](code.rpartition('emit("')[2].partition('"')[0]))


def run_java(code: str, folder: Path) -> None:
    (folder / "EmitEvents.java").write_text(code)
    subprocess.run(["java", "-cp", f"{fetch()}/*", "EmitEvents.java"], cwd=folder, check=True, timeout=120)


def run_kcat(code: str, folder: Path) -> None:
    subprocess.run(["sh", "-c", code], cwd=folder, check=True, timeout=60)


RUNS: dict[str, Callable[[str, Path], None]] = {"python": run_python, "java": run_java, "sh": run_kcat}


async def received(broker: Broker, topic: str, count: int) -> list[tuple[int, bytes, bytes, int]]:
    async with AIOKafkaConsumer(topic, bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest") as consumer:
        records = [await asyncio.wait_for(consumer.getone(), timeout=30) for _ in range(count)]
    return [(record.partition, record.key, record.value, record.timestamp) for record in records]


def test_snippets_of_the_how_to_send_to_one_partition(kafka: Broker, tmp_path: Path) -> None:
    missing = [tool for tool in ("javac", "kcat") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not found: make live-tools")
    topic = f"emit-{uuid.uuid4().hex[:8]}"
    kafka.create_topics({topic: 12}, {"message.timestamp.type": "LogAppendTime"})

    for language, run in RUNS.items():
        code = snippets(language)[0].replace("localhost:9092", kafka.bootstrap).replace("kpi.events", topic)
        run(code, tmp_path)
    records = asyncio.run(received(kafka, topic, len(RUNS)))

    assert {key for _, key, _, _ in records} == {KEY}
    assert len({partition for partition, _, _, _ in records}) == 1
    kinds = {type(decode(value, timestamp_ms)).__name__ for _, _, value, timestamp_ms in records}
    assert kinds >= {"CallFields", "DealFields"}
    assert len(kinds) == len(RUNS)
