"""Both eSpeak NG engines, really speaking."""

from __future__ import annotations

import audioop
import importlib.util
import os
import shutil
from collections.abc import Iterator

import pytest

from outdial.errors import SpeechError
from outdial.speech import synthesizers
from outdial.speech.synthesizers import PROGRAM, WHEEL, EspeakProgram, EspeakWheel, Synthesizer
from outdial.speech.voices import voice_name

HAVE_PROGRAM = shutil.which("espeak-ng") is not None
HAVE_WHEEL = importlib.util.find_spec("espeakng_loader") is not None


@pytest.fixture(
    params=[
        pytest.param(PROGRAM, marks=pytest.mark.skipif(not HAVE_PROGRAM, reason="no espeak-ng")),
        pytest.param(WHEEL, marks=pytest.mark.skipif(not HAVE_WHEEL, reason="no espeakng-loader")),
    ],
    scope="module",
)
def engine(request: pytest.FixtureRequest) -> Iterator[Synthesizer]:
    made = synthesizers.make(request.param)
    yield made
    made.close()


def seconds(made: tuple[int, bytes]) -> float:
    rate_hz, pcm = made
    return len(pcm) / 2 / rate_hz


def test_speaks(engine: Synthesizer) -> None:
    rate_hz, pcm = engine.synthesize("Your pin is 8 9 70.", "en-us+f3", 150)
    assert rate_hz == 22050
    assert 1.5 < seconds((rate_hz, pcm)) < 4.0
    assert audioop.rms(pcm, 2) > 1000


def test_rate_matters(engine: Synthesizer) -> None:
    slow, fast = (
        seconds(engine.synthesize("one two three four five six", "en-us", wpm))
        for wpm in (100, 300)
    )
    assert slow > 1.6 * fast


def test_voices_differ(engine: Synthesizer) -> None:
    said = {engine.synthesize("hello", voice, 150)[1] for voice in ("en-us+m3", "en-us+f3", "es")}
    assert len(said) == 3


@pytest.mark.parametrize(
    "text",
    [
        "<speak><break time='60s'/>hi</speak>",
        "a & b < c > d &amp; &#x41;",
        "-w /tmp/file --path=/x",
        '"quoted" $(reboot) `id` ; rm',
        "e\u0301\u200d\u202e\ufeff é 漢字 🎉",
        "x" * 200,
    ],
)
def test_odd_text_is_just_spoken(engine: Synthesizer, text: str) -> None:
    assert 0.1 < seconds(engine.synthesize(text, "en-us", 200)) < 45


def test_markup_is_not_obeyed(engine: Synthesizer) -> None:
    plain = seconds(engine.synthesize("hi", "en-us", 150))
    assert seconds(engine.synthesize("<break time='30s'/> hi", "en-us", 150)) < plain + 12


def test_describes_itself(engine: Synthesizer) -> None:
    version, languages = engine.describe()
    assert version[0].isdigit()
    assert {"en-us", "en-gb", "es", "es-419", "fr-fr", "de", "hi", "pt-br", "cmn"} <= set(languages)
    assert languages["en-us"] == "gmw/en-US"
    assert languages["es-mx"] == languages["es-419"]


@pytest.mark.parametrize("language", ["en", "en-GB", "es", "fr", "de", "hi", "zh", "pt"])
def test_man_and_woman_differ_in_every_language(engine: Synthesizer, language: str) -> None:
    languages = engine.describe()[1]
    man, woman = (
        engine.synthesize("8 9 70", voice_name(voice, language, languages), 150)[1]
        for voice in ("man", "woman")
    )
    assert man != woman


def test_unknown_voice(engine: Synthesizer) -> None:
    with pytest.raises(SpeechError):
        engine.synthesize("hello", "nosuch", 150)
    assert engine.synthesize("hello", "en-us", 150)[1]


@pytest.mark.skipif(not HAVE_WHEEL, reason="no espeakng-loader")
def test_wheel_process_is_replaced_when_it_dies_and_ended_at_the_end() -> None:
    engine = EspeakWheel()
    engine.synthesize("hello", "en-us", 150)
    process = engine._process
    assert process is not None
    process.kill()
    process.wait()
    assert engine.synthesize("hello", "en-us", 150)[1]
    last = engine._process
    assert last is not None and last.pid != process.pid
    engine.close()
    assert not os.path.exists(f"/proc/{last.pid}")


@pytest.mark.skipif(not HAVE_WHEEL, reason="no espeakng-loader")
def test_wheel_stays_out_of_our_process() -> None:
    engine = EspeakWheel()
    engine.synthesize("hello", "en-us", 150)
    with open("/proc/self/maps") as maps:
        assert "espeak" not in maps.read()
    engine.close()


def test_program_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(SpeechError, match="apt install espeak-ng"):
        EspeakProgram()
