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
from kpistream.core.versions import VersionLog
from kpistream.endpoint import serve
from kpistream.errors import ConfigError, KpistreamError
from kpistream.following import Start, beside, keeper_of, kept_follower, role_follower, tell_settings
from kpistream.health import LATE_LOOP_S, Health
from kpistream.history.review import Review, ReviewSettings
from kpistream.history.reviewing import Reviewing
from kpistream.history.sink import Sink
from kpistream.history.sink_settings import SinkSettings
from kpistream.history.standing import StandingLimits
from kpistream.history.store import open_store
from kpistream.log import admin as log_admin
from kpistream.log import continuity
from kpistream.log.completeness import Way
from kpistream.log.settings_versions import read_versions
from kpistream.log.topics import Topics
from kpistream.metrics import NotifyMetrics, ReviewMetrics, SinkMetrics, WorkerMetrics
from kpistream.observing import ReviewWatch, SinkWatch
from kpistream.stream.agents import Clocks, Worker, WorkerSettings
from kpistream.stream.app import AppSettings
from kpistream.stream.flush import FlushSettings
from kpistream.watchdog import EXIT_STUCK, Watchdog

log = logging.getLogger(__name__)

EXIT_FAILED = EXIT_STUCK
_STOP_LIMIT_S = 10.0
_START_HINT = "look at the brokers: one that accepts connections and answers nothing is paused, overloaded or no broker"
_LOOP_HINT = "report the line that the main thread is at; restart the process"
_TURN_HINT = "look at the brokers; restart the process, and report this if it comes again"
_BEAT_S = 0.5


def load_config(**overrides: object) -> Config:
    """Configuration of this process: its environment, then `overrides`."""
    return configuration.load(os.environ, **overrides)


def clocks() -> Clocks:
    """The real clocks."""
    return Clocks(lambda: time.time_ns() // 1_000_000, time.monotonic)


async def checked_start(config: Config) -> Start:
    """What a role begins with: settings of the log, else of the directory. Raises ConfigError with all faults."""
    faults: list[str] = []
    partitions, versions, version, settings = 0, VersionLog(), None, Settings()
    try:
        partitions = await checked_partitions(config)
        await read_versions(config.connection(), Topics(config.topic_prefix).settings, versions)
        version = await asyncio.to_thread(versions.newest)
    except ConfigError as error:
        faults += error.faults
    texts: dict[str, str] = {}
    try:
        texts = live_files(config) if version is None else {}
        settings = read_settings(texts) if version is None else version.settings
    except ConfigError as error:
        faults += error.faults
    if faults:
        raise ConfigError(faults)
    return Start(partitions, settings, versions, version, texts)


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
    return read_settings(live_files(config))


def live_files(config: Config) -> dict[str, str]:
    """The texts of the settings directory by path; none without one. Raises ConfigError when it holds no YAML file."""
    if not config.settings:
        return {}
    return configuration.yaml_files(config.settings) | configuration.csv_files(config.settings)


def worker_settings(
    config: Config, partitions: int, live: Settings, versions: VersionLog | None = None, version: int = 0
) -> WorkerSettings:
    """What a worker of this configuration is told; with `versions` it follows those behind number `version`."""
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
        versions=versions,
        version=version,
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
        start, metrics = await _started(config, registry, health), WorkerMetrics(registry)
        tell_settings(config, start, metrics.settings)
        told = worker_settings(config, start.partitions, start.settings, start.versions, start.number)
        worker = Worker(told, clocks(), metrics, health)
        stop_on_signals(worker.stop)
        tame_collector()
        await worker.run()


async def run_sink(config: Config) -> None:
    """The sink role: checks, then works until SIGTERM or SIGINT."""
    if not config.store:
        raise ConfigError("KPISTREAM_STORE: the sink needs a ClickHouse URL or a directory")
    registry, health = CollectorRegistry(), Health("sink", time.monotonic)
    async with watched(health, config.loop_timeout_s):
        start, metrics = await _started(config, registry, health), SinkMetrics(registry)
        tell_settings(config, start, metrics.settings)
        observer, told = SinkWatch(metrics), sink_settings(config, start.partitions)
        sink = Sink(told, lambda: open_store(config.store), time.monotonic, observer, health)
        sink.keeper = keeper_of(start, clocks().now_ms())
        follower = kept_follower(config, start, sink.keeper, metrics.settings)
        follower.turned = health.pulse("settings loop has not turned", _TURN_HINT, config.stall_timeout_s).beat
        stop_on_signals(sink.stop)
        await beside(sink.run(), follower.run())


async def run_review(config: Config) -> None:
    """The review role: checks, then works until SIGTERM or SIGINT."""
    if not config.store:
        raise ConfigError("KPISTREAM_STORE: the review needs a ClickHouse URL or a directory")
    registry, health = CollectorRegistry(), Health("review", time.monotonic)
    async with watched(health, config.loop_timeout_s):
        start = await _started(config, registry, health)
        metrics = ReviewMetrics(registry)
        tell_settings(config, start, metrics.settings)
        reviewing, told = Reviewing(start.settings, config.pane_ms), review_settings(config, start.partitions)
        review = Review(told, reviewing, lambda: open_store(config.store), clocks().now_ms, health)
        review.observer = ReviewWatch(metrics)
        stop_on_signals(review.stop)
        follower = role_follower(config, start, review.adopt, metrics.settings)
        await beside(review.run(), follower.run())


def review_settings(config: Config, partitions: int) -> ReviewSettings:
    """What a review of this configuration is told."""
    topics = Topics(config.topic_prefix)
    return ReviewSettings(
        connection=config.connection(),
        topics=topics,
        group=config.review_group,
        way=Way(topics.events, config.worker_group, topics.panes, config.sink_group),
        partitions=partitions,
        session_timeout_ms=config.session_timeout_s * 1000,
        grace_ms=config.review_grace_minutes * 60_000,
        stall_timeout_s=config.store_timeout_s,
    )


async def run_notify(config: Config) -> None:
    """The role that tells people: checks, then works until SIGTERM or SIGINT."""
    from kpistream.notify.channels import channel_of  # apprise is slow to import, and no other role needs it
    from kpistream.notify.desk import Clocks as DeskClocks
    from kpistream.notify.role import Notifier, NotifySettings

    registry, health = CollectorRegistry(), Health("notify", time.monotonic)
    async with watched(health, config.loop_timeout_s):
        start, metrics = await _started(config, registry, health), NotifyMetrics(registry)
        receivers = start.settings.notify
        if not receivers.receivers:
            raise ConfigError("KPISTREAM_SETTINGS: no receivers are there, see docs/how-to/notifications.md")
        tell_settings(config, start, metrics.settings)
        told = NotifySettings(
            connection=config.connection(),
            topics=Topics(config.topic_prefix),
            partitions=start.partitions,
            group=config.notify_group,
            notify=receivers,
            session_timeout_ms=config.session_timeout_s * 1000,
            publish_timeout_s=config.publish_timeout_s,
            stall_timeout_s=config.stall_timeout_s,
        )
        secret_of = partial(configuration.secret_of, os.environ)
        time_of = DeskClocks(clocks().now_ms, clocks().steady_s)
        notifier = Notifier(told, lambda each: channel_of(each, secret_of), time_of, metrics, health)
        stop_on_signals(notifier.stop)
        follower = role_follower(config, start, notifier.adopt, metrics.settings)
        follower.turned = health.pulse("settings loop has not turned", _TURN_HINT, config.stall_timeout_s).beat
        await beside(notifier.run(), follower.run())


async def _started(config: Config, registry: CollectorRegistry, health: Health) -> Start:
    """What `checked_start` says, with the endpoint open from before the checks on. Raises ConfigError."""
    starting = health.pulse("start checks are not done", _START_HINT, config.stall_timeout_s, unready_after_s=0.0)
    starting.beat()
    faults: list[str] = []
    checked: Start | None = None
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
    if faults or checked is None:
        raise ConfigError(faults)
    asyncio.get_running_loop().call_soon(starting.rest)  # the role has begun its own pulses by then
    return checked


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
