"""What becomes of a Dial, told to its action and heard by the caller: every way it can end.

The calls are placed together, and each test looks at one of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from outdial.testing import audio
from outdial.testing.web import Answer
from system.sipp.stage import Call, Phone, Scene, Stage

_QUIET = {"Connection": "close"}
RINGBACK_HZ = (440, 480)
TALK_HZ = 700
NEXT = b"<Response><Say>Thank you for calling, and goodbye.</Say></Response>"


@dataclass
class Dialled:
    """A call whose document dials others."""

    scene: Scene
    caller: Phone
    others: list[Phone]
    call: Call
    after: str
    legs: str

    def told(self) -> dict[str, str]:
        """What `action` got, once."""
        (request,) = self.scene.web.wait_for(self.after, timeout_s=20)
        return request.params

    def ended(self, number: str = "") -> dict[str, str]:
        """The `completed` callback of the leg to that number, of the only one unless said."""
        wanted = number or self.others[0].number
        got = self.scene.web.wait_until(
            self.legs, lambda got: any(request.params["To"] == wanted for request in got), 20
        )
        return next(request.params for request in got if request.params["To"] == wanted)

    def heard(self) -> audio.Sound:
        """All that the caller heard."""
        self.call.wait_for("completed", 20)
        return self.caller.ear.heard()


class Party:
    """One to be rung: a SIPp scenario and the attributes of its Number."""

    def __init__(self, scenario: str, attributes: str = "", **values: Any) -> None:
        self.scenario, self.attributes, self.values = scenario, attributes, values


def dialled(
    scene: Scene, *parties: Party, dial: str = "", caller: str = "answer", **values: Any
) -> Dialled:
    phone = scene.phone(caller, **values)
    others = [scene.phone(party.scenario, **party.values) for party in parties]
    after, legs = f"/after/{phone.number}", f"/legs/{phone.number}"
    scene.web.script(after, Answer(body=NEXT, content_type="text/xml", headers=_QUIET))
    scene.web.script(legs, Answer(headers=_QUIET))
    numbers = "".join(
        f'<Number statusCallback="{legs}" {party.attributes}>{other.number}</Number>'
        for party, other in zip(parties, others, strict=True)
    )
    document = f'<Response><Dial action="{after}" {dial}>{numbers}</Dial></Response>'
    return Dialled(scene, phone, others, scene.call(phone, document), after, legs)


@pytest.fixture(scope="module")
def all_at_once(stage: Stage) -> Iterator[dict[str, Dialled]]:
    with Scene(stage).running() as scene:
        calls = {
            "busy": dialled(scene, Party("reject", status="486 Busy Here")),
            "declined": dialled(scene, Party("ring-then-reject", status="603 Decline")),
            "nobody": dialled(scene, Party("reject", status="404 Not Found")),
            "no-answer": dialled(scene, Party("no-answer"), dial='timeout="1"'),
            "conversation": dialled(
                scene, Party("hangs-up", talk_ms="2400"), dial='record="on" callerid="12025550177"'
            ),
            "limited": dialled(scene, Party("answer"), dial='timelimit="1"'),
            "gone-ringing": dialled(scene, Party("no-answer"), caller="hangs-up", talk_ms="900"),
            "gone-talking": dialled(
                scene, Party("answer", 'record="on"'), caller="hangs-up", talk_ms="2000"
            ),
            "second": dialled(
                scene,
                Party("reject", status="486 Busy Here"),
                Party("hangs-up", talk_ms="1000"),
            ),
            "silent-early": dialled(
                scene, Party("early-media", early_ms="2500"), dial='timelimit="1"'
            ),
            "crossing": dialled(scene, Party("hangs-up", talk_ms="900"), Party("cancel-race")),
        }
        talking = calls["conversation"].others[0].ear
        talking.wait_until(lambda ear: len(ear.packets) > 5)
        talking.say(audio.tone(TALK_HZ, seconds=1.2, peak_dbfs=-15))
        yield calls


@pytest.mark.parametrize(
    ("name", "status"),
    [("busy", "busy"), ("declined", "failed"), ("nobody", "failed"), ("no-answer", "no-answer")],
)
def test_one_who_cannot_be_had(all_at_once: dict[str, Dialled], name: str, status: str) -> None:
    dial = all_at_once[name]
    told = dial.told()
    assert (told["DialCallStatus"], told["DialCallDuration"]) == (status, "0")
    assert (told["callSid"], told["CallStatus"]) == (dial.call.sid, "answered")
    leg = dial.ended()
    assert told["DialCallSid"] == leg["callSid"]
    assert leg["ParentCallSid"] == dial.call.sid
    assert "RecordingUrl" not in told
    heard = dial.heard()
    assert said_s(heard) > 1.0, "the action's answer"
    if name == "no-answer":
        assert audio.tone_share(heard.cut(0.1, 1.0), *RINGBACK_HZ) > 0.9


def test_a_conversation(all_at_once: dict[str, Dialled]) -> None:
    dial = all_at_once["conversation"]
    told, leg = dial.told(), dial.ended()
    assert (told["DialCallStatus"], told["DialCallSid"]) == ("completed", leg["callSid"])
    assert told["DialCallDuration"] == leg["CallDuration"] == "2"
    assert leg["From"] == "12025550177"
    assert told["RecordingUrl"] == leg["RecordingURL"]
    assert "RecordingURL" not in dial.call.wait_for("completed")
    path = "/v1/recordings/" + told["RecordingUrl"].rpartition("/")[2]
    said, heard = audio.read_wav(dial.scene.stage.outdial.get_bytes(path))
    assert audio.active_s(said) == pytest.approx(1.2, abs=0.2)
    assert audio.active_s(heard) < 0.1, "the caller said nothing"
    caller = dial.heard()
    talk = caller.cut(*span_of(caller, TALK_HZ))
    assert talk.duration_s == pytest.approx(1.2, abs=0.25)
    assert said_s(caller) > 1.0, "the action's answer"


def test_a_time_limit_ends_the_conversation_and_the_caller_goes_on(
    all_at_once: dict[str, Dialled],
) -> None:
    dial = all_at_once["limited"]
    told, leg = dial.told(), dial.ended()
    assert (told["DialCallStatus"], told["DialCallDuration"]) == ("completed", "1")
    assert (leg["HangupCause"], leg["HangupSource"]) == ("time-limit", "outdial")
    assert said_s(dial.heard()) > 1.0


@pytest.mark.parametrize(
    ("name", "status", "cause"),
    [
        ("gone-ringing", "canceled", "originator-cancel"),
        ("gone-talking", "completed", "normal-clearing"),
    ],
)
def test_the_caller_hangs_up(
    all_at_once: dict[str, Dialled], name: str, status: str, cause: str
) -> None:
    dial = all_at_once[name]
    told, leg = dial.told(), dial.ended()
    assert (told["DialCallStatus"], told["CallStatus"]) == (status, "completed")
    assert told["DialCallSid"] == leg["callSid"]
    assert (leg["CallOutcome"], leg["HangupCause"], leg["HangupSource"]) == (
        status,
        cause,
        "caller",
    )
    assert ("RecordingUrl" in told) == ("RecordingURL" in leg) == (name == "gone-talking")
    assert told["DialCallDuration"] == leg["CallDuration"]
    assert said_s(dial.heard()) < 0.2, "nothing is said to who has gone"


def test_the_first_to_answer_of_several(all_at_once: dict[str, Dialled]) -> None:
    dial = all_at_once["second"]
    busy, other = dial.others
    told = dial.told()
    assert told["DialCallStatus"] == "completed"
    assert told["DialCallSid"] == dial.ended(other.number)["callSid"]
    assert dial.ended(busy.number)["CallOutcome"] == "busy"


def test_who_answers_in_the_moment_of_being_cancelled_is_hung_up_on(
    all_at_once: dict[str, Dialled],
) -> None:
    dial = all_at_once["crossing"]
    first, late = dial.others
    assert dial.told()["DialCallSid"] == dial.ended(first.number)["callSid"]
    assert dial.ended(late.number)["CallOutcome"] == "canceled"
    answered = next(m for m in late.sent("SIP/2.0 200") if "INVITE" in m.get("CSeq"))
    (bye,) = late.received("BYE ")
    waited = datetime.fromisoformat(bye.time) - datetime.fromisoformat(answered.time)
    assert waited.total_seconds() < 0.5, "at once"


def test_ringback_goes_on_when_early_media_is_promised_and_does_not_come(
    all_at_once: dict[str, Dialled],
) -> None:
    dial = all_at_once["silent-early"]
    assert dial.told()["DialCallStatus"] == "completed"
    heard = dial.heard()
    assert audio.tone_share(heard.cut(0.3, 1.8), *RINGBACK_HZ) > 0.9
    assert audio.level_dbfs(heard.cut(0.5, 1.5)) > -30


def said_s(heard: audio.Sound) -> float:
    """How long something was heard that is neither ringback nor the other party."""
    frames = [heard.cut(at / 10, (at + 1) / 10) for at in range(int(heard.duration_s * 10))]
    loud = [frame for frame in frames if audio.level_dbfs(frame) > -45]
    return sum(audio.tone_share(frame, *RINGBACK_HZ, TALK_HZ) < 0.7 for frame in loud) / 10


def span_of(heard: audio.Sound, frequency_hz: int) -> tuple[float, float]:
    """From where to where the tone was heard."""
    places = [
        at / 10
        for at in range(int(heard.duration_s * 10))
        if audio.level_dbfs(frame := heard.cut(at / 10, (at + 1) / 10)) > -40
        and audio.tone_share(frame, frequency_hz) > 0.8
    ]
    return (places[0], places[-1] + 0.1) if places else (0.0, 0.0)
