"""Live view: `watch` on a running system, and `demo`, which shows the same over a simulated floor.

Read-only towards the system that it looks at: plain consumers without a group, from the beginning of the
topics to now, then on. The screen is drawn in a terminal; anything else gets lines.
"""

import asyncio
import contextlib
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from rich.console import Console
from rich.live import Live

from kpistream import service
from kpistream.config import Config
from kpistream.core.acks import Ack, decode_ack
from kpistream.core.alerts import Transition, decode_transition
from kpistream.core.readings import decode_reading
from kpistream.core.windows import LIVE_WINDOWS
from kpistream.demo import Demo, DemoSettings, summary
from kpistream.embedded import PARTITIONS
from kpistream.errors import ConfigError
from kpistream.log import admin as log_admin
from kpistream.log.topics import Topics
from kpistream.watching.plain import PlainLines
from kpistream.watching.screen import Look, Screen, capture_svg
from kpistream.watching.view import STALE_S, Choice, View

_POLL_MS: Final = 200
_FRAMES_A_SECOND: Final = 2


class Follower:
    """Reads readings and transitions of all partitions into a sink of its caller's."""

    def __init__(self, connection: Mapping[str, Any], topics: Topics, partitions: Mapping[str, int]) -> None:
        self._topics = topics
        self._consumer = AIOKafkaConsumer(**connection, enable_auto_commit=False, auto_offset_reset="earliest")
        self._followed = [
            TopicPartition(topic, number)
            for topic in (topics.readings, topics.alerts, topics.alert_acks)
            if topic in partitions
            for number in range(partitions[topic])
        ]
        self._ends: dict[TopicPartition, int] = {}

    async def __aenter__(self) -> "Follower":
        await self._consumer.start()
        self._consumer.assign(self._followed)
        self._ends = await self._consumer.end_offsets(self._followed)
        await self._consumer.seek_to_beginning(*self._followed)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def take(self, show: "Show") -> int:
        """Hand on what has come since the last call; how many records, none when nothing comes for a while."""
        fetched = await self._consumer.getmany(timeout_ms=_POLL_MS, max_records=5000)
        for tp, records in fetched.items():
            for record in records:
                if record.value and tp.topic == self._topics.alert_acks:
                    show.put_ack(record.value)
                elif record.value:
                    show.put(tp.topic == self._topics.alerts, record.key or b"", record.value)
        return sum(map(len, fetched.values()))

    async def caught_up(self) -> bool:
        """True once everything that was there at the start has been handed on."""
        return all([await self._consumer.position(tp) >= end for tp, end in self._ends.items()])


class Show:
    """A view and the place where it is shown: a screen in a terminal, else lines."""

    def __init__(self, choice: Choice, look: Look, now_ms: Callable[[], int]) -> None:
        self.view = View(choice)
        self.look = look
        self.transitions: dict[str, Transition] = {}
        """All transitions seen, by id."""
        self.held = True
        """While true nothing is shown: what was there before is still being read."""
        self._acks: dict[str, Ack] = {}
        """What people had said before."""
        self._before: dict[tuple[bool, bytes], bytes] = {}
        """The newest record of each key that was there before."""
        self._now_ms = now_ms
        self._old = False
        self._console = Console()
        self._lines = PlainLines(self.view, look.zone)
        self._live: Live | None = None

    def put(self, alert: bool, key: bytes, value: bytes) -> None:
        """Take in a record of the readings or the alerts; one that is neither is passed over."""
        try:
            if alert:
                transition = decode_transition(value)
                self.transitions.setdefault(transition.alert_id, transition)
                self.view.note(transition)
            reading = None if alert else decode_reading(value)
        except msgspec.MsgspecError:
            return
        if self.held:
            self._before[alert, key] = value
        elif reading is None:
            self._print(self._lines.put_transition(transition))
        else:
            self._print(self._lines.put_reading(reading, _wall_ms()))

    def put_ack(self, value: bytes) -> None:
        """Take in a record of what people say; one that is none is passed over."""
        try:
            ack = decode_ack(value)
        except msgspec.MsgspecError:
            return
        if self.held:
            self._acks[ack.key] = ack
        else:
            self._print(self._lines.put_ack(ack, self._now_ms()))

    def release(self) -> None:
        """Show what was there before, the newest of everything, and from now on what comes."""
        self.held = False
        before, self._before = self._before, {}
        for (alert, key), value in before.items():
            self.put(alert, key, value)
        for ack in self._acks.values():
            self._print(self._lines.put_ack(ack, self._now_ms()))
        self.draw()

    def draw(self) -> None:
        """Draw the screen again, or print the lines that have become due."""
        if self._live is not None:
            self._live.update(self.screen(), refresh=True)
        else:
            self._print([*self._warning(), *self._lines.due(_wall_ms())])

    def _warning(self) -> list[str]:
        """One line when readings have stopped coming, once."""
        newest_ms, was_old = self.view.newest_ms, self._old
        age_s = 0.0 if newest_ms is None else (self._now_ms() - newest_ms) / 1000 / self.look.speed
        self._old = age_s > STALE_S
        return [f"warning: the newest reading is {age_s:.0f} s old"] if self._old and not was_old else []

    def screen(self) -> Screen:
        """The picture as it is now."""
        return Screen(self.view, self._now_ms(), self.look)

    @contextlib.contextmanager
    def on_screen(self) -> Any:
        """Take the terminal over while the context lasts, when there is one."""
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, screen=True, auto_refresh=False) as self._live:
            self.draw()
            yield
        self._live = None
        options = self._console.options
        for line in self.screen().lines(options.max_width, ascii_only=options.ascii_only):  # all of it, however long
            self._console.print(line, no_wrap=True, overflow="ellipsis")

    def _print(self, lines: list[str]) -> None:
        if self._live is None and not self._console.is_terminal:
            for line in lines:
                print(line, flush=True)


def _wall_ms() -> int:
    return time.monotonic_ns() // 1_000_000


@contextlib.asynccontextmanager
async def _interrupts() -> AsyncIterator[asyncio.Event]:
    """An event that the first Ctrl-C or SIGTERM sets; a second Ctrl-C ends the process as usual."""
    loop, asked = asyncio.get_running_loop(), asyncio.Event()

    def ask() -> None:
        asked.set()
        loop.remove_signal_handler(signal.SIGINT)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ask)
    try:
        yield asked
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def _follow(follower: Follower, show: Show, until: asyncio.Event) -> None:
    """Show what comes until `until` is set."""
    drawn_s = 0.0
    while not until.is_set():
        await follower.take(show)
        if show.held and await follower.caught_up():
            show.release()
        if time.monotonic() - drawn_s >= 1 / _FRAMES_A_SECOND:
            show.draw()
            drawn_s = time.monotonic()


# ---- watch


async def watch_command(config: Config, *, tenant: str | None, team: str | None, agent: str | None, window: str) -> int:
    """`kpistream watch`: until Ctrl-C."""
    if window not in LIVE_WINDOWS:
        raise ConfigError(f'window "{window}" is none of {", ".join(LIVE_WINDOWS)}')
    topics = Topics(config.topic_prefix)
    partitions = await _partitions(config, topics)
    show = Show(Choice(window, tenant, team, agent), Look(note="Ctrl-C leaves"), lambda: time.time_ns() // 1_000_000)
    async with _interrupts() as asked, Follower(config.connection(), topics, partitions) as follower:
        with show.on_screen():
            await _follow(follower, show, asked)
    return 0


async def _partitions(config: Config, topics: Topics) -> dict[str, int]:
    """Partitions of the two topics; nothing is made by asking. Raises ConfigError when one is not there."""
    admin = await log_admin.connect(config.connection())
    try:
        there = await log_admin.partition_counts(admin)
    finally:
        await admin.close()
    missing = [name for name in (topics.readings, topics.alerts) if name not in there]
    if missing:
        raise ConfigError([f"topic {name!r} is not on {config.broker}" for name in missing])
    return there


# ---- demo


@dataclass(frozen=True, slots=True)
class _Begun:
    """A demo under way, and what shows it."""

    demo: Demo
    show: Show


async def demo_command(
    *, seconds: float | None, store: str | None, settings: str | None, capture: str | None, **options: Any
) -> int:
    """`kpistream demo`: 0 when every pane equals the recomputation, else 1. `options` are those of the demo."""
    live = None if settings is None else service.live_settings(service.load_config(settings=settings))
    with contextlib.ExitStack() as stack:
        directory = store or str(
            Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))) / "store"
        )
        async with _interrupts() as asked:
            demo = Demo(DemoSettings(directory, settings=live, **options))
            show = Show(Choice(), _look(demo), demo.now_ms)
            result = await _run(_Begun(demo, show), seconds, asked, capture)
    for line in summary(result):
        print(line)
    if store:
        print(f"history is in {store}: kpistream report agents --store {store} --zone {demo.zone}", file=sys.stderr)
    return 0 if result.exact else 1


def _look(demo: Demo) -> Look:
    speed = demo.settings.speed
    return Look(demo.zone, "kpistream demo", speed, f"simulated, {speed:g} times as fast as life; Ctrl-C ends it")


async def _run(begun: _Begun, seconds: float | None, asked: asyncio.Event, capture: str | None) -> Any:
    demo, show = begun.demo, begun.show
    print(demo.opening_words(), file=sys.stderr, flush=True)
    done = asyncio.Event()
    async with demo.running() as pipeline:
        count = dict.fromkeys((pipeline.topics.readings, pipeline.topics.alerts), PARTITIONS)
        async with Follower(pipeline.config.connection(), pipeline.topics, count) as follower:
            following = asyncio.ensure_future(_follow(follower, show, done))
            try:
                await demo.warm_up(asked)
                with show.on_screen():
                    await demo.run(seconds, asked)
                if capture:
                    Path(capture).write_text(capture_svg(show.screen()), encoding="utf-8")
                print("draining, then comparing every pane ...", file=sys.stderr, flush=True)
                await demo.drain()
                await asyncio.sleep(1.0)  # readings and alerts of the last events are still on their way
            finally:
                done.set()
                await following
    return demo.result(list(show.transitions.values()))
