"""The measurements of recordings, on sounds whose figures are known beforehand."""

from __future__ import annotations

import io
import struct
import wave

import numpy as np
import pytest

from outdial.testing import audio
from outdial.testing.audio import Sound

RATE = 8000


def tone(hz: float, seconds: float, peak: float = 1.0) -> Sound:
    times = np.arange(round(seconds * RATE)) / RATE
    return Sound(np.sin(2 * np.pi * hz * times) * peak, RATE)


def silence(seconds: float) -> Sound:
    return Sound(np.zeros(round(seconds * RATE)), RATE)


def joined(*sounds: Sound) -> Sound:
    return Sound(np.concatenate([sound.samples for sound in sounds]), RATE)


def babble(seed: int, seconds: float = 3.0) -> Sound:
    """Noise in syllables of random loudness: as irregular as speech."""
    rng = np.random.default_rng(seed)
    loudness = np.repeat(rng.choice([0.0, 0.02, 0.1, 0.3], round(seconds * 8)), RATE // 8)
    return Sound(rng.standard_normal(len(loudness)) * loudness, RATE)


def wav(frames: bytes, channels: int = 1, kind: int = 1, bits: int = 16) -> bytes:
    size = channels * bits // 8
    head = struct.pack("<4sIHHIIHH", b"fmt ", 16, kind, channels, RATE, RATE * size, size, bits)
    body = b"WAVE" + head + b"data" + struct.pack("<I", len(frames)) + frames
    return b"RIFF" + struct.pack("<I", len(body)) + body


def test_a_full_scale_sine_is_minus_three_and_half_of_it_six_less() -> None:
    assert audio.level_dbfs(tone(1000, 1)) == pytest.approx(-3.0, abs=0.05)
    assert audio.level_dbfs(tone(1000, 1, 0.5)) == pytest.approx(-9.0, abs=0.05)


def test_the_level_is_of_the_active_part_only() -> None:
    assert audio.level_dbfs(joined(tone(1000, 1, 0.1), silence(9))) == pytest.approx(-23, abs=0.1)
    assert audio.level_dbfs(silence(1)) == audio.FLOOR_DBFS


def test_how_long_and_when_there_was_sound() -> None:
    sound = joined(silence(0.5), tone(500, 1), silence(0.4), tone(500, 0.6), silence(1))
    assert audio.active_s(sound) == pytest.approx(1.6)
    assert audio.speech_span(sound) == (0.5, 2.5)
    assert audio.longest_gap_s(sound) == pytest.approx(0.4)
    assert audio.speech_span(silence(1)) is None
    assert audio.longest_gap_s(silence(1)) == 0


def test_a_tone_is_found_at_its_frequency_and_nowhere_else() -> None:
    ringback = Sound((tone(440, 1).samples + tone(480, 1).samples) / 2, RATE)
    assert audio.tone_share(ringback, 440, 480) > 0.98
    assert audio.tone_share(ringback, 350) < 0.01
    assert audio.tone_share(babble(1), 440, 480) < 0.2
    assert audio.tone_share(silence(1), 440) == 0


def test_a_recording_is_like_itself_through_delay_gain_and_noise() -> None:
    original = babble(1)
    noise = np.random.default_rng(9).standard_normal(len(original.samples) + RATE) * 0.001
    delayed = joined(silence(0.7), original, silence(0.3))
    worse = Sound(delayed.samples * 0.5 + noise, RATE)
    assert audio.similarity(original, worse) > 0.9
    assert audio.similarity(original, babble(2)) < 0.6
    assert audio.similarity(original, silence(3)) == 0


def test_a_passage_is_found_sample_by_sample() -> None:
    part = babble(3, 1.0)
    score, at = audio.waveform_match(part, joined(babble(4, 2.0), part, babble(5, 1.0)))
    assert score == pytest.approx(1.0)
    assert at == pytest.approx(2.0)
    score, _ = audio.waveform_match(part, babble(6, 3.0))
    assert score < 0.5
    with pytest.raises(ValueError, match="at least as long"):
        audio.waveform_match(babble(4, 2.0), part)


def test_a_lost_packet_shows_in_the_match() -> None:
    part = babble(3, 1.0)
    damaged = part.samples.copy()
    loud = int(np.abs(damaged).reshape(-1, 800).sum(axis=1).argmax()) * 800
    damaged[loud : loud + 800] = 0
    score, _ = audio.waveform_match(part, Sound(damaged, RATE))
    assert score < 0.97


def test_channels_of_a_pcm_file_are_read_apart() -> None:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(struct.pack("<4h", 16384, -16384, 8192, 0))
    left, right = audio.read_wav(out.getvalue())
    assert left.samples.tolist() == [0.5, 0.25]
    assert right.samples.tolist() == [-0.5, 0.0]


@pytest.mark.parametrize(
    ("kind", "codes", "values"),
    [
        # ITU-T G.711 tables: the ends of the scale, zero, and one code of a middle segment.
        (7, b"\x80\x00\xff\x7f\xa0", [32124, -32124, 0, 0, 7932]),
        (6, b"\xaa\x2a\xd5\x55\x80", [32256, -32256, 8, -8, 5504]),
    ],
)
def test_g711_files_are_read(kind: int, codes: bytes, values: list[int]) -> None:
    sound = audio.read_mono(wav(codes, kind=kind, bits=8))
    assert (sound.samples * 32768).tolist() == values


def test_a_file_still_being_written_is_read_as_far_as_it_goes() -> None:
    data = wav(struct.pack("<4h", 1, 2, 3, 4))
    unsized = data[:40] + bytes(4) + data[44:]
    assert len(audio.read_mono(unsized).samples) == 4
    assert len(audio.read_mono(data[:-3]).samples) == 2


@pytest.mark.parametrize("data", [b"", b"RIFF", b"OggS" + bytes(40), b"RIFF\0\0\0\0WAVE"])
def test_what_is_not_a_wav_file_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="WAV"):
        audio.read_mono(data)


def test_cutting_takes_the_part_between() -> None:
    assert tone(100, 2).cut(0.5, 1.25).duration_s == pytest.approx(0.75)
    assert tone(100, 2).cut(0.5).duration_s == pytest.approx(1.5)


def test_a_tone_is_written_and_read_back_as_it_was() -> None:
    sound = audio.joined(audio.tone(440, 480, seconds=0.5), audio.tone(seconds=0.25))
    back = audio.read_mono(audio.wav(sound))
    assert back.rate == sound.rate
    assert np.abs(back.samples - sound.samples).max() < 1e-4
    assert audio.tone_share(back, 440, 480) > 0.95
    assert audio.active_s(back) == pytest.approx(0.5, abs=0.02)
    assert np.abs(back.samples).max() == pytest.approx(10 ** (-12 / 20), rel=0.02)


def test_sounds_of_different_rates_are_not_joined() -> None:
    with pytest.raises(ValueError):
        audio.joined(audio.tone(440, seconds=0.1), audio.tone(440, seconds=0.1, rate=16000))
