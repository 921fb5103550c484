"""What cases look for in the audio that a telephone heard."""

from __future__ import annotations

import numpy as np

from conformance.talk import Check, Talk
from outdial.testing import audio

TONE = "/tone.wav"
"""A sound of the web server: `TONE_HZ` for `TONE_S`."""
TONE_HZ, TONE_S = 700, 0.3
OTHER_HZ = 1900
"""What a second person says."""
BEEP_HZ = 1000
HOLD_HZ = (392, 494)
_STEP_S = 0.02


def spans(sound: audio.Sound, *frequencies_hz: float, share: float = 0.8) -> list[float]:
    """When the tone was heard, one length for each time; of any sound without frequencies."""
    size = round(sound.rate * _STEP_S * 2)
    hop = size // 2
    lengths: list[float] = []
    since = 0
    for start in range(0, len(sound.samples) - size + 1, hop):
        part = audio.Sound(sound.samples[start : start + size], sound.rate)
        loud = audio.level_dbfs(part) > audio.SILENCE_DBFS
        if loud and frequencies_hz:
            loud = audio.tone_share(part, *frequencies_hz, width_hz=40) > share
        since = since + 1 if loud else 0
        if since == 1:
            lengths.append(0.0)
        if since:
            lengths[-1] += _STEP_S
    return [length for length in lengths if length > 0.1]


def tones(talk: Talk) -> int:
    """How often `TONE` was heard."""
    return len(spans(talk.heard, TONE_HZ))


def tone_heard(times: int) -> Check:
    """`TONE` was heard so often."""

    def check(talk: Talk) -> None:
        assert tones(talk) == times, spans(talk.heard, TONE_HZ)

    return check


def pitch_hz(sound: audio.Sound) -> float:
    """The middle pitch of a voice: the strongest period between 60 and 350 Hz of loud parts."""
    size, rate = round(0.04 * sound.rate), sound.rate
    shortest, longest = rate // 350, rate // 60
    found = []
    for start in range(0, len(sound.samples) - 2 * size, size // 2):
        part = sound.samples[start : start + 2 * size]
        if audio.level_dbfs(audio.Sound(part, rate)) < -30:
            continue
        products = np.correlate(part, part, "full")[len(part) - 1 :]
        scores = products[shortest:longest] / max(products[0], 1e-9)
        if scores.max() > 0.4:
            found.append(rate / (shortest + int(scores.argmax())))
    return float(np.median(found)) if found else 0.0


def is_same(one: audio.Sound, other: audio.Sound) -> bool:
    """Whether one is in the other sample by sample, and neither is much longer."""
    first, second = _trimmed(one), _trimmed(other)
    if abs(first.duration_s - second.duration_s) > 0.1:
        return False
    short, long = sorted((first, second), key=lambda sound: sound.duration_s)
    return audio.waveform_match(short, long)[0] > 0.85


def _trimmed(sound: audio.Sound) -> audio.Sound:
    return sound.cut(*(audio.speech_span(sound) or (0.0, 0.0)))
