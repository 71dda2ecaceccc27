"""Service: the composition root. Builds each role from its configuration and owns the real clocks."""

import asyncio
import gc
import logging
import os
import signal
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry

from kpistream import config as configuration
from kpistream.config import Config
from kpistream.core.partition import PartitionSettings
from kpistream.core.refusals import Limits
from kpistream.core.settings import Settings, read_settings
from kpistream.errors import ConfigError
from kpistream.history import ddl, tables
from kpistream.history.sink import Sink
from kpistream.history.sink_settings import SinkSettings
from kpistream.history.store import Store, open_store
from kpistream.history.writer import roster_insert
from kpistream.log import admin as log_admin
from kpistream.log import continuity
from kpistream.log.topics import Topics
from kpistream.metrics import SinkMetrics, WorkerMetrics, serve
from kpistream.stream.agents import Clocks, Worker, WorkerSettings
from kpistream.stream.app import AppSettings
from kpistream.stream.flush import FlushSettings
from kpistream.stream.watchdog import Pulse, Watchdog

log = logging.getLogger(__name__)

EXIT_FAILED = 70
_STOP_LIMIT_S = 10.0


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
    """Roster and targets of the settings directory; empty without one. Raises ConfigError with all faults."""
    if not config.settings:
        return Settings()
    return read_settings(configuration.yaml_files(config.settings))


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
    partitions, settings = await checked_start(config)
    registry = CollectorRegistry()
    worker = Worker(worker_settings(config, partitions, settings), clocks(), WorkerMetrics(registry))
    if config.metrics_port >= 0:
        port = serve(registry, config.metrics_host, config.metrics_port)
        log.info("metrics address=%s:%s", config.metrics_host, port)
    stop_on_signals(worker.stop)
    tame_collector()
    async with watched(worker, config.stall_timeout_s):
        await worker.run()


async def run_sink(config: Config) -> None:
    """The sink role: checks, then works until SIGTERM or SIGINT."""
    if not config.store:
        raise ConfigError("KPISTREAM_STORE: the sink needs a ClickHouse URL or a directory")
    partitions, settings = await checked_start(config)
    registry = CollectorRegistry()
    observer = SinkWatch(SinkMetrics(registry))
    told = sink_settings(config, partitions)
    sink = Sink(told, lambda: store_with_roster(config, settings), time.monotonic, observer)
    if config.metrics_port >= 0:
        port = serve(registry, config.metrics_host, config.metrics_port)
        log.info("metrics address=%s:%s", config.metrics_host, port)
    stop_on_signals(sink.stop)
    await sink.run()


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
async def watched(worker: Worker, limit_s: float) -> AsyncIterator[None]:
    """A watchdog over the worker and the running event loop, while the context lasts."""
    pulse = Pulse(time.monotonic(), lambda: worker.standing.progress_s)
    watchdog = Watchdog(pulse, time.monotonic, limit_s)

    async def beat() -> None:
        while True:
            pulse.beat_s = time.monotonic()
            await asyncio.sleep(1.0)

    heart = asyncio.ensure_future(beat())
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
        loop.call_later(_STOP_LIMIT_S, os._exit, EXIT_FAILED)
        stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
