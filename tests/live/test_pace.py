"""Counts against pace on a real Apache Kafka: somebody without a call is alarmed once, who is absent never."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.live.broker import Broker
from tests.live.system import System
from tests.live.test_teams import told, transitions

SETTINGS = """
tenants:
  acme:
    teams: {north: {}}
    people:
      ann: {team: north}
      bob: {team: north}
targets:
  - {name: calls, kpi: calls, window: business-day, bound: 1000000, false_alarms: 1 a week for 20}
schedules:
  patterns:
    always: {hours: {mon-sun: 00:00-24:00}}
  assigned: [{tenant: acme, pattern: always}]
absences:
"""


def test_agent_without_a_call_is_behind_pace_and_stays_so_over_a_kill(kafka: Broker, tmp_path: Path) -> None:
    """A million calls a day are 700 a minute: whatever the time is, they are missed within two."""
    today = datetime.now(UTC).date()
    absence = f"  - {{tenant: acme, agent: bob, from: {today}, to: {today + timedelta(days=3)}, reason: ill}}\n"
    (tmp_path / "settings").mkdir()
    (tmp_path / "settings" / "settings.yaml").write_text(SETTINGS + absence)

    with System(kafka, tmp_path, settings=tmp_path / "settings") as system:
        worker = system.worker()
        fires = [("calls/acme/agent:ann/1", "ok", "firing")]
        system.until("the alert of ann", lambda: told(system, "agent:ann") == fires, worker)
        worker.kill()
        worker = system.worker()
        system.until("the worker again", lambda: "recovered" in worker.said, worker)
        system.until("a look after it", lambda: len(looks(system)) >= 2, worker)
        worker.stop()

        [fired] = transitions(system)
        assert (fired["scope"], fired["reason"], fired["value"]) == ("agent:ann", "behind-pace", 0)
        assert (fired["basis"], fired["display_name"]) == ("shift", "ann")
        assert fired["expected"] > 0
        assert fired["against"] >= 4.6


def looks(system: System) -> list[str]:
    """Readings of ann's day that were no longer provisional."""
    return [
        message.key().decode()
        for message in system.read("readings")
        if message.key() == b"acme/agent:ann/business-day" and b'"provisional":false' in message.value()
    ]
