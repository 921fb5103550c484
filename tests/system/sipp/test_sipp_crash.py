"""The server is killed in the middle of calls, and started again: who hears of it, and how soon."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from outdial.testing import audio
from system.sipp.messages import Message
from system.sipp.stage import SAY, STAY, STEPS, WELL, Call, End, Phone, Scene, Stage

CRASHED = End("failed", "200", "server-restart", "outdial")
_SETTLED_S = 0.8
"""By then the ladder is on the disk, and which callbacks have arrived: none of them comes twice."""
_CLEAN_WITHIN_S = 10.0
RINGING = """<send><![CDATA[
SIP/2.0 180 Ringing
@reply@
@no-body@
  ]]></send>"""


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """A server of its own: the others must not be killed."""
    with Stage() as stage:
        yield stage


def crash(stage: Stage) -> float:
    """Kills the server and starts it again; when it was ready."""
    stage.crash()
    return time.monotonic()


def cleaned_up(call: Call, *story: str | End, since: float, sid: str = "") -> None:
    """The call is over, for the API and the callback, soon enough."""
    call.ended(*story, sid=sid)
    assert time.monotonic() - since < _CLEAN_WITHIN_S
    shown = call.stage.outdial.get(f"/v1/calls/{sid or call.sid}")
    assert (shown["state"], shown["cause"]) == ("completed", "server-restart")


def released(phone: Phone, request: str) -> None:
    """The phone was told, once, and its scenario is at its end."""
    assert len(phone.received(f"{request} ")) == 1
    assert len(phone.received("INVITE ")) == 1, "nothing is dialled twice"


@contextmanager
def locked(stage: Stage) -> Iterator[None]:
    """Nothing can be written meanwhile."""
    path = stage.outdial.settings["store"]["url"].removeprefix("sqlite:///")
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
    finally:
        connection.close()


def test_a_call_that_was_answered_gets_a_bye(scene: Scene) -> None:
    phone = scene.phone("answer")
    call = scene.call(phone, STAY)
    call.wait_for("answered")
    time.sleep(_SETTLED_S)
    since = crash(scene.stage)
    cleaned_up(call, *STEPS, CRASHED, since=since)
    released(phone, "BYE")
    (bye,) = phone.received("BYE ")
    assert bye.get("Reason") == "Q.850;cause=41"
    lines = scene.stage.outdial.get(f"/v1/calls/{call.sid}/ladder")["messages"]
    first = [line["start_line"].split(" ")[0] for line in lines if line["direction"] == "out"]
    assert first == ["INVITE", "ACK", "BYE"], "the ladder of before the crash goes on"


def test_what_was_recorded_until_the_crash_is_the_calls(scene: Scene) -> None:
    outdial = scene.stage.outdial
    folder = Path(outdial.settings["storage"]["recordings"])
    before = set(folder.iterdir())
    phone = scene.phone("answer")
    call = scene.call(phone, SAY.replace("</Say>", "</Say><Pause length='60'/>"), record=True)
    call.wait_for("answered")
    phone.ear.wait_for_speech(1.0)
    _wait_until(lambda: any(one.stat().st_size > 60_000 for one in set(folder.iterdir()) - before))
    since = crash(scene.stage)
    cleaned_up(call, *STEPS, CRASHED, since=since)
    (listed,) = outdial.get(f"/v1/recordings?call_sid={call.sid}")["recordings"]
    assert (listed["kind"], listed["channels"], listed["error"]) == ("call", 2, "")
    last = call.wait_for("completed")
    assert last["RecordingURL"].endswith(listed["wav"])
    assert call.show()["recording_sid"] == listed["sid"]
    far, near = audio.read_wav(outdial.get_bytes(listed["wav"]))
    assert (
        near.duration_s == far.duration_s == pytest.approx(listed["duration_ms"] / 1000, abs=0.01)
    )
    assert audio.active_s(near) > 0.5
    assert len(outdial.get_bytes(listed["mp3"])) > 5000
    outdial.delete(f"/v1/recordings/{listed['sid']}")
    assert set(folder.iterdir()) == before
    _wait_until(lambda: call.timeline()[-1]["kind"] == "recording.deleted")
    kinds = [event["kind"] for event in call.timeline()]
    assert kinds.index("recording.recovered") < kinds.index("state.completed")


def _wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_trunk_that_wants_credentials_for_the_bye_gets_them(scene: Scene) -> None:
    demand = 'Proxy-Authenticate: Digest realm="the carrier", nonce="n0", qop="auth"'
    phone = scene.phone("bye-challenged", scene.stage.guarded_line(), demand=demand)
    call = scene.call(phone, STAY)
    call.wait_for("answered")
    time.sleep(_SETTLED_S)
    since = crash(scene.stage)
    cleaned_up(call, *STEPS, CRASHED, since=since)
    first, second = phone.received("BYE ")
    assert first.get_all("Proxy-Authorization") == []
    assert 'realm="the carrier"' in second.get("Proxy-Authorization")


def test_a_call_that_rang_is_cancelled(scene: Scene) -> None:
    phone = scene.phone("no-answer")
    call = scene.call(phone, STAY)
    call.wait_for("ringing")
    time.sleep(_SETTLED_S)
    since = crash(scene.stage)
    cleaned_up(call, "initiated", "ringing", CRASHED._replace(code=""), since=since)
    released(phone, "CANCEL")


@pytest.mark.parametrize("rings", [True, False])
def test_an_answer_that_was_not_acknowledged_is_now_and_released(scene: Scene, rings: bool) -> None:
    """The store was away when it came: the new process does not know of it (nor, when it did not
    ring, of anything but that it was dialled)."""
    stage = scene.stage
    phone = scene.phone("forgotten", ring_ms="800", first=RINGING if rings else "")
    call = scene.call(phone, STAY)
    call.wait_for("ringing" if rings else "initiated")
    if rings:
        time.sleep(0.2)
    with locked(stage):
        stage.web.wait_until(f"/{call.name}/app", bool, 5)
        stage.outdial.kill()
    since = crash(stage)
    steps = ["initiated", "ringing"] if rings else ["initiated"]
    call.wait_for("completed")
    told = [event.params["CallStatus"] for event in call.events()]
    assert list(dict.fromkeys(told)) == [*steps, "completed"]
    assert time.monotonic() - since < _CLEAN_WITHIN_S
    assert call.show()["cause"] == "server-restart"
    released(phone, "BYE")
    assert len(phone.received("ACK ")) == 1
    if not rings:
        assert phone.received("CANCEL ") == [], "of that INVITE nothing was known"


def test_both_legs_of_a_bridge_are_released(scene: Scene) -> None:
    callee, other = scene.phone("answer"), scene.phone("answer")
    call = scene.call(callee, from_=other.number)
    second = call.second_leg()
    call.wait_for("answered", sid=second)
    time.sleep(_SETTLED_S)
    since = crash(scene.stage)
    cleaned_up(call, *STEPS, CRASHED, since=since)
    cleaned_up(call, *STEPS, CRASHED, since=since, sid=second)
    released(callee, "BYE")
    released(other, "BYE")


def test_a_far_end_that_is_gone_delays_nothing(scene: Scene) -> None:
    phone = scene.phone("ignores-bye")
    call = scene.call(phone, STAY)
    call.wait_for("answered")
    time.sleep(_SETTLED_S)
    since = crash(scene.stage)
    cleaned_up(call, *STEPS, CRASHED, since=since)
    assert time.monotonic() - since < 2


def test_while_the_store_is_away_an_answer_waits_a_second_for_its_ack(scene: Scene) -> None:
    """Nobody is killed here: the call goes on, and what was not stored is when it can be."""
    stage = scene.stage
    phone = scene.phone("slow-ring", ring_ms="800")
    call = scene.call(phone, STAY)
    call.wait_for("ringing")
    time.sleep(0.3)
    with locked(stage):
        stage.web.wait_until(f"/{call.name}/app", bool, 5)
        time.sleep(2.0)
    call.wait_for("answered")
    call.hang_up()
    call.ended(*STEPS, WELL._replace(source="caller"))
    (note,) = [event for event in call.timeline() if event["kind"] == "warning"]
    assert "acknowledged without" in note["data"]["text"]
    messages = phone.messages()
    answered = next(m for m in messages if m.sent and m.start_line.startswith("SIP/2.0 200"))
    (acknowledged,) = phone.received("ACK ")
    waited_s = (_at(acknowledged) - _at(answered)).total_seconds()
    assert 0.9 < waited_s < 2.0


def _at(message: Message) -> datetime:
    return datetime.fromisoformat(message.time)
