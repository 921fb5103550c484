"""Record and Recording: what is on file, and who is told how."""

from __future__ import annotations

import math

import pytest

from conformance.cases import Element, Row, Try
from conformance.requests import not_asked, told_of
from conformance.sounds import BEEP_HZ, TONE_HZ, spans
from conformance.talk import Act, Check, Talk
from outdial.testing import audio

SPOKEN_HZ, SPOKEN_S = 500, 1.0
SAVED = {"saved": "<Play>/tone.wav</Play>"}
ALL = "0123456789*#"


def _speaks(seconds: float = SPOKEN_S, key: str = "#", silence_s: float = 0.0) -> Act:
    """Speaks when the message is being recorded; then is silent for a while, and presses a key."""

    def act(talk: Talk) -> None:
        talk.wait_until("recording.started")
        talk.phone.ear.say(audio.tone(SPOKEN_HZ, seconds=seconds, peak_dbfs=-15))
        if silence_s:
            talk.phone.ear.say(audio.tone(seconds=silence_s))
        talk.phone.ear.press(key)

    return act


def _message(talk: Talk) -> audio.Sound:
    (request,) = talk.wait_for("saved")
    (sound,) = talk.recording(request.params["RecordingUrl"])
    return sound


def _saved(
    lasts_s: float = SPOKEN_S, method: str = "POST", within_s: float = 0.6, **params: str
) -> Check:
    """A message of about that length, told to `action` as the vendor spells it."""

    def check(talk: Talk) -> None:
        told_of(
            "saved",
            method,
            callid=talk.sid,
            dialednumber=talk.line.to,
            callerid=talk.line.from_,
            callername=talk.line.caller_name,
            **params,
        )(talk)
        sound = _message(talk)
        assert lasts_s - 0.2 < sound.duration_s < lasts_s + within_s
        start_s, end_s = audio.speech_span(sound) or (0.0, 0.0)
        assert audio.tone_share(sound.cut(start_s + 0.1, end_s - 0.1), SPOKEN_HZ) > 0.9
        (told,) = talk.asked("saved")
        assert told.params["RecordingDuration"] == str(math.floor(sound.duration_s + 0.5))
        assert talk.verbs()[-1] == ("Play", talk.board.web.url("/tone.wav")), "its answer ran"

    return check


def _without_id(talk: Talk) -> None:
    _saved()(talk)
    assert "fileID" not in talk.asked("saved")[0].params


def _kept(talk: Talk) -> None:
    """Nobody was told, but the message is there, and the next verb ran."""
    assert talk.asked("saved") == []
    assert audio.active_s(talk.recording(talk.wait_until_over()["RecordingURL"])[0]) > 0.8
    assert len(spans(talk.heard, TONE_HZ)) == 1


def _beeped(times: int) -> Check:
    def check(talk: Talk) -> None:
        assert len(spans(talk.heard, BEEP_HZ)) == times
        _saved()(talk)

    return check


def _confirms(talk: Talk) -> None:
    """Is asked about the message, and keeps it."""
    _speaks()(talk)
    beep_s = audio.active_s(talk.heard)
    talk.phone.hears_for(beep_s + 1.0)
    talk.phone.ear.press("1")


def _asked_about(talk: Talk) -> None:
    _saved()(talk)
    assert audio.active_s(talk.heard) > 0.5 + 1.0 + 0.3


def _not_asked_about(talk: Talk) -> None:
    _saved()(talk)
    assert audio.active_s(talk.heard) < 0.5 + 0.3 + 0.2, "a beep, and the answer of action"


YES = Try(sees=_asked_about, act=_confirms, takes_s=8)
QUICK = 'timeout="1"'
PLAIN = f'<Record action="saved" {QUICK} $attributes/>'


def _ended_by(key: str) -> Try:
    """The key is pressed after 1.3 s; silence would end the message after 2 s."""
    return Try(sees=_saved(within_s=0.95), act=_speaks(key=key, silence_s=0.3))


def _not_ended_by(key: str) -> Try:
    """The key is pressed soon, and the message goes on until the silence."""
    return Try(sees=_goes_on_after_the_key, act=_presses_and_goes_on(key), takes_s=6)


def _presses_and_goes_on(key: str) -> Act:
    def act(talk: Talk) -> None:
        _speaks(key=key)(talk)
        talk.phone.ear.say(audio.tone(SPOKEN_HZ, seconds=SPOKEN_S, peak_dbfs=-15))
        talk.phone.ear.say(audio.tone(seconds=1.5))

    return act


def _goes_on_after_the_key(talk: Talk) -> None:
    assert audio.active_s(_message(talk)) == pytest.approx(2 * SPOKEN_S, abs=0.3)


ROWS = [
    Row(
        verb="Record",
        attribute="action",
        document=f"<Record {QUICK} $attributes/><Play>/tone.wav</Play>",
        act=_speaks(),
        default=_kept,
        right={"saved": _saved(), "$at/saved": _saved()},
        bad=("file:///etc/passwd",),
        pages=SAVED,
    ),
    Row(
        verb="Record",
        attribute="method",
        document=PLAIN,
        act=_speaks(),
        default=_saved(),
        right={"Post": _saved(), "GET": _saved(method="GET")},
        bad=("None",),
        pages=SAVED,
    ),
    Row(
        verb="Record",
        attribute="fileID",
        document=PLAIN,
        act=_speaks(),
        default=_without_id,
        right={"call-7": _saved(fileID="call-7"), "a b": _saved(fileID="a b")},
        clamped={"x" * 256: _saved(fileID="x" * 255)},
        pages=SAVED,
    ),
    Row(
        verb="Record",
        attribute="maxlength",
        document=PLAIN,
        act=_speaks(2.2),
        default=_saved(2.2),
        right={"1": _saved(1), "3": _saved(2.2)},
        bad=("long", "-1"),
        clamped={"0": _saved(1), "3601": _saved(2.2)},
        pages=SAVED,
    ),
    Row(
        verb="Record",
        attribute="confirmrecording",
        document=PLAIN,
        act=_speaks(),
        default=_not_asked_about,
        right={"1": YES, "0": _not_asked_about, "on": YES},
        bad=("perhaps",),
        pages=SAVED,
    ),
    Row(
        verb="Record",
        attribute="beep",
        document=PLAIN,
        act=_speaks(),
        default=_beeped(1),
        right={
            "off": _beeped(0),
            "on": _beeped(1),
            "0": _beeped(0),
            "1": _beeped(1),
            "no": _beeped(0),
            "yes": _beeped(1),
            "false": _beeped(0),
            "True": _beeped(1),
        },
        bad=("loud",),
        pages=SAVED,
    ),
    Row(
        verb="Record",
        attribute="timeout",
        document='<Record action="saved" $attributes/>',
        act=_speaks(silence_s=6.0),
        default=Try(sees=_saved(6), takes_s=9),
        right={"1": _saved(2), "2": _saved(3)},
        bad=("short",),
        clamped={"0": _saved(2), "601": Try(sees=_saved(7), takes_s=9)},
        pages=SAVED,
    ),
    Row(
        verb="Record",
        attribute="finishOnKey",
        document=PLAIN,
        act=_speaks(),
        default=_ended_by("5"),
        right={"#": _ended_by("#"), "5": _not_ended_by("7"), ALL: _ended_by("0")},
        blank=_not_ended_by("#"),
        bad=("any",),
        pages=SAVED,
    ),
]


def _says_nothing(talk: Talk) -> None:
    talk.wait_until("recording.started")
    talk.phone.ear.say(audio.tone(seconds=1.5))


def _empty(talk: Talk) -> None:
    not_asked("saved")(talk)
    assert "RecordingURL" not in talk.wait_until_over()
    assert len(spans(talk.heard, TONE_HZ)) == 1, "the next verb ran"


def _records_again(talk: Talk) -> None:
    """Listens to the message, records another one, and keeps that."""
    _speaks(0.6)(talk)
    talk.phone.hears_for(audio.active_s(talk.heard) + 1.0)
    talk.phone.ear.press("2")
    talk.phone.wait_until(lambda ear: len(spans(ear.heard(), SPOKEN_HZ)) > 0, "the message")
    talk.phone.ear.press("3")
    talk.wait_until("recording.started", 2)
    talk.phone.ear.say(audio.tone(SPOKEN_HZ, seconds=SPOKEN_S, peak_dbfs=-15))
    talk.phone.ear.press("#")
    heard_s = audio.active_s(talk.heard)
    talk.phone.hears_for(heard_s + 1.0)
    talk.phone.ear.press("1")


def _whole_call(talk: Talk) -> None:
    """Both directions, the far end on the left; nobody is told, and the next verb ran at once."""
    left, right = talk.recording(talk.wait_until_over()["RecordingURL"])
    assert len(spans(left, SPOKEN_HZ)) >= 1
    assert len(spans(right, TONE_HZ)) == 4
    assert talk.timeline("verb.ended") == []


def _speaks_meanwhile(talk: Talk) -> None:
    talk.wait_until("recording.started")
    talk.phone.ear.say(audio.tone(SPOKEN_HZ, seconds=0.6, peak_dbfs=-15))


ELEMENTS = [
    Element(
        verb="Record",
        document=f"{PLAIN}<Play>/tone.wav</Play>",
        act=_speaks(),
        sees=_saved(),
        bodies={
            f'<Record action="saved" {QUICK}/><Play>/tone.wav</Play>': Try(
                sees=_empty, act=_says_nothing
            ),
            f'<Record action="saved" confirmrecording="1" {QUICK}/>': Try(
                sees=_saved(), act=_records_again, takes_s=15
            ),
        },
        wrong={
            f'<Record action="saved" {QUICK}>me</Record>': (
                "the text in Record is ignored",
                _saved(),
            )
        },
        pages=SAVED,
    ),
    Element(
        verb="Recording",
        document='<Recording $attributes/><Play loop="4">/tone.wav</Play>',
        act=_speaks_meanwhile,
        sees=_whole_call,
        bodies={'<Recording/><Recording/><Play loop="4">/tone.wav</Play>': _whole_call},
        wrong={
            '<Recording>all</Recording><Play loop="4">/tone.wav</Play>': (
                "the text in Recording is ignored",
                _whole_call,
            )
        },
    ),
]
