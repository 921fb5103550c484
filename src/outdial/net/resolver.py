"""Names to addresses, each judged before anything connects to it.

The client connects only to what `CheckedResolver` returns, so the addresses that were judged are
the addresses that are used: a second answer of a hostile DNS server (rebinding) is never asked
for. A name is refused whole when any of its addresses is forbidden.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Protocol

from outdial.errors import FetchError
from outdial.net.addresses import AddressPolicy, Origin, is_localhost

LOOKUP_TIMEOUT_S = 5.0
_KEPT_S = 10.0
_NAMES_KEPT = 1024
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


class CheckedResolver:
    """Looks up, judges every address, gives only allowed ones.

    Raises FetchError: `resolve` when the name cannot be looked up, `refused-address`.
    """

    def __init__(self, policy: AddressPolicy, resolver: Resolver) -> None:
        self._policy = policy
        self._resolver = resolver
        self._known: dict[str, tuple[float, Sequence[str]]] = {}
        self._lookups: dict[str, asyncio.Task[Sequence[str]]] = {}

    async def addresses(self, origin: Origin) -> Sequence[str]:
        """Where the server may be reached: from memory, or by one lookup for all who ask."""
        if origin.address:
            self._policy.check_address(origin.address)
            return (origin.address,)
        name = origin.host
        until, addresses = self._known.get(name, (0.0, ()))
        if until > asyncio.get_running_loop().time():
            return addresses
        lookup = self._lookups.get(name)
        if lookup is None:
            lookup = self._lookups[name] = asyncio.create_task(self.resolve(name))
            lookup.add_done_callback(partial(self._keep, name))
        try:
            return await asyncio.shield(lookup)
        except FetchError as failure:  # shared by all who wait for the lookup
            raise FetchError(failure.kind, str(failure)) from None
        except asyncio.CancelledError:
            if not lookup.cancelled():
                raise
            raise FetchError("resolve", f"the lookup of {name} was given up") from None

    async def resolve(self, name: str) -> Sequence[str]:
        """The addresses of a name now."""
        if is_localhost(name):
            addresses: Sequence[str] = self._policy.loopbacks()
            if not addresses:
                raise FetchError("refused-address", f"{name} is this machine")
        else:
            addresses = await self._look_up(name)
        for address in addresses:
            self._check(name, address)
        return addresses

    async def close(self) -> None:
        """Gives up every lookup."""
        for lookup in self._lookups.values():
            lookup.cancel()
        await self._resolver.close()

    def _keep(self, name: str, lookup: asyncio.Task[Sequence[str]]) -> None:
        self._lookups.pop(name, None)
        if lookup.cancelled() or lookup.exception() is not None:
            return
        self._known.pop(name, None)
        if len(self._known) >= _NAMES_KEPT:
            del self._known[next(iter(self._known))]
        self._known[name] = (lookup.get_loop().time() + _KEPT_S, lookup.result())

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
        return addresses[:_MAX_ADDRESSES]

    def _check(self, name: str, address: str) -> None:
        try:
            self._policy.check_address(address)
        except FetchError as refusal:
            raise FetchError(refusal.kind, f"{name} leads to {refusal}") from None
