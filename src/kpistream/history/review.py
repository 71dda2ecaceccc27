"""Review: the role that judges what takes longer than a day, and closes every period, from history.

One process at a time is on, others stand by. It keeps no state of its own: alerts are those of history and the log,
results are compared with those in history, so it may be killed and started anywhere. It judges only what history has
whole: what was appended up to two minutes ago has gone through workers and sinks. History that does not answer is no
data, never ok. Work is done in small pieces, each published before the next: a long round loses nothing.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

from kpistream.core.alerts import Subject, Transition, alert_key, decode_transition, encode_transition
from kpistream.core.contributing import CONTRIBUTORS_A_LOOK
from kpistream.core.results import Result, encode_result, result_key, same
from kpistream.core.roster import Tenant
from kpistream.core.settings import Settings
from kpistream.core.targets import CATCHING_UP, HISTORY_UNREACHABLE, Judgement
from kpistream.errors import SinkUnavailable
from kpistream.health import Health
from kpistream.history import ddl, queries
from kpistream.history.bests import best_days
from kpistream.history.book import Book
from kpistream.history.queries import Heard
from kpistream.history.reviewing import REVIEWED, Closing, Reviewing
from kpistream.history.store import Store
from kpistream.log.completeness import Completeness, Way
from kpistream.log.publisher import Publisher
from kpistream.log.records import Outgoing
from kpistream.log.tail import read_between
from kpistream.log.topics import Topics, partition_of
from kpistream.log.turn import Turn

log = logging.getLogger(__name__)

EVERY_MS: Final[dict[str, int]] = {"week": 60_000, "month": 300_000, "quarter": 900_000, "year": 3_600_000}
"""How often a window is judged to date: the longer it is, the less a minute says, and the more there is to read."""
_RESULTS: Final = "results"
_RESULTS_EVERY_MS: Final = 600_000
_AGAIN_MS: Final = 2000
"""When history was not whole, or did not answer, for the next look."""
_POLL_S: Final = 0.5
_SAY_AGAIN_MS: Final = 60_000
_SAID: Final = 200
"""Characters of an error of the store in the log."""
_HINT: Final = "look at ClickHouse and at the brokers; restart the process: it begins again where the logs are"
Found = tuple[list[Transition], list[Result]]
Piece = Callable[[Store], Found]
"""A small part of a round: blocking, what it finds is published at once."""


@dataclass(frozen=True, slots=True)
class ReviewSettings:
    """What a review is told."""

    connection: Mapping[str, Any]
    """Arguments for aiokafka clients."""
    topics: Topics
    group: str
    way: Way
    """What events go through on their way to history."""
    partitions: int
    session_timeout_ms: int = 15_000
    grace_ms: int = 900_000
    """How long after its end a period closes."""
    lag_ms: int = 120_000
    """What was appended before is in history, or nothing is judged."""
    blind_ms: int = 600_000
    """History that is not whole, or does not answer, for so long is no data for the alerts that stand."""
    stall_timeout_s: float = 600.0


class ReviewObserver(Protocol):
    """What somebody who counts wants to hear."""

    def reviewed(self, transitions: int, results: int, seconds: float) -> None:
        """A round has published so many."""

    def standing(self, on: bool, firing: Mapping[str, int], behind_s: float) -> None:
        """Whether this process is on, alerts of long windows that fire by tenant, and since when history lags."""


class Review:
    """The review role. `run` until `stop`; one object for one run. It closes the store that `connect` makes."""

    def __init__(
        self,
        settings: ReviewSettings,
        reviewing: Reviewing,
        connect: Callable[[], Store],
        now_ms: Callable[[], int],
        health: Health,
    ) -> None:
        self.settings = settings
        self.observer: ReviewObserver | None = None
        self._reviewing = reviewing
        self._next: Reviewing | None = None
        """By other settings; it takes over at the next round."""
        self._connect = connect
        self._now_ms = now_ms
        self._health = health
        self._turn = Turn(settings.connection, settings.topics.settings, settings.group, settings.session_timeout_ms)
        self._publisher = Publisher(settings.connection)
        self._completeness = Completeness(settings.connection, settings.way, settings.partitions)
        self._stopping = False
        self._store: Store | None = None
        self._piece = health.pulse("a piece of the review has not ended", _HINT, settings.stall_timeout_s)
        self._lag = health.pulse("history is not whole", _HINT, math.inf, settings.blind_ms / 1000)
        self._forget(0)

    def _forget(self, now_ms: int) -> None:
        """Nothing is known at the begin of a turn."""
        self._turn_number = 0
        self._book = Book(self._reviewing)
        self._read_to: dict[int, int] = {}
        """Next offsets of the alerts' log to read."""
        self._told: dict[str, Result] = {}
        """Results that were published and may not be in history yet."""
        self._seen: dict[tuple[str, str, int], int] = {}
        """What a period looked like when it was closed last."""
        self._due_ms: dict[str, int] = {}
        self._whole_ms = now_ms
        """When history was whole last, or this turn began."""
        self._blinded = False
        self._say_ms = self.settings.lag_ms
        """When, after history was whole last, the log says next that it is not."""
        self._lag.rest()
        self._completeness.forget()

    def adopt(self, settings: Settings) -> None:
        """Judge by other settings, from the next round on."""
        self._next = Reviewing(settings, self._reviewing.pane_ms)

    def stop(self) -> None:
        """End after the piece that is being worked on."""
        self._stopping = True

    async def run(self) -> None:
        """Work until `stop`. Raises what no retry can mend."""
        failure, keeping = None, None
        try:
            await self._publisher.start()
            await self._completeness.start()
            await self._turn.start()
            keeping = asyncio.ensure_future(self._turn.keep())
            while not self._stopping:
                if keeping.done():
                    keeping.result()
                self._piece.beat()
                if self._turn.on:
                    await self._work(self._now_ms())
                elif self._turn_number:
                    self._forget(0)
                self._tell()
                await asyncio.sleep(_POLL_S)
        except BaseException as error:
            failure = error
            raise
        finally:
            ending = self._health.ending(30.0, failure)
            if keeping is not None:
                keeping.cancel()
            for each in (self._turn, self._completeness, self._publisher):
                await each.stop()
            await asyncio.to_thread(self._close)
            ending.rest()

    @property
    def _mine(self) -> bool:
        """True while the turn that this work belongs to goes on."""
        return self._turn.on and self._turn.number == self._turn_number and not self._stopping

    def _tell(self) -> None:
        if self.observer is None:
            return
        behind_s = max(0, self._now_ms() - self._whole_ms) / 1000 if self._turn_number else 0.0
        self.observer.standing(self._turn.on, self._book.firing(), behind_s)

    # ---- a round

    async def _work(self, now_ms: int) -> None:
        if self._next is not None:
            self._reviewing, self._next = self._next, None
            self._book.adopt(self._reviewing)
            self._read_to, self._seen, self._due_ms = {}, {}, {}
        if self._turn.number != self._turn_number:
            self._forget(now_ms)
            self._turn_number = self._turn.number
        due = [name for name in (*self._reviewing.judged, _RESULTS) if self._due_ms.get(name, 0) <= now_ms]
        if not due or not await self._ready(now_ms):
            return
        for name in due:
            self._due_ms[name] = now_ms + EVERY_MS.get(name, _RESULTS_EVERY_MS)
        began_s = self._health.steady_s()
        try:
            counts = [await self._worked(pieces) for pieces in (self._judging(due, now_ms), self._closing(due, now_ms))]
        except SinkUnavailable as error:
            await self._away(error, now_ms)
            return
        self._whole_ms, self._blinded, self._say_ms = now_ms, False, self.settings.lag_ms
        self._lag.rest()
        if self.observer is not None:
            self.observer.reviewed(counts[0], counts[1], self._health.steady_s() - began_s)

    async def _worked(self, listing: Callable[[], list[Piece]]) -> int:
        """Work off the pieces, each published before the next; how many records that were."""
        count = 0
        for piece in await asyncio.to_thread(listing):
            transitions, results = await asyncio.to_thread(self._found, piece)
            if not self._mine:
                return count
            await self._publish(transitions, results)
            count += len(transitions) + len(results)
            self._piece.beat()
        return count

    def _found(self, piece: Piece) -> Found:
        return piece(self._opened())

    async def _ready(self, now_ms: int) -> bool:
        """Whether history is whole and all alerts are known."""
        behind = await self._completeness.look(now_ms - self.settings.lag_ms)
        if behind:
            await self._blind(CATCHING_UP, f"behind: {', '.join(behind[:3])}", now_ms)
            return False
        try:
            await self._follow()
        except SinkUnavailable as error:
            await self._away(error, now_ms)
            return False
        return self._mine

    async def _follow(self) -> None:
        """Take in the states of the alerts: at first those in history, then what the log has more.

        Whoever was on before, and whoever believes that he still is, is heard before anything is judged.
        """
        topic = self.settings.topics.alerts
        ends = await self._completeness.ends(topic)
        if not self._read_to:
            for transition in await asyncio.to_thread(self._standing):
                self._book.take(transition)
            self._read_to = await self._completeness.firsts(topic)
        async for records in read_between(self.settings.connection, topic, self._read_to, ends):
            for record in records:
                if record.value:
                    self._book.take(decode_transition(record.value))
        self._read_to = ends

    def _standing(self) -> list[Transition]:
        found = queries.transitions_of(self._opened(), REVIEWED, sorted({*self._book.judged, *self._reviewing.praised}))
        log.info("review is on turn=%s alerts=%s", self._turn_number, len(found))
        return found

    # ---- what a round is made of

    def _judging(self, due: list[str], now_ms: int) -> Callable[[], list[Piece]]:
        """A piece for each tenant and window; what has left the settings comes last."""

        def listing() -> list[Piece]:
            tenants = self._reviewing.tenants(self._opened())
            names = [name for name in due if name in self._reviewing.judged]
            pieces: list[Piece] = [partial(self._judge, name, *each, now_ms) for name in names for each in tenants]
            return [*pieces, lambda store: (self._book.left(now_ms), [])]

        return listing

    def _judge(self, name: str, tenant: Tenant, heard: Heard, now_ms: int, store: Store) -> Found:
        """Looks at a window of a tenant; an alert that nobody looks at any more is suspended."""
        out: list[Transition] = []
        looked: set[Subject] = set()
        for subject, look in self._reviewing.looks(store, name, tenant, heard, now_ms):
            looked.add(subject)
            for each in self._book.stepped(subject, look, now_ms):
                few = sum(bool(known.contributors) for known in out) < CONTRIBUTORS_A_LOOK
                out.append(self._reviewing.explained(store, each, look.target) if few else each)
        return out + self._book.not_looked_at(tenant.tenant, name, looked, now_ms), []

    def _closing(self, due: list[str], now_ms: int) -> Callable[[], list[Piece]]:
        """A piece for each period that is over."""
        until_ms = min(now_ms - self.settings.grace_ms, self._completeness.whole_to_ms)

        def listing() -> list[Piece]:
            if _RESULTS not in due:
                return []
            found = self._reviewing.closings(self._opened(), until_ms)
            bests: list[Piece] = [
                partial(self._praise, tenant.tenant, now_ms) for tenant, _ in self._reviewing.tenants(self._opened())
            ]
            return [*bests, *(partial(self._close_period, closing, until_ms, now_ms) for closing in found)]

        return listing

    def _praise(self, tenant: str, now_ms: int, store: Store) -> Found:
        """Best days among the results that history has: those of this round are told in the next."""
        looks = best_days(store, tenant, self._reviewing.settings.targets, now_ms)
        return [each for subject, look in looks for each in self._book.praised(subject, look, now_ms)], []

    def _close_period(self, closing: Closing, until_ms: int, now_ms: int, store: Store) -> Found:
        """Results that are new; a period whose sums have not changed since the last time is passed over."""
        key, changed = (closing.tenant.tenant, closing.period.name, closing.period.last_ms), None
        if closing.span.to_ms <= until_ms:  # before, zones that end later are still to close
            changed = self._reviewing.changed(store, closing)
            if self._seen.get(key) == changed:
                return [], []
        found = self._reviewing.results(store, closing, until_ms, now_ms)
        if changed is not None:
            self._seen[key] = changed
        return [], [each for each in found if not _known(self._told.get(each.result_id), each)]

    # ---- when history is not whole

    async def _away(self, error: SinkUnavailable, now_ms: int) -> None:
        await asyncio.to_thread(self._close)
        await self._blind(HISTORY_UNREACHABLE, str(error)[:_SAID], now_ms)

    async def _blind(self, judgement: Judgement, why: str, now_ms: int) -> None:
        """Of standing alerts nothing can be said once history has not been whole for a while; tried again soon."""
        for name in (*self._reviewing.judged, _RESULTS):
            self._due_ms[name] = now_ms + _AGAIN_MS
        blind_ms = now_ms - self._whole_ms
        if not self._blinded:
            self._lag.beat()
            self._blinded = True
        if blind_ms > self._say_ms:
            self._say_ms = blind_ms + _SAY_AGAIN_MS
            log.warning("history is not whole for_s=%.0f why=%s", blind_ms / 1000, why)
        if blind_ms >= self.settings.blind_ms and self._mine:
            await self._publish(self._book.blind(judgement, now_ms), [])

    # ---- to the log

    async def _publish(self, transitions: list[Transition], results: list[Result]) -> None:
        """States and results count as told only when they are durable."""
        topics = self.settings.topics
        changed = [(each, Outgoing(alert_key(each), encode_transition(each))) for each in transitions]
        for number, records in self._placed(changed).items():
            await self._publisher.publish(topics.alerts, number, records)
        for transition in transitions:
            self._book.take(transition)
        closed = [(each, Outgoing(result_key(each), encode_result(each))) for each in results]
        for number, records in self._placed(closed).items():
            await self._publisher.publish(topics.results, number, records)
        self._told |= {each.result_id: each for each in results}
        if transitions or results:
            log.info("review transitions=%s results=%s", len(transitions), len(results))

    def _placed(self, records: Iterable[tuple[Transition | Result, Outgoing]]) -> dict[int, list[Outgoing]]:
        """By partition: that of the scope's events, so that an agent has one ordered log."""
        out: dict[int, list[Outgoing]] = {}
        for each, record in records:
            key = f"{each.tenant}/{each.scope}".encode("utf-8", "surrogatepass")
            out.setdefault(partition_of(key, self.settings.partitions), []).append(record)
        return out

    # ---- the store

    def _opened(self) -> Store:
        if self._store is None:
            store = self._connect()
            try:
                ddl.check(store)
            except BaseException:
                store.close()
                raise
            self._store = store
        return self._store

    def _close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None


def _known(told: Result | None, each: Result) -> bool:
    return told is not None and same(told, each)
