"""A call that a voice application runs on: it notes what is asked of it, and answers by table."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Coroutine, Sequence
from typing import Any, Self, cast

from outdial.didml.interpreter import ApplicationEnd, Limits, run_application
from outdial.didml.run.host import (
    CallIdentity,
    ConferencePlan,
    DialEnd,
    DialPlan,
    EnqueuePlan,
    FaxEnd,
    Fetched,
    Host,
    Params,
    QueuePlan,
    Recognized,
    SmsEnd,
    SmsPlan,
    TakeEnd,
)
from outdial.didml.run.keys import Keys
from outdial.didml.run.outcome import DocumentRequest
from outdial.errors import FetchError, SoundError, SpeechError, UnknownLanguage
from outdial.legs import Clip, MediaLeg, PlayEnd

URL = "http://app.example.test/start.php"


def clip(name: str, duration_ms: int = 1000) -> Clip:
    return Clip(f"{name}.ul", f"{name}.al", duration_ms)


class FakeMedia:
    """Plays in no time, unless `ends` says otherwise; None in `ends` never ends."""

    def __init__(self) -> None:
        self.queued: list[tuple[str, int]] = []
        self.stopped = 0
        self.ends: list[PlayEnd | None] = []
        self.unheard: list[asyncio.Future[PlayEnd]] = []
        self.most_unheard = 0
        self.takes_time = False
        """Each play lasts its time, one after the other; an endless one never ends."""
        self._free_at = 0.0

    def queue(self, clip: Clip, loops: int = 1) -> Awaitable[PlayEnd]:
        self.queued.append((clip.ulaw_path.removesuffix(".ul"), loops))
        end = self.ends.pop(0) if self.ends else PlayEnd.FINISHED
        loop = asyncio.get_running_loop()
        heard: asyncio.Future[PlayEnd] = loop.create_future()
        self.unheard = [future for future in self.unheard if not future.done()] + [heard]
        self.most_unheard = max(self.most_unheard, len(self.unheard))
        if self.takes_time and end is PlayEnd.FINISHED:
            start = max(loop.time(), self._free_at)
            self._free_at = start + clip.duration_ms * loops / 1000
            if loops:
                loop.call_at(self._free_at, self._hear, heard, end)
        elif end is not None:
            loop.call_soon(self._hear, heard, end)
        return heard

    @staticmethod
    def _hear(heard: asyncio.Future[PlayEnd], end: PlayEnd) -> None:
        if not heard.done():
            heard.set_result(end)

    def tone(self, name: str) -> Awaitable[PlayEnd]:
        return self.queue(Clip(f"({name})", "", 500))

    def send_digits(self, digits: str) -> Awaitable[PlayEnd]:
        return self.queue(Clip(f"digits {digits}", "", 200 * len(digits)))

    def stop_playing(self) -> None:
        self.stopped += 1
        self._free_at = 0.0


class FakeTake:
    """A recording; `complete` ends it."""

    def __init__(self, sid: str, *, has_sound: bool = True) -> None:
        self.sid = sid
        self.error = ""
        self._has_sound = has_sound
        self.url = f"http://outdial.test/v1/recordings/{sid}.wav"
        self.did: list[str] = []
        self.unplayable = False
        self._end: asyncio.Future[TakeEnd] = asyncio.get_running_loop().create_future()
        self._began = asyncio.get_running_loop().time()

    def complete(self) -> None:
        """It is on disk, or has failed."""
        if not self._end.done():
            ms = round((asyncio.get_running_loop().time() - self._began) * 1000)
            self._end.set_result(TakeEnd(ms, not self._has_sound, self.error))

    def stop(self) -> None:
        self.did.append("stop")
        self.complete()

    async def end(self) -> TakeEnd:
        return await asyncio.shield(self._end)

    async def keep(self) -> None:
        self.did.append("keep")

    async def discard(self) -> None:
        self.did.append("discard")

    async def clip(self) -> Clip:
        if self.unplayable:
            raise SoundError("the recording cannot be read")
        return clip(self.sid)


class FakeListening:
    """Hears what the person says while it listens."""

    def __init__(self, host: FakeHost, hints: Sequence[str], silence_s: float) -> None:
        self.hints = hints
        self.silence_s = silence_s
        self.stopped = False
        self._host = host
        self._begun = asyncio.Event()
        self._said = ""

    def speak(self, words: str) -> None:
        if not self.stopped and not self._begun.is_set():
            self._said = words
            self._begun.set()

    async def begun(self) -> None:
        await self._begun.wait()

    async def heard(self) -> Recognized:
        await self._begun.wait()
        await asyncio.sleep(self.silence_s)
        if self._said == DEFECT:
            raise SpeechError("the helper process died")
        known = self._said in self.hints
        return Recognized(self._said if known else "", 0.87 * known, self._host.unknown_hints)

    def stop(self) -> None:
        self.stopped = True


DEFECT = "(the recogniser dies)"
"""What is said."""
NOTHING = "(empty)"
"""A document without a byte that would say anything."""


class FakeFax:
    """A fax under way; the test says how it ends."""

    def __init__(self) -> None:
        self.url = "https://outdial.test/v1/faxes/FX1.pdf"
        self.stopped = 0
        self.over: asyncio.Future[FaxEnd] = asyncio.get_running_loop().create_future()

    def stop(self) -> None:
        self.stopped += 1

    async def end(self) -> FaxEnd:
        return await asyncio.shield(self.over)


class FakeHost:
    """Documents, sounds and Dial ends by table."""

    def __init__(self, **documents: str | FetchError) -> None:
        self.fake_media = FakeMedia()
        self.documents: dict[str, str | FetchError] = dict(documents)
        self.clips: dict[str, list[Clip]] = {}
        self.unspeakable: set[str] = set()
        """Languages that the engine does not have."""
        self.broken_languages: set[str] = set()
        """Those in which it fails."""
        self.sounds: dict[str, Clip | FetchError | SoundError] = {}
        self.dial_end = DialEnd("no-answer", "CAb")
        self.fetched: list[tuple[str, str, tuple[tuple[str, str], ...]]] = []
        self.notified: list[tuple[str, str]] = []
        self.spoken: list[tuple[str, str, str]] = []
        self.dialled: list[DialPlan] = []
        self.met: list[ConferencePlan | QueuePlan | EnqueuePlan] = []
        self.notes: list[tuple[str, dict[str, Any]]] = []
        self.sources_open = 0
        self.call = CallIdentity("CA1", "12025550123", "12025550100", "Ann")
        self.takes: list[FakeTake] = []
        self.says: list[float] = []
        """Seconds of speech on each take."""
        self.orders: list[tuple[float, float]] = []
        """Longest time and silence of each take."""
        self.whole_recordings = 0
        self.told: list[tuple[str, str, dict[str, str]]] = []
        """Notifications with their parameters."""
        self.texts: list[tuple[SmsPlan, float]] = []
        self.fax: FakeFax | None = None
        self.text_end = SmsEnd("SM1", "queued")
        self.postcalls: list[tuple[str, str]] = []
        self.afterwards: list[asyncio.Task[None]] = []
        self.answers = 0
        """How often a verb that needs audio asked for the answer."""
        self.picks_up = True
        self.deaf = ""
        """Why no speech is recognised."""
        self.unknown_hints: tuple[str, ...] = ()
        self.ears: list[FakeListening] = []
        self.languages: list[str] = []
        self.keys = Keys(lambda: asyncio.get_running_loop().time())

    @property
    def media(self) -> MediaLeg:
        return cast(MediaLeg, self.fake_media)

    async def answer(self) -> bool:
        self.answers += 1
        return self.picks_up

    async def fetch(self, url: str, method: str, extra: Params = ()) -> Fetched:
        self.fetched.append((url, method, tuple(extra)))
        name = url.rpartition("/")[2].partition(".")[0]
        document = self.documents.get(name, FetchError("status", "404 Not Found", 404))
        if isinstance(document, FetchError):
            raise document
        body = f"<Response>{document}</Response>".encode() if document != NOTHING else b" \n"
        return Fetched(url, 200, "text/xml", body)

    def notify(self, url: str, method: str, extra: Params = ()) -> None:
        self.notified.append((url, method))
        self.told.append((url, method, dict(extra)))

    async def speak(self, text: str, voice: str, language: str) -> AsyncIterator[Clip]:
        self.spoken.append((text, voice, language))
        self.sources_open += 1
        try:
            if language in self.unspeakable:
                raise UnknownLanguage(f"no language {language}")
            if language in self.broken_languages:
                raise SpeechError("the engine failed")
            for part in self.clips.get(text, [clip(text)]):
                yield part
        finally:
            self.sources_open -= 1

    async def sound(self, url: str) -> Clip:
        sound = self.sounds.get(url, FetchError("connect", "connection refused"))
        if isinstance(sound, Clip):
            return sound
        raise sound

    async def dial(self, plan: DialPlan) -> DialEnd:
        self.dialled.append(plan)
        return self.dial_end

    async def confer(self, plan: ConferencePlan) -> DialEnd:
        self.met.append(plan)
        return self.dial_end

    async def dequeue(self, plan: QueuePlan) -> DialEnd:
        self.met.append(plan)
        return self.dial_end

    async def enqueue(self, plan: EnqueuePlan) -> None:
        self.met.append(plan)

    def deafness(self, language: str) -> str:
        self.languages.append(language)
        return self.deaf

    def listen(self, hints: Sequence[str], silence_s: float) -> FakeListening:
        self.ears.append(FakeListening(self, hints, silence_s))
        return self.ears[-1]

    def record(self, longest_s: float, silence_s: float) -> FakeTake:
        self.orders.append((longest_s, silence_s))
        speech_s = self.says.pop(0) if self.says else 0.0
        take = FakeTake(f"RE{len(self.takes) + 1}", has_sound=speech_s > 0)
        self.takes.append(take)
        lasts_s = min(longest_s, speech_s + silence_s)
        asyncio.get_running_loop().call_later(lasts_s, take.complete)
        return take

    def record_whole(self) -> None:
        self.whole_recordings += 1

    def postcall(self, url: str, method: str) -> None:
        self.postcalls.append((url, method))

    async def send_text(self, plan: SmsPlan, wait_s: float) -> SmsEnd:
        self.texts.append((plan, wait_s))
        return self.text_end

    def receive_fax(self) -> FakeFax:
        self.fax = FakeFax()
        return self.fax

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        self.afterwards.append(asyncio.get_running_loop().create_task(work))

    def note(self, kind: str, **data: str | int | float | bool | None) -> None:
        self.notes.append((kind, data))

    def press(self, digits: str, source: str = "rfc4733") -> None:
        """The person keys the digits."""
        for digit in digits:
            self.keys.press(digit, source)

    def noted(self, kind: str) -> list[dict[str, Any]]:
        """The data of the timeline's lines of that kind."""
        return [data for name, data in self.notes if name == kind]

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.notes]

    def warned(self) -> list[str]:
        """What its verbs could not do."""
        return [str(data["message"]) for kind, data in self.notes if kind == "verb.warning"]


async def run(
    host: FakeHost, request: DocumentRequest | None = None, limits: Limits | None = None
) -> ApplicationEnd:
    kept: Host = host
    return await run_application(kept, request or DocumentRequest(URL), limits)


class FastClock(asyncio.SelectorEventLoop):
    """A loop on which waiting takes no time: the clock jumps to the next timer."""

    def __init__(self) -> None:
        super().__init__()
        self._ahead = 0.0

    def time(self) -> float:
        return super().time() + self._ahead

    def _run_once(self) -> None:
        loop: Any = self
        if not loop._ready and loop._scheduled:
            self._ahead += max(0.0, loop._scheduled[0].when() - self.time())
        loop = super()
        loop._run_once()


HANG_UP = "(hangs up)"
"""Instead of keys."""


class Caller(FakeHost):
    """A call whose person keys digits, or says words, at given seconds. A prompt takes its
    second."""

    def __init__(
        self,
        document: str,
        keys: dict[float, str],
        **documents: str,
    ) -> None:
        super().__init__(start=document, **documents)
        self.words_by_second: dict[float, str] = {}
        self.by_second = keys
        self.end: ApplicationEnd | None = None
        self.seconds = 0.0
        self.fake_media.takes_time = True

    @property
    def heard(self) -> list[str]:
        """What was played, in order."""
        return [name for name, _ in self.fake_media.queued]

    def run(self) -> Self:
        """The whole call."""
        with asyncio.Runner(loop_factory=FastClock) as runner:
            runner.run(self._converse())
        return self

    def _say(self, words: str) -> None:
        for ear in self.ears:
            ear.speak(words)

    async def _converse(self) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        running = asyncio.ensure_future(run(self))
        timers = [
            loop.call_later(second, self.press, keys)
            if keys != HANG_UP
            else loop.call_later(second, running.cancel)
            for second, keys in self.by_second.items()
        ]
        timers += [
            loop.call_later(second, self._say, words)
            for second, words in self.words_by_second.items()
        ]
        await asyncio.wait([running])
        self.seconds = loop.time() - start
        if not running.cancelled():
            self.end = running.result()
        for timer in timers:
            timer.cancel()
        for take in self.takes:
            take.complete()
        await asyncio.gather(*self.afterwards)
