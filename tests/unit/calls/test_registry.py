"""All calls of a process: taken, queued, started, ended, resumed, drained."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any, cast

import pytest

from doubles.legs import ANSWER
from doubles.world import Page, World, until
from outdial.calls.callbacks import Lane, Subscription
from outdial.calls.registry import Registry
from outdial.calls.repeats import Repeatable
from outdial.calls.request import CallRequest
from outdial.config import Key, Limits, Settings, Trunk
from outdial.errors import Refused, StoreConflict, StoreUnavailable
from outdial.legs import Answered, Rejected
from outdial.store.records import CallRecord, EventRecord
from outdial.store.store import Store

APP = "http://app.test/start"


class RegistryWorld(World):
    """A registry that takes calls."""

    def __init__(self, *trunks: Trunk, keys: Sequence[Key] = (), **limits: float) -> None:
        settings = Settings(limits=Limits.model_validate(limits), keys=keys)
        super().__init__(*trunks, settings=settings)
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

    async def place(self, key: str = "dev", **changes: object) -> CallRecord:
        return await self.registry.place(self.request(**changes), key)

    async def refused(self, key: str = "dev", **changes: object) -> Refused:
        with pytest.raises(Refused) as caught:
            await self.place(key, **changes)
        return caught.value

    async def all_over(self) -> None:
        await until(lambda: not self.registry.health()["live"])
        await until(lambda: not len(self.services.tasks))


async def started(*trunks: Trunk, keys: Sequence[Key] = (), **limits: float) -> RegistryWorld:
    world = RegistryWorld(*trunks, keys=keys, **limits)
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
    assert world.store.kinds(second.sid) == ["state.queued", "command", "state.completed"]
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


async def test_a_timeline_of_many_pages_is_continued_behind_its_last_event() -> None:
    world = RegistryWorld()
    call = unfinished(world, "answered")
    world.store.timeline += [EventRecord(call.sid, seq, 1.0, "warning") for seq in range(1, 2_500)]
    await world.registry.start()
    await world.all_over()
    assert (call.cause, world.store.timeline[-1].seq) == ("server-restart", 2_500)


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


async def test_after_a_crash_a_leg_of_a_dial_tells_its_own_callback() -> None:
    world = RegistryWorld()
    parent = unfinished(world, "answered", dialled_at=1.0)
    leg = unfinished(world, "answered", dialled_at=1.0, parent_sid=parent.sid, request={})
    stored = Subscription("http://b.test/events", ("completed",), "GET", "", "", Lane(leg.sid, "x"))
    leg.request = json.loads(json.dumps(stored.to_json()))
    await world.registry.start()
    await world.all_over()
    assert {d.call_sid: (d.method, d.url) for d in world.callbacks.submitted} == {
        parent.sid: ("POST", "http://app.test/events"),
        leg.sid: ("GET", "http://b.test/events"),
    }
    assert len({delivery.lane for delivery in world.callbacks.submitted}) == 2


async def test_after_a_crash_an_unreadable_request_does_not_keep_the_server_from_starting() -> None:
    world = RegistryWorld()
    broken = unfinished(world, "queued", request={"to": "1"})
    other = unfinished(world, "answered", dialled_at=1.0)
    await world.registry.start()
    await world.all_over()
    assert (broken.cause, other.cause) == ("server-restart", "server-restart")
    assert world.signalling.legs == []


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


# ------------------------------------------------------------------ limits of keys and trunks


def limited(name: str, **limits: float) -> Trunk:
    return Trunk.model_validate({"name": name, "address": "192.0.2.1", **limits})


BUSY = Rejected(486, "Busy Here")


async def test_a_key_at_its_limit_waits_while_others_go_on() -> None:
    world = await started(keys=[Key(name="few", key="k", concurrent_calls=1)])
    calls = [await world.place("few") for _ in range(3)] + [await world.place() for _ in range(2)]
    assert [call.state for call in calls] == ["dialling", "queued", "queued"] + ["dialling"] * 2
    assert [world.registry.position(call.sid) for call in calls] == [None, 1, 2, None, None]
    for number in range(1, 6):
        (await world.signalling.next_leg(number)).say(BUSY)
    await world.all_over()
    assert {call.outcome for call in calls} == {"busy"}
    assert world.registry.health()["queued"] == 0


async def test_one_keys_calls_cannot_fill_the_queue() -> None:
    world = await started(concurrent_calls=1, queued_calls=5)
    calls = [await world.place("many") for _ in range(5)]
    refused = await world.refused("many")
    assert refused.status == 429
    assert "limits.queued_calls_per_key" in refused.message
    calls.append(await world.place("one"))
    assert (await world.refused("one")).message.startswith("5 calls wait already")
    assert world.registry.position(calls[-1].sid) == 2
    for number in range(1, 7):
        (await world.signalling.next_leg(number)).say(BUSY)
    await world.all_over()
    order = [leg.target.leg_id for leg in world.signalling.legs]
    assert order.index(calls[-1].sid) <= 2, "it went before the others of the greedy key"


async def test_a_key_with_room_is_taken_though_the_queue_is_full() -> None:
    world = await started(
        keys=[Key(name="few", key="k", concurrent_calls=1)],
        queued_calls=1,
    )
    await world.place("few")
    await world.place("few")
    assert (await world.refused("few")).status == 429
    assert (await world.place()).state == "dialling"


async def test_a_full_trunk_overflows_to_the_next_and_then_calls_wait() -> None:
    world = await started(limited("a", concurrent_calls=1), limited("b", concurrent_calls=1))
    calls = [await world.place() for _ in range(3)]
    legs = [await world.signalling.next_leg(number) for number in (1, 2)]
    assert [leg.target.trunk for leg in legs] == ["a", "b"]
    assert calls[2].state == "queued"
    legs[1].say(BUSY)
    third = await world.signalling.next_leg(3)
    assert third.target.trunk == "b"
    for leg in (legs[0], third):
        leg.say(BUSY)
    await world.all_over()
    quotas = world.services.channels.quotas()
    assert [quota.live for quota in quotas.values()] == [0, 0]


async def test_a_trunk_that_fails_gives_its_channel_to_who_waits() -> None:
    world = await started(limited("a", concurrent_calls=1), limited("b", concurrent_calls=2))
    calls = [await world.place(), await world.place(trunk="a")]
    assert [call.state for call in calls] == ["dialling", "queued"]
    (await world.signalling.next_leg(1)).say(Rejected(503, "Service Unavailable"))
    legs = [await world.signalling.next_leg(number) for number in (2, 3)]
    assert sorted(leg.target.trunk for leg in legs) == ["a", "b"]
    for leg in legs:
        leg.say(BUSY)
    await world.all_over()
    assert {call.outcome for call in calls} == {"busy"}


async def test_the_next_trunk_is_passed_over_when_it_is_full() -> None:
    world = await started(limited("a"), limited("b", concurrent_calls=1), limited("c"))
    holder = await world.place(trunk="b")
    call = await world.place()
    far = [await world.signalling.next_leg(number) for number in (1, 2)]
    assert [leg.target.trunk for leg in far] == ["b", "a"]
    far[1].say(Rejected(503, "Service Unavailable"))
    third = await world.signalling.next_leg(3)
    assert third.target.trunk == "c"
    assert "trunk.full" in world.store.kinds(call.sid)
    third.say(BUSY)
    far[0].say(BUSY)
    await world.all_over()
    assert [holder.outcome, call.outcome] == ["busy", "busy"]


async def test_a_second_leg_without_a_channel_fails_as_at_a_carrier_and_says_why() -> None:
    world = await started(limited("a", concurrent_calls=1))
    call = await world.place(url="")
    far = await world.signalling.next_leg()
    far.answers(Answered(ANSWER))
    await until(lambda: far.hung_up)
    await world.all_over()
    second = world.store.calls[1]
    assert second.parent_sid == call.sid
    assert (second.outcome, second.cause, second.sip_code) == ("failed", "trunk-full", 503)
    assert "trunks.concurrent_calls" in (second.detail or "")
    assert world.told(second.sid) == ["completed"]
    assert len(world.signalling.legs) == 1
    assert call.outcome == "completed"


async def test_a_second_leg_holds_a_channel_until_it_is_over() -> None:
    world = await started(limited("a", concurrent_calls=2))
    call = await world.place(url="")
    (await world.signalling.next_leg()).answers(Answered(ANSWER))
    second = await world.signalling.next_leg(2)
    waiting = await world.place()
    assert waiting.state == "queued"
    second.say(BUSY)
    third = await world.signalling.next_leg(3)
    assert third.target.leg_id == waiting.sid
    third.say(BUSY)
    await world.all_over()
    assert world.services.channels.quotas()["a"].live == 0
    assert call.outcome == "completed"


# ------------------------------------------------------------------ waiting too long


async def test_a_call_that_waits_too_long_fails_once_with_its_event() -> None:
    world = await started(concurrent_calls=1, queue_timeout_s=0.05)
    first, second = await world.place(), await world.place()
    await until(lambda: world.told(second.sid))
    assert (second.outcome, second.cause) == ("failed", "expired-in-queue")
    assert "limits.queue_timeout_s" in (second.detail or "")
    assert world.told(second.sid) == ["completed"]
    assert world.store.kinds(second.sid) == ["state.queued", "state.completed"]
    assert not await world.registry.hang_up(second.sid)
    (await world.signalling.next_leg()).say(BUSY)
    await world.all_over()
    assert first.outcome == "busy"
    assert len(world.signalling.legs) == 1


# ------------------------------------------------------------------ a place before a record


class SlowStore:
    """Holds up the creation of calls until it is told to go on."""

    def __init__(self, world: RegistryWorld) -> None:
        self.go_on = asyncio.Event()
        self._create = world.store.create_call
        world.store.create_call = self._held  # type: ignore[assignment, method-assign]

    async def _held(self, *args: Any) -> None:
        await self.go_on.wait()
        await self._create(*args)


async def test_parallel_posts_take_their_places_before_they_are_stored() -> None:
    world = await started(concurrent_calls=1, queued_calls=2)
    store = SlowStore(world)
    posts = [asyncio.ensure_future(world.place(f"key {n}")) for n in range(10)]
    await asyncio.sleep(0)
    assert world.registry.health() | {"checks": {}} == {
        "ready": True, "draining": False, "live": 0, "queued": 0, "checks": {},
    }  # fmt: skip
    store.go_on.set()
    results = await asyncio.gather(*posts, return_exceptions=True)
    assert sum(isinstance(result, CallRecord) for result in results) == 3
    assert sum(isinstance(result, Refused) for result in results) == 7
    assert len(world.store.calls) == 3
    assert world.registry.health()["queued"] == 2


async def test_a_call_whose_turn_comes_before_it_is_stored_waits_for_that() -> None:
    world = await started(concurrent_calls=1)
    await world.place()
    far = await world.signalling.next_leg()
    store = SlowStore(world)
    post = asyncio.ensure_future(world.place())
    await asyncio.sleep(0)
    far.say(BUSY)
    await until(lambda: not world.registry._admission.waiting)
    await asyncio.sleep(0.01)
    assert len(world.signalling.legs) == 1
    store.go_on.set()
    call = await post
    (await world.signalling.next_leg(2)).say(BUSY)
    await world.all_over()
    assert world.store.kinds(call.sid)[:2] == ["state.queued", "state.dialling"]


async def stopped_while_it_stores(
    world: RegistryWorld, grace_s: float
) -> tuple[CallRecord, asyncio.Future[None]]:
    """A post whose commit ends only when the draining has begun, and that."""
    store = SlowStore(world)
    post = asyncio.ensure_future(world.place())
    await asyncio.sleep(0)
    draining = asyncio.ensure_future(world.registry.drain(grace_s, asyncio.Event()))
    await asyncio.sleep(0.01)
    store.go_on.set()
    return await post, draining


async def test_who_drains_waits_for_a_post_that_is_being_stored() -> None:
    world = await started()
    call, draining = await stopped_while_it_stores(world, 60)
    far = await world.signalling.next_leg()
    assert not draining.done()
    far.say(BUSY)
    await draining
    assert call.outcome == "busy", "it had the time that live calls have"


async def test_a_post_that_is_stored_after_the_last_hang_up_is_not_dialled() -> None:
    world = await started()
    call, draining = await stopped_while_it_stores(world, 0)
    await draining
    assert (call.outcome, call.cause) == ("canceled", "server-shutdown")
    assert world.told() == ["completed"]
    assert not world.signalling.legs


async def test_a_post_that_has_to_wait_while_the_server_drains_is_dialled_by_the_next() -> None:
    world = await started(concurrent_calls=1)
    first = await world.place()
    second, draining = await stopped_while_it_stores(world, 0)
    (await world.signalling.next_leg()).say(BUSY)
    await draining
    assert (first.state, second.state) == ("completed", "queued")


async def test_who_drains_waits_for_a_call_towards_us_that_is_being_taken() -> None:
    world = await started()
    taking = asyncio.get_running_loop().create_future()
    world.registry.expect(taking)
    draining = asyncio.ensure_future(world.registry.drain(60, asyncio.Event()))
    await asyncio.sleep(0.01)
    assert not draining.done()
    taking.set_result(None)
    await asyncio.wait_for(draining, 5)


async def test_a_call_that_could_not_be_stored_gives_its_place_back() -> None:
    world = await started(limited("a", concurrent_calls=1), calls_per_second=1)
    world.store.away = True
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await world.place()
    world.store.away = False
    call = await world.place()
    assert call.state == "dialling", "neither the rate nor the channel is used up"
    second = asyncio.ensure_future(world.place())
    await asyncio.sleep(0)
    assert (await second).state == "queued"
    world.store.away = True
    with pytest.raises(StoreUnavailable):
        await world.place()
    assert world.registry.health()["queued"] == 1


async def test_the_answer_to_repeat_tells_the_place_in_the_queue() -> None:
    world = await started(concurrent_calls=1)
    await world.place()
    await world.place()
    answers: list[int | None] = []

    def answer(call: CallRecord) -> str:
        answers.append(world.registry.position(call.sid))
        return "{}"

    repeatable = Repeatable("dev", "t", "d", answer)
    call = await world.registry.place(world.request(), "dev", repeatable)
    assert answers == [2]
    assert world.store.repeats["dev", "t"].call_sid == call.sid
    with pytest.raises(StoreConflict):
        await world.registry.place(world.request(), "dev", Repeatable("dev", "t", "d", answer))
    assert world.registry.health()["queued"] == 2
