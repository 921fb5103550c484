"""HTTPS: a connection until its handshake is through. Only then it is one of the HTTP server's.

uvicorn would begin the handshake as soon as somebody connects, however many do, and wait a minute.

Connections are accepted here, and not by a server of the event loop that is then told
`start_tls`: uvloop reads from a connection that it has accepted as soon as `connection_made` is
over, also when that paused reading, and the client's first words were gone before the handshake.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from outdial.api.connections import MAX_CONNECTIONS
from outdial.tls.contexts import ServerSecurity

HANDSHAKE_S = 10.0
_AT_ONCE = 64
"""So many are accepted before others have their turn."""
_REST_S = 1.0
"""Nobody is accepted for so long when the process has no descriptor left for it."""


class Doorkeeper:
    """Accepts who connects to one socket and shakes hands. To uvicorn it is an `asyncio.Server`."""

    def __init__(
        self,
        listener: socket.socket,
        security: ServerSecurity,
        make: Callable[[], asyncio.Protocol],
        connections: Callable[[], int],
    ) -> None:
        """`make` gives the protocol of a connection, which hears of it when the handshake is
        through; `connections` says how many of them there are."""
        self._listener = listener
        self._security = security
        self._make = make
        self._connections = connections
        self._under_way: dict[asyncio.Task[None], socket.socket] = {}
        self._loop = asyncio.get_running_loop()
        self._rest: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._watch()

    def _watch(self) -> None:
        self._rest = None
        self._loop.add_reader(self._listener.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                one, _address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                self._loop.remove_reader(self._listener.fileno())
                self._rest = self._loop.call_later(_REST_S, self._watch)
                return
            self._begin(one)

    def _begin(self, one: socket.socket) -> None:
        """Somebody has connected; when there are too many, that is all."""
        if len(self._under_way) + self._connections() >= MAX_CONNECTIONS:
            one.close()
            return
        one.setblocking(False)
        task = self._loop.create_task(self._shake_hands(one))
        self._under_way[task] = one
        task.add_done_callback(self._forget)

    async def _shake_hands(self, one: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._make, one, ssl=self._security.context, ssl_handshake_timeout=HANDSHAKE_S
            )
        except OSError:
            one.close()

    def _forget(self, task: asyncio.Task[None]) -> None:
        one = self._under_way.pop(task)
        if task.cancelled():  # maybe before it began
            one.close()

    def close(self) -> None:
        """Accepts nobody any more, and ends the handshakes. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._rest is None:
            self._loop.remove_reader(self._listener.fileno())
        else:
            self._rest.cancel()
        for task in self._under_way:
            task.cancel()

    async def wait_closed(self) -> None:
        """Until nothing of it is left."""
        await asyncio.gather(*self._under_way, return_exceptions=True)
