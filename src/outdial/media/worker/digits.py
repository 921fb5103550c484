"""Digits on a stream: sent as telephone events (RFC 4733) or tones, told of when they are heard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from outdial.media import wire
from outdial.media.core import g711, rtp, tones
from outdial.media.core.dtmf import EventSender, Heard
from outdial.media.core.playlist import DigitSound

if TYPE_CHECKING:
    from outdial.media.worker.stream import Stream

_UINT32: Final = 0xFFFFFFFF
_PACK = rtp.HEADER.pack_into


def takes_events(stream: Stream) -> bool:
    """Whether the far end can be sent telephone events."""
    return stream.params is not None and stream.params.telephone_event is not None


def is_event(stream: Stream, pt: int, size: int) -> bool:
    """Whether a packet of `size` bytes behind its header is a telephone event.

    RFC 3264 5.1 lets each side use the other's number; many send their own, so any dynamic
    type with a payload of an event's size is one.
    """
    params = stream.params
    if params is None or params.telephone_event is None:
        return False
    return pt == params.telephone_event or (pt >= 96 and size == 4)


def tell_digits(stream: Stream, digits: list[Heard], source: int) -> None:
    """Tells of the digits that were heard, and passes them on over a bridge."""
    for heard in digits:
        payload = wire.pack_digit(heard.digit, source, heard.duration_ms)
        stream.emit(wire.DIGIT, stream.stream, payload)
        peer = stream.peer
        if peer is not None and source == wire.RFC4733 and stream.heard and not takes_events(peer):
            # The other side of the bridge can only be told in the audio.
            peer.playlist.add(EventSender(heard.digit))


def tick_digits(stream: Stream, item: EventSender, now: float) -> None:
    """A packet time of RFC 4733 digits; silence between them."""
    params = stream.params
    if not takes_events(stream):
        sound = tones.render_digits(item.remaining)
        stream.playlist.current = DigitSound(
            item.play, memoryview(sound.ulaw), memoryview(sound.alaw), 1
        )
        stream.tick(now)
        return
    event = item.tick(stream.timestamp, stream.samples)
    if item.finished:
        stream.playlist.advance()
        stream.tell_played()
    pt, marker, timestamp = stream.pt, stream.marker, stream.timestamp
    payload = g711.SILENCE[stream.pt] * stream.samples
    if event is not None and params is not None and params.telephone_event is not None:
        payload, timestamp = event.payload, event.timestamp
        pt, marker = params.telephone_event, rtp.MARKER if event.marker else 0
    stream.timestamp = (stream.timestamp + stream.samples) & _UINT32
    if stream.sends:
        packet = bytearray(rtp.HEADER_BYTES) + payload
        _PACK(packet, 0, 0x80, pt | marker, stream.sequence, timestamp, stream.ssrc)
        stream.sequence = (stream.sequence + 1) & 0xFFFF
        stream.marker = 0
        stream.fresh = True
        try:
            stream.send(packet)
            stream.sent += 1
        except OSError:
            stream.send_errors += 1
