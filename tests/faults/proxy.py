"""A TCP proxy between roles and a broker, which cuts, delays and swallows as it is told.

The broker must advertise the proxy's address, else clients go around it after their first request (see `Proxied`).
It reads the frames of Kafka's protocol, so that the answer of a chosen request can be lost after the broker has
done what was asked. It runs in a thread of its own; every method may be called from any thread.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Self

from tests.live.broker import Broker, free_ports

PRODUCE: Final = 0
FETCH: Final = 1
OFFSET_COMMIT: Final = 8
OFFSET_FETCH: Final = 9
JOIN_GROUP: Final = 11
HEARTBEAT: Final = 12
SYNC_GROUP: Final = 14
API_NAMES: Final = {
    PRODUCE: "Produce",
    FETCH: "Fetch",
    OFFSET_COMMIT: "OffsetCommit",
    OFFSET_FETCH: "OffsetFetch",
    JOIN_GROUP: "JoinGroup",
    HEARTBEAT: "Heartbeat",
    SYNC_GROUP: "SyncGroup",
}
_NO_LINGER: Final = struct.pack("ii", 1, 0)
"""Closing with this sends a reset, as a router that has forgotten the connection does."""


@dataclass(slots=True)
class Rules:
    """What happens to bytes now."""

    delay_s: float = 0.0
    """Every frame waits this long, in both directions."""
    bytes_per_s: float = 0.0
    """0: as fast as it goes."""
    silent_up: bool = False
    """What clients send is taken and thrown away."""
    silent_down: bool = False
    """What the broker answers is thrown away."""
    swallow: dict[int, int] = field(default_factory=dict)
    """API key -> answers still to be thrown away, their connections closed."""
    halve: dict[int, int] = field(default_factory=dict)
    """API key -> answers still to be cut in the middle by a reset."""


@dataclass(slots=True, eq=False)
class _Link:
    client: asyncio.StreamWriter
    broker: asyncio.StreamWriter
    asked: dict[int, int] = field(default_factory=dict)
    """Correlation id -> API key of requests under way."""

    def cut(self) -> None:
        for writer in (self.client, self.broker):
            sock = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            writer.transport.abort()


class Proxy:
    """Forwards a port of this machine to another. A context manager."""

    def __init__(self, port: int, target_port: int) -> None:
        self.port = port
        self._target_port = target_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()
        self._rules = Rules()
        self._lock = threading.Lock()
        self.lost: dict[str, int] = {}
        """API name -> answers thrown away or halved so far."""

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._listen)
        return self

    def __exit__(self, *_: object) -> None:
        self.refuse()
        self._call(self._ended)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    # ---- what may be done to it

    def cut(self) -> None:
        """Reset every connection that is open now."""
        self._loop.call_soon_threadsafe(self._cut)

    def refuse(self) -> None:
        """Reset every connection, and refuse new ones until `accept`."""
        self._call(self._close)

    def accept(self) -> None:
        """Take connections again."""
        self._call(self._listen)

    @contextmanager
    def ruled(self, **rules: float | bool) -> Iterator[None]:
        """Under these rules (fields of `Rules`) while the context lasts."""
        for name, value in rules.items():
            setattr(self._rules, name, value)
        try:
            yield
        finally:
            calm = Rules()
            for name in rules:
                setattr(self._rules, name, getattr(calm, name))

    def swallow(self, api: int, count: int) -> None:
        """Throw the next `count` answers to this request away, and close their connections."""
        with self._lock:
            self._rules.swallow[api] = self._rules.swallow.get(api, 0) + count

    def halve(self, api: int, count: int) -> None:
        """Reset the connection in the middle of the next `count` answers to this request."""
        with self._lock:
            self._rules.halve[api] = self._rules.halve.get(api, 0) + count

    @property
    def waiting(self) -> int:
        """Answers that are still to be lost."""
        with self._lock:
            return sum(self._rules.swallow.values()) + sum(self._rules.halve.values())

    # ---- inside its thread

    def _call(self, work: Callable[[], object]) -> None:
        async def run() -> None:
            done = work()
            if asyncio.iscoroutine(done):
                await done

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(30)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accepted, "127.0.0.1", self.port)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        self._cut()

    async def _ended(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=5)

    def _cut(self) -> None:
        for link in list(self._links):
            link.cut()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            return
        link = _Link(writer, far_writer)
        self._links.add(link)
        pumps = [asyncio.ensure_future(self._up(link, reader)), asyncio.ensure_future(self._down(link, far_reader))]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
        await asyncio.wait(pumps)
        self._links.discard(link)
        writer.close()
        far_writer.close()

    async def _up(self, link: _Link, reader: asyncio.StreamReader) -> None:
        while (frame := await _frame(reader)) is not None:
            api, _, correlation = struct.unpack_from(">hhi", frame, 4)
            await self._slowly(len(frame))
            if self._rules.silent_up:
                continue
            link.asked[correlation] = api
            if not await _sent(link.broker, frame):
                return

    async def _down(self, link: _Link, reader: asyncio.StreamReader) -> None:
        while (frame := await _frame(reader)) is not None:
            (correlation,) = struct.unpack_from(">i", frame, 4)
            api = link.asked.pop(correlation, -1)
            await self._slowly(len(frame))
            if self._rules.silent_down:
                continue
            if self._taken(self._rules.swallow, api):
                link.cut()
                return
            if self._taken(self._rules.halve, api):
                await _sent(link.client, frame[: len(frame) // 2])
                link.cut()
                return
            if not await _sent(link.client, frame):
                return

    def _taken(self, left: dict[int, int], api: int) -> bool:
        with self._lock:
            if left.get(api, 0) <= 0:
                return False
            left[api] -= 1
            name = API_NAMES.get(api, str(api))
            self.lost[name] = self.lost.get(name, 0) + 1
            return True

    async def _slowly(self, size: int) -> None:
        rules = self._rules
        wait_s = rules.delay_s + (size / rules.bytes_per_s if rules.bytes_per_s else 0.0)
        if wait_s:
            await asyncio.sleep(wait_s)


async def _frame(reader: asyncio.StreamReader) -> bytes | None:
    """One frame with its length; None at the end of the connection."""
    try:
        head = await reader.readexactly(4)
        return head + await reader.readexactly(struct.unpack(">i", head)[0])
    except (OSError, asyncio.IncompleteReadError):
        return None


async def _sent(writer: asyncio.StreamWriter, frame: bytes) -> bool:
    try:
        writer.write(frame)
        await writer.drain()
    except OSError:
        return False
    return True


class Proxied(Broker):
    """A broker whose roles come through a proxy, while tests reach it directly."""

    def __init__(self, *, heap_mb: int = 512) -> None:
        inner, outer = free_ports(2)
        super().__init__(heap_mb=heap_mb, extra_listener=("ROLES", inner, outer))
        self.proxy = Proxy(outer, inner)
        self.for_roles = f"127.0.0.1:{outer}"

    def __enter__(self) -> Self:
        self.proxy.__enter__()
        return super().__enter__()

    def __exit__(self, *exception: object) -> None:
        super().__exit__(None, None, None)
        self.proxy.__exit__()
