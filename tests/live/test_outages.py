"""A silent source on a real Apache Kafka: one alert, whoever has the tenant, and who looks after sources is told."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.broker import Broker
from tests.live.recorder import Recorder
from tests.live.system import Role, Sent, System
from tests.live.test_teams import told, transitions

AGENTS = ("ann", "bob", "cho", "dan", "eve", "fay")
SETTINGS = """
tenants:
  acme:
    silent_after: 5 m
    people: {ann: {}, bob: {}, cho: {}, dan: {}, eve: {}, fay: {}}
schedules:
  patterns:
    always: {hours: {mon-sun: 00:00-24:00}}
  assigned: [{tenant: acme, pattern: always}]
notify:
  receivers:
    desk: {webhook: {url: URL, secret: {env: HOOK_SECRET}, allow_internal: yes}}
  routes:
    - {to: desk, scope: source, group_wait: 0 s, group_interval: 0 s}
"""
PANE_MS = 300_000
FIRES = [("source-silent/acme/source:pbx/1", "ok", "firing")]


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", "kpistream-test")


def calls(source: str, ago_ms: int, agents: tuple[str, ...] = AGENTS) -> Iterator[Sent]:
    ended_ms = int(time.time() * 1000) - ago_ms
    for agent in agents:
        event = {
            "type": "call.ended",
            "tenant": "acme",
            "source": source,
            "event_id": f"{agent}-{ended_ms}",
            "agent_id": agent,
            "direction": "outbound",
            "outcome": "no-answer",
            "started_at": ended_ms - 1000,
            "ended_at": ended_ms,
        }
        yield Sent(f"acme/agent:{agent}".encode(), json.dumps(event).encode())


def shown(workers: list[Role]) -> set[str]:
    """Lines of the metric, of all workers."""
    serving = [each.metrics() for each in workers if "metrics address=" in each.said]
    return {line for text in serving for line in text.splitlines() if line.startswith("kpistream_source_silent")}


def test_silent_source_is_one_alert_over_kills_of_every_worker(kafka: Broker, tmp_path: Path) -> None:
    with Recorder() as hook:
        (tmp_path / "settings").mkdir()
        (tmp_path / "settings" / "settings.yaml").write_text(SETTINGS.replace("URL", hook.url))
        with System(kafka, tmp_path, settings=tmp_path / "settings", metrics_port=0) as system:
            workers = [system.worker(), system.worker()]
            system.produce(calls("pbx", 3 * PANE_MS))
            system.produce(calls("chat", 0))
            system.until("the alert", lambda: told(system, "source:pbx") == FIRES, *workers)
            silent = 'kpistream_source_silent{source="pbx",tenant="acme"} 1.0'
            system.until("the metric", lambda: silent in shown(workers), *workers)

            for number in (0, 1):
                workers[number].kill()
                workers[number] = system.worker()
                system.until("somebody shows it again", lambda: silent in shown(workers), *workers)
            assert told(system, "source:pbx") == FIRES
            notify, sink = system.notify(), system.sink()
            system.until("somebody is told", lambda: len(hook.requests) == 1, notify)
            listed = system.run("alerts", "list").stdout
            explained = system.run("alerts", "show", "source-silent/acme/source:pbx").stdout

            system.produce(calls("pbx", 0, ("ann",)))
            again = [*FIRES, ("source-silent/acme/source:pbx/2", "firing", "recovering")]
            system.until("it is heard", lambda: told(system, "source:pbx") == again, *workers)
            system.drained(*workers, sink)
            for role in (*workers, notify, sink):
                role.stop()

            assert "pbx, tenant acme: the source is silent for" in listed
            assert "hides 6 people at work" in explained
            fired = transitions(system)[0]
            assert (fired["hidden"], fired["high"], fired["reason"]) == (6, 300_000.0, "source-silent")
            assert fired["value"] >= 300_000
            assert told(system, "source:chat") == []
            [request] = hook.requests
            assert "the source is silent" in request.json["data"]["subject"]
            system.exact()
