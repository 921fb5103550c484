"""Conferences of stand-ins: who is in them, who waits, how they end."""

from __future__ import annotations

import asyncio

import pytest

from doubles.callers import Caller, Callers
from doubles.world import Page, until
from outdial.calls.conferences import Conference
from outdial.legs import MediaLost, RecordingDone
from outdial.testing.legs import FakeRoom


def room(attributes: str = "", name: str = "sales", dial: str = "") -> str:
    return f"<Dial {dial}><Conference {attributes}>{name}</Conference></Dial>"


def conference(world: Callers, name: str = "sales") -> Conference:
    found = world.services.conferences.find(name)
    assert found is not None
    return found


def mix(world: Callers, number: int = 0) -> FakeRoom:
    return world.media.rooms[number]


def is_in(caller: Caller, world: Callers, number: int = 0) -> bool:
    return caller.media.room is world.media.rooms[number]


async def test_two_meet_and_the_first_waits_with_a_tone() -> None:
    world = Callers()
    one = await world.call(room())
    assert "tone hold" in one.media.done
    assert not is_in(one, world)
    two = await world.call(room())
    await until(lambda: is_in(one, world) and is_in(two, world))
    assert len(world.media.rooms) == 1
    assert one.media.done.index("stop") > one.media.done.index("tone hold")
    # The one who came is not told of its own coming.
    assert mix(world).done == [("cue", "beep", two.media)]
    met = conference(world)
    assert met.sid.startswith("CF")
    assert world.noted(one, "conference.joined") == [
        {"conference": met.sid, "name": "sales", "muted": False, "members": 1}
    ]
    assert world.noted(two, "conference.joined")[0]["members"] == 2


async def test_who_hangs_up_leaves_with_a_beep_and_the_last_one_closes_it() -> None:
    world = Callers()
    callers = [await world.call(room()) for _ in range(3)]
    await until(lambda: all(is_in(one, world) for one in callers))
    callers[0].hang_up()
    await callers[0].over()
    assert mix(world).done[-1] == ("cue", "beep", None)
    left = world.noted(callers[0], "conference.left")
    assert [(one["conference"], one["reason"]) for one in left] == [
        (conference(world).sid, "hung-up")
    ]
    callers[1].hang_up()
    await callers[1].over()
    assert not mix(world).closed
    callers[2].hang_up()
    await callers[2].over()
    assert mix(world).closed
    assert list(world.services.conferences) == []
    assert len(world.services.tasks) == 0


async def test_who_hangs_up_has_the_action_told() -> None:
    world = Callers()
    one = await world.call(room(dial='action="/0/after"'), after="<Say>never</Say>")
    two = await world.call(room())
    await until(lambda: is_in(one, world) and is_in(two, world))
    one.hang_up()
    await one.over()
    await until(lambda: world.asked(one))
    (params,) = world.asked(one)
    assert (params["DialCallStatus"], params["CallStatus"]) == ("completed", "completed")
    assert params["ConferenceSid"] == conference(world).sid
    assert "play woman en: never" not in one.media.done


async def test_a_bare_conference_is_one_too() -> None:
    world = Callers()
    one = await world.call("<Conference>sales</Conference>")
    two = await world.call(room())
    await until(lambda: is_in(one, world) and is_in(two, world))


async def test_names_are_told_apart_by_case_and_each_has_its_room() -> None:
    world = Callers()
    for name in ("sales", "Sales"):
        await world.call(room(name=name))
    assert len(world.media.rooms) == 2
    assert [one.name for one in world.services.conferences] == ["sales", "Sales"]


async def test_without_a_starter_all_wait() -> None:
    world = Callers()
    one = await world.call(room('startConferenceOnEnter="false"'))
    two = await world.call(room('startConferenceOnEnter="false"'))
    assert "tone hold" in two.media.done
    assert conference(world).began_at is None
    assert mix(world).done == []
    three = await world.call(room())
    await until(lambda: all(is_in(caller, world) for caller in (one, two, three)))
    assert conference(world).began_at is not None


async def test_muted_without_beep() -> None:
    world = Callers()
    await world.call(room())
    two = await world.call(room('muted="true" beep="false"'))
    await until(lambda: "join muted" in two.media.done)
    two.hang_up()
    await two.over()
    assert mix(world).done == []


async def test_the_end_for_all_when_the_host_leaves() -> None:
    world = Callers()
    host = await world.call(room('endConferenceOnExit="true"'))
    guest = await world.call(
        room(dial='action="/1/after"') + "<Say>never</Say>", after="<Say>bye</Say>"
    )
    plain = await world.call(room() + "<Say>next</Say>")
    await until(lambda: is_in(plain, world))
    sid = conference(world).sid
    host.hang_up()
    await guest.over()
    await plain.over()
    assert world.noted(guest, "conference.left")[0]["reason"] == "ended"
    (params,) = world.asked(guest)
    assert (params["DialCallStatus"], params["ConferenceSid"]) == ("completed", sid)
    assert "RecordingUrl" not in params
    assert [line for line in guest.media.done if line.startswith("play")] == ["play woman en: bye"]
    assert "play woman en: next" in plain.media.done
    assert guest.media.room is None
    assert mix(world).closed


async def test_who_comes_while_it_ends_is_in_another() -> None:
    world = Callers()
    host = await world.call(room('endConferenceOnExit="true"'))
    await world.call(room())
    first = conference(world)
    host.hang_up()
    late = asyncio.ensure_future(world.call(room()))
    await late
    assert conference(world) is not first
    assert len(world.media.rooms) == 2


async def test_a_full_one_takes_nobody() -> None:
    world = Callers()
    for _ in range(2):
        await world.call(room())
    third = await world.call(
        room('maxParticipants="2"', dial='action="/2/after"'), after="<Hangup/>"
    )
    await third.over()
    assert world.asked(third)[0]["DialCallStatus"] == "failed"
    assert world.noted(third, "conference.full") == [
        {"conference": conference(world).sid, "members": 2}
    ]
    assert third.media.room is None


async def test_the_time_limit_of_the_dial() -> None:
    world = Callers()
    await world.call(room())
    two = await world.call(room(dial='timelimit="1"') + "<Say>next</Say>")
    await until(lambda: is_in(two, world))
    await two.over()
    assert world.noted(two, "conference.left")[0]["reason"] == "time-limit"
    assert "play woman en: next" in two.media.done


async def test_the_wait_document_runs_over_and_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outdial.calls.host.SHORTEST_HOLD_S", 0.0)
    world = Callers()
    world.web.pages["http://app.test/music"] = Page(b"<Response><Say>wait</Say></Response>")
    one = await world.call(room('waitUrl="/music" waitMethod="GET"'))
    await until(lambda: one.media.done.count("play woman en: wait") >= 3)
    method, _, params = world.web.requests[1]
    assert (method, params["CallStatus"]) == ("GET", "on hold")
    assert params["ConferenceSid"] == conference(world).sid
    # On the timeline it is said once.
    assert len([v for v in world.noted(one, "verb.started") if v["verb"] == "Say"]) == 1
    two = await world.call(room())
    await until(lambda: is_in(one, world) and is_in(two, world))
    heard = one.media.done.count("play woman en: wait")
    await asyncio.sleep(0.02)
    assert one.media.done.count("play woman en: wait") == heard


@pytest.mark.parametrize(
    ("page", "problem"),
    [
        (None, "could not be fetched"),
        (b"<Response/>", "over within 1 s"),
        (b"<Response><Dial>12025550177</Dial></Response>", "over within 1 s"),
        (b"nonsense", "cannot be run"),
    ],
)
async def test_a_wait_document_that_is_no_use_gives_the_tone(
    page: bytes | None, problem: str
) -> None:
    world = Callers()
    if page is not None:
        world.web.pages["http://app.test/music"] = Page(page)
    one = await world.call(room('waitUrl="/music"'))
    await until(lambda: "tone hold" in one.media.done)
    (warning,) = [w for w in world.noted(one, "warning") if "waitUrl" in str(w["text"])]
    assert problem in str(warning["text"])
    assert len(world.signalling.legs) == 1


async def test_hanging_up_while_waiting_leaves_nothing() -> None:
    world = Callers()
    one = await world.call(room())
    one.hang_up()
    await one.over()
    assert list(world.services.conferences) == []
    assert mix(world).closed
    assert len(world.services.tasks) == 0


async def test_the_api_mutes_and_removes() -> None:
    world = Callers()
    one = await world.call(room() + "<Say>next</Say>")
    two = await world.call(room())
    await until(lambda: is_in(one, world) and is_in(two, world))
    met = conference(world)
    attendee = met.attendees[one.sid]
    met.mute(attendee, True)
    met.mute(attendee, True)
    met.mute(attendee, False)
    assert [line for line in one.media.done if "mute" in line] == ["mute", "unmute"]
    assert [line["muted"] for line in world.noted(one, "conference.muted")] == [True, False]
    attendee.dismiss("removed")
    await one.over()
    assert world.noted(one, "conference.left")[0]["reason"] == "removed"
    assert "play woman en: next" in one.media.done
    assert is_in(two, world)


async def test_muting_one_who_waits_counts_when_it_is_let_in() -> None:
    world = Callers()
    one = await world.call(room())
    met = conference(world)
    met.mute(met.attendees[one.sid], True)
    await world.call(room())
    await until(lambda: "join muted" in one.media.done)


async def test_a_recording_belongs_to_the_call_that_asked_for_it() -> None:
    world = Callers()
    await world.call(room())
    two = await world.call(room(dial='record="on" action="/1/after"'))
    await world.call(room('record="true"'))
    await until(lambda: [one[0] for one in mix(world).done].count("record") == 1)
    (started,) = world.noted(two, "recording.started")
    sid = str(started["recording"])
    assert ("record", f"/nowhere/{sid}.wav") in mix(world).done
    conference(world).attendees[two.sid].dismiss("removed")
    await two.over()
    assert world.asked(two)[0]["RecordingUrl"] == f"http://outdial.test/v1/recordings/{sid}.wav"
    for attendee in list(conference(world).attendees.values()):
        attendee.dismiss("removed")
    await until(lambda: world.store.recordings)
    (record,) = world.store.recordings
    assert (record.sid, record.call_sid, record.channels) == (sid, two.sid, 1)
    assert (record.duration_ms, record.error) == (1000, "")


async def test_a_recording_whose_worker_dies_is_told_so_once() -> None:
    world = Callers()
    await world.call(room())
    await world.call(room('record="on"'))
    await until(lambda: any(one[0] == "record" for one in mix(world).done))
    mix(world)._emit(MediaLost("killed"))
    mix(world)._emit(RecordingDone("RE1", "", 5, 5))
    (record,) = world.store.recordings
    assert "died" in record.error


async def test_rooms_are_found_by_name_and_by_sid() -> None:
    world = Callers()
    await world.call(room())
    met = conference(world)
    assert world.services.conferences.find(met.sid) is met
    assert world.services.conferences.find("CF" + "0" * 32) is None
    assert world.services.conferences.find("nobody") is None
