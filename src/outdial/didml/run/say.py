"""Say: speech, clip after clip without a gap."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable
from itertools import count

from outdial.didml.run.host import Host
from outdial.didml.run.outcome import CONTINUE, HangUp, Next
from outdial.didml.verbs import Say
from outdial.errors import SpeechError, UnknownLanguage
from outdial.legs import Clip, MediaLeg, PlayEnd

_QUEUED_AHEAD = 8
"""Clips on their way to the leg: enough never to leave a gap, few enough to bound a long text."""


class _Player:
    """Queues clips on a leg, a few ahead of what is heard."""

    __slots__ = ("_media", "_pending", "end")

    def __init__(self, media: MediaLeg) -> None:
        self._media = media
        self._pending: deque[Awaitable[PlayEnd]] = deque()
        self.end = PlayEnd.FINISHED
        """FINISHED as long as everything was heard to its end."""

    async def add(self, clip: Clip, loops: int = 1) -> bool:
        """Queues a clip when there is room. False: playing has ended early."""
        if len(self._pending) >= _QUEUED_AHEAD:
            await self._take_one()
        if self.end is PlayEnd.FINISHED:
            self._pending.append(self._media.queue(clip, loops))
        return self.end is PlayEnd.FINISHED

    async def drain(self) -> PlayEnd:
        """Waits until everything queued was heard."""
        while self._pending:
            await self._take_one()
        return self.end

    async def _take_one(self) -> None:
        end = await self._pending.popleft()
        if end is not PlayEnd.FINISHED:
            self.end = end


async def run(verb: Say, host: Host) -> Next:
    """Speaks the text `loop` times, then notifies `action`.

    A text that cannot be spoken is skipped; one whose language the engine lacks is spoken in the
    default language. The timeline says which.
    """
    player = _Player(host.media)
    try:
        spoken = await _speak(verb, host, player, verb.language)
    except UnknownLanguage as problem:
        _warn(host, f"spoken in the default language: {problem}", verb.language)
        spoken = await _speak(verb, host, player, "")
    if spoken:
        await _repeat(verb.loop, spoken, player)
    end = await player.drain()
    if end is PlayEnd.LOST:
        return HangUp("the audio stream was lost")
    if verb.action and spoken is not None:
        host.notify(verb.action, verb.method)
    return CONTINUE


async def _speak(verb: Say, host: Host, player: _Player, language: str) -> list[Clip] | None:
    """Queues the text once. Gives its clips, None if not even the first could be made.

    Raises UnknownLanguage when the language is not the default one.
    """
    clips: list[Clip] = []
    source = host.speak(verb.text, verb.voice, language)
    try:
        async for clip in source:
            clips.append(clip)
            if not await player.add(clip):
                break
    except SpeechError as error:
        if language and isinstance(error, UnknownLanguage):
            raise
        fate = "cut short" if clips else "not spoken"
        _warn(host, f"{fate}: {error}", language)
        return clips or None
    finally:
        await _close(source)
    return clips


def _warn(host: Host, message: str, language: str) -> None:
    host.note("verb.warning", verb="Say", message=message, language=language)


async def _close(source: AsyncIterator[Clip]) -> None:
    """Ends a generator that was left early, now rather than when it is collected."""
    close = getattr(source, "aclose", None)
    if close is not None:
        await close()


async def _repeat(loop: int, clips: list[Clip], player: _Player) -> None:
    """Queues the clips for the second and further times; `loop` 0: for ever."""
    if loop == 1 or not sum(clip.duration_ms for clip in clips):
        return
    if len(clips) == 1:
        await player.add(clips[0], loop - 1 if loop else 0)
        return
    for _ in range(loop - 1) if loop else count():
        for clip in clips:
            if not await player.add(clip):
                return
