"""Recordings as MP3: what is heard, where each byte is, and what it costs."""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import av
import numpy as np
import pytest

from outdial.errors import SoundError
from outdial.media.core import pcm
from outdial.speech import decoder, mp3
from outdial.speech.mp3 import PART_FRAMES, Mp3Busy, Mp3s
from outdial.speech.mp3_shape import FRAME_SAMPLES, Shape
from outdial.speech.pool import HelperPool
from outdial.testing import audio

RATE_HZ = 8000
LATE_S = 0.07
"""How much later a decoded sound may be: the coder's delay."""


def wav(samples: bytes, channels: int) -> bytes:
    """As the media workers write them."""
    frame = 2 * channels
    return (
        struct.pack(
            "<4sI4s4sIHHIIHH4sI",
            *(b"RIFF", 36 + len(samples), b"WAVE", b"fmt ", 16, 1, channels),
            *(RATE_HZ, RATE_HZ * frame, frame, 16, b"data", len(samples)),
        )
        + samples
    )


def tone(hz: float, seconds: float) -> bytes:
    return audio.wav(audio.tone(hz, seconds=seconds))[44:]


def keep(folder: Path, samples: bytes, channels: int = 1) -> tuple[Path, Shape]:
    path = folder / f"RE{channels}{len(samples)}.wav"
    path.write_bytes(wav(samples, channels))
    return path, Shape.of_wav(path.read_bytes()[:44], path.stat().st_size)


@pytest.fixture
async def mp3s() -> AsyncIterator[Mp3s]:
    pool = HelperPool(2)
    made = Mp3s(pool)
    yield made
    await made.stop()
    await pool.stop()


async def fetch(mp3s: Mp3s, path: Path, shape: Shape, start: int = 0, end: int = -1) -> bytes:
    end = shape.size_bytes if end < 0 else end
    return b"".join([chunk async for chunk in mp3s.chunks(path, shape, start, end)])


def heard(data: bytes) -> audio.Sound:
    return audio.read_mono(wav(b"".join(decoder.decode(data, 7200)), 1))


# ------------------------------------------------------------------------ what is heard


async def test_what_was_said_is_heard_from_its_beginning_to_its_end(
    mp3s: Mp3s, tmp_path: Path
) -> None:
    said = tone(700, 1.0) + bytes(RATE_HZ) + tone(1100, 1.0)
    path, shape = keep(tmp_path, said)
    sound = heard(await fetch(mp3s, path, shape))
    assert audio.tone_share(sound.cut(0.1, 1.0), 700) > 0.95
    assert audio.active_s(sound.cut(1.0 + LATE_S + 0.03, 1.45)) == 0
    assert audio.tone_share(sound.cut(1.7, 2.5), 1100) > 0.95
    start, end = audio.speech_span(sound) or (0.0, 0.0)
    assert 0 <= start <= LATE_S
    assert end == pytest.approx(2.5 + LATE_S, abs=0.05)


async def test_the_two_sides_stay_apart(mp3s: Mp3s, tmp_path: Path) -> None:
    path, shape = keep(tmp_path, pcm.stereo(tone(700, 1.0), tone(1100, 1.0)), 2)
    mp3_path = tmp_path / "both.mp3"
    mp3_path.write_bytes(await fetch(mp3s, path, shape))
    with av.open(str(mp3_path), format="mp3") as container:
        sides = np.concatenate([f.to_ndarray() for f in container.decode(audio=0)], axis=1)
    far, near = (audio.Sound(side, RATE_HZ).cut(0.2, 0.9) for side in sides)
    assert audio.tone_share(far, 700) > 0.95
    assert audio.tone_share(near, 1100) > 0.95


@pytest.mark.parametrize("channels", [1, 2])
async def test_where_two_parts_meet_nothing_is_heard(
    mp3s: Mp3s, tmp_path: Path, channels: int
) -> None:
    seam_s = PART_FRAMES * FRAME_SAMPLES / RATE_HZ
    said = tone(700, seam_s + 3)
    path, shape = keep(tmp_path, pcm.stereo(said, said) if channels == 2 else said, channels)
    assert shape.frames > PART_FRAMES
    sound = heard(await fetch(mp3s, path, shape))
    for at in (seam_s - 1, seam_s - 0.1, seam_s, seam_s + 0.1, seam_s + 1):
        assert audio.tone_share(sound.cut(at - 0.05, at + 0.05), 700) > 0.97, at


@pytest.mark.parametrize("samples", [0, 1, 575, 576, 577, 8000])
async def test_the_shortest_recordings(mp3s: Mp3s, tmp_path: Path, samples: int) -> None:
    path, shape = keep(tmp_path, bytes(2 * samples))
    data = await fetch(mp3s, path, shape)
    assert len(data) == shape.size_bytes
    assert len(b"".join(decoder.decode(data, 10))) >= 2 * samples


# ------------------------------------------------------------------------ where each byte is


async def test_any_range_has_the_bytes_that_the_whole_has_there(mp3s: Mp3s, tmp_path: Path) -> None:
    part_bytes = PART_FRAMES * 288
    path, shape = keep(tmp_path, os.urandom(2 * FRAME_SAMPLES * (PART_FRAMES + 200)))
    whole = await fetch(mp3s, path, shape)
    assert len(whole) == shape.size_bytes
    assert {whole[at : at + 3] for at in range(0, len(whole), 288)} == {b"\xff\xe3\x48"}
    for start, end in (
        (0, 1),
        (287, 289),
        (part_bytes - 1, part_bytes + 1),
        (part_bytes, part_bytes + 288),
        (shape.size_bytes - 1, shape.size_bytes),
        (100, shape.size_bytes - 100),
    ):
        mp3s.forget(path)
        assert await fetch(mp3s, path, shape, start, end) == whole[start:end]


async def test_a_part_that_was_just_made_is_not_made_again(
    mp3s: Mp3s, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, shape = keep(tmp_path, tone(700, 1.0))
    first = await fetch(mp3s, path, shape)

    async def never(*_: object, **__: object) -> bytes:
        raise AssertionError("it is kept")

    monkeypatch.setattr(mp3s._pool, "fetch", never)
    assert await fetch(mp3s, path, shape) == first
    mp3s.forget(path)
    with pytest.raises(AssertionError):
        await fetch(mp3s, path, shape)


async def test_no_more_is_kept_than_a_little(
    mp3s: Mp3s, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mp3, "_PARTS_KEPT", 2)
    for number in range(4):
        path, shape = keep(tmp_path, bytes(2 * 576 * number))
        await fetch(mp3s, path, shape)
    assert len(mp3s._kept) == 2


# ------------------------------------------------------------------------ what goes wrong


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"RIFF",
        bytes(44),
        wav(b"", 1)[:20] + b"\x03" + wav(b"", 1)[21:],
        wav(b"", 3),
        wav(b"", 1).replace(struct.pack("<I", 8000), struct.pack("<I", 16000)),
    ],
)
def test_what_is_not_a_recording_of_ours_is_refused(head: bytes) -> None:
    with pytest.raises(SoundError):
        Shape.of_wav(head, 44)


@pytest.mark.parametrize(("said", "there"), [(1 << 30, 576), (576, 1 << 20), (577, 1000)])
def test_of_header_and_file_the_shorter_counts(said: int, there: int) -> None:
    head = wav(b"", 1)[:40] + struct.pack("<I", 2 * said)
    shape = Shape.of_wav(head, 44 + 2 * there)
    assert shape.frames == -(-min(said, there) // 576) + 1 >= 2


async def test_a_file_that_is_gone_or_a_link_is_an_error(mp3s: Mp3s, tmp_path: Path) -> None:
    path, shape = keep(tmp_path, tone(700, 0.5))
    link = tmp_path / "RElink.wav"
    link.symlink_to(path)
    for place in (tmp_path / "RE9.wav", link):
        with pytest.raises(SoundError, match="cannot read the recording"):
            await fetch(mp3s, place, shape)


async def test_a_file_that_became_shorter_ends_in_silence(mp3s: Mp3s, tmp_path: Path) -> None:
    path, shape = keep(tmp_path, tone(700, 2.0))
    os.truncate(path, 44 + 2 * RATE_HZ + 1)
    data = await fetch(mp3s, path, shape)
    assert len(data) == shape.size_bytes
    assert audio.active_s(heard(data)) == pytest.approx(1.0, abs=0.1)


async def test_too_many_at_once_are_refused_and_others_are_made_once(
    mp3s: Mp3s, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mp3, "MOST_WAITING", 2)
    kept = [keep(tmp_path, bytes(2 * 576 * number)) for number in range(3)]
    same = [fetch(mp3s, *kept[0]) for _ in range(5)]
    results = await asyncio.gather(
        *same, *(fetch(mp3s, *one) for one in kept[1:]), return_exceptions=True
    )
    assert isinstance(results.pop(), Mp3Busy)
    assert all(isinstance(result, bytes) for result in results)
    assert await fetch(mp3s, *kept[2])


async def test_who_goes_away_in_the_middle_costs_no_helper(mp3s: Mp3s, tmp_path: Path) -> None:
    path, shape = keep(tmp_path, tone(700, 5.0))
    await fetch(mp3s, *keep(tmp_path, b""))
    pids = mp3s._pool.pids
    asking = asyncio.ensure_future(fetch(mp3s, path, shape))
    for _ in range(5):
        await asyncio.sleep(0)
    assert mp3s._pool.is_working
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert await fetch(mp3s, path, shape)
    assert mp3s._pool.pids == pids
