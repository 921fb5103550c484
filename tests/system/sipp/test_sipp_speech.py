"""A word that the called party says: recognised, or honestly nothing, over real SIP and RTP."""

from __future__ import annotations

import time

import pytest

from doubles.spoken import sound_of
from outdial.speech.recognizer import is_installed
from outdial.testing import audio
from outdial.testing.web import Answer
from system.sipp.stage import STEPS, WELL, Phone, Scene

pytestmark = pytest.mark.skipif(not is_installed(), reason="pocketsphinx is not installed")

_QUIET = {"Connection": "close"}
PROMPT = (
    "Please say whom you want to talk to. You can say Monday, or technical support, and I will "
    "put you through. Please say whom you want to talk to now, and take your time."
)
HINTS = "Monday, technical support, repeat that"


class Question:
    """A call to a phone whose application asks for a word."""

    def __init__(self, scene: Scene, phone: Phone, attributes: str, prompt: str = PROMPT) -> None:
        self.path = f"/said/{phone.number}"
        self._scene = scene
        thanks = b"<Response><Say>Thank you very much.</Say></Response>"
        scene.web.script(self.path, Answer(body=thanks, content_type="text/xml", headers=_QUIET))
        self.call = scene.call(
            phone,
            f'<Response><Gather action="{self.path}" hints="{HINTS}" {attributes}>'
            f"<Say>{prompt}</Say></Gather></Response>",
        )

    def told(self) -> list[dict[str, str]]:
        """What `action` got, once the call is over."""
        self.call.wait_for("completed", 40)
        return [request.params for request in self._scene.web.received(self.path)]

    def waits_for(self, kind: str) -> None:
        """Returns once the timeline has it. Raises TimeoutError."""
        deadline = time.monotonic() + 15
        while all(event["kind"] != kind for event in self.call.timeline()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"there was no {kind}")
            time.sleep(0.05)


def test_a_word_during_the_prompt_stops_it_and_reaches_the_action(scene: Scene) -> None:
    phone = scene.phone("answer")
    question = Question(scene, phone, 'input="dtmf speech"')
    phone.ear.wait_for_speech(1.0)
    phone.ear.say(sound_of("technical support"))
    (told,) = question.told()
    assert told["SpeechResult"] == "technical support"
    assert 0 < float(told["Confidence"]) <= 1
    assert "Digits" not in told
    question.call.ended(*STEPS, WELL)
    assert audio.active_s(phone.ear.heard()) < 6, "the prompt of nine seconds was stopped"
    asked, heard = (e for e in question.call.timeline() if e["data"].get("verb") == "Gather")
    assert "technical" not in str(asked) + str(heard), "what was said is nobody else's business"


def test_other_words_and_noise_are_nothing_and_keys_are_taken_beside_them(scene: Scene) -> None:
    phone = scene.phone("answer")
    question = Question(scene, phone, 'input="dtmf speech" numDigits="1" timeout="6"', "Whom?")
    phone.ear.wait_for_speech(0.2)
    phone.ear.say(sound_of("I would like to know what the weather is"))
    question.waits_for("speech.unrecognized")
    phone.ear.press("7")
    (told,) = question.told()
    assert told["Digits"] == "7"
    assert "SpeechResult" not in told
    question.call.ended(*STEPS, WELL)
