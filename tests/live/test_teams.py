"""Live numbers of agents, teams and tenants, and alerts that go on after a kill, on a real Apache Kafka."""

import json
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tests.live.broker import Broker
from tests.live.system import Sent, System

ROSTER = """
tenants:
  acme:
    zone: UTC
    teams:
      north: {name: North}
      south: {name: South}
    people:
      ann: {team: north}
      bob: {team: north}
      cho: {team: south}
"""
TARGETS = """
targets:
  - {name: busy, kpi: calls, window: rolling-60m, scope: agent, bound: 3, direction: at_least, tenant: acme}
"""


@cache
def at_ms() -> int:
    """When all calls of this file ended."""
    return int(time.time() * 1000) - 60_000


def call(number: int, agent: str | None, revision: int = 0, left: str | None = None) -> Sent:
    """A call of 60 s talk that ended a minute ago; `left`: the agent that it is moved from."""
    ended_ms = at_ms()
    event: dict[str, Any] = {
        "type": "call.ended",
        "tenant": "acme",
        "source": "pbx",
        "event_id": str(number),
        "revision": revision,
        "direction": "inbound",
        "started_at": ended_ms - 60_000,
        "ended_at": ended_ms,
    }
    if agent is None:
        event.update(queue="sales", outcome="abandoned")
    else:
        event.update(agent_id=agent, outcome="connected", answered_at=ended_ms - 60_000, talk_ms=60_000)
    if left is not None:
        event["moved_from"] = {"agent_id": left, "occurred_at": ended_ms}
    key = f"acme/agent:{agent}" if agent else "acme/queue:sales"
    return Sent(key.encode(), json.dumps(event).encode())


def calls_shown(system: System, since: Mapping[int, int] | None = None) -> dict[str, tuple[int, int]]:
    """Calls and talk seconds of each scope over the last hour, as the newest reading (from these offsets on) shows."""
    newest: dict[str, tuple[int, int]] = {}
    for message in system.read("readings"):
        if message.offset() < (since or {}).get(message.partition(), 0):
            continue
        reading = json.loads(message.value())
        if reading["window"] == "rolling-60m" and not reading["provisional"]:
            measures = reading["measures"]
            newest[reading["scope"]] = (measures.get("calls", 0), measures.get("talk_ms", 0) // 1000)
    return newest


def transitions(system: System) -> list[dict[str, Any]]:
    return [json.loads(message.value()) for message in system.read("alerts")]


def told(system: System, scope: str) -> list[tuple[str, str, str]]:
    """Ids and states of one scope's transitions, each id once."""
    seen = {t["alert_id"]: (t["alert_id"], t["from"], t["to"]) for t in transitions(system) if t["scope"] == scope}
    return list(seen.values())


def test_readings_of_agents_teams_and_tenant_have_the_right_sums(kafka: Broker, tmp_path: Path) -> None:
    with settled(kafka, tmp_path) as system:
        workers = [system.worker(), system.worker()]
        everybody = ["ann"] * 4 + ["bob"] * 2 + ["cho"] * 3 + ["dan"] + [None] * 2
        system.produce(call(number, agent) for number, agent in enumerate(everybody))
        system.produce(call(number, agent) for number, agent in enumerate(everybody))

        expected = {
            "agent:ann": (4, 240),
            "agent:bob": (2, 120),
            "agent:cho": (3, 180),
            "agent:dan": (1, 60),
            "queue:sales": (2, 0),
            "team:north": (6, 360),
            "team:south": (3, 180),
            "tenant": (12, 600),
        }
        system.until("readings", lambda: expected.items() <= calls_shown(system).items(), *workers)
        for worker in workers:
            worker.stop()


def test_alerts_go_on_where_a_killed_worker_left_them(kafka: Broker, tmp_path: Path) -> None:
    with settled(kafka, tmp_path) as system:
        worker, sink = system.worker(), system.sink()
        system.until("the worker", lambda: "recovered" in worker.said, worker)
        system.produce([call(1, "ann")])
        fires = [("busy/acme/agent:ann/1", "ok", "firing")]
        system.until("firing", lambda: told(system, "agent:ann") == fires, worker)
        system.produce([call(2, "ann"), call(3, "ann")])
        rests = [*fires, ("busy/acme/agent:ann/2", "firing", "ok")]
        system.until("at its bound a target is met", lambda: told(system, "agent:ann") == rests, worker)

        worker.kill()
        worker = system.worker()
        system.produce([call(3, "bob", revision=1, left="ann")])

        again = [*rests, ("busy/acme/agent:ann/3", "ok", "firing")]
        system.until("firing again", lambda: told(system, "agent:ann") == again, worker)
        system.drained(worker, sink)
        worker.stop()
        sink.stop()
        said: dict[str, set[str]] = {}
        for transition in transitions(system):
            said.setdefault(transition["alert_id"], set()).add(json.dumps(transition, sort_keys=True))
        assert {alert: len(contents) for alert, contents in said.items()} == dict.fromkeys(said, 1)
        system.exact()


def settled(kafka: Broker, directory: Path) -> System:
    """A system with a roster and a target."""
    settings = directory / "settings"
    settings.mkdir()
    (settings / "roster.yaml").write_text(ROSTER)
    (settings / "targets.yaml").write_text(TARGETS)
    return System(kafka, directory, settings=settings)
