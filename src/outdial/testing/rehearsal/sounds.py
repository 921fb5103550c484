"""What can be heard, and clips that know what is in them."""

from __future__ import annotations

import math
from array import array
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from outdial.calls.services import SoundLibrary, Speaker
from outdial.frozen import frozen
from outdial.legs import Clip
from outdial.media.core import g711, rtp
from outdial.speech.text import clean, split

SAY, PLAY, MESSAGE, TONE, VOICE, DIGITS = "say", "play", "message", "tone", "voice", "digits"
"""Kinds: spoken text, a sound file, a recorded message, a tone, somebody's voice, digits sent."""


@dataclass(eq=False, slots=True)
class Utterance:
    """Everything that is spoken for one Say, or one file."""

    kind: str
    text: str
    """The text given to Say, the URL of a file, the name of a tone."""
    voice: str = ""
    language: str = ""


@dataclass(eq=False, slots=True)
class Sound:
    """One time that one piece of an utterance is played."""

    utterance: Utterance
    piece: str
    """The part of the text that is in it."""
    clip: Clip | None
    """None: a tone, which `utterance` names."""
    seconds: float | None
    """None: until it is stopped."""
    began_at: float = 0.0
    """Monotonic time."""
    finished: bool = False
    """Whether it was played to its end."""

    @property
    def kind(self) -> str:
        """What sort of sound it is."""
        return self.utterance.kind


@frozen
class KnownClip(Clip):
    """A clip of which is known what is in it."""

    utterance: Utterance = field(default_factory=lambda: Utterance(PLAY, ""))
    piece: str = ""


def known(clip: Clip, utterance: Utterance, piece: str = "") -> KnownClip:
    """The clip with what is in it."""
    return KnownClip(clip.ulaw_path, clip.alaw_path, clip.duration_ms, utterance, piece)


def sound_of(clip: Clip, loops: int) -> Sound:
    """The clip being played; `loops` 0: until it is stopped."""
    seconds = clip.duration_ms * loops / 1000 if loops else None
    if isinstance(clip, KnownClip):
        return Sound(clip.utterance, clip.piece, clip, seconds)
    return Sound(Utterance(PLAY, clip.ulaw_path), "", clip, seconds)


class KnowingSpeaker:
    """A `Speaker` whose clips say what is spoken in them."""

    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker

    async def speak(self, text: str, voice: str, language: str) -> AsyncIterator[Clip]:
        """See Speaker."""
        utterance = Utterance(SAY, text, voice, language)
        pieces = iter(split(clean(text)))
        async for clip in self._speaker.speak(text, voice, language):
            yield known(clip, utterance, next(pieces, ""))


class KnowingSounds:
    """A `SoundLibrary` whose clips say which file they are."""

    def __init__(self, sounds: SoundLibrary) -> None:
        self._sounds = sounds

    async def fetch(self, url: str) -> Clip:
        """See SoundLibrary."""
        return known(await self._sounds.fetch(url), Utterance(PLAY, url), url)

    async def decoded(self, file: bytes, path: str) -> Clip:
        """See SoundLibrary."""
        clip = await self._sounds.decoded(file, path)
        return known(clip, Utterance(MESSAGE, Path(path).name))


def voice_clip(seconds: float, folder: Path) -> KnownClip:
    """Somebody who says something for so long, nobody understands what: two tones that swell."""
    path = folder / f"voice-{round(seconds * 1000)}"
    if not path.with_suffix(".alaw").exists():
        count = round(seconds * g711.RATE_HZ)
        turn = 2 * math.pi / g711.RATE_HZ
        samples = array(
            "h",
            (
                round(
                    (3000 + 2000 * math.sin(3 * turn * n))
                    * (math.sin(170 * turn * n) + math.sin(510 * turn * n))
                )
                for n in range(count)
            ),
        ).tobytes()
        path.with_suffix(".ulaw").write_bytes(g711.encode(samples, rtp.PCMU))
        path.with_suffix(".alaw").write_bytes(g711.encode(samples, rtp.PCMA))
    clip = Clip(str(path.with_suffix(".ulaw")), str(path.with_suffix(".alaw")), 0)
    milliseconds = round(seconds * 1000)
    return known(
        Clip(clip.ulaw_path, clip.alaw_path, milliseconds),
        Utterance(VOICE, f"{seconds:g} s of speech"),
        "",
    )
