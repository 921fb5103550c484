"""Streams whose codec is not G.711: turned into it where they come in, and back where they leave.

Everything inside, from prompts to rooms, is packets of G.711 with timestamps of 8000 a second. The
edges stand between that and the socket: `Inward` rewrites a packet that has come, `Outward` one
that is to leave. A stream of G.711 has none, and pays nothing for them.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from outdial.legs import Codec
from outdial.media.core import g711, rtp
from outdial.media.core.coder import Decoder, Encoder
from outdial.media.core.playlist import Playlist, Sound
from outdial.media.core.prompts import Prompts, begin

LAW: Final = rtp.PCMU
"""What such a stream is inside."""
FRAME: Final = 160
"""What is encoded at once of packets whose length the codec does not have."""
MOST_CONCEALED: Final = 3
"""Packets in a row; after 60 ms nobody knows what was said."""
LONGEST_SAMPLES: Final = rtp.MAX_PACKET - rtp.HEADER_BYTES

_HEADER: Final = rtp.HEADER
_EVENT: Final = Struct("!BBH")
_UINT32: Final = 0xFFFFFFFF
_HALF: Final = 0x80000000

NOT_TAKEN: Final = -1


class Outward:
    """From G.711 to the codec, one RTP packet after the other."""

    __slots__ = (
        "_before",
        "_encoder",
        "_event_scale",
        "_live",
        "_payload_type",
        "_playlist",
        "_prompts",
        "_rest",
        "_scale",
        "_shift",
        "octets",
        "passing",
    )

    def __init__(
        self,
        codec: Codec,
        payload_type: int,
        event_hz: int,
        encoder: Encoder,
        playlist: Playlist,
        prompts: Prompts | None,
    ) -> None:
        """`prompts` None: every packet is made by this encoder, one after the other."""
        self._payload_type = payload_type
        self._scale = codec.rtp_hz // g711.RATE_HZ
        self._event_scale = event_hz // g711.RATE_HZ
        self._encoder = encoder
        self._playlist = playlist
        self._prompts = prompts
        self._live = False
        """The encoder has made the packet before; otherwise what it remembers is old."""
        self._before = b""
        """The last packet, as G.711."""
        self._rest = b""
        self._shift = 0
        """How many packets more have left than have come."""
        self.octets = 0
        self.passing: bytes | None = None
        """The next packet's payload, when it came from a stream of the same codec."""

    def packets(self, packet: bytes | bytearray | memoryview) -> list[bytes]:
        """What leaves for a packet of G.711 or a telephone event; the header's numbers hold."""
        _, second, sequence, timestamp, ssrc = _HEADER.unpack_from(packet)
        marker, payload_type = second & rtp.MARKER, second & 0x7F
        payload = bytes(packet[rtp.HEADER_BYTES :])
        if payload_type != LAW:
            made = [(timestamp, self._scaled(payload))]
        else:
            payload_type = self._payload_type
            made = self._encoded(timestamp, payload)
        first = sequence + self._shift
        self._shift = (self._shift + len(made) - 1) & 0xFFFF
        leaving = []
        for place, (at, coded) in enumerate(made):
            self.octets += len(coded)
            leaving.append(
                _HEADER.pack(
                    rtp.VERSION,
                    payload_type | (0 if place else marker),
                    (first + place) & 0xFFFF,
                    (at * self._scale) & _UINT32,
                    ssrc,
                )
                + coded
            )
        return leaving

    def _scaled(self, event: bytes) -> bytes:
        """A telephone event with its duration in the units that were agreed on."""
        if self._event_scale == 1 or len(event) < _EVENT.size:
            return event
        code, flags, duration = _EVENT.unpack_from(event)
        return _EVENT.pack(code, flags, min(0xFFFF, duration * self._event_scale))

    def _encoded(self, timestamp: int, payload: bytes) -> list[tuple[int, bytes]]:
        passing, self.passing = self.passing, None
        if passing is not None:
            self._live, self._rest = False, b""
            return [(timestamp, passing)]
        before, self._before = self._before, payload
        if not self._rest:
            ready = self._ready(payload, before)
            if ready:
                self._live = False
                return [(timestamp, ready)]
        if not self._live:
            begin(self._encoder, before)
            self._live = True
        if not self._rest and self._encoder.takes(len(payload)):
            coded = self._encoder.encode(g711.decode(payload, LAW))
            return [(timestamp, coded)] if coded else []
        return self._cut(timestamp, payload)

    def _ready(self, payload: bytes, before: bytes) -> bytes:
        """The packet, when others have sent it before: silence, or a prompt; else b""."""
        if self._prompts is None or not self._encoder.takes(len(payload)):
            return b""
        sound = self._playlist.current
        if isinstance(sound, Sound) and sound.key is not None:
            # A packet that reaches over two sounds has not got so far into the second.
            place = sound.position - len(payload)
            return self._prompts.packet(sound.key, place, payload, before) if place >= 0 else b""
        return self._prompts.silence(payload) if payload == _silence(len(payload)) else b""

    def _cut(self, timestamp: int, payload: bytes) -> list[tuple[int, bytes]]:
        """Packets of a length that the codec does not have: 20 ms at a time."""
        timestamp -= len(self._rest)
        waiting = self._rest + payload
        made = []
        while len(waiting) >= FRAME:
            coded = self._encoder.encode(g711.decode(waiting[:FRAME], LAW))
            if coded:
                made.append((timestamp, coded))
            waiting = waiting[FRAME:]
            timestamp += FRAME
        self._rest = waiting
        return made


class Inward:
    """From the codec to G.711, in place."""

    __slots__ = (
        "_decoder",
        "_event",
        "_event_scale",
        "_expected",
        "_frame",
        "_from",
        "_scale",
        "_ssrc",
        "_to",
        "_types",
        "garbled",
        "lost",
        "raw",
    )

    def __init__(
        self,
        codec: Codec,
        payload_types: frozenset[int],
        event: int | None,
        event_hz: int,
        decoder: Decoder,
    ) -> None:
        self._types = payload_types
        self._event = event
        self._scale = codec.rtp_hz // g711.RATE_HZ
        self._event_scale = event_hz // g711.RATE_HZ
        self._decoder = decoder
        self._ssrc: int | None = None
        self._expected = 0
        """Sequence number of the packet that should come next."""
        self._from = self._to = 0
        """A timestamp of the far end, and ours of the same moment."""
        self._frame = FRAME
        """Samples of the last packet."""
        self.raw: bytes | None = None
        """Payload of the last packet as it came; None: it was no audio of the codec."""
        self.garbled = False
        """The last packet was audio by its number, and nothing that can be decoded."""
        self.lost: list[bytes] = []
        """What replaces the packets that are missing before it: whole packets of G.711."""

    def take(self, data: bytearray, size: int, *, decode: bool) -> int:
        """Rewrites a datagram; gives its new size, NOT_TAKEN for audio that is of no use any more.

        What is not RTP, or of neither the codec nor an event, is left as it is. Without `decode`
        only the header is rewritten: nobody listens but a stream of the same codec.
        """
        self.raw = None
        self.garbled = False
        self.lost.clear()
        if size < rtp.HEADER_BYTES or data[0] & 0xC0 != rtp.VERSION:
            return size
        if data[0] != rtp.VERSION:
            size = rtp.plain(data, size)
            if not size:
                # No RTP: an empty datagram is counted as such.
                return 0
        _, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
        payload_type = second & 0x7F
        if payload_type in self._types and payload_type != self._event:
            return self._audio(data, size, second, sequence, timestamp, ssrc, decode=decode)
        if payload_type >= 96 and size == rtp.HEADER_BYTES + _EVENT.size:
            self._scale_event(data, timestamp)
        return size

    def _audio(
        self,
        data: bytearray,
        size: int,
        second: int,
        sequence: int,
        timestamp: int,
        ssrc: int,
        *,
        decode: bool,
    ) -> int:
        raw = bytes(data[rtp.HEADER_BYTES : size])
        missing = self._missing(sequence, ssrc)
        at = self._narrow(timestamp)
        self.raw = raw
        _HEADER.pack_into(data, 0, rtp.VERSION, (second & rtp.MARKER) | LAW, sequence, at, ssrc)
        if not decode:
            return size
        if missing < 0:
            # Its place was filled, and the decoder has gone on from there.
            return NOT_TAKEN
        if missing:
            self._conceal(missing, sequence, at, ssrc, raw)
        payload = g711.encode(self._decoder.decode(raw), LAW)[:LONGEST_SAMPLES]
        if not payload:
            self.garbled = True
            return NOT_TAKEN
        self._frame = len(payload)
        end = rtp.HEADER_BYTES + len(payload)
        data[rtp.HEADER_BYTES : end] = payload
        return end

    def _missing(self, sequence: int, ssrc: int) -> int:
        """How many packets are missing before this one; negative: it is a late one itself."""
        step = (sequence - self._expected) & 0xFFFF
        if ssrc != self._ssrc:
            self._ssrc, step = ssrc, 0
        elif step > 0xFFFF - 100:
            return -1
        self._expected = (sequence + 1) & 0xFFFF
        return step

    def _narrow(self, timestamp: int) -> int:
        """The timestamp in our units, at the same distance from those before."""
        step = (timestamp - self._from) & _UINT32
        if step >= _HALF:
            step -= _UINT32 + 1
        narrow = (self._to + step // self._scale) & _UINT32
        # The remainder is kept for the next one, so that nothing adds up.
        self._from = (self._from + step // self._scale * self._scale) & _UINT32
        self._to = narrow
        return narrow

    def _conceal(self, missing: int, sequence: int, at: int, ssrc: int, following: bytes) -> None:
        """Those right before this packet; the last of them may be in it a second time."""
        count = min(missing, MOST_CONCEALED)
        for back in range(count, 0, -1):
            samples = self._decoder.conceal(self._frame, following if back == 1 else b"")
            if samples:
                self.lost.append(
                    rtp.build(
                        LAW,
                        sequence - back,
                        at - back * self._frame,
                        ssrc,
                        g711.encode(samples, LAW)[:LONGEST_SAMPLES],
                    )
                )

    def _scale_event(self, data: bytearray, timestamp: int) -> None:
        code, flags, duration = _EVENT.unpack_from(data, rtp.HEADER_BYTES)
        _EVENT.pack_into(data, rtp.HEADER_BYTES, code, flags, duration // self._event_scale)
        data[4:8] = self._narrow(timestamp).to_bytes(4, "big")


def _silence(samples: int) -> bytes:
    return g711.SILENT_FRAME[LAW] if samples == FRAME else g711.SILENCE[LAW] * samples
