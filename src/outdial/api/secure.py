"""HTTPS: a connection until its handshake is through. Only then it is one of the HTTP server's.

uvicorn would begin the handshake as soon as somebody connects, however many do, and wait a minute.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from outdial.api.connections import MAX_CONNECTIONS
from outdial.tls.contexts import ServerSecurity

HANDSHAKE_S = 10.0


class Fronts:
    """Those whose handshakes are under way."""

    def __init__(
        self,
        security: ServerSecurity,
        make: Callable[[], asyncio.Protocol],
        connections: Callable[[], int],
    ) -> None:
        """`make` gives the protocol that takes over, `connections` how many have done so."""
        self._security = security
        self._make = make
        self._connections = connections
        self._under_way: set[asyncio.Task[None]] = set()

    def accept(self) -> asyncio.Protocol:
        """The protocol of somebody who connects."""
        return Front(self)

    def begin(self, front: Front, transport: asyncio.Transport) -> None:
        """Somebody has connected; when there are too many, that is all."""
        if len(self._under_way) + self._connections() >= MAX_CONNECTIONS:
            transport.abort()
            return
        transport.pause_reading()
        task = asyncio.get_running_loop().create_task(self._shake_hands(front, transport))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _shake_hands(self, front: Front, transport: asyncio.Transport) -> None:
        loop = asyncio.get_running_loop()
        try:
            secured = await loop.start_tls(
                transport,
                front,
                self._security.context,
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_S,
            )
        except OSError:
            transport.abort()
            return
        if secured is not None and not front.is_over:
            self._hand_over(front, secured)

    def _hand_over(self, front: Front, secured: asyncio.Transport) -> None:
        """What was said right behind the handshake has come before this."""
        protocol = self._make()
        protocol.connection_made(secured)
        secured.set_protocol(protocol)
        if front.said:
            protocol.data_received(bytes(front.said))

    def close(self) -> None:
        """Ends the handshakes."""
        for task in self._under_way:
            task.cancel()


class Front(asyncio.Protocol):
    """Keeps what comes in the moment between the handshake and its end."""

    def __init__(self, fronts: Fronts) -> None:
        self._fronts = fronts
        self.said = bytearray()
        self.is_over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._fronts.begin(self, cast(asyncio.Transport, transport))

    def data_received(self, data: bytes) -> None:
        self.said += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_over = True
