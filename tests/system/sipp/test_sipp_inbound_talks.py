"""Conversations of those who call us: dialled on, met in a conference, taken from a queue."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from outdial.testing import audio
from outdial.testing.web import Answer
from system.sipp.stage import Scene
from system.sipp.test_sipp_meetings import HZ, Meetings, all_speak, shares

_QUIET = {"Connection": "close"}
ANN = "12025550123"
"""Who calls, in SIPp's scenario."""
NEXT = "<Say>Thank you for calling, and goodbye.</Say>"
_numbers = (f"1800555{place:04d}" for place in count(200))


class Desk:
    """Numbers of ours, for the time of one test."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._outdial = scene.stage.outdial
        self._taken: list[str] = []

    def number(self, document: str, **settings: Any) -> str:
        """A number whose calls run the document, and tell of their end at `/ended/{number}`."""
        number = next(_numbers)
        web = self._scene.web
        self.serve(f"/app/{number}", document)
        web.script(f"/ended/{number}", Answer(headers=_QUIET))
        answer = {
            "number": number,
            "url": web.url(f"/app/{number}"),
            "status_callback": web.url(f"/ended/{number}"),
        }
        self._outdial.post("/v1/numbers", {**answer, **settings})
        self._taken.append(number)
        return number

    def serve(self, path: str, inside: str) -> str:
        """A document of the web server."""
        body = f"<Response>{inside}</Response>".encode()
        self._scene.web.script(path, Answer(body=body, content_type="text/xml", headers=_QUIET))
        return path

    def sid(self, number: str, place: int = 0) -> str:
        """The call to the number, which has come."""
        requests = self._scene.web.wait_for(f"/app/{number}", place + 1)
        return requests[place].params["callSid"]

    def ended(self, number: str) -> dict[str, str]:
        """What is told of its end."""
        return self._scene.web.wait_for(f"/ended/{number}", timeout_s=20)[0].params

    def kinds(self, sid: str) -> list[str]:
        """The kinds of a call's events."""
        events = self._outdial.get(f"/v1/calls/{sid}/events")["events"]
        return [event["kind"] for event in events]

    def until(self, sid: str, kind: str, times: int = 1) -> None:
        """Waits for an event of that kind. Raises TimeoutError."""
        deadline = time.monotonic() + 15
        while self.kinds(sid).count(kind) < times:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{kind} is not among {self.kinds(sid)}")
            time.sleep(0.05)

    def recording(self, url: str) -> list[audio.Sound]:
        """Its channels."""
        return audio.read_wav(self._outdial.get_bytes("/v1/recordings/" + url.rpartition("/")[2]))

    def close(self) -> None:
        """The numbers are nobody's again."""
        for number in self._taken:
            self._outdial.delete(f"/v1/numbers/{number}")


@pytest.fixture
def desk(scene: Scene) -> Iterator[Desk]:
    desk = Desk(scene)
    yield desk
    desk.close()


def test_a_caller_is_put_through_and_goes_on_when_the_other_hangs_up(
    scene: Scene, desk: Desk
) -> None:
    other = scene.phone("slow-ring-hangs-up", ring_ms="1200", talk_ms="2600")
    after = desk.serve(f"/after/{other.number}", NEXT)
    number = desk.number(f'<Recording/><Dial action="{after}">{other.number}</Dial>')
    caller = scene.caller(number)
    other.ear.wait_until(lambda ear: len(ear.packets) > 5)
    talk_from = time.monotonic()
    to_caller, to_other = all_speak([caller, other], 1.5)
    caller.done()

    assert shares(to_caller, 2)[1] > 0.9
    assert shares(to_other, 2)[0] > 0.9
    heard = caller.ear.heard()
    ringing_s = next(p.at for p in other.ear.packets) - caller.ear.packets[0].at
    assert audio.tone_share(heard.cut(0.2, ringing_s - 0.2), 440, 480) > 0.9, "ringback until then"
    assert audio.active_s(caller.ear.heard(talk_from + 1.8)) > 1.0, "the action's answer"
    (asked,) = scene.web.received(after)
    told, ended = asked.params, desk.ended(number)
    assert (told["DialCallStatus"], told["Direction"]) == ("completed", "inbound")
    assert (told["From"], told["CallerName"]) == (ANN, "Ann")
    leg = scene.stage.outdial.get(f"/v1/calls/{told['DialCallSid']}")
    assert (leg["from"], leg["to"]) == (ANN, other.number), "the caller's own number is shown"
    assert leg["parent_sid"] == ended["callSid"] == told["callSid"]
    said, was_heard = desk.recording(ended["RecordingURL"])
    assert audio.active_s(said) == pytest.approx(1.5, abs=0.25)
    assert audio.active_s(was_heard) > 3, "ringback, the other, and the words at the end"


def test_callers_and_one_whom_we_call_meet(scene: Scene, desk: Desk) -> None:
    room = '<Dial action="{}"><Conference {}>inbound</Conference></Dial>'
    after = desk.serve("/after/inbound", NEXT)
    host_number = desk.number(room.format("", 'endConferenceOnExit="on" record="on"'))
    guest_number = desk.number(room.format(after, 'startConferenceOnEnter="false"'))
    guest = scene.caller(guest_number)
    guest.ear.wait_for_speech(0.3)
    waited = guest.ear.heard()
    assert audio.tone_share(waited.cut(*(audio.speech_span(waited) or (0, 0))), 392, 494) > 0.8
    host = scene.caller(host_number, "caller-hangs-up", stay_ms="5500")
    called = scene.phone("answer")
    call = scene.call(called, "<Response><Dial><Conference>inbound</Conference></Dial></Response>")
    Meetings(scene).seated("inbound", 3)
    people = [host, guest, called]
    for listener, heard in enumerate(all_speak(people)):
        share = shares(heard, 3)
        assert share.pop(listener) < 0.01, "nobody hears himself"
        assert min(share) > 0.3, share
    ended = desk.ended(host_number)
    call.wait_for("completed")
    guest.done()
    (asked,) = scene.web.received(after)
    assert asked.params["DialCallStatus"] == "completed"
    assert asked.params["ConferenceSid"].startswith("CF")
    assert audio.active_s(guest.ear.heard(guest.ear.packets[-1].at - 2.5)) > 1.0, "and goodbye"
    deadline = time.monotonic() + 5
    while not (sound := _fetched(desk, ended["RecordingURL"])):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert len(sound) == 1
    assert min(shares(sound[0], 3)) > 0.05


def _fetched(desk: Desk, url: str) -> list[audio.Sound]:
    """The recording, once it is there."""
    try:
        return desk.recording(url)
    except OSError:
        return []


def test_an_agent_who_calls_in_takes_callers_from_the_queue(scene: Scene, desk: Desk) -> None:
    meetings = Meetings(scene)
    after = desk.serve("/after/agent", "")
    queue_number = desk.number(f"<Enqueue>inbound</Enqueue>{NEXT}")
    agent_number = desk.number(f'<Dial record="on" action="{after}"><Queue>inbound</Queue></Dial>')
    impatient = scene.caller(queue_number, "caller-hangs-up", stay_ms="700")
    meetings.until("queues", "inbound", lambda queue: queue["size"] == 1)
    patient = scene.caller(queue_number)
    queue = meetings.until("queues", "inbound", lambda queue: queue["size"] == 2)
    assert queue["longest_wait_s"] == queue["members"][0]["waited_s"] > 0
    impatient.done()
    queue = meetings.until("queues", "inbound", lambda queue: queue["size"] == 1)
    sid = queue["members"][0]["call_sid"]
    agent = scene.caller(agent_number, "caller-hangs-up", stay_ms="3500")
    desk.until(sid, "bridged")
    to_patient, to_agent = all_speak([patient, agent], 1.5)
    assert shares(to_patient, 2)[1] > 0.9
    assert shares(to_agent, 2)[0] > 0.9
    agent.done()
    gone = time.monotonic()
    (asked,) = scene.web.wait_for(after)
    told = asked.params
    assert (told["DialCallStatus"], told["CallStatus"]) == ("completed", "completed")
    assert told["DialCallSid"] == sid
    said, heard = desk.recording(told["RecordingUrl"])
    assert audio.tone_share(said, HZ[0]) > 0.9
    assert audio.tone_share(heard, HZ[1]) > 0.9
    patient.done()
    assert audio.active_s(patient.ear.heard(gone)) > 1.0, "the next verb was heard"
    assert said.duration_s < 4, "which is not on the recording of the conversation"
    ended = scene.web.wait_for(f"/ended/{queue_number}", 2)
    urls = {r.params["callSid"]: r.params.get("RecordingURL") for r in ended}
    assert urls[sid] == told["RecordingUrl"]
    assert [url for one, url in urls.items() if one != sid] == [None]


def test_a_caller_hears_a_sound_is_redirected_and_told_of_after_the_end(
    scene: Scene, desk: Desk
) -> None:
    tone = audio.wav(audio.tone(600, seconds=0.6))
    scene.web.script("/tone.wav", Answer(body=tone, content_type="audio/wav", headers=_QUIET))
    scene.web.script("/whole", Answer(headers=_QUIET))
    desk.serve("/then", '<Play loop="2">/tone.wav</Play><Pause>500</Pause><Hangup/><Say>No.</Say>')
    number = desk.number(
        "<Postcall>/whole</Postcall><Pause>400</Pause><Redirect>/then</Redirect><Say>Never.</Say>"
    )
    caller = scene.caller(number)
    caller.done()
    heard = caller.ear.heard()
    assert audio.active_s(heard) == pytest.approx(1.2, abs=0.15)
    assert audio.tone_share(heard.cut(*(audio.speech_span(heard) or (0, 0))), 600) > 0.9
    (whole,) = scene.web.wait_for("/whole")
    assert (whole.params["callSid"], whole.params["Direction"]) == (desk.sid(number), "inbound")
    assert (whole.params["From"], whole.params["To"]) == (ANN, number)
    ringing = next(m for m in caller.received("SIP/2.0 180"))
    answered = next(m for m in caller.received("SIP/2.0 200") if "INVITE" in m.get("CSeq"))
    assert answered.time > ringing.time, "it rang during the Pause"
