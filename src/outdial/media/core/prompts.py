"""Prompts in a codec, each encoded once however many streams play it.

The first stream that comes to a packet of a prompt has it encoded, and the others send the same
bytes. Every prompt begins with a fresh encoder: a decoder that knew something else a moment ago
finds its way within a packet or two, as after a lost one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final

from outdial.media.core import g711, rtp
from outdial.media.core.coder import Encoder

MOST_PACKETS: Final = 60_000
"""Kept in all: twenty minutes of sound, some 12 MB."""
MOST_PROMPTS: Final = 128
"""An encoder is kept with each: 32 KB for opus."""
SETTLED: Final = 8
"""Packets of silence after which an encoder says nothing new."""


def begin(encoder: Encoder, before: bytes) -> None:
    """Makes it as if it had sent that packet of µ-law of G.711: it looks back some milliseconds."""
    encoder.reset()
    if before and encoder.takes(len(before)):
        encoder.encode(g711.decode(before, rtp.PCMU))


class _Coded:
    """One prompt, cut in one way."""

    __slots__ = ("encoder", "next", "packets")

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.next = -1
        """The packet that the encoder is ready for."""
        self.packets: dict[int, bytes] = {}


class Prompts:
    """Those of one codec."""

    __slots__ = ("_coded", "_count", "_make", "_most", "_silence")

    def __init__(self, make: Callable[[], Encoder], most: int = MOST_PACKETS) -> None:
        self._make = make
        self._most = most
        self._coded: OrderedDict[Hashable, _Coded] = OrderedDict()
        self._count = 0
        self._silence: dict[int, bytes] = {}

    def __len__(self) -> int:
        """Packets that are kept."""
        return self._count

    def packet(self, key: Hashable, place: int, payload: bytes, before: bytes) -> bytes:
        """The packet for `payload`, µ-law of G.711, which is at sample `place` of the prompt.

        `before`: what was sent before it.
        """
        size = len(payload)
        number, phase = divmod(place, size)
        whole = (key, size, phase)
        coded = self._coded.get(whole)
        if coded is None:
            coded = self._coded[whole] = _Coded(self._make())
            self._forget(MOST_PROMPTS)
        packet = coded.packets.get(number)
        if packet is None:
            if coded.next != number:
                begin(coded.encoder, before)
            packet = coded.encoder.encode(g711.decode(payload, rtp.PCMU))
            coded.packets[number] = packet
            coded.next = number + 1
            self._count += 1
            self._coded.move_to_end(whole)
            self._forget(len(self._coded) if self._count <= self._most else 1)
        return packet

    def _forget(self, most: int) -> None:
        """The prompts that nobody new has come to for longest."""
        while len(self._coded) > most:
            self._count -= len(self._coded.popitem(last=False)[1].packets)
            if most == 1 and self._count <= self._most:
                return

    def silence(self, payload: bytes) -> bytes:
        """The packet for that much silence."""
        size = len(payload)
        packet = self._silence.get(size)
        if packet is None:
            encoder = self._make()
            samples = g711.decode(payload, rtp.PCMU)
            for _ in range(SETTLED):
                packet = encoder.encode(samples)
            self._silence[size] = packet or b""
        return packet or b""
