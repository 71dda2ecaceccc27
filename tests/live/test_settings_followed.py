"""Roles follow the settings in the log while they run, on a real Apache Kafka."""

import json
import re
from pathlib import Path

import msgspec

from kpistream.core.versions import Draft, VersionLog, records
from kpistream.history.store import open_store
from tests.live.broker import Broker
from tests.live.system import Role, Sent, System
from tests.live.test_settings import directory
from tests.live.test_teams import call, calls_shown, told, transitions

ROSTER = """
tenants:
  acme:
    teams: {north: {name: North}, south: {name: South}}
    people:
      ann: {name: Ann, team: north}
      bob: {team: north}
      cho: {team: south}
"""
BUSY = """
targets:
  - {name: busy, kpi: calls, window: rolling-60m, bound: 3, tenant: acme}
"""
PACE = """
targets:
  - {name: calls, kpi: calls, window: business-day, bound: 1000000, false_alarms: 1 a week for 20}
"""
ALWAYS = """
schedules:
  patterns:
    always: {hours: {mon-sun: 00:00-24:00}}
  assigned: [{tenant: acme, pattern: always}]
"""


def version_of(role: Role) -> int:
    """What its metric says."""
    found = re.search(r"^kpistream_settings_version (\S+)", role.metrics(), re.M)
    return -1 if found is None else int(float(found[1]))


def rejected_by(role: Role) -> int:
    found = re.search(r"^kpistream_settings_rejected_total (\S+)", role.metrics(), re.M)
    return -1 if found is None else int(float(found[1]))


def published_ms(system: System) -> int:
    """When the newest version was appended."""
    return int(system.read("settings")[-1].timestamp()[1])


def publish(system: System, number: int, texts: dict[str, str], **said: object) -> None:
    """A version as somebody else would write it, its manifest with other fields."""
    *parts, (key, manifest) = records(Draft(texts, 1), number, "elsewhere", VersionLog())
    value = msgspec.json.encode({**msgspec.json.decode(manifest), **said})
    system.produce_to("settings", [Sent(*each) for each in (*parts, (key, value))])


def test_running_worker_fires_by_a_new_bound_and_passes_over_what_it_cannot_read(kafka: Broker, tmp_path: Path) -> None:
    local = directory(tmp_path / "local", roster=ROSTER)
    with System(kafka, tmp_path, metrics_port=0, settings=local) as system:
        worker = system.worker()
        system.until("the worker", lambda: "recovered" in worker.said, worker)
        system.produce([call(1, "ann"), call(2, "ann")])
        system.until("a reading", lambda: calls_shown(system).get("agent:ann") == (2, 120), worker)
        assert (version_of(worker), transitions(system)) == (0, []), "the directory serves, and knows no target"

        settings = directory(tmp_path / "settings", roster=ROSTER, targets=BUSY)
        system.run("apply", str(settings))
        fires = [("busy/acme/agent:ann/1", "ok", "firing")]
        system.until("firing", lambda: told(system, "agent:ann") == fires, worker)
        print(f"from the version in the log to the alert: {transitions(system)[0]['at_ms'] - published_ms(system)} ms")
        assert version_of(worker) == 1

        publish(system, 2, {"roster.yaml": ROSTER}, sha256="0" * 64)
        publish(system, 3, {"roster.yaml": ROSTER}, format=9)
        publish(system, 4, {"roster.yaml": "tenants: 7\n"})
        system.until("three refused", lambda: rejected_by(worker) == 3, worker)
        for said in ("version=2 running=1 faults=its hash is", "version=3 running=1", "version=4 running=1"):
            assert f"settings rejected {said}" in worker.said
        assert (version_of(worker), told(system, "agent:ann")) == (1, fires)

        worker.kill()
        worker = system.worker()
        system.until("the worker again", lambda: "recovered" in worker.said, worker)
        assert (version_of(worker), rejected_by(worker)) == (1, 3)
        assert "settings directory is not read, the log has a version" in worker.said

        (settings / "targets.yaml").write_text(BUSY.replace("bound: 3", "bound: 2"))
        passed = system.run("apply", str(settings))
        assert passed.stderr.count("cannot be read by this release, it is passed over") == 3
        rests = [*fires, ("busy/acme/agent:ann/2", "firing", "ok")]
        system.until("met by its new bound", lambda: told(system, "agent:ann") == rests, worker)
        assert version_of(worker) == 5

        (settings / "targets.yaml").write_text(BUSY)
        system.run("apply", str(settings))
        system.until("firing again", lambda: len(told(system, "agent:ann")) == 3, worker)
        (settings / "targets.yaml").unlink()
        system.run("apply", str(settings))
        ends = ("busy/acme/agent:ann/4", "firing", "suspended")
        system.until("a target that left suspends", lambda: told(system, "agent:ann")[-1] == ends, worker)
        worker.stop()


def test_back_dated_move_changes_both_teams_at_once_to_what_a_fresh_worker_shows(kafka: Broker, tmp_path: Path) -> None:
    with System(kafka, tmp_path) as system:
        settings = directory(tmp_path / "settings", roster=ROSTER)
        system.run("apply", str(settings))
        worker = system.worker()
        everybody = ["ann"] * 4 + ["bob"] * 2 + ["cho"]
        system.produce(call(number, agent) for number, agent in enumerate(everybody))
        before = {"team:north": (6, 360), "team:south": (1, 60), "tenant": (7, 420)}
        system.until("readings", lambda: before.items() <= calls_shown(system).items(), worker)

        moved = "[{team: north, to: 2026-01-02}, {team: south, from: 2026-01-02}]"
        (settings / "roster.yaml").write_text(ROSTER.replace("Ann, team: north", f"Ann, team: {moved}"))
        applied = system.run("apply", str(settings))
        assert applied.stdout == "acme: ann: team north -> south from 2026-01-02\n"

        after = {"team:north": (2, 120), "team:south": (5, 300), "tenant": (7, 420)}
        system.until("both teams", lambda: after.items() <= calls_shown(system).items(), worker)
        system.until("her team", lambda: team_shown(system, "agent:ann") == "south", worker)
        shown = [
            (reading["scope"], reading["measures"].get("calls", 0))
            for reading in map(json.loads, (message.value() for message in system.read("readings")))
            if reading["window"] == "rolling-60m"
            and reading["scope"].startswith("team:")
            and not reading["provisional"]
        ]
        assert {calls for scope, calls in shown[shown.index(("team:north", 6)) :] if scope == "team:north"} == {6, 2}
        worker.stop()

        ends = system.ends("readings")
        fresh = system.worker()
        system.until("the same of a fresh worker", lambda: after.items() <= calls_shown(system, ends).items(), fresh)
        fresh.stop()


def team_shown(system: System, scope: str) -> str | None:
    """The team in the newest reading of a scope's last hour."""
    readings = [json.loads(message.value()) for message in system.read("readings")]
    teams = [each["team"] for each in readings if (each["scope"], each["window"]) == (scope, "rolling-60m")]
    return teams[-1] if teams else None


def test_absence_that_is_added_suspends_the_agent_and_removed_lets_fire_again(kafka: Broker, tmp_path: Path) -> None:
    with System(kafka, tmp_path) as system:
        settings = directory(tmp_path / "settings", roster=ROSTER, targets=PACE, schedules=ALWAYS)
        system.run("apply", str(settings))
        worker = system.worker()
        fires = [("calls/acme/agent:bob/1", "ok", "firing")]
        system.until("the alert of bob", lambda: told(system, "agent:bob") == fires, worker)

        system.run("absence", "add", "bob", "today", "--reason", "ill")
        rests = [*fires, ("calls/acme/agent:bob/2", "firing", "suspended")]
        system.until("suspended", lambda: told(system, "agent:bob") == rests, worker)
        rested_ms = next(each["at_ms"] for each in transitions(system) if each["alert_id"] == rests[1][0])
        print(f"from the version in the log to the alert's rest: {rested_ms - published_ms(system)} ms")
        assert told(system, "agent:ann") == [("calls/acme/agent:ann/1", "ok", "firing")]

        system.run("absence", "remove", "bob", "today")
        again = [*rests, ("calls/acme/agent:bob/3", "suspended", "firing")]
        system.until("firing again", lambda: told(system, "agent:bob") == again, worker)
        worker.stop()


def test_sink_keeps_every_version_and_history_is_asked_with_the_one_in_force(kafka: Broker, tmp_path: Path) -> None:
    with System(kafka, tmp_path, metrics_port=0) as system:
        settings = directory(tmp_path / "settings", roster=ROSTER)
        system.run("apply", str(settings))
        worker, sink = system.worker(), system.sink()
        system.until("the sink", lambda: "assigned" in sink.said, sink)
        system.produce([call(1, "ann"), call(2, "zoe")])
        (settings / "targets.yaml").write_text(BUSY)
        system.run("apply", str(settings), "--by", "kim")
        system.until("the second version", lambda: version_of(sink) == 2, sink, worker)
        publish(system, 3, {"roster.yaml": "tenants: 7\n"})
        system.until("the third is refused", lambda: rejected_by(sink) == 1, sink)
        system.run("absence", "add", "ann", "today")
        system.until("the fourth version", lambda: version_of(sink) == 4, sink, worker)
        system.drained(worker, sink)
        sink.stop()

        (settings / "roster.yaml").write_text(ROSTER.replace("name: Ann", "name: Anna"))
        system.run("apply", str(settings))
        again = system.sink()
        system.until("the sink again", lambda: "assigned" in again.said, again)
        assert version_of(again) == 5
        again.stop()
        worker.stop()

        with open_store(system.store) as store:
            kept = store.query(
                "SELECT kept_in, version, applied_by, roster_version, targets_version FROM kpi_settings FINAL "
                "ORDER BY version"
            )
        assert kept == [
            ("log", 1, "", 1, 1),
            ("log", 2, "kim", 1, 2),
            ("log", 4, "", 1, 2),
            ("log", 5, "", 5, 2),
        ]
        rows = json.loads(system.run("report", "agents", "--json").stdout)["rows"]
        assert [(row["agent_id"], row.get("name")) for row in rows] == [("ann", "Anna"), ("zoe", None)]
        unknown = json.loads(system.run("roster", "unknown", "--json").stdout)
        assert [row["agent_id"] for row in unknown] == ["zoe"]


def test_roles_follow_on_over_a_broker_that_was_killed(kafka: Broker, tmp_path: Path) -> None:
    with System(kafka, tmp_path, metrics_port=0) as system:
        settings = directory(tmp_path / "settings", roster=ROSTER)
        system.run("apply", str(settings))
        worker, sink = system.worker(), system.sink()
        system.until("the roles", lambda: "recovered" in worker.said and "assigned" in sink.said, worker, sink)

        kafka.kill()
        kafka.start()
        (settings / "targets.yaml").write_text(BUSY)
        system.run("apply", str(settings))

        system.until("both", lambda: version_of(worker) == version_of(sink) == 2, worker, sink)
        worker.stop()
        sink.stop()
