"""Review: the role that judges what takes longer than a day, and closes every period, from history.

One process at a time is on, others stand by. It keeps no state of its own: alerts are the log's, results are compared
with those in history, so it may be killed and started anywhere. It judges only what history has whole: every group has
read what was appended up to two minutes ago. History that does not answer is no data, never ok.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from kpistream.core.alerts import (
    Alert,
    Look,
    State,
    Subject,
    Transition,
    alert_after,
    alert_key,
    decode_transition,
    encode_transition,
    step,
    take_from_log,
)
from kpistream.core.results import Result, encode_result, result_key, same
from kpistream.core.targets import CATCHING_UP, HISTORY_UNREACHABLE, Judgement
from kpistream.errors import SinkUnavailable
from kpistream.health import Health
from kpistream.history import ddl
from kpistream.history.reviewing import Reviewing
from kpistream.history.store import Store
from kpistream.log.completeness import Follower, Looker
from kpistream.log.publisher import Publisher
from kpistream.log.records import Outgoing
from kpistream.log.tail import bounds, read_between
from kpistream.log.topics import Topics, partition_of
from kpistream.log.turn import Turn

log = logging.getLogger(__name__)

EVERY_MS: Final[dict[str, int]] = {"week": 60_000, "month": 300_000, "quarter": 900_000, "year": 3_600_000}
"""How often a window is judged to date: the longer it is, the less a minute says, and the more there is to read."""
_RESULTS: Final = "results"
_SAID: Final = 200
"""Characters of an error of the store in the log."""
_RESULTS_EVERY_MS: Final = 600_000
_AT_REST: Final = (State.OK, State.SUSPENDED, State.NO_DATA)
_HINT: Final = "look at ClickHouse and at the brokers; restart the process: it begins again where the logs are"


@dataclass(frozen=True, slots=True)
class ReviewSettings:
    """What a review is told."""

    connection: Mapping[str, Any]
    """Arguments for aiokafka clients."""
    topics: Topics
    group: str
    followers: tuple[Follower, ...]
    """Groups that history waits for."""
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
        self._connect = connect
        self._now_ms = now_ms
        self._health = health
        self._turn = Turn(settings.connection, settings.topics.settings, settings.group, settings.session_timeout_ms)
        self._publisher = Publisher(settings.connection)
        self._looker = Looker(settings.connection, settings.partitions)
        self._stopping = False
        self._store: Store | None = None
        self._turn_number = 0
        self._alerts: dict[Subject, Alert] = {}
        self._told: dict[str, Result] = {}
        """Results that were published and may not be in history yet."""
        self._due_ms: dict[str, int] = {}
        self._whole_ms = 0
        """When history was whole last, or this turn began."""
        self._blinded = False
        self._round = health.pulse("a round of the review has not ended", _HINT, settings.stall_timeout_s)
        self._lag = health.pulse("history is not whole", _HINT, math.inf, settings.blind_ms / 1000)

    def stop(self) -> None:
        """End after the round that runs."""
        self._stopping = True

    async def run(self) -> None:
        """Work until `stop`. Raises what no retry can mend."""
        failure = None
        try:
            await self._publisher.start()
            await self._looker.start()
            await self._turn.start()
            while not self._stopping:
                self._round.beat()
                await self._turn.wait()
                if self._turn.on:
                    await self._work(self._now_ms())
                self._tell()
        except BaseException as error:
            failure = error
            raise
        finally:
            ending = self._health.ending(30.0, failure)
            for each in (self._turn, self._looker, self._publisher):
                await each.stop()
            await asyncio.to_thread(self._close)
            ending.rest()

    def _tell(self) -> None:
        if self.observer is not None:
            firing: dict[str, int] = {}
            for alert in self._alerts.values():
                firing[alert.subject.tenant] = firing.get(alert.subject.tenant, 0) + (alert.state is State.FIRING)
            behind_s = max(0, self._now_ms() - self._whole_ms) / 1000 if self._whole_ms else 0.0
            self.observer.standing(self._turn.on, firing if self._turn.on else {}, behind_s)

    # ---- a round

    async def _work(self, now_ms: int) -> None:
        if self._turn.number != self._turn_number:
            await self._begin(now_ms)
        due = [name for name in (*self._reviewing.judged, _RESULTS) if self._due_ms.get(name, 0) <= now_ms]
        if not due:
            return
        began_s = self._health.steady_s()
        for name in due:
            self._due_ms[name] = now_ms + EVERY_MS.get(name, _RESULTS_EVERY_MS)
        found = await self._reviewed(due, now_ms)
        if self._turn.on and self._turn.number == self._turn_number:
            await self._publish(*found)
            if self.observer is not None:
                self.observer.reviewed(len(found[0]), len(found[1]), self._health.steady_s() - began_s)

    async def _begin(self, now_ms: int) -> None:
        """A turn begins: the alerts are those of the log as it is now."""
        self._turn_number, self._alerts, self._told, self._due_ms = self._turn.number, {}, {}, {}
        self._whole_ms = now_ms
        names = {target.name for targets in self._reviewing.judged.values() for target in targets}
        topic, partitions = self.settings.topics.alerts, self.settings.partitions
        first, ends = await bounds(self.settings.connection, topic, partitions)
        async for records in read_between(self.settings.connection, topic, first, ends):
            for record in records:
                transition = decode_transition(record.value) if record.value else None
                if transition is not None and transition.target in names:
                    take_from_log(self._alerts, transition)
        log.info("review is on turn=%s alerts=%s", self._turn_number, len(self._alerts))

    async def _reviewed(self, due: list[str], now_ms: int) -> tuple[list[Transition], list[Result]]:
        """What must be published. Of history that is not whole nothing but, after a while, that there is no data."""
        behind = await self._looker.behind(self.settings.followers, now_ms - self.settings.lag_ms)
        if behind:
            return self._blind(CATCHING_UP, f"behind: {', '.join(behind[:3])}", now_ms), []
        try:
            found = await asyncio.to_thread(self._read, due, now_ms)
        except SinkUnavailable as error:
            await asyncio.to_thread(self._close)
            return self._blind(HISTORY_UNREACHABLE, str(error)[:_SAID], now_ms), []
        self._whole_ms, self._blinded = now_ms, False
        self._lag.rest()
        return found

    def _read(self, due: list[str], now_ms: int) -> tuple[list[Transition], list[Result]]:
        """Blocking: looks and results out of the store."""
        store, transitions, results = self._opened(), list[Transition](), list[Result]()
        for name in due:
            if name == _RESULTS:
                found = list(self._reviewing.results(store, now_ms, self.settings.grace_ms))
                results = [each for each in found if not _known(self._told.get(each.result_id), each)]
                ids = {each.result_id for each in found}
                self._told = {result_id: each for result_id, each in self._told.items() if result_id in ids}
            else:
                for subject, look in self._reviewing.looks(store, name, now_ms):
                    transitions += self._stepped(subject, look, now_ms)
        return transitions, results

    def _blind(self, judgement: Judgement, why: str, now_ms: int) -> list[Transition]:
        """Of standing alerts nothing can be said once history has not been whole for a while; tried again soon."""
        if not self._blinded:
            self._lag.beat()
            self._blinded = True
        for name in self._due_ms:
            self._due_ms[name] = min(self._due_ms[name], now_ms + EVERY_MS["week"])
        log.warning("history is not whole for_s=%.0f why=%s", (now_ms - self._whole_ms) / 1000, why)
        if now_ms - self._whole_ms < self.settings.blind_ms:
            return []
        targets = {target.name: target for some in self._reviewing.judged.values() for target in some}
        out: list[Transition] = []
        for subject, alert in self._alerts.items():
            target = targets[subject.target]
            if alert.state not in _AT_REST:
                window = self._reviewing.window_of(subject, target.window, now_ms)
                out += self._stepped(subject, Look(target, judgement, window), now_ms)
        return out

    def _stepped(self, subject: Subject, look: Look, now_ms: int) -> list[Transition]:
        transition = step(self._alerts.get(subject) or Alert(subject), look, now_ms)
        return [] if transition is None else [transition]

    async def _publish(self, transitions: list[Transition], results: list[Result]) -> None:
        """States and results count as told only when they are durable."""
        topics = self.settings.topics
        changed = [(each, Outgoing(alert_key(each), encode_transition(each))) for each in transitions]
        for number, records in self._placed(changed).items():
            await self._publisher.publish(topics.alerts, number, records)
        self._alerts |= {after.subject: after for after in map(alert_after, transitions)}
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
