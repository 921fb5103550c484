"""Gather: digits keyed by the caller or a word of theirs, asked for again when none came.

Where the language's own pages are silent this does as FreeSWITCH's play_and_get_digits, whose
arguments the attributes are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from outdial.didml.run import pause, play, say
from outdial.didml.run.host import Host, Listening, Recognized
from outdial.didml.run.keys import Keys
from outdial.didml.run.outcome import CONTINUE, DocumentRequest, Goto, HangUp, Next
from outdial.didml.run.prompt import until
from outdial.didml.verbs import Gather, Pause, Play, Say
from outdial.didml.verbs.gather import SPEECH_TIMEOUT_MS
from outdial.errors import SpeechError

_RUNNERS: dict[type[Say | Play | Pause], Callable[[Any, Host], Awaitable[Next]]] = {
    Say: say.run,
    Play: play.run,
    Pause: pause.run,
}


async def run(verb: Gather, host: Host) -> Next:
    """Asks and listens, `tries` times at most. What comes of it is for `action` alone."""
    attempts = _Attempts(verb, host)
    for attempt in range(1, verb.tries + 1):
        answer = await attempts.one()
        if isinstance(answer, HangUp):
            return answer
        if answer is None:
            continue
        if isinstance(answer, str):
            told: dict[str, str | int | float] = {"result": "digits", "count": len(answer)}
            params: tuple[tuple[str, str], ...] = (("Digits", answer),)
        else:
            told = {"result": "speech", "confidence": answer.confidence}
            confidence = f"{answer.confidence:.2f}"
            params = (("SpeechResult", answer.hint), ("Confidence", confidence))
        host.note("verb.ended", verb="Gather", **told, tries=attempt)
        if not verb.action:
            return CONTINUE
        return Goto(DocumentRequest(verb.action, verb.method, params))
    nothing = "no-digits" if attempts.takes_keys else "no-speech"
    host.note("verb.ended", verb="Gather", result=nothing, tries=verb.tries)
    return CONTINUE


class _Attempts:
    """The tries of one Gather. Each gives digits, a hint, None when it failed, or HangUp when the
    audio was lost."""

    def __init__(self, verb: Gather, host: Host) -> None:
        self._verb = verb
        self._host = host
        self._keys = host.keys
        self._hears = "speech" in verb.input
        if self._hears and (deafness := host.deafness(verb.language)):
            self._hears = False
            host.note("document.warning", line=verb.line, column=0, message=f"Gather: {deafness}")
        # Who cannot be heard must have a way to answer.
        self.takes_keys = "dtmf" in verb.input or not self._hears
        self._has_warned = False
        if self.takes_keys:
            # A finish key in front of everything ended the input before, or is a slip: it would
            # only cost a try.
            self._keys.drop_leading(verb.finish_on_key)

    async def one(self) -> str | Recognized | HangUp | None:
        """Asks and listens once."""
        verb = self._verb
        is_answered = self.takes_keys and self._keys.any_waiting
        if not self._hears or is_answered:
            return (None if is_answered else await self._ask()) or await self._collect()
        silence_ms = verb.speech_timeout_ms or SPEECH_TIMEOUT_MS
        listening = self._host.listen(verb.hints, silence_ms / 1000)
        try:
            return await self._ask(listening) or await self._hear_or_collect(listening)
        finally:
            listening.stop()

    async def _ask(self, listening: Listening | None = None) -> HangUp | None:
        """Runs the verbs inside until they end, a key is pressed or somebody speaks."""
        if not self._verb.prompt:
            return None
        interruptions: list[Awaitable[None]] = []
        if self.takes_keys:
            interruptions.append(self._keys.wait())
        if listening is not None:
            interruptions.append(listening.begun())
        return await until(self._host, _prompt(self._verb, self._host), *interruptions)

    async def _collect(self) -> str | None:
        """The digits of one try; None when they are too few."""
        return await _collect(self._verb, self._keys)

    async def _hear_or_collect(self, listening: Listening) -> str | Recognized | None:
        """Takes what comes first; a key while somebody speaks is the better answer."""
        hearing = asyncio.ensure_future(self._hear(listening))
        waiting: list[asyncio.Future[Any]] = [hearing]
        if self.takes_keys:
            waiting.append(asyncio.ensure_future(self._keys.wait()))
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        if self.takes_keys and self._keys.any_waiting:
            listening.stop()
            return await self._collect()
        return hearing.result()

    async def _hear(self, listening: Listening) -> Recognized | None:
        """Waits for somebody to speak, and for what they say."""
        try:
            async with asyncio.timeout(self._verb.timeout_s):
                await listening.begun()
        except TimeoutError:
            return None
        return await self._recognize(listening)

    async def _recognize(self, listening: Listening) -> Recognized | None:
        """What was said; None, with a line on the timeline, when it was none of the hints."""
        try:
            heard = await listening.heard()
        except SpeechError as error:
            self._host.note("warning", text=f"Gather: {error}")
            return None
        if heard.unknown and not self._has_warned:
            self._has_warned = True
            named = ", ".join(repr(hint) for hint in heard.unknown[:5])
            message = f"Gather: no word is known for the hint {named}; it is never recognised"
            self._host.note("document.warning", line=self._verb.line, column=0, message=message)
        if heard.hint:
            return heard
        self._host.note("speech.unrecognized", verb="Gather", hints=len(self._verb.hints))
        return None


async def _prompt(verb: Gather, host: Host) -> HangUp | None:
    for part in verb.prompt:
        host.note("verb.started", verb=type(part).__name__, text=part.summary(), line=part.line)
        following = await _RUNNERS[type(part)](part, host)
        if isinstance(following, HangUp):
            return following
    return None


async def _collect(verb: Gather, keys: Keys) -> str | None:
    digits = ""
    while len(digits) < verb.num_digits:
        key = await keys.take(verb.timeout_s)
        if key is None or key == verb.finish_on_key:
            break
        digits += key
    return digits if len(digits) >= verb.min_digits else None
