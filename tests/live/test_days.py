"""Days on a real broker: a worker that was off for days, and business days of 23 and 25 hours.

The past is written with the producer's time, as a topic looks that has stood for so long.
"""

import asyncio
import json
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from prometheus_client import CollectorRegistry

from kpistream import service
from kpistream.core.changelog import FrontierRecord, PaneRecord, parse
from kpistream.core.settings import read_settings
from kpistream.metrics import WorkerMetrics
from kpistream.stream.agents import Clocks, Worker
from tests.live.broker import Broker
from tests.live.floor import HOUR_MS, Floor
from tests.live.system import LIMIT_S, PANE_MS, Sent, System

DAY_MS: Final = 24 * HOUR_MS
HALF_HOUR_MS: Final = HOUR_MS // 2


def now_ms() -> int:
    return int(time.time() * 1000)


def write_past(system: System, records: Iterable[Sent], at_ms: int | None = None) -> None:
    """Append records as they were appended at `at_ms`, or each at its own time."""
    system.stamp("events", "CreateTime")
    system.produce(records if at_ms is None else (record._replace(timestamp_ms=at_ms) for record in records))
    system.stamp("events", "LogAppendTime")


def starts_standing(system: System) -> tuple[int, list[int]]:
    """The oldest frontier of all partitions, and the start of every pane that the changelog holds."""
    latest = {message.key(): message for message in system.read("panes")}
    frontiers: dict[int, int] = {}
    starts = []
    for message in latest.values():
        record = None if message.value() is None else parse(message.key(), message.value())
        if isinstance(record, FrontierRecord):
            frontiers[message.partition()] = max(frontiers.get(message.partition(), 0), record.start_ms)
        elif isinstance(record, PaneRecord):
            starts.append(record.start_ms)
    return min(frontiers.get(number, 0) for number in range(system.partitions)), starts


def wrongly_shown(system: System) -> list[str]:
    """Newest readings that hide that panes of their window are closed, or doubt numbers that are whole."""
    frontier_ms, _ = starts_standing(system)
    newest = {message.key(): json.loads(message.value()) for message in system.read("readings")}
    return [
        f"{reading['scope']} {reading['window']}"
        for reading in newest.values()
        if (reading["window"] == "rolling-15m" and reading["provisional"])
        or (reading["from_ms"] < frontier_ms - PANE_MS and not reading["provisional"])
    ]


def test_roles_that_were_off_for_days_close_what_they_held_and_lose_nothing(kafka: Broker, tmp_path: Path) -> None:
    with System(kafka, tmp_path, partitions=2, horizon_hours=1) as system:
        then_ms = now_ms() - 3 * DAY_MS
        past = Floor(then_ms, seed=31, agents=10, partitions=2)
        write_past(system, past.records(1_500), then_ms)
        worker, sink = system.worker(), system.sink()
        system.drained(worker, sink)
        before, held = starts_standing(system)
        assert before < then_ms
        assert any(start_ms >= before for start_ms in held), "panes are live"
        worker.stop()
        sink.stop()

        today = Floor(now_ms(), seed=32, agents=10, partitions=2, late_share=0)
        system.produce(today.records(600))
        system.produce(past.records(400))  # late, corrected, moved: of panes that nobody has touched for days
        worker, sink = system.worker(), system.sink()
        system.drained(worker, sink)

        def buried() -> bool:
            """A few more events, so that tombstones that ride along go out."""
            system.produce(today.fresh(5))
            frontier_ms, starts = starts_standing(system)
            return frontier_ms > then_ms + 2 * DAY_MS and min(starts) >= frontier_ms

        system.until("only live panes stand", buried, worker, sink)
        system.until("numbers with their doubts", lambda: not wrongly_shown(system), worker)
        system.drained(worker, sink)
        worker.stop()
        sink.stop()
        assert system.exact().corrections > 0


ROSTER: Final = """
zone: UTC
tenants:
  acme: {zone: America/St_Johns}
"""


def calls_of(begin_ms: int, end_ms: int) -> Iterator[Sent]:
    """A call of Ann every half hour, from an hour before the day to an hour after it."""
    for number, at_ms in enumerate(range(begin_ms - HOUR_MS, end_ms + HOUR_MS, HALF_HOUR_MS)):
        event = {
            "type": "call.ended",
            "tenant": "acme",
            "source": "pbx",
            "event_id": f"ann-{number}",
            "agent_id": "ann",
            "direction": "outbound",
            "outcome": "no-answer",
            "started_at": at_ms,
            "ended_at": at_ms,
        }
        yield Sent(b"acme/agent:ann", json.dumps(event).encode(), timestamp_ms=at_ms)


class Day(NamedTuple):
    """A reading of a business day."""

    from_ms: int
    to_ms: int
    calls: int
    as_of_ms: int
    provisional: bool = False


def days_shown(system: System) -> dict[str, Day]:
    """By scope, the newest reading of a business day."""
    out = {}
    for message in system.read("readings"):
        reading: dict[str, Any] = json.loads(message.value())
        if reading["window"] == "business-day":
            calls = reading["measures"].get("calls", 0)
            span = reading["from_ms"], reading["to_ms"]
            out[reading["scope"]] = Day(*span, calls, reading["as_of_ms"], reading["provisional"])
    return out


async def until_shown(system: System, wanted: Day, running: asyncio.Future[None]) -> None:
    """Wait until this is what agent and tenant show."""
    deadline_s, days = time.monotonic() + LIMIT_S, dict[str, Day]()
    while [days.get(scope) for scope in ("agent:ann", "tenant")] != [wanted] * 2:
        assert not running.done(), running
        assert time.monotonic() < deadline_s, f"waited {LIMIT_S} s for {wanted}, found {days}"
        await asyncio.sleep(0.1)
        days = await asyncio.to_thread(days_shown, system)


@pytest.mark.parametrize(
    ("begin", "hours"),
    [("2026-03-08T03:30:00+00:00", 23), ("2026-11-01T02:30:00+00:00", 25)],
    ids=["clock goes forward", "clock goes back"],
)
def test_a_business_day_of_23_or_25_hours_is_shown_and_rolls_over(
    kafka: Broker, tmp_path: Path, begin: str, hours: int
) -> None:
    """The worker's clock stands in the evening of the day; another's later, then at its end. No event comes then."""
    begin_ms = int(datetime.fromisoformat(begin).timestamp()) * 1000
    end_ms = begin_ms + hours * HOUR_MS
    clock = [0]

    async def watch(system: System, *days: Day) -> None:
        config = service.configuration.load(system.environment())
        own = service.worker_settings(config, system.partitions, read_settings({"roster.yaml": ROSTER}))
        worker = Worker(own, Clocks(lambda: clock[0], time.monotonic), WorkerMetrics(CollectorRegistry()))
        clock[0] = days[0].as_of_ms
        running = asyncio.ensure_future(worker.run())
        for day in days:
            clock[0] = day.as_of_ms
            await until_shown(system, day, running)
        worker.stop()
        await asyncio.wait_for(running, LIMIT_S)

    with System(kafka, tmp_path, partitions=1, events_retention_days=400) as system:
        write_past(system, calls_of(begin_ms, end_ms))
        asyncio.run(watch(system, Day(begin_ms, end_ms, 2 * hours, end_ms - HOUR_MS)))
        again = Day(begin_ms, end_ms, 2 * hours, end_ms - HOUR_MS // 60)  # out of memory that was recovered
        asyncio.run(watch(system, again, Day(end_ms, end_ms + DAY_MS, 2, end_ms)))
