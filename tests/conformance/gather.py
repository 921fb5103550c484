"""Gather: which keys are taken, when the input ends, how often it is asked for."""

from __future__ import annotations

import time

from conformance.cases import Element, Row, Try
from conformance.requests import not_asked, told_of
from conformance.sounds import TONE_HZ, spans, tone_heard
from conformance.talk import Act, Check, Talk
from outdial.testing import audio

ALL = "*0123456789#"
THANKS = {"keyed": "<Play>/other.wav</Play>"}
"""The answer of `action`."""
ASKS = "<Play>/tone.wav</Play>"
NEXT = ASKS


def presses(keys: str) -> Act:
    """Keys them when the call is up."""

    def act(talk: Talk) -> None:
        talk.phone.wait_until(lambda ear: len(ear.packets) > 5, "audio")
        talk.phone.ear.press(keys)

    return act


def _presses_after_the_prompt(talk: Talk) -> None:
    talk.phone.hears_for(0.28)
    talk.phone.ear.press("7")


def _keyed(digits: str, within_s: float = 60.0) -> Check:
    """`action` got them, that soon after the first, and its answer took over."""

    def check(talk: Talk) -> None:
        told_of("keyed", "POST", Digits=digits)(talk)
        taken = talk.timeline("verb.ended")[0]
        assert (taken["result"], taken["count"]) == ("digits", len(digits))
        assert talk.verbs()[-1] == ("Play", talk.board.web.url("/other.wav"))
        started, ended = talk.moment("verb.started"), talk.moment("verb.ended")
        assert ended - started < within_s

    return check


def _nothing_keyed(talk: Talk) -> None:
    """`action` is not asked, and the next verb runs."""
    assert talk.asked("keyed") == []
    tone_heard(1)(talk)
    assert talk.verbs()[-1][0] == "Play"


def _gap(seconds: float) -> Check:
    """So long is waited between the prompt, whose end is silent, and the next verb.

    To a quarter of a second: a busy machine hears the prompt's last packet late.
    """

    def check(talk: Talk) -> None:
        gap_s = audio.longest_gap_s(talk.heard)
        assert seconds - 0.25 < gap_s - 0.1 < seconds + 0.75, gap_s

    return check


def _stays_silent(talk: Talk) -> None:
    assert len(spans(talk.heard, TONE_HZ)) == 1


def _finishes(key: str) -> Try:
    """It ends the input, and so is no part of it, nor is what comes after."""
    first = "12"[key == "1"]
    return Try(sees=_keyed(first, within_s=1.0), act=presses(f"{first}{key}3"))


QUICK = 'timeout="1" tries="1"'
KEYED = f'<Gather action="keyed" {QUICK} $attributes/>{NEXT}'
TWENTY_ONE = "123456789012345678901"

ROWS = [
    Row(
        verb="Gather",
        attribute="action",
        document=f'<Gather numDigits="2" {QUICK} $attributes/>{NEXT}',
        act=presses("42"),
        default=not_asked("keyed", tone_heard(1)),
        right={"keyed": _keyed("42"), "$at/keyed": _keyed("42")},
        bad=("javascript:1",),
        pages=THANKS,
    ),
    Row(
        verb="Gather",
        attribute="method",
        document=f'<Gather action="keyed" numDigits="1" {QUICK} $attributes/>{NEXT}',
        act=presses("5"),
        default=told_of("keyed", "POST", Digits="5"),
        right={
            "GET": told_of("keyed", "GET", Digits="5"),
            "POST": told_of("keyed", "POST", Digits="5"),
            "get": told_of("keyed", "GET", Digits="5"),
        },
        bad=("FETCH",),
        pages=THANKS,
    ),
    Row(
        verb="Gather",
        attribute="minDigits",
        document=KEYED,
        act=presses("7"),
        default=_keyed("7"),
        right={
            "2": _nothing_keyed,
            "1": _keyed("7"),
            "3": Try(sees=_keyed("789"), act=presses("789")),
        },
        bad=("few", "-2"),
        clamped={"0": _keyed("7"), "201": _nothing_keyed},
        pages=THANKS,
    ),
    Row(
        verb="Gather",
        attribute="numDigits",
        document=KEYED,
        act=presses(TWENTY_ONE),
        default=_keyed(TWENTY_ONE[:20]),
        right={"3": _keyed("123"), "1": _keyed("1"), "200": _keyed(TWENTY_ONE)},
        bad=("many", "-1"),
        clamped={"0": _keyed("1"), "201": _keyed(TWENTY_ONE)},
        pages=THANKS,
    ),
    Row(
        verb="Gather",
        attribute="timeout",
        document=f'<Gather action="keyed" tries="1" $attributes>{ASKS}</Gather>{NEXT}',
        default=Try(sees=_gap(4), takes_s=6),
        right={"1": _gap(1), "2": _gap(2)},
        bad=("soon", "-1"),
        clamped={"0": _gap(1), "601": Try(sees=_stays_silent, phone="stays", takes_s=6)},
        pages=THANKS,
    ),
    Row(
        verb="Gather",
        attribute="tries",
        document=f'<Gather action="keyed" timeout="1" $attributes>{ASKS}</Gather>',
        default=Try(sees=tone_heard(3), takes_s=6),
        right={"1": tone_heard(1), "2": tone_heard(2)},
        bad=("again", "-1"),
        clamped={"0": tone_heard(1), "11": Try(sees=tone_heard(10), takes_s=15)},
        pages=THANKS,
    ),
    Row(
        verb="Gather",
        attribute="finishOnKey",
        document=f'<Gather action="keyed" {QUICK} $attributes/>',
        act=presses(ALL),
        default=_keyed(ALL[:-1]),
        right={key: _finishes(key) for key in ALL},
        blank=_keyed(ALL),
        bad=("A", "##"),
        pages=THANKS,
    ),
    Row(
        verb="Gather",
        attribute="audiotype",
        document=f'<Gather action="keyed" {QUICK} $attributes>{ASKS}</Gather>',
        act=_presses_after_the_prompt,
        default=_keyed("7"),
        right={"tts": _keyed("7"), "TTS": _keyed("7")},
        bad=("mp3",),
        pages=THANKS,
    ),
]


def _interrupted(talk: Talk) -> None:
    """The first key stops the prompt, which goes on for six tones."""
    _keyed("1")(talk)
    assert len(spans(talk.heard, TONE_HZ)) < 5


def _presses_in_the_prompt(talk: Talk) -> None:
    talk.phone.hears_for(0.5)
    talk.phone.ear.press("1")


def _asked_again(talk: Talk) -> None:
    """One key is too few, so the prompt comes again; what was keyed is forgotten."""
    _keyed("89")(talk)
    assert len(spans(talk.heard, TONE_HZ)) == 2


def _presses_too_few_and_then_enough(talk: Talk) -> None:
    _presses_after_the_prompt(talk)
    talk.phone.hears_for(0.56)
    talk.phone.ear.press("89")


def _prompted(talk: Talk) -> None:
    told_of("keyed", "POST", Digits="7")(talk)
    assert [verb for verb, _ in talk.verbs()] == ["Gather", "Play", "Pause", "Say", "Play"]


def _presses_after_all(talk: Talk) -> None:
    talk.wait_until("verb.started", 4)
    time.sleep(0.5)
    talk.phone.ear.press("7")


ASKING = f'<Gather action="keyed" {QUICK}'

ELEMENTS = [
    Element(
        verb="Gather",
        document=f"{ASKING} $attributes>{ASKS}</Gather>{NEXT}",
        act=_presses_after_the_prompt,
        sees=_keyed("7"),
        bodies={
            f'{ASKING} numDigits="1"><Play loop="6">/tone.wav</Play></Gather>': Try(
                sees=_interrupted, act=_presses_in_the_prompt
            ),
            '<Gather action="keyed" minDigits="2" numDigits="2" timeout="1" tries="2">'
            f"{ASKS}</Gather>": Try(sees=_asked_again, act=_presses_too_few_and_then_enough),
            f"{ASKING}>{ASKS}<Pause>200</Pause><Say>Please.</Say></Gather>": Try(
                sees=_prompted, act=_presses_after_all
            ),
        },
        wrong={
            f"{ASKING}>Key it in, please.{ASKS}</Gather>": ("the text in Gather", _keyed("7")),
            f'<Gather action="keyed" {QUICK} minDigits="3" numDigits="2"/>{NEXT}': (
                "numDigits 2 is under minDigits 3, which counts",
                Try(sees=_keyed("789"), act=presses("7890")),
            ),
        },
        pages=THANKS,
    )
]
