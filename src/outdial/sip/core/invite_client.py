"""The caller's side of a call: an INVITE until it is answered, rejected or cancelled."""

from __future__ import annotations

from dataclasses import replace
from enum import IntEnum
from typing import TYPE_CHECKING

from outdial.legs import Answered, Rejected, Ringing, SignallingEvent
from outdial.sip.core.authorization import Authorization, Credentials
from outdial.sip.core.dialog import Dialog, is_secured
from outdial.sip.core.dialog_data import DialogData
from outdial.sip.core.dialog_request import DialogRequest, goodbye
from outdial.sip.core.farewell import Farewell, TooLate
from outdial.sip.core.hop import Hop
from outdial.sip.core.invitation import Invitation as Invitation
from outdial.sip.core.machines import Event, State
from outdial.sip.core.message import Request, Response
from outdial.sip.core.outline import Outline, contact, field
from outdial.sip.core.peer import Peer
from outdial.sip.core.reason import reason_fields
from outdial.sip.core.session import Session
from outdial.sip.core.session_description import sdp_of
from outdial.sip.core.session_timer import MIN_SE_S, agreed_by_answer, expires_field, min_se_s
from outdial.sip.core.timers import Timer
from outdial.sip.core.transaction import ClientTransaction, ServerTransaction, Trace

if TYPE_CHECKING:
    from outdial.sip.core.agent import Agent

_MAX_EARLY_DIALOGS = 16
_UNCANCELLED, _SILENT = 0, 1
"""Timers: 64*T1 after a CANCEL; the target has said nothing for so long that another is tried."""
_MAX_LONGER = 2
"""How often a longer session interval is offered after 422: one carrier and one behind it."""


class _Phase(IntEnum):
    INVITING = 1
    CANCELLING = 2
    """The listener hung up; CANCEL is sent, or waits for the first provisional response."""
    ANSWERED = 3
    OVER = 4


class _Early:
    """A dialog that a provisional response made."""

    __slots__ = ("dialog", "last_rseq", "sdp")

    def __init__(self, dialog: Dialog) -> None:
        self.dialog = dialog
        self.last_rseq: int | None = None
        self.sdp: bytes | None = None
        """The answer in a reliable provisional response, which is final for this dialog."""


class OutgoingCall:
    """One call that we make."""

    __slots__ = (
        "_ack_due", "_acks", "_agent", "_cancel_reason", "_cancel_timer", "_cseq", "_fallback",
        "_invitation", "_is_orphan", "_longer", "_min_se", "_patience", "_phase", "_provisional",
        "_transaction",
        "authorization", "early", "local_tag", "session", "trace",
    )  # fmt: skip

    def __init__(self, agent: Agent, invitation: Invitation, trace: Trace | None) -> None:
        self._agent = agent
        self._invitation = invitation
        self.trace = trace
        self.authorization = Authorization(invitation.credentials, agent.token)
        self.local_tag = invitation.local_tag or agent.token()
        self.early: dict[str, _Early] = {}
        """Early dialogs by the peer's tag: a forked INVITE makes several."""
        self.session: Session | None = None
        self._phase = _Phase.INVITING
        self._transaction: ClientTransaction | None = None
        self._cseq = 0
        self._min_se = MIN_SE_S
        self._longer = 0
        """How often 422 has been taken."""
        self._provisional = False
        self._cancel_reason = ""
        self._cancel_timer: Timer | None = None
        self._patience: Timer | None = None
        """Runs until the target says anything."""
        self._acks: dict[str, tuple[bytes, Hop] | None] = {}
        """The ACK of each dialog that a 2xx made, by the peer's tag; None: it waits."""
        self._ack_due: tuple[Dialog, int] | None = None
        """The dialog whose ACK waits, and the CSeq of its INVITE."""
        self._is_orphan = False
        """An earlier process sent the INVITE."""
        self._fallback: Dialog | None = None
        """Of an orphan: what to end by BYE when CANCEL comes too late for it."""

    @classmethod
    def cancel_orphan(
        cls,
        agent: Agent,
        data: DialogData,
        hop: Hop,
        credentials: Credentials | None,
        trace: Trace | None,
        reason: str,
    ) -> None:
        """CANCEL for an INVITE that an earlier process sent. Raises ValueError for bad data."""
        invitation = Invitation(
            data.call_id, data.target, data.local, hop, b"", credentials=credentials
        )
        call = cls(agent, invitation, trace)
        call.local_tag = data.local_tag
        call._is_orphan = True
        call._phase = _Phase.CANCELLING
        call._provisional = True
        call._cancel_reason = reason
        if data.early is not None:
            at = replace(hop, host=data.early.host, port=data.early.port)
            call._fallback = data.early.dialog(at)
        call._transaction = agent.resume(data.outline(hop), call, trace)
        agent.hold(call)
        call._send_cancel()

    @property
    def policy(self) -> Peer:
        """What the owner says of the peer."""
        return self._invitation.policy

    @property
    def call_id(self) -> str:
        """The Call-ID header."""
        return self._invitation.call_id

    @property
    def peer(self) -> Hop:
        """Where our next request goes."""
        return self.session.dialog.hop if self.session is not None else self._invitation.hop

    @property
    def dialog_data(self) -> DialogData | None:
        """What another process would need to end the call as it stands; None: there is nothing."""
        if self.session is not None:
            return DialogData.of_dialog(self.session.dialog)
        if self._transaction is None or self._phase is _Phase.OVER:
            return None
        early = next(iter(self.early.values()), None)
        return DialogData.of_invite(
            self._transaction.outline, None if early is None else early.dialog
        )

    def emit(self, event: SignallingEvent) -> None:
        """An event for the listener."""
        self._agent.emit(self, event)

    def session_over(self) -> None:
        """The confirmed dialog has ended. The INVITE's transaction may hold the call for 64*T1."""
        self.acknowledge()
        self._phase = _Phase.OVER
        self.session = None
        self._transaction = None
        self._agent.drop(self)

    # ------------------------------------------------------------ INVITE

    def invite(self) -> None:
        """Sends the INVITE, the first or one with credentials or a longer session interval.

        Raises LocalProtocolError when a header has a control character.
        """
        agent, invitation = self._agent, self._invitation
        self._cseq += 1
        outline = Outline(
            uri=invitation.uri,
            hop=invitation.hop,
            branch=agent.branch(),
            routes=invitation.routes,
            from_=f"{invitation.from_};tag={self.local_tag}",
            to=f"<{invitation.uri}>",
            call_id=invitation.call_id,
            cseq=self._cseq,
        )
        data = outline.encode("INVITE", self._fields(outline), invitation.offer)
        self._provisional = False
        self._transaction = agent.request(outline, "INVITE", data, self, self.trace)
        if invitation.patience_s and self._cseq == 1:
            due = agent.now + invitation.patience_s
            self._patience = agent.timers.start(due, self, _SILENT)

    def _fields(self, outline: Outline) -> str:
        agent, invitation = self._agent, self._invitation
        sips = is_secured(outline.uri, outline.routes)
        where = contact(outline.hop, invitation.contact_user, sips=sips)
        fields = (
            f"Contact: {where}\r\nAllow: {self.policy.allow}\r\n"
            f"Supported: {self.policy.supported}\r\nUser-Agent: {agent.name}\r\n"
        )
        if agent.session_expires_s:
            seconds = max(agent.session_expires_s, self._min_se)
            fields += expires_field(seconds) + f"Min-SE: {self._min_se}\r\n"
        fields += self.authorization.fields("INVITE", outline.uri, outline.hop, invitation.offer)
        for name, value in invitation.headers:
            fields += field(name, value)
        if invitation.offer:
            fields += "Content-Type: application/sdp\r\n"
        return fields

    def on_response(self, transaction: ClientTransaction, response: Response, source: Hop) -> None:
        """What the INVITE transaction passes up."""
        if self._patience is not None:
            self._lose_patience_no_more()
        status = response.status
        if status < 200:
            if transaction is self._transaction:
                self._on_provisional(response, source)
        elif status < 300:
            self._on_success(transaction, response, source)
        elif transaction is self._transaction:
            self._on_failure(response, source)

    def has_sent(self, branch: str | None) -> bool:
        """Whether the INVITE under way has that branch."""
        return self._transaction is not None and self._transaction.outline.branch == branch

    def _lose_patience_no_more(self) -> None:
        self._agent.timers.stop(self._patience)
        self._patience = None

    def _give_up(self) -> None:
        """Another target is tried. The INVITE may have arrived here all the same: what comes of it
        later is cancelled, or acknowledged and released, as after a CANCEL."""
        self._patience = None
        if self._phase is _Phase.INVITING and self._transaction is not None:
            self._transaction.fire(Event.HUSH)
            self._cancel_reason = "another target was tried"
            waited_s = self._invitation.patience_s
            self._reject(Rejected(408, f"No response within {waited_s:g} s", local=True))

    def on_no_response(self, transaction: ClientTransaction, *, unreachable: bool) -> None:
        """Timer B, or the transport failed."""
        self._transaction = None
        if self._phase is _Phase.CANCELLING:
            self._reject(Rejected(487, "Request Terminated", local=True))
        elif unreachable:
            self._reject(Rejected(503, self._agent.trouble, local=True))
        else:
            self._reject(Rejected(408, "Request Timeout", local=True))

    # ------------------------------------------------------------ 1xx

    def _on_provisional(self, response: Response, source: Hop) -> None:
        if self._phase is not _Phase.INVITING and not self._provisional:
            self._provisional = True
            self._send_cancel()
            return
        self._provisional = True
        if response.status == 100:
            return
        sdp = sdp_of(response)
        if (tag := response.to.tag) is not None:
            early = self._early_dialog(tag, response, source)
            if early is not None and not self._acknowledge_reliable(early, response, sdp):
                return
        if self._phase is _Phase.INVITING:
            self.emit(Ringing(response.status, response.reason, sdp))

    def _early_dialog(self, tag: str, response: Response, source: Hop) -> _Early | None:
        early = self.early.get(tag)
        if early is None and self._transaction and len(self.early) < _MAX_EARLY_DIALOGS:
            dialog = Dialog.as_client(
                self._transaction.outline,
                self.local_tag,
                response,
                source,
                symmetric=self._invitation.symmetric,
            )
            dialog.contact_user = self._invitation.contact_user
            early = self.early[tag] = _Early(dialog)
        return early

    def _acknowledge_reliable(self, early: _Early, response: Response, sdp: bytes | None) -> bool:
        """PRACK when the response is reliable (RFC 3262); False: it is a repetition or a gap."""
        rseq = response.rseq if "100rel" in response.required else None
        if rseq is None:
            return True
        if early.last_rseq is not None and rseq != early.last_rseq + 1:
            return False
        early.last_rseq = rseq
        if sdp is not None:
            early.sdp = sdp
        fields = f"RAck: {rseq} {self._cseq} INVITE\r\n"
        agent, dialog = self._agent, early.dialog
        DialogRequest(agent, dialog, self.authorization, self.trace, "PRACK", fields).send()
        return True

    # ------------------------------------------------------------ 2xx

    def _on_success(self, transaction: ClientTransaction, response: Response, source: Hop) -> None:
        tag = response.to.tag or ""
        if tag in self._acks:
            if (known := self._acks[tag]) is not None:
                self._agent.send(*known, self.trace)
            return
        if len(self._acks) >= _MAX_EARLY_DIALOGS:
            return
        early = self.early.pop(tag, None)
        if early is not None:
            dialog = early.dialog
            dialog.confirm(response, source)
        else:
            dialog = Dialog.as_client(
                transaction.outline,
                self.local_tag,
                response,
                source,
                symmetric=self._invitation.symmetric,
            )
            dialog.contact_user = self._invitation.contact_user
        self.authorization.settled("INVITE")
        cseq = transaction.outline.cseq
        if self._phase is not _Phase.INVITING:
            if self._is_orphan:
                # Of an orphan nothing is stored any more: see Orphans.on_success.
                self._release_unwanted(dialog)
                self._acknowledge(dialog, cseq)
            else:
                self._acknowledge(dialog, cseq)
                self._release_unwanted(dialog)
            return
        self._acks[tag] = None
        self._ack_due = (dialog, cseq)
        if not self._invitation.ack_waits:
            self.acknowledge()
        self._answered(dialog, response, early)

    def on_late_success(self, response: Response, source: Hop) -> None:
        """A 2xx that is repeated, or comes from another branch, when the transaction is over."""
        if self._transaction is not None:
            self._on_success(self._transaction, response, source)

    def acknowledge(self) -> None:
        """Sends the ACK that waits, if one does. Each repetition of the 2xx gets the same."""
        due, self._ack_due = self._ack_due, None
        if due is not None:
            self._acknowledge(*due)

    def _acknowledge(self, dialog: Dialog, cseq: int) -> None:
        agent = self._agent
        outline = dialog.outline(agent.branch(), cseq)
        fields = self.authorization.fields("ACK", outline.uri, outline.hop)
        ack = (outline.encode("ACK", fields), outline.hop)
        self._acks[dialog.remote_tag] = ack
        agent.send(*ack, self.trace)

    def _answered(self, dialog: Dialog, response: Response, early: _Early | None) -> None:
        self._phase = _Phase.ANSWERED
        self.early.clear()
        self.session = Session(self._agent, self, dialog, self._invitation.offer, we_called=True)
        self.session.keep_alive(agreed_by_answer(response))
        sdp = sdp_of(response)
        if sdp is None and early is not None:
            sdp = early.sdp
        self.emit(Answered(sdp))

    def _release_unwanted(self, dialog: Dialog) -> None:
        """A 2xx that lost the race with CANCEL, or of a second branch: acknowledged, then BYE."""
        reason = reason_fields(self._cancel_reason)
        goodbye(self._agent, dialog, self.authorization, self.trace, reason).send()
        if self._phase is _Phase.CANCELLING:
            self._reject(Rejected(487, "Request Terminated", local=True))

    # ------------------------------------------------------------ 3xx to 6xx

    def _on_failure(self, response: Response, source: Hop) -> None:
        status = response.status
        if self._phase is _Phase.INVITING and self._try_again(response, source):
            self.early.clear()
            self.invite()
            return
        if status in (400, 403):
            self.authorization.refused()
        challenged = status in (401, 407, 422) and self._phase is _Phase.CANCELLING
        self._reject(
            Rejected(487, "Request Terminated", local=True)
            if challenged
            else Rejected(
                status,
                response.reason,
                retry_after_s=response.retry_after_s,
                q850_cause=response.q850_cause,
            )
        )

    def _try_again(self, response: Response, source: Hop) -> bool:
        """401 and 407 with credentials, 422 with the longer interval. A 3xx is not followed."""
        if response.status == 422:
            wanted = min_se_s(response)
            if wanted <= self._min_se or self._longer >= _MAX_LONGER:
                return False
            self._longer += 1
            self._min_se = wanted
            return True
        return self.authorization.takes(response, source)

    def _reject(self, event: Rejected) -> None:
        if self._phase is _Phase.OVER:
            return
        self._phase = _Phase.OVER
        self.early.clear()
        self._agent.timers.stop(self._cancel_timer)
        self._lose_patience_no_more()
        if self._transaction is not None and self._transaction.is_answered:
            self._transaction = None
        self.emit(event)
        self._agent.drop(self)

    # ------------------------------------------------------------ the listener's wishes

    def hang_up(self, status: int = 0, reason: str = "") -> None:
        """CANCEL before the answer, BYE after it."""
        if self.session is not None:
            self.acknowledge()
            self.session.hang_up(reason)
        elif self._phase is _Phase.INVITING:
            self._phase = _Phase.CANCELLING
            self._cancel_reason = reason
            if self._provisional:
                self._send_cancel()

    def _send_cancel(self) -> None:
        transaction = self._transaction
        if transaction is None:
            return
        agent = self._agent
        fields = f"User-Agent: {agent.name}\r\n{reason_fields(self._cancel_reason)}"
        data = transaction.outline.encode("CANCEL", fields)
        user = Farewell() if self._fallback is None else TooLate(self)
        agent.request(transaction.outline, "CANCEL", data, user, self.trace)
        at = agent.now + agent.timings.timeout
        self._cancel_timer = agent.timers.start(at, self, _UNCANCELLED)

    def on_timer(self, what: int) -> None:
        """64*T1 after the CANCEL and still no final response (section 9.1), or the target is too
        silent."""
        if what == _SILENT:
            self._give_up()
            return
        transaction = self._transaction
        if transaction is not None and transaction.state is State.PROCEEDING:
            transaction.fire(Event.GIVE_UP)
        self.end_early_dialog()
        self._reject(Rejected(487, "Request Terminated", local=True))

    def end_early_dialog(self) -> None:
        """The INVITE of an orphan may have been answered, and the answer acknowledged, without that
        having been stored. Section 15: a caller may send BYE in an early dialog too."""
        dialog, self._fallback = self._fallback, None
        if dialog is not None and self._phase is _Phase.CANCELLING:
            reason = reason_fields(self._cancel_reason)
            goodbye(self._agent, dialog, self.authorization, self.trace, reason).send()

    # ------------------------------------------------------------ requests of the peer

    def on_request(self, transaction: ServerTransaction, request: Request, source: Hop) -> None:
        """A request with our tag."""
        tag = request.from_.tag or ""
        session = self.session
        if request.call_id != self.call_id:
            transaction.respond(481)
        elif session is not None and tag == session.dialog.remote_tag:
            session.on_request(transaction, request, source)
        elif tag in self._acks and request.method == "BYE":
            transaction.respond(200)
        elif tag in self.early:
            self._on_early_request(self.early[tag], transaction, request)
        else:
            transaction.respond(481)

    def _on_early_request(
        self, early: _Early, transaction: ServerTransaction, request: Request
    ) -> None:
        """Before the answer nothing can be offered to us: our own offer may still be open."""
        if not early.dialog.in_order(request):
            transaction.respond(500, "CSeq Out of Order", "Retry-After: 0\r\n")
        elif request.method == "OPTIONS":
            transaction.respond(200, "", self._agent.capabilities)
        elif request.method == "UPDATE" and sdp_of(request) is None:
            transaction.respond(200, "", f"Contact: {early.dialog.contact(transaction.hop)}\r\n")
        elif request.method == "UPDATE":
            transaction.respond(491)
        elif request.method == "INFO":
            transaction.respond(200)
        elif request.method == "BYE":
            transaction.respond(481)
        else:
            self._agent.refuse_method(transaction)

    def on_ack(self, request: Request) -> None:
        """An ACK to a 2xx that we gave to a re-INVITE."""
        if self.session is not None:
            self.session.on_ack(request)
