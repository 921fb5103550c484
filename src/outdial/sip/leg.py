"""Legs: what the rest of Outdial holds of a call (`outdial.legs`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from outdial.errors import RemoteProtocolError
from outdial.legs import (
    Caller,
    Rejected,
    Released,
    Reoffer,
    SignallingEvent,
    SignallingListener,
    TraceListener,
)
from outdial.sip.core.identity import caller_of, extra_headers
from outdial.sip.core.invite_client import OutgoingCall
from outdial.sip.core.invite_server import IncomingCall
from outdial.sip.core.message import Request
from outdial.sip.core.referral import Referral
from outdial.sip.core.session_description import sdp_of

if TYPE_CHECKING:
    from outdial.sip.endpoint import SipEndpoint


_TERMINAL = (Rejected, Released)


def nobody(event: SignallingEvent) -> None:
    """The listener of a leg that is over: the last one was told, and is not held any longer."""


class Leg:
    """What outgoing and incoming legs share. Fulfils `outdial.legs.SignallingLeg`."""

    __slots__ = ("_call", "_endpoint", "_is_dismissed", "_over", "_sip_call_id")

    def __init__(
        self, endpoint: SipEndpoint, call: OutgoingCall | IncomingCall | None, sip_call_id: str
    ) -> None:
        self._endpoint = endpoint
        self._call = call
        self._sip_call_id = sip_call_id
        self._over = False
        self._is_dismissed = False
        """Another leg has its place: nobody is told any more."""

    @property
    def sip_call_id(self) -> str:
        """The Call-ID header."""
        return self._sip_call_id

    @property
    def peer(self) -> tuple[str, int] | None:
        """Where the signalling goes."""
        if self._call is None:
            return None
        hop = self._call.peer
        return hop.host, hop.port

    @property
    def is_secure(self) -> bool:
        """Whether the signalling goes over TLS."""
        return self._call is not None and self._call.peer.is_secure

    @property
    def dialog_data(self) -> Mapping[str, Any] | None:
        """What ends the leg from another process."""
        data = None if self._call is None or self._over else self._call.dialog_data
        return None if data is None else data.to_json()

    def hang_up(self, status: int = 0, reason: str = "") -> None:
        """CANCEL, BYE or (incoming, unanswered) a failure response."""
        if self._call is not None and not self._over:
            self._touch()
            self._call.hang_up(status, reason)
            self._endpoint.flush()

    def answer_offer(self, sdp: bytes) -> None:
        """Answers the pending `Reoffer`."""
        if self._call is not None and self._call.session is not None:
            self._touch()
            self._call.session.renegotiation.answer_offer(sdp)
            self._endpoint.flush()

    def refuse_offer(self, status: int = 488) -> None:
        """Refuses the pending `Reoffer`."""
        if self._call is not None and self._call.session is not None:
            self._touch()
            self._call.session.renegotiation.refuse_offer(status)
            self._endpoint.flush()

    def reoffer(self, sdp: bytes) -> None:
        """Sends a re-INVITE once no other offer is under way."""
        if self._call is not None and self._call.session is not None:
            self._touch()
            self._call.session.reoffer(sdp)
            self._endpoint.flush()

    def accept_transfer(self) -> None:
        """See `outdial.legs.SignallingLeg`."""
        if (referral := self._referral()) is not None:
            referral.accept()
            self._endpoint.flush()

    def refuse_transfer(self, status: int = 603) -> None:
        """See `outdial.legs.SignallingLeg`."""
        if (referral := self._referral()) is not None:
            referral.refuse(status)
            self._endpoint.flush()

    def tell_transfer(self, status: int, reason: str = "") -> None:
        """See `outdial.legs.SignallingLeg`."""
        if (referral := self._referral()) is not None:
            referral.tell(status, reason)
            self._endpoint.flush()

    def _referral(self) -> Referral | None:
        session = None if self._call is None else self._call.session
        if session is None or self._over:
            return None
        self._touch()
        return session.referral

    def dismiss(self) -> None:
        """See `outdial.legs.SignallingLeg`."""
        self._is_dismissed = True
        self.hang_up()

    def deliver(self, event: SignallingEvent) -> None:
        """An event of the agent."""
        if isinstance(event, _TERMINAL):
            self._over = True
            if self._call is not None:
                self._endpoint.forget(self._call)
        if self._is_dismissed:
            if isinstance(event, Reoffer):
                self.refuse_offer()
            return
        self.tell(event)

    def tell(self, event: SignallingEvent) -> None:
        """Passes it to the listener."""
        raise NotImplementedError

    def _touch(self) -> None:
        """The agent goes by the time it was last given."""
        self._endpoint.agent.now = self._endpoint.now


def _called_party(request: Request) -> str:
    try:
        named = request.addresses("P-Called-Party-ID")
    except RemoteProtocolError:
        return ""
    return named[0].uri.user_text if named else ""


class InboundLeg(Leg):
    """A call towards us. Fulfils `outdial.legs.IncomingLeg`.

    `Answered` comes when the ACK is here; its `sdp` is the answer to our offer if the INVITE had
    none. A call that the caller gives up ends with `Rejected` 487, one that we refuse with
    `Rejected` and `local`.
    """

    __slots__ = ("_early_events", "_listener", "_raw")

    def __init__(self, endpoint: SipEndpoint, call: IncomingCall, raw: bytes) -> None:
        super().__init__(endpoint, call, call.call_id)
        self._listener: SignallingListener | None = None
        self._early_events: list[SignallingEvent] = []
        self._raw = raw

    @property
    def _incoming(self) -> IncomingCall:
        return cast(IncomingCall, self._call)

    def _is_to_contact(self, user: str) -> bool:
        return self._endpoint.is_contact_user(user, self._incoming.source.host)

    @property
    def called(self) -> str:
        """User part of the Request-URI; where that is the user that we are registered as, the one
        of P-Called-Party-ID (RFC 7315) or To, which say what was dialled."""
        request = self._incoming.request
        user = request.uri.user_text
        if not self._is_to_contact(user):
            return user
        return _called_party(request) or request.to.uri.user_text or user

    @property
    def caller_id(self) -> str:
        """User part of From."""
        return self._incoming.request.from_.uri.user_text

    @property
    def caller_name(self) -> str:
        """Display name of From."""
        return self._incoming.request.from_.display_name

    def caller(self, *, trusted: bool) -> Caller:
        """Who calls, as far as it may be shown."""
        return caller_of(self._incoming.request, trusted=trusted)

    @property
    def extra_headers(self) -> tuple[tuple[str, str], ...]:
        """Header fields for the application."""
        return extra_headers(self._incoming.request)

    @property
    def offer(self) -> bytes | None:
        """The SDP offer."""
        return sdp_of(self._incoming.request)

    @property
    def source(self) -> tuple[str, int]:
        """Where the INVITE came from."""
        hop = self._incoming.source
        return hop.host, hop.port

    @property
    def account(self) -> str:
        """The user name that the INVITE showed by digest, else the user that we are registered as
        and it was sent to: of several trunks at one address that says which one's call it is."""
        user = self._incoming.request.uri.user_text
        if self._incoming.account or not self._is_to_contact(user):
            return self._incoming.account
        return user

    @property
    def request(self) -> Request:
        """The INVITE, e.g. for checking its Proxy-Authorization."""
        return self._incoming.request

    def trace(self, trace: TraceListener) -> None:
        """Who sees the messages of this leg; the INVITE is the first of them."""
        self._incoming.watch(self._endpoint.tracer(trace), self._raw)
        self._raw = b""

    def listen(self, listener: SignallingListener) -> None:
        """Who gets the events from now on, and those that came before."""
        self._listener = nobody if self._over else listener
        events, self._early_events = self._early_events, []
        for event in events:
            listener(event)

    def ring(self, status: int = 180, sdp: bytes | None = None) -> None:
        """A provisional response."""
        self._touch()
        self._incoming.ring(status, sdp)
        self._endpoint.flush()

    def accept(self, sdp: bytes) -> None:
        """200 with the SDP."""
        self._touch()
        self._incoming.accept(sdp)
        self._endpoint.flush()

    def reject(
        self, status: int, reason: str = "", headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        """A final 3xx to 6xx. Raises LocalProtocolError for a header with control characters."""
        self._touch()
        self._incoming.reject(status, reason, headers)
        self._endpoint.flush()

    def tell(self, event: SignallingEvent) -> None:
        """Passes it to the listener, or keeps it until there is one."""
        listener = self._listener
        if listener is None:
            self._early_events.append(event)
            return
        if self._over:
            self._listener = nobody
        listener(event)
