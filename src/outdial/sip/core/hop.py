"""A hop: the next place on the wire, as the core sees it (an address, never a name)."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from ipaddress import ip_address

from outdial.frozen import frozen

UNREACHABLE = "Peer Unreachable"
"""Why nothing can be sent somewhere, where nothing better is known."""


@frozen
class Hop:
    """Where a message goes, or where it came from, and which of our sockets carries it."""

    transport: str
    """udp, tcp or tls"""
    host: str
    """IPv4 or IPv6 literal, without brackets."""
    port: int
    local: str
    """Our end, host:port, as shown in Via and Contact unless `shown` is set; it also names the
    socket."""
    security: object = None
    """Of a TLS connection that we open: whose certificate the far end must show and how it is
    checked, which is the transport's business. None for other transports, and where only a
    connection of the peer's own leads."""
    shown: str = ""
    """host:port that the peer is shown in place of `local`; "": that."""

    @property
    def sent_by(self) -> str:
        """host:port of our end, for Via and Contact."""
        return self.shown or self.local

    def showing(self, address: str) -> Hop:
        """The same way, on which the peer is shown that host[:port], without a port our own one."""
        shown = _with_port(address, self.local) if address else ""
        return self if shown == self.shown else replace(self, shown=shown)

    @property
    def reliable(self) -> bool:
        """Whether the transport delivers or says that it did not (RFC 3261 section 17)."""
        return self.transport != "udp"

    @property
    def is_secure(self) -> bool:
        """Whether nobody between the two ends can read what goes there."""
        return self.transport == "tls"

    @property
    def peer(self) -> str:
        """host:port of the far end."""
        return host_port(self.host, self.port)


@lru_cache(1024)
def host_port(host: str, port: int) -> str:
    """``host:port``, with brackets round an IPv6 literal."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@lru_cache(64)
def _with_port(address: str, local: str) -> str:
    """The address with the port of `local` if it has none of its own."""
    has_port = ":" in address.rpartition("]")[2]
    return address if has_port else f"{address}:{local.rpartition(':')[2]}"


@lru_cache(1024)
def is_literal(host: str) -> bool:
    """Whether the host is an IPv4 or (bracketed or bare) IPv6 literal rather than a name."""
    try:
        ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


@lru_cache(1024)
def is_loopback(host: str) -> bool:
    """Whether the literal is an address of this machine only."""
    try:
        return ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False
