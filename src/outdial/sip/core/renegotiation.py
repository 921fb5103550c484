"""Offers inside a session, both ways: re-INVITE (RFC 3261 section 14), UPDATE (RFC 3311), and the
refreshing of session timers (RFC 4028)."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from outdial.legs import Reanswered, Reoffer
from outdial.sip.core.acceptance import Acceptance
from outdial.sip.core.hop import Hop
from outdial.sip.core.machines import Event, State
from outdial.sip.core.message import Request, Response
from outdial.sip.core.reason import RECOVERY_ON_TIMER_EXPIRY
from outdial.sip.core.session_description import sdp_of
from outdial.sip.core.session_timer import (
    MIN_SE_S,
    SessionInterval,
    agreed_by_answer,
    answer_to,
    expires_field,
    min_se_s,
    too_small,
)
from outdial.sip.core.timers import Timer
from outdial.sip.core.transaction import ClientTransaction, ServerTransaction

if TYPE_CHECKING:
    from outdial.sip.core.agent import Agent
    from outdial.sip.core.session import Session


_MAX_UNACKNOWLEDGED = 8
"""Offers of the peer that were answered and whose ACK is not here; each is repeated for 64*T1."""
_MAX_LONGER = 2
"""How often a longer session interval is offered after 422: one carrier and one behind it."""


class _Due(IntEnum):
    SESSION = 1
    """Half of the session interval is over (we refresh), or all but a last grace (we do not)."""
    RETRY = 2
    """After 491, or when a refresh met another offer."""
    GIVE_UP = 3
    """The session ended 64*T1 ago and our re-INVITE has no final response yet."""


class Renegotiation:
    """At most one offer at a time each way; crossing ones meet 491."""

    __slots__ = (
        "_acceptances",
        "_ack",
        "_agent",
        "_due",
        "_first",
        "_give_up",
        "_interval",
        "_local_sdp",
        "_longer",
        "_min_se",
        "_offered",
        "_offerless",
        "_ours",
        "_retry",
        "_session",
        "_theirs",
        "_theirs_offerless",
        "_timer_fields",
        "_wanted",
        "_we_called",
    )  # fmt: skip

    def __init__(
        self, agent: Agent, session: Session, local_sdp: bytes, *, we_called: bool
    ) -> None:
        self._agent = agent
        self._session = session
        self._local_sdp = local_sdp
        self._we_called = we_called
        self._ours: ClientTransaction | None = None
        self._wanted: bytes | None = None
        """An offer of the listener that is on its way or waits for its turn."""
        self._offered = b""
        """What our request under way carries."""
        self._ack: tuple[bytes, Hop] | None = None
        self._theirs: ServerTransaction | None = None
        self._theirs_offerless = False
        self._timer_fields = ""
        self._offerless: set[int] = set()
        self._acceptances: list[Acceptance] = []
        self._first: Acceptance | None = None
        self._interval: SessionInterval | None = None
        self._min_se = MIN_SE_S
        self._longer = 0
        """How often 422 has been taken."""
        self._due: Timer | None = None
        self._retry: Timer | None = None
        self._give_up: Timer | None = None

    @property
    def awaits_first_ack(self) -> bool:
        """Whether the 2xx that made the session is not acknowledged yet."""
        return self._first is not None

    # ------------------------------------------------------------ offers of the peer

    def on_request(self, transaction: ServerTransaction, request: Request, source: Hop) -> None:
        """A re-INVITE or UPDATE whose CSeq is in order."""
        offer = sdp_of(request)
        bare_update = request.method == "UPDATE" and offer is None
        if self._theirs is not None or len(self._acceptances) >= _MAX_UNACKNOWLEDGED:
            seconds = int(10 * self._agent.fraction())
            transaction.respond(500, "", f"Retry-After: {seconds}\r\n")
        elif not bare_update and (self._ours is not None or self._offerless):
            transaction.respond(491)
        elif too_small(request):
            transaction.respond(422, "", f"Min-SE: {MIN_SE_S}\r\n")
        else:
            self._take(transaction, request, source, offer, bare=bare_update)

    def _take(
        self,
        transaction: ServerTransaction,
        request: Request,
        source: Hop,
        offer: bytes | None,
        *,
        bare: bool,
    ) -> None:
        dialog = self._session.dialog
        dialog.refresh_target(request, source)
        dialog.learn(request)
        interval, self._timer_fields = answer_to(request)
        self.run_timer(interval or self._interval)
        if bare:
            transaction.respond(200, "", self._success_fields(transaction.hop))
            return
        self._theirs = transaction
        self._theirs_offerless = offer is None
        transaction.user = self
        self._session.emit(Reoffer(offer))

    def answer_offer(self, sdp: bytes) -> None:
        """200 with the SDP, our answer or (to an offerless re-INVITE) our offer."""
        transaction, self._theirs = self._theirs, None
        if transaction is None:
            return
        self._local_sdp = sdp
        fields = self._success_fields(transaction.hop) + "Content-Type: application/sdp\r\n"
        transaction.respond(200, "", fields, sdp)
        if transaction.method == "UPDATE":
            self._go_on()
        else:
            if self._theirs_offerless:
                self._offerless.add(transaction.cseq)
            self._acceptances.append(Acceptance(self._agent, transaction, self))

    def refuse_offer(self, status: int) -> None:
        """A failure response; the session stays as it was."""
        transaction, self._theirs = self._theirs, None
        if transaction is not None:
            transaction.respond(status)
            self._go_on()

    def accepted_first(self, transaction: ServerTransaction) -> None:
        """The 2xx to the INVITE that made the session has been sent."""
        self._first = Acceptance(self._agent, transaction, self)
        self._acceptances.append(self._first)

    def on_ack(self, request: Request) -> None:
        """An ACK inside the dialog, for one of our 2xx."""
        for acceptance in self._acceptances:
            if acceptance.receive(request):
                return

    def on_acknowledged(self, acceptance: Acceptance, ack: Request) -> None:
        """The 2xx need not be repeated any more."""
        self._acceptances.remove(acceptance)
        if acceptance is self._first:
            self._first = None
            self._session.on_first_ack(ack)
        elif acceptance.cseq in self._offerless:
            self._offerless.discard(acceptance.cseq)
            if (sdp := sdp_of(ack)) is not None:
                self._session.emit(Reanswered(sdp))
        self._go_on()

    def on_unacknowledged(self, acceptance: Acceptance) -> None:
        """64*T1 without ACK."""
        self._acceptances.remove(acceptance)
        self._offerless.discard(acceptance.cseq)
        if acceptance is self._first:
            self._first = None
            self._session.on_first_ack_missing()
        else:
            self._session.lost(408, "no ACK")

    def _success_fields(self, hop: Hop) -> str:
        fields, self._timer_fields = self._timer_fields, ""
        where, policy = self._session.dialog.contact(hop), self._session.policy
        return (
            f"Contact: {where}\r\nAllow: {policy.allow}\r\nSupported: {policy.supported}\r\n"
            f"Server: {self._agent.name}\r\n{fields}"
        )

    # ------------------------------------------------------------ offers of ours

    def reoffer(self, sdp: bytes) -> None:
        """Sends a re-INVITE, as soon as no other offer is under way."""
        self._wanted = sdp
        self._go_on()

    def _go_on(self) -> None:
        """Sends the offer that waits, unless another is under way or a 491 makes it wait."""
        busy = self._ours is not None or self._theirs is not None or self._acceptances
        may_send = not busy and self._retry is None and self._session.is_open
        if self._wanted is not None and may_send:
            self._send_invite(self._wanted)

    def _refresh(self) -> None:
        if self._ours is not None or self._theirs is not None:
            self._try_later()
        elif "UPDATE" in self._session.dialog.peer_allows:
            self._send("UPDATE", b"")
        else:
            self._send_invite(self._local_sdp)

    def _send_invite(self, sdp: bytes) -> None:
        self._send("INVITE", sdp)

    def _send(self, method: str, sdp: bytes) -> None:
        self._offered = sdp
        agent, session = self._agent, self._session
        outline = session.dialog.outline(agent.branch())
        where, policy = session.dialog.contact(outline.hop), session.policy
        fields = (
            f"Contact: {where}\r\nAllow: {policy.allow}\r\nSupported: {policy.supported}\r\n"
            f"User-Agent: {agent.name}\r\n"
        )
        fields += session.authorization.fields(method, outline.uri, outline.hop, sdp)
        if self._interval is not None:
            seconds = max(self._interval.interval_s, self._min_se)
            fields += expires_field(seconds, "uac") + f"Min-SE: {self._min_se}\r\n"
        if sdp:
            fields += "Content-Type: application/sdp\r\n"
        data = outline.encode(method, fields, sdp)
        self._ours = agent.request(outline, method, data, self, session.trace)

    def on_response(self, transaction: ClientTransaction, response: Response, source: Hop) -> None:
        """A response to our re-INVITE or UPDATE."""
        status = response.status
        if status < 200:
            return
        current = transaction is self._ours
        if current:
            self._ours = None
        if status < 300:
            self._on_success(transaction, response, source, current=current)
        elif current and self._session.is_open:
            self._on_failure(transaction, response, source)

    def on_no_response(self, transaction: ClientTransaction, *, unreachable: bool) -> None:
        """Section 12.2.1.2: as if 408 had come; the dialog is over."""
        if transaction is self._ours:
            self._ours = None
            reason = "peer unreachable" if unreachable else "no response inside the dialog"
            self._session.lost(503 if unreachable else 408, reason)

    def _on_success(
        self, transaction: ClientTransaction, response: Response, source: Hop, *, current: bool
    ) -> None:
        session = self._session
        if transaction.method == "INVITE":
            self._acknowledge(transaction, first=current)
        if not current:
            return
        session.authorization.settled(transaction.method)
        session.dialog.refresh_target(response, source)
        self._agent.timers.stop(self._give_up)
        if not session.is_open:
            return
        self.run_timer(agreed_by_answer(response))
        if transaction.method == "INVITE":
            self._local_sdp = self._offered
            if self._wanted is self._offered:
                self._wanted = None
            if (sdp := sdp_of(response)) is not None:
                session.emit(Reanswered(sdp))
        self._go_on()

    def _acknowledge(self, transaction: ClientTransaction, *, first: bool) -> None:
        """ACK to a 2xx, the very same one to each repetition."""
        agent, session = self._agent, self._session
        if first or self._ack is None:
            outline = session.dialog.outline(agent.branch(), transaction.outline.cseq)
            fields = session.authorization.fields("ACK", outline.uri, outline.hop)
            self._ack = (outline.encode("ACK", fields), outline.hop)
        agent.send(*self._ack, session.trace)

    def _on_failure(self, transaction: ClientTransaction, response: Response, source: Hop) -> None:
        session, status = self._session, response.status
        if status in (408, 481):
            session.lost(status, response.reason)
        elif status == 491:
            self._try_later()
        elif session.authorization.takes(response, source) or self._raise_min_se(response):
            self._send(transaction.method, self._offered)
        elif transaction.method == "UPDATE":
            session.authorization.settled("UPDATE")
            self._send_invite(self._local_sdp)
        else:
            session.authorization.settled("INVITE")
            if self._wanted is self._offered:
                self._wanted = None
            self._go_on()

    def _raise_min_se(self, response: Response) -> bool:
        """Whether the peer asks for a longer session interval than it was offered."""
        wanted = min_se_s(response)
        if response.status != 422 or self._interval is None or wanted <= self._min_se:
            return False
        if self._longer >= _MAX_LONGER:
            return False
        self._longer += 1
        self._min_se = wanted
        return True

    def _try_later(self) -> None:
        """Section 14.1: 2.1 to 4 s for whoever made the Call-ID, up to 2 s for the other."""
        agent = self._agent
        agent.timers.stop(self._retry)
        fraction = agent.fraction()
        seconds = 2.1 + 1.9 * fraction if self._we_called else 2.0 * fraction
        self._retry = agent.timers.start(agent.now + seconds, self, _Due.RETRY)

    # ------------------------------------------------------------ time

    def run_timer(self, interval: SessionInterval | None) -> None:
        """(Re)starts the session timer; None stops it."""
        agent = self._agent
        agent.timers.stop(self._due)
        self._interval = interval
        self._due = None
        if interval is not None and self._session.is_open:
            self._due = agent.timers.start(agent.now + interval.due_s, self, _Due.SESSION)

    def on_timer(self, what: int) -> None:
        """One of the timers of a session is due."""
        if what == _Due.GIVE_UP:
            if self._ours is not None and self._ours.state is not State.TERMINATED:
                self._ours.fire(Event.GIVE_UP)
            self._ours = None
        elif what == _Due.RETRY:
            self._on_retry()
        elif self._interval is not None and self._interval.we_refresh:
            self._start_grace(self._interval)
            self._refresh()
        else:
            self._session.lost(408, "session timer expired", RECOVERY_ON_TIMER_EXPIRY)

    def _on_retry(self) -> None:
        self._retry = None
        if self._wanted is not None:
            self._go_on()
        else:
            self._refresh()

    def _start_grace(self, interval: SessionInterval) -> None:
        """Until our refresh is answered the old interval goes on, and its end is final."""
        agent = self._agent
        waited = SessionInterval(interval.interval_s, we_refresh=False).due_s
        remaining = max(waited - interval.due_s, 0.0)
        self._interval = SessionInterval(interval.interval_s, we_refresh=False)
        self._due = agent.timers.start(agent.now + remaining, self, _Due.SESSION)

    def close(self) -> None:
        """The session ends: what is pending is refused, all timers but repeats stop. Idempotent."""
        timers = self._agent.timers
        for timer in (self._due, self._retry):
            timers.stop(timer)
        self._due = self._retry = None
        self.refuse_offer(487)
        ours = self._ours
        if ours is not None and ours.method == "INVITE" and self._give_up is None:
            at = self._agent.now + self._agent.timings.timeout
            self._give_up = timers.start(at, self, _Due.GIVE_UP)

    def stop_repeating(self) -> None:
        """No 2xx of ours needs an ACK any more."""
        for acceptance in self._acceptances:
            acceptance.stop()
        self._acceptances.clear()
        self._first = None
