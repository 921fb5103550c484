"""Who hears what a far end says, besides the other side of a bridge: recordings, whoever waits for
speech, the receiver of digits in the audio.

Called for a packet only while one of them is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from outdial.media import wire
from outdial.media.core.endpointing import Endpointer
from outdial.media.worker.digits import tell_digits

if TYPE_CHECKING:
    from outdial.media.worker.stream import Stream


def is_attended(stream: Stream) -> bool:
    """Whether somebody wants to hear, the stream's room included."""
    return bool(stream.recordings or stream.in_band or stream.endpointer or stream.member)


def attend(
    stream: Stream, payload: bytes, pt: int, timestamp: int, now: float, *, newest: bool
) -> None:
    """Lets those hear a packet of G.711 who want to."""
    if stream.endpointer is not None and stream.heard and newest:
        _heed(stream, stream.endpointer, payload, pt, now)
    if stream.heard:
        for recording in stream.recordings:
            recording.heard(timestamp, pt, payload, now)
    if stream.in_band is not None and newest:
        tell_digits(stream, stream.in_band.feed(payload, pt), wire.IN_BAND)


def _heed(stream: Stream, endpointer: Endpointer, payload: bytes, pt: int, now: float) -> None:
    """Tells when somebody begins to speak, and what they have said."""
    had_begun = endpointer.begun
    endpointer.feed(payload, pt, playing=stream.playlist.current is not None)
    if endpointer.begun and not had_begun:
        stream.emit(wire.SPEECH_BEGAN, stream.stream, b"")
        stream.due = min(stream.due, now + endpointer.silence_s)
    tell_heard(stream, endpointer)


def tell_heard(stream: Stream, endpointer: Endpointer) -> None:
    """Tells what was said, once it is over."""
    if endpointer.over:
        stream.endpointer = None
        stream.emit(wire.SPEECH_HEARD, stream.stream, endpointer.take())
