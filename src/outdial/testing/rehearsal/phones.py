"""The telephones as they live: each call follows a script, over whatever network there is."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import cast

from outdial import log, sdp
from outdial.clock import Clock
from outdial.errors import NegotiationError, RemoteProtocolError
from outdial.legs import (
    Answered,
    DialTarget,
    MediaPlane,
    OutgoingLeg,
    RecordingPlan,
    Rejected,
    Ringing,
    SignallingEvent,
    SignallingPlane,
    TraceListener,
)
from outdial.messages import MessageResult, MessageTarget
from outdial.sim import steps as do
from outdial.sim.gate import DigestGate, SimulatedLeg
from outdial.sim.heard import MAX_SECONDS, HeardCall
from outdial.sim.personas import PERSONAS
from outdial.sim.phone import Over, Speak, Surroundings
from outdial.sim.phone import Phone as SimulatedPhone
from outdial.sim.steps import Persona
from outdial.testing.rehearsal.heard import PhoneCall, Transcript
from outdial.testing.rehearsal.hearing import Hearing
from outdial.testing.rehearsal.script import (
    Action,
    GoDead,
    Hear,
    Phone,
    Voice,
    described,
    is_answering,
    must_be_done,
)
from outdial.testing.rehearsal.sounds import voice_clip

TRUNK = "phones"
"""What the trunk to the phones is called."""
SERVER = "outdial"
"""What the phones' trunk to the server is called."""
_SCRIPTED = Persona("scripted", "a phone of a test", ())

_log = log.get("rehearsal")


class Texts:
    """Fulfils `outdial.messages.MessagePlane`: short messages reach the phones at once, without
    SIP in either mode."""

    def __init__(self, phones: Phones) -> None:
        self._phones = phones

    async def send(
        self, target: MessageTarget, trace: TraceListener | None = None
    ) -> MessageResult:
        """See MessagePlane."""
        phone = self._phones.by_number.get(target.number)
        if phone is None:
            self._phones.strangers.append(target.number)
            return MessageResult(404, "No phone of this test has the number", not_taken=True)
        phone.texts.append(target.text)
        return MessageResult(200, "OK")


class Phones:
    """All phones of a test: what is dialled arrives at them, and they can dial."""

    def __init__(
        self,
        plane: MediaPlane,
        signalling: SignallingPlane,
        speak: Speak,
        clock: Clock,
        hearing: Hearing,
        folder: Path,
    ) -> None:
        self._signalling = signalling
        self.hearing = hearing
        self.folder = folder
        self.surroundings = Surroundings(plane, speak, DigestGate(clock).admits, clock)
        self.by_number: dict[str, Phone] = {}
        self.calls: list[PhoneCall] = []
        self.strangers: list[str] = []
        """Numbers that were dialled and that no phone has."""
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def live(self) -> int:
        """Calls that go on."""
        return len(self._tasks)

    def take(self, leg: SimulatedLeg) -> None:
        """A call has arrived. Returns at once."""
        phone, persona = self.by_number.get(leg.called), PERSONAS.get(leg.called)
        if phone is not None:
            call = self._begin(phone, leg.sip_call_id, leg.caller_id)
            script = _script_of(phone, call.number)
            self._spawn(_Life(leg, call, self, script).live())
        elif persona is not None:
            phone = self.by_number[leg.called] = Phone(leg.called, persona.name)
            phone.scripts = [list(persona.steps)]
            call = self._begin(phone, leg.sip_call_id, leg.caller_id)
            self._spawn(_Life(leg, call, self, phone.scripts[0]).live())
        else:
            self.strangers.append(leg.called)
            leg.reject(404, "No phone of this test has the number")

    def place(self, phone: Phone, number: str) -> PhoneCall:
        """The phone calls that number."""
        name = f"phone{len(self.calls)}"
        call = self._begin(phone, name, number)
        caller = _Caller(call, self, _script_of(phone, call.number), self._signalling, name)
        self._spawn(caller.live())
        return call

    async def stop(self) -> None:
        """Hangs all of them up."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, phone: Phone, sip_call_id: str, other: str) -> PhoneCall:
        call = PhoneCall(phone, len(phone.calls), sip_call_id, other)
        call.began_at = self.surroundings.clock.monotonic()
        phone.calls.append(call)
        self.calls.append(call)
        return call

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Life(SimulatedPhone):
    """One call of a phone that was called."""

    def __init__(
        self, leg: SimulatedLeg, call: PhoneCall, phones: Phones, script: Sequence[Action]
    ) -> None:
        place = f"heard-{call.phone.number}-{call.number}.wav"
        heard = HeardCall(
            *(call.phone.number, call.phone.name, call.other, phones.folder / place),
            started_at=phones.surroundings.clock.now(),
        )
        super().__init__(leg, _SCRIPTED, heard, phones.surroundings)
        self._call = call
        self._phones = phones
        self._script = script
        self._done = 0
        """How many steps are done."""

    async def live(self) -> None:
        """From the first ring to the end."""
        call = self._call
        try:
            await self.run()
        except Exception as error:
            _log.exception("phone-defect", phone=call.phone.name)
            call.failure = call.failure or f"{call.phone.name} could not go on: {error!r}"
        finally:
            self._conclude()

    def _conclude(self) -> None:
        call = self._call
        if call.transcript is not None:
            call.transcript.close()
        call.ended_at = self._now()
        missed = next((one for one in self._script[self._done :] if must_be_done(one)), None)
        if missed is not None and call.answered_at is not None and not call.failure:
            call.failure = f"the call was over before {call.phone.name} {described(missed)}"
        call.over.set()

    async def _live(self) -> None:
        for action in self._script:
            self._call.doing = described(action)
            # what it does, unlike what it hears, counts as done as soon as it does it
            is_hearing = isinstance(action, Hear)
            self._done += not is_hearing
            await self._do(action)
            self._done += is_hearing
        self._call.doing = "listens"
        await self._pause(None)

    async def _do(self, action: Action) -> None:
        match action:
            case Hear():
                await self._hear(action)
            case Voice(seconds):
                clip = voice_clip(seconds, self._phones.folder)
                await self._stream().queue(clip)
            case GoDead():
                self._stream().close()
            case _:
                await self._run(action)

    async def _hear(self, wanted: Hear) -> None:
        transcript = self._call.transcript
        if transcript is None:
            raise ValueError("it hears nothing before it answers: begin with answers()")
        try:
            async with asyncio.timeout(wanted.within_s):
                while not transcript.search(wanted):
                    transcript.changed.clear()
                    await transcript.changed.wait()
        except TimeoutError:
            name = self._call.phone.name
            self._fail(f"{name} did not hear {wanted.what} within {wanted.within_s:g} s")

    def _fail(self, problem: str) -> None:
        """The script cannot go on: the phone hangs up, and the test is told."""
        self._call.failure = problem
        self._leg.hang_up()
        raise Over

    # ------------------------------------------------------------------ what it notices

    def _answer(self) -> None:
        super()._answer()
        self._answered()

    def _answered(self) -> None:
        self._call.answered_at = self._now()
        self._call.audio_path = self._heard.path

    def _describe(self) -> bytes:
        is_new = self._local_sdp is None
        description = super()._describe()
        if is_new:
            self._listen()
        return description

    def _listen(self) -> None:
        """Follows what arrives on its stream."""
        media, hearing = self._stream(), self._phones.hearing
        stream = hearing.stream_at((media.address, media.port))
        if stream is not None:
            self._call.transcript = Transcript(hearing, self._now, lambda: hearing.received(stream))

    def _on_digit(self, digit: str) -> None:
        super()._on_digit(digit)
        self._call.digits = self._heard.digits

    def _now(self) -> float:
        return self._room.clock.monotonic()


class _Caller(_Life):
    """One call that a phone makes."""

    def __init__(
        self,
        call: PhoneCall,
        phones: Phones,
        script: Sequence[Action],
        signalling: SignallingPlane,
        name: str,
    ) -> None:
        media = phones.surroundings.plane.open(name, self._on_media)
        offer = sdp.offer(media.address, media.port, 1, phones.surroundings.codecs)
        target = DialTarget(name, SERVER, call.other, call.phone.number, call.phone.name)
        leg = signalling.dial(target, offer, self._on_signalling)
        self._outgoing: OutgoingLeg = leg
        # It has an outgoing leg where a phone that is called has the other kind: what both can do
        # is all that is asked of it from here on.
        super().__init__(cast(SimulatedLeg, leg), call, phones, script)
        call.sip_call_id = leg.sip_call_id
        self._media = media
        self._local_sdp = offer
        self._is_answered = asyncio.Event()
        self._started = False
        self._listen()

    async def run(self) -> None:
        """Calls, and follows the script once it is answered."""
        try:
            await self._first_of(self._talk(), self._gone.wait())
        finally:
            self._leg.hang_up()
            self._stream().close()
        await self._closed.wait()

    async def _talk(self) -> None:
        script = [one for one in self._script if not isinstance(one, do.Ring | do.Answer)]
        self._script = script
        # who has nothing to hear or to say hangs up after a while, answered or not
        if not script or any(map(must_be_done, script)):
            await self._is_answered.wait()
        await self._play()

    def _end(self) -> None:
        self._leg.hang_up()

    def _on_signalling(self, event: SignallingEvent) -> None:
        match event:
            case Ringing(sdp=bytes() as early):
                self._begin(early)
            case Answered():
                self._take_answer(event)
            case Rejected(status=status):
                self._call.status = status
                self._gone.set()
            case _:
                super()._on_signalling(event)

    def _take_answer(self, event: Answered) -> None:
        if event.sdp is not None:
            self._begin(event.sdp)
        plan = RecordingPlan("heard", str(self._heard.path), 1, MAX_SECONDS)
        self._stream().record(plan)
        self._heard.answered_at = self._room.clock.now()
        self._outgoing.acknowledge()
        self._answered()
        self._is_answered.set()

    def _begin(self, answer: bytes) -> None:
        if self._started:
            return
        try:
            params = sdp.accept(answer, self._room.codecs)
        except (NegotiationError, RemoteProtocolError) as error:
            self._call.failure = f"the answer was not understood: {error}"
            self._leg.hang_up()
            return
        self._started = True
        self._stream().start(params)


def _script_of(phone: Phone, number: int) -> Sequence[Action]:
    """Its steps on that call; a phone without any answers and listens."""
    script = phone.script(number)
    if any(map(is_answering, script)):
        return script
    return [do.Ring(1.0), do.Answer(), *script]
