"""What happens on one placed call: ring, digits, the application or the second party, the end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from outdial import log
from outdial.calls.bridge import Bridge
from outdial.calls.callbacks import Subscription
from outdial.calls.dialled_leg import DialledLeg
from outdial.calls.endings import of_refusal
from outdial.calls.host import LegHost
from outdial.calls.leg import CallLeg
from outdial.calls.leg_plan import LegPlan
from outdial.calls.party import Party
from outdial.calls.request import CallRequest
from outdial.calls.services import Services
from outdial.calls.states import State
from outdial.didml.interpreter import ApplicationEnd, EndKind, Limits, run_application
from outdial.didml.run.host import DialEnd
from outdial.didml.run.outcome import DocumentRequest
from outdial.errors import MediaUnavailable, OutdialError, SpeechError
from outdial.legs import Ending, Outcome, PlayEnd, Source
from outdial.store.records import CallRecord

_log = log.get("session")

_GOODBYE = Ending(Outcome.COMPLETED, "normal-clearing", Source.OUTDIAL)

BRIDGE_FAILURE = {
    "busy": "The other party is busy. Goodbye.",
    "no-answer": "The other party does not answer. Goodbye.",
}
BRIDGE_FAILURE_OTHERWISE = "The other party cannot be reached. Goodbye."


class Session:
    """One A leg and everything it leads to."""

    def __init__(
        self,
        services: Services,
        call: CallRecord,
        request: CallRequest,
        on_leg: Callable[[CallLeg], None],
        next_seq: int = 0,
        leg: CallLeg | None = None,
    ) -> None:
        """`leg` is there already when somebody else placed the call."""
        self._services = services
        self.request = request
        self._on_leg = on_leg
        self._subscription = Subscription.of_request(request, call.sid)
        plan = LegPlan(
            number=request.to,
            caller_id=request.from_,
            caller_name=request.caller_name,
            trunk=request.trunk,
            timeout_s=request.timeout_s,
            record=request.record,
            headers=request.sip_headers,
        )
        self._application: asyncio.Task[Ending] | None = None
        self._next: DocumentRequest | None = None
        """What takes the application's place."""
        self.leg = leg or DialledLeg(services, call, plan, self._subscription, next_seq=next_seq)

    async def run(self) -> None:
        """Until the call is over."""
        leg = self.leg
        if not await leg.place():
            return
        leg.limit(self.request.time_limit_s)
        leg.on_redirect = self._redirect
        ending = _GOODBYE
        try:
            ending = await self._attend(self._converse())
            while self._next is not None and not leg.is_over:
                request, self._next = self._next, None
                with contextlib.suppress(MediaUnavailable):  # it may not be answered yet
                    leg.media.stop_playing()
                ending = await self._attend(self._run_application(request))
        finally:
            leg.hang_up(ending)

    def _redirect(self, request: DocumentRequest) -> None:
        """Another document takes over; of several in a moment the last."""
        if self._next is None and self._application is not None:
            self._application.cancel()
        self._next = request

    async def _attend(self, work: Coroutine[Any, Any, Ending]) -> Ending:
        """Runs the application until it is over, or the call is, or another takes its place. How
        to hang up then."""
        application = self._services.tasks.start(work, f"application {self.leg.sid}")
        self._application = application
        try:
            await asyncio.wait((application, self.leg.ended), return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not application.done():
                if not application.cancelling():
                    application.cancel()
                await asyncio.wait((application,))
            self._application = None
        return _ended_by(application)

    async def _converse(self) -> Ending:
        """The answered call up to the moment when it should be hung up, and why."""
        leg, request = self.leg, self.request
        if (request.send_digits or not request.url) and not await leg.answer():
            return _GOODBYE  # it is over
        if request.send_digits:
            leg.note("digits.sent", count=sum(c not in "wW " for c in request.send_digits))
            await leg.media.send_digits(request.send_digits)
        if request.url:
            return await self._run_application(DocumentRequest(request.url, request.method))
        return await self._click_to_call()

    # ------------------------------------------------------------------ with a url

    async def _run_application(self, request: DocumentRequest) -> Ending:
        settings = self._services.settings.didml
        end = await run_application(
            LegHost(self._services, self.leg, self._on_leg),
            replace(request, fallback_url=request.fallback_url or self.request.fallback_url),
            Limits(settings.max_documents, settings.max_document_bytes),
        )
        if end.kind is EndKind.ERROR and await self.leg.answer():
            await self._say(settings.apology)
        if self.leg.state is not State.ANSWERED:
            return of_refusal(end.status or 603, Source.APPLICATION, end.reason)
        return _of_application(end)

    # ------------------------------------------------------------------ without a url

    async def _click_to_call(self) -> Ending:
        request, settings = self.request, self._services.settings
        plan = LegPlan(
            number=request.from_,
            caller_id=request.to if settings.calls.bridge_caller_id == "to" else request.from_,
            trunk=request.trunk,
            timeout_s=request.timeout_s,
        )
        party = Party(plan, lambda _: self._subscription, request.time_limit_s)
        end = await Bridge(self._services, self.leg, self._on_leg).connect([party])
        if end.status == "completed":
            return Ending(
                Outcome.COMPLETED,
                "normal-clearing",
                Source.CALLER,
                detail="the other party hung up",
            )
        await self._apologise(end)
        return Ending(
            Outcome.COMPLETED,
            "normal-clearing",
            Source.OUTDIAL,
            detail=f"the second leg could not be connected: {end.status}",
        )

    async def _apologise(self, end: DialEnd) -> None:
        if self._services.settings.calls.apology_on_bridge_failure:
            await self._say(BRIDGE_FAILURE.get(end.status, BRIDGE_FAILURE_OTHERWISE))

    async def _say(self, text: str) -> None:
        """Speaks to the callee; a call is not kept up for words that cannot be spoken."""
        if not text:
            return
        speech = self._services.settings.speech
        last: asyncio.Future[PlayEnd] | None = None
        try:
            async for clip in self._services.speech.speak(
                text, speech.default_voice, speech.default_language
            ):
                last = asyncio.ensure_future(self.leg.media.queue(clip))
            if last is not None:
                await last
        except (SpeechError, MediaUnavailable) as error:
            self.leg.note("warning", text=f"could not say “{text}”: {error}")


def _of_application(end: ApplicationEnd) -> Ending:
    if end.kind is EndKind.ERROR:
        return Ending(Outcome.COMPLETED, "application-error", Source.APPLICATION, detail=end.reason)
    return Ending(Outcome.COMPLETED, "normal-clearing", Source.APPLICATION, detail=end.reason)


def _ended_by(application: asyncio.Task[Ending]) -> Ending:
    """How to hang up after the application's task is over; moot when the leg ended before it."""
    if application.cancelled():
        return _GOODBYE
    error = application.exception()
    if error is None:
        return application.result()
    if isinstance(error, OutdialError):
        return Ending(Outcome.COMPLETED, "application-error", Source.OUTDIAL, detail=str(error))
    return Ending(Outcome.FAILED, "internal-error", Source.OUTDIAL, detail="see the log")
