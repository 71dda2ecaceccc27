"""Calls: agents who dial, queues that ring, follow-ups that were promised, and calls that are handed on.

Each agent does one thing at a time. A call that waits longer than its caller's patience is abandoned and
counts for its queue, for nobody else.
"""

from collections import deque
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any, Final

from kpistream.core.events import CallEnded
from kpistream.simulate.agenda import Agenda
from kpistream.simulate.delivery import MINUTE_MS, SECOND_MS, Chain, Delivery
from kpistream.simulate.floor import Floor, Seat
from kpistream.simulate.outcomes import Outcomes

_STRANGER: Final = "ext-7351"
"""An id in no settings: somebody's phone that nobody has entered yet."""
_LONGEST_TALK_MS: Final = 45 * MINUTE_MS
_QUARTER_HOUR_MS: Final = 15 * MINUTE_MS


@dataclass(slots=True)
class Desk:
    """A seat and what its agent has to do."""

    seat: Seat
    free: bool = False
    turn: int = 0
    """Counts what the agent has begun, so that a look at the clock that was planned before lapses."""
    promises: list[tuple[int, CallEnded]] = field(default_factory=list)
    """Calls to follow up, with the instant that was promised."""
    fated: int = 0
    """Calls that the agent's fate has befallen."""

    def connect(self, chance: float, now_ms: int) -> float:
        """The chance that a call is answered, with what befalls the agent."""
        fate = self.seat.fate
        if fate is None or self.seat.minute(now_ms) < fate.from_min or self.fated == fate.calls:
            return chance
        self.fated += 1
        return chance * fate.connect


@dataclass(slots=True, eq=False)
class Caller:
    """Somebody in a queue."""

    queue: str
    since_ms: int
    gone: bool = False


class Calls:
    """The telephones of the floor."""

    def __init__(self, floor: Floor, agenda: Agenda, delivery: Delivery, outcomes: Outcomes, rng: Random) -> None:
        self._floor = floor
        self._agenda = agenda
        self._delivery = delivery
        self._outcomes = outcomes
        self._rng = rng
        self._count = 0
        self.desks = [Desk(seat) for seat in floor.seats]
        self._waiting: dict[str, deque[Caller]] = {}

    def open(self, from_ms: int, ids: str) -> None:
        """Plan the first shift of everybody, and the first call of every queue."""
        self._ids = ids
        for desk in self.desks:
            self._come_back(desk, from_ms)
        for queue in sorted({queue for desk in self.desks for queue in desk.seat.queues}):
            self._waiting[queue] = deque()
            self._agenda.at(from_ms, partial(self._ring, queue))

    # ---- what an agent does next

    def _come_back(self, desk: Desk, now_ms: int) -> None:
        begin_ms, _ = next(self._floor.spans(desk.seat, now_ms))
        self._agenda.at(max(begin_ms, now_ms), partial(self._next, desk))

    def at_work(self, seat: Seat, now_ms: int) -> bool:
        """True within the agent's hours."""
        begin_ms, _ = next(self._floor.spans(seat, now_ms))
        return begin_ms <= now_ms

    def _next(self, desk: Desk, now_ms: int) -> None:
        """The agent is ready: a caller, a promise, the next number, or nothing to do."""
        desk.free, desk.turn = False, desk.turn + 1
        if not self.at_work(desk.seat, now_ms):
            self._come_back(desk, now_ms)
            return
        caller = self._first_waiting(desk.seat)
        if caller is not None:
            caller.gone = True
            self._answer(desk, caller, now_ms)
            return
        due = [promise for promise in desk.promises if promise[0] - 10 * MINUTE_MS <= now_ms]
        if due:
            promise = min(due, key=lambda each: each[0])
            desk.promises.remove(promise)
            self._dial(desk, now_ms, promise)
        elif desk.seat.campaigns:
            self._dial(desk, now_ms, None)
        else:
            desk.free = True
            self._agenda.at(now_ms + 2 * MINUTE_MS, partial(self._look_up, desk, desk.turn))

    def _look_up(self, desk: Desk, turn: int, now_ms: int) -> None:
        """Somebody who waits for calls looks at the clock and the promises now and then."""
        if desk.free and desk.turn == turn:
            self._next(desk, now_ms)

    def _pause_ms(self) -> float:
        pause_ms = self._rng.uniform(4, 30) * SECOND_MS
        return pause_ms + self._rng.uniform(3, 9) * MINUTE_MS if self._rng.random() < 0.03 else pause_ms

    # ---- dialling

    def _dial(self, desk: Desk, now_ms: int, promise: tuple[int, CallEnded] | None) -> None:
        seat, rng = desk.seat, self._rng
        ring_ms = round(rng.uniform(6, 27) * SECOND_MS)
        chance = desk.connect(0.75 if promise else seat.skill.connect, now_ms)
        outcome = "connected"
        if rng.random() >= chance:
            outcome = rng.choices(("no-answer", "voicemail", "busy", "failed"), (11, 5, 3, 1))[0]
        call: dict[str, Any] = {
            "direction": "outbound",
            "outcome": outcome,
            "started_at": now_ms,
            "ring_ms": ring_ms,
            "campaign": seat.campaigns[0] if seat.campaigns else None,
            "customer_id": promise[1].customer_id if promise else self._outcomes.customer(),
        }
        if promise:
            call |= {"follow_up_of": promise[1].call_id, "follow_up_due_at": promise[0]}
        if outcome == "connected":
            call["answered_by"] = rng.choices(("human", "unknown", None), (16, 3, 1))[0]
            self._talk(desk, now_ms + ring_ms, call)
            return
        ended_at = now_ms + ring_ms
        if outcome == "voicemail":
            message_ms = round(rng.uniform(4, 25) * SECOND_MS)
            call |= {"answered_at": ended_at, "talk_ms": message_ms, "answered_by": "machine"}
            ended_at += message_ms
        chain = self._end(desk.seat.agent_id, {**call, "ended_at": ended_at})
        self._amend(chain, desk.seat)
        self._agenda.at(ended_at + round(self._pause_ms()), partial(self._next, desk))

    # ---- queues

    def _ring(self, queue: str, now_ms: int) -> None:
        """The next caller of a queue; the busier the hour and the more agents, the sooner the one after."""
        desks = [desk for desk in self.desks if queue in desk.seat.queues]
        working = sum(self.at_work(desk.seat, now_ms) for desk in desks)
        if working == 0:
            opens_ms = min(next(self._floor.spans(desk.seat, now_ms))[0] for desk in desks)
            self._agenda.at(max(opens_ms, now_ms + MINUTE_MS), partial(self._ring, queue))
            return
        # As many callers as keep everybody busy for two thirds of the time; at lunch that is too many.
        gap_ms = self._rng.expovariate(0.5 * (len(desks) + working) * 0.66 / (6.2 * MINUTE_MS))
        self._agenda.at(now_ms + 1 + round(gap_ms), partial(self._ring, queue))
        caller = Caller(queue, now_ms)
        self._waiting[queue].append(caller)
        idle = [desk for desk in desks if desk.free and self.at_work(desk.seat, now_ms)]
        if idle:
            self._next(self._rng.choice(idle), now_ms)
        else:
            patience_ms = self._rng.lognormvariate(4.4, 0.8) * SECOND_MS
            self._agenda.at(now_ms + round(patience_ms), partial(self._give_up, caller))

    def _first_waiting(self, seat: Seat) -> Caller | None:
        for queue in seat.queues:
            while self._waiting[queue]:
                caller = self._waiting[queue].popleft()
                if not caller.gone:
                    return caller
        return None

    def _give_up(self, caller: Caller, now_ms: int) -> None:
        if caller.gone:
            return
        caller.gone = True
        call = {"direction": "inbound", "outcome": "abandoned", "started_at": caller.since_ms, "queue": caller.queue}
        chain = self._end(None, {**call, "queue_wait_ms": now_ms - caller.since_ms, "ended_at": now_ms})
        if self._rng.random() < 0.02:  # later it turns out at whose desk it had been ringing
            agents = [desk.seat.agent_id for desk in self.desks if caller.queue in desk.seat.queues]
            chain.move(chain.due_ms + round(self._rng.uniform(1, 20) * MINUTE_MS), agent_id=self._rng.choice(agents))
        self._delivery.last(chain)

    def _answer(self, desk: Desk, caller: Caller, now_ms: int) -> None:
        ring_ms = round(self._rng.uniform(1, 6) * SECOND_MS)
        call: dict[str, Any] = {
            "direction": "inbound",
            "outcome": "connected",
            "started_at": caller.since_ms,
            "queue": caller.queue,
            "queue_wait_ms": now_ms - caller.since_ms,
            "ring_ms": ring_ms,
            "customer_id": self._outcomes.customer(),
        }
        self._talk(desk, now_ms + ring_ms, call)

    # ---- conversations

    def _talk(self, desk: Desk, answered_at: int, call: dict[str, Any]) -> None:
        seat, rng = desk.seat, self._rng
        talk_ms = min(round(rng.lognormvariate(0, 0.62) * seat.skill.talk_s * SECOND_MS) + 3000, _LONGEST_TALK_MS)
        hold_ms = round(rng.uniform(8, 80) * SECOND_MS) if rng.random() < 0.15 else 0
        wrap_up_ms = round(rng.lognormvariate(0, 0.5) * seat.skill.wrap_up_s * SECOND_MS)
        ended_at = answered_at + talk_ms + hold_ms
        call |= {"answered_at": answered_at, "ended_at": ended_at, "talk_ms": talk_ms, "hold_ms": hold_ms}
        call["disposition"] = self._outcomes.disposition(seat)
        known = rng.random() < 0.45
        if known:
            call["wrap_up_ms"] = wrap_up_ms
        if call["disposition"] == "callback":
            call["next_follow_up_at"] = self._promise_ms(seat, ended_at)
        stranger = rng.random() < 0.004
        chain = self._end(_STRANGER if stranger else seat.agent_id, call)
        assert isinstance(chain.event, CallEnded)
        if not known:
            chain.correct(ended_at + wrap_up_ms, wrap_up_ms=wrap_up_ms)
        if not stranger:
            self._follow(desk, chain.event)
        self._amend(chain, seat)
        if call["direction"] == "inbound" and rng.random() < 0.05:
            self._agenda.at(ended_at, partial(self._hand_on, desk, chain.event))
        self._agenda.at(ended_at + wrap_up_ms + round(self._pause_ms()), partial(self._next, desk))

    def _promise_ms(self, seat: Seat, now_ms: int) -> int:
        """When the agent will call again: a quarter of an hour of today, or of the next morning."""
        promised_ms = now_ms + round(self._rng.uniform(25, 240) * MINUTE_MS)
        begin_ms, _ = next(self._floor.spans(seat, promised_ms))
        if begin_ms > promised_ms:
            promised_ms = begin_ms + round(self._rng.uniform(15, 90) * MINUTE_MS)
        return promised_ms - promised_ms % _QUARTER_HOUR_MS + _QUARTER_HOUR_MS

    def _follow(self, desk: Desk, call: CallEnded) -> None:
        self._outcomes.follow(call, desk.seat)
        if call.next_follow_up_at is not None and self._rng.random() < 0.85:
            desk.promises.append((call.next_follow_up_at, call))

    def _hand_on(self, desk: Desk, call: CallEnded, now_ms: int) -> None:
        """Transfer a call to a colleague who is free: the same call, another leg."""
        free = [each for each in self.desks if each.free and self.at_work(each.seat, now_ms)]
        if not free:
            return
        other = self._rng.choice(free)
        other.free = False
        again = {"direction": "inbound", "outcome": "connected", "started_at": now_ms, "queue": call.queue}
        again |= {"customer_id": call.customer_id, "call_id": call.call_id, "transfer_leg": call.transfer_leg + 1}
        self._talk(other, now_ms + round(self._rng.uniform(1, 5) * SECOND_MS), again)

    # ---- to the log

    def _end(self, agent_id: str | None, call: dict[str, Any]) -> Chain:
        self._count += 1
        number = f"{self._ids}-{self._count:05d}"
        event = CallEnded(
            **{
                "tenant": self._floor.tenant,
                "source": "pbx",
                "event_id": f"l-{number}",
                "agent_id": agent_id,
                "call_id": f"c-{number}",
                **call,
            }
        )
        return self._delivery.first(event)

    def _amend(self, chain: Chain, seat: Seat) -> None:
        """Now and then the telephone system finds that it was another agent's call, or that its clock was wrong."""
        rng, call = self._rng, chain.event
        assert isinstance(call, CallEnded)
        due_ms = chain.due_ms + round(rng.uniform(0.5, 25) * MINUTE_MS)
        draw = rng.random()
        if draw < 0.006:
            mates = [each.agent_id for each in self._floor.seats if each.team == seat.team and each != seat]
            if mates:
                chain.move(due_ms, agent_id=rng.choice(mates))
        elif draw < 0.009:
            back_ms = round(rng.uniform(2, 12) * MINUTE_MS)
            times = ("started_at", "answered_at", "ended_at")
            known = {name: getattr(call, name) for name in times if getattr(call, name) is not None}
            chain.move(due_ms, **{name: at_ms - back_ms for name, at_ms in known.items()})
        self._delivery.last(chain)
