"""TLS: the connections of `tcp`, each with a layer that makes secrets of its bytes.

Nothing is computed for an address before it is known that it may be served: who is banned, who is
no trunk's while strangers are ignored, and who comes when there are too many, is closed as it is
accepted. A handshake has a time limit that no trickle of bytes extends.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import cast

from outdial import log
from outdial.sip.core.hop import Hop, host_port
from outdial.sip.sentry import Sentry
from outdial.sip.tcp import Broke, Far, TcpConnection, TcpPool
from outdial.sip.udp import Received, shown_address
from outdial.tls.certificate import Certificate
from outdial.tls.contexts import ClientSecurity, ServerSecurity
from outdial.tls.layer import TlsLayer
from outdial.tls.trouble import TlsFailed, Trouble

HANDSHAKE_S = 5.0
_STRANGERS_PER_S = 10.0
"""Handshakes with addresses that are no trunk's, all together: one costs a millisecond."""
_TELL_EVERY_S = 10.0

SecurityAt = Callable[[str], tuple[int, ClientSecurity] | None]
"""The port and the certificate of the trunk at an address."""

_log = log.get("sip")


class TlsConnection(TcpConnection):
    """One TLS connection, either way."""

    def __init__(
        self, pool: TlsPool, security: ClientSecurity | ServerSecurity, far: Far | None = None
    ) -> None:
        super().__init__(pool, far)
        self._tls_pool = pool
        self._security = security
        self._layer: TlsLayer | None = None
        self._patience: asyncio.TimerHandle | None = None
        self.has_spoken = False
        """Whether a message came over it."""

    @property
    def established(self) -> bool:
        """Whether the handshake is through."""
        return self._layer is not None and self._layer.established

    @property
    def certificate(self) -> Certificate | None:
        """What the far end showed."""
        return None if self._layer is None else self._layer.certificate

    def _ready(self) -> None:
        """The pool has not closed it: the handshake begins."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._layer = TlsLayer(self._security)
        loop = asyncio.get_running_loop()
        self._patience = loop.call_later(HANDSHAKE_S, self._too_slow)
        if not self.inbound:
            self._step(self._layer, b"")

    def data_received(self, data: bytes) -> None:
        if self._pool.turns_away(self):
            self.close()
            return
        layer = self._layer
        if layer is not None and (plain := self._step(layer, data)):
            self.has_spoken = True
            super().data_received(plain)
        if layer is not None and layer.is_over:
            self.close()

    def _step(self, layer: TlsLayer, data: bytes) -> bytes:
        """The bytes go through the layer, and what they cause leaves."""
        was_established = layer.established
        plain = b""
        try:
            if data:
                plain = layer.receive(data)
            else:
                layer.begin()
        except TlsFailed as failed:
            self._fail(failed.trouble)
            return b""
        self._flush()
        if layer.established and not was_established:
            self._stop_waiting()
            self._tls_pool.established(self)
        return plain

    def _write(self, transport: asyncio.Transport, data: bytes) -> None:
        layer = self._layer
        if layer is None or not layer.established:
            return
        try:
            layer.send(data)
        except TlsFailed as failed:
            self._fail(failed.trouble)
        else:
            self._flush()

    def _flush(self) -> None:
        """Also when it is being closed: an alert says why."""
        if self._layer is not None and self._transport is not None:
            data = self._layer.outgoing()
            if data and not self._transport.is_closing():
                self._transport.write(data)

    def _fail(self, trouble: Trouble) -> None:
        self.why = trouble.text
        self._flush()
        self._tls_pool.failed(self, trouble)
        if self._transport is not None:
            self._transport.close()

    def _too_slow(self) -> None:
        self._patience = None
        self._fail(Trouble("timeout", f"the handshake took longer than {HANDSHAKE_S:g} s"))

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        if self._layer is not None and not self.established and not self.why:
            self.why = "the far end closed the connection in the middle of the handshake"
            self._tls_pool.failed(self, Trouble("closed", self.why))
        super().connection_lost(exc)

    def close(self) -> None:
        """Says goodbye, and closes."""
        if self._layer is not None:
            self._layer.finish()
            self._flush()
        super().close()


class TlsPool(TcpPool):
    """One TLS listener and all connections through it.

    Without a certificate it takes no connections and only makes them: a trunk's own requests come
    over the one that we have opened to it.
    """

    transport = "tls"

    def __init__(
        self,
        received: Received,
        failed: Broke,
        accepts: Callable[[str], bool],
        sentry: Sentry,
        security: ServerSecurity | None,
        security_at: SecurityAt,
        *,
        takes_strangers: bool = False,
        idle_s: float = 30.0,
        max_connections: int = 1000,
        max_unknown: int = 50,
    ) -> None:
        """`takes_strangers`: whether addresses that `accepts` does not know get a handshake."""
        super().__init__(
            received,
            failed,
            accepts,
            sentry,
            idle_s=idle_s,
            max_connections=max_connections,
            max_unknown=max_unknown,
        )
        self._security = security
        self._security_at = security_at
        self._takes_strangers = takes_strangers
        self._allowance = _STRANGERS_PER_S
        self._allowed_at = 0.0
        self._told_at = -_TELL_EVERY_S
        self._untold = 0
        self._reserved: socket.socket | None = None
        self.handshakes: Counter[str] = Counter()
        """How handshakes ended, by the kind of trouble; "ok": well."""

    async def bind(self, host: str, port: int, shown: str) -> None:
        """Listens, or without a certificate only takes the port. Raises OSError."""
        if self._security is not None:
            await super().bind(host, port, shown)
        else:
            self._reserve(host.strip("[]"), port)
        self.local = shown_address(shown, *self.address, own_port=True)

    def _reserve(self, host: str, port: int) -> None:
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self._reserved = sock
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        self.address = sock.getsockname()[:2]
        self._sweep_later()

    def opened(self, connection: TcpConnection) -> None:
        """A connection is up; who may not be served is closed before anything is computed."""
        host = connection.far.host
        if (connection.inbound and not self._accepts(host)) and (
            self._sentry.turns_away(host) or not self._is_welcome(connection.far)
        ):
            connection.close()
            return
        super().opened(connection)

    def _is_welcome(self, stranger: Far) -> bool:
        """Whether somebody who is no trunk gets a handshake."""
        if self._takes_strangers:
            return self._is_allowed()
        source = Hop("tls", stranger.host, stranger.port, self.local)
        self._sentry.offended("denied", source, "TLS")
        return False

    def _is_allowed(self) -> bool:
        """Whether one more handshake with a stranger may be computed now."""
        now = asyncio.get_running_loop().time()
        gained = (now - self._allowed_at) * _STRANGERS_PER_S
        self._allowance = min(self._allowance + gained, _STRANGERS_PER_S)
        self._allowed_at = now
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True

    def established(self, connection: TlsConnection) -> None:
        """Both ends are who they should be."""
        self.handshakes["ok"] += 1
        security = connection.far.security
        if isinstance(security, ClientSecurity):
            security.seen = connection.certificate
        self.ready(connection)

    def failed(self, connection: TlsConnection, trouble: Trouble) -> None:
        """It cannot be used. What waits for it hears of it when it is closed."""
        if connection.established:
            return
        self.handshakes[trouble.kind] += 1
        if connection.inbound:
            self._sentry.broke_off(connection.far.host)
        now = asyncio.get_running_loop().time()
        if now - self._told_at < _TELL_EVERY_S:
            self._untold += 1
            return
        self._told_at = now
        _log.warning(
            "tls handshake failed",
            peer=host_port(connection.far.host, connection.far.port),
            opened_by="the peer" if connection.inbound else "us",
            reason=trouble.text,
            more_since_last=self._untold,
        )
        self._untold = 0

    def closed(self, connection: TcpConnection) -> None:
        """A stranger who wanted nothing but a handshake has done it to make work."""
        spoke = cast(TlsConnection, connection).has_spoken
        if connection.unknown and not spoke and not connection.why:
            self._sentry.broke_off(connection.far.host)
        super().closed(connection)

    def send(self, data: bytes, hop: Hop) -> None:
        """Sends on the connection to that peer, which is opened if there is none and it is known
        whose certificate is expected there."""
        if hop.security is None and Far(hop.host, hop.port) not in self._connections:
            found = self._instead(hop)
            if found is None:
                loop = asyncio.get_running_loop()
                loop.call_soon(
                    self._failed, hop.host, hop.port, "its connection is closed, and it is no trunk"
                )
                return
            hop = found
        super().send(data, hop)

    def _instead(self, hop: Hop) -> Hop | None:
        """Where a message goes whose connection, opened by the peer, is gone: to another one of the
        same address, or to the trunk that is there (RFC 3261 section 18.2.2)."""
        for far, connection in reversed(self._connections.items()):
            if far.host == hop.host and cast(TlsConnection, connection).established:
                return replace(hop, port=far.port, security=far.security)
        known = self._security_at(hop.host)
        return None if known is None else replace(hop, port=known[0], security=known[1])

    def _accepted(self) -> TcpConnection:
        return TlsConnection(self, cast(ServerSecurity, self._security))

    def _dialled(self, far: Far) -> TcpConnection:
        return TlsConnection(self, cast(ClientSecurity, far.security), far)

    def close(self) -> None:
        """Closes the listener and every connection."""
        super().close()
        if self._reserved is not None:
            self._reserved.close()
