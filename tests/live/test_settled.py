"""Settled conversion on a real Apache Kafka: the number is the same whoever is killed and whoever takes over."""

import json
import time
from pathlib import Path
from typing import Any

from tests.live.broker import Broker
from tests.live.system import Role, Sent, System

SETTINGS = """
tenants:
  acme:
    settle_time: 10 min
    people: {ann: {}, bob: {}, cho: {}, dan: {}}
targets:
  - {name: settled, kpi: settled_conversion, window: rolling-60m, bound: 20 %, minimum_sample: 10}
"""
AGENTS = ("ann", "bob", "cho", "dan")
MINUTE_MS = 60_000


class Floor:
    """Calls of half an hour ago, which settled a quarter of an hour ago, and their deals."""

    def __init__(self) -> None:
        self.ended_ms = int(time.time() * 1000) - 30 * MINUTE_MS

    def call(self, agent: str, number: int) -> Sent:
        """A connected call whose PBX names legs and calls apart."""
        return self._event(
            agent, "call.ended", "pbx", f"{agent}-leg-{number}", call_id=f"{agent}-{number}", direction="outbound",
            started_at=self.ended_ms - MINUTE_MS, answered_at=self.ended_ms - MINUTE_MS, ended_at=self.ended_ms,
            outcome="connected",
        )  # fmt: skip

    def deal(self, agent: str, number: int, call_id: str, **more: Any) -> Sent:
        """A deal that names a call."""
        told = {"outcome": "won", "amount_minor": 100, "currency": "EUR", "closed_at": self.ended_ms + MINUTE_MS}
        return self._event(agent, "deal.closed", "crm", f"{agent}-d-{number}", call_id=call_id, **told | more)

    def _event(self, agent: str, kind: str, source: str, event_id: str, **more: Any) -> Sent:
        told = {"type": kind, "tenant": "acme", "source": source, "event_id": event_id, "agent_id": agent, **more}
        return Sent(f"acme/agent:{agent}".encode(), json.dumps(told).encode())


def shown(system: System) -> dict[str, tuple[int, int]]:
    """Won and settled calls of the last hour, of the newest reading of each agent that is not provisional."""
    out: dict[str, tuple[int, int]] = {}
    for message in system.read("readings"):
        told = json.loads(message.value())
        if told["window"] == "rolling-60m" and told["scope"].startswith("agent:") and not told["provisional"]:
            value = told["kpis"]["settled_conversion"]
            out[told["scope"].removeprefix("agent:")] = (value["numerator"], value["denominator"])
    return out


def fired(system: System) -> list[tuple[str, int, str]]:
    """Scope, sequence and state of every transition, each once."""
    told = [json.loads(message.value()) for message in system.read("alerts")]
    return sorted({(each["scope"], each["sequence"], each["to"]) for each in told})


def test_settled_conversion_is_the_same_over_a_kill_and_a_rebalance(kafka: Broker, tmp_path: Path) -> None:
    (tmp_path / "settings").mkdir()
    (tmp_path / "settings" / "settings.yaml").write_text(SETTINGS)
    floor = Floor()

    with System(kafka, tmp_path, settings=tmp_path / "settings") as system:
        sink, first = system.sink(), system.worker()

        def show(what: str, want: dict[str, tuple[int, int]], *alive: Role) -> None:
            system.until(f"{what}: {want}", lambda: shown(system) == want, *alive, sink)

        # Deals before their calls, duplicates of both, two deals of one call, one of somebody else's call.
        deals = [floor.deal(agent, number, f"{agent}-{number}") for agent in AGENTS[1:] for number in range(3)]
        deals += [floor.deal("bob", 90, "bob-0"), floor.deal("bob", 91, "ann-0")]
        calls = [floor.call(agent, number) for agent in AGENTS for number in range(12)]
        system.produce([*deals, *calls, *deals[::2], *calls[::3]])
        show("at first", {"ann": (0, 12), "bob": (3, 12), "cho": (3, 12), "dan": (3, 12)}, first)
        system.until("the alert of ann", lambda: fired(system) == [("agent:ann", 1, "firing")], first)

        # While nobody works: late deals, one taken back, one that names another call now.
        first.kill()
        system.produce([floor.deal("ann", number, f"ann-{number}") for number in range(5)])
        system.produce([floor.deal("bob", 1, "bob-1", outcome="voided", revision=1)])
        system.produce([floor.deal("cho", 2, "cho-0", revision=1)])
        want = {"ann": (5, 12), "bob": (2, 12), "cho": (2, 12), "dan": (3, 12)}
        second, third = system.worker(), system.worker()
        show("after a kill", want, second, third)

        # Whoever stays takes over what it has never held, from the changelog.
        second.kill()
        system.produce([floor.call("dan", 12), floor.deal("dan", 12, "dan-12")])
        show("after a rebalance", {**want, "dan": (4, 13)}, third)
        before = fired(system)
        assert [each for each in before if each[0] == "agent:ann"] == [
            ("agent:ann", 1, "firing"),
            ("agent:ann", 2, "ok"),
        ]

        system.drained(third, sink)
        sink.stop()  # an embedded store serves one process at a time
        system.run("audit", "--live")
        third.stop()
        system.exact()
        assert fired(system) == before
