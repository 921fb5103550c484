"""Conferences and queues as callers have them: phones that speak and hear, a real server."""

from __future__ import annotations

import time
import urllib.error
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from outdial.testing import audio
from outdial.testing.web import Answer
from system.sipp.stage import Call, Phone, Scene

_QUIET = {"Connection": "close"}
HZ = (400, 620, 850, 1300, 1900)
HOLD_HZ = (392, 494)
BEEP_HZ = 1000
NEXT = "<Say>Thank you for calling, and goodbye.</Say>"


class Meetings:
    """What the API says of the scene's conferences and queues."""

    def __init__(self, scene: Scene) -> None:
        self._outdial = scene.stage.outdial

    def of(self, kind: str, name: str) -> dict[str, Any] | None:
        """The conference or queue of that name."""
        try:
            found: dict[str, Any] = self._outdial.get(f"/v1/{kind}/{name}")
        except urllib.error.HTTPError as error:
            with error:
                return None
        return found

    def until(
        self, kind: str, name: str, right: Callable[[dict[str, Any]], bool], timeout_s: float = 15.0
    ) -> dict[str, Any]:
        """It, once it is right. Raises TimeoutError."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            found = self.of(kind, name)
            if found is not None and right(found):
                return found
            time.sleep(0.05)
        raise TimeoutError(f"{kind} {name}: {self.of(kind, name)}")

    def seated(self, name: str, members: int) -> dict[str, Any]:
        """The conference, once so many hear each other."""
        return self.until(
            "conferences",
            name,
            lambda one: [m["waiting"] for m in one["members"]] == [False] * members,
        )

    def change(self, name: str, call: Call, **what: bool) -> None:
        """Changes a member of a conference."""
        self._outdial.post(f"/v1/conferences/{name}/members/{call.sid}", what)


def conference(name: str, attributes: str = "", after: str = "") -> str:
    room = f"<Conference {attributes}>{name}</Conference>"
    return f"<Response><Dial>{room}</Dial>{after}</Response>"


def all_speak(phones: Sequence[Phone], seconds: float = 2.0) -> list[audio.Sound]:
    """Each says its tone; what each hears while all of them do."""
    since = time.monotonic()
    with ThreadPoolExecutor(len(phones)) as pool:
        sounds = [audio.tone(hz, seconds=seconds, peak_dbfs=-18) for hz in HZ[: len(phones)]]
        list(pool.map(lambda pair: pair[0].ear.say(pair[1]), zip(phones, sounds, strict=True)))
    return [phone.ear.heard(since).cut(0.5, seconds - 0.2) for phone in phones]


def shares(heard: audio.Sound, count: int) -> list[float]:
    """How much of it is each tone."""
    return [audio.tone_share(heard, hz, width_hz=25) for hz in HZ[:count]]


def hang_up(calls: Sequence[Call]) -> None:
    for call in calls:
        call.hang_up()
    for call in calls:
        call.wait_for("completed")


def test_five_with_five_tones_each_hears_the_four_others(scene: Scene) -> None:
    phones = [scene.phone("answer") for _ in HZ]
    calls = [scene.call(phone, conference("five", 'beep="false"')) for phone in phones]
    Meetings(scene).seated("five", 5)
    for listener, heard in enumerate(all_speak(phones)):
        share = shares(heard, 5)
        assert share.pop(listener) < 0.01, "nobody hears himself"
        assert min(share) > 0.15, share
        assert sum(share) > 0.9, share
    hang_up(calls)


def test_beep_mute_and_the_end_for_all(scene: Scene) -> None:
    host, guest, late = [scene.phone("answer") for _ in range(3)]
    meetings = Meetings(scene)
    calls = [
        scene.call(host, conference("three", 'endConferenceOnExit="true" record="on"')),
        scene.call(guest, conference("three", 'muted="true"', NEXT)),
    ]
    meetings.seated("three", 2)
    time.sleep(0.8)  # the beep of the second is over
    since = time.monotonic()
    calls.append(scene.call(late, conference("three", "", NEXT)))
    room = meetings.seated("three", 3)
    host.ear.wait_until(lambda ear: audio.active_s(ear.heard(since)) > 0.4)
    beep = host.ear.heard(since)
    assert audio.tone_share(beep.cut(*(audio.speech_span(beep) or (0, 0))), BEEP_HZ) > 0.9
    assert audio.active_s(late.ear.heard()) < 0.1, "who comes does not hear its own beep"

    to_host, to_guest, _ = all_speak([host, guest, late])
    assert shares(to_host, 3)[1] < 0.01, "the muted guest is not heard"
    assert shares(to_host, 3)[2] > 0.8
    assert min(shares(to_guest, 3)[0], shares(to_guest, 3)[2]) > 0.3
    meetings.change("three", calls[1], muted=False)
    to_host, _, _ = all_speak([host, guest, late])
    assert shares(to_host, 3)[1] > 0.3

    ended = time.monotonic()
    calls[0].hang_up()
    for phone, call in zip((guest, late), calls[1:], strict=True):
        call.wait_for("completed")
        assert audio.active_s(phone.ear.heard(ended)) > 1.0, "the next verb was heard"
        left = [e["data"]["reason"] for e in call.timeline() if e["kind"] == "conference.left"]
        assert left == ["ended"]
    assert meetings.of("conferences", "three") is None
    path = f"/v1/recordings/{room['recording_sid']}.wav"
    (recording,) = audio.read_wav(scene.stage.outdial.get_bytes(path))
    assert recording.duration_s > 4
    assert min(shares(recording, 3)) > 0.03


def test_one_alone_hears_that_the_line_is_alive_and_is_removed(scene: Scene) -> None:
    phone = scene.phone("answer")
    call = scene.call(phone, conference("alone", "", NEXT))
    phone.ear.wait_for_speech(0.3)
    heard = phone.ear.heard()
    assert audio.tone_share(heard.cut(*(audio.speech_span(heard) or (0, 0))), *HOLD_HZ) > 0.8
    since = time.monotonic()
    Meetings(scene).change("alone", call, remove=True)
    call.wait_for("completed")
    assert audio.active_s(phone.ear.heard(since)) > 1.0


def test_a_queue_of_ten_is_served_in_order_by_two_agents(scene: Scene) -> None:
    meetings = Meetings(scene)
    waiting = scene.phone("answer", calls=10)
    callers = []
    for place in range(10):
        callers.append(scene.call(waiting, "<Response><Enqueue>ten</Enqueue></Response>"))
        meetings.until("queues", "ten", lambda queue, place=place: queue["size"] == place + 1)  # type: ignore[misc]
    queue = meetings.of("queues", "ten")
    assert queue is not None
    assert [member["call_sid"] for member in queue["members"]] == [call.sid for call in callers]
    assert queue["longest_wait_s"] > queue["members"][-1]["waited_s"] >= 0
    desks = [scene.phone("answer") for _ in range(2)]
    turns = '<Dial timelimit="1"><Queue>ten</Queue></Dial>' * 5
    agents = [scene.call(desk, f"<Response>{turns}</Response>") for desk in desks]
    for call in callers:
        call.wait_for("completed", 30)
    assert all(agent.wait_for("completed", 30) for agent in agents)
    bridged = [
        (event["at"], event["data"]["leg"])
        for agent in agents
        for event in agent.timeline()
        if event["kind"] == "bridged"
    ]
    order = [leg for _, leg in sorted(bridged)]
    assert sorted(order) == sorted(call.sid for call in callers)
    # The two agents take two callers within a moment of each other.
    for pair in range(0, 10, 2):
        assert set(order[pair : pair + 2]) == {call.sid for call in callers[pair : pair + 2]}


def test_a_caller_and_an_agent_talk_and_the_caller_goes_on(scene: Scene) -> None:
    caller, desk = scene.phone("answer"), scene.phone("hangs-up", talk_ms="4500")
    path = f"/connecting/{desk.number}"
    words = b"<Response><Say>We are connecting you.</Say></Response>"
    scene.web.script(path, Answer(body=words, content_type="text/xml", headers=_QUIET))
    waits = scene.call(caller, f"<Response><Enqueue>talk</Enqueue>{NEXT}</Response>")
    caller.ear.wait_for_speech(0.3)
    heard = caller.ear.heard()
    assert audio.tone_share(heard.cut(*(audio.speech_span(heard) or (0, 0))), *HOLD_HZ) > 0.8
    since = time.monotonic()
    takes = scene.call(desk, f'<Response><Dial><Queue url="{path}">talk</Queue></Dial></Response>')
    deadline = time.monotonic() + 15
    while not any(event["kind"] == "bridged" for event in takes.timeline()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert audio.active_s(caller.ear.heard(since)) > 0.6, "the announcement"
    to_caller, to_desk = all_speak([caller, desk], 1.5)
    assert shares(to_caller, 2)[1] > 0.9
    assert shares(to_desk, 2)[0] > 0.9
    (fetched,) = scene.web.received(path)
    assert fetched.params["callSid"] == waits.sid
    assert fetched.params["DequeuingCallSid"] == takes.sid
    takes.wait_for("completed")
    gone = time.monotonic()
    waits.wait_for("completed")
    assert audio.active_s(caller.ear.heard(gone - 0.5)) > 1.0, "the next verb was heard"


def test_fifty_in_one_room(scene: Scene) -> None:
    crowd, speaker = scene.phone("answer", calls=49), scene.phone("answer")
    meetings = Meetings(scene)
    document = conference("fifty", 'maxParticipants="50" beep="false"')
    calls = [scene.call(crowd, document) for _ in range(49)]
    calls.append(scene.call(speaker, document))
    meetings.seated("fifty", 50)
    turned_away = scene.call(late := scene.phone("answer"), document)
    turned_away.wait_for("completed")
    assert audio.active_s(late.ear.heard()) == 0
    since = time.monotonic()
    speaker.ear.say(audio.tone(HZ[0], seconds=1.5, peak_dbfs=-18))
    assert audio.active_s(speaker.ear.heard(since)) < 0.1
    streams: dict[int, int] = {}
    for packet in crowd.ear.packets:
        if packet.at > since and len(set(packet.payload)) > 1:
            streams[packet.ssrc] = streams.get(packet.ssrc, 0) + 1
    assert len(streams) == 49, "each of the others hears the one who speaks"
    assert min(streams.values()) > 45
    hang_up(calls)
