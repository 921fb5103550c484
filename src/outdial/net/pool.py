"""Connections: made to addresses that were judged, bounded in number, kept a while, used again.

At most so many are in use for each server and in all; who comes later waits for its turn, in
order. Idle ones are kept for less time than servers commonly keep theirs.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Sequence
from functools import partial

from outdial.errors import FetchError
from outdial.net.addresses import Origin
from outdial.net.connection import Connection
from outdial.net.resolver import CheckedResolver

_IN_USE = 1024
_IN_USE_PER_SERVER = 256
_IDLE = 256
_KEEP_ALIVE_S = 4.0
"""Shorter than the 5 s after which many servers close: a POST seldom meets a closing one."""
_NEXT_ADDRESS_S = 0.25
"""A server's next address is tried as well when one did not answer for so long (RFC 8305)."""


class _Slots:
    """A number of places; who comes when there is none waits in line."""

    __slots__ = ("_waiting", "free")

    def __init__(self, free: int) -> None:
        self.free = free
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self) -> None:
        if self.free > 0:
            self.free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give()  # the place came together with the cancellation
            raise

    def give(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)  # the place changes hands and never becomes free
                return
        self.free += 1


class _Server:
    """What there is for one origin."""

    __slots__ = ("idle", "slots")

    def __init__(self) -> None:
        self.slots = _Slots(_IN_USE_PER_SERVER)
        self.idle: deque[Connection] = deque()  # the one used last stands right


class Pool:
    """Gives connections out, and takes them back. `tls` is given by tests."""

    def __init__(self, resolver: CheckedResolver, tls: ssl.SSLContext | None = None) -> None:
        self._resolver = resolver
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._servers: dict[str, _Server] = {}
        self._slots = _Slots(_IN_USE)
        self._open: set[Connection] = set()
        self._idle = 0
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    def take(self, origin: Origin) -> Connection | None:
        """An idle connection, if there is one and nobody has to wait."""
        server = self._servers.get(origin.text)
        if server is None or not server.idle or not self._slots.free or not server.slots.free:
            return None
        connection = self._wake(server)
        if connection is not None:
            server.slots.free -= 1
            self._slots.free -= 1
        return connection

    async def connect(self, origin: Origin) -> Connection:
        """Waits for its turn, then gives an idle connection or makes one.

        Raises FetchError: resolve, refused-address, connect, tls.
        """
        server = self._servers.get(origin.text)
        if server is None:
            server = self._servers[origin.text] = _Server()
        await server.slots.take()
        try:
            await self._slots.take()
            try:
                connection = self._wake(server) or await self._make(origin)
            except BaseException:
                self._slots.give()
                raise
        except BaseException:
            server.slots.give()
            self._forget(origin.text, server)
            raise
        return connection

    def give(self, origin: Origin, connection: Connection) -> None:
        """Takes a connection back; one that is not reusable is closed."""
        server = self._servers[origin.text]
        if connection.reusable and self._idle < _IDLE and not self._closed:
            connection.idle_since = self._loop.time()
            server.idle.append(connection)
            self._idle += 1
            if self._sweeper is None:
                self._sweeper = self._loop.call_later(_KEEP_ALIVE_S, self._sweep)
        else:
            self._drop(connection)
        self._slots.give()
        server.slots.give()
        if not server.idle:
            self._forget(origin.text, server)

    def count(self) -> dict[str, int]:
        """The open connections by state."""
        idle = sum(one.reusable for server in self._servers.values() for one in server.idle)
        return {"idle": idle, "busy": len(self._open) - self._idle}

    async def close(self) -> None:
        """Closes every connection and gives up every lookup; the pool cannot be used again."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for connection in self._open:
            connection.abort()
        self._open.clear()
        await self._resolver.close()
        await asyncio.sleep(0)  # the transports close on the loop's next turn

    # ------------------------------------------------------------------ idle ones

    def _wake(self, server: _Server) -> Connection | None:
        """The idle connection that was used last, if it is still good."""
        oldest = self._loop.time() - _KEEP_ALIVE_S
        while server.idle:
            connection = server.idle.pop()
            self._idle -= 1
            if connection.reusable and connection.idle_since > oldest:
                return connection
            self._drop(connection)
        return None

    def _sweep(self) -> None:
        self._sweeper = None
        oldest = self._loop.time() - _KEEP_ALIVE_S
        for name, server in list(self._servers.items()):
            idle = server.idle
            while idle and (idle[0].idle_since <= oldest or not idle[0].reusable):
                self._drop(idle.popleft())
                self._idle -= 1
            if not idle:
                self._forget(name, server)
        if self._idle:
            self._sweeper = self._loop.call_later(_KEEP_ALIVE_S / 4, self._sweep)

    def _forget(self, name: str, server: _Server) -> None:
        if not server.idle and server.slots.free == _IN_USE_PER_SERVER:
            self._servers.pop(name, None)

    def _drop(self, connection: Connection) -> None:
        self._open.discard(connection)
        connection.abort()

    # ------------------------------------------------------------------ new ones

    async def _make(self, origin: Origin) -> Connection:
        self._check_open()
        addresses = await self._resolver.addresses(origin)
        if len(addresses) == 1:
            connection = await self._dial(origin, addresses[0])
        else:
            connection = await self._race(origin, addresses)
        try:
            self._check_open()
        except FetchError:
            connection.abort()
            raise
        self._open.add(connection)
        return connection

    def _check_open(self) -> None:
        if self._closed:
            raise FetchError("connect", "the client is closed")

    async def _race(self, origin: Origin, addresses: Sequence[str]) -> Connection:
        """The first address that answers, each being given a head start over the next."""
        ahead = deque(addresses)
        running: set[asyncio.Task[Connection]] = set()
        try:
            while True:
                if ahead:
                    running.add(asyncio.create_task(self._dial(origin, ahead.popleft())))
                done, _ = await asyncio.wait(
                    running,
                    timeout=_NEXT_ADDRESS_S if ahead else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                for task in done:
                    running.discard(task)
                    if task.exception() is None:
                        running.update(done - {task})
                        return task.result()
                    if not ahead and not running:
                        return task.result()  # raises: none is left
        finally:
            for task in running:
                task.cancel()
                task.add_done_callback(_close_loser)

    async def _dial(self, origin: Origin, address: str) -> Connection:
        secure = origin.scheme == "https"
        try:
            _, connection = await self._loop.create_connection(
                partial(Connection, self._loop, origin.authority),
                address,
                origin.port,
                ssl=self._context() if secure else None,
                server_hostname=origin.host if secure else None,
            )
        except ssl.SSLError as error:
            raise FetchError(
                "tls", f"no secure connection to {origin.authority}: {error}"
            ) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise FetchError("connect", f"cannot connect to {origin.authority}: {reason}") from None
        return connection

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:  # 20 ms, once: not for who never needs it
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls


def _close_loser(task: asyncio.Task[Connection]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().abort()
