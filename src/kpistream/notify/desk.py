"""Desk: the one dispatcher of a process that tells people, its durable records, and a courier for each receiver.

A courier works through its own receiver's messages and waits for nobody else's. Before a message is handed to a channel
it is sealed on `kpi.notifications`; after it, that it was taken. What is killed in between is sent again under its id.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec
from aiokafka.errors import KafkaError

from kpistream.core.acks import Ack
from kpistream.core.alerts import Transition
from kpistream.core.dispatch import Dispatcher
from kpistream.core.errands import Message, Record, Silence, encode
from kpistream.core.receivers import MINUTE_MS, SECOND_MS, Notify
from kpistream.core.result_lists import Collecting, ResultLists
from kpistream.core.result_records import ResultsTold
from kpistream.errors import ConfigError
from kpistream.log.publisher import Publisher
from kpistream.log.records import Outgoing
from kpistream.log.topics import Topics
from kpistream.metrics import NotifyMetrics
from kpistream.notify.delivery import Channel, DeliveryFailed
from kpistream.notify.result_log import ResultLog

log = logging.getLogger(__name__)

UNDELIVERED: Final = "undelivered"
"""Reason of a dead letter that holds a message."""
_LEFT: Final = "receiver has left, what waited for it goes by the routes of now receiver=%s transitions=%s"
_LOOK_S: Final = 0.2
_ASK_AGAIN_MS: Final = 5 * SECOND_MS
_GRACE_S: Final = 5.0
_HINT: Final = "mend the receiver's settings or its host; the alerts are in the value, kpistream alerts list has all"


class Clocks(NamedTuple):
    """Time as the desk sees it."""

    now_ms: Callable[[], int]
    """Epoch ms."""
    steady_s: Callable[[], float]


class Ports(NamedTuple):
    """What a desk works with."""

    publisher: Publisher
    topics: Topics
    channels: Mapping[str, Channel]
    """By receiver."""
    clocks: Clocks
    metrics: NotifyMetrics
    results: ResultLog


class Desk:
    """One generation: from an assignment to its end."""

    def __init__(self, settings: Notify, ports: Ports, records: Iterable[Record]) -> None:
        self._settings = settings
        self._ports = ports
        known = list(records)
        self._dispatcher = Dispatcher(settings, [each for each in known if not isinstance(each, ResultsTold)])
        self._lists = ResultLists(settings, [each for each in known if isinstance(each, ResultsTold)])
        self._dispatcher.reroute(ports.clocks.now_ms())
        self._lock = asyncio.Lock()
        self._couriers: list[asyncio.Task[None]] = []
        self._closing = False
        self._making: dict[str, asyncio.Task[None]] = {}
        """Lists of results that are being made, by receiver."""
        self._asks_ms: dict[str, int] = {}
        """Before which the log of results is not asked again, by receiver."""
        self._swept_ms = 0
        for name in settings.receivers:
            for each in ports.metrics.counted:
                each.labels(name)
            ports.metrics.failing.labels(name).set(0)

    def take(self, transition: Transition) -> None:
        """A record of the alert log; durable once `save` returns."""
        self._dispatcher.take(transition, self._ports.clocks.now_ms())

    def ack(self, ack: Ack) -> None:
        """What somebody said; durable in its own log."""
        self._dispatcher.ack(ack)

    @property
    def open(self) -> bool:
        """True once couriers are on their way."""
        return bool(self._couriers)

    def begin(self) -> None:
        """Let couriers go: everything that was in the log at first is known."""
        self._couriers = [asyncio.create_task(self._deliver_all(name)) for name in self._settings.receivers]

    async def look(self) -> None:
        """Once a turn: raise what ended a courier; show what waits, and forget what is long over, now and then."""
        for courier in self._couriers:
            if courier.done():
                courier.result()
        now_ms = self._ports.clocks.now_ms()
        if now_ms - self._swept_ms < SECOND_MS:
            return
        for name in self._settings.receivers:
            self._ports.metrics.waiting.labels(name).set(self._dispatcher.waiting(name))
        if now_ms // MINUTE_MS != self._swept_ms // MINUTE_MS:
            self._dispatcher.sweep(now_ms)
            await self.save()
        self._swept_ms = now_ms

    async def save(self) -> None:
        """Return when everything that has changed is durable."""
        async with self._lock:
            changes = self._dispatcher.changes()
            lists = self._lists.changes()
            changes += [(key, None if record is None else encode(record)) for key, record in lists.items()]
            for each in self._dispatcher.silenced:
                self._ports.metrics.silent.labels(str(each.reason)).inc()
                log.debug(
                    "not told receiver=%s alert=%s reason=%s", each.receiver, each.transition.alert_id, each.reason
                )
            gone = Counter(each.receiver for each in self._dispatcher.silenced if each.reason is Silence.RECEIVER_GONE)
            for name, count in gone.items():
                log.warning(_LEFT, name, count)
            self._dispatcher.silenced.clear()
            if changes:
                records = [Outgoing(key.encode("utf-8", "surrogatepass"), value) for key, value in changes]
                await self._ports.publisher.publish(self._ports.topics.notifications, 0, records)

    async def close(self, *, at_once: bool) -> None:
        """End the couriers: those that deliver may finish, unless the alerts are somebody else's by now."""
        self._closing = True
        if self._couriers and not at_once:
            await asyncio.wait(self._couriers, timeout=_GRACE_S)
        tasks = [*self._couriers, *self._making.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ---- couriers

    async def _deliver_all(self, name: str) -> None:
        kept_ms = 0
        receiver = self._settings.receivers[name]
        while not self._closing:
            now_ms = self._ports.clocks.now_ms()
            message = self._dispatcher.next(name, now_ms) or self._results(name, now_ms)
            await self.save()
            if message is not None:
                await self._deliver(message)
                continue
            if receiver.keeps_state and now_ms - kept_ms >= MINUTE_MS:
                kept_ms = now_ms
                await self._keep(name, now_ms)
            await asyncio.sleep(_LOOK_S)

    def _results(self, name: str, now_ms: int) -> Message | None:
        """The list of results that is due. One that is to be made is made beside: alerts do not wait for that."""
        making = self._making.get(name)
        if making is not None and making.done():
            del self._making[name]
            making.result()
        elif making is None and self._lists.asks(name, now_ms) and now_ms >= self._asks_ms.get(name, 0):
            self._making[name] = asyncio.create_task(self._make(name, now_ms))
        return self._lists.next(name, now_ms)

    async def _make(self, name: str, now_ms: int) -> None:
        """A list out of the log as it is now; of a receiver that is new only where that ends."""
        try:
            firsts, ends = await self._ports.results.bounds()
            start, collecting = self._lists.start(name), Collecting(self._settings, name)
            if start is not None:
                async for result in self._ports.results.between(begins(start, firsts, ends), ends):
                    collecting.take(result)
            self._lists.seal(name, collecting.found(), ends, now_ms)
        except KafkaError as error:
            self._asks_ms[name] = now_ms + _ASK_AGAIN_MS
            log.warning("results cannot be read, will try again receiver=%s error=%s", name, error)

    async def _deliver(self, message: Message) -> None:
        ports, name = self._ports, message.receiver
        book: Dispatcher | ResultLists = self._dispatcher if message.results is None else self._lists
        if message.attempt:
            ports.metrics.retried.labels(name).inc()
        fault = await self._attempt(name, lambda now_ms: ports.channels[name].send(message, now_ms))
        now_ms = ports.clocks.now_ms()
        if not fault:
            ports.metrics.sent.labels(name).inc()
            ports.metrics.alerts.labels(name).inc(len(message.entries))
            ports.metrics.results.labels(name).inc(0 if message.results is None else message.results.count)
            book.sent(message, now_ms)
        elif not book.failed(message, now_ms):
            await ports.publisher.publish(ports.topics.dead_letters, 0, [undelivered(message, fault, now_ms)])
            ports.metrics.dead_letters.labels(name).inc()
            log.error("given up receiver=%s message=%s fault=%s hint=%s", name, message.id, fault, _HINT)
            book.give_up(message, now_ms)
        await self.save()

    async def _keep(self, name: str, now_ms: int) -> None:
        standing = self._dispatcher.standing(name)
        if standing:
            await self._attempt(name, lambda _: self._ports.channels[name].keep(standing, now_ms))

    async def _attempt(self, name: str, work: Callable[[int], Coroutine[Any, Any, None]]) -> str:
        """What went wrong; empty when nothing did."""
        clocks, metrics = self._ports.clocks, self._ports.metrics
        began_s, fault = clocks.steady_s(), ""
        limit_s = self._settings.receivers[name].timeout_ms / 1000 + _GRACE_S
        try:
            async with asyncio.timeout(limit_s):
                await work(clocks.now_ms())
        except (DeliveryFailed, ConfigError) as error:
            fault = str(error)
        except TimeoutError:
            fault = f"no answer within {limit_s:g} s"
        metrics.send_seconds.labels(name).observe(clocks.steady_s() - began_s)
        metrics.failing.labels(name).set(1 if fault else 0)
        if fault:
            metrics.failed.labels(name).inc()
            log.warning("not delivered, will try again receiver=%s fault=%s", name, fault)
        else:
            metrics.last_success.labels(name).set(clocks.now_ms() / 1000)
        return fault


def begins(start: Mapping[int, int], firsts: Mapping[int, int], ends: Mapping[int, int]) -> dict[int, int]:
    """From where on a log is read: on from `start`; from its first when it was made again, or has lost what follows."""
    return {
        number: start[number] if first <= start.get(number, -1) <= ends[number] else first
        for number, first in firsts.items()
    }


def undelivered(message: Message, fault: str, now_ms: int) -> Outgoing:
    """The dead letter of a message that nobody has taken."""
    about = {
        "kpi-reason": UNDELIVERED,
        "kpi-detail": f"receiver {message.receiver}, message {message.id}: {fault}",
        "kpi-hint": _HINT,
        "kpi-timestamp": str(now_ms),
    }
    headers = [(name, text.encode("utf-8", "replace")) for name, text in about.items()]
    return Outgoing(message.receiver.encode(), msgspec.json.encode(message), headers)
