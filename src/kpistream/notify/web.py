"""Web: a POST that goes where it was checked to go, and nowhere else.

A name is resolved once, its addresses are checked, and these very addresses are connected to: a name server that
answers differently the next time (DNS rebinding) gains nothing. Redirects are not followed, proxies not used.
"""

import ipaddress
import socket
from collections.abc import Mapping
from typing import Final, NamedTuple

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from kpistream.notify.delivery import DeliveryFailed

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_ANSWER_BYTES: Final = 2000
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


class Guard(AbstractResolver):
    """Resolves names, and refuses those of which any address is internal."""

    def __init__(self) -> None:
        self._inner = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a host, all of them public. Raises `InternalAddress`."""
        found = await self._inner.resolve(host, port, family)
        if any(internal(each["host"]) for each in found):
            raise InternalAddress("the host has an internal address")
        return found

    async def close(self) -> None:
        """Nothing is held."""


async def post(what: Post, timeout_s: float, *, allow_internal: bool) -> None:
    """Send; returns when the answer is 2xx. Raises `DeliveryFailed`, whose text names no address."""
    host = URL(what.url).host or ""
    if not allow_internal and _literal(host) and internal(host):
        raise DeliveryFailed("the host is an internal address; allow_internal: yes lets it be one")
    connector = aiohttp.TCPConnector(
        resolver=None if allow_internal else Guard(), use_dns_cache=False, force_close=True, limit=1
    )
    auth = None if what.auth is None else aiohttp.BasicAuth(*what.auth, encoding="utf-8")
    try:
        async with (
            aiohttp.ClientSession(
                connector=connector, timeout=aiohttp.ClientTimeout(total=timeout_s), trust_env=False
            ) as session,
            session.post(
                what.url, data=what.body, headers=dict(what.headers), auth=auth, allow_redirects=False
            ) as answer,
        ):
            status = answer.status
            await answer.content.read(_ANSWER_BYTES)
    except InternalAddress as error:
        raise DeliveryFailed("the host has an internal address; allow_internal: yes lets it") from error
    except TimeoutError as error:
        raise DeliveryFailed(f"no answer within {timeout_s:g} s") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        if isinstance(error.__cause__, InternalAddress):
            raise DeliveryFailed("the host has an internal address; allow_internal: yes lets it be one") from error
        raise DeliveryFailed(f"no connection: {type(error).__name__}") from error
    if not 200 <= status < 300:
        raise DeliveryFailed(f"the answer was {status}")


def _literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
