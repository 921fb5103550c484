"""A document for who answers a Dial, which may decline the call; and digits played to a phone."""

from __future__ import annotations

import pytest

from outdial.testing import audio
from outdial.testing.web import Answer
from system.sipp.stage import STEPS, WELL, Call, Phone, Scene

_QUIET = {"Connection": "close"}
SCREEN = "<Say>A call from the shop. Press 1 to take it.</Say>"


class Screened:
    """A call whose document dials another phone, which is asked to press 1."""

    def __init__(self, scene: Scene, phone: Phone, other: Phone) -> None:
        self._scene = scene
        self.after = f"/after/{phone.number}"
        self.events = f"/legs/{other.number}"
        self.whisper = f"/whisper/{other.number}"
        accepted = f"/accepted/{other.number}"
        self._serve(self.after, "")
        self._serve(accepted, "")
        self._serve(
            self.whisper,
            f'<Gather numDigits="1" timeout="1" tries="1" action="{accepted}">{SCREEN}</Gather>'
            "<Hangup/>",
        )
        scene.web.script(self.events, Answer(headers=_QUIET))
        self.call: Call = scene.call(
            phone,
            f'<Response><Dial action="{self.after}"><Number url="{self.whisper}" '
            f'statusCallback="{self.events}" statusCallbackEvent="answered completed">'
            f"{other.number}</Number></Dial></Response>",
        )

    def _serve(self, path: str, inside: str) -> None:
        body = f"<Response>{inside}</Response>".encode()
        self._scene.web.script(path, Answer(body=body, content_type="text/xml", headers=_QUIET))

    def legs(self) -> list[dict[str, str]]:
        """The callbacks of the other leg."""
        got = self._scene.web.wait_for(self.events, 2, timeout_s=20)
        return [request.params for request in got]

    def status(self) -> str:
        """What the Dial's action got."""
        (request,) = self._scene.web.wait_for(self.after, timeout_s=20)
        return request.params["DialCallStatus"]


def test_a_whisper_is_heard_and_accepted_and_then_the_two_are_connected(scene: Scene) -> None:
    phone, other = scene.phone("answer"), scene.phone("hangs-up", talk_ms="6000")
    screened = Screened(scene, phone, other)
    other.ear.wait_for_speech(0.8)
    other.ear.press("1")
    before_s = phone.ear.heard().duration_s
    other.ear.say(audio.tone(700, seconds=2.0, peak_dbfs=-15))
    answered, completed = screened.legs()
    assert (answered["CallStatus"], completed["CallOutcome"]) == ("answered", "completed")
    assert screened.status() == "completed"
    screened.call.ended(*STEPS, WELL)
    assert answered["ParentCallSid"] == screened.call.sid
    heard = phone.ear.heard()
    assert audio.tone_share(heard.cut(0, before_s - 0.2), 440, 480) > 0.9, "ringback until then"
    talk = heard.cut(before_s + 0.3, before_s + 1.3)
    assert audio.tone_share(talk, 700) > 0.9
    (asked,) = scene.web.received(screened.whisper)
    assert (asked.params["To"], asked.params["callSid"]) == (other.number, answered["callSid"])


def test_a_whisper_that_nobody_accepts_connects_nobody(scene: Scene) -> None:
    phone, other = scene.phone("answer"), scene.phone("answer")
    screened = Screened(scene, phone, other)
    _, completed = screened.legs()
    assert (completed["HangupSource"], completed["HangupCause"]) == (
        "application",
        "normal-clearing",
    )
    assert screened.status() == "no-answer"
    screened.call.ended(*STEPS, WELL)
    assert audio.active_s(other.ear.heard()) > 1.0, "the question was put"
    heard = phone.ear.heard()
    assert audio.tone_share(heard.cut(*(audio.speech_span(heard) or (0, 0))), 440, 480) > 0.8
    assert "bridged" not in [event["kind"] for event in screened.call.timeline()]


def test_digits_are_played_to_a_phone(scene: Scene) -> None:
    phone = scene.phone("answer")
    call = scene.call(phone, '<Response><Play digits="4w2#"/><Pause length="1"/></Response>')
    call.ended(*STEPS, WELL)
    pressed = phone.ear.pressed()
    assert "".join(one.digit for one in pressed) == "42#"
    assert pressed[1].at - pressed[0].at == pytest.approx(0.7, abs=0.06)
