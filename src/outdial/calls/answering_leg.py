"""A leg that somebody else placed: it rings here until the application answers or refuses it.

Everything after the answer is as on a leg that we placed.
"""

from __future__ import annotations

import asyncio

from outdial.calls.audio import Audio, codecs_of
from outdial.calls.callbacks import Subscription
from outdial.calls.endings import of_given_up, of_refusal
from outdial.calls.leg import CallLeg
from outdial.calls.leg_plan import LegPlan
from outdial.calls.services import Services
from outdial.calls.states import Event
from outdial.config import Trunk
from outdial.errors import (
    MediaUnavailable,
    NegotiationError,
    RemoteProtocolError,
    StoreUnavailable,
)
from outdial.legs import (
    Answered,
    Ending,
    IncomingLeg,
    Outcome,
    Rejected,
    Released,
    SignallingEvent,
    Source,
)
from outdial.store.records import CallRecord, Change

COMMIT_WAIT_S = 1.0
"""How long the caller may hear ringing on because the store is away; then it is answered."""
_REFUSED = 603
_AWAY = 503
"""Of a server that is stopped: the caller's side may try another one, which 603 forbids (RFC 3261
section 21.6.2)."""
_HUNG_UP = Ending(Outcome.COMPLETED, "normal-clearing", Source.CALLER, 200, "the caller hung up")
_GAVE_UP = Ending(
    Outcome.CANCELED,
    "originator-cancel",
    Source.CALLER,
    487,
    "the caller hung up before the answer",
)


class AnsweringLeg(CallLeg):
    """One incoming leg. `place` lets it ring, `answer` answers it."""

    def __init__(
        self,
        services: Services,
        call: CallRecord,
        incoming: IncomingLeg,
        subscription: Subscription | None,
        *,
        record: bool = False,
    ) -> None:
        plan = LegPlan(call.to_number, call.from_number, record=record)
        super().__init__(services, call, plan, subscription)
        self._incoming = incoming
        self._dialog.taken(incoming)
        self.sip_headers = incoming.extra_headers
        incoming.trace(self._ladder.add)
        self._signalling = incoming
        self._signalling_over = False
        self._acknowledged: asyncio.Future[bool] = self._loop.create_future()
        self._answering: asyncio.Task[bool] | None = None

    async def place(self) -> bool:
        """The caller hears ringing from now on; False when it has hung up already."""
        self._incoming.listen(self._on_signalling)
        if not self.is_over:
            self._incoming.ring()
        return not self.is_over

    async def answer(self) -> bool:
        """Answers, if that is not done yet; audio flows both ways when this returns True.

        False: the leg is over, or was refused because there is no audio in common.
        """
        if self._answering is None:
            work = self._answer()
            self._answering = self._services.tasks.start(work, f"answer {self.sid}")
        return await asyncio.shield(self._answering)

    async def _answer(self) -> bool:
        if self.is_over:
            return False
        try:
            self._audio = audio = Audio(
                self._services.media.open(self.sid, self._on_media, self._near),
                codecs_of(self._services.settings, self._trunk()),
                self._services.sdp_session_id(),
            )
            audio.suit(self._services.routes.named(self.call.trunk))
            audio.signalling_address = self._incoming.source[0]
            self._secure(audio)
            offer = self._incoming.offer
            sdp = audio.prepare(offer) if offer is not None else audio.offer()
        except MediaUnavailable as error:
            self._refuse(
                503, Ending(Outcome.FAILED, "media-failure", Source.OUTDIAL, 503, f"{error}")
            )
            return False
        except (NegotiationError, RemoteProtocolError) as error:
            self._refuse(488, of_refusal(488, Source.OUTDIAL, str(error)))
            return False
        await self._store_answer()
        # one that is over by now has been refused: nothing leaves, and nothing is waited for
        self._incoming.accept(sdp)
        return await self._acknowledged

    def _trunk(self) -> Trunk | None:
        """That it came over."""
        trunks = self._services.settings.trunks
        return next((trunk for trunk in trunks if trunk.name == self.call.trunk), None)

    def _secure(self, audio: Audio) -> None:
        """As the trunk's settings say. Raises NegotiationError."""
        trunk = self._trunk()
        if trunk is None:
            return
        encryption = trunk.encryption_over(tls=self._incoming.is_secure)
        if encryption == "off":
            return
        audio.secure(is_required=encryption == "mandatory")
        if trunk.demands_secrecy and not self._incoming.is_secure:
            raise NegotiationError(
                "the call came without TLS, which shows the keys: srtp is mandatory for the trunk"
            )

    async def _store_answer(self) -> None:
        """A crash behind this leaves what ends the call; the store being away must not stop it."""
        fields = self._dialog.changes()
        data = {"trunk": self.call.trunk, **self._agreed()}
        change = self._transition(Event.ANSWER, data, **fields)
        durable = asyncio.ensure_future(self._durable(change))
        done, _ = await asyncio.wait((durable,), timeout=COMMIT_WAIT_S)
        if not done:
            self.note("warning", text=f"the answer was not stored within {COMMIT_WAIT_S:g} s")

    async def _durable(self, change: Change) -> None:
        try:
            await self._services.journal.durable(change)
        except StoreUnavailable:
            self._services.journal.write(change)

    def _withdraw(self, ending: Ending) -> None:
        """Refuses the call, perhaps before it has begun to ring."""
        self._incoming.listen(self._on_signalling)
        if self.is_over:
            return  # its caller was faster
        refusal = _AWAY if ending.cause == "server-shutdown" else _REFUSED
        self._refuse(ending.sip_code or refusal, ending)

    def _refuse(self, status: int, ending: Ending) -> None:
        self._decided = ending
        self._incoming.reject(status)
        self._end(ending)

    def _on_signalling(self, event: SignallingEvent) -> None:
        match event:
            case Answered():
                self._on_acknowledged(event)
                return
            case Rejected(local=False):
                self._end(_GAVE_UP)
            case Rejected():
                self._end(self._decided or of_given_up(event))
            case Released() if event.by_far_end:
                self._end(_HUNG_UP)
        super()._on_signalling(event)
        if self.is_over and not self._acknowledged.done():
            self._acknowledged.set_result(False)

    def _on_acknowledged(self, event: Answered) -> None:
        audio = self._audio
        if audio is None or self.is_over:
            return
        try:
            if event.sdp is not None:
                audio.accept(event.sdp)
            else:
                audio.begin()
        except (NegotiationError, RemoteProtocolError) as error:
            self.hang_up(of_refusal(488, Source.CALLER, str(error)))
            return
        self._attend(audio)
        if not self._acknowledged.done():
            self._acknowledged.set_result(True)
