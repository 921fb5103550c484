"""How a recording's MP3 is laid out: frames of one size, as many as its sound needs. Pure."""

from __future__ import annotations

import struct

from outdial.errors import SoundError
from outdial.frozen import frozen

FRAME_SAMPLES = 576
"""Of MPEG-2.5 layer III, which is what 8 kHz is."""
SKIPPED = 1
"""Frames of the coder that are left out: they hold the silence that it begins with."""
WAV_HEAD_BYTES = 44
"""Of our recordings."""

_BITS_A_CHANNEL = 32_000
_RATE_HZ = 8000
_WAV = struct.Struct("<4sI4s4sIHHIIHH4sI")


def bit_rate(channels: int) -> int:
    """Bits a second."""
    return _BITS_A_CHANNEL * channels


@frozen
class Shape:
    """What is known of an MP3 before any of it is made."""

    channels: int
    frames: int

    @classmethod
    def of_wav(cls, head: bytes, file_bytes: int) -> Shape:
        """Of one of our recordings, by its header and its size. Raises SoundError for others."""
        try:
            riff, _, wave, fmt, _, coding, channels, rate, _, _, bits, data, size = _WAV.unpack(
                head
            )
        except struct.error:
            raise SoundError("the recording is not a WAV file") from None
        if (riff, wave, fmt, data) != (b"RIFF", b"WAVE", b"fmt ", b"data") or (
            (coding, rate, bits) != (1, _RATE_HZ, 16) or channels not in (1, 2)
        ):
            raise SoundError("the recording is not a WAV file of 16 bits at 8 kHz")
        samples = min(size, max(0, file_bytes - WAV_HEAD_BYTES)) // (2 * channels)
        # the coder's delay is 1105 samples, of which the skipped frame is a part; a lone frame is
        # not known for MP3 by some
        return cls(channels, max(2, -(-samples // FRAME_SAMPLES) + 2 - SKIPPED))

    @property
    def frame_bytes(self) -> int:
        """The same for every frame: at these rates there is never any padding."""
        return FRAME_SAMPLES // 8 * bit_rate(self.channels) // _RATE_HZ

    @property
    def size_bytes(self) -> int:
        """Of the whole."""
        return self.frames * self.frame_bytes
