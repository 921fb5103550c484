"""Messages and recorded calls: what was said, at its level and for its time, and who is told."""

from __future__ import annotations

import time

import pytest

from outdial.testing import audio
from outdial.testing.web import Answer
from system.sipp.stage import CALLER, STEPS, WELL, Call, End, Phone, Scene

_QUIET = {"Connection": "close"}
TONE_HZ, TONE_DBFS = 700, -20.0


class Voicemail:
    """A call to a phone whose application records a message and thanks for it."""

    def __init__(self, scene: Scene, phone: Phone, attributes: str = "") -> None:
        self.path = f"/saved/{phone.number}"
        self._scene = scene
        thanks = b"<Response><Say>Thank you.</Say></Response>"
        scene.web.script(self.path, Answer(body=thanks, content_type="text/xml", headers=_QUIET))
        self.call: Call = scene.call(
            phone,
            f'<Response><Record action="{self.path}" {attributes}/><Say>Nothing came.</Say>'
            "</Response>",
        )

    def told(self) -> list[dict[str, str]]:
        """What `action` got, once the call is over."""
        self.call.wait_for("completed", 40)
        return [request.params for request in self._scene.web.received(self.path)]

    def message(self, url: str) -> audio.Sound:
        """What is at the URL."""
        (sound,) = audio.read_wav(self._scene.stage.outdial.get_bytes(_path(url)))
        return sound

    def records(self, take: int = 1) -> None:
        """Returns once that take is being recorded. Raises TimeoutError."""
        deadline = time.monotonic() + 15
        while [e["kind"] for e in self.call.timeline()].count("recording.started") < take:
            if time.monotonic() > deadline:
                raise TimeoutError(f"take {take} was not begun")
            time.sleep(0.05)


def _path(url: str) -> str:
    return "/v1/recordings/" + url.rpartition("/")[2]


def _hears_beep(phone: Phone, mail: Voicemail) -> None:
    phone.ear.wait_until(lambda ear: audio.active_s(ear.heard()) >= 0.45)
    beep = phone.ear.heard()
    assert audio.tone_share(beep.cut(*(audio.speech_span(beep) or (0, 0))), 1000) > 0.9
    mail.records()


def _speaks(phone: Phone, seconds: float = 2.0) -> None:
    phone.ear.say(audio.tone(TONE_HZ, seconds=seconds, peak_dbfs=TONE_DBFS))


def _check_tone(sound: audio.Sound, seconds: float) -> None:
    start_s, end_s = audio.speech_span(sound) or (0.0, 0.0)
    assert end_s - start_s == pytest.approx(seconds, abs=0.15)
    said = sound.cut(start_s + 0.1, end_s - 0.1)
    assert audio.tone_share(said, TONE_HZ) > 0.9
    assert audio.level_dbfs(said) == pytest.approx(TONE_DBFS - 3, abs=1.5)


def test_a_message_is_what_was_said_after_the_beep(scene: Scene) -> None:
    phone = scene.phone("answer")
    mail = Voicemail(scene, phone, 'fileID="call-7"')
    _hears_beep(phone, mail)
    _speaks(phone)
    phone.ear.press("#")
    (told,) = mail.told()
    sid = mail.call.sid
    assert (told["callid"], told["callSid"], told["fileID"]) == (sid, sid, "call-7")
    assert (told["dialednumber"], told["callerid"]) == (phone.number, CALLER)
    assert (told["callername"], told["RecordingDuration"]) == ("", "2")
    message = mail.message(told["RecordingUrl"])
    _check_tone(message, 2.0)
    assert message.duration_s == pytest.approx(2.2, abs=0.35), "the key ended it"
    assert audio.active_s(phone.ear.heard()) > 0.8, "it was thanked for"
    mail.call.ended(*STEPS, WELL)
    assert mail.call.wait_for("completed")["RecordingURL"] == told["RecordingUrl"]


def test_silence_ends_a_message(scene: Scene) -> None:
    phone = scene.phone("answer")
    mail = Voicemail(scene, phone, 'timeout="1"')
    _hears_beep(phone, mail)
    _speaks(phone, 1.0)
    phone.ear.say(audio.tone(seconds=2.5))
    (told,) = mail.told()
    message = mail.message(told["RecordingUrl"])
    _check_tone(message, 1.0)
    assert message.duration_s == pytest.approx(2.1, abs=0.25)


def test_one_who_says_nothing_leaves_no_message(scene: Scene) -> None:
    phone = scene.phone("answer")
    mail = Voicemail(scene, phone, 'timeout="1"')
    _hears_beep(phone, mail)
    assert mail.told() == []
    mail.call.ended(*STEPS, WELL)
    kinds = [event["kind"] for event in mail.call.timeline()]
    assert "recording.discarded" in kinds
    assert "RecordingURL" not in mail.call.wait_for("completed")
    spoken = [e["data"]["text"] for e in mail.call.timeline() if e["kind"] == "verb.started"]
    assert spoken[-1] == "Nothing came."


def test_hanging_up_leaves_the_message(scene: Scene) -> None:
    phone = scene.phone("hangs-up", talk_ms="3000")
    mail = Voicemail(scene, phone)
    _hears_beep(phone, mail)
    _speaks(phone, 5.0)
    mail.call.ended(*STEPS, End("completed", "200", "normal-clearing", "callee"))
    (request,) = scene.web.wait_for(mail.path)
    _check_message_of_one_who_hung_up(mail, request.params)


def _check_message_of_one_who_hung_up(mail: Voicemail, told: dict[str, str]) -> None:
    message = mail.message(told["RecordingUrl"])
    assert 1.5 < message.duration_s < 3.0
    assert int(told["RecordingDuration"]) == round(message.duration_s)
    assert audio.tone_share(message.cut(0.3, 1.3), TONE_HZ) > 0.9


def test_a_message_is_listened_to_and_recorded_again(scene: Scene) -> None:
    phone = scene.phone("answer")
    mail = Voicemail(scene, phone, 'confirmrecording="1"')
    _hears_beep(phone, mail)
    phone.ear.say(audio.tone(440, seconds=1.0, peak_dbfs=-15))
    phone.ear.press("#")
    phone.ear.wait_for_speech(2.0)
    phone.ear.press("2")
    phone.ear.wait_until(lambda ear: _tone_heard_s(ear.heard(), 440) > 0.8, 15)
    phone.ear.press("3")
    mail.records(2)
    assert _tone_heard_s(phone.ear.heard(), 1000) == pytest.approx(1.0, abs=0.2), "two beeps"
    _speaks(phone)
    phone.ear.press("#")
    phone.ear.wait_until(lambda ear: ear.heard().duration_s > 12, 15)
    phone.ear.press("1")
    (told,) = mail.told()
    _check_tone(mail.message(told["RecordingUrl"]), 2.0)
    started = [e for e in mail.call.timeline() if e["kind"] == "recording.started"]
    assert len(started) == 2


def _tone_heard_s(sound: audio.Sound, frequency_hz: int) -> float:
    """How long the tone alone was heard."""
    frames = [sound.cut(at / 10, (at + 1) / 10) for at in range(int(sound.duration_s * 10))]
    loud = [frame for frame in frames if audio.level_dbfs(frame) > -40]
    return sum(audio.tone_share(frame, frequency_hz) > 0.8 for frame in loud) / 10


# ------------------------------------------------------------------------ whole calls


def test_recording_has_both_directions_from_there_on(scene: Scene) -> None:
    phone = scene.phone("answer")
    call = scene.call(
        phone,
        "<Response><Say>This comes before it all.</Say><Recording/>"
        '<Say>This is on the recording.</Say><Pause length="3"/></Response>',
    )
    phone.ear.wait_for_speech(1.4)
    _speaks(phone, 1.5)
    call.ended(*STEPS, WELL)
    url = call.wait_for("completed")["RecordingURL"]
    said, heard = audio.read_wav(scene.stage.outdial.get_bytes(_path(url)))
    _check_tone(said, 1.5)
    all_speech_s = audio.active_s(phone.ear.heard())
    assert 0.6 < audio.active_s(heard) < all_speech_s - 0.3, "what came before is not on it"


def test_a_recorded_dial_tells_of_the_leg_that_was_connected(scene: Scene) -> None:
    phone, other = scene.phone("answer"), scene.phone("hangs-up", talk_ms="2500")
    after = f"/after/{phone.number}"
    scene.web.script(after, Answer(body=b"<Response/>", content_type="text/xml", headers=_QUIET))
    events = f"/legs/{other.number}"
    scene.web.script(events, Answer(headers=_QUIET))
    call = scene.call(
        phone,
        f'<Response><Dial record="on" action="{after}"><Number statusCallback="{events}">'
        f"{other.number}</Number></Dial></Response>",
    )
    other.ear.wait_until(lambda ear: len(ear.packets) > 5)
    other.ear.say(audio.tone(500, seconds=1.5, peak_dbfs=-20))
    call.ended(*STEPS, WELL)
    (asked,) = scene.web.received(after)
    (told,) = scene.web.wait_for(events)
    assert told.params["RecordingURL"] == asked.params["RecordingUrl"]
    assert "RecordingURL" not in call.wait_for("completed")
    said, _ = audio.read_wav(scene.stage.outdial.get_bytes(_path(told.params["RecordingURL"])))
    span = audio.speech_span(said)
    assert span is not None
    assert span[1] - span[0] == pytest.approx(1.5, abs=0.2)
    assert audio.tone_share(said.cut(*span), 500) > 0.9


# ------------------------------------------------------------------------ Postcall


def test_postcall_is_told_everything_once_the_call_is_over(scene: Scene) -> None:
    phone = scene.phone("hangs-up", talk_ms="1200")
    path = f"/all/{phone.number}"
    broken = Answer(status=500, headers=_QUIET)
    scene.web.script(path, broken, Answer(headers=_QUIET))
    call = scene.call(
        phone, f"<Response><Postcall>{path}</Postcall><Recording/><Pause>9000</Pause></Response>"
    )
    last = call.wait_for("completed")
    first, second = scene.web.wait_for(path, 2, timeout_s=15)
    assert first.params == second.params
    told = second.params
    assert (told["callSid"], told["To"], told["From"]) == (call.sid, phone.number, CALLER)
    assert (told["CallOutcome"], told["HangupSource"]) == ("completed", "callee")
    assert told["CallDuration"] == last["CallDuration"] == "1"
    assert told["RecordingURL"] == last["RecordingURL"]
    assert told["StartTime"] < told["AnswerTime"] < told["EndTime"]
