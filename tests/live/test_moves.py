"""Late and corrected events, moves and repetition on a real Apache Kafka: closed panes give the same cells."""

import time
from pathlib import Path

from kpistream.core.changelog import FrontierRecord, MarkRecord, parse
from kpistream.judge.compare import Cells, cells_of_rows
from tests.live.broker import Broker
from tests.live.floor import HOUR_MS, Floor
from tests.live.system import System


def now_ms() -> int:
    return int(time.time() * 1000)


def kinds(system: System) -> list[type]:
    """What the changelog holds, tombstones left out."""
    return [type(parse(m.key(), m.value())) for m in system.read("panes") if m.value() is not None]


def closed_before_now(system: System, *alive: object) -> None:
    """Make every partition's frontier known: an hour of horizon behind records of now."""
    for round_ in range(2):  # a frontier moves behind what was committed, with the flush after
        system.produce(Floor(now_ms(), seed=900 + round_, agents=200, late_share=0).records(400))
        system.worked()
    system.until("a frontier of every partition", lambda: kinds(system).count(FrontierRecord) >= system.partitions)


def test_closed_panes_are_answered_from_facts(kafka: Broker, tmp_path: Path) -> None:
    """Days late: fresh events, corrections, deals taken back and announced moves, out of and into closed panes."""
    with System(kafka, tmp_path, horizon_hours=1) as system:
        worker, sink = system.worker(), system.sink()
        closed_before_now(system)
        floor = Floor(now_ms(), seed=7, history_ms=72 * HOUR_MS, agents=20)
        system.produce(floor.records(4_000))
        system.drained(worker, sink)
        system.produce(floor.records(2_000))

        system.drained(worker, sink)
        worker.stop()
        sink.stop()

        assert kinds(system).count(MarkRecord) > 1_000
        system.exact()


def write_file(path: Path, floor: Floor) -> Path:
    """Fresh events, one JSON object a line, as `--as canonical` takes them."""
    path.write_bytes(b"".join(record.value + b"\n" for record in floor.fresh(3_000)))
    return path


def load(system: System, *files: Path) -> None:
    system.run("load", *map(str, files), "--as", "canonical", "--tenant", "acme")


def rows_after(kafka: Broker, directory: Path, files: list[Path], horizon_hours: int) -> tuple[list[object], Cells]:
    """Rows, and cells of the loaded events alone, after each file was loaded; a second load of all changes nothing."""
    directory.mkdir()
    with System(kafka, directory, horizon_hours=horizon_hours) as system:
        worker, sink = system.worker(), system.sink()
        if horizon_hours == 1:
            closed_before_now(system)
        for file in files:
            load(system, file)
        system.drained(worker, sink)
        sink.stop()
        rows = system.rows()
        sink = system.sink()

        load(system, *files)
        system.drained(worker, sink)
        worker.stop()
        sink.stop()

        assert system.rows() == rows, "a file loaded twice changes nothing, versions included"
        system.exact()
        assert (MarkRecord in kinds(system)) == (horizon_hours == 1)
        return rows, cells_of_rows(row for row in rows if "loaded-" in str(row["scope"]))


def test_a_file_gives_the_same_cells_live_and_late_in_any_order_and_twice(kafka: Broker, tmp_path: Path) -> None:
    floor = Floor(now_ms(), seed=8, history_ms=24 * HOUR_MS, late_share=0, agents=30, crew="loaded")
    floor.now_ms -= 3 * HOUR_MS  # all of it is closed with a horizon of an hour, and live with one of 36
    file = write_file(tmp_path / "events.jsonl", floor)
    lines = file.read_bytes().splitlines(keepends=True)
    halves = [tmp_path / "second.jsonl", tmp_path / "first.jsonl"]
    halves[0].write_bytes(b"".join(reversed(lines[1_500:])))
    halves[1].write_bytes(b"".join(reversed(lines[:1_500])))

    _, live = rows_after(kafka, tmp_path / "live", [file], horizon_hours=36)
    _, late = rows_after(kafka, tmp_path / "late", halves, horizon_hours=1)

    assert len(live) > 1_000
    assert live == late
