"""The HTTP server: uvicorn inside our own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any, cast

import uvicorn

from outdial.api.connections import Connection
from outdial.api.secure import Doorkeeper
from outdial.errors import ConfigError
from outdial.tls.contexts import ServerSecurity

_SHUTDOWN_S = 5
FOLLOWERS_S = 0.5
"""Long enough for those who poll up to twice a second, as `outdial call` does."""
_FOLLOWS_WITHIN_S = 1.0
"""Who keeps a connection and asked so recently, follows something."""


class HttpServer:
    """Serves an ASGI application on one address. Signals stay with whoever runs the loop.

    The port is taken when the object is made, so that links can be written before anything is
    served. Raises ConfigError (http.listen) when it cannot be.
    """

    def __init__(self, host: str, port: int, security: ServerSecurity | None = None) -> None:
        """With `security` it is HTTPS."""
        self._security = security
        self._socket = _listen(host, port)
        self.port = int(self._socket.getsockname()[1])
        """The port listened on, also when 0 was asked for."""
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self, app: Any) -> None:
        """Returns once requests are answered."""
        server = self._server = _Server(
            self._security,
            uvicorn.Config(
                app,
                loop="none",
                http=Connection,
                ws="none",
                interface="asgi3",
                lifespan="off",
                access_log=False,
                log_config=None,
                proxy_headers=False,
                server_header=False,
                headers=[("Server", "Outdial")],
                timeout_keep_alive=75,
                timeout_graceful_shutdown=_SHUTDOWN_S,
            ),
        )
        self._task = asyncio.create_task(server.serve([self._socket]), name="http-server")
        while not server.started:
            if self._task.done():
                self._task.result()
            await asyncio.sleep(0.001)

    def connections(self) -> int:
        """How many are open."""
        return 0 if self._server is None else len(self._server.server_state.connections)

    async def let_followers_see(self, seconds: float = FOLLOWERS_S) -> None:
        """Goes on for so long if somebody asks again and again; nobody: returns at once."""
        if self._server is None:
            return
        since = asyncio.get_running_loop().time() - _FOLLOWS_WITHIN_S
        connections = self._server.server_state.connections
        if any(isinstance(one, Connection) and one.asked_at > since for one in connections):
            await asyncio.sleep(seconds)

    async def stop(self) -> None:
        """Takes no more requests, lets those under way finish (5 s at most). Idempotent."""
        if self._server is not None and self._task is not None:
            self._server.leave()
            await self._task
        self._socket.close()


class _Server(uvicorn.Server):
    def __init__(self, security: ServerSecurity | None, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._leaving = asyncio.Event()
        self._security = security
        self._doorkeepers: list[Doorkeeper] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, but with handshakes of our own."""
        security, connections = self._security, self.server_state.connections
        if security is None or sockets is None:
            await super().startup(sockets)
            return
        self._doorkeepers = [
            Doorkeeper(one, security, self._make_connection, lambda: len(connections))
            for one in sockets
        ]
        self.servers = cast(list[asyncio.Server], self._doorkeepers)
        self.started = True

    def _make_connection(self) -> Connection:
        return Connection(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )

    def leave(self) -> None:
        """Ends `serve`."""
        self.should_exit = True
        self._leaving.set()
        for doorkeeper in self._doorkeepers:
            doorkeeper.close()

    async def main_loop(self) -> None:
        """Keeps the Date header right; uvicorn's own loop wakes ten times a second for more."""
        while not self.should_exit:
            await self.on_tick(0)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):  # no task of its own, so that their number stays
                    await self._leaving.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are not the server's business here."""
        yield


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise ConfigError("http.listen", f"{port} is not a port", "ports are 0 to 65535")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise ConfigError(
            "http.listen",
            f"{host}:{port} cannot be listened on: {error}",
            "use an address of this machine, e.g. 127.0.0.1:8080",
        ) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise ConfigError(
            "http.listen",
            f"{host}:{port} cannot be listened on: {error}",
            "is another server running there? choose another port, or stop it",
        ) from None
    return listener
