"""A leg as the voice application's verbs see it (`didml.run.host.Host`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from outdial.calls.bridge import Bridge
from outdial.calls.callbacks import Lane, Subscription
from outdial.calls.gate import check_caller, check_number, check_uri
from outdial.calls.hearing import Hearing
from outdial.calls.leg import CallLeg
from outdial.calls.leg_plan import LegPlan
from outdial.calls.numbers import normalise
from outdial.calls.party import Party
from outdial.calls.playback import Playback
from outdial.calls.postcall import Postcall
from outdial.calls.queues import Conversation
from outdial.calls.services import HttpResponse, Services
from outdial.didml.interpreter import EndKind, Limits, run_application
from outdial.didml.run.host import (
    CallIdentity,
    ConferencePlan,
    DialEnd,
    DialLeg,
    DialPlan,
    EnqueuePlan,
    FaxEnd,
    FaxTake,
    Fetched,
    Params,
    QueuePlan,
    SmsEnd,
    SmsPlan,
    Take,
)
from outdial.didml.run.keys import Keys
from outdial.didml.run.outcome import DocumentRequest
from outdial.didml.shown import shown_url
from outdial.errors import FetchError, Refused
from outdial.legs import Clip, Ending, MediaLeg, Outcome, Source
from outdial.net import overrides
from outdial.store.records import Change

SHORTEST_HOLD_S = 1.0
"""A waitUrl that is over sooner says nothing: it would only be fetched again and again."""

_NO_POST = (405, 501)
"""What web servers answer to a POST for a file, such as a static document."""
IN_QUEUE, ON_HOLD = "in queue", "on hold"
"""CallStatus of those who wait, as the language's own pages say it (spec 3.1)."""


class LegHost:
    """Joins a leg to what its document may ask for."""

    def __init__(self, services: Services, leg: CallLeg, on_leg: Callable[[CallLeg], None]) -> None:
        self._services = services
        self._leg = leg
        self._on_leg = on_leg
        self.keys = Keys(services.clock.monotonic)
        """See Host."""
        self._playback = Playback(services, leg)
        leg.on_digit = self.keys.press

    @property
    def call(self) -> CallIdentity:
        """See Host."""
        call = self._leg.call
        return CallIdentity(call.sid, call.to_number, call.from_number, call.caller_name)

    @property
    def media(self) -> MediaLeg:
        """The leg's audio."""
        return self._leg.media

    async def answer(self) -> bool:
        """See Host."""
        return await self._leg.answer()

    async def fetch(self, url: str, method: str, extra: Params = ()) -> Fetched:
        """See Host. The URL's connection overrides say whether it is tried again, and when."""
        bare, wanted = overrides.split_leniently(url, self._warn_of_overrides)
        params = (*self._standard_params(), *extra)
        loop = asyncio.get_running_loop()
        fetch_timeout_s = self._services.settings.didml.fetch_timeout_s
        deadline = loop.time() + (wanted.total_s or fetch_timeout_s)
        # as programs written for such overrides expect: one retry where only the policy is given,
        # and of connections that were not made where only the count is
        retries = wanted.retries if wanted.retries is not None else int(wanted.policy is not None)
        failed = 0
        while True:
            try:
                answer = await self._fetch_once(
                    method, bare, params, wanted, max(deadline - loop.time(), 0.001)
                )
            except FetchError as error:
                if error.status in _NO_POST and method == "POST" and not extra:
                    method = "GET"
                    self._warn_of_method(bare, error.status)
                    continue
                failed += 1
                kind = "" if error.kind == "status" else error.kind
                again = failed <= retries and wanted.retried(kind, error.status, ("ct",))
                if not again or loop.time() >= deadline:
                    raise
                self.note("document.retry", url=shown_url(bare), attempt=failed, problem=str(error))
            else:
                return Fetched(answer.url, answer.status, answer.content_type, answer.body)

    async def _fetch_once(
        self,
        method: str,
        url: str,
        params: Params,
        wanted: overrides.Overrides,
        timeout_s: float,
    ) -> HttpResponse:
        """Raises FetchError, for an answer that is not 2xx too."""
        answer = await self._services.http.request(
            method,
            url,
            params=params,
            timeout_s=timeout_s,
            max_bytes=self._services.settings.didml.max_document_bytes,
            connect_timeout_s=wanted.connect_s,
            read_timeout_s=wanted.read_s,
        )
        if not 200 <= answer.status < 300:
            told = f"the application answered {answer.status}"
            if 300 <= answer.status < 400:
                told += "; redirections are not followed, so give the address it leads to"
            raise FetchError("status", told, answer.status)
        return answer

    def _warn_of_method(self, url: str, status: int | None) -> None:
        self.note(
            "document.warning",
            line=0,
            column=0,
            message=f"{shown_url(url)} takes no POST ({status}), so it is asked for by GET; "
            'with method="GET" it is at once',
        )

    def _warn_of_overrides(self, problem: str) -> None:
        self.note("warning", text=f"connection overrides in a URL are left out: {problem}")

    def notify(self, url: str, method: str, extra: Params = ()) -> None:
        """See Host."""
        self._services.tasks.start(self._notify(url, method, extra), f"notify {self._leg.sid}")

    async def _notify(self, url: str, method: str, extra: Params) -> None:
        try:
            await self.fetch(url, method, extra)
        except FetchError as error:
            self.note("warning", text=f"notification to {shown_url(url)} failed: {error}")

    def speak(self, text: str, voice: str, language: str) -> AsyncIterator[Clip]:
        """See Host."""
        speech = self._services.settings.speech
        return self._services.speech.speak(
            text, voice or speech.default_voice, language or speech.default_language
        )

    async def sound(self, url: str) -> Clip:
        """See Host."""
        recording = self._playback.file_of(url)
        if recording is not None:
            return await self._playback.clip(recording)
        return await self._services.sounds.fetch(url)

    async def dial(self, plan: DialPlan) -> DialEnd:
        """See Host."""
        parties = [party for leg in plan.legs if (party := self._party(leg)) is not None]
        if not parties:
            return DialEnd("failed")
        try:
            bridge = Bridge(self._services, self._leg, self._on_leg)
            return await bridge.connect(parties, plan.gone)
        finally:
            self._listen_again()

    async def confer(self, plan: ConferencePlan) -> DialEnd:
        """See Host."""
        services, leg = self._services, self._leg
        holding = partial(self._hold, plan.wait_url, plan.wait_method, ON_HOLD)
        try:
            return await services.conferences.attend(services, leg, plan, holding)
        finally:
            self._listen_again()

    async def dequeue(self, plan: QueuePlan) -> DialEnd:
        """See Host."""
        try:
            return await self._services.queues.take(self._services, self._leg, plan)
        finally:
            self._listen_again()

    async def enqueue(self, plan: EnqueuePlan) -> None:
        """See Host."""
        services, leg = self._services, self._leg
        holding = partial(self._hold, plan.wait_url, plan.wait_method, IN_QUEUE)
        since = services.clock.now()
        try:
            await services.queues.wait(
                services, leg, plan.name, holding, partial(self._announce, since)
            )
        finally:
            self._listen_again()

    def _listen_again(self) -> None:
        """What was keyed meanwhile was meant for the other party."""
        self.keys.clear()
        self._leg.on_digit = self.keys.press

    async def _hold(self, url: str, method: str, status: str, place: Callable[[], Params]) -> None:
        host = WaitHost(self._services, self._leg, self._on_leg, status, place)
        await hold(host, url, method, self._limits)

    async def _announce(self, since: float, conversation: Conversation) -> None:
        """Runs the document of a Queue for the caller it took."""
        plan = conversation.plan
        if not plan.url:
            return
        params = (
            ("QueueSid", conversation.queue_sid),
            ("QueueTime", str(round(self._services.clock.now() - since))),
            ("DequeuingCallSid", conversation.agent.sid),
            ("DequeingCallSid", conversation.agent.sid),  # as the markup that it is from spells it
        )
        await run_application(
            WaitHost(self._services, self._leg, self._on_leg, IN_QUEUE),
            DocumentRequest(plan.url, plan.method, params),
            self._limits,
        )

    @property
    def _limits(self) -> Limits:
        settings = self._services.settings.didml
        return Limits(settings.max_documents, settings.max_document_bytes)

    def deafness(self, language: str) -> str:
        """See Host."""
        if self._services.ear is None:
            return "speech is not recognised here"
        return self._services.ear.problem(
            language or self._services.settings.speech.default_language
        )

    def listen(self, hints: Sequence[str], silence_s: float) -> Hearing:
        """See Host."""
        hearing = Hearing(self._services.ear, self._leg.media, hints, silence_s)
        self._leg.on_speech = hearing.on_event
        return hearing

    def record(self, longest_s: float, silence_s: float) -> Take:
        """See Host."""
        return self._leg.recordings.message(self._leg.media, longest_s, silence_s)

    def record_whole(self) -> None:
        """See Host."""
        self._leg.recordings.whole(self._leg.media)

    def postcall(self, url: str, method: str) -> None:
        """See Host."""
        kept = Postcall(url, method).keep_with(self._leg.call)
        self._services.journal.write(Change(self._leg.sid, kept))

    async def send_text(self, plan: SmsPlan, wait_s: float) -> SmsEnd:
        """See Host."""
        messages = self._services.messages
        if messages is None:
            return SmsEnd("", "failed", "nothing is set up that sends messages")
        leg, before = self._leg, self._leg.texts
        leg.texts += 1
        return await messages.send(leg.call, leg.timeline, plan, before, wait_s)

    def receive_fax(self) -> FaxTake:
        """See Host."""
        faxes = self._services.faxes
        if faxes is None:
            return NoFax("nothing is set up that receives faxes")
        return faxes.receive(self._services, self._leg)

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """See Host."""
        self._services.tasks.start(work, f"after {self._leg.sid}")

    def note(self, kind: str, **data: str | int | float | bool | None) -> None:
        """See Host."""
        self._leg.note(kind, **data)

    def _standard_params(self) -> tuple[tuple[str, str], ...]:
        """The six of spec section 3.1, and the header fields for the application."""
        call = self._leg.call
        six = (
            ("To", call.to_number),
            ("From", call.from_number),
            ("CallerName", call.caller_name),
            ("callSid", call.sid),
            ("Direction", call.direction),
            ("CallStatus", "completed" if self._leg.is_over else self._leg.state.text),
        )
        headers = self._leg.sip_headers
        return six + tuple([(f"SipHeader_{name}", value) for name, value in headers])

    def _party(self, leg: DialLeg) -> Party | None:
        """The party of a Number or Sip; None, with a warning, when it may not be dialled."""
        number, uri, key_name = "", "", self._leg.call.key_name
        try:
            if leg.uri:
                uri = leg.uri if leg.uri.startswith(("sip:", "sips:")) else self._at_host(leg.uri)
                check_uri(self._services, key_name, uri, "Sip")
            else:
                number = normalise(leg.number, "Number")
                check_number(self._services, key_name, number, "Number")
            caller_id = self._caller_id(leg.caller_id)
            check_caller(self._services, key_name, caller_id, "callerid")
        except Refused as refused:
            self.note("dial.refused", text=refused.message, code=refused.code)
            return None
        diverted_by = self._diverted_by(caller_id)
        return Party(
            LegPlan(number, caller_id, uri=uri, timeout_s=leg.timeout_s, diverted_by=diverted_by),
            lambda sid: _subscription(leg, sid),
            leg.time_limit_s,
            leg.send_digits,
            partial(self._whisper, leg) if leg.url else None,
            leg.record,
        )

    async def _whisper(self, leg: DialLeg, called: CallLeg) -> bool:
        """Runs the leg's document for who answered: whether it ended without hanging up."""
        end = await run_application(
            WhisperHost(self._services, called, self._on_leg),
            DocumentRequest(leg.url, leg.method),
            self._limits,
        )
        if end.kind is EndKind.END_OF_DOCUMENT:
            return True
        cause = "normal-clearing" if end.kind is EndKind.HANGUP else "application-error"
        called.hang_up(
            Ending(Outcome.COMPLETED, cause, Source.APPLICATION, detail=f"whisper: {end.reason}")
        )
        return False

    def _at_host(self, host: str) -> str:
        """A bare host is called as the dialled number at that host (spec 4.9)."""
        return f"sip:{self._leg.call.to_number}@{host}"

    def _caller_id(self, wanted: str) -> str:
        """Whom a second leg shows: by default the caller ID of this one (spec 4.7)."""
        if wanted:
            try:
                return normalise(wanted, "callerid")
            except Refused as refused:
                self.note("warning", text=f"{refused.message}; the call's own is shown instead")
        return self._leg.call.from_number

    def _diverted_by(self, caller_id: str) -> str:
        """The number of ours that was called, when a call is passed on with its caller's number."""
        call = self._leg.call
        is_passed_on = call.direction == "inbound" and caller_id == call.from_number
        return call.to_number if is_passed_on else ""


class NoFax:
    """A fax that cannot be received."""

    url = ""

    def __init__(self, problem: str) -> None:
        self._end = FaxEnd("failed", error=problem)

    def stop(self) -> None:
        """There is nothing to stop."""

    async def end(self) -> FaxEnd:
        """At once."""
        return self._end


class WhisperHost(LegHost):
    """The same for the document that is run for who answered a Dial: it may connect nobody."""

    what = "a document of Number"

    async def dial(self, plan: DialPlan) -> DialEnd:
        """See Host."""
        return self._refuse()

    async def confer(self, plan: ConferencePlan) -> DialEnd:
        """See Host."""
        return self._refuse()

    async def dequeue(self, plan: QueuePlan) -> DialEnd:
        """See Host."""
        return self._refuse()

    async def enqueue(self, plan: EnqueuePlan) -> None:
        """See Host."""
        self._refuse()

    def _refuse(self) -> DialEnd:
        self.note("dial.refused", text=f"{self.what} must not Dial")
        return DialEnd("failed")

    def postcall(self, url: str, method: str) -> None:
        """See Host."""
        self.note("warning", text=f"{self.what} cannot name a Postcall")

    def receive_fax(self) -> FaxTake:
        """See Host."""
        return NoFax(f"{self.what} cannot receive a fax")


class WaitHost(WhisperHost):
    """The same for what a caller hears who waits."""

    what = "a document for who waits"

    def __init__(
        self,
        services: Services,
        leg: CallLeg,
        on_leg: Callable[[CallLeg], None],
        status: str,
        place: Callable[[], Params] = tuple,
    ) -> None:
        """`status`: the CallStatus of its requests; `place`: what else they say of the waiting."""
        super().__init__(services, leg, on_leg)
        self.is_quiet = False
        """What is done is on the timeline already, from the first time."""
        self._status = status
        self._place = place

    def _standard_params(self) -> tuple[tuple[str, str], ...]:
        """Those of every request, with the status of one who waits."""
        six = super()._standard_params()
        told = ((n, self._status if n == "CallStatus" else value) for n, value in six)
        return (*told, *self._place())

    def note(self, kind: str, **data: str | int | float | bool | None) -> None:
        """See Host."""
        if not self.is_quiet or kind == "warning":
            super().note(kind, **data)


async def hold(host: WaitHost, url: str, method: str, limits: Limits) -> None:
    """The document over and over, or a soft tone, until it is cancelled."""
    loop = asyncio.get_running_loop()
    while url:
        began = loop.time()
        end = await run_application(host, DocumentRequest(url, method), limits)
        problem = end.reason if end.kind is EndKind.ERROR else ""
        if not problem and loop.time() - began < SHORTEST_HOLD_S:
            problem = f"it is over within {SHORTEST_HOLD_S:g} s"
        if problem:
            host.note("warning", text=f"waitUrl: {problem}; a tone is heard instead")
            break
        host.is_quiet = True
    host.media.tone("hold")
    await loop.create_future()


def _subscription(leg: DialLeg, sid: str) -> Subscription | None:
    if not leg.status_callback:
        return None
    return Subscription(
        leg.status_callback,
        leg.status_callback_events,
        leg.status_callback_method,
        "",
        "",
        Lane(sid, leg.status_callback),
    )
