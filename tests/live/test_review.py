"""The review role on a real Apache Kafka: one is on, a kill changes nothing, and history that is away is no data."""

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from kpistream import service
from kpistream.config import load
from kpistream.core.alerts import Transition, decode_transition
from kpistream.core.settings import read_settings
from kpistream.core.windows import business_day
from kpistream.health import Health
from kpistream.history.review import Review
from kpistream.history.reviewing import Reviewing
from kpistream.history.store import open_store
from tests.front.process import Front
from tests.live.broker import Broker
from tests.live.system import LIMIT_S, PANE_MS, Role, Sent, System

HOUR_MS = 3_600_000
MINUTE_MS = 60_000


def zone_of_noon() -> str:
    """A zone in which it is about noon now, so that yesterday's noon is a day ago and the week is not just over."""
    behind_h = datetime.now(UTC).hour - 12
    return f"Etc/GMT{behind_h:+d}" if behind_h else "Etc/GMT"


ZONE = zone_of_noon()
SETTINGS = f"""
zone: {ZONE}
tenants:
  acme:
    zone: {ZONE}
    teams: {{north: {{}}}}
    people: {{ann: {{team: north, name: Ann}}, bob: {{team: north}}}}
schedules:
  patterns:
    always: {{hours: {{mon-sun: 00:00-24:00}}}}
  assigned: [{{tenant: acme, pattern: always}}]
targets:
  - {{name: calls, kpi: calls, window: business-day, bound: 5, alerts: off}}
  - {{name: connects, kpi: connect_share, window: week, bound: 50 %, minimum_sample: 4}}
"""


def now_ms() -> int:
    return int(time.time() * 1000)


def at(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")


def call(event_id: str, agent: str, ended_ms: int, connected: bool = True) -> Sent:
    event = {
        "type": "call.ended",
        "tenant": "acme",
        "source": "pbx",
        "event_id": event_id,
        "agent_id": agent,
        "direction": "outbound",
        "started_at": at(ended_ms - MINUTE_MS),
        "answered_at": at(ended_ms - MINUTE_MS // 2) if connected else None,
        "ended_at": at(ended_ms),
        "talk_ms": 20_000 if connected else None,
        "outcome": "connected" if connected else "busy",
    }
    return Sent(f"acme/agent:{agent}".encode(), json.dumps(event).encode())


LONG_AGO = call("first", "ann", now_ms() - 9 * 24 * HOUR_MS)
"""Before this week: a tenant that has only just begun is not judged to date."""


def system_of(kafka: Broker, front: Front, directory: Path) -> System:
    (directory / "settings").mkdir()
    (directory / "settings" / "all.yaml").write_text(SETTINGS)
    store = front.url(f"review_{uuid.uuid4().hex[:8]}")
    return System(
        kafka, directory, store=store, settings=directory / "settings", review_grace_minutes=0, metrics_port=0
    )


def results(system: System, agent: str, window_from_ms: int) -> list[tuple[str, float]]:
    """Outcomes that were told of an agent's calls, in the order of the log."""
    found = [json.loads(message.value()) for message in system.read("results")]
    mine = [each for each in found if each["scope"] == f"agent:{agent}" and each["window_from_ms"] == window_from_ms]
    return [(each["outcome"], each["value"]) for each in mine if each["target"] == "calls"]


def transitions(system: System) -> list[Transition]:
    return [decode_transition(message.value()) for message in system.read("alerts")]


def on(role: Role) -> bool:
    return "kpistream_review_on 1.0" in role.metrics()


def test_killed_review_is_followed_by_one_that_tells_only_what_is_new(
    kafka: Broker, http_clickhouse: Front, tmp_path: Path
) -> None:
    yesterday_ms = now_ms() - 24 * HOUR_MS
    day_ms = business_day(yesterday_ms, ZONE).from_ms

    with system_of(kafka, http_clickhouse, tmp_path) as system:
        worker, sink = system.worker(), system.sink()
        system.produce(call(f"a{n}", "ann", yesterday_ms) for n in range(5))
        system.produce(call(f"b{n}", "bob", yesterday_ms) for n in range(4))
        system.produce([LONG_AGO, *(call(f"c{n}", "bob", now_ms() - MINUTE_MS, connected=False) for n in range(20))])
        system.drained(worker, sink)
        reviews = [system.review(), system.review()]
        system.until("results", lambda: len(results(system, "bob", day_ms)) == 1, worker, sink, *reviews)
        system.until("the week's alert", lambda: len(transitions(system)) == 1, worker, sink, *reviews)
        system.until("one is on", lambda: sorted(map(on, reviews)) == [False, True], *reviews)
        assert results(system, "ann", day_ms) == [("met", 5)]
        assert results(system, "bob", day_ms) == [("missed", 4)]

        system.produce([call("late", "bob", yesterday_ms + MINUTE_MS)])
        system.drained(worker, sink)
        first, second = sorted(reviews, key=on, reverse=True)
        first.kill()
        system.until("the other is on", lambda: on(second), worker, sink, second)
        system.until("the late call", lambda: len(results(system, "bob", day_ms)) == 2, worker, sink, second)
        system.until("history has it", lambda: ("agent:bob", "met") in outcomes(system, day_ms), worker, sink, second)
        assert results(system, "bob", day_ms) == [("missed", 4), ("met", 5)]
        assert results(system, "ann", day_ms) == [("met", 5)]
        second.stop()
        [fired] = transitions(system)
        assert (fired.scope, fired.window, str(fired.to_state)) == ("agent:bob", "week", "firing")


def outcomes(system: System, day_ms: int) -> set[tuple[str, str]]:
    """Scope and outcome of a day, as history has them."""
    with open_store(str(system.environment()["KPISTREAM_STORE"])) as store:
        sql = "SELECT scope, outcome FROM kpi_results FINAL WHERE toUnixTimestamp64Milli(window_from) = {day:Int64}"
        return {(scope, outcome) for scope, outcome in store.query(sql, {"day": day_ms})}


class Reviewer:
    """A review in this process, on a clock of the test's own."""

    def __init__(self, system: System, text: str = SETTINGS, **other: int) -> None:
        environment = system.environment()
        config = load({name: value for name, value in environment.items() if name.startswith("KPISTREAM_")})
        reviewing = Reviewing(read_settings({"all.yaml": text}), PANE_MS)
        told = replace(service.review_settings(config, system.partitions), **other)
        self.now_ms = now_ms()
        self.health = Health("review", lambda: self.now_ms / 1000)
        self._review = Review(told, reviewing, lambda: open_store(config.store), lambda: self.now_ms, self.health)

    async def __aenter__(self) -> "Reviewer":
        self._task = asyncio.ensure_future(self._review.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._review.stop()
        await self._task

    async def until(self, what: str, condition: Callable[[], bool], step_ms: int = 0) -> None:
        """Wait for a condition while the clock goes on in steps; the review's failure fails the test."""
        for _ in range(LIMIT_S):
            if await asyncio.to_thread(condition):
                return
            assert not self._task.done(), self._task
            self.now_ms += step_ms
            await asyncio.sleep(1.0)
        raise AssertionError(f"waited {LIMIT_S} s for: {what}")


def test_history_that_is_away_is_no_data_and_never_ok(kafka: Broker, http_clickhouse: Front, tmp_path: Path) -> None:
    def states(system: System) -> list[tuple[str, str]]:
        return [(str(each.to_state), str(each.reason)) for each in transitions(system)]

    async def watch(system: System, *roles: Role) -> None:
        fired = [("firing", "below-bound")]
        away = [*fired, ("no-data", "history-unreachable")]
        async with Reviewer(system) as review:
            await review.until("the week's alert", lambda: states(system) == fired, step_ms=3000)
            http_clickhouse.kill()
            await review.until("no data", lambda: states(system) == away, step_ms=2 * MINUTE_MS)
            unready = "history is not whole"
            await review.until(
                "not ready", lambda: any(unready in text for text in review.health.waits_for()), step_ms=MINUTE_MS
            )
            http_clickhouse.start()
            again = [*away, ("firing", "below-bound")]
            await review.until("alert again", lambda: states(system) == again, step_ms=2 * MINUTE_MS)
            await review.until("ready", lambda: review.health.waits_for() == [])

    with system_of(kafka, http_clickhouse, tmp_path) as system:
        worker, sink = system.worker(), system.sink()
        system.produce([LONG_AGO, *(call(f"c{n}", "bob", now_ms() - MINUTE_MS, connected=False) for n in range(20))])
        system.drained(worker, sink)
        try:
            asyncio.run(watch(system, worker, sink))
        finally:
            http_clickhouse.start()


def test_nothing_is_told_before_history_has_what_the_worker_wrote(
    kafka: Broker, http_clickhouse: Front, tmp_path: Path
) -> None:
    """The worker was away when the calls came: their panes are younger than they are, and the sink stands still."""
    yesterday_ms = now_ms() - 24 * HOUR_MS
    day_ms = business_day(yesterday_ms, ZONE).from_ms

    async def watch(system: System, sink: Role) -> None:
        async with Reviewer(system, lag_ms=0) as review:
            for _ in range(8):
                await asyncio.sleep(1.0)
                review.now_ms += 3000  # it looks again
                assert await asyncio.to_thread(system.read, "results") == []
            sink.resume()
            await review.until("results", lambda: len(results(system, "bob", day_ms)) == 1, step_ms=3000)

    with system_of(kafka, http_clickhouse, tmp_path) as system:
        worker, sink = system.worker(), system.sink()
        system.produce([call("b0", "bob", yesterday_ms)])
        system.drained(worker, sink)
        worker.stop()
        system.produce(call(f"b{n}", "bob", yesterday_ms) for n in range(1, 5))
        sink.pause()
        worker = system.worker()
        system.worked(worker)
        asyncio.run(watch(system, sink))
        assert results(system, "bob", day_ms) == [("met", 5)]


def test_alert_of_a_target_that_has_left_the_settings_is_suspended(
    kafka: Broker, http_clickhouse: Front, tmp_path: Path
) -> None:
    def states(system: System) -> list[tuple[str, str]]:
        return [(str(each.to_state), str(each.reason)) for each in transitions(system)]

    async def watch(system: System) -> None:
        fired = [("firing", "below-bound")]
        async with Reviewer(system) as review:
            await review.until("the week's alert", lambda: states(system) == fired, step_ms=3000)
        without = "".join(line for line in SETTINGS.splitlines(keepends=True) if "name: connects" not in line)
        async with Reviewer(system, without) as review:
            gone = [*fired, ("suspended", "not-covered")]
            await review.until("its end", lambda: states(system) == gone, step_ms=3000)
        async with Reviewer(system) as review:
            await review.until("the alert again", lambda: states(system) == [*gone, *fired], step_ms=3000)

    with system_of(kafka, http_clickhouse, tmp_path) as system:
        worker, sink = system.worker(), system.sink()
        system.produce([LONG_AGO, *(call(f"c{n}", "bob", now_ms() - MINUTE_MS, connected=False) for n in range(20))])
        system.drained(worker, sink)
        asyncio.run(watch(system))
        assert [each.sequence for each in transitions(system)] == [1, 2, 3]
