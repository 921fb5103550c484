"""What was heard on one side of a call, in order, and looking for something in it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from outdial.testing.audio import Sound as Audio
from outdial.testing.audio import read_mono
from outdial.testing.rehearsal.hearing import Hearing, Watch
from outdial.testing.rehearsal.script import Hear, Phone
from outdial.testing.rehearsal.sounds import DIGITS, SAY, TONE, Sound, Utterance

WORDS = frozenset((SAY,))


@dataclass(eq=False, slots=True)
class Heard:
    """A sound that was heard."""

    sound: Sound
    at: float
    """Monotonic time."""
    until: float | None = None
    """None: it still is."""

    @property
    def text(self) -> str:
        """What it was, in words."""
        return self.sound.piece or self.sound.utterance.text


class Transcript:
    """Follows sounds; what one `search` has found the next does not find again."""

    def __init__(
        self,
        hearing: Hearing,
        now: Callable[[], float],
        sounds: Callable[[], Iterable[Sound]],
    ) -> None:
        self._hearing = hearing
        self._now = now
        self.entries: list[Heard] = []
        self.changed = asyncio.Event()
        """Set whenever there is something new to be found."""
        self._text = ""
        """The words that were heard to their end, or found while they were spoken."""
        self._place = 0
        """How much of them was found."""
        self._in_text: set[Heard] = set()
        self._found: dict[str, int] = {}
        """How many entries were looked through, by kind."""
        self._watch: Watch | None = hearing.watch(sounds, self._begins, self._ends)

    def close(self) -> None:
        """Nothing more is heard."""
        watch, self._watch = self._watch, None
        if watch is not None:
            self._hearing.unwatch(watch)

    @property
    def utterances(self) -> list[Utterance]:
        """What was begun to be heard, whole, in order."""
        found: dict[Utterance, None] = {}
        for entry in self.entries:
            found.setdefault(entry.sound.utterance)
        return list(found)

    def search(self, wanted: Hear) -> bool:
        """Whether it was heard since what was found last."""
        if wanted.kind == SAY:
            return self._search_words(wanted)
        looked = self._found.get(wanted.kind, 0)
        for number, entry in enumerate(self.entries[looked:], looked + 1):
            text = entry.sound.utterance.text
            heard = entry.sound.finished or (wanted.interrupting and entry.until is None)
            if entry.sound.kind == wanted.kind and heard and _end_in(text, wanted.wanted):
                self._found[wanted.kind] = number
                return True
        return False

    def _search_words(self, wanted: Hear) -> bool:
        end = _end_in(self._text[self._place :], wanted.wanted)
        if end:
            self._place += end
            return True
        if not wanted.interrupting:
            return False
        for entry in self.entries:
            if entry.sound.kind in WORDS and entry.until is None and entry not in self._in_text:
                before = self._text[self._place :]
                end = _end_in(before + entry.text, wanted.wanted)
                if end:
                    self._append(entry)
                    self._place += end
                    return True
        return False

    def _begins(self, sound: Sound) -> None:
        if sound.kind != DIGITS:
            self.entries.append(Heard(sound, self._now()))
            self.changed.set()

    def _ends(self, sound: Sound) -> None:
        for entry in reversed(self.entries):
            if entry.sound is sound and entry.until is None:
                entry.until = self._now()
                if sound.finished and sound.kind in WORDS and entry not in self._in_text:
                    self._append(entry)
                self.changed.set()
                return

    def _append(self, entry: Heard) -> None:
        self._in_text.add(entry)
        self._text += f"{entry.text} "


def _end_in(text: str, wanted: str | re.Pattern[str]) -> int:
    """Where the wanted ends in the text; 0: it is not there."""
    if isinstance(wanted, re.Pattern):
        found = wanted.search(text)
    else:
        words = (re.escape(word) for word in wanted.split())
        found = re.search(r"\s+".join(words), text, re.IGNORECASE)
    return found.end() if found else 0


@dataclass(eq=False)
class PhoneCall:
    """One call as a phone lived through it."""

    phone: Phone
    number: int
    """Which of its calls, from 0."""
    sip_call_id: str
    other: str
    """Who called, or was called."""
    transcript: Transcript | None = None
    audio_path: Path | None = None
    """The recording of what it heard, once it was answered; the first two minutes."""
    digits: str = ""
    """The digits it heard."""
    doing: str = ""
    """The step it is at."""
    failure: str = ""
    """What of its script could not be done; "" when everything was."""
    status: int = 0
    """The SIP status with which a call of its own was refused."""
    began_at: float = 0.0
    answered_at: float | None = None
    ended_at: float | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def heard(self) -> list[str]:
        """What it heard, in order: the words of whoever spoke, and URLs of sound files."""
        return [one.text for one in self._utterances if one.kind != TONE]

    @property
    def problem(self) -> str:
        """What could not be done, and what was heard instead."""
        heard = ", ".join(f"“{text}”" for text in self.heard) or "nothing"
        return f"{self.failure}; it heard {heard}"

    @property
    def tones(self) -> list[str]:
        """The tones it heard, in order: ringback, beep, hold."""
        return [one.text for one in self._utterances if one.kind == TONE]

    @property
    def audio(self) -> Audio:
        """What it heard, as sound. Raises ValueError when it was not answered."""
        if self.audio_path is None or not self.audio_path.exists():
            raise ValueError(f"{self.phone.name} was not answered, so it heard nothing")
        return read_mono(self.audio_path)

    @property
    def _utterances(self) -> list[Utterance]:
        return [] if self.transcript is None else self.transcript.utterances
