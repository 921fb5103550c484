"""The other end of an RTP stream, and a listener that collects a media leg's events."""

from __future__ import annotations

import asyncio
import socket
from array import array
from collections.abc import Callable
from math import pi, sin
from typing import TypeVar

from outdial.legs import Codec, MediaEvent, MediaLeg, MediaParams
from outdial.media.core import rtp

PATIENCE_S = 20.0
"""Only a test that fails waits so long."""
EventT = TypeVar("EventT", bound=MediaEvent)


class FarEnd:
    """A phone's RTP socket."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind((address, 0))
        self.address, self.port = self.socket.getsockname()[:2]
        self.sequence = 100
        self.timestamp = 5000

    def params(
        self,
        codec: Codec = Codec.PCMU,
        telephone_event: int | None = 101,
        **changes: object,
    ) -> MediaParams:
        """This end as the other end of a stream."""
        return MediaParams(self.address, self.port, codec, telephone_event, **changes)  # type: ignore[arg-type]

    async def receive(self) -> tuple[rtp.Packet, bytes]:
        """The next packet and its payload."""
        async with asyncio.timeout(PATIENCE_S):
            data = await asyncio.get_running_loop().sock_recv(self.socket, 2048)
        packet = rtp.parse(data, len(data))
        assert packet is not None
        return packet, data[packet.payload_start : packet.payload_end]

    async def until(self, wanted: Callable[[rtp.Packet, bytes], bool]) -> tuple[rtp.Packet, bytes]:
        """The first packet that is wanted."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                packet, payload = await self.receive()
                if wanted(packet, payload):
                    return packet, payload

    def drain(self) -> list[tuple[rtp.Packet, bytes]]:
        """What has arrived."""
        got: list[tuple[rtp.Packet, bytes]] = []
        while True:
            try:
                data = self.socket.recv(2048)
            except BlockingIOError:
                return got
            packet = rtp.parse(data, len(data))
            assert packet is not None
            got.append((packet, data[packet.payload_start : packet.payload_end]))

    def send(
        self,
        leg: MediaLeg,
        payload: bytes,
        *,
        pt: int = 0,
        timestamp: int | None = None,
        marker: bool = False,
    ) -> None:
        """One packet to the leg; sequence and timestamp go on by themselves."""
        self.sequence += 1
        if timestamp is None:
            timestamp = self.timestamp
            self.timestamp += len(payload)
        data = rtp.build(pt, self.sequence, timestamp, 77, payload, marker)
        self.socket.sendto(data, (leg.address, leg.port))

    async def talk(self, leg: MediaLeg, payloads: list[bytes], pt: int = 0) -> None:
        """The payloads, one every 20 ms by the clock."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        for index, payload in enumerate(payloads):
            await asyncio.sleep(max(0.0, start + index * 0.02 - loop.time()))
            self.send(leg, payload, pt=pt)


class Listener:
    """Collects a leg's events and lets a test wait for them."""

    def __init__(self) -> None:
        self.events: list[MediaEvent] = []
        self._arrived = asyncio.Event()

    def __call__(self, event: MediaEvent) -> None:
        self.events.append(event)
        self._arrived.set()

    def of(self, kind: type[EventT]) -> list[EventT]:
        """The events of a kind so far."""
        return [event for event in self.events if isinstance(event, kind)]

    async def wait(self, kind: type[EventT], count: int = 1) -> list[EventT]:
        """Those events, when there are as many."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.of(kind)) < count:
                self._arrived.clear()
                await self._arrived.wait()
        return self.of(kind)


def tone(frequency_hz: int, length_ms: int, level: int = 8000) -> bytes:
    """A sine as 16-bit samples."""
    step = 2 * pi * frequency_hz / 8000
    return array("h", (int(level * sin(step * n)) for n in range(8 * length_ms))).tobytes()


def power_at(samples: bytes, frequency_hz: int) -> float:
    """Amplitude of a frequency in 16-bit samples, by plain correlation."""
    values = array("h", samples)
    step = 2 * pi * frequency_hz / 8000
    real = sum(value * sin(step * n) for n, value in enumerate(values))
    imaginary = sum(value * sin(step * n + pi / 2) for n, value in enumerate(values))
    return 2 * float((real * real + imaginary * imaginary) ** 0.5) / max(1, len(values))
