"""G.722 by PyAV, for machines without libspandsp. Importing it imports PyAV."""

from __future__ import annotations

from typing import Final

import av

from outdial.errors import CodecUnavailable

WIDE_HZ: Final = 16_000
NARROW_HZ: Final = 8000
FRAME_BYTES: Final = 2 * WIDE_HZ // 50
"""20 ms at 16 kHz."""


class FfmpegG722:
    """Fulfils `Coders`."""

    def __init__(self) -> None:
        if "g722" not in av.codecs_available:
            raise CodecUnavailable(
                "G722 needs libspandsp (Debian, Ubuntu: apt install libspandsp2), or a PyAV with"
                " FFmpeg's g722"
            )

    def encoder(self) -> FfmpegEncoder:
        return FfmpegEncoder()

    def decoder(self) -> FfmpegDecoder:
        return FfmpegDecoder()


class _Resampler:
    """From one rate to the other, a packet at a time, as many samples as that makes.

    The filter gives its first samples late: silence stands before them, so that it never has too
    few.
    """

    __slots__ = ("_from_hz", "_resampler", "_to_hz", "_waiting")

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._resampler = av.AudioResampler("s16", "mono", to_hz)
        self._from_hz, self._to_hz = from_hz, to_hz
        self._waiting = bytes(2 * to_hz * 4 // 1000)

    def feed(self, samples: bytes) -> bytes:
        for frame in self._resampler.resample(frame_of(samples, self._from_hz)):
            self._waiting += bytes(frame.planes[0])[: 2 * frame.samples]
        size = len(samples) * self._to_hz // self._from_hz
        made, self._waiting = self._waiting[:size], self._waiting[size:]
        return made


class FfmpegEncoder:
    """Fulfils `Encoder`."""

    __slots__ = ("_context", "_resampler")

    def __init__(self) -> None:
        self.reset()

    def encode(self, samples: bytes) -> bytes:
        if not samples:
            return b""
        wide = self._resampler.feed(samples)
        payload = b""
        try:
            for at in range(0, len(wide), FRAME_BYTES):
                frame = frame_of(wide[at : at + FRAME_BYTES], WIDE_HZ)
                payload += b"".join(bytes(packet) for packet in self._context.encode(frame))
        except av.FFmpegError:
            return b""
        return payload

    def takes(self, samples: int) -> bool:
        # FFmpeg wants frames of 20 ms.
        return samples % (NARROW_HZ // 50) == 0

    def reset(self) -> None:
        self._context = av.CodecContext.create("g722", "w")
        self._context.sample_rate = WIDE_HZ
        self._context.layout = "mono"
        self._context.format = "s16"
        self._resampler = _Resampler(NARROW_HZ, WIDE_HZ)


class FfmpegDecoder:
    """Fulfils `Decoder`."""

    __slots__ = ("_context", "_resampler")

    def __init__(self) -> None:
        self._context = av.CodecContext.create("g722", "r")
        self._context.sample_rate = WIDE_HZ
        self._context.layout = "mono"
        self._resampler = _Resampler(WIDE_HZ, NARROW_HZ)

    def decode(self, payload: bytes) -> bytes:
        if not payload:
            return b""
        try:
            frames = self._context.decode(av.Packet(payload))
        except av.FFmpegError:
            return b""
        wide = b"".join(bytes(frame.planes[0])[: 2 * frame.samples] for frame in frames)
        return self._resampler.feed(wide) if wide else b""

    def conceal(self, samples: int, following: bytes) -> bytes:
        return b""


def frame_of(samples: bytes, rate_hz: int) -> av.AudioFrame:
    """16-bit samples of one channel as FFmpeg takes them."""
    frame = av.AudioFrame(format="s16", layout="mono", samples=len(samples) // 2)
    frame.sample_rate = rate_hz
    frame.planes[0].update(samples)
    return frame
