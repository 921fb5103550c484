"""Click-to-call: a call without a url connects the caller ID, with SIPp on both ends."""

from __future__ import annotations

import time

from outdial.testing import audio
from system.sipp.stage import STEPS, WELL, Call, End, Scene

_HIGH_HZ, _LOW_HZ = 1500, 700


def test_both_hear_each_other_and_digits_pass(scene: Scene) -> None:
    callee, other = scene.phone("answer"), scene.phone("slow-ring", ring_ms="1500")
    call = scene.call(callee, from_=other.number)
    second = call.second_leg()
    call.wait_for("answered", sid=second)

    since = time.monotonic()
    callee.ear.say(audio.tone(_HIGH_HZ, seconds=0.6))
    other.ear.say(audio.tone(_LOW_HZ, seconds=0.6))
    callee.ear.press("12#")
    other.ear.press("90*")
    callee.ear.wait_until(lambda ear: ear.digits() == "90*")
    other.ear.wait_until(lambda ear: ear.digits() == "12#")
    call.hang_up()

    call.ended(*STEPS, WELL._replace(source="caller"))
    call.ended(*STEPS, WELL._replace(source="caller"), sid=second)
    ringback = callee.ear.heard().cut(0.2, 1.2)
    assert audio.tone_share(ringback, 440, 480) > 0.9, "ringback until the other answered"
    assert audio.tone_share(callee.ear.heard(since), _LOW_HZ) > 0.8
    assert audio.tone_share(other.ear.heard(), _HIGH_HZ) > 0.8
    _check_second_leg(call, second)
    assert {pressed.ends for pressed in callee.ear.pressed()} == {3}


def test_when_the_second_hangs_up_the_first_is_released(scene: Scene) -> None:
    callee, other = scene.phone("answer"), scene.phone("hangs-up", talk_ms="300")
    call = scene.call(callee, from_=other.number)
    second = call.second_leg()
    call.ended(*STEPS, WELL._replace(source="callee"), sid=second)
    call.ended(*STEPS, WELL._replace(source="caller"))
    assert len(callee.received("BYE ")) == 1


def test_when_the_first_hangs_up_the_second_is_released(scene: Scene) -> None:
    callee, other = scene.phone("hangs-up", talk_ms="700"), scene.phone("answer")
    call = scene.call(callee, from_=other.number)
    second = call.second_leg()
    call.ended(*STEPS, WELL._replace(source="callee"))
    call.ended(*STEPS, WELL._replace(source="caller"), sid=second)
    assert len(other.received("BYE ")) == 1


def test_when_the_first_hangs_up_early_the_second_is_cancelled(scene: Scene) -> None:
    callee, other = scene.phone("hangs-up", talk_ms="700"), scene.phone("no-answer")
    call = scene.call(callee, from_=other.number)
    second = call.second_leg()
    call.ended(*STEPS, WELL._replace(source="callee"))
    call.ended(
        "initiated", "ringing", End("canceled", "487", "originator-cancel", "caller"), sid=second
    )


def test_a_second_leg_that_is_busy_is_told_to_the_callee(scene: Scene) -> None:
    callee, other = scene.phone("answer"), scene.phone("reject", status="486 Busy Here")
    call = scene.call(callee, from_=other.number)
    second = call.second_leg()
    call.ended("initiated", End("busy", "486", "user-busy", "callee"), sid=second)
    call.ended(*STEPS, WELL._replace(source="outdial"))
    assert audio.active_s(callee.ear.heard()) > 0.6, "the reason was spoken"


def test_a_second_leg_that_nobody_answers_is_told_to_the_callee(scene: Scene) -> None:
    callee, other = scene.phone("answer"), scene.phone("no-answer")
    call = scene.call(callee, from_=other.number, timeout=1)
    second = call.second_leg()
    call.ended("initiated", "ringing", End("no-answer", "487", "no-answer", "outdial"), sid=second)
    call.ended(*STEPS, WELL._replace(source="outdial"))


def test_the_second_phones_early_media_is_heard_instead_of_ringback(scene: Scene) -> None:
    callee, other = scene.phone("answer"), scene.phone("early-media", early_ms="1200")
    call = scene.call(callee, from_=other.number)
    second = call.second_leg()
    call.wait_for("ringing", sid=second)
    other.ear.say(audio.tone(_LOW_HZ, seconds=0.6))
    call.wait_for("answered", sid=second)
    call.hang_up()
    call.ended(*STEPS, WELL._replace(source="caller"))
    call.ended(*STEPS, WELL._replace(source="caller"), sid=second)
    assert audio.tone_share(callee.ear.heard().cut(0.2, 0.6), _LOW_HZ) > 0.5


def test_a_digit_by_info_reaches_the_other_as_a_telephone_event(scene: Scene) -> None:
    callee, other = scene.phone("asks-inside"), scene.phone("answer")
    call = scene.call(callee, from_=other.number)
    second = call.second_leg()
    other.ear.wait_until(lambda ear: ear.digits() == "5")
    call.hang_up()
    call.ended(*STEPS, WELL._replace(source="caller"))
    call.ended(*STEPS, WELL._replace(source="caller"), sid=second)


def _check_second_leg(call: Call, second: str) -> None:
    for event in call.events(second):
        assert (event.params["To"], event.params["From"]) == (call.from_, call.to)
        assert event.params["ParentCallSid"] == call.sid


def test_early_media_that_ends_in_a_refusal_is_heard_and_then_why(scene: Scene) -> None:
    callee, other = scene.phone("answer"), scene.phone("early-then-busy")
    call = scene.call(callee, from_=other.number)
    second = call.second_leg()
    call.wait_for("ringing", sid=second)
    since = time.monotonic()
    other.ear.say(audio.tone(_LOW_HZ, seconds=0.8))
    call.ended("initiated", "ringing", End("busy", "486", "user-busy", "callee"), sid=second)
    call.ended(*STEPS, WELL._replace(source="outdial"))
    heard = callee.ear.heard(since)
    assert audio.tone_share(heard.cut(0.3, 0.7), _LOW_HZ) > 0.9, "the announcement"
    assert audio.active_s(heard) > 0.8 + 0.6, "and the reason, spoken"
    kinds = [event["kind"] for event in call.timeline()]
    assert "dial.early" in kinds and "bridged" not in kinds
