"""Words as a caller says them, spoken by the engine that is installed."""

from __future__ import annotations

from functools import cache

import numpy as np

from outdial.speech import synthesizers
from outdial.speech.audio import level_speech, resample
from outdial.speech.speech import choose_engine
from outdial.testing import audio


@cache
def pcm_of(words: str, voice: str = "gmw/en-US+f3", rate_wpm: int = 150) -> bytes:
    """16-bit mono PCM at 8 kHz, 4 dB under the level of our own prompts."""
    engine = synthesizers.make(choose_engine("auto"))
    try:
        rate_hz, pcm = engine.synthesize(words, voice, rate_wpm)
    finally:
        engine.close()
    levelled = np.frombuffer(level_speech(resample(pcm, rate_hz)), dtype="<i2")
    return (levelled * 0.63).astype("<i2").tobytes()


def sound_of(words: str) -> audio.Sound:
    """The same for a telephone to send, with a moment of silence on either side."""
    samples = np.frombuffer(bytes(4800) + pcm_of(words) + bytes(3200), dtype="<i2")
    return audio.Sound(samples / 32768, 8000)
