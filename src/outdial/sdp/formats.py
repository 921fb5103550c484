"""The formats of an audio line: codecs and telephone events by payload type (RFC 3551, RFC 4733).

G.722 is 9 with a clock of 8000, although it samples 16000 (RFC 3551 section 4.5.2). opus has a
dynamic number, a clock of 48000 and, always, two channels (RFC 7587 section 7). A telephone event
has the clock of the audio it is among, so that with opus there are two (RFC 4733 section 2.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from outdial.legs import Codec, MediaParams
from outdial.sdp.description import MediaDescription

EVENT_AT_48000: Final = 110
"""Our number for events beside opus."""
OPUS_FORMAT: Final = "useinbandfec=1;maxplaybackrate=8000;sprop-maxcapturerate=8000"
"""Mono is the default. We play and record 8 kHz: more would be coded for nothing."""

_STATIC: Final = {
    "0": "pcmu/8000",
    "8": "pcma/8000",
    "9": "g722/8000",
}
_CODECS: Final = {
    "pcmu/8000": Codec.PCMU,
    "pcma/8000": Codec.PCMA,
    "g722/8000": Codec.G722,
    "opus/48000/2": Codec.OPUS,
    # Against RFC 7587, and seen: it cannot mean anything else.
    "opus/48000": Codec.OPUS,
}
_EVENTS: Final = {"telephone-event/8000": 8000, "telephone-event/48000": 48000}


class Format(NamedTuple):
    """A codec under a number."""

    codec: Codec
    payload_type: int


def of_offer(codecs: Sequence[Codec], telephone_event: int | None) -> tuple[list[str], list[str]]:
    """The numbers of our offer, and the attributes that say what they are."""
    formats = [str(codec.value) for codec in codecs]
    lines = [line for codec in codecs for line in _lines(codec, codec.value)]
    if telephone_event is not None:
        events = [(telephone_event, 8000)]
        # Some know events of 8000 only, whatever the audio's clock is: that stays on offer.
        if Codec.OPUS in codecs:
            events.append((EVENT_AT_48000, 48000))
        for number, rate_hz in events:
            formats.append(str(number))
            lines += _event_lines(number, rate_hz)
    return formats, lines


def of_answer(params: MediaParams) -> tuple[list[str], list[str]]:
    """The same of our answer, under the numbers of the offer (RFC 3264 section 6.1)."""
    number = params.codec.value if params.payload_type is None else params.payload_type
    formats, lines = [str(number)], _lines(params.codec, number)
    if params.telephone_event is not None:
        formats.append(str(params.telephone_event))
        lines += _event_lines(params.telephone_event, params.telephone_event_hz)
    return formats, lines


def _lines(codec: Codec, number: int) -> list[str]:
    channels = "/2" if codec is Codec.OPUS else ""
    lines = [f"a=rtpmap:{number} {codec.encoding}/{codec.rtp_hz}{channels}\r\n"]
    if codec is Codec.OPUS:
        lines.append(f"a=fmtp:{number} {OPUS_FORMAT}\r\n")
    return lines


def _event_lines(number: int, rate_hz: int) -> list[str]:
    return [f"a=rtpmap:{number} telephone-event/{rate_hz}\r\n", f"a=fmtp:{number} 0-15\r\n"]


def chosen(media: MediaDescription, codecs: Sequence[Codec]) -> Format | None:
    """The first format of the line, which is its writer's best, that is in `codecs`."""
    for text in media.formats:
        number = _number(text)
        # RFC 3551 section 6: static types need no rtpmap, but one that says otherwise counts.
        encoding = media.rtpmaps.get(text, _STATIC.get(text, ""))
        codec = _CODECS.get(_without_one_channel(encoding))
        if codec not in codecs or codec is None or number is None:
            continue
        # Those with a number of their own have no other.
        if number == codec.value or (codec is Codec.OPUS and 96 <= number <= 127):
            return Format(codec, number)
    return None


def event_of(media: MediaDescription, codec: Codec) -> tuple[int | None, int]:
    """The number and the clock of the events that go with the codec: its own clock, if there is
    one of that; (None, 8000) for none."""
    found: dict[int, int] = {}
    for text in media.formats:
        number = _number(text)
        rate_hz = _EVENTS.get(_without_one_channel(media.rtpmaps.get(text, "")))
        if rate_hz is not None and number is not None and 96 <= number <= 127:
            found.setdefault(rate_hz, number)
    for rate_hz in (codec.rtp_hz, 8000, 48000):
        # At a clock that is not the audio's, an event means what its writer takes it to mean.
        if rate_hz in found and (codec is Codec.OPUS or rate_hz == 8000):
            return found[rate_hz], rate_hz
    return None, 8000


def _without_one_channel(encoding: str) -> str:
    """``pcmu/8000/1`` is ``pcmu/8000``."""
    return encoding.removesuffix("/1")


def _number(text: str) -> int | None:
    """A payload type; None for what is none."""
    if text.isascii() and text.isdecimal() and len(text) <= 3 and int(text) < 128:
        return int(text)
    return None
