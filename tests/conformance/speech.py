"""Gather with speech: a word in place of keys."""

from __future__ import annotations

import threading

from conformance.cases import Element, Row, Try
from conformance.gather import presses
from conformance.requests import told_of
from conformance.talk import Act, Check, Talk
from doubles.spoken import sound_of
from outdial.speech.recognizer import PACKAGE, is_installed

QUICK = 'action="keyed" tries="1" timeout="3" numDigits="1"'
THANKS = {"keyed": "<Play>/other.wav</Play>"}
"""The answer of `action`."""


def _says(words: str) -> Act:
    """Says them when the call is up."""

    def act(talk: Talk) -> None:
        talk.phone.wait_until(lambda ear: len(ear.packets) > 5, "audio")
        talk.phone.ear.say(sound_of(words))

    return act


def _told(result: str, **params: str) -> Check:
    """`action` got them, and its answer took over."""

    def check(talk: Talk) -> None:
        told_of("keyed", "POST", **params)(talk)
        assert talk.timeline("verb.ended")[0]["result"] == result
        assert talk.verbs()[-1][0] == "Play"

    return check


_HEARS = is_installed()
_DEAF = () if _HEARS else (f"{PACKAGE} is not installed",)
"""The warning where no speech is recognised: there keys are taken."""
KEYED = _told("digits", Digits="7")
KEYED_BESIDE = Try(sees=KEYED, act=presses("7"), warns=_DEAF)
_RECOGNISED_AT_ONCE = threading.Semaphore(3)
SAID = (
    Try(
        sees=_told("speech", SpeechResult="Technical support"),
        act=_says("technical support"),
        takes_s=20,  # with the wait for its turn
        turns=_RECOGNISED_AT_ONCE,
    )
    if _HEARS
    else KEYED_BESIDE
)
HINTS = 'hints="Technical support, Monday"'

ROWS = [
    Row(
        verb="Gather",
        attribute="input",
        document=f"<Gather {QUICK} {HINTS} $attributes/>",
        act=presses("7"),
        default=Try(sees=KEYED, warns=("hints are without effect",)),
        right={
            "dtmf": Try(sees=KEYED, warns=("hints are without effect",)),
            "speech": SAID,
            "Speech DTMF": SAID,
            "dtmf speech": KEYED_BESIDE,
        },
        bad=("telepathy",),
        pages=THANKS,
    ),
    Row(
        verb="Gather",
        attribute="hints",
        document=f'<Gather {QUICK} input="dtmf speech" $attributes/>',
        act=presses("7"),
        default=Try(sees=KEYED, warns=("speech needs hints",)),
        right={"Monday, Technical support": SAID, "yes": KEYED_BESIDE},
        pages=THANKS,
    ),
    Row(
        verb="Gather",
        attribute="language",
        document=f'<Gather {QUICK} input="speech" {HINTS} $attributes/>',
        act=presses("7"),
        default=SAID,
        right={
            "en": SAID,
            "en-US": SAID,
            "es": Try(sees=KEYED, act=presses("7"), warns=("speech is not recognised",)),
        },
        bad=("English, please",),
        pages=THANKS,
    ),
    Row(
        verb="Gather",
        attribute="speechTimeout",
        document=f'<Gather {QUICK} input="speech" {HINTS} $attributes/>',
        default=SAID,
        right={"auto": SAID, "0.5": SAID, "2": SAID},
        bad=("soon", "-1"),
        clamped={"0": SAID, "9": SAID},
        pages=THANKS,
    ),
]
ELEMENTS: list[Element] = []
