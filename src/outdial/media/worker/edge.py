"""Where a stream whose codec is not G.711 meets the socket.

What comes in is decoded before the stream sees it, and what it sends is encoded behind it; see
`core.transcoding`. Two bridged streams of one codec pass each other's packets through.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from outdial.errors import CodecUnavailable
from outdial.legs import Codec, MediaParams
from outdial.media.coders import coders
from outdial.media.core import g711, reception, rtp
from outdial.media.core.coder import Decoder, Encoder
from outdial.media.core.dtmf import EVENT_UNITS
from outdial.media.core.playlist import Playlist
from outdial.media.core.prompts import Prompts
from outdial.media.core.transcoding import NOT_TAKEN, Inward, Outward
from outdial.media.worker.hearing import attend, is_attended

if TYPE_CHECKING:
    from outdial.media.worker.stream import Stream

_UNPACK = rtp.HEADER.unpack_from


@cache
def prompts_of(codec: Codec) -> Prompts | None:
    """Those of the process; None where they are encoded for each stream. Raises CodecUnavailable.

    A decoder of opus is made for packets that are lost and finds its way from one encoder's packets
    to another's. G.722 predicts every sample from those before, was heard to be far off for a tenth
    of a second, and costs too little to be worth it.
    """
    return Prompts(coders(codec).encoder) if codec is Codec.OPUS else None


def coding_of(params: MediaParams) -> tuple[object, ...]:
    """What an edge is made for."""
    return (params.codec, params.payload_type, params.telephone_event, params.telephone_event_hz)


def fit_edge(stream: Stream, params: MediaParams, before: MediaParams | None) -> None:
    """What stands between G.711 and the codec that was agreed on."""
    if before is not None and coding_of(before) == coding_of(params):
        return
    stream.edge = None if params.codec.is_g711 else Edge(params, stream.playlist)
    stream.events.longest = EVENT_UNITS // (params.telephone_event_hz // g711.RATE_HZ)


class Missing:
    """Encodes and decodes nothing: `Encoder` and `Decoder` where there is no library."""

    def encode(self, samples: bytes) -> bytes:
        return b""

    def takes(self, samples: int) -> bool:
        return True

    def reset(self) -> None:
        return None

    def decode(self, payload: bytes) -> bytes:
        return b""

    def conceal(self, samples: int, following: bytes) -> bytes:
        return b""


def _made(codec: Codec) -> tuple[Encoder, Decoder, Prompts | None]:
    """Whatever codes one stream.

    What the settings offer is tried when the server starts. If the library has gone since then,
    nothing is sent rather than a codec that nobody has agreed on; events, and what a stream of the
    same codec says, need no library.
    """
    try:
        made = coders(codec)
        return made.encoder(), made.decoder(), prompts_of(codec)
    except CodecUnavailable:
        missing = Missing()
        return missing, missing, None


class Edge:
    """Both directions of one stream."""

    __slots__ = ("codec", "inward", "is_mute", "outward", "scale", "transmit")

    def __init__(self, params: MediaParams, playlist: Playlist) -> None:
        self.codec = codec = params.codec
        self.scale = codec.rtp_hz // g711.RATE_HZ
        """Units of the codec's timestamps in one of ours."""
        theirs = codec.value if params.payload_type is None else params.payload_type
        event_hz = params.telephone_event_hz
        encoder, decoder, prompts = _made(codec)
        self.is_mute = isinstance(encoder, Missing)
        """The codec's library is missing."""
        self.inward = Inward(
            codec,
            frozenset((codec.value, theirs)),
            params.telephone_event,
            event_hz,
            decoder,
        )
        self.outward = Outward(codec, theirs, event_hz, encoder, playlist, prompts)
        self.transmit: Callable[[bytes], int] = len
        """Puts a packet on its way; set by the stream."""

    def send(self, packet: bytes | bytearray | memoryview) -> int:
        """Encodes and sends a packet of G.711, or an event. Raises OSError as the socket does, and
        where there is nothing to encode it with: it counts as not sent."""
        packets = self.outward.packets(packet)
        if self.is_mute and not packets:
            raise OSError(errno.ENOPKG, f"no library for {self.codec.encoding}")
        return sum(map(self.transmit, packets))

    def _is_wanted(self, stream: Stream, through: Edge | None) -> bool:
        """Whether anybody hears what is said as samples.

        While nobody does, opus need not be decoded; G.722 must be, or it would be far off for a
        moment when somebody begins to listen.
        """
        if is_attended(stream):
            return True
        peer = stream.peer
        if peer is None:
            return self.codec is not Codec.OPUS
        return through is None or bool(peer.recordings)

    def arrive(
        self,
        stream: Stream,
        data: bytearray,
        view: memoryview,
        size: int,
        now: float,
        arrival: int,
    ) -> bool:
        """Decodes one datagram and gives it to the stream; True when it was relayed."""
        peer, inward = stream.peer, self.inward
        through = peer.edge if peer is not None else None
        if through is not None and through.codec is not self.codec:
            through = None
        size = inward.take(data, size, decode=self._is_wanted(stream, through))
        if size == NOT_TAKEN:
            stream.refused += inward.garbled
            _miss(stream, data, now, arrival)
            return False
        if inward.lost:
            whole = bytes(data[:size])
            for packet in inward.lost:
                data[: len(packet)] = packet
                _fill(stream, data, view, len(packet), now, relay=through is None)
            data[:size] = whole
        if through is None:
            return stream.take(data, view, size, now, arrival)
        through.outward.passing = inward.raw
        relayed = stream.take(data, view, size, now, arrival)
        through.outward.passing = None
        return relayed


def _fill(
    stream: Stream, data: bytearray, view: memoryview, size: int, now: float, *, relay: bool
) -> None:
    """A packet of G.711 in place of one that did not come; it counts as lost all the same."""
    _, second, sequence, timestamp, _ = _UNPACK(data)
    payload = bytes(data[rtp.HEADER_BYTES : size])
    if stream.listening:
        attend(stream, payload, stream.pt, timestamp, now, newest=True)
    if stream.member is not None and stream.heard:
        stream.member.buffer.put(timestamp, stream.pt, payload)
    peer = stream.peer
    if not relay or peer is None or not (peer.sends and stream.heard):
        return
    if peer.playlist.current is None or peer.gives_way():
        peer.relay(data, view, size, second, sequence, timestamp, now)


def _miss(stream: Stream, data: bytearray, now: float, arrival: int) -> None:
    """A packet that came, and is of no use: late, or nothing that can be decoded."""
    _, _, sequence, timestamp, ssrc = _UNPACK(data)
    stream.arrived_at = now
    if stream.reception.packet(sequence, timestamp, ssrc, arrival) == reception.RESTART:
        stream.restarted()
