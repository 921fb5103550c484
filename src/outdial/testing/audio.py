"""What a recording holds: how loud, how long somebody spoke, which tones; are two of them alike.

Levels are dBFS: 0 is a full-scale square wave, a full-scale sine is -3.0. Telephone speech lies
between -30 and -15, an idle G.711 line below -60.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float64]

FRAME_S = 0.02
SILENCE_DBFS = -45.0
"""A frame of 20 ms below this level is taken for silence."""
FLOOR_DBFS = -100.0
"""What digital silence is given as."""

_PCM, _ALAW, _ULAW, _EXTENSIBLE = 1, 6, 7, 0xFFFE


@dataclass(frozen=True, slots=True, eq=False)
class Sound:
    """One channel of audio."""

    samples: Samples
    """Between -1 and 1, shape (n,)."""
    rate: int
    """Samples a second."""

    @property
    def duration_s(self) -> float:
        """Its length."""
        return len(self.samples) / self.rate

    def cut(self, start_s: float, end_s: float | None = None) -> Sound:
        """The part between two moments."""
        end = None if end_s is None else round(end_s * self.rate)
        return Sound(self.samples[round(start_s * self.rate) : end], self.rate)


def read_wav(source: bytes | str | Path) -> list[Sound]:
    """The channels of a WAV file (16-bit PCM, A-law or µ-law), from its bytes or its path.

    A file still being written, whose header says too much or nothing, is read as far as it goes.
    Raises ValueError when it is something else.
    """
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    if len(data) < 12 or data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise ValueError("not a WAV file")
    chunks = dict(_chunks(data))
    if b"fmt " not in chunks or b"data" not in chunks:
        raise ValueError("a WAV file without a format or without data")
    kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", chunks[b"fmt "])
    if kind == _EXTENSIBLE:
        (kind,) = struct.unpack_from("<H", chunks[b"fmt "], 24)
    samples = _decoded(chunks[b"data"], kind, bits)
    frames = len(samples) // channels
    interleaved = samples[: frames * channels].reshape(frames, channels)
    return [Sound(interleaved[:, channel].copy(), rate) for channel in range(channels)]


def read_mono(source: bytes | str | Path) -> Sound:
    """The first channel of a WAV file."""
    return read_wav(source)[0]


def tone(
    *frequencies_hz: float, seconds: float, peak_dbfs: float = -12.0, rate: int = 8000
) -> Sound:
    """The sum of sines of equal strength, whose peak is at the level; none give silence."""
    times = np.arange(round(seconds * rate)) / rate
    samples = np.zeros(len(times))
    for frequency in frequencies_hz:
        samples += np.sin(2 * np.pi * frequency * times)
    scale = 10 ** (peak_dbfs / 20) / max(len(frequencies_hz), 1)
    return Sound(samples * scale, rate)


def joined(*sounds: Sound) -> Sound:
    """One after the other. Raises ValueError unless they have the same rate."""
    (rate,) = {sound.rate for sound in sounds}
    return Sound(np.concatenate([sound.samples for sound in sounds]), rate)


def wav(sound: Sound) -> bytes:
    """The sound as a WAV file of 16-bit PCM; what is louder than full scale is clipped."""
    data = np.round(np.clip(sound.samples, -1, 1) * 32767).astype("<i2").tobytes()
    form = struct.pack("<HHIIHH", _PCM, 1, sound.rate, sound.rate * 2, 2, 16)
    chunks = b"WAVEfmt " + struct.pack("<I", len(form)) + form
    chunks += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def level_dbfs(sound: Sound, silence_dbfs: float = SILENCE_DBFS) -> float:
    """The active level: the mean power of the frames that are not silence.

    `FLOOR_DBFS` when all of it is silence.
    """
    powers = _powers(sound)
    active = powers[powers > _power(silence_dbfs)]
    return _dbfs(float(active.mean())) if active.size else FLOOR_DBFS


def active_s(sound: Sound, silence_dbfs: float = SILENCE_DBFS) -> float:
    """Seconds in which there was sound; gaps between words are not counted."""
    return float((_powers(sound) > _power(silence_dbfs)).sum()) * FRAME_S


def speech_span(sound: Sound, silence_dbfs: float = SILENCE_DBFS) -> tuple[float, float] | None:
    """When the first sound began and the last one ended, in seconds; None for silence."""
    active = np.flatnonzero(_powers(sound) > _power(silence_dbfs))
    if not active.size:
        return None
    return float(active[0]) * FRAME_S, float(active[-1] + 1) * FRAME_S


def longest_gap_s(sound: Sound, silence_dbfs: float = SILENCE_DBFS) -> float:
    """The longest silence between the first sound and the last."""
    active = np.flatnonzero(_powers(sound) > _power(silence_dbfs))
    return float(np.diff(active).max(initial=1) - 1) * FRAME_S


def tone_share(sound: Sound, *frequencies_hz: float, width_hz: float = 12.0) -> float:
    """The share of the sound's energy that lies at the frequencies, 0 to 1.

    Near 1 for the pure tone or the pair of tones asked for, near 0 for speech. Zero for silence.
    """
    spectrum = np.abs(np.fft.rfft(sound.samples * np.hanning(len(sound.samples)))) ** 2
    total = float(spectrum.sum())
    if not total:
        return 0.0
    bins = np.fft.rfftfreq(len(sound.samples), 1 / sound.rate)
    near = np.zeros(len(bins), dtype=bool)
    for frequency in frequencies_hz:
        near |= np.abs(bins - frequency) <= width_hz
    return float(spectrum[near].sum()) / total


def similarity(one: Sound, other: Sound, max_shift_s: float = 2.0) -> float:
    """How alike the loudness of two recordings runs, -1 to 1, at the shift that fits best.

    The course of loudness survives G.711, gain and small timing differences, where a comparison
    sample by sample does not: above 0.9 it is the same utterance, different ones stay below 0.6.
    Both must have the same length within `max_shift_s`.
    """
    first, second = _envelope(one), _envelope(other)
    most = round(max_shift_s / FRAME_S)
    scores = [_correlation(*_overlap(first, second, shift)) for shift in range(-most, most + 1)]
    return max(scores)


def waveform_match(part: Sound, whole: Sound) -> tuple[float, float]:
    """Where `part` stands in `whole` sample by sample: the correlation there (-1 to 1), and when.

    For what must arrive unchanged but for G.711: 0.99 is a perfect passage, a lost packet shows.
    Raises ValueError when `whole` is shorter than `part` or the rates differ.
    """
    if part.rate != whole.rate or len(whole.samples) < len(part.samples):
        raise ValueError("the whole must be at least as long as the part, at the same rate")
    size = len(part.samples)
    padded = 1 << (len(whole.samples) + size - 1).bit_length()
    product = np.fft.rfft(whole.samples, padded) * np.conj(np.fft.rfft(part.samples, padded))
    dots = np.fft.irfft(product, padded)[: len(whole.samples) - size + 1]
    sums = np.concatenate(([0.0], np.cumsum(whole.samples**2)))
    energies = np.maximum(sums[size:] - sums[:-size], 1e-9)
    scores = dots / np.sqrt(energies * max(float((part.samples**2).sum()), 1e-9))
    best = int(scores.argmax())
    return float(scores[best]), best / whole.rate


# ---------------------------------------------------------------------------- the parts


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if name == b"data" and size == 0:
            size = len(data)
        yield name, data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def _decoded(data: bytes, kind: int, bits: int) -> Samples:
    if kind == _PCM and bits == 16:
        return np.frombuffer(data[: len(data) & ~1], "<i2").astype(np.float64) / 32768.0
    if kind in (_ULAW, _ALAW) and bits == 8:
        table = _ULAW_TABLE if kind == _ULAW else _ALAW_TABLE
        return table[np.frombuffer(data, np.uint8)]
    raise ValueError(f"a WAV file of kind {kind} with {bits} bits is not read here")


def _ulaw_value(code: int) -> float:
    """ITU-T G.711 table 2, as 16-bit linear, scaled to one."""
    code = ~code & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84) << ((code & 0x70) >> 4)
    value = magnitude - 0x84
    return (-value if code & 0x80 else value) / 32768.0


def _alaw_value(code: int) -> float:
    """ITU-T G.711 table 1, as 16-bit linear, scaled to one."""
    code ^= 0x55
    segment, step = (code & 0x70) >> 4, (code & 0x0F) << 4
    value = step + 8 if segment == 0 else (step + 0x108) << (segment - 1)
    return (value if code & 0x80 else -value) / 32768.0


_ULAW_TABLE = np.array([_ulaw_value(code) for code in range(256)])
_ALAW_TABLE = np.array([_alaw_value(code) for code in range(256)])


def _powers(sound: Sound) -> Samples:
    """The mean power of each whole frame of 20 ms."""
    size = round(FRAME_S * sound.rate)
    whole = len(sound.samples) // size * size
    powers: Samples = (sound.samples[:whole].reshape(-1, size) ** 2).mean(axis=1)
    return powers


def _envelope(sound: Sound) -> Samples:
    """The loudness of each frame in decibels above the line's idle noise."""
    envelope: Samples = 10 * np.log10(np.maximum(_powers(sound), 1e-6)) + 60
    return envelope


def _overlap(one: Samples, other: Samples, shift: int) -> tuple[Samples, Samples]:
    """Both on one time line, `other` moved by `shift` frames, silence where one has nothing."""
    start, end = min(0, shift), max(len(one), shift + len(other))
    first, second = np.zeros(end - start), np.zeros(end - start)
    first[-start : -start + len(one)] = one
    second[shift - start : shift - start + len(other)] = other
    return first, second


def _correlation(one: Samples, other: Samples) -> float:
    first, second = one - one.mean(), other - other.mean()
    scale = math.sqrt(float((first**2).sum()) * float((second**2).sum()))
    return float((first * second).sum()) / scale if scale else 0.0


def _power(dbfs: float) -> float:
    return 10 ** (dbfs / 10)


def _dbfs(power: float) -> float:
    return round(10 * math.log10(power), 1) if power > 0 else FLOOR_DBFS
