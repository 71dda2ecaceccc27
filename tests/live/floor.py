"""A sales floor as raw records: everything that a system meets in a month, in a few thousand events.

Calls, deals and surveys of agents and queues; duplicates, corrections, moves in time and between agents that
are announced, deals taken back, surveys that come days late, records that are no events, records on a wrong
partition, CloudEvents of both kinds. The same seed gives the same records. Times are around `now_ms`.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.live.system import PANE_MS, Sent

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
BAD = (b"", b"{", b'{"type": "call.ended"}', b"\x00\x00\x00\x00\x07abc", b'{"type": "unheard.of"}', b"[1]")


@dataclass
class Floor:
    """Makes records. `history_ms`: how far back most events lie; one in a hundred lies days back."""

    now_ms: int
    seed: int = 1
    agents: int = 40
    partitions: int = 4
    history_ms: int = 2 * HOUR_MS
    late_share: float = 0.01
    crew: str = "agent"
    """What the names of agents and queues begin with."""
    made: int = 0
    _events: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def records(self, count: int) -> Iterator[Sent]:
        """`count` records."""
        chance, kinds = self._random, (self._fresh, self._again, self._corrected, self._moved, self._bad, self._astray)
        for _ in range(count):
            kind = chance.choices(kinds, weights=(900, 20, 30, 30, 5, 15))[0] if self._events else self._fresh
            yield kind()

    def fresh(self, count: int) -> Iterator[Sent]:
        """`count` records that are each a plain event of its own."""
        for _ in range(count):
            self._fresh()
            yield self._sent(self._events[-1])

    def one_each(self) -> list[Sent]:
        """One more event for every place (scope and pane) that any event so far named."""
        places = {}
        for event in self._events:
            at = event[_own_time(event)]
            places[event.get("agent_id"), event.get("queue"), at - at % PANE_MS] = event
        return [self._sent(self._call(agent, queue, start + 1)) for agent, queue, start in places]

    # ---- kinds of records

    def _fresh(self) -> Sent:
        chance = self._random
        agent: str | None = f"{self.crew}-{chance.randrange(self.agents)}"
        back_ms = chance.randrange(self.history_ms)
        if chance.random() < self.late_share:
            back_ms += chance.randrange(2, 10) * 24 * HOUR_MS
        at_ms = self.now_ms - back_ms
        what = chance.random()
        if what < 0.80:
            event = self._call(agent, None, at_ms)
        elif what < 0.85:
            event = self._call(None, f"{self.crew}-queue-{chance.randrange(4)}", at_ms)
        elif what < 0.93:
            event = self._deal(agent, at_ms)
        else:
            event = self._survey(agent, at_ms)
        self._events.append(event)
        style = chance.random()
        return self._sent(event, cloud="structured" if style < 0.05 else "binary" if style < 0.10 else "")

    def _again(self) -> Sent:
        return self._sent(self._random.choice(self._events))

    def _corrected(self) -> Sent:
        """A higher revision at the same place: after-call work, another amount, a deal taken back."""
        index = self._random.randrange(len(self._events))
        event = {**self._events[index]}
        event.pop("moved_from", None)
        event["revision"] = event.get("revision", 0) + self._random.choice((1, 1, 7))
        if event["type"] == "call.ended":
            event["wrap_up_ms"] = self._random.randrange(60_000)
        elif event["type"] == "deal.closed":
            event["outcome"] = "voided"
        else:
            event["score"] = self._random.randrange(1, 6)
        self._events[index] = event
        return self._sent(event)

    def _moved(self) -> Sent:
        """A higher revision at another agent, another time, or an agent found for a queue's call; announced."""
        index = self._random.randrange(len(self._events))
        old = self._events[index]
        event = {**old}
        own = _own_time(event)
        left = {name: old[name] for name in ("agent_id", "queue") if old.get(name) is not None}
        event["moved_from"] = {**left, "occurred_at": old[own]}
        event["revision"] = event.get("revision", 0) + 1
        if event.get("agent_id") is None or self._random.random() < 0.5:
            event["agent_id"] = f"{self.crew}-{self._random.randrange(self.agents)}"
        else:
            shift_ms = self._random.choice((-1, 1)) * self._random.randrange(1, 6) * PANE_MS
            shift_ms = min(shift_ms, self.now_ms - event[own])
            for name in ("started_at", "answered_at", "ended_at", "closed_at", "completed_at"):
                if event.get(name) is not None:
                    event[name] += shift_ms
        self._events[index] = event
        return self._sent(event)

    def _bad(self) -> Sent:
        return Sent(f"acme/agent:agent-{self._random.randrange(self.agents)}".encode(), self._random.choice(BAD))

    def _astray(self) -> Sent:
        """A fresh event with another partitioner than ours, so most often on a wrong partition."""
        return self._fresh()._replace(partition=self._random.randrange(self.partitions))

    # ---- events

    def _call(self, agent: str | None, queue: str | None, at_ms: int) -> dict[str, Any]:
        chance = self._random
        talk_ms, ring_ms = chance.randrange(400) * 1000, chance.randrange(20) * 1000
        call = self._event("call.ended", agent)
        call.update(queue=queue, started_at=at_ms - talk_ms - ring_ms, ended_at=at_ms, ring_ms=ring_ms)
        if agent is None:
            return {**call, "direction": "inbound", "outcome": "abandoned", "queue_wait_ms": talk_ms}
        outcome = chance.choices(("connected", "no-answer", "voicemail", "busy"), weights=(6, 2, 1, 1))[0]
        call.update(direction=chance.choice(("inbound", "outbound")), outcome=outcome)
        if outcome == "connected":
            call.update(answered_at=at_ms - talk_ms, talk_ms=talk_ms, hold_ms=0, answered_by="human")
        return call

    def _deal(self, agent: str | None, at_ms: int) -> dict[str, Any]:
        chance = self._random
        deal = {**self._event("deal.closed", agent), "closed_at": at_ms}
        if chance.random() < 0.4:
            return {**deal, "outcome": "lost"}
        amount = {"amount_minor": chance.randrange(1, 10**6), "currency": chance.choice(("EUR", "USD", "JPY"))}
        return {**deal, "outcome": "won", "customer_type": chance.choice(("new", "repeat")), **amount}

    def _survey(self, agent: str | None, at_ms: int) -> dict[str, Any]:
        score = {"kind": "csat", "score": self._random.randrange(1, 6), "scale_min": 1, "scale_max": 5}
        return {**self._event("survey.completed", agent), "completed_at": at_ms, **score}

    def _event(self, type_: str, agent: str | None) -> dict[str, Any]:
        self.made += 1
        return {
            "type": type_,
            "tenant": "acme",
            "source": "pbx",
            "event_id": f"{self.seed}-{self.made}",
            "agent_id": agent,
        }

    def _sent(self, event: dict[str, Any], cloud: str = "") -> Sent:
        key = f"acme/agent:{event['agent_id']}" if event.get("agent_id") else f"acme/queue:{event['queue']}"
        content = {name: value for name, value in event.items() if value is not None}
        about = {"specversion": "1.0", "id": event["event_id"], "source": event["source"], "type": event["type"]}
        if cloud:
            content = {name: value for name, value in content.items() if name not in ("event_id", "source", "type")}
        if cloud == "structured":
            return Sent(key.encode(), json.dumps({**about, "data": content}).encode())
        headers = tuple((f"ce_{name}", value.encode()) for name, value in about.items()) if cloud else ()
        return Sent(key.encode(), json.dumps(content).encode(), headers)


def _own_time(event: dict[str, Any]) -> str:
    return {"call.ended": "ended_at", "deal.closed": "closed_at", "survey.completed": "completed_at"}[event["type"]]
