"""Speaking, whole: text in, prompts out, kept."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from outdial import config
from outdial.errors import SpeechError
from outdial.legs import Clip
from outdial.speech.cache import ClipCache
from outdial.speech.pool import HelperPool
from outdial.speech.speech import MAX_TEXT, Speech, choose_engine
from outdial.testing.audio import _ALAW_TABLE, _ULAW_TABLE, Sound, active_s, level_dbfs, similarity

LONG = (
    "Thank you for calling Outdial, the voice server that you run yourself. "
    "Please hold the line while we connect you to an agent. It will not take long."
)


class CountingPool(HelperPool):
    """Counts the jobs."""

    jobs = 0

    async def run(self, *arguments: object, **options: object) -> dict[str, object]:
        self.jobs += 1
        return await super().run(*arguments, **options)  # type: ignore[arg-type]


@pytest.fixture
async def pool() -> AsyncIterator[CountingPool]:
    made = CountingPool(2)
    yield made
    await made.stop()


@pytest.fixture
async def speech(tmp_path: Path, pool: CountingPool) -> AsyncIterator[Speech]:
    cache = ClipCache(str(tmp_path), 1 << 24)
    await cache.start()
    made = Speech(config.Speech(), cache, pool)
    await made.start()
    yield made
    await made.stop()
    await cache.stop()


async def spoken(speech: Speech, text: str, voice: str = "", language: str = "") -> list[Clip]:
    return [clip async for clip in speech.speak(text, voice, language)]


def heard(clip: Clip) -> Sound:
    return Sound(_ULAW_TABLE[np.fromfile(clip.ulaw_path, np.uint8)], 8000)


async def test_prompt_is_speech_in_both_laws(speech: Speech) -> None:
    (clip,) = await spoken(speech, "Your pin is 8 9 70. Thank you.")
    sound = heard(clip)
    assert -18.5 < level_dbfs(sound) < -15.0
    assert np.abs(sound.samples).max() < 0.99
    assert 1.5 < active_s(sound) < clip.duration_ms / 1000 < 5.0
    assert abs(sound.duration_s * 1000 - clip.duration_ms) < 1
    assert active_s(sound.cut(0, 0.1)) > 0, "it begins at once"
    other = Sound(_ALAW_TABLE[np.fromfile(clip.alaw_path, np.uint8)], 8000)
    assert np.abs(other.samples - sound.samples).max() < 0.06


async def test_man_and_woman_and_languages_differ(speech: Speech) -> None:
    kinds = list(itertools.product(("man", "woman"), ("en", "es")))
    clips = [(await spoken(speech, "Hola, adios, uno dos tres", *kind))[0] for kind in kinds]
    sounds = [heard(clip) for clip in clips]
    assert len({sound.samples.tobytes() for sound in sounds}) == 4
    for sound in sounds:
        assert -20.0 < level_dbfs(sound) < -15.0
    english, spanish = sounds[2:]
    assert similarity(english, spanish, 1.0) < 0.95


async def test_defaults_come_from_the_settings(speech: Speech) -> None:
    assert await spoken(speech, "hello") == await spoken(speech, "hello", "woman", "en")


async def test_repeated_text_is_not_made_again(speech: Speech, pool: CountingPool) -> None:
    first = await spoken(speech, "Repeated text.")
    made = pool.jobs
    assert await spoken(speech, "  Repeated\ntext. ") == first
    assert pool.jobs == made


async def test_same_text_wanted_at_once_is_made_once(speech: Speech, pool: CountingPool) -> None:
    await speech.check()
    before = pool.jobs
    clips = await asyncio.gather(*(spoken(speech, "All together now.") for _ in range(20)))
    assert pool.jobs == before + 1
    assert all(c == clips[0] for c in clips)


async def test_long_text_comes_in_pieces_with_the_next_under_way(
    speech: Speech, pool: CountingPool
) -> None:
    await speech.check()
    before = pool.jobs
    stream = speech.speak(LONG, "woman", "en")
    first = await anext(stream)
    assert pool.jobs == before + 1
    await asyncio.sleep(0)
    assert pool.jobs == before + 2, "the second is being made while the first sounds"
    rest = [clip async for clip in stream]
    assert len({first, *rest}) == 3


async def test_caller_who_leaves_harms_nobody(speech: Speech, pool: CountingPool) -> None:
    await speech.check()
    leaving = asyncio.create_task(spoken(speech, "Somebody hangs up now."))
    staying = asyncio.create_task(spoken(speech, "Somebody hangs up now."))
    await asyncio.sleep(0)
    leaving.cancel()
    assert len(await staying) == 1
    with pytest.raises(asyncio.CancelledError):
        await leaving


@pytest.mark.parametrize("text", ["", "   ", "...", "\x00\x01"])
async def test_nothing_to_say(speech: Speech, text: str) -> None:
    assert await spoken(speech, text) == []


@pytest.mark.parametrize(
    "text",
    [
        "<Say>nested</Say> & <break time='9s'/>",
        "a\x1b[2Jb\x00c \ud800",
        "[[brackets]] and {braces} \\ | ; `id`",
        "-v --stdout",
        "12345678901234567890",
        "🎉 é ñ 漢字 हिन्दी \u202e\u200d",
    ],
)
async def test_odd_text_is_harmless(speech: Speech, text: str) -> None:
    clips = await spoken(speech, text)
    assert sum(clip.duration_ms for clip in clips) > 100


async def test_too_long_text(speech: Speech) -> None:
    with pytest.raises(SpeechError, match="longer than"):
        await spoken(speech, "x" * (MAX_TEXT + 1))


async def test_unknown_language_and_voice(speech: Speech) -> None:
    with pytest.raises(SpeechError, match=r"no language 'tlh'; it has .*es"):
        await spoken(speech, "hello", "man", "tlh")
    with pytest.raises(SpeechError, match="man and woman"):
        await spoken(speech, "hello", "robot", "en")


async def test_describes_its_engine(speech: Speech) -> None:
    engine = await speech.check()
    assert engine.name in ("espeak-ng", "espeakng-loader")
    assert {"en-us", "es"} <= set(await speech.languages())


async def test_error_is_raised_anew_for_each(speech: Speech, tmp_path: Path) -> None:
    await speech.check()
    for number in range(256):
        (tmp_path / f"{number:02x}").write_text("in the way")
    failures = await asyncio.gather(
        *(spoken(speech, "nowhere to put it") for _ in range(3)), return_exceptions=True
    )
    assert all(isinstance(failure, SpeechError) for failure in failures)
    assert len({id(failure) for failure in failures}) == 3
    assert "cannot write the prompt" in str(failures[0])


async def test_new_text_sounds_within_100_ms(speech: Speech) -> None:
    await spoken(speech, "Warm up.")
    taken = []
    for number in range(5):
        started = time.perf_counter()
        await anext(speech.speak(f"Number {number}. {LONG}"))
        taken.append(time.perf_counter() - started)
    assert min(taken) < 0.1


async def test_nothing_is_left_behind(tmp_path: Path) -> None:
    pool = HelperPool(2)
    cache = ClipCache(str(tmp_path), 1 << 24)
    speech = Speech(config.Speech(), cache, pool)
    await speech.start()
    task = asyncio.create_task(spoken(speech, LONG))
    await asyncio.sleep(0.01)
    pids = pool.pids
    await speech.stop()
    await pool.stop()
    await cache.stop()
    await asyncio.gather(task, return_exceptions=True)
    assert not set(os.listdir("/proc")) & {str(pid) for pid in pids}
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_engine_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    have = {"program": True, "wheel": True}
    monkeypatch.setattr("shutil.which", lambda name: have["program"] or None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: have["wheel"] or None)
    assert choose_engine("auto") == "espeak-ng"
    assert choose_engine("espeakng-loader") == "espeakng-loader"
    have["program"] = False
    assert choose_engine("auto") == "espeakng-loader"
    with pytest.raises(SpeechError, match="apt install espeak-ng"):
        choose_engine("espeak-ng")
    have["wheel"] = False
    with pytest.raises(SpeechError, match="pip install espeakng-loader"):
        choose_engine("auto")


async def test_missing_engine_is_told_to_who_speaks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pool: CountingPool
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    speech = Speech(config.Speech(engine="espeak-ng"), ClipCache(str(tmp_path), 1 << 20), pool)
    await speech.start()
    with pytest.raises(SpeechError, match="not on the path"):
        await spoken(speech, "hello")
    await speech.stop()
