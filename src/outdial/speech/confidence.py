"""How sure it is that somebody said a hint. Pure.

What was said is read twice, as one of the hints and as any sounds of the language whatever. A hint
was hardly said when it explains much less of the time than the sounds do, explains it worse, or
takes longer or shorter than its letters take to say. The weights are those of a logistic regression
over words in six voices (docs/design/speech.md); in a noise nothing is as sure.
"""

from __future__ import annotations

import math

from outdial.frozen import frozen

LEAST_CONFIDENCE = 0.5
"""With less it is taken for something else."""
QUIET_DB = 22.0
"""Speech so much louder than the noise is as good as any."""


@frozen
class Reading:
    """How well something explains what was said."""

    text: str
    """The words, or the sounds."""
    score: float
    """The logarithm of how probable it is."""
    frames: int
    """Hundredths of a second that are neither silence nor noise."""


def confidence_of(words: Reading, sounds: Reading, snr_db: float) -> float:
    """From 0 to 1, for words of a grammar, beside the sounds that were heard."""
    letters = len(words.text.replace(" ", ""))
    if not letters or not words.frames:
        return 0.0
    frames = max(words.frames, sounds.frames)
    fit = min(4.0, max(-6.0, (words.score - sounds.score) / frames))
    unexplained = max(0, sounds.frames - words.frames) / frames
    unheard = max(0, words.frames - sounds.frames) / frames
    pace = words.frames / letters / 10
    log_odds = (
        -0.731
        + 0.291 * fit
        - 5.910 * unexplained
        - 0.964 * unheard
        + 0.0608 * letters
        + 1.244 * pace
        - 1.621 * (pace - 0.9) ** 2
    )
    quiet = min(1.0, max(0.0, snr_db / QUIET_DB))
    return quiet / (1 + math.exp(-max(-50.0, min(50.0, log_odds))))
