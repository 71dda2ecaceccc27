"""Own measures on a real Apache Kafka: counted from the version that defines them on, and back to the day's begin."""

import json
import re
from pathlib import Path
from typing import Any

from tests.live.broker import Broker
from tests.live.system import Role, Sent, System
from tests.live.test_settings import directory
from tests.live.test_teams import ROSTER, at_ms, told

KPIS = """
measures:
  demos: {of: call, where: {disposition: [demo booked, demo moved]}, description: calls that booked a demo}
  demo_talk: {of: call, where: {disposition: demo booked}, add: talk_ms, description: talk time of demos booked}
kpis:
  demos: {sum: demos, better: higher, description: demos}
  demo_share: {ratio: demos / connected, better: higher, description: demos of connected calls}
  demo_time: {mean: demo_talk / demos, better: band, description: talk time for each demo}
targets:
  - {name: demos, kpi: demos, window: rolling-60m, bound: 5, tenant: acme}
"""
Shown = dict[str, tuple[int, int, int]]


def call(number: int, agent: str, disposition: str, revision: int = 0, left: str | None = None) -> Sent:
    """A call of a minute with a result; `left`: the agent that it is moved from."""
    event: dict[str, Any] = {
        "type": "call.ended",
        "tenant": "acme",
        "source": "pbx",
        "event_id": str(number),
        "revision": revision,
        "direction": "outbound",
        "outcome": "connected",
        "agent_id": agent,
        "disposition": disposition,
        "started_at": at_ms() - 60_000,
        "answered_at": at_ms() - 60_000,
        "ended_at": at_ms(),
    }
    if left is not None:
        event["moved_from"] = {"agent_id": left, "occurred_at": at_ms()}
    return Sent(f"acme/agent:{agent}".encode(), json.dumps(event).encode())


def own_shown(system: System, since: dict[int, int] | None = None) -> Shown:
    """Demos, connected calls and talk seconds of demos by scope, of the newest whole readings of the last hour."""
    newest: Shown = {}
    for message in system.read("readings"):
        reading = json.loads(message.value())
        if message.offset() < (since or {}).get(message.partition(), 0) or reading["window"] != "rolling-60m":
            continue
        own = reading["own"]
        whole = own and not reading["provisional"] and not any(each["since_ms"] for each in own.values())
        newest.pop(reading["scope"], None)
        if whole:
            share, time = own["demo_share"], own["demo_time"]
            assert own["demos"]["numerator"] == share["numerator"] == time["denominator"]
            newest[reading["scope"]] = (share["numerator"], share["denominator"], time["numerator"] // 1000)
    return newest


def partial(role: Role) -> int:
    found = re.search(r"^kpistream_own_measures_partial_partitions (\S+)", role.metrics(), re.M)
    return -1 if found is None else int(float(found[1]))


def test_own_measures_count_from_their_version_on_and_back_to_the_begin_of_the_day(
    kafka: Broker, tmp_path: Path
) -> None:
    with System(kafka, tmp_path, metrics_port=0) as system:
        settings = directory(tmp_path / "settings", roster=ROSTER)
        system.run("apply", str(settings))
        worker = system.worker()
        results = ["demo booked", "no interest", "demo moved", "demo booked"]
        system.produce(call(number, "ann", result) for number, result in enumerate(results))
        system.produce([call(10, "cho", "demo booked"), call(0, "ann", "demo booked")])
        system.until("calls are counted", lambda: worker_counts(system, "tenant") == 5, worker)
        assert own_shown(system) == {}

        (settings / "kpis.yaml").write_text(KPIS)
        applied = system.run("apply", str(settings))
        assert 'measure demos is new: calls where disposition is "demo booked" or "demo moved"' in applied.stdout
        before = {"agent:ann": (3, 4, 120), "agent:cho": (1, 1, 60), "team:north": (3, 4, 120), "tenant": (4, 5, 180)}
        system.until("the calls before", lambda: before.items() <= own_shown(system).items(), worker)
        system.until("an alert", lambda: [t[2] for t in told(system, "agent:ann")] == ["firing"], worker)
        assert partial(worker) == 0

        system.produce([call(1, "ann", "demo moved", 1), call(2, "ann", "wrong number", 1), call(2, "ann", "stale")])
        system.produce([call(3, "bob", "demo booked", 1, left="ann"), call(11, "bob", "demo booked")])
        after = {
            "agent:ann": (2, 3, 60),
            "agent:bob": (2, 2, 120),
            "agent:cho": (1, 1, 60),
            "team:north": (4, 5, 180),
            "team:south": (1, 1, 60),
            "tenant": (5, 6, 240),
        }
        system.until("corrections and a move", lambda: after.items() <= own_shown(system).items(), worker)

        worker.kill()
        ends = system.ends("readings")
        worker, sink = system.worker(), system.sink()
        system.until("the same again", lambda: after.items() <= own_shown(system, ends).items(), worker)
        other = system.worker()
        system.until("a second worker", lambda: "own measures partition" in other.said, worker, other)
        system.produce([call(12, "ann", "demo booked"), call(13, "cho", "demo moved")])
        moved = {"agent:ann": (3, 4, 120), "agent:cho": (2, 2, 60), "tenant": (7, 8, 300)}
        system.until("after a rebalance", lambda: moved.items() <= own_shown(system).items(), worker, other)

        (settings / "kpis.yaml").write_text(KPIS.replace("[demo booked, demo moved]", "demo booked"))
        system.run("apply", str(settings))
        worker.kill()
        booked = {"agent:ann": (2, 4, 120), "agent:bob": (2, 2, 120), "agent:cho": (1, 2, 60), "tenant": (5, 8, 300)}
        system.until("another meaning", lambda: booked.items() <= own_shown(system).items(), other)
        system.drained(other, sink)
        for role in (other, sink):
            role.stop()
        assert system.exact()


def test_what_the_log_no_longer_holds_is_never_shown_as_whole(kafka: Broker, tmp_path: Path) -> None:
    with System(kafka, tmp_path, partitions=1, metrics_port=0) as system:
        settings = directory(tmp_path / "settings", roster=ROSTER)
        system.run("apply", str(settings))
        worker = system.worker()
        system.produce(call(number, "ann", "demo booked") for number in range(3))
        system.until("calls are counted", lambda: worker_counts(system, "tenant") == 3, worker)
        system.worked(worker)
        system.forget_before("events", 0, 2)

        (settings / "kpis.yaml").write_text(KPIS)
        system.run("apply", str(settings))

        system.until("it is told", lambda: "own measures do not reach back" in worker.said, worker)
        system.until("the reason", lambda: standing(system, "agent:ann") == "counted-later", worker)
        last = last_reading(system, "agent:ann")["own"]["demos"]
        assert (last["value"], last["numerator"]) == (None, 0)
        assert last["since_ms"] > at_ms()
        assert partial(worker) == 1
        assert told(system, "agent:ann") == []
        worker.stop()


def last_reading(system: System, scope: str) -> dict[str, Any]:
    """The newest reading of a scope's last hour."""
    readings: list[dict[str, Any]] = [json.loads(message.value()) for message in system.read("readings")]
    return next(each for each in reversed(readings) if (each["scope"], each["window"]) == (scope, "rolling-60m"))


def standing(system: System, scope: str) -> str | None:
    """Why the target on demos stands where it does."""
    found = last_reading(system, scope)["targets"].get("demos")
    return None if found is None else str(found["reason"])


def worker_counts(system: System, scope: str) -> int:
    """Connected calls of a scope in the last hour, as the newest reading shows."""
    readings = [json.loads(message.value()) for message in system.read("readings")]
    counts = [
        each["measures"].get("connected", 0)
        for each in readings
        if (each["scope"], each["window"], each["provisional"]) == (scope, "rolling-60m", False)
    ]
    return counts[-1] if counts else 0
