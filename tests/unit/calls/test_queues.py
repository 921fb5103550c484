"""Queues of stand-ins: first in, first out, whoever hangs up when."""

from __future__ import annotations

import asyncio

import pytest

from doubles.callers import Caller, Callers
from doubles.world import Page, until
from outdial.calls import queues
from outdial.calls.queues import Queue, Queues, Waiting
from outdial.errors import MediaUnavailable
from outdial.legs import DigitInfo

ENQUEUE = "<Enqueue>support</Enqueue>"


def agent(dial: str = "", queue: str = "") -> str:
    return f"<Dial {dial}><Queue {queue}>support</Queue></Dial>"


def support(world: Callers) -> Queue:
    found = world.services.queues.find("support")
    assert found is not None
    return found


def partner(world: Callers, caller: Caller) -> list[object]:
    """With whom the caller was connected, in order."""
    return [line["leg"] for line in world.noted(caller, "bridged")]


async def test_a_caller_waits_with_a_tone_until_an_agent_takes_it() -> None:
    world = Callers()
    caller = await world.call(ENQUEUE)
    assert "tone hold" in caller.media.done
    queue = support(world)
    assert [waiting.leg.sid for waiting in queue.callers] == [caller.sid]
    desk = await world.call(agent())
    await until(lambda: "bridge" in desk.media.done)
    assert queue.callers == []
    assert "tone ringback:us" in desk.media.done
    assert caller.media.done[-1] == "stop"
    assert partner(world, caller) == [desk.sid]
    assert partner(world, desk) == [caller.sid]
    assert world.noted(caller, "queue.entered") == [
        {"queue": queue.sid, "name": "support", "waiting": 1}
    ]
    assert world.noted(caller, "queue.left")[0]["agent"] == desk.sid


async def test_ten_callers_are_served_in_order_by_two_agents() -> None:
    world = Callers()
    callers = [await world.call(ENQUEUE) for _ in range(10)]
    desks = [await world.call(agent() * 5) for _ in range(2)]
    served: list[Caller] = []
    for _ in range(10):
        await until(lambda: any(c not in served and partner(world, c) for c in callers))
        talking = [c for c in callers if c not in served and partner(world, c)]
        served.append(talking[0])
        talking[0].hang_up()
        await talking[0].over()
    assert served == callers
    taken = [partner(world, desk) for desk in desks]
    assert sorted(map(len, taken)) == [5, 5]
    assert taken[0] == [callers[n].sid for n in range(0, 10, 2)]


async def test_agents_wait_and_the_first_to_ask_is_the_first_to_get() -> None:
    world = Callers()
    desks = [await world.call(agent()) for _ in range(2)]
    assert support(world).agents == 2
    for desk in desks:
        caller = await world.call(ENQUEUE)
        await until(lambda caller=caller: partner(world, caller))  # type: ignore[misc]
        assert partner(world, caller) == [desk.sid]
    assert support(world).agents == 0


async def test_an_agent_for_whom_nobody_comes_goes_on_after_the_timeout() -> None:
    world = Callers()
    desk = await world.call(agent('timeout="1" action="/0/after"'), after="<Say>nobody</Say>")
    await desk.over()
    (params,) = world.asked(desk)
    assert params["DialCallStatus"] == "no-answer"
    assert params["QueueSid"] == support(world).sid
    assert "play woman en: nobody" in desk.media.done
    assert support(world).agents == 0
    caller = await world.call(ENQUEUE)
    assert "tone hold" in caller.media.done


async def test_when_the_agent_hangs_up_the_caller_goes_on_with_its_document() -> None:
    world = Callers()
    caller = await world.call(ENQUEUE + "<Say>how was it</Say>")
    desk = await world.call(agent())
    await until(lambda: "bridge" in desk.media.done)
    desk.hang_up()
    await caller.over()
    assert "play woman en: how was it" in caller.media.done


async def test_when_the_caller_hangs_up_the_agent_goes_on_with_the_action() -> None:
    world = Callers()
    caller = await world.call(ENQUEUE)
    desk = await world.call(agent('action="/1/after"'), after="<Say>next</Say>")
    await until(lambda: "bridge" in desk.media.done)
    caller.hang_up()
    await desk.over()
    (params,) = world.asked(desk)
    assert (params["DialCallStatus"], params["DialCallSid"]) == ("completed", caller.sid)
    assert "unbridge" in desk.media.done
    assert "play woman en: next" in desk.media.done
    assert len(world.services.tasks) == 0


async def test_the_time_limit_ends_the_conversation_for_both() -> None:
    world = Callers()
    caller = await world.call(ENQUEUE + "<Say>sorry</Say>")
    desk = await world.call(agent('timelimit="1"'))
    await desk.over()
    await caller.over()
    assert "play woman en: sorry" in caller.media.done


async def test_who_hangs_up_while_waiting_is_out_of_the_queue() -> None:
    world = Callers()
    one = await world.call(ENQUEUE)
    two = await world.call(ENQUEUE)
    one.hang_up()
    await one.over()
    desk = await world.call(agent())
    await until(lambda: "bridge" in desk.media.done)
    assert partner(world, desk) == [two.sid]


async def test_an_agent_who_hangs_up_while_waiting_gets_nobody() -> None:
    world = Callers()
    one = await world.call(agent())
    two = await world.call(agent())
    one.hang_up()
    await one.over()
    caller = await world.call(ENQUEUE)
    await until(lambda: partner(world, caller))
    assert partner(world, caller) == [two.sid]


async def test_the_document_of_the_queue_is_run_for_who_waited() -> None:
    world = Callers()
    page = b"<Response><Say>connecting</Say><Hangup/></Response>"
    world.web.pages["http://app.test/connecting"] = Page(page)
    caller = await world.call(ENQUEUE)
    desk = await world.call(agent(queue='url="/connecting" method="GET"'))
    await until(lambda: "bridge" in desk.media.done)
    assert "play woman en: connecting" in caller.media.done
    method, _, params = next(r for r in world.web.requests if r[1].endswith("/connecting"))
    assert method == "GET"
    assert params["callSid"] == caller.sid
    assert params["QueueSid"] == support(world).sid
    assert params["DequeuingCallSid"] == desk.sid
    assert params["QueueTime"] == "0"


async def test_a_document_that_cannot_be_fetched_keeps_nobody_apart() -> None:
    world = Callers()
    await world.call(ENQUEUE)
    desk = await world.call(agent(queue='url="/nowhere"'))
    await until(lambda: "bridge" in desk.media.done)


async def test_an_agent_gone_during_the_announcement_leaves_the_caller_first_in_the_queue() -> None:
    world = Callers()
    page = b"<Response><Pause>60000</Pause></Response>"
    world.web.pages["http://app.test/connecting"] = Page(page)
    caller = await world.call(ENQUEUE)
    later = await world.call(ENQUEUE)
    desk = await world.call(agent(queue='url="/connecting"'))
    await until(lambda: world.noted(caller, "queue.left"))
    assert [waiting.leg.sid for waiting in support(world).callers] == [later.sid]
    desk.hang_up()
    await desk.over()
    await until(lambda: len(support(world).callers) == 2)
    assert support(world).callers[0].leg.sid == caller.sid
    other = await world.call(agent())
    await until(lambda: "bridge" in other.media.done)
    assert partner(world, other) == [caller.sid]


async def test_a_caller_gone_during_the_announcement_gives_the_agent_the_next() -> None:
    world = Callers()
    page = b"<Response><Pause>60000</Pause></Response>"
    world.web.pages["http://app.test/connecting"] = Page(page)
    caller = await world.call(ENQUEUE)
    desk = await world.call(agent(queue='url="/connecting"'))
    await until(lambda: world.noted(caller, "queue.left"))
    world.web.pages["http://app.test/connecting"] = Page(b"<Response/>")
    caller.hang_up()
    await caller.over()
    assert not desk.is_over
    later = await world.call(ENQUEUE)
    await until(lambda: "bridge" in desk.media.done)
    assert partner(world, desk) == [later.sid]


async def test_legs_that_live_apart_meet_in_a_room(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Callers()
    caller = await world.call(ENQUEUE)

    def apart(other: object) -> None:
        raise MediaUnavailable("another worker")

    monkeypatch.setattr("doubles.legs.FakeMediaLeg.bridge", lambda self, other: apart(other))
    desk = await world.call(agent())
    await until(lambda: "join" in desk.media.done)
    assert caller.media.room is desk.media.room is world.media.rooms[0]
    caller.hang_up()
    await desk.over()
    assert world.media.rooms[0].closed


async def test_digits_by_info_reach_the_other_party() -> None:
    world = Callers()
    caller = await world.call(ENQUEUE)
    desk = await world.call(agent())
    await until(lambda: "bridge" in desk.media.done)
    caller.far.say(DigitInfo("7", 100))
    assert "digits 7" in desk.media.done


async def test_the_conversation_is_recorded_as_a_recording_of_who_waited() -> None:
    world = Callers()
    caller = await world.call(ENQUEUE)
    desk = await world.call(agent('record="on" action="/1/after"'))
    await until(lambda: "record" in caller.media.done)
    caller.hang_up()
    await desk.over()
    # Stored when the conversation is over, and once more at the end of the call.
    record, again = world.store.recordings
    assert record is again
    assert (record.call_sid, record.channels) == (caller.sid, 2)
    assert world.asked(desk)[0]["RecordingUrl"].endswith(f"/{record.sid}.wav")


async def test_the_recording_is_over_with_the_conversation_and_the_next_has_its_own() -> None:
    world = Callers()
    caller = await world.call(ENQUEUE * 2 + "<Pause>60000</Pause>")
    urls = []
    for number in (1, 2):
        desk = await world.call(
            agent(f'record="on" timelimit="1" action="/{number}/after"'), after="<Say>done</Say>"
        )
        await until(lambda: caller.media.done.count("record") == number)  # noqa: B023
        assert caller.media.done.count("stop recording") == number - 1
        desk.hang_up()
        await desk.over()
        await until(lambda: world.asked(desk))  # noqa: B023
        urls.append(world.asked(desk)[0]["RecordingUrl"])
    assert caller.media.done.count("stop recording") == 2
    assert not caller.is_over
    assert len(set(urls)) == 2
    stored = [f"http://outdial.test/v1/recordings/{one.sid}.wav" for one in world.store.recordings]
    assert stored == urls, "they can be fetched, though the caller is still there"


@pytest.mark.parametrize(
    ("waiting", "status"), [("", "canceled"), (ENQUEUE, "completed")], ids=["empty", "talking"]
)
async def test_an_agent_who_hangs_up_has_the_action_told(waiting: str, status: str) -> None:
    world = Callers()
    caller = await world.call(waiting or "<Pause>60000</Pause>")
    desk = await world.call(agent('action="/1/after"'), after="<Say>never</Say>")
    await until(lambda: support(world).agents or "bridge" in desk.media.done)
    desk.hang_up()
    await desk.over()
    await until(lambda: world.asked(desk))
    (params,) = world.asked(desk)
    assert (params["DialCallStatus"], params["CallStatus"]) == (status, "completed")
    assert params["DialCallSid"] == (caller.sid if waiting else "")
    assert params["QueueSid"] == support(world).sid
    assert "play woman en: never" not in desk.media.done


async def test_the_wait_document_is_told_how_the_caller_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("outdial.calls.host.SHORTEST_HOLD_S", 0.0)
    world = Callers()
    world.web.pages["http://app.test/music"] = Page(b"<Response><Pause>50</Pause></Response>")
    first = await world.call('<Enqueue waitUrl="/music">support</Enqueue>')
    second = await world.call('<Enqueue waitUrl="/music">support</Enqueue>')

    def told(caller: Caller) -> dict[str, str]:
        got = [p for _, url, p in world.web.requests if url.endswith("/music")]
        return next(params for params in reversed(got) if params["callSid"] == caller.sid)

    await until(lambda: told(first)["CurrentQueueSize"] == "2")
    assert told(first) == told(first) | {
        "CallStatus": "in queue",
        "QueueSid": support(world).sid,
        "QueuePosition": "1",
        "QueueTime": "0",
    }
    assert told(second)["QueuePosition"] == "2"
    first.hang_up()
    await first.over()
    await until(lambda: told(second)["QueuePosition"] == "1")
    assert told(second)["CurrentQueueSize"] == "1"


async def test_enqueue_in_a_dial_and_its_wait_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outdial.calls.host.SHORTEST_HOLD_S", 0.0)
    world = Callers()
    world.web.pages["http://app.test/music"] = Page(b"<Response><Say>wait</Say></Response>")
    caller = await world.call('<Dial><Enqueue waitUrl="/music">support</Enqueue></Dial>')
    await until(lambda: caller.media.done.count("play woman en: wait") >= 3)
    desk = await world.call("<Queue>support</Queue>")
    await until(lambda: "bridge" in desk.media.done)


# ------------------------------------------------------------------ the queue itself


async def test_an_agent_that_is_cancelled_as_a_caller_comes_loses_nobody() -> None:
    queue = Queue("support")
    world = Callers()
    caller = await world.call("<Pause>60000</Pause>")
    asking = asyncio.ensure_future(queue.take())
    await asyncio.sleep(0)
    waiting = Waiting(caller.leg, 0.0)
    queue.add(waiting)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert queue.callers == [waiting]
    assert await queue.take() is waiting


async def test_empty_queues_are_forgotten_when_they_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queues, "MOST_REMEMBERED", 3)
    kept = Queues()
    asking = asyncio.ensure_future(kept._named("used").take())
    await asyncio.sleep(0)
    for n in range(5):
        kept._named(f"empty{n}")
    assert "used" in [queue.name for queue in kept]
    assert len(list(kept)) <= 3
    asking.cancel()


def test_a_queue_is_found_by_name_and_by_sid_which_never_changes() -> None:
    one, two = Queues(), Queues()
    queue = one._named("support")
    assert one.find(queue.sid) is queue
    assert two._named("support").sid == queue.sid
    assert two.find("QU" + "0" * 32) is None
    assert queue.sid.startswith("QU")
