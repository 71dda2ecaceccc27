"""Web: a POST that goes where it was checked to go, and nowhere else.

A name is resolved once, its addresses are checked, and these very addresses are connected to: a name server that
answers differently the next time (DNS rebinding) gains nothing. Redirects are not followed, proxies not used.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Mapping
from concurrent.futures import Executor
from functools import partial
from typing import Final, NamedTuple

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from kpistream.notify.delivery import DeliveryFailed
from kpistream.notify.one_thread import OneThread

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_ANSWER_BYTES: Final = 2000
_REFUSED: Final = "the host is an internal address; allow_internal: yes lets it be one"
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class InternalAddress(OSError):
    """The host is not of the public internet."""


class Post(NamedTuple):
    """What is sent."""

    url: str
    body: bytes
    headers: Mapping[str, str]
    auth: tuple[str, str] | None = None


def internal(text: str) -> bool:
    """True for a loopback, private, link-local or otherwise not public address, however it is wrapped."""
    address: Address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return internal(str(inner))
    return not address.is_global or address.is_multicast


class Resolver(AbstractResolver):
    """Resolves names in a thread of its own, so that a name server that hangs holds up no other receiver.

    Unless internal addresses are allowed, a name of which any address is internal is refused.
    """

    def __init__(self, thread: Executor, *, allow_internal: bool) -> None:
        self._thread = thread
        self._allow_internal = allow_internal

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a host. Raises `InternalAddress`."""
        look = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM, family=family)
        found = await asyncio.get_running_loop().run_in_executor(self._thread, look)
        addresses = [(str(each[4][0]), each[0], each[2]) for each in found]
        if not self._allow_internal and any(internal(address) for address, *_ in addresses):
            raise InternalAddress("the host has an internal address")
        return [
            ResolveResult(
                hostname=host, host=address, port=port, family=kind, proto=protocol, flags=socket.AI_NUMERICHOST
            )
            for address, kind, protocol in addresses
        ]

    async def close(self) -> None:
        """The thread is the poster's."""


class Poster:
    """Posts for one receiver."""

    def __init__(self, name: str, timeout_s: float, *, allow_internal: bool) -> None:
        self._timeout_s = timeout_s
        self._allow_internal = allow_internal
        self._thread = OneThread(f"names-{name}")

    async def post(self, what: Post) -> None:
        """Send; returns when the answer is 2xx. Raises `DeliveryFailed`, whose text names no address."""
        host = URL(what.url).host or ""
        if not self._allow_internal and _literal(host) and internal(host):
            raise DeliveryFailed(_REFUSED)
        try:
            status = await self._status(what)
        except InternalAddress as error:
            raise DeliveryFailed(_REFUSED) from error
        except TimeoutError as error:
            raise DeliveryFailed(f"no answer within {self._timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if isinstance(error.__cause__, InternalAddress):
                raise DeliveryFailed(_REFUSED) from error
            raise DeliveryFailed(f"no connection: {type(error).__name__}") from error
        if not 200 <= status < 300:
            raise DeliveryFailed(f"the answer was {status}")

    def close(self) -> None:
        """Let the thread end; one that hangs is not waited for."""
        self._thread.shutdown()

    async def _status(self, what: Post) -> int:
        resolver = Resolver(self._thread, allow_internal=self._allow_internal)
        connector = aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False, force_close=True, limit=1)
        limit = aiohttp.ClientTimeout(total=self._timeout_s)
        auth = None if what.auth is None else aiohttp.BasicAuth(*what.auth, encoding="utf-8")
        headers = dict(what.headers)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=limit, trust_env=False) as session,
            session.post(what.url, data=what.body, headers=headers, auth=auth, allow_redirects=False) as answer,
        ):
            await answer.content.read(_ANSWER_BYTES)
            return answer.status


def _literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
