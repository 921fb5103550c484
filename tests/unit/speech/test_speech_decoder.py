"""WAV and MP3 to 8 kHz mono, and everything that only claims to be."""

from __future__ import annotations

import audioop
import io
import random
import struct

import av
import numpy as np
import pytest

from outdial.errors import SoundError
from outdial.speech.decoder import decode
from outdial.testing.audio import Sound, level_dbfs, tone_share

HZ = 1000.0


def samples(rate_hz: int, channels: int = 1, seconds: float = 1.0) -> np.ndarray:
    t = np.arange(round(rate_hz * seconds)) / rate_hz
    return np.repeat((np.sin(2 * np.pi * HZ * t) * 0.5)[:, None], channels, axis=1)


def wav(kind: int, bits: int, rate_hz: int, channels: int, data: bytes) -> bytes:
    block = channels * bits // 8
    form = struct.pack("<HHIIHH", kind, channels, rate_hz, rate_hz * block, block, bits)
    chunks = b"fmt " + struct.pack("<I", len(form)) + form
    chunks += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def pcm(bits: int, rate_hz: int = 8000, channels: int = 1, seconds: float = 1.0) -> bytes:
    values = samples(rate_hz, channels, seconds).ravel()
    if bits == 8:
        data = ((values * 127) + 128).astype(np.uint8).tobytes()
    elif bits == 24:
        wide = (values * 8388607).astype("<i4")
        data = b"".join(struct.pack("<i", int(v))[:3] for v in wide)
    else:
        data = (values * (2 ** (bits - 1) - 1)).astype(f"<i{bits // 8}").tobytes()
    return wav(1, bits, rate_hz, channels, data)


def floating(rate_hz: int = 8000) -> bytes:
    return wav(3, 32, rate_hz, 1, samples(rate_hz).astype("<f4").tobytes())


def companded(kind: int) -> bytes:
    linear = (samples(8000).ravel() * 32767).astype("<i2").tobytes()
    data = audioop.lin2alaw(linear, 2) if kind == 6 else audioop.lin2ulaw(linear, 2)
    return wav(kind, 8, 8000, 1, data)


def mp3(rate_hz: int = 44100, channels: int = 2, seconds: float = 1.0) -> bytes:
    target = io.BytesIO()
    with av.open(target, "w", format="mp3") as container:
        stream = container.add_stream("mp3", rate=rate_hz)
        stream.layout = "stereo" if channels == 2 else "mono"
        data = (samples(rate_hz, channels, seconds) * 32767).astype("<i2").tobytes()
        frame = av.AudioFrame("s16", stream.layout.name, len(data) // 2 // channels)
        frame.sample_rate = rate_hz
        plane = frame.planes[0]
        plane.update(data + bytes(plane.buffer_size - len(data)))
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return target.getvalue()


def heard(data: bytes, max_s: float = 60) -> Sound:
    return Sound(np.frombuffer(b"".join(decode(data, max_s)), "<i2") / 32768.0, 8000)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(pcm(8), id="u8"),
        pytest.param(pcm(16), id="s16"),
        pytest.param(pcm(24, 48000), id="s24"),
        pytest.param(pcm(32, 16000), id="s32"),
        pytest.param(pcm(16, 44100, 2), id="stereo"),
        pytest.param(pcm(16, 11025), id="11025"),
        pytest.param(pcm(16, 96000, 2), id="96000"),
        pytest.param(floating(22050), id="float"),
        pytest.param(companded(6), id="alaw"),
        pytest.param(companded(7), id="ulaw"),
        pytest.param(mp3(), id="mp3"),
        pytest.param(mp3(22050, 1), id="mp3-22050"),
        pytest.param(b"ID3\x04\x00\x00\x00\x00\x00\x0a" + bytes(10) + mp3(), id="mp3-id3"),
    ],
)
def test_tone_comes_out_as_it_went_in(data: bytes) -> None:
    out = heard(data)
    assert 0.95 < out.duration_s < 1.15
    middle = out.cut(0.2, 0.8)
    assert tone_share(middle, HZ) > 0.98
    assert level_dbfs(middle) == pytest.approx(-9.03, abs=0.7)


def test_sizes_that_lie_are_read_as_far_as_there_is_sound() -> None:
    whole = bytearray(pcm(16))
    whole[40:44] = b"\xff\xff\xff\xff"
    whole[4:8] = b"\xff\xff\xff\xff"
    assert heard(bytes(whole)).duration_s == pytest.approx(1.0, abs=0.01)
    assert heard(bytes(whole[:8044])).duration_s == pytest.approx(0.5, abs=0.01)


def test_too_long_is_refused() -> None:
    with pytest.raises(SoundError, match="longer than 2 s"):
        heard(pcm(16, seconds=3), max_s=2)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "neither WAV nor MP3"),
        (b"<html>404</html>", "neither WAV nor MP3"),
        (b"#EXTM3U\nhttp://10.0.0.1/x.mp3", "neither WAV nor MP3"),
        (b"OggS" + bytes(200), "neither WAV nor MP3"),
        (b"RIFF\x24\x00\x00\x00WAVE", "broken|no sound"),
        (pcm(16)[:44], "no sound"),
        (b"RIFF" + bytes(4) + b"WAVE" + bytes(500), "broken|no sound"),
        (b"ID3" + bytes(500), "broken|no sound"),
        (b"\xff\xfb" + bytes(500), "broken|no sound"),
        (wav(0x55, 0, 8000, 1, mp3()), "coded as mp3|broken"),
        (wav(1, 16, 8000, 0, bytes(1000)), "broken|makes no sense"),
        (wav(1, 16, 0, 1, bytes(1000)), "broken|makes no sense"),
        (wav(1, 16, 0xFFFFFFF, 1, bytes(1000)), "broken|makes no sense"),
        (wav(1, 16, 8000, 300, bytes(60000)), "broken|makes no sense"),
        (wav(0xFFFF, 16, 8000, 1, bytes(1000)), "coded as|broken"),
    ],
)
def test_what_is_not_played_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(SoundError, match=reason):
        heard(data)


@pytest.mark.parametrize("whole", [pcm(16, seconds=0.3), mp3(seconds=0.3), floating(), pcm(24)])
def test_mutated_files_give_sound_or_a_sound_error(whole: bytes) -> None:
    dice = random.Random(len(whole))
    outcomes = set()
    for _ in range(60):
        broken = bytearray(whole)
        for _ in range(dice.randint(1, 12)):
            broken[dice.randrange(min(len(broken), dice.choice([64, len(broken)])))] = (
                dice.randrange(256)
            )
        if dice.random() < 0.3:
            del broken[dice.randrange(len(broken)) :]
        try:
            outcomes.add(heard(bytes(broken), max_s=30).duration_s > 0)
        except SoundError:
            outcomes.add(False)
    assert outcomes <= {True, False}
    assert True in outcomes
