"""A whole conversation as a caller has it: asked, keyed, recorded, played back, thanked."""

from __future__ import annotations

import pytest

from outdial.testing import audio
from outdial.testing.web import Answer, Received, WebServer
from system.sipp.stage import STEPS, WELL, Phone, Scene

MENU = "Welcome to the shop. To leave us a message press two, and speak after the beep, please."
MESSAGE_HZ, MESSAGE_DBFS = 620, -18.0


class Application:
    """A voice application as somebody would write it: a menu with voicemail."""

    def __init__(self) -> None:
        self.web = WebServer(on_request=self._next)
        self.web.script("/events", Answer(headers={"Connection": "close"}))
        self._says(
            "/menu",
            f'<Gather action="/keyed" numDigits="1"><Say>{MENU}</Say></Gather>'
            "<Say>Nothing was pressed.</Say>",
        )
        self._says("/keyed", '<Record action="/saved" maxlength="20"/><Say>Nothing was said.</Say>')
        self._says("/saved", "<Redirect>/played</Redirect>")
        self.told: dict[str, str] = {}

    def _says(self, path: str, inside: str) -> None:
        body = f"<Response>{inside}</Response>".encode()
        headers = {"Connection": "close"}
        self.web.script(path, Answer(body=body, content_type="text/xml", headers=headers))

    def _next(self, request: Received) -> None:
        """What follows Record's action names the recording."""
        if request.path == "/saved":
            self.told = request.params
            url = request.params["RecordingUrl"]
            self._says("/played", f"<Play>{url}</Play><Pause>300</Pause><Say>Thank you.</Say>")


def test_menu_message_and_playback(scene: Scene) -> None:
    application = Application()
    with application.web as web:
        phone = scene.phone("answer")
        call = scene.call(phone, url=web.url("/menu"))
        phone.ear.wait_for_speech(1.5)
        phone.ear.press("2")
        keyed = web.wait_for("/keyed")[0].params
        phone.ear.wait_until(lambda ear: heard_s(ear.heard(), 1000) >= 0.4)
        phone.ear.say(audio.tone(seconds=0.2))
        said = audio.tone(MESSAGE_HZ, seconds=1.6, peak_dbfs=MESSAGE_DBFS)
        phone.ear.say(said)
        before_s = phone.ear.heard().duration_s
        phone.ear.press("#")
        call.ended(*STEPS, WELL)
    assert (keyed["Digits"], keyed["callSid"]) == ("2", call.sid)
    _check_what_was_heard(phone, before_s)
    (stored,) = audio.read_wav(scene.stage.outdial.get_bytes(_path(application.told)))
    span = audio.speech_span(stored)
    assert span is not None
    assert span[1] - span[0] == pytest.approx(1.6, abs=0.15)
    assert audio.tone_share(stored.cut(*span), MESSAGE_HZ) > 0.9
    spoken = [e["data"]["text"] for e in call.timeline() if e["kind"] == "verb.started"]
    assert MENU.startswith(spoken[1].rstrip("…"))
    assert spoken[-1] == "Thank you."


def _check_what_was_heard(phone: Phone, before_s: float) -> None:
    """The prompt and the beep before, and afterwards the message at its level, and words."""
    heard = phone.ear.heard()
    assert heard_s(heard.cut(0.0, before_s), MESSAGE_HZ) < 0.2, "nobody hears himself"
    back = heard.cut(before_s, heard.duration_s)
    assert heard_s(back, MESSAGE_HZ) == pytest.approx(1.6, abs=0.3)
    loud = [frame for frame in frames(back) if audio.tone_share(frame, MESSAGE_HZ) > 0.9]
    level = audio.level_dbfs(loud[len(loud) // 2])
    assert level == pytest.approx(MESSAGE_DBFS - 3, abs=1.5), "as loud as it was said"
    assert audio.active_s(back) > 1.6 + 0.3, "and thanks"


def heard_s(sound: audio.Sound, frequency_hz: int) -> float:
    """How long the tone alone was heard."""
    return sum(audio.tone_share(frame, frequency_hz) > 0.8 for frame in frames(sound)) / 10


def frames(sound: audio.Sound) -> list[audio.Sound]:
    """Tenths of a second in which there is something."""
    tenths = [sound.cut(at / 10, (at + 1) / 10) for at in range(int(sound.duration_s * 10))]
    return [tenth for tenth in tenths if audio.level_dbfs(tenth) > -45]


def _path(told: dict[str, str]) -> str:
    return "/v1/recordings/" + told["RecordingUrl"].rpartition("/")[2]
