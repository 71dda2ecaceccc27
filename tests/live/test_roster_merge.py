"""Roster merge on a running system: what an id did since a date moves to a person, what it did before stays."""

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.front.process import Front
from tests.live.broker import Broker
from tests.live.system import Sent, System
from tests.scenario.history_events import at, call, deal, survey

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def sent(event: dict[str, Any]) -> Sent:
    return Sent(f"acme/agent:{event['agent_id']}".encode(), json.dumps(event).encode())


def by_agent(system: System) -> dict[str, Counter[str]]:
    """Sums of the standing rows by agent, measures that are 0 left out."""
    out: dict[str, Counter[str]] = {}
    for row in system.rows():
        sums = out.setdefault(row["scope"].removeprefix("agent:"), Counter())
        sums.update({name: row[name] for name in ("calls", "talk_ms", "deals_won", "surveys") if row[name]})
    return {agent: sums for agent, sums in out.items() if sums}


def events(now_ms: int) -> list[dict[str, Any]]:
    """Of `ext-12`: one of each kind today, two days ago (a closed pane) and five days ago; of `ann`: one call."""
    out = [call("own", "ann", now_ms - HOUR_MS)]
    for days in (0, 2, 5):
        at_ms = now_ms - HOUR_MS - days * DAY_MS
        out.append(call(f"c{days}", "ext-12", at_ms, wrap_up_ms=7_000, attributes={"day": str(days)}))
        out.append(deal(f"d{days}", "ext-12", at_ms + 1000, revision=3))
        out.append(survey(f"s{days}", "ext-12", at_ms + 2000, score=4.5))
    return out


def test_merge_moves_what_happened_since_the_date_and_once_only(
    kafka: Broker, tmp_path: Path, http_clickhouse: Front
) -> None:
    now_ms = int(time.time() * 1000)
    # Nobody is to be mistaken for another test's rows: each test has a database of its own.
    database = f"merge_{now_ms}"
    with System(kafka, tmp_path, store=http_clickhouse.url(database)) as system:
        system.store = http_clickhouse.url(database)
        worker, sink = system.worker(), system.sink()
        system.produce(map(sent, events(now_ms)))
        system.drained(worker, sink)
        before = {
            "ann": Counter(calls=1, talk_ms=40_000),
            "ext-12": Counter(calls=3, talk_ms=120_000, deals_won=3, surveys=3),
        }
        assert by_agent(system) == before

        since = at(now_ms - 3 * DAY_MS)
        merge = ("roster", "merge", "ext-12", "ann", "--tenant", "acme", "--from", since)
        ends = system.ends("events")
        assert "6 events of ext-12" in system.run(*merge, "--dry-run").stdout
        assert system.ends("events") == ends

        assert "6 corrections sent" in system.run(*merge).stdout
        system.drained(worker, sink)
        after = {
            "ann": Counter(calls=3, talk_ms=120_000, deals_won=2, surveys=2),
            "ext-12": Counter(calls=1, talk_ms=40_000, deals_won=1, surveys=1),
        }
        assert by_agent(system) == after
        assert system.exact().retractions == 6

        ends = system.ends("events")
        assert "0 events of ext-12" in system.run(*merge).stdout
        assert system.ends("events") == ends
        worker.stop()
        sink.stop()
        assert by_agent(system) == after
