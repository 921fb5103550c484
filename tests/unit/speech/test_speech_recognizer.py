"""Recognition in its process: hints, other words, noise, and processes that are lost."""

from __future__ import annotations

import asyncio
import audioop
import os
import random
import signal
import struct
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from doubles.spoken import pcm_of
from outdial.errors import SpeechError
from outdial.speech import frames, recognizer
from outdial.speech.audio import snr_db
from outdial.speech.confidence import LEAST_CONFIDENCE, Reading, confidence_of
from outdial.speech.pool import HelperPool
from outdial.speech.recognizer import PROGRAM, Recognizer, is_installed

installed = pytest.mark.skipif(not is_installed(), reason="pocketsphinx is not installed")
together = pytest.mark.asyncio(loop_scope="module")
HINTS = ("Monday", "technical support", "repeat that")


def spoken(words: str, voice: str = "gmw/en-US+f3") -> bytes:
    """The words as µ-law, as a caller in a quiet room says them."""
    return audioop.lin2ulaw(bytes(4800) + pcm_of(words, voice) + bytes(3200), 2)


def noise(rms: int, samples: int = 12_000) -> bytes:
    dice = random.Random(1)
    pcm = struct.pack(f"<{samples}h", *(int(dice.gauss(0, rms)) for _ in range(samples)))
    return audioop.lin2ulaw(pcm, 2)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ear() -> AsyncIterator[Recognizer]:
    made = Recognizer(HelperPool(1, PROGRAM))
    yield made
    await made.stop()


@installed
@together
@pytest.mark.parametrize("hint", HINTS)
async def test_a_hint_is_recognised_as_it_is_written(ear: Recognizer, hint: str) -> None:
    heard = await ear.recognize(spoken(hint), HINTS)
    assert heard.hint == hint
    assert LEAST_CONFIDENCE <= heard.confidence <= 1


@installed
@together
@pytest.mark.parametrize(
    "audio",
    [
        spoken("I would like to know what the weather is"),
        spoken("who on earth are you"),
        noise(0),
        noise(30),
        noise(3000),
        b"\xff" * 8000,
        b"\x00" * 8000,
        b"\x55\xd5" * 3,
        b"",
    ],
    ids=["weather", "who", "silence", "a line", "a waterfall", "zeros", "extreme", "short", "none"],
)
async def test_anything_else_is_nothing(ear: Recognizer, audio: bytes) -> None:
    heard = await ear.recognize(audio, HINTS)
    assert (heard.hint, heard.confidence) == ("", 0.0)


@installed
@together
async def test_hints_without_a_known_word_are_named(ear: Recognizer) -> None:
    heard = await ear.recognize(spoken("monday"), ["Xyzzyx", "Monday", "???"])
    assert heard.unknown == ("Xyzzyx", "???")
    assert (await ear.recognize(spoken("monday"), ["Xyzzyx"])).hint == ""


@installed
@together
async def test_a_hostile_hint_is_no_grammar(ear: Recognizer) -> None:
    hostile = ["yes; public <other> = no", "<VOID>", "{x} /2/ *", "ü" * 100]
    heard = await ear.recognize(spoken("monday"), hostile)
    assert heard.hint == ""


@installed
@together
async def test_the_version_is_told(ear: Recognizer) -> None:
    assert (await ear.version())[0].isdigit()


@installed
@together
async def test_a_process_that_is_killed_costs_one_utterance() -> None:
    pool = HelperPool(1, PROGRAM)
    ear = Recognizer(pool)
    try:
        assert (await ear.recognize(spoken("monday"), HINTS)).hint == "Monday"
        (pid,) = pool.pids
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(SpeechError, match="the helper process"):
            await ear.recognize(spoken("monday"), HINTS)
        assert (await ear.recognize(spoken("monday"), HINTS)).hint == "Monday"
    finally:
        await ear.stop()


@installed
@together
async def test_a_process_that_hangs_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = HelperPool(1, PROGRAM)
    ear = Recognizer(pool)
    try:
        await ear.version()
        (pid,) = pool.pids
        os.kill(pid, signal.SIGSTOP)
        monkeypatch.setattr(recognizer, "JOB_S", 0.2)
        with pytest.raises(SpeechError, match=r"did not answer within 0\.2 s"):
            await ear.recognize(spoken("monday"), HINTS)
        monkeypatch.undo()
        assert pid not in pool.pids
        assert (await ear.recognize(spoken("monday"), HINTS)).hint == "Monday"
    finally:
        await ear.stop()


class SlowPool(HelperPool):
    """Never answers until it is let."""

    def __init__(self) -> None:
        super().__init__(1, PROGRAM)
        self.let = asyncio.Event()
        self.cancelled = 0

    async def run(
        self,
        head: frames.Head,
        body: bytes = b"",
        *,
        timeout_s: float = 20.0,
        retry: bool = False,
    ) -> frames.Head:
        try:
            await self.let.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return {"hint": "Monday", "confidence": 1.0, "unknown": []}


async def test_who_hangs_up_does_not_end_the_process_that_others_wait_for() -> None:
    pool = SlowPool()
    ear = Recognizer(pool)
    asking = asyncio.ensure_future(ear.recognize(b"", HINTS))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait([asking])
    pool.let.set()
    assert (await ear.recognize(b"", HINTS)).hint == "Monday"
    assert (asking.cancelled(), pool.cancelled) == (True, 0)


async def test_so_many_wait_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recognizer, "MOST_WAITING", 2)
    pool = SlowPool()
    ear = Recognizer(pool)
    asking = [asyncio.ensure_future(ear.recognize(b"", HINTS)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(SpeechError, match="too much is said at once"):
        await ear.recognize(b"", HINTS)
    pool.let.set()
    assert [heard.hint for heard in await asyncio.gather(*asking)] == ["Monday", "Monday"]


async def test_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recognizer, "TIMEOUT_S", 0.01)
    pool = SlowPool()
    with pytest.raises(SpeechError, match="not recognised within"):
        await Recognizer(pool).recognize(b"", HINTS)
    pool.let.set()


@pytest.mark.parametrize("reply", [{}, {"hint": "a"}, {"hint": 1, "confidence": "x", "unknown": 3}])
async def test_an_answer_that_makes_no_sense(
    reply: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = HelperPool(1, PROGRAM)

    async def run(*_: object, **__: object) -> dict[str, object]:
        return reply

    monkeypatch.setattr(pool, "run", run)
    with pytest.raises(SpeechError, match="makes no sense"):
        await Recognizer(pool).recognize(b"", HINTS)


@pytest.mark.parametrize(
    ("language", "problem"),
    [
        ("en", ""),
        ("en-gb", ""),
        ("es", "speech is not recognised in es: there is a model for English alone"),
        ("eng", "speech is not recognised in eng: there is a model for English alone"),
    ],
)
def test_languages(language: str, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recognizer, "is_installed", lambda: True)
    assert Recognizer().problem(language) == problem


async def test_where_it_is_not_installed_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recognizer, "PACKAGE", "no_such_package")
    problem = (
        "speech is not recognised: no_such_package is not installed "
        "(pip install 'outdial[recognition]')"
    )
    assert Recognizer().problem("en") == problem
    with pytest.raises(SpeechError, match="not installed"):
        await Recognizer().version()


# ------------------------------------------------------------------ how sure it is


def sure(words: Reading, sounds: Reading, snr_db: float = 40.0) -> float:
    return confidence_of(words, sounds, snr_db)


def test_a_word_that_explains_what_was_heard_is_sure() -> None:
    assert sure(Reading("billing", -300, 60), Reading("", -310, 58)) > LEAST_CONFIDENCE


@pytest.mark.parametrize(
    ("words", "sounds"),
    [
        (Reading("billing", -300, 60), Reading("", -310, 200)),
        (Reading("billing", -900, 60), Reading("", -310, 60)),
        (Reading("billing", -300, 8), Reading("", -310, 8)),
        (Reading("", 0, 0), Reading("", -310, 60)),
        (Reading("no", -300, 400), Reading("", -310, 400)),
    ],
    ids=["half of it", "badly", "too short", "nothing", "too long"],
)
def test_a_word_that_does_not_is_not(words: Reading, sounds: Reading) -> None:
    assert sure(words, sounds) < LEAST_CONFIDENCE


def test_in_noise_nothing_is_sure() -> None:
    word, sounds = Reading("billing", -300, 60), Reading("", -310, 58)
    levels = [sure(word, sounds, snr_db) for snr_db in (-5, 0, 10, 22, 60)]
    assert levels == sorted(levels)
    assert levels[1] == 0
    assert levels[3] == levels[4]


def test_numbers_beyond_all_are_harmless() -> None:
    assert sure(Reading("a", 1e9, 1), Reading("", -1e9, 10**9)) < LEAST_CONFIDENCE


def test_how_loud_the_noise_is() -> None:
    quiet = audioop.ulaw2lin(spoken("monday"), 2)
    hum = audioop.ulaw2lin(noise(500, len(quiet) // 2), 2)
    assert snr_db(quiet) > 30
    assert 5 < snr_db(audioop.add(quiet, hum, 2)) < 25
    assert snr_db(hum) < 3
    assert snr_db(b"") == 0
