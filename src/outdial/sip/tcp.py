"""TCP: connections kept for reuse, closed when idle, bounded in number."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import NamedTuple, cast

from outdial.errors import RemoteProtocolError
from outdial.sip.core.hop import Hop, host_port
from outdial.sip.core.stream import PONG_BYTES, KeepAlive, StreamFramer
from outdial.sip.core.unsent import MOST_BYTES_EACH, Unsent
from outdial.sip.sentry import Sentry
from outdial.sip.udp import Received, shown_address

_MAX_UNSENT_BYTES = 1 << 18
_SWEEP_S = 5.0
_CONNECT_S = 5.0


class Far(NamedTuple):
    """The far end of a connection."""

    host: str
    port: int
    security: object = None
    """See `Hop.security`."""


Broke = Callable[..., None]
"""Told of a peer that cannot be reached: host, port, why in words, and `Hop.security`."""


class TcpConnection(asyncio.Protocol):
    """One TCP connection, either way."""

    def __init__(self, pool: TcpPool, far: Far | None = None) -> None:
        """`far` is where it leads that we open."""
        self._pool = pool
        self._framer = StreamFramer(opened_by_us=far is not None)
        self._transport: asyncio.Transport | None = None
        self.inbound = far is None
        self.unknown = False
        """Whether the peer opened it and is nobody we know."""
        self.far = far or Far("", 0)
        self.used_at = 0.0
        self.why = ""
        """Why it cannot be used any more, in words."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self.inbound:
            peer = transport.get_extra_info("peername") or self.far  # it may be gone already
            self.far = Far(peer[0], peer[1])
        self.used_at = asyncio.get_running_loop().time()
        self._pool.opened(self)
        self._ready()

    def _ready(self) -> None:
        """What waits for the connection can leave."""
        self._pool.ready(self)

    def data_received(self, data: bytes) -> None:
        if self._pool.turns_away(self):
            self.close()
            return
        try:
            for item in self._framer.feed(data):
                # Not for less than a message: who sends one byte now and then is idle.
                self.used_at = asyncio.get_running_loop().time()
                if isinstance(item, KeepAlive):
                    self._pong(item)
                else:
                    self._pool.received(item, self)
        except RemoteProtocolError:
            self._pool.broken(self)
            self.close()

    def _pong(self, item: KeepAlive) -> None:
        """RFC 5626 section 4.4.1: CRLF answers CRLF CRLF."""
        if item is KeepAlive.PING:
            self.send(PONG_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:
        self._pool.closed(self)

    def send(self, data: bytes) -> None:
        """Writes; a peer that does not read is cut off."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        # What waited for a connection of ours was written at once.
        most = _MAX_UNSENT_BYTES + (0 if self.inbound else MOST_BYTES_EACH)
        if transport.get_write_buffer_size() > most:
            transport.abort()
            return
        self.used_at = asyncio.get_running_loop().time()
        self._write(transport, data)

    def _write(self, transport: asyncio.Transport, data: bytes) -> None:
        transport.write(data)

    def close(self) -> None:
        """Closes the connection."""
        if self._transport is not None:
            self._transport.close()


class TcpPool:
    """One TCP listener and all connections through it.

    An idle connection is closed after `idle_s` when the peer opened it, after ten times that when
    we did: those lead to a trunk and are worth keeping through a call.
    """

    transport = "tcp"

    def __init__(
        self,
        received: Received,
        failed: Broke,
        accepts: Callable[[str], bool],
        sentry: Sentry,
        *,
        idle_s: float = 30.0,
        max_connections: int = 1000,
        max_unknown: int = 50,
    ) -> None:
        """Peers that `accepts` does not know share `max_unknown` connections. Of those that we
        make there may be `max_connections`, too."""
        self._received = received
        self._failed = failed
        self._accepts = accepts
        self._sentry = sentry
        self._idle_s = idle_s
        self._max = max_connections
        self._max_unknown = max_unknown
        self._connections: dict[Far, TcpConnection] = {}
        self._unsent: Unsent[Far] = Unsent()
        self._refused: set[Far] = set()
        """Those whose requests fail in a moment: nothing more could wait for them."""
        self._ours = 0
        """Connections that we have made."""
        self._dialling: set[asyncio.Task[None]] = set()
        self._unknown = 0
        self._server: asyncio.Server | None = None
        self._sweep: asyncio.TimerHandle | None = None
        self.local = ""
        self.address = ("", 0)

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._connections)

    async def bind(self, host: str, port: int, shown: str) -> None:
        """Listens; port 0 takes a free one. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accepted, host.strip("[]"), port)
        address = self._server.sockets[0].getsockname()
        self.address = (address[0], address[1])
        self.local = shown_address(shown, address[0], address[1])
        self._sweep_later()

    def opened(self, connection: TcpConnection) -> None:
        """A connection is up; when peers open too many, they are refused at once."""
        unknown = connection.inbound and not self._accepts(connection.far.host)
        full = len(self._connections) >= self._max
        if connection.inbound and self._sentry.turns_away(connection.far.host):
            connection.close()
            return
        if connection.inbound and (full or (unknown and self._unknown >= self._max_unknown)):
            connection.close()
            return
        connection.unknown = unknown
        self._unknown += unknown
        self._ours += not connection.inbound
        self._connections[connection.far] = connection

    def ready(self, connection: TcpConnection) -> None:
        """Messages can be sent on it: those that wait for it leave."""
        if data := self._unsent.take(connection.far):
            connection.send(data)

    def closed(self, connection: TcpConnection) -> None:
        """A connection is gone; what waits for an answer on it hears of it."""
        far = connection.far
        if self._connections.get(far) is connection:
            del self._connections[far]
            self._unknown -= connection.unknown
            if not connection.inbound:
                self._ours -= 1
                self._give_up(far, connection.why)

    def turns_away(self, connection: TcpConnection) -> bool:
        """Whether the peer was banned since it was connected."""
        return self._sentry.turns_away(connection.far.host)

    def broken(self, connection: TcpConnection) -> None:
        """What came over it was no SIP."""
        self._sentry.broke_off(connection.far.host)

    def received(self, data: bytes, connection: TcpConnection) -> None:
        """A whole message."""
        host, port, security = connection.far
        self._received(data, Hop(self.transport, host, port, self.local, security))

    def send(self, data: bytes, hop: Hop) -> None:
        """Sends on the connection to that peer, which is opened if there is none."""
        far = Far(hop.host, hop.port, hop.security)
        if far in self._refused:
            return
        if far not in self._unsent:
            connection = self._connections.get(far)
            if connection is not None:
                connection.send(data)
                return
            if not self._begin(far):
                return
        if why := self._unsent.add(far, data):
            self._refuse(far, why)

    def _begin(self, far: Far) -> bool:
        """Opens a connection, unless there are too many."""
        full = f"{self._max} connections of ours are open" if self._ours >= self._max else ""
        if why := full or self._unsent.begin(far):
            self._refuse(far, why)
            return False
        task = asyncio.get_running_loop().create_task(self._connect(far))
        self._dialling.add(task)
        task.add_done_callback(self._dialling.discard)
        return True

    def _refuse(self, far: Far, why: str) -> None:
        """What is under way there fails in a moment, and what waits is not sent any more: whoever
        is told that a call has failed must not have placed it."""
        self._refused.add(far)
        self._unsent.drop(far)
        peer = host_port(far.host, far.port)
        asyncio.get_running_loop().call_soon(self._fail, far, f"no connection to {peer}: {why}")

    def _fail(self, far: Far, why: str) -> None:
        self._refused.discard(far)
        self._failed(far.host, far.port, why, far.security)

    async def _connect(self, far: Far) -> None:
        peer = host_port(far.host, far.port)
        try:
            async with asyncio.timeout(_CONNECT_S):
                await self._open(far)
        except TimeoutError:
            self._give_up(far, f"no connection to {peer} within {_CONNECT_S:g} s")
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            self._give_up(far, f"no connection to {peer}: {reason}")

    async def _open(self, far: Far) -> None:
        """Raises OSError."""
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self._dialled(far), far.host, far.port)

    def _give_up(self, far: Far, why: str) -> None:
        self._unsent.take(far)
        self._failed(far.host, far.port, why, far.security)

    def _accepted(self) -> TcpConnection:
        return TcpConnection(self)

    def _dialled(self, far: Far) -> TcpConnection:
        return TcpConnection(self, far)

    def _close_idle(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in list(self._connections.values()):
            limit = self._idle_s if connection.inbound else 10 * self._idle_s
            if now - connection.used_at > limit:
                connection.close()
        self._sweep_later()

    def _sweep_later(self) -> None:
        self._sweep = asyncio.get_running_loop().call_later(_SWEEP_S, self._close_idle)

    def close(self) -> None:
        """Closes the listener and every connection."""
        if self._sweep is not None:
            self._sweep.cancel()
        for task in self._dialling:
            task.cancel()
        for connection in list(self._connections.values()):
            connection.close()
        if self._server is not None:
            self._server.close()
