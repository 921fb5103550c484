"""Text to prompts: the engine chosen, text in pieces, each piece made once and kept.

Synthesis runs in helper processes (`pool`, `helper`); this module decides what to make and waits.
"""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
from collections.abc import AsyncIterator, Mapping

from outdial import config
from outdial.errors import SpeechError
from outdial.frozen import frozen
from outdial.legs import Clip
from outdial.speech import frames, synthesizers, voices
from outdial.speech.cache import ClipCache, key_of
from outdial.speech.flights import Flights
from outdial.speech.pool import HelperLost, HelperPool, JobRefused
from outdial.speech.text import clean, split

MAX_TEXT = 10_000
"""Characters; more raise SpeechError."""
_SOUND_VERSION = "1"
"""Part of every key: to be changed when `audio` makes something different of the same text."""


@frozen
class Engine:
    """What speaks."""

    name: str
    """espeak-ng or espeakng-loader."""
    version: str
    languages: Mapping[str, str]
    """Voice files by tag in lower case."""


class Speech:
    """Speaks. One for the whole program; `start` and `stop` it.

    `pool` and `cache` are shared with `Sounds`, which does not stop them; `Speech` does not either.
    """

    def __init__(self, settings: config.Speech, cache: ClipCache, pool: HelperPool) -> None:
        self._settings = settings
        self._cache = cache
        self._pool = pool
        self._flights: Flights[str, Clip] = Flights()
        self._engine: Engine | None = None
        self._warming: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Warms a helper up without waiting for it, so that the first Say is not late."""
        self._warming = asyncio.create_task(self._warm())

    async def stop(self) -> None:
        """Gives up what is being made."""
        if self._warming is not None:
            self._warming.cancel()
            await asyncio.gather(self._warming, return_exceptions=True)
        await self._flights.stop()

    async def check(self) -> Engine:
        """The engine that speaks. Raises SpeechError saying what to install when there is none."""
        if self._engine is None:
            name = choose_engine(self._settings.engine)
            reply = await self._run({"job": "describe", "engine": name})
            self._engine = Engine(name, reply["version"], reply["languages"])
        return self._engine

    async def languages(self) -> list[str]:
        """Every tag `speak` takes as the engine spells it; regions it lacks fall back."""
        return sorted((await self.check()).languages)

    async def speak(self, text: str, voice: str = "", language: str = "") -> AsyncIterator[Clip]:
        """The text's prompts in order, each as soon as it is ready; none for silent text.

        `voice` is man or woman, `language` a tag such as es or en-GB; "" takes the settings'.
        The next piece is made while the caller plays this one. Raises SpeechError.
        """
        if len(text) > MAX_TEXT:
            raise SpeechError(f"the text is longer than {MAX_TEXT} characters")
        engine = self._engine or await self.check()
        name = voices.voice_name(
            voice or self._settings.default_voice,
            language or self._settings.default_language,
            engine.languages,
        )
        pieces = split(clean(text))
        ahead: asyncio.Future[Clip] | None = None
        for number, piece in enumerate(pieces):
            clip = await _outcome(ahead or self._begin(engine, name, piece))
            ahead = None
            if number + 1 < len(pieces):
                ahead = self._begin(engine, name, pieces[number + 1])
            yield clip

    def _begin(self, engine: Engine, voice: str, piece: str) -> asyncio.Future[Clip]:
        """The prompt of a piece: found, or being made, by this caller or another."""
        rate = str(self._settings.rate_wpm)
        key = key_of("speech", _SOUND_VERSION, engine.name, engine.version, voice, rate, piece)
        clip = self._cache.find(key)
        if clip is not None:
            ready: asyncio.Future[Clip] = asyncio.get_running_loop().create_future()
            ready.set_result(clip)
            return ready
        return self._flights.begin(key, lambda: self._make(key, engine, voice, piece))

    async def _make(self, key: str, engine: Engine, voice: str, piece: str) -> Clip:
        job: frames.Head = {
            "job": "speak",
            "engine": engine.name,
            "voice": voice,
            "rate_wpm": self._settings.rate_wpm,
            "text": piece,
            "path": self._cache.path(key),
        }
        return self._cache.add(key, (await self._run(job))["samples"])

    async def _run(self, job: frames.Head) -> frames.Head:
        try:
            return await self._pool.run(job, retry=True)
        except (JobRefused, HelperLost) as error:
            raise SpeechError(str(error)) from None

    async def _warm(self) -> None:
        try:
            await self.check()
        except SpeechError:
            return  # whoever speaks gets the error


async def _outcome(work: asyncio.Future[Clip]) -> Clip:
    """What shared work gives; its error anew, since one error object must not be raised twice."""
    try:
        return await asyncio.shield(work)
    except SpeechError as error:
        raise SpeechError(str(error)) from None


def choose_engine(setting: str) -> str:
    """The engine to use. Raises SpeechError when it is not installed."""
    program = shutil.which(synthesizers.PROGRAM) is not None
    wheel = importlib.util.find_spec("espeakng_loader") is not None
    if setting in ("auto", synthesizers.PROGRAM) and program:
        return synthesizers.PROGRAM
    if setting in ("auto", synthesizers.WHEEL) and wheel:
        return synthesizers.WHEEL
    if setting == synthesizers.PROGRAM:
        raise SpeechError(
            "the espeak-ng program is not on the path: apt install espeak-ng, "
            'or set speech.engine = "auto"'
        )
    raise SpeechError(
        "no speech engine is installed: pip install espeakng-loader, or apt install espeak-ng"
    )
