"""DTMF heard in the audio itself (ITU-T Q.23, Q.24), for far ends without telephone events.

The power at the eight frequencies is found by correlating 20 ms with a sine and a cosine of each:
audioop's `findfactor` is a dot product in C, so a block costs some 6 µs, and quiet blocks a tenth.
libspandsp was left out: this needs nothing installed, and the tables of Q.24 are met in the tests.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from math import cos, pi, sin
from typing import Final

from outdial.media.core import g711
from outdial.media.core.dtmf import Heard
from outdial.media.core.pcm import audioop
from outdial.media.core.tones import HIGH_HZ, KEYPAD, LOW_HZ

BLOCK: Final = 160
"""Samples: 50 Hz wide, less than the 73 Hz between the nearest two frequencies."""
BLOCK_MS: Final = 20
QUIET_RMS: Final = 200
"""About -41 dBm0; Q.24 wants nothing weaker than -29 heard."""
PURE: Final = 0.55
"""Share of the block's power that the two frequencies must have: speech has less."""
REVERSE_TWIST: Final = 4.0
"""Low over high, in power (6 dB)."""
TWIST: Final = 8.0
"""High over low (9 dB)."""
CLEAR: Final = 4.0
"""Over the next strongest of the same group (6 dB)."""
ON_BLOCKS: Final = 2
OFF_BLOCKS: Final = 2

_LEVEL: Final = 16384


def _wave(frequency_hz: int, function: Callable[[float], float]) -> bytes:
    step = 2 * pi * frequency_hz / g711.RATE_HZ
    return array("h", (round(_LEVEL * function(step * n)) for n in range(BLOCK))).tobytes()


_LOW = [(_wave(f, cos), _wave(f, sin)) for f in LOW_HZ]
_HIGH = [(_wave(f, cos), _wave(f, sin)) for f in HIGH_HZ]


def classify(samples: bytes) -> str:
    """The digit that BLOCK 16-bit samples are of, "" for none."""
    rms = audioop.rms(samples, 2)
    if rms < QUIET_RMS:
        return ""
    low, row = _strongest(samples, _LOW)
    high, column = _strongest(samples, _HIGH)
    if not low or not high or low + high < PURE * rms * rms:
        return ""
    if low > REVERSE_TWIST * high or high > TWIST * low:
        return ""
    return KEYPAD[row][column]


def _strongest(samples: bytes, group: list[tuple[bytes, bytes]]) -> tuple[float, int]:
    """Power and place of the strongest frequency, (0, 0) when it is not clearly the strongest."""
    factor = audioop.findfactor
    powers = [factor(samples, cosine) ** 2 + factor(samples, sine) ** 2 for cosine, sine in group]
    best = max(range(len(powers)), key=powers.__getitem__)
    if any(powers[best] < CLEAR * power for place, power in enumerate(powers) if place != best):
        return 0.0, 0
    return powers[best] * (_LEVEL * _LEVEL / 2), best


class InBandReceiver:
    """Finds digits in a stream of G.711 payloads; each is reported when it ends."""

    __slots__ = ("_candidate", "_digit", "_off", "_on", "_samples")

    def __init__(self) -> None:
        self._samples = b""
        self._candidate = ""
        self._digit = ""
        """The digit that is sounding, once it is sure."""
        self._on = 0
        self._off = 0

    def feed(self, payload: bytes, payload_type: int) -> list[Heard]:
        """Takes one packet's audio; gives the digits that ended in it."""
        samples = self._samples + g711.decode(payload, payload_type)
        heard = []
        at = 0
        while len(samples) - at >= 2 * BLOCK:
            ended = self._block(classify(samples[at : at + 2 * BLOCK]))
            if ended is not None:
                heard.append(ended)
            at += 2 * BLOCK
        self._samples = samples[at:]
        return heard

    def _block(self, digit: str) -> Heard | None:
        if self._digit:
            if digit == self._digit:
                self._on, self._off = self._on + 1 + self._off, 0
                return None
            self._off += 1
            if self._off < OFF_BLOCKS and not digit:
                return None
            heard = Heard(self._digit, self._on * BLOCK_MS)
            self._digit, self._candidate = "", digit
            self._on = 1 if digit else 0
            self._off = 0
            return heard
        if digit and digit == self._candidate:
            self._on += 1
            if self._on >= ON_BLOCKS:
                self._digit, self._off = digit, 0
        else:
            self._candidate, self._on = digit, 1 if digit else 0
        return None
