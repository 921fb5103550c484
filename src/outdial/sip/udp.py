"""UDP sockets: bytes and addresses in, bytes and addresses out.

A datagram to a port where nobody listens comes back as an ICMP error. An unconnected socket never
hears of it unless IP_RECVERR is set: then the kernel keeps the error, with the address that it
concerns, in the socket's error queue.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, cast

from outdial.sip.core.hop import Hop, host_port

_IP_RECVERR = 11
_IPV6_RECVERR = 25
_RECEIVE_BUFFER_BYTES = 1 << 22
_MAX_HOPS = 1024

Received = Callable[[bytes, Hop], None]
Failed = Callable[[str, int], None]


class UdpListener(asyncio.DatagramProtocol):
    """One bound UDP socket."""

    def __init__(self, received: Received, failed: Failed) -> None:
        self._received = received
        self._failed = failed
        self._socket: socket.socket | None = None
        self._transport: asyncio.DatagramTransport | None = None
        self._hops: dict[tuple[str | Any, int], Hop] = {}
        """The peers of late: few send most of what comes, and all their calls share one object."""
        self.local = ""
        """host:port as shown in Via and Contact."""
        self.address = ("", 0)

    @classmethod
    async def bind(
        cls, host: str, port: int, shown: str, received: Received, failed: Failed
    ) -> UdpListener:
        """Binds; port 0 takes a free one. Raises OSError."""
        listener = cls(received, failed)
        sock = _bound_udp(host, port)
        address = sock.getsockname()
        listener._socket = sock
        listener.address = (address[0], address[1])
        listener.local = shown_address(shown, address[0], address[1])
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: listener, sock=sock)
        return listener

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        hop = self._hops.get(addr)
        if hop is None:
            hop = self._note(addr)
        self._received(data, hop)

    def _note(self, addr: tuple[str | Any, int]) -> Hop:
        if len(self._hops) >= _MAX_HOPS:
            self._hops.clear()
        hop = self._hops[addr] = Hop("udp", addr[0], addr[1], self.local)
        return hop

    def error_received(self, exc: Exception) -> None:
        """Reads the error queue to the end: the event loop would be woken for ever otherwise."""
        assert self._socket is not None  # noqa: S101 - bound before the protocol is made
        while True:
            try:
                _, _, _, address = self._socket.recvmsg(
                    0, 512, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT
                )
            except OSError:
                return
            if address:
                self._failed(address[0], address[1])

    def send(self, data: bytes, hop: Hop) -> None:
        """Sends a datagram. Errors come back by `failed`, never from here."""
        if self._transport is None:
            return
        try:
            self._transport.sendto(data, (hop.host, hop.port))
        except (ValueError, OSError):  # no address that this socket can send to
            asyncio.get_running_loop().call_soon(self._failed, hop.host, hop.port)

    def close(self) -> None:
        """Closes the socket."""
        if self._transport is not None:
            self._transport.close()


def _bound_udp(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        sock.bind((host.strip("[]"), port))
    except OSError:
        sock.close()
        raise
    return sock


def shown_address(shown: str, host: str, port: int, *, own_port: bool = False) -> str:
    """host:port for Via and Contact: the public one if set, with the real port unless it has one
    (or `own_port` says that it is another listener's).

    A wildcard address is shown as that of the route to the outside.
    """
    if not shown:
        return host_port(_own_address(host), port)
    bracket = shown.rfind("]")
    if ":" in shown[bracket + 1 :] and (bracket >= 0 or shown.count(":") == 1):
        return host_port(shown.rpartition(":")[0].strip("[]"), port) if own_port else shown
    return host_port(shown.strip("[]"), port)


def _own_address(host: str) -> str:
    if host not in ("0.0.0.0", "::"):
        return host
    family, outside = (
        (socket.AF_INET6, "2001:db8::1") if ":" in host else (socket.AF_INET, "192.0.2.1")
    )
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((outside, 9))
        except OSError:
            return "::1" if family == socket.AF_INET6 else "127.0.0.1"
        return cast(str, probe.getsockname()[0])
