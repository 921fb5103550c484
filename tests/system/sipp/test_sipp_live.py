"""Calls that are changed while they go on, with real phones: what they hear, what is recorded."""

from __future__ import annotations

import json
import time
import urllib.error
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from outdial.testing import audio
from system.sipp.stage import CALLER, STAY, STEPS, WELL, Call, End, Phone, Scene

TALKS = "<Response><Say loop='0'>The quick brown fox jumps over the lazy dog.</Say></Response>"
QUIET = "<Response><Pause>60000</Pause></Response>"
BY_API = End("completed", "200", "normal-clearing", "caller")
HIGH_HZ, LOW_HZ = 1500, 700


def change(call: Call, sid: str = "", **what: Any) -> Any:
    """Changes the call, or the leg of that sid."""
    return call.stage.outdial.post(f"/v1/calls/{sid or call.sid}", what)


def refused(call: Call, **what: Any) -> tuple[int, str]:
    """Status and detail of a change that must be refused."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        change(call, **what)
    with caught.value as error:
        return error.code, json.load(error)["detail"]


def bridged(scene: Scene) -> tuple[Phone, Phone, Call, str]:
    """Two phones that talk, the call, and its second leg."""
    callee, other = scene.phone("answer"), scene.phone("answer")
    call = scene.call(callee, from_=other.number)
    second = call.second_leg()
    call.wait_for("answered", sid=second)
    other.ear.wait_until(lambda ear: len(ear.packets) > 5)
    return callee, other, call, second


def both_speak(one: Phone, other: Phone, seconds: float = 0.8) -> tuple[audio.Sound, audio.Sound]:
    """One says the high tone, the other the low one: what each hears meanwhile."""
    since = time.monotonic() + 0.15
    with ThreadPoolExecutor(2) as pool:
        pool.submit(one.ear.say, audio.tone(HIGH_HZ, seconds=seconds))
        pool.submit(other.ear.say, audio.tone(LOW_HZ, seconds=seconds))
    return one.ear.heard(since), other.ear.heard(since)


def test_another_document_stops_what_plays_and_is_heard_instead(scene: Scene) -> None:
    phone = scene.phone("answer")
    call = scene.call(phone, TALKS)
    phone.ear.wait_for_speech(0.5)
    change(call, document=QUIET)
    since = time.monotonic() + 0.1  # what was on its way
    phone.ear.wait_until(lambda ear: ear.heard(since).duration_s > 0.5)
    assert audio.active_s(phone.ear.heard(since)) < 0.05, "the prompt stops at once"
    change(call, document="<Response><Say>Thank you and goodbye.</Say></Response>")
    call.ended(*STEPS, WELL)
    assert audio.active_s(phone.ear.heard(since)) > 0.4
    told = [e["data"] for e in call.timeline() if e["kind"] == "command"]
    assert [one["command"] for one in told] == ["redirect", "redirect"]
    assert all(one["by"] for one in told)


def test_a_party_that_is_connected_is_released_by_another_document(scene: Scene) -> None:
    callee, other, call, second = bridged(scene)
    since = time.monotonic()
    change(call, document="<Response><Say>The other one is gone.</Say></Response>")
    call.ended(*STEPS, BY_API, sid=second)
    call.ended(*STEPS, WELL)
    assert audio.active_s(callee.ear.heard(since)) > 0.4
    assert len(other.received("BYE ")) == 1


def test_a_party_that_rings_is_cancelled_by_another_document(scene: Scene) -> None:
    callee, other = scene.phone("answer"), scene.phone("no-answer")
    call = scene.call(callee, from_=other.number)
    second = call.second_leg()
    call.wait_for("ringing", sid=second)
    assert refused_leg(call, second, muted=True) == 409
    change(call, document="<Response><Pause>300</Pause></Response>")
    call.ended(
        "initiated", "ringing", End("canceled", "487", "originator-cancel", "caller"), sid=second
    )
    call.ended(*STEPS, WELL)


def refused_leg(call: Call, sid: str, **what: Any) -> int:
    with pytest.raises(urllib.error.HTTPError) as caught:
        change(call, sid, **what)
    with caught.value as error:
        return error.code


def test_digits_are_sent_in_the_middle_of_a_prompt(scene: Scene) -> None:
    phone = scene.phone("answer")
    call = scene.call(phone, TALKS)
    phone.ear.wait_for_speech(0.3)
    change(call, send_digits="47w#")
    phone.ear.wait_until(lambda ear: ear.digits() == "47#")
    since = time.monotonic()
    phone.ear.wait_until(lambda ear: audio.active_s(ear.heard(since)) > 0.3)  # it goes on
    call.hang_up()
    call.ended(*STEPS, BY_API)
    assert {pressed.ends for pressed in phone.ear.pressed()} == {3}
    timeline = json.dumps(call.timeline())
    assert '"count": 3' in timeline
    assert (
        "47"
        not in timeline.replace(call.sid, "")
        .replace(phone.number, "")
        .partition('"command"')[2]
        .partition("}")[0]
    )


def test_who_is_muted_hears_and_is_not_heard(scene: Scene) -> None:
    callee, other, call, second = bridged(scene)
    change(call, muted=True)
    to_callee, to_other = both_speak(callee, other)
    assert audio.tone_share(to_callee, LOW_HZ) > 0.8
    assert audio.active_s(to_other) < 0.05
    change(call, muted=False)
    change(call, second, muted=True)  # a second leg is a call like any
    to_callee, to_other = both_speak(callee, other)
    assert audio.tone_share(to_other, HIGH_HZ) > 0.8
    assert audio.active_s(to_callee) < 0.05
    call.hang_up()
    call.ended(*STEPS, BY_API)
    call.ended(*STEPS, BY_API, sid=second)


def test_a_recording_is_started_paused_resumed_and_stopped(scene: Scene) -> None:
    phone = scene.phone("answer")
    call = scene.call(phone, STAY)
    phone.ear.wait_until(lambda ear: len(ear.packets) > 5)
    sid = change(call, recording="start")["recording_sid"]
    assert refused(call, recording="start")[0] == 409
    began = time.monotonic()
    for hz, then in ((500, "pause"), (1000, "resume"), (1700, "stop")):
        phone.ear.say(audio.tone(hz, seconds=0.8, peak_dbfs=-15))
        time.sleep(0.1)  # the last packet is there
        change(call, recording=then)
    lasted_s = time.monotonic() - began
    said = recording_of(call, sid)  # while the call goes on
    assert said.duration_s == pytest.approx(lasted_s, abs=0.5), "the time in it stays right"
    assert audio.active_s(said) == pytest.approx(1.6, abs=0.3)
    assert audio.tone_share(said, 1000) < 0.01, "what was said while it was paused"
    assert min(audio.tone_share(said, hz, width_hz=25) for hz in (500, 1700)) > 0.2
    assert refused(call, recording="pause")[0] == 409
    call.hang_up()
    call.ended(*STEPS, BY_API)
    assert call.wait_for("completed")["RecordingURL"].endswith(f"/v1/recordings/{sid}.wav")


def recording_of(call: Call, sid: str) -> audio.Sound:
    """What the far end said on it, as soon as it can be fetched."""
    deadline = time.monotonic() + 10
    while True:
        try:
            wav = call.stage.outdial.get_bytes(f"/v1/recordings/{sid}.wav")
        except urllib.error.HTTPError as error:
            error.close()
            if error.code != 404 or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return audio.read_wav(wav)[0]


def test_what_has_ended_or_rings_is_not_changed(scene: Scene) -> None:
    phone = scene.phone("no-answer")
    call = scene.call(phone, STAY, from_=CALLER)
    call.wait_for("ringing")
    status, detail = refused(call, document=QUIET)
    assert (status, "ringing" in detail) == (409, True)
    call.hang_up()
    call.ended("initiated", "ringing", End("canceled", "487", "originator-cancel", "caller"))
    status, detail = refused(call, send_digits="1")
    assert status == 409
    assert "canceled, originator-cancel (cancelled through the API)" in detail
    assert change(call, hangup=True)["outcome"] == "canceled"
