"""The part of a request that its ACK (3xx to 6xx) and CANCEL repeat, and the text made of it.

Requests are written as text from a fixed pattern: what we send is known, and building and
serialising a tree of objects for it costs several times as much.
"""

from __future__ import annotations

from dataclasses import replace

from outdial.errors import LocalProtocolError
from outdial.frozen import frozen
from outdial.sip.core.hop import Hop

ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO"
SUPPORTED = "100rel, timer"
MAX_FORWARDS = 70


@frozen
class Outline:
    """A request without its method, extra fields and body."""

    uri: str
    """Request-URI."""
    hop: Hop
    branch: str
    routes: tuple[str, ...]
    """Values of the Route fields."""
    from_: str
    to: str
    call_id: str
    cseq: int
    sent_by: str = ""
    """host:port of the Via; "": our end of the hop. The CANCEL of an INVITE that another process
    sent is matched by the Via of that one (section 9.2)."""

    def encode(self, method: str, fields: str = "", body: bytes = b"", to: str = "") -> bytes:
        """The request on the wire. `fields` are whole lines, each with its CRLF.

        `to` replaces the To value: an ACK carries the one of the response.
        """
        hop = self.hop
        sent_by = self.sent_by or hop.sent_by
        routes = "".join([f"Route: {route}\r\n" for route in self.routes]) if self.routes else ""
        head = (
            f"{method} {self.uri} SIP/2.0\r\n"
            f"Via: SIP/2.0/{hop.transport.upper()} {sent_by};branch={self.branch};rport\r\n"
            f"Max-Forwards: {MAX_FORWARDS}\r\n{routes}"
            f"From: {self.from_}\r\nTo: {to or self.to}\r\n"
            f"Call-ID: {self.call_id}\r\nCSeq: {self.cseq} {method}\r\n"
            f"{fields}Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    def again(self, branch: str, cseq: int) -> Outline:
        """The same request as a new transaction, e.g. with credentials."""
        return replace(self, branch=branch, cseq=cseq)


def field(name: str, value: str) -> str:
    """One header line. Raises LocalProtocolError when a line break or control is in it."""
    if not name or not name.isascii() or any(c in " :\t" or not c.isprintable() for c in name):
        raise LocalProtocolError(f"not a header name: {name!r}")
    if any(c < " " or c == "\x7f" for c in value):
        raise LocalProtocolError(f"control character in the value of {name}")
    return f"{name}: {value}\r\n"


def contact(hop: Hop, user: str = "", *, sips: bool = False) -> str:
    """Our Contact value on the socket that the hop uses, with that user part; as a SIPS URI where
    the peer must not reach us otherwise (RFC 3261 sections 8.1.1.8 and 12.1.1).

    SIPS is TLS without saying so. Where it came over something else, by a proxy that is secure on
    its other side, the port of that socket speaks no TLS: the default one is left to be tried.
    """
    at = f"{user_part(user)}@" if user else ""
    if sips:
        return f"<sips:{at}{hop.sent_by if hop.is_secure else _host(hop.sent_by)}>"
    transport = "" if hop.transport == "udp" else f";transport={hop.transport}"
    return f"<sip:{at}{hop.sent_by}{transport}>"


def is_sips(uri: str) -> bool:
    """Whether the URI, or the one inside a Route value, asks for TLS on all of the way."""
    return uri[uri.find("<") + 1 :][:5].lower() == "sips:"


def _host(address: str) -> str:
    """The host of ``host:port``, with its brackets."""
    return address if address.endswith("]") else address.rpartition(":")[0] or address


_USER_SAFE = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.!~*'()&=+$,;?/"
)


def user_part(text: str) -> str:
    """The text as the user part of a URI, escaped as section 25.1 wants it."""
    if _USER_SAFE.issuperset(text):
        return text
    return "".join(
        chr(b) if b < 128 and chr(b) in _USER_SAFE else f"%{b:02X}" for b in text.encode()
    )


def name_addr(name: str, uri: str) -> str:
    """``"name" <uri>``; without a name ``<uri>``. Controls in the name become spaces."""
    if not name:
        return f"<{uri}>"
    quoted = "".join(c if c.isprintable() else " " for c in name)
    quoted = quoted.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}" <{uri}>'
