"""Say: whose voice, which language, how often, and who is told."""

from __future__ import annotations

from conformance.cases import Element, Row, Try
from conformance.requests import not_asked, told_of
from conformance.sounds import is_same, pitch_hz
from conformance.talk import Check, Talk
from outdial.testing import audio

WORDS = "Good morning to you."


def _voice(lowest_hz: float, highest_hz: float) -> Check:
    def check(talk: Talk) -> None:
        assert lowest_hz < pitch_hz(talk.heard) < highest_hz

    return check


WOMAN, MAN = _voice(150, 300), _voice(60, 140)


def says(text: str, language: str = "en") -> Check:
    """The same is heard as of the text in a call of its own."""

    def check(talk: Talk) -> None:
        own = talk.also(f'<Say language="{language}">{text}</Say>')
        own.wait_until_over()
        assert audio.active_s(own.heard) > 0.15
        assert is_same(talk.heard, own.heard)

    return check


def _said(times: int) -> Check:
    """The words are heard so often; 0: over and over until the telephone was hung up."""

    def check(talk: Talk) -> None:
        own = talk.also(f"<Say>{WORDS}</Say>")
        own.wait_until_over()
        heard = audio.active_s(talk.heard) / audio.active_s(own.heard)
        assert abs(heard - times) < 0.15 if times else heard > 1.8, heard

    return check


def _goes_on(talk: Talk) -> None:
    """What was answered is thrown away: the rest is said."""
    assert [text for verb, text in talk.verbs() if verb == "Say"] == ["One.", "Two."]
    assert audio.active_s(talk.heard) > 0.3


SPANISH = says("siete", "es")
ENGLISH = says("seven")
OVER_AND_OVER = Try(sees=_said(0), phone="leaves")
TWICE = "<Say $attributes>One.</Say><Say>Two.</Say>"

ROWS = [
    Row(
        verb="Say",
        attribute="voice",
        document=f"<Say $attributes>{WORDS}</Say>",
        default=WOMAN,
        right={"man": MAN, "woman": WOMAN, "women": WOMAN, "MAN": MAN},
        bad=("robot",),
    ),
    Row(
        verb="Say",
        attribute="language",
        document="<Say $attributes>7</Say>",
        default=ENGLISH,
        right={"es": SPANISH, "en": ENGLISH, "ES": SPANISH, "en-GB": says("seven", "en-GB")},
        bad=("English, please",),
    ),
    Row(
        verb="Say",
        attribute="loop",
        document=f"<Say $attributes>{WORDS}</Say>",
        default=_said(1),
        right={"3": _said(3), "1": _said(1), "0": OVER_AND_OVER},
        bad=("often", "-1", "1.5"),
        clamped={"1001": OVER_AND_OVER},
    ),
    Row(
        verb="Say",
        attribute="action",
        document=TWICE,
        default=not_asked("said"),
        right={
            "said": told_of("said", "POST", _goes_on),
            "$at/said": told_of("said", "POST", _goes_on),
        },
        bad=("ftp://example.test/said",),
        pages={"said": "<Hangup/>"},
    ),
    Row(
        verb="Say",
        attribute="method",
        document='<Say action="said" $attributes>One.</Say><Say>Two.</Say>',
        default=told_of("said", "POST"),
        right={
            "GET": told_of("said", "GET"),
            "POST": told_of("said", "POST"),
            "get": told_of("said", "GET"),
            "Post": told_of("said", "POST"),
        },
        bad=("PUT",),
    ),
]


def _in_the_default_language(talk: Talk) -> None:
    """The engine does not have it: that is said, and so are the words."""
    ENGLISH(talk)
    (warning,) = talk.timeline("verb.warning")
    assert (warning["verb"], warning["language"]) == ("Say", "xx")
    assert warning["message"].startswith("spoken in the default language: ")


ELEMENTS = [
    Element(
        verb="Say",
        document=f"<Say $attributes>{WORDS}</Say>",
        sees=_said(1),
        bodies={
            "<Say>  Good\n morning   to you. </Say>": _said(1),
            '<Say language="xx">7</Say>': _in_the_default_language,
        },
        wrong={
            "<Say></Say>": ("Say is empty; skipped", lambda talk: _silence(talk)),
            "<Say> \n </Say>": ("Say is empty; skipped", lambda talk: _silence(talk)),
        },
    )
]


def _silence(talk: Talk) -> None:
    assert audio.active_s(talk.heard) == 0
    assert talk.verbs() == []
