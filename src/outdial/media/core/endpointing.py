"""When somebody begins to speak on a stream and when they have said it. Pure.

By loudness alone, a few microseconds a packet. What was said is for somebody else to find out, and
noise that passes for speech here only costs them the look.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from outdial.media.core import g711, rtp
from outdial.media.core.pcm import audioop

SOUND_RMS: Final = 200
"""Of 16-bit samples, about -41 dBm0: speech is louder, the noise of a quiet line is not."""
OVER_NOISE: Final = 3.0
"""Speech is so many times as loud as what is heard when nobody speaks."""
OVER_PROMPT: Final = 4.0
"""So much louder it must be while we play, because some of that comes back from the far end."""
UNDER_PEAK: Final = 0.1
"""Under so much of the loudest that was said it is silence, even beside a loud fan."""
BEGINS_SAMPLES: Final = g711.RATE_HZ * 80 // 1000
"""So much sound is speech; a click is less."""
LEAD_SAMPLES: Final = g711.RATE_HZ * 300 // 1000
"""What is kept from before it was sure, and after it was over: the soft ends of words."""
LONGEST_SAMPLES: Final = g711.RATE_HZ * 15 // 2
"""7.5 s: nobody takes longer over a word or two, and it fits into one message."""


class Endpointer:
    """One utterance, from the packets of a stream."""

    __slots__ = (
        "_kept",
        "_kept_samples",
        "_loud_samples",
        "_noise",
        "_peak",
        "_quiet_samples",
        "_silence_samples",
        "begun",
        "over",
    )

    def __init__(self, silence_s: float) -> None:
        """`silence_s` after the last word it is over."""
        self._silence_samples = int(silence_s * g711.RATE_HZ)
        self._kept: deque[bytes] = deque()
        self._kept_samples = 0
        self._noise = SOUND_RMS / OVER_NOISE
        self._peak = 0.0
        self._loud_samples = 0
        self._quiet_samples = 0
        self.begun = False
        """Somebody speaks, or has."""
        self.over = False
        """They have said it."""

    @property
    def silence_s(self) -> float:
        """So long after the last word it is over."""
        return self._silence_samples / g711.RATE_HZ

    def feed(self, payload: bytes, payload_type: int, *, playing: bool) -> None:
        """A packet of G.711; `playing`: we play something meanwhile."""
        if self.over or not payload:
            return
        loudness = audioop.rms(g711.decode(payload, payload_type), 2)
        self._keep(g711.TRANSCODING.get((payload_type, rtp.PCMU)), payload)
        if self.begun:
            self._follow(loudness, len(payload))
        else:
            self._await(loudness, len(payload), SOUND_RMS * (OVER_PROMPT if playing else 1.0))

    def expire(self) -> None:
        """Nothing came for `silence_s`: a far end that sends no silence has fallen silent."""
        self.over = self.over or self.begun

    def take(self) -> bytes:
        """What was said, in the µ-law of G.711, without the silence after it."""
        cut = max(0, self._quiet_samples - LEAD_SAMPLES)
        said = b"".join(self._kept)
        return said[: len(said) - cut]

    def _keep(self, to_ulaw: bytes | None, payload: bytes) -> None:
        self._kept.append(payload if to_ulaw is None else payload.translate(to_ulaw))
        self._kept_samples += len(payload)
        while not self.begun and self._kept_samples - len(self._kept[0]) >= LEAD_SAMPLES:
            self._kept_samples -= len(self._kept.popleft())

    def _await(self, loudness: int, samples: int, least: float) -> None:
        is_sound = loudness >= max(least, self._noise * OVER_NOISE)
        # Noise is learned at once when it falls and in half a second when it rises; from what may
        # be a word much more slowly.
        rises = 0.005 if is_sound else 0.05
        self._noise += (loudness - self._noise) * (rises if loudness > self._noise else 1.0)
        self._loud_samples = max(0, self._loud_samples + (samples if is_sound else -samples))
        if self._loud_samples >= BEGINS_SAMPLES:
            self.begun = True
            self._peak = float(loudness)

    def _follow(self, loudness: int, samples: int) -> None:
        self._peak = max(self._peak, loudness)
        is_sound = loudness >= max(SOUND_RMS, self._noise * OVER_NOISE, self._peak * UNDER_PEAK)
        self._quiet_samples = 0 if is_sound else self._quiet_samples + samples
        self.over = (
            self._quiet_samples >= self._silence_samples or self._kept_samples >= LONGEST_SAMPLES
        )
