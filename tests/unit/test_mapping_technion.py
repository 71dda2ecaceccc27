"""The packaged Technion mapping on invented lines of the file's shape, one for each of its peculiarities."""

import json
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from kpistream.sources.mapping import Mapped, load_mapping

HEADER = (
    " vru+line call_id customer_id priority type date vru_entry vru_exit vru_time q_start q_exit q_time "
    "outcome ser_start ser_exit ser_time server"
)


def read(folder: Path, *lines: str) -> list[Mapped]:
    """Rows of a file with these lines, written with blanks for tabs."""
    text = "".join("\t".join(line.strip().split(" ")) + "\r\n" for line in (HEADER, *lines))
    (folder / "january.txt").write_bytes(text.encode("ascii"))
    return list(load_mapping("technion").rows(folder / "january.txt"))


def event(row: Mapped) -> dict[str, object]:
    """The one event of a row."""
    (record,) = row.records
    return dict(json.loads(record.value))


def ms(text: str) -> int:
    """Epoch ms of a local time at the call centre."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Asia/Jerusalem")).timestamp() * 1000)


def test_served_call_is_the_agents(tmp_path: Path) -> None:
    (row,) = read(
        tmp_path, "AA0101 1 77 2 PS 990103 9:00:00 9:00:06 6 9:00:06 9:01:06 60 AGENT 9:01:05 9:03:05 120 DANA"
    )

    assert event(row) == {
        "type": "call.ended",
        "tenant": "default",
        "source": "technion",
        "event_id": "AA0101-1-990103",
        "call_id": "AA0101-1-990103",
        "agent_id": "DANA",
        "queue": "PS",
        "customer_id": "77",
        "direction": "inbound",
        "started_at": ms("1999-01-03T09:00:00"),
        "answered_at": ms("1999-01-03T09:01:05"),
        "ended_at": ms("1999-01-03T09:03:05"),
        "queue_wait_ms": 60_000,
        "talk_ms": 120_000,
        "outcome": "connected",
        "attributes": {"priority": "2"},
    }


def test_call_served_by_nobody_known_counts_for_its_queue(tmp_path: Path) -> None:
    (row,) = read(
        tmp_path, "AA0101 2 0 0 NW 990103 9:00:00 9:00:09 9 0:00:00 0:00:00 0 AGENT 9:00:08 9:00:11 3 NO_SERVER"
    )

    assert row.records[0].key == "default/queue:NW"
    assert event(row)["queue_wait_ms"] == 0
    assert "customer_id" not in event(row)


def test_call_that_hung_up_is_nobodys_even_with_server_and_service(tmp_path: Path) -> None:
    (row,) = read(
        tmp_path, "AA0101 3 77 2 PS 990103 9:00:00 9:00:06 6 9:00:06 9:00:39 33 HANG 9:00:39 9:09:11 512 DANA"
    )

    assert row.records[0].key == "default/queue:PS"
    assert event(row)["outcome"] == "abandoned"
    assert event(row)["ended_at"] == ms("1999-01-03T09:00:39")
    assert event(row)["queue_wait_ms"] == 33_000
    assert {"agent_id", "answered_at", "talk_ms"}.isdisjoint(event(row))


def test_call_that_hung_up_before_the_queue_has_no_wait(tmp_path: Path) -> None:
    (row,) = read(
        tmp_path, "AA0101 4 0 0 PS 990103 9:00:00 9:00:11 11 0:00:00 0:00:00 0 HANG 0:00:00 0:00:00 0 NO_SERVER"
    )

    assert event(row)["ended_at"] == ms("1999-01-03T09:00:11")
    assert "queue_wait_ms" not in event(row)


def test_service_over_midnight_ends_the_next_day(tmp_path: Path) -> None:
    (row,) = read(
        tmp_path, "AA0101 5 77 2 PS 990103 23:50:33 23:50:38 5 23:50:38 23:51:49 71 AGENT 23:51:49 0:00:22 513 DANA"
    )

    assert event(row)["ended_at"] == ms("1999-01-04T00:00:22")


def test_wait_over_midnight_is_served_the_next_day(tmp_path: Path) -> None:
    (row,) = read(
        tmp_path, "AA0101 6 77 1 PS 990109 23:59:23 23:59:23 0 23:59:28 0:00:03 35 AGENT 0:00:03 0:00:55 52 DANA"
    )

    assert event(row)["answered_at"] == ms("1999-01-10T00:00:03")
    assert event(row)["ended_at"] == ms("1999-01-10T00:00:55")


def test_service_without_start_stands_where_the_wait_ended(tmp_path: Path) -> None:
    queued, direct = read(
        tmp_path,
        "AA0101 7 77 1 PS 990104 13:01:45 13:01:51 6 13:01:51 13:04:08 137 AGENT 0:00:00 0:00:00 0 DANA",
        "AA0101 8 0 0 PS 990104 13:39:21 13:39:30 9 0:00:00 0:00:00 0 AGENT 0:00:00 0:00:00 0 DANA",
    )

    assert event(queued)["answered_at"] == event(queued)["ended_at"] == ms("1999-01-04T13:04:08")
    assert event(direct)["answered_at"] == event(direct)["ended_at"] == ms("1999-01-04T13:39:30")


def test_phantom_is_skipped_and_vru_clock_noise_is_taken(tmp_path: Path) -> None:
    phantom, noise = read(
        tmp_path,
        "AA0101 9 77 2 PS 990118 15:21:17 15:21:20 3 15:21:20 15:21:48 28 PHANTOM 15:21:47 15:21:54 7 NO_SERVER",
        "AA0101 10 77 2 PS 990113 15:46:01 15:45:24 -37 15:45:24 15:46:41 77 HANG 0:00:00 0:00:00 0 NO_SERVER",
    )

    assert (phantom.skipped, phantom.records) == ("phantom", ())
    assert event(noise)["started_at"] == ms("1999-01-13T15:46:01")
    assert event(noise)["ended_at"] == ms("1999-01-13T15:46:41")
