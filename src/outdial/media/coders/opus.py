"""opus (RFC 6716) at 8 kHz by libopus, loaded with ctypes.

PyAV's wheels bring libopus along, so it is there after `pip install`; where they do not, the
system's is taken. PyAV itself stays out of the media worker: its decoder gives 48 kHz, knows
neither lost packets nor forward error correction, and its frames cost more than the coding.
"""

from __future__ import annotations

import ctypes
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from outdial.errors import CodecUnavailable
from outdial.media.core.coder import Coders

RATE_HZ: Final = 8000
NAMES: Final = ("libopus.so.0",)
BITRATE: Final = 24_000
"""Narrowband speech with forward error correction is at its best there."""
COMPLEXITY: Final = 1
"""Of 0 to 10. 30 µs a packet; 5 would take 78 µs, and at this bit rate nobody hears it."""
EXPECTED_LOSS_PERCENT: Final = 10
"""How much of a packet goes into repeating the one before it."""
MOST_SAMPLES: Final = RATE_HZ * 120 // 1000
"""The longest packet that RFC 6716 allows."""
MOST_BYTES: Final = 1275

_LENGTHS: Final = frozenset(RATE_HZ * ms // 1000 for ms in (10, 20, 40, 60))
"""Samples of the packets that are one frame."""
_VOIP: Final = 2048
_SET_BITRATE: Final = 4002
_SET_COMPLEXITY: Final = 4010
_SET_INBAND_FEC: Final = 4012
_SET_PACKET_LOSS_PERC: Final = 4014
_RESET_STATE: Final = 4028

_State = ctypes.c_void_p
_Error = ctypes.POINTER(ctypes.c_int)
_Int = ctypes.c_int
_Buffer = ctypes.c_char_p
_SIGNATURES: Final[dict[str, tuple[Any, tuple[Any, ...] | None]]] = {
    "opus_encoder_create": (_State, (_Int, _Int, _Int, _Error)),
    "opus_encoder_destroy": (None, (_State,)),
    # Variadic in C; these are the only two forms that are used, both with an int at most.
    "opus_encoder_ctl": (_Int, None),
    "opus_encode": (_Int, (_State, _Buffer, _Int, _Buffer, _Int)),
    "opus_decoder_create": (_State, (_Int, _Int, _Error)),
    "opus_decoder_destroy": (None, (_State,)),
    "opus_decode": (_Int, (_State, _Buffer, _Int, _Buffer, _Int, _Int)),
}


def load() -> Coders:
    """Raises CodecUnavailable, which says what to install."""
    for name in (*bundled(), *NAMES):
        try:
            library = ctypes.CDLL(name)
            for function, (result, arguments) in _SIGNATURES.items():
                found = getattr(library, function)
                found.restype, found.argtypes = result, arguments
        except (OSError, AttributeError):
            continue
        return OpusCoders(library)
    raise CodecUnavailable(
        "opus needs libopus, which comes with PyAV's wheels (Debian, Ubuntu: apt install libopus0)"
    )


def bundled() -> list[str]:
    """Where PyAV's wheel has it; PyAV is looked for, not imported."""
    spec = find_spec("av")
    folders = spec.submodule_search_locations if spec is not None else None
    return [
        str(path)
        for folder in folders or ()
        for path in sorted(Path(folder).parent.joinpath("av.libs").glob("libopus*.so*"))
    ]


class OpusCoders:
    """Fulfils `Coders`."""

    def __init__(self, library: Any) -> None:
        self._library = library

    def encoder(self) -> OpusEncoder:
        return OpusEncoder(self._library)

    def decoder(self) -> OpusDecoder:
        return OpusDecoder(self._library)


class OpusEncoder:
    """Fulfils `Encoder`, for packets of 10, 20, 40 and 60 ms."""

    __slots__ = ("_encode", "_library", "_out", "_state")

    def __init__(self, library: Any) -> None:
        error = ctypes.c_int()
        state = library.opus_encoder_create(RATE_HZ, 1, _VOIP, ctypes.byref(error))
        if not state:
            raise CodecUnavailable(f"libopus makes no encoder (error {error.value})")
        self._library = library
        self._encode = library.opus_encode
        self._state = ctypes.c_void_p(state)
        self._out = ctypes.create_string_buffer(MOST_BYTES)
        for request, value in (
            (_SET_BITRATE, BITRATE),
            (_SET_COMPLEXITY, COMPLEXITY),
            (_SET_INBAND_FEC, 1),
            (_SET_PACKET_LOSS_PERC, EXPECTED_LOSS_PERCENT),
        ):
            library.opus_encoder_ctl(self._state, request, ctypes.c_int(value))

    def encode(self, samples: bytes) -> bytes:
        size = self._encode(self._state, samples, len(samples) // 2, self._out, MOST_BYTES)
        return self._out.raw[:size] if size > 0 else b""

    def takes(self, samples: int) -> bool:
        return samples in _LENGTHS

    def reset(self) -> None:
        self._library.opus_encoder_ctl(self._state, _RESET_STATE)

    def __del__(self) -> None:
        if hasattr(self, "_state"):
            self._library.opus_encoder_destroy(self._state)


class OpusDecoder:
    """Fulfils `Decoder`."""

    __slots__ = ("_decode", "_library", "_out", "_state")

    def __init__(self, library: Any) -> None:
        error = ctypes.c_int()
        state = library.opus_decoder_create(RATE_HZ, 1, ctypes.byref(error))
        if not state:
            raise CodecUnavailable(f"libopus makes no decoder (error {error.value})")
        self._library = library
        self._decode = library.opus_decode
        self._state = ctypes.c_void_p(state)
        self._out = ctypes.create_string_buffer(2 * MOST_SAMPLES)

    def decode(self, payload: bytes) -> bytes:
        # libopus takes no bytes at all for a lost packet.
        if not payload:
            return b""
        return self._run(payload, MOST_SAMPLES, 0)

    def conceal(self, samples: int, following: bytes) -> bytes:
        if following:
            return self._run(following, samples, 1)
        return self._run(None, samples, 0)

    def _run(self, payload: bytes | None, samples: int, fec: int) -> bytes:
        size = len(payload) if payload else 0
        count = self._decode(self._state, payload, size, self._out, samples, fec)
        return self._out.raw[: 2 * count] if count > 0 else b""

    def __del__(self) -> None:
        if hasattr(self, "_state"):
            self._library.opus_decoder_destroy(self._state)
