"""Keeps a sum of voices inside what G.711 can carry, by turning it down rather than cutting it off.

A cut-off peak is distortion that everybody hears; the same sentence a little softer for a moment is
not noticed. The loudest sample of a frame sets the gain, which falls in steps of 2.5 ms within that
frame, so that no sample is cut, and comes back by 0.7 dB a frame.
"""

from __future__ import annotations

from typing import Final

from outdial.media.core.pcm import audioop

BLOCK_BYTES: Final = 80
"""2.5 ms of 32-bit samples: the gain changes between two of them."""
RELEASE: Final = 1.08
"""By how much the gain may grow in a frame: 10 dB come back in 0.3 s."""


class Limiter:
    """The gain of one who listens, from frame to frame."""

    __slots__ = ("_most", "gain")

    def __init__(self, most: int) -> None:
        self._most = most
        """The largest sample that is not too loud."""
        self.gain = 1.0

    def limit(self, samples: bytes) -> bytes:
        """The frame of 32-bit samples, none of them over the limit."""
        peak, before = audioop.max(samples, 4), self.gain
        needed = self._most / peak if peak > self._most else 1.0
        if needed == before == 1.0:
            return samples
        self.gain = after = min(needed, before * RELEASE)
        if after == before:
            return audioop.mul(samples, 4, after)
        blocks = range(0, len(samples), BLOCK_BYTES)
        step = (after / before) ** (1 / len(blocks))
        gain, limited = before, []
        for at in blocks:
            gain *= step
            block = samples[at : at + BLOCK_BYTES]
            highest = audioop.max(block, 4)
            fits = self._most / highest if highest * gain > self._most else gain
            limited.append(audioop.mul(block, 4, fits))
        return b"".join(limited)
