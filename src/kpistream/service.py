"""Service: the composition root. Builds each role from its configuration and owns the real clocks."""

import asyncio
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
from kpistream.core.settings import Settings, read_settings
from kpistream.errors import ConfigError
from kpistream.log import admin as log_admin
from kpistream.log.topics import Topics
from kpistream.metrics import WorkerMetrics, serve
from kpistream.stream.agents import Clocks, Worker, WorkerSettings
from kpistream.stream.app import AppSettings
from kpistream.stream.flush import FlushSettings
from kpistream.stream.watchdog import Pulse, Watchdog

log = logging.getLogger(__name__)

EXIT_FAILED = 70
_STOP_LIMIT_S = 10.0


def clocks() -> Clocks:
    """The real clocks."""
    return Clocks(lambda: time.time_ns() // 1_000_000, time.monotonic)


async def checked_partitions(config: Config) -> int:
    """Partitions of the events topic, once everything a role needs is there. Raises ConfigError with all faults."""
    topics = Topics(config.topic_prefix)
    admin = await log_admin.connect(config.connection())
    try:
        faults = log_admin.codec_faults() + await log_admin.topic_faults(admin, topics.specs(config.horizon_ms))
        counts = await log_admin.partition_counts(admin)
    finally:
        await admin.close()
    partitions = counts.get(topics.events, 0)
    if not faults:
        faults = await log_admin.cluster_faults(config.connection(), topics, config.pane_ms, partitions)
    if faults:
        raise ConfigError(faults)
    return partitions


def live_settings(config: Config) -> Settings:
    """Roster and targets of the settings directory; empty without one. Raises ConfigError with all faults."""
    if not config.settings:
        return Settings()
    return read_settings(configuration.yaml_files(config.settings))


def make_worker(config: Config, partitions: int, live: Settings, registry: CollectorRegistry) -> Worker:
    """A worker for these partitions; `run` makes it work."""
    settings = WorkerSettings(
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
    )
    return Worker(settings, clocks(), WorkerMetrics(registry))


async def run_worker(config: Config) -> None:
    """The worker role: checks, then works until SIGTERM or SIGINT."""
    partitions = await checked_partitions(config)
    registry = CollectorRegistry()
    worker = make_worker(config, partitions, live_settings(config), registry)
    if config.metrics_port >= 0:
        port = serve(registry, config.metrics_host, config.metrics_port)
        log.info("metrics address=%s:%s", config.metrics_host, port)
    stop_on_signals(worker.stop)
    async with watched(worker, config.stall_timeout_s):
        await worker.run()


@asynccontextmanager
async def watched(worker: Worker, limit_s: float) -> AsyncIterator[None]:
    """A watchdog over the worker and the running event loop, while the context lasts."""
    pulse = Pulse(time.monotonic(), lambda: worker.progress_s)
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
