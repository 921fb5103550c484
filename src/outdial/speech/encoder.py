"""Parts of our own WAV recordings as MP3 frames. Runs in a helper process.

Every frame is by itself (no bit reservoir) and of one size, so that a part can be made without what
is before it; see `mp3_shape` for how the parts make one file.
"""

from __future__ import annotations

import av

from outdial.errors import SoundError
from outdial.speech.mp3_shape import FRAME_SAMPLES, SKIPPED, WAV_HEAD_BYTES, bit_rate
from outdial.stored_file import open_sealed

_RATE_HZ = 8000
_WARM_UP = 8
"""Frames before a part that are coded and thrown away: so the coder has heard what went before."""
_FASTEST = "7"
"""LAME's quality: twice as fast as its default, and no difference at 8 kHz."""
_MORE = 8
"""Frames of silence that may have to follow until the coder has given all."""


def encode(path: str, channels: int, first: int, count: int, key: bytes = b"") -> bytes:
    """Frames `first` to ``first + count`` of the recording, whose file is sealed with `key` if
    there is one. Raises SoundError and OSError."""
    start = first + SKIPPED  # in the coder's own count
    begin = max(0, start - _WARM_UP)
    coder = _coder(channels)
    frame_bytes = FRAME_SAMPLES * 2 * channels
    frames: list[bytes] = []
    wanted = start - begin + count
    file = open_sealed(path, key)
    try:
        for number in range(begin, begin + wanted + _MORE):
            at = WAV_HEAD_BYTES + number * frame_bytes
            frames += _coded(coder, file.read(frame_bytes, at), channels)
            if len(frames) >= wanted:
                return b"".join(frames[start - begin : wanted])
    finally:
        file.close()
    raise SoundError("the MP3 coder gave too few frames")


def _coder(channels: int) -> av.AudioCodecContext:
    try:
        coder = av.CodecContext.create("libmp3lame", "w")
    except (ValueError, LookupError, av.FFmpegError):
        raise SoundError("the installed FFmpeg has no MP3 coder (libmp3lame)") from None
    if not isinstance(coder, av.AudioCodecContext):
        raise SoundError("the installed FFmpeg has no MP3 coder (libmp3lame)")
    coder.sample_rate = _RATE_HZ
    coder.layout = _layout(channels)
    coder.format = "s16p"
    coder.bit_rate = bit_rate(channels)
    coder.options = {"reservoir": "0", "joint_stereo": "0", "compression_level": _FASTEST}
    return coder


def _coded(coder: av.AudioCodecContext, pcm: bytes, channels: int) -> list[bytes]:
    """A frame's worth of interleaved samples, silence where they are too few, as MP3 frames."""
    frame = av.AudioFrame("s16p", _layout(channels), FRAME_SAMPLES)
    frame.sample_rate = _RATE_HZ
    samples = memoryview(pcm[: len(pcm) - len(pcm) % (2 * channels)]).cast("h")
    for channel, plane in enumerate(frame.planes):
        own = samples[channel::channels].tobytes()
        plane.update(own + bytes(plane.buffer_size - len(own)))
    return [bytes(packet) for packet in coder.encode(frame)]


def _layout(channels: int) -> str:
    return "mono" if channels == 1 else "stereo"
