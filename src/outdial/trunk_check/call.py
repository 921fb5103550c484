"""The last step: an actual call over the trunk, with sound both ways, and what became of it.

It leaves from sockets of its own, passes the gate that every call passes, and takes its audio ports
from those that are free in `media.ports`.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator

from outdial.calls.audio import Audio, codecs_of
from outdial.calls.numbers import check_destination, for_trunk, normalise
from outdial.clock import SystemClock
from outdial.config import Settings, Trunk
from outdial.errors import MediaUnavailable, NegotiationError, OutdialError, Refused
from outdial.ids import new_call
from outdial.legs import Answered, DialTarget, MediaStats, Rejected, Ringing, SignallingEvent
from outdial.media.plane import WorkerPool
from outdial.sip.endpoint import SipEndpoint
from outdial.sip.plane import SipPlane
from outdial.sip.trunks import transport_of
from outdial.trunk_check.diagnoses import of_audio, of_rejection
from outdial.trunk_check.walk import Step, own_sip

RING_S = 30.0
TALK_S = 3.0


class Trial:
    """One call. `steps` places it."""

    def __init__(self, settings: Settings, trunk: Trunk, number: str, caller_id: str) -> None:
        self._settings = settings
        self._trunk = trunk
        self._number = number
        self._caller_id = caller_id
        self._began = time.monotonic()
        self._rang_at: float | None = None
        self._statuses: list[int] = []
        self._early_answer: bytes | None = None
        self._ended: asyncio.Future[Rejected | Answered] | None = None
        self._stats: asyncio.Future[MediaStats] | None = None

    async def steps(self) -> AsyncIterator[Step]:
        """What became of the call, and then of its audio."""
        settings, trunk = self._settings, self._trunk
        try:
            number = normalise(self._number, "--call")
            check_destination(number, settings.limits, "--call", sim=settings.sim.enabled)
        except Refused as refused:
            yield Step("call", "not-allowed", refused.message)
            return
        clock = SystemClock()
        transports = {transport_of(trunk)} if transport_of(trunk) else {"udp", "tcp", "tls"}
        own = own_sip(settings.sip, transports)
        few = settings.media.model_copy(update={"workers": 1})
        try:
            media = await WorkerPool.start(few, clock, encrypts=trunk.encryption != "off")
        except (MediaUnavailable, OutdialError) as error:
            yield Step("call", "call-unreachable", str(error))
            return
        try:
            endpoint = await SipEndpoint.start(own, clock=clock)
            try:
                plane = SipPlane(own, [trunk], endpoint, clock)
                async for step in self._place(plane, media, number):
                    yield step
                await plane.stop()
            finally:
                await endpoint.close()
        except OutdialError as error:
            yield Step("call", "call-unreachable", str(error))
        finally:
            await media.stop()

    async def _place(self, plane: SipPlane, media: WorkerPool, number: str) -> AsyncIterator[Step]:
        loop = asyncio.get_running_loop()
        self._ended, self._stats = loop.create_future(), loop.create_future()
        trunk = self._trunk
        leg_id = new_call()
        stream = media.open(leg_id, self._on_media)
        audio = Audio(stream, codecs_of(self._settings, trunk), secrets.randbits(62))
        audio.suit(trunk)
        if trunk.encryption != "off":
            audio.secure(is_required=trunk.encryption == "mandatory")
        target = DialTarget(
            leg_id=leg_id,
            trunk=trunk.name,
            number=for_trunk(number, trunk.number_format),
            caller_id=for_trunk(self._caller_id, trunk.number_format),
        )
        self._began = time.monotonic()
        leg = plane.dial(target, audio.offer(), self._on_signalling)
        try:
            async with asyncio.timeout(RING_S):
                result = await asyncio.shield(self._ended)
        except TimeoutError:
            leg.hang_up()
            result = await self._ended
        if isinstance(result, Rejected):
            stream.close()
            row = of_rejection(result.status, local=result.local)
            said = " ".join([self._heard(), f"{result.status} {result.reason}"]).strip()
            yield Step("call", row, said, self._since())
            return
        problem = ""
        try:
            if leg.peer is not None:
                audio.signalling_address = leg.peer[0]
            audio.accept(result.sdp or self._early_answer or b"", later=True)
        except (NegotiationError, OutdialError) as error:
            problem = str(error)
        leg.acknowledge()
        said = " ".join(
            [self._heard(), f"200, {audio.codec.encoding if audio.codec else 'no codec'}"]
        )
        row = "call-answer-useless" if problem else "call-answered"
        yield Step("call", row, f"{said}{', ' if problem else ''}{problem}".strip(), self._since())
        if not problem:
            audio.begin()
            playing = asyncio.ensure_future(stream.tone("ringback"))
            await asyncio.sleep(TALK_S)
            playing.cancel()
        leg.hang_up()
        stream.close()
        if not problem:
            yield await self._audio_step(audio)
        await asyncio.sleep(0.2)  # the BYE's answer

    async def _audio_step(self, audio: Audio) -> Step:
        assert self._stats is not None  # noqa: S101 - made before the stream
        async with asyncio.timeout(5):
            stats = await self._stats
        row = of_audio(
            sent=stats.packets_sent,
            received=stats.packets_received,
            lost=stats.packets_lost,
            refused=stats.packets_refused,
        )
        whole = stats.packets_received + stats.packets_lost
        loss = 100 * stats.packets_lost / whole if whole else 0.0
        params = audio.params
        where = f" to {params.remote_address}:{params.remote_port}" if params is not None else ""
        return Step(
            "audio",
            row,
            f"{stats.packets_sent} packets sent{where}, {stats.packets_received} received, "
            f"{loss:.1f} % lost, jitter {stats.jitter_ms:.1f} ms, {stats.packets_refused} refused; "
            f"the far end lost {100 * stats.far_lost_fraction:.1f} %",
            1000 * TALK_S,
        )

    def _heard(self) -> str:
        """The provisional responses, and how long it rang."""
        said = ", ".join(str(status) for status in dict.fromkeys(self._statuses))
        if self._rang_at is None:
            return said
        return f"{said}, rang for {time.monotonic() - self._rang_at:.1f} s,"

    def _since(self) -> float:
        return 1000 * (time.monotonic() - self._began)

    def _on_signalling(self, event: SignallingEvent) -> None:
        if isinstance(event, Ringing):
            self._statuses.append(event.status)
            self._early_answer = event.sdp or self._early_answer
            if self._rang_at is None:
                self._rang_at = time.monotonic()
        elif (
            isinstance(event, (Rejected, Answered))
            and self._ended is not None
            and not self._ended.done()
        ):
            self._ended.set_result(event)

    def _on_media(self, event: object) -> None:
        if isinstance(event, MediaStats) and self._stats is not None and not self._stats.done():
            self._stats.set_result(event)
