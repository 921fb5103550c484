"""Digits that the called party keys: heard in every way there is, and told to `action` alone."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from outdial.testing import audio
from outdial.testing.web import Answer
from system.sipp.ear import DIGITS
from system.sipp.stage import STEPS, WELL, Call, Phone, Scene

PROMPT = (
    "Please key the four digits of your number, and be so kind as to press the hash key when you "
    "have done so. Please key the four digits of your number now, and take your time."
)
"""About eight seconds."""
THANKS = "<Response><Say>Thank you very much.</Say></Response>"
_QUIET = {"Connection": "close"}
_KEYPAD_HZ = {
    digit: (low, high)
    for low, row in zip((697, 770, 852, 941), ("123A", "456B", "789C", "*0#D"), strict=True)
    for high, digit in zip((1209, 1336, 1477, 1633), row, strict=True)
}


class Menu:
    """A call to a phone whose application asks for digits and thanks for them."""

    def __init__(
        self, scene: Scene, phone: Phone, attributes: str, inside: str = f"<Say>{PROMPT}</Say>"
    ) -> None:
        self.path = f"/keyed/{phone.number}"
        self._scene = scene
        answer = Answer(body=THANKS.encode(), content_type="text/xml", headers=_QUIET)
        scene.web.script(self.path, answer)
        document = (
            f'<Response><Gather action="{self.path}" {attributes}>{inside}</Gather>'
            "<Say>Nothing came.</Say></Response>"
        )
        self.call: Call = scene.call(phone, document)

    def keyed(self) -> list[dict[str, str]]:
        """What `action` got, once it was asked or the call is over."""
        self.call.wait_for("completed", 40)
        return [request.params for request in self._scene.web.received(self.path)]

    def ended(self) -> dict[str, object]:
        """What the timeline says of the Gather's end."""
        (line,) = [e for e in self.call.timeline() if e["kind"] == "verb.ended"]
        return dict(line["data"])


def test_digits_keyed_during_the_prompt_stop_it_and_reach_the_action(scene: Scene) -> None:
    phone = scene.phone("answer")
    menu = Menu(scene, phone, 'minDigits="4" numDigits="4"')
    phone.ear.wait_for_speech(1.0)
    phone.ear.press("8")
    stopped_at = time.monotonic()
    phone.ear.press("970")
    (params,) = menu.keyed()
    assert params["Digits"] == "8970"
    assert (params["callSid"], params["CallStatus"]) == (menu.call.sid, "answered")
    menu.call.ended(*STEPS, WELL)

    before = [p for p in phone.ear.packets if p.at < stopped_at + 0.25]
    after = phone.ear.heard(since=stopped_at + 0.25)
    assert len(before) > 60, "the prompt was heard until then"
    span = audio.speech_span(after)
    assert span is not None, "the answer of action is spoken"
    assert 0.3 < span[1] - span[0] < 2.5, "and the prompt is not"
    assert menu.ended() == {"verb": "Gather", "result": "digits", "count": 4, "tries": 1}


def bursts(share: float, seed: int) -> Callable[[], bool]:
    """Loses such a share of what it is asked about, in bursts of one to three packets."""
    chance = random.Random(seed)
    fates: list[bool] = []

    def lost() -> bool:
        if not fates:
            begins = chance.random() < share / (2 - share)
            fates.extend([True] * chance.randint(1, 3) if begins else [False])
        return fates.pop()

    return lost


@pytest.mark.parametrize(
    "seed", [1, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(2, 22))]
)
def test_every_key_is_right_at_five_percent_loss(scene: Scene, seed: int) -> None:
    phone = scene.phone("answer")
    menu = Menu(scene, phone, 'numDigits="16" finishOnKey=""')
    phone.ear.wait_for_speech(0.3)
    phone.ear.loses = bursts(0.05, seed)
    phone.ear.press(DIGITS)
    phone.ear.loses = lambda: False
    (params,) = menu.keyed()
    assert params["Digits"] == DIGITS, f"{phone.ear.lost} packets were lost"
    assert phone.ear.lost > 0
    menu.call.ended(*STEPS, WELL)


def test_nobody_but_the_action_learns_the_digits(scene: Scene) -> None:
    phone = scene.phone("answer")
    menu = Menu(scene, phone, 'numDigits="6"', "")
    phone.ear.wait_until(lambda ear: len(ear.packets) > 10)
    phone.ear.press("736401")
    assert menu.keyed()[0]["Digits"] == "736401"
    sid = menu.call.sid
    outdial = scene.stage.outdial
    assert "736401" not in str(menu.call.timeline()) + str(menu.call.show())
    assert "736401" not in str(outdial.get(f"/v1/calls/{sid}/ladder"))
    assert "736401" not in outdial.log_path.read_text(encoding="utf-8")


def test_tones_in_the_audio_are_digits_where_there_are_no_events(scene: Scene) -> None:
    phone = scene.phone("answer", sdp="@sdp-no-events@")
    menu = Menu(scene, phone, "")
    phone.ear.wait_for_speech(0.5)
    silence = audio.tone(seconds=0.1)
    for digit in "05*D9#":
        phone.ear.say(audio.tone(*_KEYPAD_HZ[digit], seconds=0.12, peak_dbfs=-12))
        phone.ear.say(silence)
    assert menu.keyed()[0]["Digits"] == "05*D9"


def test_info_is_a_digit_too_and_the_ladder_hides_which(scene: Scene) -> None:
    phone = scene.phone("keys-by-info")
    menu = Menu(scene, phone, 'numDigits="2"')
    assert menu.keyed()[0]["Digits"] == "79"
    ladder = scene.stage.outdial.get(f"/v1/calls/{menu.call.sid}/ladder")["messages"]
    infos = [m["text"] for m in ladder if m["start_line"].startswith("INFO")]
    assert [info.split("\r\n\r\n")[1].split() for info in infos] == [
        ["Signal=x", "Duration=160"],
        ["x"],
    ]


def test_who_keys_too_little_is_asked_again_and_then_the_next_verb_runs(scene: Scene) -> None:
    phone = scene.phone("answer")
    menu = Menu(
        scene, phone, 'minDigits="3" timeout="1" tries="2"', "<Say>Key three digits, please.</Say>"
    )
    phone.ear.wait_for_speech(0.3)
    phone.ear.press("12")
    assert menu.keyed() == []
    menu.call.ended(*STEPS, WELL)
    assert menu.ended() == {"verb": "Gather", "result": "no-digits", "tries": 2}
    said = [e["data"]["text"] for e in menu.call.timeline() if e["kind"] == "verb.started"]
    assert said[1:] == ["Key three digits, please."] * 2 + ["Nothing came."]
    assert audio.longest_gap_s(phone.ear.heard()) == pytest.approx(1.0, abs=0.6)


def test_digits_keyed_before_the_question_count(scene: Scene) -> None:
    phone = scene.phone("answer")
    path = f"/keyed/{phone.number}"
    scene.web.script(path, Answer(body=THANKS.encode(), content_type="text/xml", headers=_QUIET))
    call = scene.call(
        phone,
        f'<Response><Say>Welcome to the company.</Say><Gather action="{path}" numDigits="2">'
        f"<Say>{PROMPT}</Say></Gather></Response>",
    )
    phone.ear.wait_for_speech(0.3)
    phone.ear.press("42")
    call.ended(*STEPS, WELL)
    assert [request.params["Digits"] for request in scene.web.received(path)] == ["42"]
    assert phone.ear.heard().duration_s < 5, "the question was not put"
