"""The smaller verbs, each on a call to SIPp."""

from __future__ import annotations

import pytest

from outdial.testing import audio
from outdial.testing.web import Answer
from system.sipp.stage import STEPS, WELL, Scene

_QUIET = {"Connection": "close"}


def test_say_notifies_its_action_when_it_has_been_spoken(scene: Scene) -> None:
    phone = scene.phone("answer")
    path = f"/said/{phone.number}"
    hang_up = b"<Response><Hangup/></Response>"
    scene.web.script(path, Answer(body=hang_up, content_type="text/xml", headers=_QUIET))
    call = scene.call(
        phone,
        f'<Response><Say action="{path}">Good morning.</Say><Pause>900</Pause>'
        "<Say>This is still spoken, whatever was answered.</Say></Response>",
    )
    call.ended(*STEPS, WELL)
    (told,) = scene.web.received(path)
    assert (told.params["callSid"], told.params["CallStatus"]) == (call.sid, "answered")
    heard = phone.ear.heard()
    assert audio.longest_gap_s(heard) == pytest.approx(1.0, abs=0.4)
    assert audio.active_s(heard) > 1.4, "the answer to the notification is thrown away"


def test_play_plays_a_file_as_often_as_it_is_told(scene: Scene) -> None:
    phone = scene.phone("answer")
    path = f"/sound/{phone.number}.wav"
    tone = audio.joined(audio.tone(600, seconds=0.5), audio.tone(seconds=0.5))
    sound = Answer(body=audio.wav(tone), content_type="audio/wav", headers=_QUIET)
    scene.web.script(path, sound)
    call = scene.call(phone, f'<Response><Play loop="3">{path}</Play></Response>')
    call.ended(*STEPS, WELL)
    heard = phone.ear.heard()
    assert audio.active_s(heard) == pytest.approx(1.5, abs=0.15)
    assert audio.tone_share(heard, 600) > 0.9


def test_redirect_drops_the_rest_and_goes_on(scene: Scene) -> None:
    phone = scene.phone("answer")
    path = f"/next/{phone.number}"
    scene.web.script(path, Answer(body=b"<Response/>", content_type="text/xml", headers=_QUIET))
    call = scene.call(
        phone,
        f'<Response><Redirect method="GET">{path}</Redirect><Say>Never.</Say></Response>',
    )
    call.ended(*STEPS, WELL)
    (asked,) = scene.web.received(path)
    assert (asked.method, asked.params["callSid"]) == ("GET", call.sid)
    assert audio.active_s(phone.ear.heard()) == 0


@pytest.mark.parametrize("verb", ['<Reject reason="busy"/>', "<Hangup/>"])
def test_an_answered_call_is_hung_up(scene: Scene, verb: str) -> None:
    phone = scene.phone("answer")
    call = scene.call(phone, f"<Response>{verb}<Say>Never.</Say></Response>")
    call.ended(*STEPS, WELL)
    assert len(phone.received("BYE ")) == 1
    assert audio.active_s(phone.ear.heard()) == 0


def test_forward_is_dial_and_a_number_has_digits_and_callbacks_of_its_own(scene: Scene) -> None:
    phone, other = scene.phone("answer"), scene.phone("hangs-up", talk_ms="2500")
    events = f"/legs/{other.number}"
    scene.web.script(events, Answer(headers=_QUIET))
    call = scene.call(
        phone,
        f'<Response><Forward timelimit="60"><Number sendDigits="42w#" callerid="18005550123" '
        f'statusCallback="{events}" statusCallbackEvent="initiated ringing answered completed" '
        f'statusCallbackMethod="GET">{other.number}</Number></Forward></Response>',
    )
    call.ended(*STEPS, WELL)
    assert other.ear.digits() == "42#"
    told = scene.web.wait_for(events, 4)
    assert [request.method for request in told] == ["GET"] * 4
    assert [request.params["CallStatus"] for request in told] == [*STEPS, "completed"]
    last = told[-1].params
    assert (last["To"], last["From"]) == (other.number, "18005550123")
    assert last["ParentCallSid"] == call.sid != last["callSid"]
