"""Names to addresses, each judged before anything connects to it.

The HTTP library connects only to what `CheckedResolver` returns, so the addresses that were
judged are the addresses that are used: a second answer of a hostile DNS server (rebinding) is
never asked for. A name is refused whole when any of its addresses is forbidden.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from aiohttp.abc import AbstractResolver, ResolveResult

from outdial.errors import FetchError
from outdial.net.addresses import AddressPolicy, is_localhost

LOOKUP_TIMEOUT_S = 5.0
_THREADS = 16
_MAX_ADDRESSES = 16


class Resolver(Protocol):
    """Looks a name up."""

    async def resolve(self, host: str) -> Sequence[str]:
        """The addresses of the name, literal. Raises OSError when there are none."""

    async def close(self) -> None:
        """Frees what it holds."""


class SystemResolver:
    """The system's own lookup (hosts file, DNS), on threads of its own.

    Not the event loop's default threads: names that hang would keep file work waiting.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="outdial-dns")

    async def resolve(self, host: str) -> Sequence[str]:
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, socket.getaddrinfo, host, None, 0, socket.SOCK_STREAM
        )
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class CheckedResolver(AbstractResolver):
    """What aiohttp asks: looks up, judges every address, gives only allowed ones.

    Raises FetchError: `resolve` when the name cannot be looked up, `refused-address`.
    """

    def __init__(self, policy: AddressPolicy, resolver: Resolver) -> None:
        self._policy = policy
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        name = host.removesuffix(".").lower()
        if is_localhost(name):
            addresses: Sequence[str] = self._policy.loopbacks()
            if not addresses:
                raise FetchError("refused-address", f"{name} is this machine")
        else:
            addresses = await self._look_up(name)
        for address in addresses:
            self._check(name, address)
        return [_result(host, address, port) for address in addresses]

    async def close(self) -> None:
        await self._resolver.close()

    async def _look_up(self, name: str) -> Sequence[str]:
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT_S):
                addresses = await self._resolver.resolve(name)
        except TimeoutError:
            raise FetchError("resolve", f"looking up {name} took too long") from None
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise FetchError("resolve", f"{name} cannot be looked up: {reason}") from None
        if not addresses:
            raise FetchError("resolve", f"{name} has no address")
        return addresses[:_MAX_ADDRESSES] if len(addresses) > _MAX_ADDRESSES else addresses

    def _check(self, name: str, address: str) -> None:
        try:
            self._policy.check_address(address)
        except FetchError as refusal:
            raise FetchError(refusal.kind, f"{name} leads to {refusal}") from None


def _result(host: str, address: str, port: int) -> ResolveResult:
    return {
        "hostname": host,
        "host": address,
        "port": port,
        "family": socket.AF_INET6 if ":" in address else socket.AF_INET,
        "proto": 0,
        "flags": socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    }
