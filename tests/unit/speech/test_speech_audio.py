"""PCM to G.711 prompts: band limit, level, files."""

from __future__ import annotations

import audioop
import math
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from outdial.speech import audio
from outdial.testing.audio import Sound, level_dbfs, tone_share


def tone(frequency_hz: float, rate_hz: int, seconds: float = 1.0, peak: float = 0.5) -> bytes:
    t = np.arange(round(rate_hz * seconds)) / rate_hz
    return (np.sin(2 * np.pi * frequency_hz * t) * peak * 32767).astype("<i2").tobytes()


def sound(pcm: bytes) -> Sound:
    return Sound(np.frombuffer(pcm, "<i2") / 32768.0, 8000)


@pytest.mark.parametrize("rate_hz", [8000, 11025, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("frequency_hz", [300, 1000, 3300])
def test_passband_is_kept(rate_hz: int, frequency_hz: float) -> None:
    out = sound(audio.resample(tone(frequency_hz, rate_hz), rate_hz))
    assert abs(len(out.samples) - 8000) < 40
    middle = out.cut(0.1, 0.9)
    assert tone_share(middle, frequency_hz) > 0.99
    assert level_dbfs(middle) == pytest.approx(-9.03, abs=0.5)


@pytest.mark.parametrize("frequency_hz", [4700, 6000, 7999, 10000])
def test_what_would_alias_is_gone(frequency_hz: float) -> None:
    out = sound(audio.resample(tone(frequency_hz, 22050), 22050)).cut(0.1, 0.9)
    assert 20 * math.log10(np.abs(out.samples).max() + 1e-9) < -60


@pytest.mark.parametrize("peak", [0.01, 0.1, 0.9])
def test_speech_comes_to_one_level(peak: float) -> None:
    quiet = bytes(8000)
    out = sound(audio.level_speech(quiet + tone(500, 8000, 1.0, peak) + quiet))
    assert level_dbfs(out) == pytest.approx(audio.SPEECH_LEVEL_DBFS, abs=0.7)


def test_peaks_are_never_clipped() -> None:
    spiky = bytearray(tone(500, 8000, 1.0, 0.03))
    spiky[4000:4002] = (20000).to_bytes(2, "little")
    assert audioop.max(audio.level_speech(bytes(spiky)), 2) <= 31000


def test_silence_round_speech_is_cut_to_a_breath() -> None:
    out = audio.level_speech(bytes(16000) + tone(500, 8000) + bytes(32000))
    assert 8000 + 160 <= len(out) // 2 <= 8000 + 160 * 12


def test_silence_stays_silence() -> None:
    assert audio.level_speech(bytes(3200)) == bytes(3200)
    assert audio.level_speech(b"") == b""


def test_both_laws_are_written(tmp_path: Path) -> None:
    pcm = tone(1000, 8000)
    path = str(tmp_path / "ab" / "clip")
    assert audio.write_clip([pcm[:1001], pcm[1001:]], path) == 7999
    assert audio.write_clip([pcm], path) == 8000
    ulaw, alaw = (Path(f"{path}.{law}").read_bytes() for law in ("ulaw", "alaw"))
    assert ulaw == audioop.lin2ulaw(pcm, 2)
    assert alaw == audioop.lin2alaw(pcm, 2)
    assert sorted(os.listdir(tmp_path / "ab")) == ["clip.alaw", "clip.ulaw"]


def test_failure_leaves_nothing(tmp_path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield bytes(100)
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        audio.write_clip(chunks(), str(tmp_path / "ab" / "clip"))
    assert os.listdir(tmp_path / "ab") == []
