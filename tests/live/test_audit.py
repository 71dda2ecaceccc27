"""`kpistream audit` and `repair` on a real Apache Kafka with a worker and a sink at work.

Every kind of damage is planted beside the running system, as an accident would: in ClickHouse behind the
sink's back, in the changelog, in the readings, by a source that does not announce a move. Audit must find
each; repair, through the log alone, must end with an audit that finds nothing.
"""

import json
import time
import uuid
from pathlib import Path
from typing import Any

from kpistream.history.store import Store, open_store
from kpistream.judge.routing import home
from tests.front.process import Front
from tests.live.broker import Broker
from tests.live.floor import Floor
from tests.live.system import Sent, System

LEFT_OF_WINDOW_MS = 600_000
"""A reading whose window ends sooner might not be checked any more."""


def now_ms() -> int:
    return int(time.time() * 1000)


def served(kafka: Broker, front: Front, directory: Path) -> System:
    """A system whose store is a ClickHouse over HTTP, in a database of its own."""
    system = System(kafka, directory, store=front.url(f"audit_{uuid.uuid4().hex[:8]}"))
    system.store = str(system.environment()["KPISTREAM_STORE"])
    return system


def audited(system: System, *options: str, code: int = 0) -> dict[str, Any]:
    """What `kpistream audit --live --json` says."""
    said: dict[str, Any] = json.loads(system.run("audit", "--live", "--json", *options, code=code).stdout)
    assert said["clean"] == (code == 0)
    return said


class Spoiler:
    """Spoils rows and facts behind the sink's back."""

    def __init__(self, store: Store) -> None:
        self._store = store
        places = store.query(
            "SELECT tenant, scope, toUnixTimestamp64Milli(start) FROM kpi_panes FINAL WHERE calls > 1 AND "
            "start > now() - INTERVAL 90 MINUTE AND startsWith(scope, 'agent:agent-') ORDER BY scope, start"
        )
        self.places = [
            f"tenant = '{tenant}' AND scope = '{scope}' AND start = fromUnixTimestamp64Milli({start_ms}, 'UTC')"
            for tenant, scope, start_ms in places
        ]

    def delete(self, table: str, number: int) -> None:
        self._store.command(f"ALTER TABLE {table} DELETE WHERE {self.places[number]} SETTINGS mutations_sync = 2")

    def restore(self, number: int, **changes: str) -> None:
        """Nothing but an older row is there, as after a backup: the standing one is gone."""
        self._store.command("CREATE TABLE backup AS kpi_panes ENGINE = Memory")
        self.rewrite("kpi_panes", number, into="backup", **changes)
        self.delete("kpi_panes", number)
        self._store.command("INSERT INTO kpi_panes SELECT * FROM backup")
        self._store.command("DROP TABLE backup")

    def rewrite(self, table: str, number: int, into: str = "", **changes: str) -> None:
        """One more row, with some columns changed: the last of equal versions stands."""
        sql = (
            f"SELECT name FROM system.columns WHERE table = '{table}' AND database = currentDatabase() "
            "AND name != 'inserted_at' ORDER BY position"
        )
        names = [name for (name,) in self._store.query(sql)]
        listed, chosen = ", ".join(f"`{n}`" for n in names), ", ".join(changes.get(n, f"`{n}`") for n in names)
        where = f"{self.places[number]} LIMIT 1"
        self._store.command(f"INSERT INTO {into or table} ({listed}) SELECT {chosen} FROM {table} FINAL WHERE {where}")


def spoil_store(store: Store) -> dict[str, int]:
    """One damage of each kind, each at a place of its own; what must be found, facts by the place apart."""
    spoiler = Spoiler(store)
    spoiler.delete("kpi_panes", 0)
    spoiler.rewrite("kpi_panes", 5, calls="calls * 2", first_legs="first_legs * 2")
    spoiler.rewrite("kpi_panes", 10, talk_ms="talk_ms + 1")
    spoiler.rewrite("kpi_panes", 15, talk_ms="talk_ms + 7", version="version + 1000")
    spoiler.rewrite("kpi_panes", 20, version="version + bitShiftLeft(toUInt128(1), 97)")
    spoiler.rewrite("kpi_panes", 25, scope="'agent:nobody'")
    spoiler.restore(30, calls="1", first_legs="1", version="version - 1")
    spoiler.rewrite("kpi_facts", 35, talk_ms="talk_ms + 1")
    spoiler.rewrite("kpi_facts", 40, event_id="'nobodys'")
    spoiler.delete("kpi_facts", 45)
    return {"row-lost": 1, "row-version": 1, "row-phantom": 1, "fact-altered": 1, "fact-phantom": 1}


def move_in_silence(system: System) -> None:
    """A call of one agent is another's in its next revision, on another partition, and nobody says so."""
    ann, bob = "ann", next(name for name in map(str, range(100)) if away("ann", name, system.partitions))
    at_ms = now_ms() - 60_000
    call = {"type": "call.ended", "tenant": "acme", "source": "pbx", "event_id": "silent", "outcome": "busy"}
    call |= {"direction": "outbound", "started_at": at_ms - 1_000, "ended_at": at_ms}
    for revision, agent in enumerate((ann, bob)):
        value = json.dumps({**call, "agent_id": agent, "revision": revision}).encode()
        system.produce([Sent(f"acme/agent:{agent}".encode(), value)])


def away(one: str, other: str, partitions: int) -> bool:
    return home(f"acme/agent:{one}", partitions) != home(f"acme/agent:{other}", partitions)


def spoil_changelog(system: System) -> None:
    """The last record of a live pane loses its key's value, as after a tombstone that came too early."""
    panes = [message for message in system.read("panes") if message.value() is not None and b"agent-" in message.key()]
    last = panes[-1]
    system.produce_to("panes", [Sent(last.key(), None, (), last.partition())])


def spoil_reading(system: System) -> int:
    """The last reading of a window that still runs for long shows a call more; how many were spoilt."""
    last = {message.key(): message for message in system.read("readings")}
    for message in last.values():
        told = json.loads(message.value())
        if told["scope"].startswith("agent:agent-") and told["to_ms"] > now_ms() + LEFT_OF_WINDOW_MS:
            told["measures"]["calls"] += 1
            value = json.dumps(told).encode()
            system.produce_to("readings", [Sent(message.key(), value, (), message.partition())])
            return 1
    return 0


def test_every_planted_damage_is_found_and_mended(kafka: Broker, http_clickhouse: Front, tmp_path: Path) -> None:
    with served(kafka, http_clickhouse, tmp_path) as system:
        worker = system.worker()
        floor = Floor(now_ms(), seed=31, agents=12)
        system.produce(floor.records(500))
        system.worked(worker)
        said = system.run("audit", "--wait", "1", code=1).stderr
        assert f"group {system.sink_group}: {system.topic('events')}[" in said, "who is behind, instead of a verdict"

        sink = system.sink()
        with system.feeding(floor.records(2_500)):
            system.progressed(0.4, 3_000, worker, sink)
            assert audited(system)["account"]["cells_by_log"] > 0, "while traffic flows"
        system.drained(worker, sink)
        move_in_silence(system)
        system.drained(worker, sink)
        spoil_changelog(system)
        readings = spoil_reading(system)
        with open_store(system.store) as store:
            planted = spoil_store(store)
        counts = audited(system, "--wait", "5", code=1)["counts"]

        planted |= {"move-unannounced": 1, "changelog-lost": 1, "row-phantom": 2}  # the silent call's first place, too
        assert {name: counts.get(name) for name in planted} == planted
        assert counts.get("reading-different", 0) >= readings, "and those that show the silent call where it was"
        assert counts["row-double"] >= 1
        assert counts["row-different"] + counts["row-double"] == 4
        assert counts["fact-missing"] >= 2

        ends = system.ends("events"), system.ends("panes")
        code = 1 if "reading-different" in counts else 0
        assert "dry run" in system.run("repair", "--live", "--wait", "5", "--dry-run", code=code).stderr
        assert (system.ends("events"), system.ends("panes")) == ends
        system.run("repair", "--live", "--wait", "5", code=code)
        worker.stop()
        worker = system.worker()  # a reading is a view: the next worker publishes it again
        system.drained(worker, sink)
        clean = audited(system)["account"]
        assert (clean["cells_moving"], clean["cells_by_facts"]) == (0, 0)
        assert clean["panes_joined"] > 200 and clean["readings"] >= readings
        worker.stop()
        sink.stop()
        system.exact()
