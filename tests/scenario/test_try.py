"""`kpistream try`: a file goes through broker, worker and sink on embedded parts, and every number is exact.

Each run is a process of its own, as a user's is: the engine serves one directory in a process. The month of
a real call centre is in the shared data; the other files are made here.
"""

import gzip
import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from kpistream.embedded import KEPT_BYTES, PARTITIONS
from kpistream.log.topics import partition_of
from tests.live.system import KPISTREAM, ROOT
from tests.scenario.test_mapping_data import TECHNION_AGENTS

pytestmark = pytest.mark.engine

LIMIT_S: Final = 400
HOT_EVENTS: Final = 22_000
OTHERS: Final = (0, 1, 9, 6, 10, 13, 11, 15, 21)
"""Numbers of the other agents: three on each partition that does not hold the hot one."""
OTHER_EVENTS: Final = 20_000
DAY_MS: Final = 1_795_478_400_000
"""2026-11-24 at midnight, UTC."""


def tried(store: Path, *files: Path, mapping: str = "technion", zone: str = "Asia/Jerusalem") -> dict[str, Any]:
    """What `kpistream try --json` says."""
    command = [KPISTREAM, "try", *map(str, files), "--as", mapping, "--zone", zone, "--store", str(store), "--json"]
    done = subprocess.run(command, cwd=ROOT, env=quiet(), capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    said: dict[str, Any] = json.loads(done.stdout)
    assert_adds_up(said["account"])
    return said


def quiet() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("KPISTREAM_")}


def assert_adds_up(account: dict[str, Any]) -> None:
    """Every row and every event has become something."""
    assert account["rows"] == account["mapped"] + sum(account["skipped"].values()) + sum(account["rejected"].values())
    assert account["sent"] == sum(account["events"].values())
    assert account["sent"] == sum(account["outcomes"].values()) + sum(account["refused"].values())


def rows(store: Path) -> list[dict[str, Any]]:
    """The standing rows of a store, versions included."""
    command = [sys.executable, "-m", "tests.live.system", "rows", str(store)]
    done = subprocess.run(command, cwd=ROOT, env=quiet(), capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def calls_and_seconds(said: dict[str, Any]) -> dict[str, tuple[int, int]]:
    return {row["agent_id"]: (row["calls"], row["talk_ms"] // 1000) for row in said["report"]["rows"]}


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    """The month as a text file."""
    path = tmp_path_factory.mktemp("month") / "january1999.txt"
    path.write_bytes(gzip.decompress((shared_data / "technion" / "january1999.txt.gz").read_bytes()))
    return path


@pytest.fixture(scope="module")
def month_store(tmp_path_factory: pytest.TempPathFactory, month: Path) -> tuple[Path, dict[str, Any]]:
    """A store with the month in it, and what `try` said."""
    store = tmp_path_factory.mktemp("once") / "store"
    return store, tried(store, month)


def test_month_of_a_real_call_centre_comes_out_exact(month_store: tuple[Path, dict[str, Any]]) -> None:
    store, said = month_store

    assert calls_and_seconds(said) == TECHNION_AGENTS
    assert sum(calls for calls, _ in TECHNION_AGENTS.values()) == 26_570
    assert sum(seconds for _, seconds in TECHNION_AGENTS.values()) == 4_950_201
    account, nobody = said["account"], said["report"]["unassigned"]
    assert (account["rows"], account["skipped"], account["rejected"]) == (31_599, {"phantom": 240}, {})
    assert account["outcomes"] == {"added": 31_359}
    assert (nobody["calls"], nobody["connected"], nobody["abandoned"]) == (490 + 4_299, 490, 4_299)
    assert len(rows(store)) > 10_000


def test_month_loaded_twice_changes_nothing(month: Path, month_store: tuple[Path, dict[str, Any]]) -> None:
    store, said = month_store
    before = rows(store)

    again = tried(store, month)

    assert rows(store) == before
    assert again["report"] == said["report"]


def shuffled(month: Path, seed: int) -> tuple[bytes, list[bytes]]:
    """Header and rows in random order."""
    header, *lines = month.read_bytes().splitlines(keepends=True)
    random.Random(seed).shuffle(lines)
    return header, lines


def test_month_in_random_order_in_two_halves_by_two_processes_is_the_same(
    month: Path, month_store: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    header, lines = shuffled(month, seed=1)
    halves = [tmp_path / "one.txt", tmp_path / "two.txt"]
    for half, some in zip(halves, (lines[:15_000], lines[15_000:]), strict=True):
        half.write_bytes(header + b"".join(some))

    tried(tmp_path / "store", halves[0])
    said = tried(tmp_path / "store", halves[1])

    assert said["account"]["outcomes"].get("closed", 0) > 10_000, "the second half comes after all panes were closed"
    assert calls_and_seconds(said) == TECHNION_AGENTS
    assert rows(tmp_path / "store") == rows(month_store[0])


def test_every_record_three_times_is_the_same(
    month: Path, month_store: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    header, lines = shuffled(month, seed=2)
    again = tmp_path / "again.txt"
    again.write_bytes(header + b"".join(lines))

    said = tried(tmp_path / "store", month, again, month)

    assert said["account"]["outcomes"] == {"added": 31_359, "duplicate": 2 * 31_359}
    assert rows(tmp_path / "store") == rows(month_store[0])


def large_events() -> Iterator[dict[str, Any]]:
    """One pane of many thousand events, and two days of others of 2 KB each."""
    padding = {f"note-{number}": "x" * 900 for number in range(2)}
    base = {"type": "call.ended", "tenant": "acme", "source": "pbx", "direction": "outbound", "outcome": "connected"}
    for number in range(HOT_EVENTS + OTHER_EVENTS):
        hot = number < HOT_EVENTS
        agent = "hot" if hot else f"agent-{OTHERS[number % len(OTHERS)]}"
        ended = DAY_MS + (number % 300_000 if hot else (number * 17_389) % (36 * 3_600_000))
        yield {
            **base,
            "event_id": str(number),
            "agent_id": agent,
            "started_at": ended - 2_000,
            "answered_at": ended - 1_000,
            "ended_at": ended,
            "talk_ms": 1_000,
            "attributes": None if hot else padding,
        }


def test_file_far_larger_than_the_embedded_broker_keeps_loses_nothing(tmp_path: Path) -> None:
    """About 50 MB; the broker keeps 5 MB of a partition and drops the oldest records in silence."""
    file, sizes, expected = tmp_path / "events.jsonl", Counter[int](), Counter[str]()
    with file.open("wb") as out:
        for event in large_events():
            line = json.dumps(event).encode()
            out.write(line + b"\n")
            sizes[partition_of(f"acme/agent:{event['agent_id']}".encode(), PARTITIONS)] += len(line)
            expected[event["agent_id"]] += 1
    assert len(sizes) == PARTITIONS and min(sizes.values()) > KEPT_BYTES, sizes
    assert sum(sizes.values()) > 45_000_000

    said = tried(tmp_path / "store", file, mapping="canonical", zone="UTC")

    assert calls_and_seconds(said) == {agent: (count, count) for agent, count in expected.items()}
    assert said["account"]["outcomes"] == {"added": sum(expected.values())}
    hot = [row for row in rows(tmp_path / "store") if row["scope"] == "agent:hot"]
    assert [(row["start"], row["calls"]) for row in hot] == [(DAY_MS, HOT_EVENTS)]
