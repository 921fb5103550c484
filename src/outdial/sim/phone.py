"""One call of a simulated phone: runs the persona's steps on an incoming leg.

The leg's and the stream's events only set flags and collect digits; the steps run in one task,
which is cancelled when the far end goes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any

from outdial import ids, log, sdp
from outdial.clock import Clock
from outdial.errors import (
    MediaUnavailable,
    NegotiationError,
    RemoteProtocolError,
    SpeechError,
)
from outdial.frozen import frozen
from outdial.legs import (
    Answered,
    Clip,
    Codec,
    Digit,
    DigitInfo,
    MediaEvent,
    MediaLeg,
    MediaLost,
    MediaPlane,
    MediaStats,
    PlayEnd,
    Reanswered,
    RecordingDone,
    RecordingPlan,
    Rejected,
    Released,
    Reoffer,
    SignallingEvent,
)
from outdial.sim import steps as do
from outdial.sim.gate import Admits, SimulatedLeg
from outdial.sim.heard import MAX_SECONDS, HeardCall

_log = log.get("sim")

Speak = Callable[[str, str, str], AsyncIterator[Clip]]
"""Text, voice and language to clips; `outdial.speech.speech.Speech.speak` is one."""


@frozen
class Surroundings:
    """What every phone of a carrier shares."""

    plane: MediaPlane
    speak: Speak
    admits: Admits
    clock: Clock
    codecs: Sequence[Codec] = (Codec.PCMU, Codec.PCMA)
    sleep: Callable[[float], Coroutine[Any, Any, None]] = asyncio.sleep


class Over(Exception):
    """The call has ended by the phone's own doing; the steps stop here."""


class Phone:
    """Runs one call. `run` returns when it is over and its recording is complete."""

    def __init__(
        self, leg: SimulatedLeg, persona: do.Persona, heard: HeardCall, room: Surroundings
    ) -> None:
        self._leg = leg
        self._persona = persona
        self._heard = heard
        self._room = room
        self._media: MediaLeg | None = None
        self._local_sdp: bytes | None = None
        self._sdp_version = 1
        self._digits_used = 0
        self._keyed = asyncio.Event()
        self._gone = asyncio.Event()
        self._closed = asyncio.Event()

    async def run(self) -> None:
        """Plays the persona to its end, or until the far end goes."""
        self._leg.listen(self._on_signalling)
        try:
            await self._first_of(self._play(), self._gone.wait())
        finally:
            self._leg.hang_up()
            if self._media is not None:
                self._media.close()
        if self._media is not None:
            await self._closed.wait()

    async def _play(self) -> None:
        try:
            await self._live()
            self._end()
        except Over:
            pass
        except NegotiationError as error:
            self._leg.reject(488, str(error))
        except RemoteProtocolError as error:
            self._leg.reject(error.status_hint)
        except MediaUnavailable as error:
            _log.warning("phone-without-media", number=self._heard.number, error=str(error))
            self._leg.reject(503)

    async def _live(self) -> None:
        """What it does on the call; Over ends it before the end."""
        await self._run_all(self._persona.steps)

    def _end(self) -> None:
        if self._heard.answered_at is None:
            self._leg.reject(480)
        else:
            self._leg.hang_up()

    async def _run_all(self, steps: Sequence[do.Step]) -> None:
        for step in steps:
            await self._run(step)

    async def _run(self, step: do.Step) -> None:
        match step:
            case do.Ring(seconds):
                self._leg.ring(180)
                await self._pause(seconds)
            case do.EarlyMedia():
                self._leg.ring(183, self._describe())
            case do.Refuse(status, reason):
                self._leg.reject(status, reason)
                raise Over
            case do.Challenge():
                if not self._room.admits(self._leg, step):
                    raise Over
            case do.Answer():
                self._answer()
            case do.Wait(seconds) | do.Listen(seconds):
                await self._pause(seconds)
            case do.Say(text, voice, language):
                await self._say(text, voice, language)
            case do.Tone(name, seconds):
                await self._tone(name, seconds)
            case do.Press(digits):
                await self._stream().send_digits(digits)
            case do.HangUp():
                self._leg.hang_up()
                raise Over
            case do.Menu():
                await self._menu(step)

    async def _pause(self, seconds: float | None) -> None:
        if seconds is None:
            await asyncio.Event().wait()
        else:
            await self._room.sleep(seconds)

    # ------------------------------------------------------------------ offer and answer

    def _describe(self) -> bytes:
        """Our session description for this INVITE, made once; opens the stream."""
        if self._local_sdp is not None:
            return self._local_sdp
        media = self._media = self._room.plane.open(self._leg.sip_call_id, self._on_media)
        session_id = int(self._room.clock.now())
        if self._leg.offer is None:
            # An INVITE without an offer: ours goes out, the answer comes with the ACK.
            self._local_sdp = sdp.offer(media.address, media.port, session_id, self._room.codecs)
        else:
            self._local_sdp, params = sdp.answer(
                self._leg.offer, media.address, media.port, session_id, self._room.codecs
            )
            media.start(params)
        return self._local_sdp

    def _answer(self) -> None:
        description = self._describe()
        media = self._stream()
        media.record(
            RecordingPlan(
                recording_id=ids.new(ids.RECORDING),
                path=str(self._heard.path),
                channels=1,
                max_duration_s=MAX_SECONDS,
            )
        )
        self._heard.answered_at = self._room.clock.now()
        self._leg.accept(description)

    def _stream(self) -> MediaLeg:
        if self._media is None:
            raise ValueError(f"persona {self._persona.name}: no audio before Answer or EarlyMedia")
        return self._media

    def _reoffered(self, offer: bytes | None) -> None:
        media = self._stream()
        self._sdp_version += 1
        session_id = int(self._heard.answered_at or 0)
        if offer is None:
            description = sdp.offer(
                media.address,
                media.port,
                session_id,
                self._room.codecs,
                version=self._sdp_version,
            )
        else:
            try:
                description, params = sdp.answer(
                    offer,
                    media.address,
                    media.port,
                    session_id,
                    self._room.codecs,
                    version=self._sdp_version,
                )
            except (NegotiationError, RemoteProtocolError):
                self._leg.refuse_offer(488)
                return
            media.update(params)
        self._leg.answer_offer(description)

    def _reanswered(self, answer: bytes) -> None:
        try:
            params = sdp.accept(answer, self._room.codecs)
        except (NegotiationError, RemoteProtocolError):
            self._leg.hang_up()
            return
        self._stream().start(params)

    # ------------------------------------------------------------------ sound and digits

    async def _say(self, text: str, voice: str, language: str) -> None:
        media = self._stream()
        played: Awaitable[PlayEnd] | None = None
        try:
            async for clip in self._room.speak(text, voice, language):
                played = media.queue(clip)
        except SpeechError as error:
            # A machine without an engine still gets a phone that answers, only a silent one.
            _log.warning("phone-without-speech", number=self._heard.number, error=str(error))
        if played is not None:
            await played

    async def _tone(self, name: str, seconds: float) -> None:
        sounding = self._stream().tone(name)
        if seconds:
            await self._room.sleep(seconds)
            self._stream().stop_playing()
        await sounding

    async def _menu(self, menu: do.Menu) -> None:
        length = max(len(digits) for digits in menu.choices)
        for _ in range(menu.attempts):
            keyed = await self._collect(length, menu)
            if keyed in menu.choices:
                await self._run_all(menu.choices[keyed])
                return
            if keyed and menu.wrong:
                await self._say(menu.wrong, menu.voice, "en")

    async def _collect(self, length: int, menu: do.Menu) -> str:
        """Up to `length` digits: those keyed already, then the ones keyed during the prompt.

        The wait for the next digit starts when the prompt has ended.
        """
        self._keyed.clear()
        if not self._waiting_digits():
            await self._first_of(self._say(menu.prompt, menu.voice, "en"), self._keyed.wait())
            self._stream().stop_playing()
        while len(self._waiting_digits()) < length:
            self._keyed.clear()
            await self._first_of(self._room.sleep(menu.within_s), self._keyed.wait())
            if not self._keyed.is_set():
                break
        keyed = self._waiting_digits()[:length]
        self._digits_used += len(keyed)
        return keyed

    def _waiting_digits(self) -> str:
        return self._heard.digits[self._digits_used :]

    async def _first_of(self, *waits: Coroutine[Any, Any, Any]) -> None:
        """Until the first of them is done; the others are cancelled. Raises what it raised."""
        tasks = [asyncio.ensure_future(wait) for wait in waits]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()

    # ------------------------------------------------------------------ events

    def _on_signalling(self, event: SignallingEvent) -> None:
        match event:
            case Released() | Rejected():
                self._gone.set()
            case DigitInfo(digit):
                self._on_digit(digit)
            case Reoffer(offer):
                self._reoffered(offer)
            case Reanswered(answer):
                self._reanswered(answer)
            case Answered(sdp=bytes() as answer) if self._leg.offer is None:
                self._reanswered(answer)
            case _:
                pass

    def _on_media(self, event: MediaEvent) -> None:
        match event:
            case Digit(digit):
                self._on_digit(digit)
            case RecordingDone():
                self._heard.duration_s = event.duration_ms / 1000
            case MediaLost(reason):
                _log.warning("phone-lost-media", number=self._heard.number, reason=reason)
                self._closed.set()
                self._gone.set()
            case MediaStats():
                self._closed.set()
            case _:
                pass

    def _on_digit(self, digit: str) -> None:
        self._heard.key(digit)
        self._keyed.set()
