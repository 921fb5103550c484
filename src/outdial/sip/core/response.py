"""Responses: what they copy from the request (RFC 3261 section 8.2.6), and their text."""

from __future__ import annotations

from outdial.sip.core.hop import Hop
from outdial.sip.core.message import Request, reason_phrase


class ResponseHead:
    """The fields that all responses to one request have in common, ready to write."""

    __slots__ = ("_after_to", "_before_to", "_record_routes", "has_tag", "to")

    def __init__(self, request: Request, source: Hop) -> None:
        headers = request.headers
        to = headers.lines("To")[0]
        self.to = to
        self.has_tag = request.to.tag is not None
        from_, call_id, cseq = (headers.lines(name)[0] for name in ("From", "Call-ID", "CSeq"))
        self._before_to = f"{_via_lines(request, source)}From: {from_}\r\nTo: {to}"
        self._after_to = f"\r\nCall-ID: {call_id}\r\nCSeq: {cseq}\r\n"
        routes = headers.lines("Record-Route")
        self._record_routes = "".join([f"Record-Route: {route}\r\n" for route in routes])

    @property
    def size_bytes(self) -> int:
        """What it holds of the request."""
        return len(self._before_to) + len(self._after_to) + len(self._record_routes)

    def encode(
        self, status: int, reason: str = "", fields: str = "", body: bytes = b"", tag: str = ""
    ) -> bytes:
        """The response on the wire. `fields` are whole lines, `tag` is ours for To.

        A request that has a To tag keeps it. 101 to 299 carry the Record-Route fields, which a
        dialog needs (section 12.1.1).
        """
        tagged = f";tag={tag}" if tag and not self.has_tag else ""
        routes = self._record_routes if 100 < status < 300 else ""
        return (
            f"SIP/2.0 {status} {reason or reason_phrase(status)}\r\n"
            f"{self._before_to}{tagged}{self._after_to}{routes}"
            f"{fields}Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body


def response_hop(request: Request, source: Hop) -> Hop:
    """Where responses to the request go (section 18.2.2, RFC 3581).

    Never to an address that the Via claims: on UDP always to where the request came from, at the
    port of Via unless rport was asked for; on TCP down the connection it came by.
    """
    if source.reliable:
        return source
    via = request.top_via
    if via.wants_rport:
        return source
    return Hop(source.transport, source.host, via.port or 5060, source.local, shown=source.shown)


def _via_lines(request: Request, source: Hop) -> str:
    """All Vias; the top one gains `received` and `rport` where it needs them."""
    values = request.headers.lines("Via")
    vias = request.vias
    top = vias[0].with_source(source.host, source.port)
    if top is vias[0]:
        return "".join([f"Via: {value}\r\n" for value in values])
    return "".join([f"Via: {via}\r\n" for via in (top, *vias[1:])])


def sent_by(request: Request) -> str:
    """host:port of the top Via, which with the branch identifies a server transaction."""
    return request.top_via.sent_by
