"""A dialog (RFC 3261 section 12): who speaks to whom, by which route, in what order."""

from __future__ import annotations

from dataclasses import replace

from outdial.errors import RemoteProtocolError
from outdial.sip.core.hop import Hop, is_literal
from outdial.sip.core.message import Request, Response
from outdial.sip.core.outline import Outline, contact, is_sips
from outdial.sip.core.uri import Uri


class Dialog:
    """The state of one dialog. Each early dialog of a forked call has its own."""

    __slots__ = (
        "_source", "call_id", "contact_user", "hop", "is_sips", "local", "local_cseq",
        "local_tag", "peer_allows", "remote", "remote_cseq", "remote_tag", "routes", "symmetric",
        "target",
    )  # fmt: skip

    def __init__(
        self,
        *,
        call_id: str,
        local: str,
        local_tag: str,
        remote: str,
        remote_tag: str,
        local_cseq: int,
        remote_cseq: int | None,
        routes: tuple[str, ...],
        target: str,
        source: Hop,
        symmetric: bool,
        is_sips: bool = False,
    ) -> None:
        self.call_id = call_id
        self.local = local
        """Our From value, tag included."""
        self.local_tag = local_tag
        self.remote = remote
        """The peer's To value, tag included."""
        self.remote_tag = remote_tag
        self.local_cseq = local_cseq
        self.remote_cseq = remote_cseq
        self.routes = routes
        """The route set, first hop first."""
        self.target = target
        """The remote target: the URI of the peer's Contact."""
        self.symmetric = symmetric
        """Requests go to where the peer's messages come from, whatever its Contact says (NAT)."""
        self.contact_user = ""
        """The user part of our Contact, where we are registered with one."""
        self.is_sips = is_sips
        """It was asked for with a SIPS URI: the Contact that we gave is one, and stays one."""
        self.peer_allows: frozenset[str] = frozenset()
        """Methods in the peer's Allow; empty when it never said."""
        self._source = source
        self.hop = self._next_hop()

    @classmethod
    def as_client(
        cls, outline: Outline, local_tag: str, response: Response, source: Hop, *, symmetric: bool
    ) -> Dialog:
        """From a response to our INVITE that has a To tag (section 12.1.2)."""
        dialog = cls(
            call_id=outline.call_id,
            local=outline.from_,
            local_tag=local_tag,
            remote=response.headers.get("To") or outline.to,
            remote_tag=response.to.tag or "",
            local_cseq=outline.cseq,
            remote_cseq=None,
            routes=_route_set(response)[::-1],
            target=contact_uri(response) or outline.uri,
            source=source.showing(outline.hop.shown),
            symmetric=symmetric,
            is_sips=is_secured(outline.uri, outline.routes),
        )
        dialog.learn(response)
        return dialog

    @classmethod
    def as_server(
        cls, request: Request, local_tag: str, source: Hop, *, symmetric: bool = False
    ) -> Dialog:
        """From an INVITE that we answer (section 12.1.1). Raises RemoteProtocolError."""
        target = contact_uri(request)
        if not target:
            raise RemoteProtocolError("INVITE without a usable Contact")
        headers = request.headers
        routes = _route_set(request)
        dialog = cls(
            call_id=request.call_id,
            local=f"{headers.get('To')};tag={local_tag}",
            local_tag=local_tag,
            remote=headers.get("From") or "",
            remote_tag=request.from_.tag or "",
            local_cseq=0,
            remote_cseq=request.cseq.number,
            routes=routes,
            target=target,
            source=source,
            symmetric=symmetric,
            is_sips=request.uri.scheme == "sips" or is_sips(routes[0] if routes else target),
        )
        dialog.learn(request)
        return dialog

    def confirm(self, response: Response, source: Hop) -> None:
        """The 2xx of an early dialog: its route set and target are the ones that count."""
        self.routes = _route_set(response)[::-1]
        self.refresh_target(response, source)
        self.learn(response)

    def learn(self, message: Request | Response) -> None:
        """Takes the peer's Allow, if it says one."""
        if (allowed := message.allowed) is not None:
            self.peer_allows = allowed

    def refresh_target(self, message: Request | Response, source: Hop) -> None:
        """A target refresh (re-INVITE, UPDATE and their 2xx): the Contact may have moved."""
        self._source = source.showing(self._source.shown)
        self.target = contact_uri(message) or self.target
        self.hop = self._next_hop()

    def outline(self, branch: str, cseq: int | None = None) -> Outline:
        """The next request inside the dialog; an ACK gives the `cseq` of its INVITE."""
        if cseq is None:
            self.local_cseq += 1
            cseq = self.local_cseq
        uri, routes = self._uri_and_routes()
        return Outline(uri, self.hop, branch, routes, self.local, self.remote, self.call_id, cseq)

    def contact(self, hop: Hop) -> str:
        """Our Contact value inside the dialog, for what goes that way. A target that became a SIPS
        URI since asks for one, too (section 8.1.1.8)."""
        sips = self.is_sips or is_secured(self.target, self.routes)
        return contact(hop, self.contact_user, sips=sips)

    def in_order(self, request: Request) -> bool:
        """Whether the peer's CSeq is higher than the last one; notes it (section 12.2.2)."""
        number = request.cseq.number
        if self.remote_cseq is not None and number <= self.remote_cseq:
            return False
        self.remote_cseq = number
        return True

    def _uri_and_routes(self) -> tuple[str, tuple[str, ...]]:
        """Section 12.2.1.1: a first route without ``lr`` is a strict router's."""
        if not self.routes or _is_loose(self.routes[0]):
            return self.target, self.routes
        first = Uri.parse(_route_uri(self.routes[0])).without_headers()
        return str(first), (*self.routes[1:], f"<{self.target}>")

    def _next_hop(self) -> Hop:
        """The address that requests go to.

        A dialog stays on the transport and socket that it was made on. A name in Contact or
        Record-Route is not looked up in the middle of a call: such a peer is reached where its
        messages come from, which for a proxy or a SBC is the same place. So is one that gives an
        address of the other IP version, which our socket could not send to.
        """
        if self.symmetric:
            return self._source
        text = _route_uri(self.routes[0]) if self.routes else self.target
        try:
            uri = Uri.parse(text)
        except RemoteProtocolError:
            return self._source
        if uri.scheme != "sip" or not is_literal(uri.host):
            return self._source
        host = uri.params.get("maddr") or uri.host
        source = self._source
        if not is_literal(host) or (":" in host) != (":" in source.host):
            return source
        host = host.strip("[]")
        if source.is_secure:
            return self._secure_hop(host, uri.port)
        return Hop(source.transport, host, uri.port or 5060, source.local, shown=source.shown)

    def _secure_hop(self, host: str, port: int | None) -> Hop:
        """A dialog over TLS goes on over the connection that it came by (RFC 5923), where it leads
        to the address, and so does one over a connection of the peer's: of an address alone
        nobody knows which certificate to expect there."""
        source = self._source
        port = port or 5061
        if source.security is None or (host, port) == (source.host, source.port):
            return source
        return replace(source, host=host, port=port)


def is_secured(uri: str, routes: tuple[str, ...]) -> bool:
    """Whether a request to that URI by these routes must have a SIPS Contact: section 8.1.1.8."""
    return is_sips(uri) or (bool(routes) and is_sips(routes[0]))


def contact_uri(message: Request | Response) -> str:
    """The URI of the first Contact; "" when there is none that can be read.

    Without its headers part, which may not stand in a Request-URI (section 19.1.1, table 1).
    """
    contacts = message.contacts
    return str(contacts[0].uri.without_headers()) if contacts else ""


def _route_set(message: Request | Response) -> tuple[str, ...]:
    return tuple([str(route) for route in message.record_routes])


def _route_uri(route: str) -> str:
    """The URI inside a Route value."""
    start = route.find("<")
    return route[start + 1 : route.find(">", start)] if start >= 0 else route.split(";")[0]


def _is_loose(route: str) -> bool:
    params = _route_uri(route).split(";")[1:]
    return any(param.strip().split("=")[0].lower() == "lr" for param in params)
