"""A confirmed dialog and its session: requests inside it, and its end."""

from __future__ import annotations

import re
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

from outdial.errors import RemoteProtocolError
from outdial.legs import Answered, DigitInfo, Released, SignallingEvent
from outdial.sip.core.dialog import Dialog
from outdial.sip.core.hop import Hop
from outdial.sip.core.message import Request, Response
from outdial.sip.core.outline import ALLOW, SUPPORTED
from outdial.sip.core.peer import Peer
from outdial.sip.core.reason import NORMAL_CLEARING, reason_fields
from outdial.sip.core.referral import Referral, referred
from outdial.sip.core.renegotiation import Renegotiation
from outdial.sip.core.session_description import sdp_of
from outdial.sip.core.session_timer import SessionInterval
from outdial.sip.core.timers import Timer
from outdial.sip.core.transaction import ClientTransaction, ServerTransaction, Trace

if TYPE_CHECKING:
    from outdial.sip.core.agent import Agent
    from outdial.sip.core.authorization import Authorization


class Owner(Protocol):
    """The call whose session it is."""

    trace: Trace | None
    authorization: Authorization

    @property
    def policy(self) -> Peer:
        """What is said of the peer."""

    def emit(self, event: SignallingEvent) -> None:
        """An event for the listener of the leg."""

    def session_over(self) -> None:
        """Nothing more is to come inside the dialog."""


class _Phase(IntEnum):
    OPEN = 1
    RELEASING = 2
    OVER = 3


_RELEASE_WAIT = 1

_SIGNAL = re.compile(rb"(?:^|\n)\s*Signal\s*=\s*([0-9A-Da-d*#]{1,2})\s*(?:\r?\n|$)", re.IGNORECASE)
_DURATION = re.compile(rb"(?:^|\n)\s*Duration\s*=\s*(\d{1,5})", re.IGNORECASE)
_LONE_DIGIT = re.compile(rb"\s*([0-9A-Da-d*#]{1,2})\s*")
_EVENT_CODES = {"10": "*", "11": "#", "12": "A", "13": "B", "14": "C", "15": "D"}
_DEFAULT_DURATION_MS = 250


class Session:
    """What a call is from its 2xx on, the same for callers and callees."""

    __slots__ = (
        "_agent", "_bye_waits", "_cause", "_has_referred", "_owner", "_phase", "_reason", "_told",
        "_wait", "dialog", "referral", "renegotiation",
    )  # fmt: skip

    def __init__(
        self, agent: Agent, owner: Owner, dialog: Dialog, local_sdp: bytes, *, we_called: bool
    ) -> None:
        self._agent = agent
        self._owner = owner
        self.dialog = dialog
        self.renegotiation = Renegotiation(agent, self, local_sdp, we_called=we_called)
        self._phase = _Phase.OPEN
        self._bye_waits = False
        self._reason = ""
        self._cause = NORMAL_CLEARING
        self._told = False
        self._wait: Timer | None = None
        self._has_referred = False
        self.referral: Referral | None = None
        """The REFER that is being looked after."""

    # ------------------------------------------------------------ for the parts of a session

    @property
    def trace(self) -> Trace | None:
        """Who sees the messages."""
        return self._owner.trace

    @property
    def policy(self) -> Peer:
        """What is said of the peer."""
        return self._owner.policy

    @property
    def authorization(self) -> Authorization:
        """The credentials of the call."""
        return self._owner.authorization

    @property
    def is_open(self) -> bool:
        """Whether it has not begun to end."""
        return self._phase is _Phase.OPEN

    def emit(self, event: SignallingEvent) -> None:
        """Passes an event on, unless the leg has had its terminal event."""
        if not self._told:
            self._owner.emit(event)

    def keep_alive(self, interval: SessionInterval | None) -> None:
        """The session timer that the first 2xx settled."""
        self.renegotiation.run_timer(interval)

    # ------------------------------------------------------------ the end

    def hang_up(self, reason: str = "", cause: int = NORMAL_CLEARING) -> None:
        """Sends BYE; `Released` follows when it is answered, or a little later."""
        if self._phase is not _Phase.OPEN:
            return
        self._phase = _Phase.RELEASING
        self._reason, self._cause = reason, cause
        agent = self._agent
        self._wait = agent.timers.start(agent.now + agent.timings.release_wait, self, _RELEASE_WAIT)
        self._close()
        if self.renegotiation.awaits_first_ack:
            self._bye_waits = True
        else:
            self._send_bye()

    def reoffer(self, sdp: bytes) -> None:
        """Sends a re-INVITE once no other offer is under way."""
        if self._phase is _Phase.OPEN:
            self.renegotiation.reoffer(sdp)

    def lost(self, status: int, reason: str, cause: int = NORMAL_CLEARING) -> None:
        """The dialog died: the listener is told at once, the peer by BYE unless it knows."""
        if self._phase is not _Phase.OPEN:
            return
        self._tell(Released(by_far_end=False, status=status, reason=reason))
        if status == 481:
            self._finish()
        else:
            self.hang_up(reason, cause)

    def on_timer(self, what: int) -> None:
        """The BYE is still unanswered: the listener need not wait for it."""
        self._wait = None
        self._tell(Released(by_far_end=False))

    def on_response(self, transaction: ClientTransaction, response: Response, source: Hop) -> None:
        """The answer to our BYE, whatever it says, ends the dialog (section 15.1.1)."""
        if response.status < 200:
            return
        if response.status in (401, 407) and self.authorization.takes(response, source):
            self._send_bye()
        else:
            self._finish()

    def on_no_response(self, transaction: ClientTransaction, *, unreachable: bool) -> None:
        """So does none."""
        self._finish()

    def _send_bye(self) -> None:
        self._bye_waits = False
        agent = self._agent
        outline = self.dialog.outline(agent.branch())
        fields = self.authorization.fields("BYE", outline.uri, outline.hop)
        fields += f"User-Agent: {agent.name}\r\n{reason_fields(self._reason, self._cause)}"
        agent.request(outline, "BYE", outline.encode("BYE", fields), self, self.trace)

    def _tell(self, event: Released) -> None:
        if not self._told:
            self.emit(event)
            self._told = True

    def _finish(self) -> None:
        if self._phase is _Phase.OVER:
            return
        self._phase = _Phase.OVER
        self._agent.timers.stop(self._wait)
        self._close()
        self.renegotiation.stop_repeating()
        # it holds us, for an answer that still comes: holding it as well would leave both to the
        # collector of cycles, and with them the call and all that was noted of it
        del self.renegotiation
        self._tell(Released(by_far_end=False))
        self._owner.session_over()

    def _close(self) -> None:
        """What the peer has asked for and nobody has answered is refused."""
        self.renegotiation.close()
        if self.referral is not None:
            self.referral.refuse(481)
            self.referral = None

    # ------------------------------------------------------------ requests of the peer

    def on_request(self, transaction: ServerTransaction, request: Request, source: Hop) -> None:
        """A request inside the dialog, other than ACK and CANCEL."""
        method = request.method
        if method == "BYE":
            self._on_bye(transaction, request)
        elif self._phase is not _Phase.OPEN:
            transaction.respond(481)
        elif not self.dialog.in_order(request):
            transaction.respond(500, "CSeq Out of Order", "Retry-After: 0\r\n")
        elif method in ("INVITE", "UPDATE"):
            self.renegotiation.on_request(transaction, request, source)
        elif method == "INFO":
            self._on_info(transaction, request)
        elif method == "REFER" and self.policy.may_refer:
            self._on_refer(transaction, request)
        elif method == "OPTIONS":
            transaction.respond(200, "", self._agent.capabilities)
        else:
            self._agent.refuse_method(transaction)

    def _on_refer(self, transaction: ServerTransaction, request: Request) -> None:
        """One at a time: the listener answers it by `referral`."""
        if self.referral is not None:
            transaction.respond(491)
            return
        try:
            event = referred(request)
        except RemoteProtocolError as error:
            transaction.respond(error.status_hint)
            return
        is_first, self._has_referred = not self._has_referred, True
        self.referral = Referral(self._agent, self, transaction, request, is_first=is_first)
        self.emit(event)

    def on_ack(self, request: Request) -> None:
        """An ACK inside the dialog."""
        self.renegotiation.on_ack(request)

    def on_first_ack(self, request: Request) -> None:
        """The ACK of the INVITE that we took: the answer is settled."""
        self.emit(Answered(sdp_of(request)))
        if self._bye_waits:
            self._send_bye()

    def on_first_ack_missing(self) -> None:
        """64*T1 without it: section 13.3.1.4 asks for BYE."""
        if self._bye_waits:
            self._send_bye()
        else:
            self.lost(408, "no ACK")

    def _on_bye(self, transaction: ServerTransaction, request: Request) -> None:
        transaction.respond(200, "", f"Server: {self._agent.name}\r\n")
        if self._phase is _Phase.OPEN:
            self._tell(Released(by_far_end=True, q850_cause=request.q850_cause))
            self._finish()

    def _on_info(self, transaction: ServerTransaction, request: Request) -> None:
        content_type = str(request.content_type).partition(";")[0].lower()
        if content_type in ("application/dtmf-relay", "application/dtmf"):
            digit = dtmf_info(content_type, request.body)
            transaction.respond(200 if digit else 400)
            if digit is not None:
                self.emit(digit)
        elif request.body:
            transaction.respond(415, "", "Accept: application/dtmf-relay, application/dtmf\r\n")
        else:
            transaction.respond(200)


def capability_fields(name: str) -> str:
    """The lines that say what we can, for 200 to OPTIONS."""
    return (
        f"Allow: {ALLOW}\r\nSupported: {SUPPORTED}\r\nAccept: application/sdp\r\n"
        f"Accept-Encoding: identity\r\nAccept-Language: en\r\nServer: {name}\r\n"
    )


def dtmf_info(content_type: str, body: bytes) -> DigitInfo | None:
    """The digit of an INFO body; None when there is none.

    application/dtmf-relay has ``Signal=5`` and ``Duration=160`` (ms); application/dtmf the digit
    alone. Some write * and # as their event codes 10 and 11.
    """
    if content_type == "application/dtmf-relay":
        match = _SIGNAL.search(body)
    else:
        match = _LONE_DIGIT.fullmatch(body)
    if match is None:
        return None
    signal = match.group(1).decode()
    digit = _EVENT_CODES.get(signal, signal).upper()
    if len(digit) != 1:
        return None
    duration = _DURATION.search(body)
    return DigitInfo(digit, int(duration.group(1)) if duration else _DEFAULT_DURATION_MS)
