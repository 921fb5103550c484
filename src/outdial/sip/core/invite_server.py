"""The callee's side of a call: an INVITE until it is answered, refused or cancelled."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from outdial.legs import Rejected, SignallingEvent
from outdial.sip.core.authorization import Authorization
from outdial.sip.core.dialog import Dialog
from outdial.sip.core.dialog_data import DialogData
from outdial.sip.core.fields import RAck
from outdial.sip.core.hop import Hop
from outdial.sip.core.message import Request, reason_phrase
from outdial.sip.core.outline import field
from outdial.sip.core.peer import SOMEBODY, Peer
from outdial.sip.core.session import Session
from outdial.sip.core.session_timer import answer_to
from outdial.sip.core.timers import Timer
from outdial.sip.core.transaction import ServerTransaction, Trace

if TYPE_CHECKING:
    from outdial.sip.core.agent import Agent, Call

_MAX_WAITING = 8
_LONGEST_RINGING = 10
"""In units of 64*T1 (320 s): a caller that vanished without CANCEL must not be held for ever."""


class _Phase(IntEnum):
    WAITING = 1
    ANSWERED = 2
    OVER = 3


class _Due(IntEnum):
    REPEAT = 1
    GIVE_UP = 2
    UNANSWERED = 3


class IncomingCall:
    """One call towards us. Its `request` is the INVITE."""

    __slots__ = (
        "_agent",
        "_dialog",
        "_end",
        "_interval",
        "_phase",
        "_reliable",
        "_repeat",
        "_rseq",
        "_transaction",
        "_unanswered",
        "_waiting",
        "account",
        "authorization",
        "local_tag",
        "policy",
        "replaced",
        "request",
        "session",
        "source",
        "trace",
    )  # fmt: skip

    def __init__(
        self,
        agent: Agent,
        transaction: ServerTransaction,
        request: Request,
        source: Hop,
        account: str = "",
        policy: Peer = SOMEBODY,
        replaced: Call | None = None,
    ) -> None:
        """`account` is the user name that it showed, `replaced` the call whose place it is to take.
        Raises RemoteProtocolError when the INVITE
        cannot make a dialog."""
        self._agent = agent
        self._transaction = transaction
        self.request = request
        self.source = source
        self.account = account
        self.local_tag = agent.token()
        self.policy = policy
        self.replaced = replaced
        self._dialog = Dialog.as_server(self.request, self.local_tag, source, symmetric=policy.nat)
        self.authorization = Authorization(agent.credentials_of(source.host), agent.token)
        self.session: Session | None = None
        self.trace: Trace | None = None
        self._phase = _Phase.WAITING
        self._reliable = "100rel" in self.request.required
        self._rseq = 0
        self._waiting: list[tuple[int, bytes | None]] = []
        """Responses that wait for the PRACK of the first, which is being repeated."""
        self._interval = 0.0
        self._repeat: Timer | None = None
        self._end: Timer | None = None
        longest = agent.now + _LONGEST_RINGING * agent.timings.timeout
        self._unanswered = agent.timers.start(longest, self, _Due.UNANSWERED)

    @property
    def call_id(self) -> str:
        """The Call-ID header."""
        return self.request.call_id

    @property
    def peer(self) -> Hop:
        """Where our next request goes."""
        return self._dialog.hop

    @property
    def dialog_data(self) -> DialogData | None:
        """What another process would need to end the call, once it is answered."""
        return DialogData.of_dialog(self._dialog)

    @property
    def early(self) -> bool:
        """Whether there is a dialog that is not confirmed."""
        return self._phase is _Phase.WAITING

    def watch(self, trace: Trace, data: bytes) -> None:
        """From now on `trace` sees the messages; first the INVITE itself, which came as `data`."""
        self.trace = self._transaction.trace = trace
        trace(False, self.source, data)

    def emit(self, event: SignallingEvent) -> None:
        """An event for the listener."""
        self._agent.emit(self, event)

    def session_over(self) -> None:
        """The confirmed dialog has ended."""
        self._phase = _Phase.OVER
        self.session = None
        self._transaction.user = None
        self._agent.drop(self)

    # ------------------------------------------------------------ the listener's wishes

    def ring(self, status: int, sdp: bytes | None) -> None:
        """A provisional response; reliable (RFC 3262) when the peer requires that."""
        if self._phase is not _Phase.WAITING:
            return
        if self._reliable:
            self._send_in_turn(status, sdp)
        else:
            self._transaction.respond(status, "", self._fields(sdp), sdp or b"", tag=self.local_tag)

    def accept(self, sdp: bytes) -> None:
        """200 with the SDP, repeated until the ACK comes."""
        if self._phase is not _Phase.WAITING:
            return
        if self._waiting:
            self._send_in_turn(200, sdp)
        else:
            self._accept(sdp)

    def reject(self, status: int, reason: str, headers: tuple[tuple[str, str], ...]) -> None:
        """A final 3xx to 6xx. Raises LocalProtocolError when a header has a control character."""
        if self._phase is not _Phase.WAITING:
            return
        fields = f"Server: {self._agent.name}\r\n"
        fields += "".join([field(name, value) for name, value in headers])
        self._transaction.respond(status, reason, fields, tag=self.local_tag)
        self._over(Rejected(status, reason or reason_phrase(status), local=True))

    def hang_up(self, status: int = 0, reason: str = "") -> None:
        """Refuses the call, or ends it after the answer."""
        if self.session is not None:
            self.session.hang_up(reason)
        else:
            self.reject(status or 603, "", ())

    # ------------------------------------------------------------ responses

    def _fields(self, sdp: bytes | None) -> str:
        lines = (
            f"Contact: {self._dialog.contact(self.source)}\r\nAllow: {self.policy.allow}\r\n"
            f"Supported: {self.policy.supported}\r\n"
            f"Server: {self._agent.name}\r\n"
        )
        return lines + "Content-Type: application/sdp\r\n" if sdp else lines

    def _accept(self, sdp: bytes) -> None:
        self._phase = _Phase.ANSWERED
        self._agent.timers.stop(self._unanswered)
        request, agent = self.request, self._agent
        interval, timer_fields = answer_to(request)
        self.session = Session(agent, self, self._dialog, sdp, we_called=False)
        fields = self._fields(sdp) + timer_fields
        self._transaction.respond(200, "", fields, sdp, tag=self.local_tag)
        self.session.renegotiation.accepted_first(self._transaction)
        self.session.keep_alive(interval)

    def _send_in_turn(self, status: int, sdp: bytes | None) -> None:
        """One reliable response at a time: the next leaves when the PRACK of this one is here."""
        if len(self._waiting) < _MAX_WAITING:
            self._waiting.append((status, sdp))
        if len(self._waiting) == 1:
            self._send_reliably()

    def _send_reliably(self) -> None:
        status, sdp = self._waiting[0]
        self._rseq += 1
        fields = f"{self._fields(sdp)}Require: 100rel\r\nRSeq: {self._rseq}\r\n"
        self._transaction.respond(status, "", fields, sdp or b"", tag=self.local_tag)
        agent = self._agent
        self._interval = agent.timings.t1
        self._repeat = agent.timers.start(agent.now + self._interval, self, _Due.REPEAT)
        self._end = agent.timers.start(agent.now + agent.timings.timeout, self, _Due.GIVE_UP)

    def on_timer(self, what: int) -> None:
        """A reliable response has no PRACK yet (RFC 3262 section 3), or nobody ever answered."""
        agent, transaction = self._agent, self._transaction
        if what == _Due.UNANSWERED:
            self.reject(480, "", ())
            return
        if what == _Due.GIVE_UP:
            self.reject(504, "No PRACK", ())
            return
        agent.send(transaction.data, transaction.hop, transaction.trace)
        self._interval *= 2
        self._repeat = agent.timers.start(agent.now + self._interval, self, _Due.REPEAT)

    def _stop_repeating(self) -> None:
        self._agent.timers.stop(self._repeat)
        self._agent.timers.stop(self._end)

    def _over(self, event: Rejected) -> None:
        self._phase = _Phase.OVER
        self._stop_repeating()
        self._agent.timers.stop(self._unanswered)
        self.emit(event)
        self._transaction.user = None
        self._agent.drop(self)

    # ------------------------------------------------------------ requests of the peer

    def on_cancel(self, cancel: Request) -> None:
        """487, unless the final response has left already (section 9.2)."""
        if self._phase is _Phase.WAITING:
            self._transaction.respond(487, tag=self.local_tag)
            cause = cancel.q850_cause
            self._over(Rejected(487, "Request Terminated", q850_cause=cause))

    def on_request(self, transaction: ServerTransaction, request: Request, source: Hop) -> None:
        """A request inside the dialog."""
        dialog = self._dialog
        if request.call_id != self.call_id or (request.from_.tag or "") != dialog.remote_tag:
            transaction.respond(481)
        elif request.method == "PRACK":
            self._on_prack(transaction, request)
        elif self.session is not None:
            self.session.on_request(transaction, request, source)
        else:
            self._on_early_request(transaction, request)

    def _on_prack(self, transaction: ServerTransaction, request: Request) -> None:
        wanted = RAck(self._rseq, self.request.cseq.number, "INVITE")
        in_order = self._dialog.in_order(request)
        if not self._waiting or not in_order or request.rack != wanted:
            transaction.respond(481)
            return
        transaction.respond(200)
        self._stop_repeating()
        self._waiting.pop(0)
        if not self._waiting:
            return
        status, sdp = self._waiting[0]
        if status >= 200:
            self._waiting.clear()
            self._accept(sdp or b"")
        else:
            self._send_reliably()

    def _on_early_request(self, transaction: ServerTransaction, request: Request) -> None:
        if not self._dialog.in_order(request):
            transaction.respond(500, "CSeq Out of Order", "Retry-After: 0\r\n")
        elif request.method == "BYE":
            transaction.respond(200)
            self._transaction.respond(487, tag=self.local_tag)
            cause = request.q850_cause
            self._over(Rejected(487, "Request Terminated", q850_cause=cause))
        elif request.method == "OPTIONS":
            transaction.respond(200, "", self._agent.capabilities)
        elif request.method in ("INVITE", "UPDATE"):
            seconds = int(10 * self._agent.fraction())
            transaction.respond(500, "", f"Retry-After: {seconds}\r\n")
        elif request.method == "INFO":
            transaction.respond(200)
        else:
            self._agent.refuse_method(transaction)

    def on_ack(self, request: Request) -> None:
        """An ACK inside the dialog."""
        if self.session is not None:
            self.session.on_ack(request)
