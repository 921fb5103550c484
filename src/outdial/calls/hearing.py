"""What the far end of a leg says, heard for a verb (`didml` Listening)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from outdial.calls.services import Ear
from outdial.didml.run.host import Recognized
from outdial.errors import SpeechError
from outdial.legs import MediaLeg, SpeechBegan, SpeechHeard

LONGEST_S = 15.0
"""The media worker has told what was said by then, unless the leg is on hold."""


class Hearing:
    """One utterance. Whoever makes it passes the leg's speech events to `on_event`."""

    __slots__ = ("_begun", "_ear", "_hints", "_media", "_said")

    def __init__(
        self, ear: Ear | None, media: MediaLeg, hints: Sequence[str], silence_s: float
    ) -> None:
        """Listens from now on."""
        self._ear = ear
        self._media = media
        self._hints = hints
        self._begun = asyncio.Event()
        self._said: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        media.listen(silence_s)

    def on_event(self, event: SpeechBegan | SpeechHeard) -> None:
        """The media worker heard something."""
        self._begun.set()
        if isinstance(event, SpeechHeard) and not self._said.done():
            self._said.set_result(event.ulaw)

    async def begun(self) -> None:
        """See Listening."""
        await self._begun.wait()

    async def heard(self) -> Recognized:
        """See Listening."""
        try:
            async with asyncio.timeout(LONGEST_S):
                said = await asyncio.shield(self._said)
        except TimeoutError:
            raise SpeechError("what was said had no end") from None
        if self._ear is None:
            raise SpeechError("speech is not recognised here")
        heard = await self._ear.recognize(said, self._hints)
        return Recognized(heard.hint, heard.confidence, heard.unknown)

    def stop(self) -> None:
        """See Listening."""
        if not self._said.done():
            self._said.cancel()
            self._media.stop_listening()
