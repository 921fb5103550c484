"""MP3 files as people have them, played: every rate, variable bit rates, tags, broken ones."""

from __future__ import annotations

import contextlib
import io
import os
import random
import struct
from functools import lru_cache

import av
import numpy as np
import pytest

from outdial.errors import SoundError
from outdial.speech.decoder import decode
from outdial.testing.audio import Sound, active_s, tone_share

HZ = 700.0


@lru_cache
def mp3(
    rate_hz: int = 44_100,
    channels: int = 2,
    seconds: float = 1.0,
    bit_rate: int = 64_000,
    **options: str,
) -> bytes:
    """By LAME, with the Xing or LAME frame and the tags that people's tools write."""
    times = np.arange(round(rate_hz * seconds)) / rate_hz
    wave = np.round(12_000 * np.sin(2 * np.pi * HZ * times)).astype("<i2")
    data = np.repeat(wave, channels).tobytes()
    target = io.BytesIO()
    with av.open(target, "w", format="mp3", options={"id3v2_version": "3"}) as container:
        container.metadata["title"] = "Grüße"
        stream = container.add_stream("libmp3lame", rate=rate_hz, options=dict(options))
        assert isinstance(stream, av.AudioStream)
        stream.layout = "stereo" if channels == 2 else "mono"
        stream.bit_rate = bit_rate
        frame = av.AudioFrame("s16", stream.layout.name, len(wave))
        frame.sample_rate = rate_hz
        plane = frame.planes[0]
        plane.update(data + bytes(plane.buffer_size - len(data)))
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return target.getvalue()


def heard(data: bytes, max_s: float = 60) -> Sound:
    return Sound(np.frombuffer(b"".join(decode(data, max_s)), "<i2") / 32_768, 8000)


def is_the_tone(sound: Sound, seconds: float = 1.0) -> None:
    assert sound.duration_s == pytest.approx(seconds, abs=0.2)
    assert tone_share(sound.cut(0.2, seconds - 0.2), HZ) > 0.9


def tag(size: int, claimed: int = -1) -> bytes:
    """An ID3v2 tag with a picture in it, in which sync words of MPEG frames stand."""
    body = (b"APIC" + struct.pack(">IH", size, 0) + b"\xff\xfb\x90\x64" * (size // 4))[:size]
    size = size if claimed < 0 else claimed
    safe = bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\x00\x00" + safe + body


# ------------------------------------------------------------------ as they are


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    "rate_hz", [48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8000]
)
def test_every_rate_of_mpeg_1_2_and_2_5(rate_hz: int, channels: int) -> None:
    is_the_tone(heard(mp3(rate_hz, channels, bit_rate=32_000)))


@pytest.mark.parametrize(
    "options",
    [{"abr": "1"}, {"flags": "+qscale", "global_quality": "472"}, {"reservoir": "0"}],
    ids=["average", "variable", "without a reservoir"],
)
def test_every_kind_of_bit_rate(options: dict[str, str]) -> None:
    is_the_tone(heard(mp3(seconds=2.0, bit_rate=128_000, **options)), 2.0)


def test_tags_are_not_heard() -> None:
    plain = mp3()
    for data in (
        tag(200_000) + plain,
        tag(10) + tag(10) + plain,
        plain + b"TAG" + bytes(125),
        plain + b"APETAGEX" + struct.pack("<6I", 2000, 32, 0, 0, 0, 0),
    ):
        is_the_tone(heard(data))


def test_one_side_alone_is_heard() -> None:
    is_the_tone(heard(mp3(channels=1)))
    is_the_tone(heard(mp3(channels=2)))


def test_files_put_one_behind_the_other_are_heard_one_behind_the_other() -> None:
    """As applications do that join what speech services give them."""
    joined = mp3(22_050, 1) + mp3(44_100, 2) + mp3(22_050, 1)
    sound = heard(joined)
    assert active_s(sound) == pytest.approx(3.0, abs=0.4)
    assert tone_share(sound, HZ) > 0.8


# ------------------------------------------------------------------ as they should not be


@pytest.mark.parametrize("share", [0.999, 0.5, 0.1])
def test_what_was_cut_off_is_heard_as_far_as_it_goes(share: float) -> None:
    whole = mp3(seconds=3.0, reservoir="0")
    sound = heard(whole[: round(len(whole) * share)])
    assert sound.duration_s == pytest.approx(3.0 * share, abs=0.25)


@pytest.mark.parametrize(
    "data",
    [
        b"ID3",
        tag(100),
        tag(100, claimed=(1 << 28) - 1),
        tag(100, claimed=(1 << 28) - 1) + mp3(),
        b"\xff\xfb\x90\x64",
        b"\xff\xfb\x90\x64" * 2000,
        b"\xff\xfb" + bytes(5000),
        b"\xff\xff" * 5000,
        mp3()[:60],
        b"ID3" + b"\xff" * 100_000,
    ],
)
def test_hostile_files_are_refused_or_silent(data: bytes) -> None:
    with contextlib.suppress(SoundError):
        assert heard(data).duration_s < 30


def test_noise_between_frames_does_not_end_the_sound() -> None:
    whole = mp3(seconds=3.0, reservoir="0")
    middle = len(whole) // 2
    sound = heard(whole[:middle] + os.urandom(5000) + whole[middle:])
    assert active_s(sound) == pytest.approx(3.0, abs=0.5)


def test_mutated_files_give_sound_or_a_sound_error() -> None:
    chance = random.Random(4)
    for options in ({"abr": "1"}, {"reservoir": "0"}):
        whole = mp3(24_000, 1, 0.5, **options)
        for _ in range(150):
            data = bytearray(whole)
            for _ in range(chance.choice((1, 10, 200))):
                data[chance.randrange(len(data))] = chance.randrange(256)
            with contextlib.suppress(SoundError):
                assert heard(bytes(data), 30).duration_s <= 30


def test_a_file_of_ten_megabytes() -> None:
    short = mp3(seconds=10.0, bit_rate=320_000, reservoir="0")
    data = (short * (10_000_000 // len(short) + 1))[:10_000_000]
    sound = heard(data, 1800)
    assert sound.duration_s == pytest.approx(250, rel=0.05)
    with pytest.raises(SoundError, match="longer than 20 s"):
        heard(data, 20)
