"""Via (RFC 3261 section 20.42, RFC 3581)."""

from __future__ import annotations

import re
from dataclasses import field
from functools import lru_cache
from typing import Final

from outdial.errors import RemoteProtocolError
from outdial.frozen import frozen
from outdial.sip.core.grammar import (
    HOST,
    TOKEN,
    Params,
    format_params,
    parse_params,
    split_list,
)
from outdial.sip.core.limits import CACHE_ENTRIES, MAX_CACHED
from outdial.sip.core.uri import check_host, check_port

MAGIC_COOKIE: Final = "z9hG4bK"
"""What a branch of RFC 3261 starts with."""

_hop = re.compile(
    r"[Ss][Ii][Pp][ \t]*+/[ \t]*+2\.0[ \t]*+/[ \t]*+"
    rf"({TOKEN})[ \t]++({HOST})(?:[ \t]*+:[ \t]*+([0-9]{{1,5}}))?+[ \t]*+"
)


@frozen
class Via:
    """One hop."""

    transport: str
    """Upper case: UDP, TCP, TLS, or any other token."""
    host: str
    """Without the brackets of IPv6."""
    port: int | None = None
    params: Params = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Via:
        """Parses one value. RemoteProtocolError (400) when it is none.

        What stands before the parameters comes again and again; the branch is never the same.
        """
        end = text.find(";")
        if end < 0:
            end = len(text)
        hop = text[:end]
        transport, host, port = _cached_hop(hop) if end <= MAX_CACHED else _parse_hop(hop)
        return cls(transport, host, port, parse_params(text, end))

    @classmethod
    def parse_list(cls, text: str) -> list[Via]:
        """Parses a comma-separated list."""
        return [cls.parse(item) for item in split_list(text)]

    @property
    def branch(self) -> str | None:
        """The branch parameter."""
        return self.params.get("branch")

    @property
    def has_cookie(self) -> bool:
        """Whether the branch identifies the transaction (more than the bare magic cookie).

        Otherwise matching is by RFC 2543's rules (RFC 3261 section 17.2.3).
        """
        branch = self.params.get("branch") or ""
        return branch.startswith(MAGIC_COOKIE) and len(branch) > len(MAGIC_COOKIE)

    @property
    def received(self) -> str | None:
        """The received parameter, without brackets (RFC 5118 section 4.5 asks to take both)."""
        value = self.params.get("received")
        return value.strip("[]") if value else None

    @property
    def wants_rport(self) -> bool:
        """Whether the sender asked for replies to the port the request came from (RFC 3581)."""
        return "rport" in self.params

    @property
    def rport(self) -> int | None:
        """The port in ``rport=``; None when absent, without value or no port."""
        value = self.params.get("rport")
        if value is None or not (value.isascii() and value.isdigit() and len(value) <= 5):
            return None
        port = int(value)
        return port if 0 < port <= 65_535 else None

    @property
    def sent_by(self) -> str:
        """``host[:port]`` as written, brackets round an IPv6 address."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    def with_params(self, **params: str | None) -> Via:
        """A copy with these parameters added or replaced."""
        return Via(self.transport, self.host, self.port, {**self.params, **params})

    def with_source(self, address: str, port: int) -> Via:
        """What a server notes on the top Via (RFC 3261 section 18.2.1, RFC 3581 section 4).

        `received` is added when the address differs from sent-by or the client asked for rport.
        """
        if "rport" in self.params:
            return self.with_params(received=address, rport=str(port))
        return self if address == self.host else self.with_params(received=address)

    def __str__(self) -> str:
        return f"SIP/2.0/{self.transport} {self.sent_by}{format_params(self.params)}"


def _parse_hop(text: str) -> tuple[str, str, int | None]:
    match = _hop.fullmatch(text)
    if match is None:
        raise RemoteProtocolError(f"malformed Via: {text[:60]!r}")
    transport, host, port = match.groups()
    return transport.upper(), check_host(host), check_port(port)


_cached_hop = lru_cache(CACHE_ENTRIES)(_parse_hop)
