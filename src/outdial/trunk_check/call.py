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
from outdial.calls.calling_policy import CallingPolicy
from outdial.calls.numbers import check_destination, for_trunk, normalise
from outdial.clock import Clock, SystemClock
from outdial.config import Settings, Trunk
from outdial.errors import ConfigError, MediaUnavailable, NegotiationError, OutdialError, Refused
from outdial.ids import new_call
from outdial.legs import (
    Answered,
    DialTarget,
    MediaStats,
    OutgoingLeg,
    Rejected,
    Ringing,
    SignallingEvent,
    TargetFailed,
)
from outdial.media.plane import WorkerPool
from outdial.sip.endpoint import SipEndpoint
from outdial.sip.plane import SipPlane
from outdial.sip.trunks import transport_of
from outdial.trunk_check.diagnoses import of_audio, of_rejection
from outdial.trunk_check.walk import Step, own_sip

RING_S = 30.0
TALK_S = 3.0


_INSISTS = (488, 606)
"""What an offer with keys in RTP/AVP may get where encryption is optional: see `DialledLeg`."""


def allowed(settings: Settings, text: str, clock: Clock) -> str:
    """The number, if the settings let it be called now: by the rules of every call that is placed.
    Only what is counted (minutes, calls to one number) is not, because a server counts it. Raises
    Refused, whose message names the rule, and ConfigError for a list that cannot be read."""
    number = normalise(text, "--call")
    check_destination(number, settings.limits, "--call", sim=settings.sim.enabled)
    policy = CallingPolicy(settings.policy, clock)
    policy.check_listed(number, "--call")
    policy.check_hours(number, "--call")
    return number


async def encryption_of(trunk: Trunk, plane: SipPlane) -> str:
    """As `DialledLeg` decides it: the records of the trunk may lead to TLS."""
    tls = trunk.finds_transport and await plane.goes_over_tls(trunk.name)
    return trunk.encryption_over(tls=tls)


class Trial:
    """One call. `steps` places it."""

    def __init__(self, settings: Settings, trunk: Trunk, number: str, caller_id: str) -> None:
        self._settings = settings
        self._trunk = trunk
        self._number = number
        self._caller_id = caller_id
        self._began = time.monotonic()
        self._rang_at: float | None = None
        self._statuses: list[str] = []
        """Provisional ones, and servers that were given up."""
        self._early_answer: bytes | None = None
        self._ended: asyncio.Future[Rejected | Answered] | None = None
        self._stats: asyncio.Future[MediaStats] | None = None

    async def steps(self) -> AsyncIterator[Step]:
        """What became of the call, and then of its audio."""
        settings, trunk = self._settings, self._trunk
        clock = SystemClock()
        try:
            number = allowed(settings, self._number, clock)
        except Refused as refused:
            yield Step("call", "not-allowed", refused.message)
            return
        except ConfigError as error:
            yield Step("call", "files-wrong", str(error))
            return
        transports = {transport_of(trunk)} if transport_of(trunk) else {"udp", "tcp", "tls"}
        own = own_sip(settings.sip, transports)
        few = settings.media.model_copy(update={"workers": 1})
        try:
            media = await WorkerPool.start(
                few, clock, encrypts=trunk.encryption_over(tls=True) != "off"
            )
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
        self._stats = asyncio.get_running_loop().create_future()
        trunk = self._trunk
        leg_id = new_call()
        stream = media.open(leg_id, self._on_media)
        audio = Audio(stream, codecs_of(self._settings, trunk), secrets.randbits(62))
        audio.suit(trunk)
        encryption = await encryption_of(trunk, plane)
        if encryption != "off":
            audio.secure(is_required=encryption == "mandatory")
        target = DialTarget(
            leg_id=leg_id,
            trunk=trunk.name,
            number=for_trunk(number, trunk.number_format),
            caller_id=for_trunk(self._caller_id, trunk.caller_id_format or trunk.number_format),
        )
        leg, result = await self._ring(plane, target, audio)
        if encryption == "optional" and isinstance(result, Rejected) and result.status in _INSISTS:
            yield Step("call", "call-insisted", self._refusal(result), self._since())
            audio.secure(is_required=False, insists=True)
            leg, result = await self._ring(plane, target, audio)
        if isinstance(result, Rejected):
            stream.close()
            row = of_rejection(result.status, local=result.local)
            yield Step("call", row, self._refusal(result), self._since())
            return
        problem = ""
        try:
            if leg.peer is not None:
                audio.signalling_address = leg.peer[0]
            audio.accept(result.sdp or self._early_answer or b"", later=True)
        except (NegotiationError, OutdialError) as error:
            problem = str(error)
        leg.acknowledge()
        said = " ".join([self._heard(), f"200, {self._agreed(audio, encryption)}"])
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

    async def _ring(
        self, plane: SipPlane, target: DialTarget, audio: Audio
    ) -> tuple[OutgoingLeg, Rejected | Answered]:
        """One INVITE, and what came of it."""
        self._ended = asyncio.get_running_loop().create_future()
        self._began = time.monotonic()
        self._rang_at, self._early_answer = None, None
        self._statuses.clear()
        leg = plane.dial(target, audio.offer(), self._on_signalling)
        try:
            async with asyncio.timeout(RING_S):
                return leg, await asyncio.shield(self._ended)
        except TimeoutError:
            leg.hang_up()
            return leg, await self._ended

    def _refusal(self, result: Rejected) -> str:
        return " ".join([self._heard(), f"{result.status} {result.reason}"]).strip()

    @staticmethod
    def _agreed(audio: Audio, encryption: str) -> str:
        """The codec, and how it is encrypted where that was offered."""
        agreed = audio.agreed()
        codec = agreed.get("codec", "no codec")
        if encryption == "off" or not agreed:
            return codec
        return f"{codec}, encrypted by {agreed['srtp']}" if "srtp" in agreed else f"{codec}, plain"

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
        said = ", ".join(dict.fromkeys(self._statuses))
        if self._rang_at is None:
            return said
        return f"{said}, rang for {time.monotonic() - self._rang_at:.1f} s,"

    def _since(self) -> float:
        return 1000 * (time.monotonic() - self._began)

    def _on_signalling(self, event: SignallingEvent) -> None:
        if isinstance(event, Ringing):
            self._statuses.append(str(event.status))
            self._early_answer = event.sdp or self._early_answer
            if self._rang_at is None:
                self._rang_at = time.monotonic()
        elif isinstance(event, TargetFailed):
            self._statuses.append(f"{event.target} {event.status} {event.reason}")
        elif (
            isinstance(event, (Rejected, Answered))
            and self._ended is not None
            and not self._ended.done()
        ):
            self._ended.set_result(event)

    def _on_media(self, event: object) -> None:
        if isinstance(event, MediaStats) and self._stats is not None and not self._stats.done():
            self._stats.set_result(event)
