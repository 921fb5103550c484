"""From a host and a port, or a domain, to addresses (RFC 3263 without NAPTR: the transport is set).

Never called while a message is being handled: legs wait for it before their INVITE leaves, and a
trunk's addresses are looked up ahead of its calls.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import dns.asyncresolver
import dns.exception

from outdial.sip.core.hop import is_literal

DEFAULT_PORT = 5060
_TTL_S = 60.0
_TIMEOUT_S = 5.0
_MAX_CACHED = 1000

Address = tuple[str, int]
"""IPv4 or IPv6 literal without brackets, and a port."""
SrvRecord = tuple[int, int, str, int]
"""Priority, weight, target, port."""
SrvLookup = Callable[[str], Awaitable[list[SrvRecord]]]
HostLookup = Callable[[str], Awaitable[list[str]]]


class ResolutionFailed(Exception):
    """The name has no address; the text says which one and why."""


class Resolver:
    """Looks names up and keeps the answers for a minute."""

    def __init__(self, srv: SrvLookup | None = None, hosts: HostLookup | None = None) -> None:
        """The two look-ups can be replaced, for tests."""
        self._srv = srv or srv_records
        self._hosts = hosts or host_addresses
        self._cache: dict[tuple[str, int | None, str], tuple[float, list[Address]]] = {}

    def known(self, host: str, port: int | None, transport: str) -> list[Address] | None:
        """The addresses if no look-up is needed for them."""
        if is_literal(host):
            return [(host.strip("[]"), port or DEFAULT_PORT)]
        entry = self._cache.get((host, port, transport))
        now = asyncio.get_running_loop().time()
        return entry[1] if entry is not None and entry[0] > now else None

    async def resolve(self, host: str, port: int | None, transport: str) -> list[Address]:
        """The addresses, best first. Without a port SRV is asked first. ResolutionFailed."""
        known = self.known(host, port, transport)
        if known is not None:
            return known
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                addresses = await self._look_up(host, port, transport)
        except TimeoutError:
            raise ResolutionFailed(f"{host}: the name server does not answer") from None
        if not addresses:
            raise ResolutionFailed(f"{host} has no address")
        if len(self._cache) >= _MAX_CACHED:
            self._cache.clear()
        expires = asyncio.get_running_loop().time() + _TTL_S
        self._cache[host, port, transport] = (expires, addresses)
        return addresses

    async def _look_up(self, host: str, port: int | None, transport: str) -> list[Address]:
        targets: list[tuple[str, int]] = []
        if port is None:
            records = await self._srv(f"_sip._{transport}.{host}")
            targets = [(name, number) for _, _, name, number in sorted(records, key=_srv_order)]
        addresses: list[Address] = []
        for name, number in targets or [(host, port or DEFAULT_PORT)]:
            if is_literal(name):
                addresses.append((name, number))
            else:
                addresses += [(address, number) for address in await self._hosts(name)]
        return list(dict.fromkeys(addresses))


def _srv_order(record: SrvRecord) -> tuple[int, int]:
    """Lowest priority first, then the heaviest: spreading by weight is not needed by one caller."""
    return record[0], -record[1]


async def srv_records(name: str) -> list[SrvRecord]:
    """SRV records by the system's name servers; empty when there are none or nobody answers."""
    try:
        answer = await dns.asyncresolver.resolve(name, "SRV", lifetime=_TIMEOUT_S / 2)
    except (dns.exception.DNSException, OSError):
        return []
    return [
        (record.priority, record.weight, str(record.target).rstrip("."), record.port)
        for record in answer
    ]


async def host_addresses(name: str) -> list[str]:
    """IPv4 and IPv6 addresses as the system resolves them, /etc/hosts included."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError):
        return []
    return [str(entry[4][0]) for entry in found]
