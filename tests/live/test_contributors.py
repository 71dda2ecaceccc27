"""An alert names the events behind it, and the command that it prints shows them, on a real Apache Kafka."""

import json
import time
from pathlib import Path

from tests.live.broker import Broker
from tests.live.system import Sent, System
from tests.live.test_settings import directory
from tests.live.test_teams import transitions

SETTINGS = """
tenants:
  acme:
    teams: {north: {}}
    people: {ann: {team: north}, bob: {team: north}}
targets:
  - {name: connects, kpi: connect_share, window: rolling-60m, bound: 25 %, minimum_sample: 10, tenant: acme}
  - {name: north, kpi: connect_share, window: rolling-60m, bound: 60 %, minimum_sample: 10, scope: team, team: north}
"""


def call(name: str, agent: str, minutes_ago: int, outcome: str, revision: int = 0) -> Sent:
    ended_ms = int(time.time() * 1000) - minutes_ago * 60_000
    event = {
        "type": "call.ended",
        "tenant": "acme",
        "source": "pbx",
        "event_id": name,
        "revision": revision,
        "agent_id": agent,
        "direction": "outbound",
        "outcome": outcome,
        "started_at": ended_ms - 20_000,
        "ended_at": ended_ms,
        "talk_ms": 10_000 if outcome == "connected" else 0,
    }
    return Sent(f"acme/agent:{agent}".encode(), json.dumps(event).encode())


def named(system: System, scope: str) -> list[list[str]]:
    """Names of the contributors of a scope's transitions."""
    return [[part["name"] for part in each["contributors"]] for each in transitions(system) if each["scope"] == scope]


def test_alert_of_an_agent_names_its_newest_failures_and_that_of_a_team_its_agents(
    kafka: Broker, tmp_path: Path
) -> None:
    folder = directory(tmp_path / "settings", roster=SETTINGS)
    with System(kafka, tmp_path, settings=folder) as system:
        calls = [call("fine", "ann", 1, "connected")]
        calls += [call(f"old-{n}", "ann", 20, "no-answer") for n in range(8)]
        calls += [call(f"new-{n}", "ann", 8 - n, "busy") for n in range(2)]
        calls += [call(f"bob-{n}", "bob", 2, "connected") for n in range(9)]
        system.produce(calls)
        worker, sink = system.worker(), system.sink()
        system.until("both alerts", lambda: len(named(system, "agent:ann") + named(system, "team:north")) == 2, worker)

        expected = [f"acme/pbx/call/{name}" for name in ("new-1", "new-0", "old-0", "old-1", "old-2")]
        assert sorted(named(system, "agent:ann")[0][:2]) == sorted(expected[:2])
        assert named(system, "agent:ann")[0][2:] == expected[2:]
        assert named(system, "team:north") == [["agent:ann"]]

        system.produce([call("new-1", "bob", 7, "busy", revision=1)])
        system.drained(worker, sink)
        worker.stop()
        sink.stop()
        shown = system.run("alerts", "events", "connects/acme/agent:ann", "--json")
        assert [each["identity"] for each in json.loads(shown.stdout)] == [expected[1], *expected[2:]]
        assert shown.stderr == f"{expected[0]} is not in history yet, or does not count here any more\n"
        text = system.run("alerts", "events", "connects/acme/agent:ann/1").stdout
        assert text.startswith("acme/pbx/call/new-0\n  revision 0, occurred_at ")
        of_team = system.run("alerts", "events", "north/acme/team:north", code=2)
        assert "no transition up to 1 names events" in of_team.stderr
