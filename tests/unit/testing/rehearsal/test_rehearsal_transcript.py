"""Looking for words, files and tones in what was heard."""

from __future__ import annotations

import re

import pytest

from outdial.testing.rehearsal.heard import Transcript
from outdial.testing.rehearsal.hearing import Hearing
from outdial.testing.rehearsal.script import Hear
from outdial.testing.rehearsal.sounds import DIGITS, PLAY, SAY, TONE, Sound, Utterance


class Ear:
    """A transcript, and what it hears."""

    def __init__(self) -> None:
        self._hearing = Hearing()
        self._sounding: list[Sound] = []
        self.now = 0.0
        self.transcript = Transcript(self._hearing, lambda: self.now, lambda: self._sounding)

    def begin(self, text: str, kind: str = SAY, utterance: Utterance | None = None) -> Sound:
        sound = Sound(utterance or Utterance(kind, text), text, None, 1.0)
        self._sounding.append(sound)
        self._hearing.changed()
        return sound

    def end(self, sound: Sound, *, finished: bool = True) -> None:
        self.now += 1
        sound.finished = finished
        self._sounding.remove(sound)
        self._hearing.changed()

    def hear(self, text: str, kind: str = SAY) -> None:
        self.end(self.begin(text, kind))

    def found(self, wanted: str | re.Pattern[str], kind: str = SAY, **how: bool) -> bool:
        return self.transcript.search(Hear(wanted, kind, 1.0, **how))


@pytest.fixture
async def ear() -> Ear:
    return Ear()


@pytest.mark.parametrize(
    "wanted", ["press 1", "PRESS  1", "for sales, press", re.compile(r"press \d"), "press\n1."]
)
async def test_words_are_found_in_any_case_and_with_any_space(
    ear: Ear, wanted: str | re.Pattern[str]
) -> None:
    ear.hear("Welcome.")
    ear.hear("For sales, press 1.")
    assert ear.found(wanted)


@pytest.mark.parametrize("wanted", ["press 2", "welcome press", "press.1", re.compile("^press")])
async def test_other_words_are_not(ear: Ear, wanted: str | re.Pattern[str]) -> None:
    ear.hear("Welcome.")
    ear.hear("For sales, press 1.")
    assert not ear.found(wanted)


async def test_words_may_run_over_from_one_piece_to_the_next(ear: Ear) -> None:
    ear.hear("First sentence.")
    ear.hear("Second sentence.")
    assert ear.found("sentence. second")


async def test_two_searches_find_their_words_in_one_sentence(ear: Ear) -> None:
    ear.hear("For sales, press 1, for support, press 2.")
    assert ear.found("press 1")
    assert ear.found("press 2")
    assert not ear.found("press 1")


async def test_what_was_cut_short_was_not_heard(ear: Ear) -> None:
    ear.end(ear.begin("For sales, press 1."), finished=False)
    assert not ear.found("press 1")


async def test_who_interrupts_finds_what_is_being_said_and_only_once(ear: Ear) -> None:
    sound = ear.begin("For sales, press 1.")
    assert not ear.found("press 1")
    assert ear.found("press 1", interrupting=True)
    ear.end(sound)
    assert not ear.found("press 1")
    ear.hear("Press 1!")
    assert ear.found("press 1")


async def test_files_and_tones_are_found_one_after_the_other(ear: Ear) -> None:
    ear.hear("http://app.test/tune.wav?id=1", PLAY)
    assert ear.found("tune.wav", PLAY)
    assert not ear.found("tune.wav", PLAY)
    ear.begin("ringback", TONE)
    assert not ear.found("ringback", TONE)
    assert ear.found("ringback", TONE, interrupting=True)
    assert not ear.found("ringback")


async def test_what_was_heard_is_told_as_it_was_said(ear: Ear) -> None:
    utterance = Utterance(SAY, "One. Two.")
    ear.end(ear.begin("One.", utterance=utterance))
    ear.end(ear.begin("Two.", utterance=utterance))
    ear.end(ear.begin("12", DIGITS))
    ear.hear("Three.")
    assert [one.text for one in ear.transcript.utterances] == ["One. Two.", "Three."]
    assert [(entry.at, entry.until) for entry in ear.transcript.entries] == [
        (0.0, 1.0),
        (1.0, 2.0),
        (3.0, 4.0),
    ]


async def test_it_says_when_there_is_something_new(ear: Ear) -> None:
    ear.transcript.changed.clear()
    ear.hear("Hello.")
    assert ear.transcript.changed.is_set()


async def test_a_closed_one_hears_no_more(ear: Ear) -> None:
    sound = ear.begin("Hello.")
    ear.transcript.close()
    assert ear.transcript.entries[0].until is not None
    ear.end(sound)
    ear.hear("Still there?")
    assert len(ear.transcript.entries) == 1
