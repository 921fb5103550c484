"""When somebody begins to speak, and when they have said it."""

from __future__ import annotations

import math
import random
import struct

import pytest

from outdial.media.core import g711, rtp
from outdial.media.core.endpointing import LEAD_SAMPLES, LONGEST_SAMPLES, Endpointer

FRAME = 160


def tone(loudness: float, frames: int, hz: float = 300.0) -> bytes:
    """Sound of that RMS."""
    peak = loudness * math.sqrt(2)
    count = frames * FRAME
    samples = (int(peak * math.sin(2 * math.pi * hz * n / 8000)) for n in range(count))
    return struct.pack(f"<{count}h", *samples)


def noise(loudness: float, frames: int, seed: int = 1) -> bytes:
    dice = random.Random(seed)
    count = frames * FRAME
    return struct.pack(f"<{count}h", *(int(dice.gauss(0, loudness)) for _ in range(count)))


def hear(ear: Endpointer, pcm: bytes, *, law: int = rtp.PCMU, playing: bool = False) -> int:
    """Feeds it in packets of 20 ms until it is over; how many it took."""
    taken = 0
    for at in range(0, len(pcm), 2 * FRAME):
        if ear.over:
            break
        ear.feed(g711.encode(pcm[at : at + 2 * FRAME], law), law, playing=playing)
        taken += 1
    return taken


@pytest.mark.parametrize("law", [rtp.PCMU, rtp.PCMA])
def test_a_word_is_from_shortly_before_it_to_shortly_after_it(law: int) -> None:
    ear = Endpointer(1.0)
    hear(ear, noise(5, 100), law=law)
    assert not ear.begun
    hear(ear, tone(2000, 25), law=law)
    assert (ear.begun, ear.over) == (True, False)
    assert hear(ear, noise(5, 100), law=law) == 50
    assert ear.over
    said = ear.take()
    assert len(said) == pytest.approx(25 * FRAME + 2 * LEAD_SAMPLES, abs=4 * FRAME)
    loud = g711.decode(said, rtp.PCMU)[2 * LEAD_SAMPLES : 2 * (LEAD_SAMPLES + 20 * FRAME)]
    assert max(struct.unpack(f"<{len(loud) // 2}h", loud)) == pytest.approx(2828, rel=0.05)


def test_silence_is_never_a_word() -> None:
    ear = Endpointer(1.0)
    hear(ear, noise(30, 500))
    assert not ear.begun


def test_a_click_is_no_word() -> None:
    ear = Endpointer(1.0)
    for _ in range(10):
        hear(ear, tone(8000, 2) + noise(5, 20))
    assert not ear.begun


def test_a_pause_between_two_words_does_not_end_them() -> None:
    ear = Endpointer(1.0)
    hear(ear, tone(2000, 20) + noise(5, 40) + tone(2000, 20))
    assert (ear.begun, ear.over) == (True, False)


def test_what_returns_of_our_own_prompt_is_no_word_but_a_word_over_it_is() -> None:
    ear = Endpointer(1.0)
    hear(ear, tone(600, 100), playing=True)
    before = ear.begun
    hear(ear, tone(6000, 10), playing=True)
    assert (before, ear.begun) == (False, True)


def test_a_word_beside_a_loud_fan_has_an_end() -> None:
    ear = Endpointer(0.5)
    hear(ear, noise(500, 100), playing=True)
    before = ear.begun
    hear(ear, tone(6000, 25))
    assert (before, ear.begun) == (False, True)
    assert hear(ear, noise(500, 100)) == 25


def test_somebody_who_talks_on_is_cut_off() -> None:
    ear = Endpointer(1.0)
    hear(ear, tone(3000, 1000))
    assert ear.over
    assert len(ear.take()) == pytest.approx(LONGEST_SAMPLES, abs=2 * FRAME)


def test_a_far_end_that_sends_no_silence_is_done_when_nothing_comes() -> None:
    ear = Endpointer(1.0)
    ear.expire()
    before = ear.over
    hear(ear, tone(3000, 20))
    ear.expire()
    assert (before, ear.over) == (False, True), "at first nobody had spoken"
    assert len(ear.take()) == 20 * FRAME


def test_what_comes_after_the_end_is_not_kept() -> None:
    ear = Endpointer(0.5)
    hear(ear, tone(3000, 20) + noise(5, 50))
    said = ear.take()
    hear(ear, tone(3000, 20))
    ear.feed(b"", rtp.PCMU, playing=False)
    assert ear.take() == said
