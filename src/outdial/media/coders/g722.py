"""G.722 at 64 kbit/s by libspandsp where it is installed, else by PyAV's FFmpeg.

libspandsp codes the lower of the two bands alone, which is 8 kHz by itself: no resampling, and a
fifth of the work. FFmpeg codes both bands at 16 kHz, and is resampled.
"""

from __future__ import annotations

import ctypes
from typing import Any, Final

from outdial.errors import CodecUnavailable
from outdial.media.core.coder import Coders, Decoder, Encoder

NAMES: Final = ("libspandsp.so.2", "libspandsp.so.3")
_BITRATE: Final = 64_000
_AT_8_KHZ: Final = 1
"""G722_SAMPLE_RATE_8000 of spandsp/g722.h."""
MOST_BYTES: Final = 2048

_State = ctypes.c_void_p
_Int = ctypes.c_int
_Buffer = ctypes.c_char_p
_SIGNATURES: Final[dict[str, tuple[Any, tuple[Any, ...]]]] = {
    "g722_encode_init": (_State, (_State, _Int, _Int)),
    "g722_encode_free": (_Int, (_State,)),
    "g722_encode": (_Int, (_State, _Buffer, _Buffer, _Int)),
    "g722_decode_init": (_State, (_State, _Int, _Int)),
    "g722_decode_free": (_Int, (_State,)),
    "g722_decode": (_Int, (_State, _Buffer, _Buffer, _Int)),
}


def load() -> Coders:
    """Raises CodecUnavailable, which says what to install."""
    try:
        return load_spandsp()
    except CodecUnavailable:
        return load_ffmpeg()


def load_spandsp() -> Coders:
    """By libspandsp. Raises CodecUnavailable."""
    for name in NAMES:
        try:
            library = ctypes.CDLL(name)
            for function, (result, arguments) in _SIGNATURES.items():
                found = getattr(library, function)
                found.restype, found.argtypes = result, arguments
        except (OSError, AttributeError):
            continue
        return SpandspCoders(library)
    raise CodecUnavailable("libspandsp is not installed")


def load_ffmpeg() -> Coders:
    """By PyAV. Raises CodecUnavailable."""
    # Not before it is needed: it is as large as the rest of a worker.
    from outdial.media.coders.ffmpeg import FfmpegG722

    return FfmpegG722()


class SpandspCoders:
    """Fulfils `Coders`."""

    def __init__(self, library: Any) -> None:
        self._library = library

    def encoder(self) -> Encoder:
        return SpandspEncoder(self._library)

    def decoder(self) -> Decoder:
        return SpandspDecoder(self._library)


class SpandspEncoder:
    """Fulfils `Encoder`, for packets of any length."""

    __slots__ = ("_encode", "_library", "_out", "_state")

    def __init__(self, library: Any) -> None:
        state = library.g722_encode_init(None, _BITRATE, _AT_8_KHZ)
        if not state:
            raise CodecUnavailable("libspandsp makes no G.722 encoder")
        self._library = library
        self._encode = library.g722_encode
        self._state = ctypes.c_void_p(state)
        self._out = ctypes.create_string_buffer(MOST_BYTES)

    def encode(self, samples: bytes) -> bytes:
        count = min(len(samples) // 2, MOST_BYTES)
        size = self._encode(self._state, self._out, samples, count)
        return self._out.raw[:size]

    def takes(self, samples: int) -> bool:
        return samples <= MOST_BYTES

    def reset(self) -> None:
        self._library.g722_encode_init(self._state, _BITRATE, _AT_8_KHZ)

    def __del__(self) -> None:
        if hasattr(self, "_state"):
            self._library.g722_encode_free(self._state)


class SpandspDecoder:
    """Fulfils `Decoder`."""

    __slots__ = ("_decode", "_library", "_out", "_state")

    def __init__(self, library: Any) -> None:
        state = library.g722_decode_init(None, _BITRATE, _AT_8_KHZ)
        if not state:
            raise CodecUnavailable("libspandsp makes no G.722 decoder")
        self._library = library
        self._decode = library.g722_decode
        self._state = ctypes.c_void_p(state)
        self._out = ctypes.create_string_buffer(2 * MOST_BYTES)

    def decode(self, payload: bytes) -> bytes:
        size = min(len(payload), MOST_BYTES)
        count = self._decode(self._state, self._out, payload, size)
        return self._out.raw[: 2 * count]

    def conceal(self, samples: int, following: bytes) -> bytes:
        return b""

    def __del__(self) -> None:
        if hasattr(self, "_state"):
            self._library.g722_decode_free(self._state)
