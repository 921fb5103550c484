"""Play: how often, digits, and files that cannot be had."""

from __future__ import annotations

from conformance.cases import Element, Row, Try
from conformance.sounds import tone_heard, tones
from conformance.talk import Check, Talk

KEYS = "12*#AD"


def _over_and_over(talk: Talk) -> None:
    """Until the telephone was hung up, after 2.5 s."""
    assert tones(talk) > 3


def _digits(wanted: str, gap_s: float = 0.0) -> Check:
    """The telephone gets these, with a pause after the first, and then hears the file."""

    def check(talk: Talk) -> None:
        assert talk.phone.ear.digits() == wanted
        assert tones(talk) == 1
        if gap_s:
            first, second = talk.phone.ear.pressed()[:2]
            assert gap_s < second.at - first.at < gap_s + 0.6

    return check


def _skipped(talk: Talk) -> None:
    assert tones(talk) == 0
    assert talk.verbs() == []


def _said_to_be_skipped(talk: Talk) -> None:
    """A sound that cannot be had is no reason to end the call."""
    assert tones(talk) == 1
    ended = talk.timeline("verb.ended")
    assert [(one["verb"], one["result"]) for one in ended] == [("Play", "skipped")]
    assert "404" in ended[0]["problem"]


ROWS = [
    Row(
        verb="Play",
        attribute="loop",
        document="<Play $attributes>/tone.wav</Play>",
        default=tone_heard(1),
        right={
            "3": tone_heard(3),
            "1": tone_heard(1),
            "0": Try(sees=_over_and_over, phone="leaves"),
        },
        bad=("twice", "-2"),
        clamped={"2000": Try(sees=_over_and_over, phone="leaves")},
    ),
    Row(
        verb="Play",
        attribute="digits",
        document="<Play $attributes>/tone.wav</Play>",
        default=_digits(""),
        right={KEYS: _digits(KEYS), "1w2": _digits("12", 0.5), "1W2": _digits("12", 1.0)},
        bad=("12x",),
    ),
]

ELEMENTS = [
    Element(
        verb="Play",
        document="<Play $attributes>/tone.wav</Play>",
        sees=tone_heard(1),
        bodies={
            "<Play> /tone.wav </Play>": tone_heard(1),
            '<Play digits="7"/><Play>/tone.wav</Play>': _digits("7"),
            "<Play>/tone.mp3</Play>": tone_heard(1),
            "<Play>nowhere.wav</Play><Play>/tone.wav</Play>": _said_to_be_skipped,
        },
        wrong={
            "<Play/>": ("Play is empty; skipped", _skipped),
            "<Play>ftp://example.test/tone.wav</Play>": (
                "'ftp://example.test/tone.wav' is not an http or https URL",
                Try(sees=_skipped, warns=("Play is unusable; skipped",)),
            ),
        },
    )
]
