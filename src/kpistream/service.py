"""Service: the composition root. Builds each role from its configuration and owns the real clocks."""

import asyncio
import gc
import logging
import os
import signal
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry

from kpistream import config as configuration
from kpistream.config import Config
from kpistream.core.partition import PartitionSettings
from kpistream.core.refusals import Limits
from kpistream.core.settings import Settings, read_settings
from kpistream.endpoint import serve
from kpistream.errors import ConfigError, KpistreamError
from kpistream.health import LATE_LOOP_S, Health
from kpistream.history import ddl, tables
from kpistream.history.sink import Sink
from kpistream.history.sink_settings import SinkSettings
from kpistream.history.standing import StandingLimits
from kpistream.history.store import Store, open_store
from kpistream.history.writer import roster_insert
from kpistream.log import admin as log_admin
from kpistream.log import continuity
from kpistream.log.topics import Topics
from kpistream.metrics import NotifyMetrics, SinkMetrics, WorkerMetrics
from kpistream.stream.agents import Clocks, Worker, WorkerSettings
from kpistream.stream.app import AppSettings
from kpistream.stream.flush import FlushSettings
from kpistream.watchdog import EXIT_STUCK, Watchdog

log = logging.getLogger(__name__)

EXIT_FAILED = EXIT_STUCK
_STOP_LIMIT_S = 10.0
_START_HINT = "look at the brokers: one that accepts connections and answers nothing is paused, overloaded or no broker"
_LOOP_HINT = "report the line that the main thread is at; restart the process"
_BEAT_S = 0.5


def load_config(**overrides: object) -> Config:
    """Configuration of this process: its environment, then `overrides`."""
    return configuration.load(os.environ, **overrides)


def clocks() -> Clocks:
    """The real clocks."""
    return Clocks(lambda: time.time_ns() // 1_000_000, time.monotonic)


async def checked_start(config: Config) -> tuple[int, Settings]:
    """Partitions of the events topic and the settings. Raises ConfigError with the faults of both."""
    faults: list[str] = []
    settings, partitions = Settings(), 0
    try:
        settings = live_settings(config)
    except ConfigError as error:
        faults += error.faults
    try:
        partitions = await checked_partitions(config)
    except ConfigError as error:
        faults += error.faults
    if faults:
        raise ConfigError(faults)
    return partitions, settings


async def checked_partitions(config: Config, *, write: bool = True) -> int:
    """Partitions of the events topic, once everything a role needs is there. Raises ConfigError with all faults.

    The first role to start puts pane size and partition count on record; with `write` False nobody does.
    """
    topics = Topics(config.topic_prefix)
    admin = await log_admin.connect(config.connection())
    try:
        specs = topics.specs(config.events_retention_ms)
        faults = log_admin.codec_faults() + await log_admin.topic_faults(admin, specs)
        counts = await log_admin.partition_counts(admin)
    finally:
        await admin.close()
    partitions = counts.get(topics.events, 0)
    if not faults:
        faults = await log_admin.cluster_faults(config.connection(), topics, config.pane_ms, partitions, write=write)
        faults += await continuity.identity_faults(config.connection(), topics, write=write and not faults)
    if faults:
        raise ConfigError(faults)
    return partitions


def live_settings(config: Config) -> Settings:
    """What the settings directory holds; nothing without one. Raises ConfigError with all faults."""
    if not config.settings:
        return Settings()
    files = configuration.yaml_files(config.settings) | configuration.csv_files(config.settings)
    return read_settings(files)


def worker_settings(config: Config, partitions: int, live: Settings) -> WorkerSettings:
    """What a worker of this configuration is told."""
    return WorkerSettings(
        app=AppSettings(
            config.broker,
            config.worker_group,
            config.instance,
            config.session_timeout_s,
            partitions,
            config.connection(),
        ),
        topics=Topics(config.topic_prefix),
        partition=PartitionSettings(
            writer=uuid.uuid4().hex[:12],
            pane_ms=config.pane_ms,
            horizon_ms=config.horizon_ms,
            history=config.history,
        ),
        live=live,
        sink_group=config.sink_group,
        teams_group=f"{config.group}-teams",
        agent_metrics=config.agent_metrics,
        flush=FlushSettings(config.flush_ms),
        publish_timeout_s=config.publish_timeout_s,
        watch_log=not config.embedded,
        refusals=Limits(config.bad_percent, config.bad_window, config.bad_consecutive, config.bad_stop),
        stall_timeout_s=config.stall_timeout_s,
    )


def sink_settings(config: Config, partitions: int) -> SinkSettings:
    """What a sink of this configuration is told."""
    return SinkSettings(
        connection=config.connection(),
        topics=Topics(config.topic_prefix),
        group=config.sink_group,
        partitions=partitions,
        pane_ms=config.pane_ms,
        batch_rows=config.sink_rows,
        batch_ms=config.sink_ms,
        session_timeout_ms=config.session_timeout_s * 1000,
        watch_log=not config.embedded,
        limits=StandingLimits(config.stall_timeout_s, config.store_timeout_s),
    )


def tame_collector() -> None:
    """Let the cyclic collector look less often, and never again at what is there already.

    A batch makes thousands of short-lived objects and no cycles; with the default thresholds the collector looks at
    them, and at the panes, again and again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


async def run_worker(config: Config) -> None:
    """The worker role: checks, then works until SIGTERM or SIGINT."""
    registry, health = CollectorRegistry(), Health("worker", time.monotonic)
    async with watched(health, config.loop_timeout_s):
        partitions, settings = await _started(config, registry, health)
        told = worker_settings(config, partitions, settings)
        worker = Worker(told, clocks(), WorkerMetrics(registry), health)
        stop_on_signals(worker.stop)
        tame_collector()
        await worker.run()


async def run_sink(config: Config) -> None:
    """The sink role: checks, then works until SIGTERM or SIGINT."""
    if not config.store:
        raise ConfigError("KPISTREAM_STORE: the sink needs a ClickHouse URL or a directory")
    registry, health = CollectorRegistry(), Health("sink", time.monotonic)
    async with watched(health, config.loop_timeout_s):
        partitions, settings = await _started(config, registry, health)
        observer, told = SinkWatch(SinkMetrics(registry)), sink_settings(config, partitions)
        sink = Sink(told, lambda: store_with_roster(config, settings), time.monotonic, observer, health)
        stop_on_signals(sink.stop)
        await sink.run()


async def run_notify(config: Config) -> None:
    """The role that tells people: checks, then works until SIGTERM or SIGINT."""
    from kpistream.notify.channels import channel_of  # apprise is slow to import, and no other role needs it
    from kpistream.notify.desk import Clocks as DeskClocks
    from kpistream.notify.role import Notifier, NotifySettings

    registry, health = CollectorRegistry(), Health("notify", time.monotonic)
    async with watched(health, config.loop_timeout_s):
        _, settings = await _started(config, registry, health)
        if not settings.notify.receivers:
            raise ConfigError("KPISTREAM_SETTINGS: no receivers are there, see docs/how-to/notifications.md")
        told = NotifySettings(
            connection=config.connection(),
            topics=Topics(config.topic_prefix),
            group=config.notify_group,
            notify=settings.notify,
            session_timeout_ms=config.session_timeout_s * 1000,
            publish_timeout_s=config.publish_timeout_s,
            stall_timeout_s=config.stall_timeout_s,
        )
        secret_of = partial(configuration.secret_of, os.environ)
        time_of = DeskClocks(clocks().now_ms, clocks().steady_s)
        notifier = Notifier(told, lambda each: channel_of(each, secret_of), time_of, NotifyMetrics(registry), health)
        stop_on_signals(notifier.stop)
        await notifier.run()


async def _started(config: Config, registry: CollectorRegistry, health: Health) -> tuple[int, Settings]:
    """What `checked_start` says, with the endpoint open from before the checks on. Raises ConfigError."""
    starting = health.pulse("start checks are not done", _START_HINT, config.stall_timeout_s, unready_after_s=0.0)
    starting.beat()
    faults: list[str] = []
    checked = (0, Settings())
    try:
        if config.metrics_port >= 0:
            port = serve(registry, health, config.metrics_host, config.metrics_port)
            log.info("metrics address=%s:%s", config.metrics_host, port)
    except ConfigError as error:
        faults += error.faults
    try:
        checked = await checked_start(config)
    except ConfigError as error:
        faults += error.faults
    if faults:
        raise ConfigError(faults)
    asyncio.get_running_loop().call_soon(starting.rest)  # the role has begun its own pulses by then
    return checked


def store_with_roster(config: Config, settings: Settings) -> Store:
    """The opened store, with the roster as it is now in `kpi_roster`. Raises SinkUnavailable during an outage."""
    store = open_store(config.store)
    try:
        ddl.check(store)
        if settings.roster.tenants:
            store.insert(roster_insert(time.time_ns() // 1_000_000, settings.roster))
    except BaseException:
        store.close()
        raise
    return store


class SinkWatch:
    """Counts what a sink tells."""

    def __init__(self, metrics: SinkMetrics) -> None:
        self._metrics = metrics

    def wrote(self, table: str, rows: int, seconds: float) -> None:
        """Rows of a table were confirmed."""
        counters = {
            tables.FACTS: self._metrics.facts,
            tables.PANES: self._metrics.rows,
            tables.ALERTS: self._metrics.alerts,
            "marks": self._metrics.marks,
        }
        counters[table].inc(rows)
        self._metrics.insert_seconds.observe(seconds)

    def retried(self, error: str) -> None:
        """A write failed."""
        self._metrics.retries.inc()

    def committed(self, topic: str, partition: int, offset: int, lag: int) -> None:
        """The group has committed."""
        self._metrics.lag.labels(topic, str(partition)).set(lag)


@asynccontextmanager
async def watched(health: Health, loop_timeout_s: float) -> AsyncIterator[None]:
    """A watchdog over a process and its running event loop, while the context lasts."""
    pulse = health.pulse("event loop is blocked", _LOOP_HINT, loop_timeout_s, LATE_LOOP_S)
    watchdog = Watchdog(health)

    async def beat() -> None:
        while True:
            pulse.beat()
            await asyncio.sleep(_BEAT_S)

    heart = asyncio.ensure_future(beat())
    pulse.beat()
    watchdog.start()
    try:
        yield
    finally:
        watchdog.stop()
        heart.cancel()


def stop_on_signals(stop: Callable[[], None]) -> None:
    """Call `stop` on SIGTERM and SIGINT; a second signal, or 10 s, ends the process at once."""
    loop = asyncio.get_running_loop()
    asked = False

    def on_signal() -> None:
        nonlocal asked
        if asked:
            os._exit(EXIT_FAILED)
        asked = True
        end_within(_STOP_LIMIT_S, EXIT_FAILED)
        stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)


def end_within(seconds: float, code: int) -> threading.Timer:
    """End the process with this code unless it is gone by then, whatever still runs: a thread that sleeps."""
    timer = threading.Timer(seconds, os._exit, (code,))
    timer.daemon = True
    timer.start()
    return timer


def fatal_line(role: str, error: BaseException) -> str:
    """The one line that says what ended a role and what to do."""
    text, _, hint = str(error).partition("\nhint: ")
    if not isinstance(error, KpistreamError):
        text = repr(error)
    if not hint:
        hint = _hint(error)
    return f"failed role={role} fault={text!r} hint={hint!r}"


def unexpected(error: BaseException) -> bool:
    """Whether the error is nobody's but ours: its traceback is worth having."""
    return not isinstance(error, (KpistreamError, KafkaError, OSError))


def _hint(error: BaseException) -> str:
    if isinstance(error, (KafkaError, OSError)):
        return "look at the brokers; nothing is lost, the next process reads again from the committed offsets"
    if isinstance(error, KpistreamError):
        return "nothing was committed; it comes again until the cause is mended"
    return "a defect: report it with the traceback; nothing is lost, the next process reads again"
