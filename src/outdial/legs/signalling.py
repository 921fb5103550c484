"""A leg as seen from a session: its signalling. `sip` fulfils these protocols."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from outdial.frozen import frozen


@frozen
class DialTarget:
    """Whom to call and over what, resolved: nothing is left to be looked up but DNS."""

    leg_id: str
    """Our call sid; also seeds the SIP Call-ID."""
    trunk: str
    """Name of the trunk in the settings; "" dials `uri` directly."""
    number: str
    """User part of the Request-URI, already in the trunk's number format."""
    caller_id: str
    """User part of From, if the trunk shows callers there; "" or "anonymous": it is withheld."""
    caller_name: str = ""
    """Display name of From; "" for none."""
    uri: str = ""
    """A full SIP URI to call instead of `number` at the trunk's address."""
    headers: tuple[tuple[str, str], ...] = ()
    """Extra headers, name and value, checked for control characters by the SIP core."""
    diverted_by: str = ""
    """The number of ours that was called before, when the caller is shown whose call is passed on;
    in the trunk's number format. "" otherwise."""
    more_routes: bool = False
    """Another trunk is tried if this one does not take the call: it is given up earlier."""


@frozen
class Caller:
    """Who calls us, as far as it may be shown."""

    number: str
    """User part of the address; "anonymous" when it is withheld."""
    name: str = ""


@frozen
class Ringing:
    """A provisional response above 100. `sdp` is set when it carries an answer (early media)."""

    status: int
    reason: str
    sdp: bytes | None = None


@frozen
class Answered:
    """A 2xx to our INVITE. `sdp` is the answer, None if there was none.

    The ACK waits for `OutgoingLeg.acknowledge`; the far end repeats its 2xx until it comes, and
    gives the call up after 64*T1 (32 s) without.
    """

    sdp: bytes | None


@frozen
class Rejected:
    """The INVITE ended without an answer. Terminal; nothing follows.

    `local` says that no peer sent this status: 408 timer B, 503 transport failure, 487 our CANCEL
    that nobody confirmed.
    """

    status: int
    reason: str
    local: bool = False
    retry_after_s: int | None = None
    q850_cause: int | None = None
    unregistered: bool = False
    """Nothing was sent: the trunk takes no calls while we are not registered there."""


@frozen
class TargetFailed:
    """One server of the trunk did not take the call, and an INVITE has left for the next one."""

    target: str
    """transport:address:port"""
    status: int
    reason: str
    local: bool
    """As `Rejected.local`."""
    next_target: str


@frozen
class Reoffer:
    """A re-INVITE or UPDATE that wants an SDP answer: call `answer_offer` or `refuse_offer`.

    `sdp` None: an offerless re-INVITE, the answer given is then our offer; the far end's answer
    arrives as `Reanswered`.
    """

    sdp: bytes | None


@frozen
class Reanswered:
    """The far end's SDP answer in the ACK of its offerless re-INVITE."""

    sdp: bytes


@frozen
class DigitInfo:
    """A digit by SIP INFO (application/dtmf-relay or application/dtmf)."""

    digit: str
    duration_ms: int


@frozen
class Referred:
    """The far end of an answered leg wants whom it talks to to be connected with somebody else
    (REFER). Call `accept_transfer` or `refuse_transfer` before the listener returns."""

    uri: str
    """A sip, sips or tel URI, without headers."""
    attended: bool = False
    """It names a call there that is to be replaced."""


@frozen
class Replacing:
    """A call of the same trunk wants to take the place of this answered leg (Replaces). It is
    answered or refused by whoever is told, before the listener returns."""

    leg: IncomingLeg


@frozen
class Released:
    """An answered leg is over. Terminal; nothing follows.

    `by_far_end`: a BYE arrived. Otherwise we hung up, or the dialog died (`status` 408 or 481 from
    a request inside the dialog, or session timer expiry).
    """

    by_far_end: bool
    status: int | None = None
    reason: str = ""
    q850_cause: int | None = None


SignallingEvent = (
    Ringing
    | Answered
    | Rejected
    | TargetFailed
    | Reoffer
    | Reanswered
    | DigitInfo
    | Referred
    | Replacing
    | Released
)
SignallingListener = Callable[[SignallingEvent], None]


@frozen
class TracedMessage:
    """One SIP message of a leg, as it went over the wire."""

    at: float
    """Wall time, seconds."""
    outgoing: bool
    peer: str
    """host:port"""
    transport: str
    """udp, tcp, tls"""
    raw: bytes
    local: str = ""
    """Our end as its Via and Contact show it, host:port; "" when it was not kept."""


TraceListener = Callable[[TracedMessage], None]


class SignallingLeg(Protocol):
    """One call as signalling sees it."""

    @property
    def sip_call_id(self) -> str:
        """The Call-ID header, for finding the call in a carrier's logs."""

    @property
    def peer(self) -> tuple[str, int] | None:
        """Address and port the signalling goes to, once known."""

    @property
    def is_secure(self) -> bool:
        """Whether the signalling goes over TLS, so that keys for the audio may stand in it. Of an
        outgoing leg it is known once the INVITE has left; `Trunk.transport` says it before."""

    @property
    def dialog_data(self) -> Mapping[str, Any] | None:
        """What `SignallingPlane.release` needs to end the leg as it stands, as plain JSON values.

        Before the answer that is the INVITE under way, after it the dialog; of an incoming leg it
        is the dialog that the answer makes. None while there is nothing to end, and once the leg is
        over.
        """

    def hang_up(self, status: int = 0, reason: str = "") -> None:
        """Ends the leg in whatever state it is: CANCEL before the answer, BYE after it.

        On an incoming unanswered leg `status` (default 603) is the response. Idempotent.
        `reason` becomes a Reason header (RFC 3326) as SIP text. The terminal event follows.
        """

    def answer_offer(self, sdp: bytes) -> None:
        """Answers the pending `Reoffer`. Without a pending one it does nothing."""

    def refuse_offer(self, status: int = 488) -> None:
        """Refuses the pending `Reoffer`; the session stays as it was."""

    def reoffer(self, sdp: bytes) -> None:
        """Sends a re-INVITE with the offer; the answer arrives as `Reanswered`. For later use."""

    def accept_transfer(self) -> None:
        """What `Referred` asks for is being done. Without a pending one it does nothing."""

    def refuse_transfer(self, status: int = 603) -> None:
        """It is not done."""

    def tell_transfer(self, status: int, reason: str = "") -> None:
        """How far the call to the other party has come, as a SIP status; a final one is the last.
        Nobody is told who has hung up meanwhile."""

    def dismiss(self) -> None:
        """Ends an answered leg whose events nobody wants any more: another has its place."""


class OutgoingLeg(SignallingLeg, Protocol):
    """A call that we make."""

    def acknowledge(self) -> None:
        """Sends the ACK of the 2xx that `Answered` told of. Idempotent, and without effect before.

        `hang_up` acknowledges by itself, and so does the end of the call.
        """


class IncomingLeg(SignallingLeg, Protocol):
    """A call towards us that is not answered yet."""

    @property
    def called(self) -> str:
        """User part of the Request-URI."""

    @property
    def caller_id(self) -> str:
        """User part of From."""

    @property
    def caller_name(self) -> str:
        """Display name of From."""

    def caller(self, *, trusted: bool) -> Caller:
        """Who calls, as From says or, of a peer that is `trusted`, as that asserts."""

    @property
    def extra_headers(self) -> tuple[tuple[str, str], ...]:
        """Names and values of header fields for the application, X-…"""

    @property
    def offer(self) -> bytes | None:
        """The SDP offer; None when the INVITE had none."""

    @property
    def source(self) -> tuple[str, int]:
        """Where the INVITE came from."""

    @property
    def account(self) -> str:
        """The user name that it showed by digest; "" when it did not have to."""

    def listen(self, listener: SignallingListener) -> None:
        """Who gets the events from now on, and those that came before."""

    def trace(self, trace: TraceListener) -> None:
        """Who sees the leg's messages from now on; the INVITE is the first of them."""

    def ring(self, status: int = 180, sdp: bytes | None = None) -> None:
        """Sends a provisional response, reliably when the peer requires 100rel."""

    def accept(self, sdp: bytes) -> None:
        """Sends 200 and repeats it until the ACK arrives."""

    def reject(
        self, status: int, reason: str = "", headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        """Sends a final 3xx-6xx."""


class SignallingPlane(Protocol):
    """Makes outgoing legs."""

    def dial(
        self,
        target: DialTarget,
        offer: bytes,
        listener: SignallingListener,
        trace: TraceListener | None = None,
    ) -> OutgoingLeg:
        """Sends the INVITE and returns at once; all that follows comes as events.

        Even a failure that is known at once (unknown trunk, DNS, no route) arrives as `Rejected`,
        after this method has returned.
        """

    async def goes_over_tls(self, trunk: str) -> bool:
        """Whether calls on the trunk go over TLS, where its settings leave that to the records of
        its domain: they are looked up, if they are not known. False while they cannot be."""

    def release(self, dialog_data: Mapping[str, Any], trace: TraceListener | None = None) -> None:
        """Ends a leg of an earlier process: BYE, or CANCEL if it was not answered then.

        An answer that comes all the same is acknowledged and followed by BYE. Returns at once, and
        goes on in the background; nobody is told how it went. Data that cannot be used are logged.
        """
