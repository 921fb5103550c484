"""Sound files to 8 kHz mono PCM. Runs in a helper process; what it reads comes from anywhere.

FFmpeg is told the container, never asked to guess it, so that none of its hundreds of other
readers (playlists and network protocols among them) is reachable.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

import av

from outdial.errors import SoundError
from outdial.speech.audio import RATE_HZ, samples_of

_CODECS = {
    "wav": re.compile(r"pcm_(u8|s16le|s24le|s32le|f32le|f64le|alaw|mulaw)|adpcm_(ms|ima_wav)"),
    "mp3": re.compile(r"mp[23](float)?"),
}
_MAX_CHANNELS = 8
_RATES_HZ = range(1000, 384_001)


def decode(data: bytes, max_s: float) -> Iterator[bytes]:
    """Chunks of 16-bit mono PCM at 8 kHz. Raises SoundError: not WAV or MP3, broken, too long."""
    container = "wav" if data[:4] == b"RIFF" and data[8:12] == b"WAVE" else ""
    if not container and _is_mp3(data):
        container = "mp3"
    if not container:
        raise SoundError("the file is neither WAV nor MP3")
    samples = 0
    try:
        for chunk in _decoded(data, container):
            samples += len(chunk) // 2
            if samples > max_s * RATE_HZ:
                raise SoundError(f"the sound is longer than {max_s:g} s")
            yield chunk
    except (av.FFmpegError, ValueError, OverflowError, IndexError, EOFError) as error:
        raise SoundError(f"the {container.upper()} file is broken: {error}") from None
    if not samples:
        raise SoundError(f"the {container.upper()} file has no sound in it")


def _is_mp3(data: bytes) -> bool:
    """An ID3 tag, or the sync word of an MPEG audio frame (layers II and III)."""
    if data[:3] == b"ID3":
        return True
    return len(data) > 3 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0 and data[1] & 0x06 != 0


def _decoded(data: bytes, container: str) -> Iterator[bytes]:
    with av.open(io.BytesIO(data), mode="r", format=container) as source:
        if not source.streams.audio:
            raise SoundError("the file has no sound in it")
        stream = source.streams.audio[0]
        context = stream.codec_context
        coding = getattr(context, "name", "something unknown")  # FFmpeg may know no codec for it
        if not _CODECS[container].fullmatch(coding):
            raise SoundError(f"the file is coded as {coding}, which is not played")
        _check_form(context.sample_rate, context.channels)
        form: tuple[str, str, int] | None = None
        resampler = _resampler()
        for packet in source.demux(stream):
            for frame in _frames(context, packet):
                own = frame.format.name, frame.layout.name, frame.sample_rate
                if form is not None and own != form:
                    # MP3s that somebody put one behind the other
                    _check_form(frame.sample_rate, frame.layout.nb_channels)
                    yield from map(samples_of, resampler.resample(None))
                    resampler = _resampler()
                form = own
                yield from map(samples_of, resampler.resample(frame))
        yield from map(samples_of, resampler.resample(None))


def _resampler() -> av.AudioResampler:
    return av.AudioResampler(format="s16", layout="mono", rate=RATE_HZ)


def _check_form(rate_hz: int, channels: int) -> None:
    if rate_hz not in _RATES_HZ or not 1 <= channels <= _MAX_CHANNELS:
        raise SoundError("the file's sampling rate or number of channels makes no sense")


def _frames(context: av.AudioCodecContext, packet: av.Packet[Any]) -> list[av.AudioFrame]:
    """A packet's frames; none of a broken packet, so that one bad frame does not end a sound."""
    try:
        return context.decode(packet)
    except av.InvalidDataError:
        return []
