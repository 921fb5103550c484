"""Pause: milliseconds in the body, seconds in `length`."""

from __future__ import annotations

from conformance.cases import Element, Row, Try
from conformance.talk import Check, Talk
from outdial.testing import audio

EMPTY = "Pause is empty; skipped"


def _silent_for(seconds: float) -> Check:
    """The silence between the two tones, of which each ends with a tenth of a second of it."""

    def check(talk: Talk) -> None:
        gap_s = audio.longest_gap_s(talk.heard)
        assert seconds <= gap_s - 0.1 + 0.02 <= seconds + 0.3, gap_s

    return check


def _never_ends(talk: Talk) -> None:
    assert audio.active_s(talk.heard) < 0.4, "the second tone is not heard"


def _between(pause: str) -> str:
    return f"<Play>/tone.wav</Play>{pause}<Play>/tone.wav</Play>"


ROWS = [
    Row(
        verb="Pause",
        attribute="length",
        document=_between("<Pause $attributes/>"),
        default=Try(sees=_silent_for(0), warns=(EMPTY,)),
        right={"1": _silent_for(1), "0.5": _silent_for(0.5), ".4": _silent_for(0.4)},
        bad=("a second", "-1"),
        clamped={"0": _silent_for(0), "4000": Try(sees=_never_ends, phone="leaves")},
    )
]

ELEMENTS = [
    Element(
        verb="Pause",
        document=_between("<Pause $attributes>700</Pause>"),
        sees=_silent_for(0.7),
        bodies={
            _between("<Pause> 1200 </Pause>"): _silent_for(1.2),
            _between("<Pause>1</Pause>"): _silent_for(0),
            _between('<Pause length="3">300</Pause>'): _silent_for(0.3),
        },
        wrong={
            _between("<Pause></Pause>"): (EMPTY, _silent_for(0)),
            _between("<Pause>0</Pause>"): ("0 is under 1", _silent_for(0)),
            _between('<Pause length="0.5">long</Pause>'): ("not a whole number", _silent_for(0.5)),
        },
    )
]
