"""Agents: the worker's life: read batches, flush, tick, and stop in order or fail loudly.

The composition root hands in clocks and settings. A failure anywhere ends `run` with an exception and
without acknowledging; an orderly stop flushes, acknowledges, commits and leaves the group.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, cast

from aiokafka.errors import KafkaError
from faust.types import TP

from kpistream.core.partition import NOTHING, PartitionSettings
from kpistream.core.refusals import Limits
from kpistream.core.settings import Settings
from kpistream.core.versions import VersionLog
from kpistream.errors import Stalled
from kpistream.health import Health, Pulse
from kpistream.log.completeness import Way
from kpistream.log.continuity import LogWatch
from kpistream.log.publisher import Publisher
from kpistream.log.reading import EventReader
from kpistream.log.settings_versions import Follower
from kpistream.log.topics import Topics
from kpistream.metrics import WorkerMetrics
from kpistream.stream.adopting import Adopting
from kpistream.stream.alarm import Alarm
from kpistream.stream.app import AppSettings, WorkerApp, make_app
from kpistream.stream.decode import Decoder, Intake, slices
from kpistream.stream.flush import Flusher, FlushPorts, FlushSettings
from kpistream.stream.refilling import Refilling, RefillPorts
from kpistream.stream.showing import TickerPorts, add_counts
from kpistream.stream.sink_offsets import SinkOffsets
from kpistream.stream.standing import Standing
from kpistream.stream.state import Shard
from kpistream.stream.teams import Member, Teams
from kpistream.stream.ticker import Ticker
from kpistream.stream.transport import BatchConsumer
from kpistream.stream.whole import Whole

log = logging.getLogger(__name__)

_TICK_S, _TICK_BEHIND_S = 0.1, 0.01
_STOP_LIMIT_S = 8.0
_LOOPS_STOP_LIMIT_S = 1.5
_LOOP_HINT: Final = "read the log lines before this one; restart the process, and report this if it comes again"
_GROUP_HINT: Final = (
    "look at the brokers and the other members: kafka-consumer-groups --describe --state; a member that is slow to "
    "rejoin holds up all"
)


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Everything a worker is told."""

    app: AppSettings
    topics: Topics
    partition: PartitionSettings
    live: Settings
    """What is run at first."""
    sink_group: str
    teams_group: str
    agent_metrics: int = 0
    flush: FlushSettings = FlushSettings()
    publish_timeout_s: float = 60.0
    refusals: Limits = Limits()
    stall_timeout_s: float = 120.0
    """Nothing that must go on may stand still for longer."""
    may_flush: Callable[[int, int], bool] = lambda partition, published_to: True
    """See `FlushPorts.may_flush`."""
    watch_log: bool = False
    """Stop when topics are made again or grow; the embedded broker cannot tell."""
    versions: VersionLog | None = None
    """Settings versions that were read, to follow them from there on; None: `live` stays."""
    version: int = 0
    """Number of `live`; 0: from a directory."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """The only time a worker knows; owned by the composition root."""

    now_ms: Callable[[], int]
    """Wall clock, epoch ms."""
    steady_s: Callable[[], float]
    """Monotonic clock, seconds."""


class Worker:
    """One worker process's share of the work."""

    def __init__(
        self, settings: WorkerSettings, clocks: Clocks, metrics: WorkerMetrics, health: Health | None = None
    ) -> None:
        self.settings = settings
        self.clocks = clocks
        self.metrics = metrics
        self.publisher = Publisher(settings.app.connection, timeout_s=settings.publish_timeout_s)
        self.app: WorkerApp = make_app(settings.app, settings.topics, settings.partition, self)
        self.shards = self.app.shards
        app = settings.app
        self._sink = SinkOffsets(app.connection, settings.sink_group, settings.topics.panes, app.partitions)
        ports = FlushPorts(self._acknowledge, self._sink.committed, clocks.steady_s, self.failed, settings.may_flush)
        self.flusher = Flusher(self.shards, self.publisher, settings.topics, ports, metrics)
        tickers = TickerPorts(self.publisher, settings.topics, settings.app.connection, metrics, self.failed)
        tickers.agent_cap = settings.agent_metrics
        self.ticker = Ticker(self.shards, settings.live, tickers, settings.app.partitions)
        keep_ms = settings.partition.horizon_ms
        member = Member(settings.teams_group, settings.app.instance)
        self.teams = Teams(settings.live, tickers, settings.partition.pane_ms, keep_ms, member)
        way = Way(settings.topics.events, app.group, settings.topics.team_panes, settings.teams_group)
        self.teams.whole = Whole(app.connection, way, app.partitions, self.failed)
        refill = RefillPorts(app.connection, settings.topics, clocks.now_ms, self.flusher.publish_sums, metrics)
        self._refilling = Refilling(self.shards, settings.live, refill, app.partitions)
        self._adopting = self._adopts(settings)
        self.standing = Standing(self.shards, metrics, self._end_of, clocks.now_ms, clocks.steady_s)
        self.standing.limit_s = settings.stall_timeout_s
        self.health = health or Health("worker", clocks.steady_s)
        self._watch(tickers)
        pane_ms = settings.partition.pane_ms
        self._reader = EventReader(pane_ms, settings.app.partitions)
        self._decoder = Decoder(self._reader, pane_ms, settings.topics.events)
        self._alarm = Alarm(settings.refusals, metrics, clocks.steady_s)
        self._unknown_shown: dict[str, int] = {}
        self._failure: asyncio.Future[None] | None = None
        self._stop = asyncio.Event()
        self._started = False

    def _adopts(self, settings: WorkerSettings) -> Adopting | None:
        if settings.versions is None:
            return None
        follower = Follower(settings.app.connection, settings.topics.settings, settings.versions, settings.version)
        return Adopting(follower, self.metrics.settings, (self._refilling, self.ticker, self.teams))

    def _watch(self, tickers: TickerPorts) -> None:
        """Make the pulses of everything that must go on."""

        def pulse(what: str, hint: str, unready_after_s: float | None = None) -> Pulse:
            return self.health.pulse(what, hint, self.settings.stall_timeout_s, unready_after_s)

        self.health.watch(self.standing)
        groups = (self.settings.app.group, self.settings.teams_group)
        self._joining, self._following = (
            pulse(f"group {name!r} has given no assignment", _GROUP_HINT, ready)
            for name, ready in zip(groups, (0.0, None), strict=True)
        )
        self._turns = {
            name: pulse(f"{name} loop has not turned", _LOOP_HINT)
            for name in ("flush", "tick", "show", "sink", "teams", "settings", "own measures")
        }
        tickers.turned = self._turns["teams"].beat
        tickers.following = lambda done: self._following.rest() if done else self._following.beat()
        self._joining.beat()

    # ---- life

    async def run(self) -> None:
        """Work until `stop` is called; raises what made the worker fail."""
        self._failure = asyncio.get_running_loop().create_future()
        self.app.agent(self.app.events, name="kpistream.agents.events")(self._consume)
        await self.publisher.start()
        self.app.finalize()
        tasks = [asyncio.ensure_future(self._guard(name, loop)) for name, loop in self._loops().items()]
        self._following.beat()
        ending: Pulse | None = None
        try:
            stopping: asyncio.Future[Any] = asyncio.ensure_future(self._stop.wait())
            ends: set[asyncio.Future[Any]] = {stopping, self._failure}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            ending = self.health.ending(_STOP_LIMIT_S + 2 * _LOOPS_STOP_LIMIT_S)
            if self._failure.done():
                self._failure.result()
            await _ended(tasks)  # first: a ticker that publishes through a stopped publisher would look like a failure
            await self._leave_in_time()
        finally:
            await _ended(tasks)
            if ending is not None:
                ending.rest()

    def stop(self) -> None:
        """Ask for an orderly stop."""
        self._stop.set()

    async def _leave_in_time(self) -> None:
        try:
            await asyncio.wait_for(self._leave(), _STOP_LIMIT_S)
        except TimeoutError as error:
            what = f"the last flush and commit took longer than {_STOP_LIMIT_S:g} s"
            raise Stalled(what, "nothing is lost: what was not committed is read again") from error

    async def _leave(self) -> None:
        if self._started:
            self.app.consumer.stop_flow()
            await self.flusher.drain()
            if self._failure is not None and self._failure.done():
                self._failure.result()
            await self.app.consumer.commit()
        await self.app.stop()
        await self.publisher.stop()
        log.info("worker left group=%s", self.settings.app.group)

    def failed(self, error: BaseException) -> None:
        """Remember the first failure; `run` ends with it."""
        if self._failure is not None and not self._failure.done():
            log.debug("worker fails error=%r", error)
            self._failure.set_exception(error)

    def _loops(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """What runs until the worker stops, by name."""
        loops: dict[str, Callable[[], Awaitable[None]]] = {
            "app": self._app_loop,
            "flush": self._flush_loop,
            "tick": self._tick_loop,
            "show": self._show_loop,
            "teams": self.teams.run,
            "own measures": partial(self._refilling.run, self._turns["own measures"].beat),
        }
        if self.settings.partition.history:
            loops["sink"] = partial(self._sink.run, self._turns["sink"].beat)
        if self._adopting is not None:
            loops["settings"] = partial(self._adopting.run, self._turns["settings"].beat)
        if self.settings.watch_log:
            app = self.settings.app
            loops["log"] = LogWatch(app.connection, self.settings.topics, app.partitions).run
        return loops

    async def _guard(self, name: str, loop: Callable[[], Awaitable[None]]) -> None:
        turn = self._turns.get(name)
        if turn is not None:
            turn.beat()
        try:
            await loop()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self.failed(error)
        else:
            if not self._stop.is_set():
                self.failed(RuntimeError(f"{name} loop has ended"))
        finally:
            if turn is not None:
                turn.rest()

    # ---- loops

    async def _consume(self, stream: Any) -> None:
        limit = self.settings.flush.record_limit
        async for event in stream.noack().events():
            message = event.message
            shard = self.shards.shard(message.partition)
            try:
                await self.flusher.room(shard, limit)
                if not shard.ready or message.generation_id != shard.generation:
                    continue
                self._check_unbroken(shard, message)
                await self._take(shard, message)
            except Exception as error:
                self.failed(error)
                raise

    async def _take(self, shard: Shard, message: Any) -> None:
        for number_of_slice, records in enumerate(slices(message.value)):
            if number_of_slice:
                await asyncio.sleep(0)
                if not shard.ready or message.generation_id != shard.generation:
                    return
            number, generation = message.partition, shard.generation
            run = self._alarm.run(number, generation)
            intake = self._decoder.take(shard, records, run)
            self._count(intake)
            self._alarm.take(number, generation, intake)
        if message.offset >= shard.partition.at.next_offset:  # marks of transactions behind the records, or alone
            shard.partition.advance(message.offset + 1, 0)

    def _check_unbroken(self, shard: Shard, message: Any) -> None:
        """Nothing may be missing between the consumer and the shard: a lost batch would be lost for good."""
        begun = shard.partition.at.next_offset
        wanted = begun if begun != NOTHING else self._consumer.starts.get(message.tp, message.key)
        if message.key > wanted:
            raise RuntimeError(
                f"{message.topic}[{message.partition}]: "
                f"records {wanted} to {message.key - 1} were read and not delivered"
            )

    async def _flush_loop(self) -> None:
        interval_s, catching_up_s = self.settings.flush.interval_ms / 1000, self.settings.flush.catching_up_ms / 1000
        while True:
            self._turns["flush"].beat()
            self.flusher.start_due(self.settings.app.partitions, catching_up_s)
            await asyncio.sleep(interval_s)

    async def _tick_loop(self) -> None:
        while True:
            self._turns["tick"].beat()
            await asyncio.sleep(_TICK_BEHIND_S if self.ticker.behind or self.teams.behind else _TICK_S)
            began_s = self.clocks.steady_s()
            if self._adopting is not None:
                self._adopting.between_looks()
            await self.ticker.tick(self.clocks.now_ms())
            await self.teams.tick(self.clocks.now_ms())
            self.metrics.tick_seconds.observe(self.clocks.steady_s() - began_s)

    async def _show_loop(self) -> None:
        while True:
            self._turns["show"].beat()
            await asyncio.sleep(1.0)
            self._show()

    async def _app_loop(self) -> None:
        """Faust starts, which takes as long as the first recovery; it ends on its own only when it has crashed."""
        await self.app.start()
        self._started = True
        await self.app.wait_until_stopped()
        if not self._stop.is_set():
            reason = self.app.crash_reason
            what = f"the stream application stopped: {reason!r}"
            if isinstance(reason, (KafkaError, OSError)):
                raise Stalled(what, "look at the brokers; nothing is lost, the next process reads again") from reason
            raise RuntimeError(what) from reason

    # ---- ports

    @property
    def _consumer(self) -> BatchConsumer:
        return cast(BatchConsumer, self.app.consumer)

    def committed(self, topic: str, partition: int, offset: int, generation: int) -> None:
        """The group has committed; what waited for that may go on."""
        shard = self.shards.get(partition)
        if shard is not None and shard.generation == generation and topic == self.settings.topics.events:
            shard.partition.committed(offset)
            self.standing.committed(partition, offset)

    def begins(self, partition: int, offset: int) -> None:
        """Where reading begins in this assignment: what lies before was acknowledged by somebody."""
        self.shards.shard(partition).begins_at = offset

    def assigned(self) -> None:
        """The group has given this worker its share, which may be nothing."""
        self.standing.look()
        self._joining.rest()

    def revoked(self) -> None:
        """A rebalance has begun: nothing is accepted, flushed or judged until the next assignment."""
        self._joining.beat()
        for shard in self.shards.values():
            shard.revoked = True

    def commit_took(self, seconds: float) -> None:
        """A commit succeeded."""
        self.metrics.commit_seconds.observe(seconds)

    def _acknowledge(self, partition: int, offset: int, generation: int) -> bool:
        if self._failure is not None and self._failure.done():
            return False
        return self._consumer.acknowledge(self.settings.topics.events, partition, offset, generation)

    # ---- numbers about the worker

    def _count(self, intake: Intake) -> None:
        metrics = self.metrics
        metrics.events.inc(intake.records)
        for outcome, count in intake.outcomes.items():
            metrics.outcomes.labels(outcome.name.lower()).inc(count)
        for reason, count in intake.rejected.items():
            metrics.rejected.labels(str(reason)).inc(count)
        metrics.late.inc(intake.late)
        metrics.forwarded.inc(intake.forwarded)

    def _end_of(self, partition: int) -> int | None:
        try:
            return self._consumer.stable_end(TP(self.settings.topics.events, partition))
        except AssertionError:
            return None  # aiokafka asserts that it is assigned; its thread hears of a rebalance before we do

    def _show(self) -> None:
        self.standing.look()
        self._alarm.keep({shard.partition.number for shard in self.shards.values() if shard.generation != NOTHING})
        self.ticker.forget_lost()
        for name, count in self._reader.decoder.unknown.items():
            self.metrics.unknown_fields.labels(name).inc(count - self._unknown_shown.get(name, 0))
            self._unknown_shown[name] = count
        self.metrics.alerts_firing.clear()
        for tenant, firing in add_counts((self.ticker.firing(), self.teams.firing())).items():
            self.metrics.alerts_firing.labels(tenant).set(firing)
        self.metrics.source_silent.clear()
        for names, silent in self.teams.silent().items():
            self.metrics.source_silent.labels(*names).set(int(silent))


async def _ended(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=_LOOPS_STOP_LIMIT_S)
