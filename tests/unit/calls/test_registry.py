"""All calls of a process: taken, queued, started, ended, resumed, drained."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from doubles.legs import ANSWER
from doubles.world import Page, World, until
from outdial.calls.registry import Registry
from outdial.calls.request import CallRequest
from outdial.config import Limits, Settings, Trunk
from outdial.errors import Refused, StoreUnavailable
from outdial.legs import Answered, Rejected
from outdial.store.records import CallRecord, EventRecord
from outdial.store.store import Store

APP = "http://app.test/start"


class RegistryWorld(World):
    """A registry that takes calls."""

    def __init__(self, *trunks: Trunk, **limits: float) -> None:
        super().__init__(*trunks, settings=Settings(limits=Limits.model_validate(limits)))
        self.web.pages[APP] = Page(b"<Response><Say>hello</Say></Response>")
        self.registry = Registry(self.services, cast(Store, self.store))

    def request(self, **changes: object) -> CallRequest:
        values: dict[str, object] = {
            "to": "12025550123",
            "from_": "12025550100",
            "url": APP,
            "status_callback": "http://app.test/events",
        }
        return CallRequest(**{**values, **changes})  # type: ignore[arg-type]

    async def place(self, **changes: object) -> CallRecord:
        return await self.registry.place(self.request(**changes), "dev")

    async def refused(self, **changes: object) -> Refused:
        with pytest.raises(Refused) as caught:
            await self.place(**changes)
        return caught.value

    async def all_over(self) -> None:
        await until(lambda: not self.registry.health()["live"])
        await until(lambda: not len(self.services.tasks))


async def started(*trunks: Trunk, **limits: float) -> RegistryWorld:
    world = RegistryWorld(*trunks, **limits)
    await world.registry.start()
    return world


async def test_a_call_with_room_is_stored_as_dialling_at_once() -> None:
    world = await started()
    call = await world.place()
    assert world.store.calls == [call]
    assert world.store.kinds() == ["state.queued", "state.dialling"]
    (await world.signalling.next_leg()).say(Rejected(486, "Busy Here"))
    await world.all_over()
    assert world.told() == ["completed"]
    assert world.registry.health()["live"] == 0


async def test_without_room_calls_wait_in_order() -> None:
    world = await started(concurrent_calls=1)
    first, second = await world.place(), await world.place(to="12025550124")
    far = await world.signalling.next_leg()
    assert world.registry.health()["queued"] == 1
    assert second.state == "queued"
    far.say(Rejected(486, "Busy Here"))
    (await world.signalling.next_leg(2)).say(Rejected(404, "Not Found"))
    await world.all_over()
    assert [first.outcome, second.outcome] == ["busy", "failed"]
    assert world.store.states(second.sid) == ["dialling", "completed"]


async def test_a_full_queue_is_refused_with_a_time_to_come_back() -> None:
    world = await started(concurrent_calls=1, queued_calls=1)
    await world.place()
    await world.place()
    refused = await world.refused()
    assert refused.status == 429
    assert refused.retry_after_s
    assert "limits.queued_calls" in refused.message
    assert len(world.store.calls) == 2


async def test_nothing_is_taken_before_the_start_or_without_the_store() -> None:
    world = RegistryWorld()
    assert (await world.refused()).status == 503
    await world.registry.start()
    world.store.away = True
    with pytest.raises(StoreUnavailable):
        await world.place()
    assert world.registry.health()["live"] == 0
    assert world.services.journal.open_timelines == 0
    world.store.away = False
    await world.place()
    (await world.signalling.next_leg()).say(Rejected(486, "Busy Here"))
    await world.all_over()


async def test_an_unknown_trunk_and_a_number_without_a_route_are_refused() -> None:
    world = await started(Trunk(name="uk", address="192.0.2.1", prefixes=["44"]))
    refused = await world.refused(trunk="us")
    assert refused.field == "trunk"
    assert "uk" in refused.message
    refused = await world.refused()
    assert (refused.status, refused.field) == (422, "to")
    assert world.store.calls == []


async def test_a_waiting_call_is_cancelled_without_an_invite() -> None:
    world = await started(concurrent_calls=1)
    await world.place()
    second = await world.place()
    assert await world.registry.hang_up(second.sid)
    assert second.outcome == "canceled"
    assert world.store.kinds(second.sid) == ["state.queued", "state.completed"]
    assert not await world.registry.hang_up(second.sid)
    (await world.signalling.next_leg()).say(Rejected(486, "Busy Here"))
    await world.all_over()
    assert len(world.signalling.legs) == 1


async def test_hanging_up_a_ringing_and_an_answered_call() -> None:
    world = await started()
    ringing = await world.place()
    far = await world.signalling.next_leg()
    assert await world.registry.hang_up(ringing.sid)
    await until(lambda: ringing.outcome)
    assert (ringing.outcome, ringing.hangup_source) == ("canceled", "caller")
    assert far.hung_up
    answered = await world.place()
    far = await world.signalling.next_leg(2)
    far.answers(Answered(ANSWER))
    world.media.legs[1].plays_at_once = False
    assert await world.registry.hang_up(answered.sid)
    await world.all_over()
    assert (answered.outcome, answered.hangup_source) == ("completed", "caller")


async def test_hanging_up_an_unknown_call_is_refused() -> None:
    world = await started()
    with pytest.raises(Refused) as caught:
        await world.registry.hang_up("CA" + "f" * 32)
    assert caught.value.status == 404


def unfinished(world: RegistryWorld, state: str, **fields: object) -> CallRecord:
    """A call that an earlier process left."""
    sid = "CA" + f"{len(world.store.calls):032x}"
    request = world.request(status_callback_events=("completed",)).to_json()
    values: dict[str, object] = {
        "created_at": world.services.clock.now(),
        "request": request,
        "parent_sid": sid,
        **fields,
    }
    call = CallRecord(
        sid=sid,
        direction="outbound",
        from_number="12025550100",
        to_number="12025550123",
        caller_name="",
        state=state,
        **values,  # type: ignore[arg-type]
    )
    world.store.calls.append(call)
    world.store.timeline.append(EventRecord(sid, 0, 0.0, "state.queued"))
    return call


async def test_after_a_crash_a_young_queued_call_is_dialled() -> None:
    world = RegistryWorld()
    call = unfinished(world, "queued")
    await world.registry.start()
    (await world.signalling.next_leg()).say(Rejected(486, "Busy Here"))
    await world.all_over()
    assert call.outcome == "busy"
    assert [event.seq for event in world.store.timeline] == [0, 1, 2]


async def test_after_a_crash_an_old_queued_call_is_not_dialled_any_more() -> None:
    world = RegistryWorld()
    call = unfinished(world, "queued", created_at=world.services.clock.now() - 61)
    await world.registry.start()
    await world.all_over()
    assert (call.outcome, call.cause) == ("failed", "expired-in-queue")
    assert world.signalling.legs == []
    assert world.told() == ["completed"]


@pytest.mark.parametrize("state", ["dialling", "ringing", "answered"])
async def test_after_a_crash_a_dialled_call_is_never_dialled_again(state: str) -> None:
    world = RegistryWorld()
    call = unfinished(world, state, dialled_at=1.0)
    await world.registry.start()
    await world.all_over()
    assert (call.outcome, call.cause) == ("failed", "server-restart")
    assert world.signalling.legs == []
    assert world.told() == ["completed"]
    assert world.last_params()["SequenceNumber"] == "1"


@pytest.mark.parametrize("state", ["dialling", "ringing", "answered"])
async def test_after_a_crash_the_far_end_is_released(state: str) -> None:
    world = RegistryWorld()
    dialog = {"call_id": "c", "branch": "z9"} if state != "answered" else {"call_id": "c"}
    call = unfinished(world, state, dialled_at=1.0, dialog=dialog)
    world.store.ladders[call.sid] = 3
    await world.registry.start()
    assert world.signalling.released == [dialog], "before anything is taken"
    assert call.ended_at is not None
    await world.all_over()
    assert (call.cause, call.dialog) == ("server-restart", None)
    assert world.store.changes[-1].fields["dialog"] is None
    assert world.store.ladders[call.sid] == 4, "what was said before is still there"
    assert world.signalling.legs == []


async def test_after_a_crash_every_leg_of_a_bridge_is_released() -> None:
    world = RegistryWorld()
    parent = unfinished(world, "answered", dialled_at=1.0, dialog={"call_id": "a"})
    unfinished(
        world, "answered", dialled_at=1.0, parent_sid=parent.sid, request={},
        dialog={"call_id": "b"},
    )  # fmt: skip
    unfinished(world, "dialling", dialled_at=1.0, parent_sid=parent.sid, request={})
    await world.registry.start()
    await world.all_over()
    assert world.signalling.released == [{"call_id": "a"}, {"call_id": "b"}]
    assert [call.state for call in world.store.calls] == ["completed"] * 3


async def test_after_a_crash_the_second_leg_is_told_to_its_parents_callback() -> None:
    world = RegistryWorld()
    parent = unfinished(world, "answered", dialled_at=1.0)
    parent.request = {**parent.request, "url": ""}
    unfinished(world, "ringing", dialled_at=1.0, parent_sid=parent.sid, request={})
    await world.registry.start()
    await world.all_over()
    assert world.told() == ["completed", "completed"]
    assert len({delivery.lane for delivery in world.callbacks.submitted}) == 1


async def test_draining_refuses_waits_and_then_hangs_up() -> None:
    world = await started(concurrent_calls=1)
    call = await world.place()
    waiting = await world.place()
    far = await world.signalling.next_leg()
    far.answers(Answered(ANSWER))
    world.media.legs[0].plays_at_once = False
    await until(lambda: call.answered_at)
    hurry = asyncio.Event()
    draining = asyncio.ensure_future(world.registry.drain(60, hurry))
    await asyncio.sleep(0)
    assert (await world.refused()).status == 503
    assert far.hung_up == 0
    hurry.set()
    await draining
    assert far.hung_up > 0
    assert (call.cause, waiting.state) == ("server-shutdown", "queued")
    assert len(world.signalling.legs) == 1


async def test_draining_ends_when_the_last_call_does() -> None:
    world = await started()
    call = await world.place()
    far = await world.signalling.next_leg()
    draining = asyncio.ensure_future(world.registry.drain(60, asyncio.Event()))
    far.say(Rejected(486, "Busy Here"))
    await asyncio.wait_for(draining, 5)
    assert call.outcome == "busy"
