"""An alert that was never true, on a real Apache Kafka: it is corrected, also when calls come while nobody looks."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

from tests.live.broker import Broker
from tests.live.system import Sent, System
from tests.live.test_teams import told, transitions

PANE_MS = 300_000
SETTINGS = """
tenants: {acme: {teams: {north: {}}, people: {ann: {team: north}}}}
targets:
  - {name: busy, kpi: calls, window: rolling-60m, bound: 3, direction: at_least}
  - {name: team-busy, kpi: calls, window: rolling-60m, scope: team, bound: 3, direction: at_least}
"""


def calls(*ids: int) -> Iterator[Sent]:
    """Calls of ann that ended two panes ago."""
    ended_ms = int(time.time() * 1000) - 2 * PANE_MS
    for number in ids:
        event = {
            "type": "call.ended",
            "tenant": "acme",
            "source": "pbx",
            "event_id": str(number),
            "agent_id": "ann",
            "direction": "outbound",
            "outcome": "no-answer",
            "started_at": ended_ms - 1000,
            "ended_at": ended_ms,
        }
        yield Sent(b"acme/agent:ann", json.dumps(event).encode())


def test_calls_that_come_late_correct_what_was_told_over_a_kill(kafka: Broker, tmp_path: Path) -> None:
    (tmp_path / "settings").mkdir()
    (tmp_path / "settings" / "settings.yaml").write_text(SETTINGS)
    with System(kafka, tmp_path, settings=tmp_path / "settings") as system:
        worker, sink = system.worker(), system.sink()
        system.produce(calls(1))
        fires = {"agent:ann": [("busy/acme/agent:ann/1", "ok", "firing")]}
        fires["team:north"] = [("team-busy/acme/team:north/1", "ok", "firing")]
        system.until("both fire", lambda: {scope: told(system, scope) for scope in fires} == fires, worker)

        worker.kill()
        system.produce(calls(2, 3))
        worker = system.worker()
        over = {scope: [*each, (f"{each[0][0][:-1]}2", "firing", "ok")] for scope, each in fires.items()}
        system.until("both are over", lambda: {scope: told(system, scope) for scope in over} == over, worker)
        said = system.run("alerts", "show", "busy/acme/agent:ann").stdout
        system.drained(worker, sink)
        worker.stop()
        sink.stop()

        for each in (each for each in transitions(system) if each["sequence"] == 2):
            assert (each["reason"], each["corrects"]) == ("corrected", 1)
            assert (each["value"], each["told_value"]) == (3, 1)
        assert "the alert was not true: 3 at that time" in said
        system.exact()
