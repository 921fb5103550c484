"""A recording put together from the sounds that were heard, and when."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from outdial.media.core import g711, rtp, tones
from outdial.testing.rehearsal.sounds import DIGITS, TONE, Sound

Samples = npt.NDArray[np.int16]

SOUND_RMS = 200
"""As in `media.worker.recorder`: louder is sound, the rest silence."""
_PIECE_S = 0.1


@dataclass(slots=True)
class _Stretch:
    """A sound while it was heard, in seconds of the loop."""

    sound: Sound
    start: float
    end: float | None = None


class Tape:
    """One channel, from a moment on."""

    def __init__(self, began: float) -> None:
        self._began = began
        self._stretches: list[_Stretch] = []
        self._sounding: list[Sound] = []
        self._is_paused = False

    def begin(self, sound: Sound, now: float) -> None:
        """It is heard from now on."""
        if sound.kind == DIGITS:
            return
        self._sounding.append(sound)
        if not self._is_paused:
            self._stretches.append(_Stretch(sound, now))

    def end(self, sound: Sound, now: float) -> None:
        """It is heard no more."""
        if sound in self._sounding:
            self._sounding.remove(sound)
        for stretch in self._stretches:
            if stretch.sound is sound and stretch.end is None:
                stretch.end = now

    def pause(self, paused: bool, now: float) -> None:
        """Whether there is silence on it from now on, whatever is heard."""
        if paused == self._is_paused:
            return
        self._is_paused = paused
        if not paused:
            self._stretches += [_Stretch(sound, now) for sound in self._sounding]
        for stretch in self._stretches if paused else ():
            stretch.end = now if stretch.end is None else stretch.end

    def samples(self, seconds: float) -> Samples:
        """What was heard, for so long."""
        total = np.zeros(round(seconds * g711.RATE_HZ), np.int32)
        for stretch in self._stretches:
            start = round((stretch.start - self._began) * g711.RATE_HZ)
            until = self._began + seconds if stretch.end is None else stretch.end
            end = min(round((until - self._began) * g711.RATE_HZ), len(total))
            if end > start:
                skipped = max(0, round((stretch.start - stretch.sound.began_at) * g711.RATE_HZ))
                sound = _samples_of(stretch.sound)
                if len(sound):
                    total[start:end] += np.resize(np.roll(sound, -skipped), end - start)
        return np.clip(total, -32768, 32767).astype(np.int16)

    def sound_s(self, seconds: float) -> float:
        """How much of that was louder than silence."""
        size = round(_PIECE_S * g711.RATE_HZ)
        samples = self.samples(seconds)
        whole = samples[: len(samples) // size * size].reshape(-1, size).astype(np.float64)
        loud = np.sqrt((whole**2).mean(axis=1)) >= SOUND_RMS
        return float(loud.sum()) * _PIECE_S

    @staticmethod
    def write(tapes: Sequence[Tape], seconds: float, path: str) -> int:
        """The channels as a WAV file of 16 bits; gives its size. Raises OSError."""
        channels = [tape.samples(seconds) for tape in tapes]
        with open(path, "wb") as raw, wave.open(raw, "wb") as file:
            file.setnchannels(len(channels))
            file.setsampwidth(2)
            file.setframerate(g711.RATE_HZ)
            file.writeframes(np.stack(channels, axis=1).astype("<i2").tobytes())
        return Path(path).stat().st_size


def _samples_of(sound: Sound) -> Samples:
    if sound.clip is not None:
        return _of_file(sound.clip.ulaw_path)
    return _of_tone(sound.utterance.text) if sound.kind == TONE else np.zeros(0, np.int16)


@lru_cache(maxsize=64)
def _of_file(path: str) -> Samples:
    return np.frombuffer(g711.decode(Path(path).read_bytes(), rtp.PCMU), np.int16)


@lru_cache(maxsize=16)
def _of_tone(name: str) -> Samples:
    cadence = tones.render(tones.find(name)).ulaw
    return np.frombuffer(g711.decode(cadence, rtp.PCMU), np.int16)
