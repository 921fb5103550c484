"""A registry among several on one database: calls come from other nodes, and go to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pytest

from doubles.legs import ANSWER
from doubles.world import Page, World, until
from outdial import ids
from outdial.calls import codes
from outdial.calls.commands import Record, SendDigits
from outdial.calls.registry import Registry
from outdial.calls.request import CallRequest
from outdial.config import Limits, Settings, Trunk
from outdial.errors import Refused, StoreUnavailable
from outdial.legs import Answered, Rejected
from outdial.store.nodes import QueuedCall
from outdial.store.records import CallRecord
from outdial.store.store import Store

APP = "http://app.test/start"


class FakePeers:
    """Remembers what it is asked."""

    name = "one"

    def __init__(self) -> None:
        self.announced = self.offered = self.asked = 0
        self.holds_lease = True
        self.is_away = False
        self.sent: list[tuple[str, str, str, dict[str, Any]]] = []
        self.answer: Mapping[str, Any] | None = None
        """What the other node says."""

    async def confirm(self) -> None:
        self.asked += 1
        if self.is_away:
            raise StoreUnavailable("away")

    def calls_wait(self) -> None:
        self.announced += 1

    def has_room(self) -> None:
        self.offered += 1

    async def ask(
        self, node: str, call_sid: str, kind: str, data: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        self.sent.append((node, call_sid, kind, dict(data)))
        return self.answer


class SharingWorld(World):
    def __init__(self, *trunks: Trunk, **limits: float) -> None:
        super().__init__(*trunks, settings=Settings(limits=Limits.model_validate(limits)))
        self.web.pages[APP] = Page(b"<Response><Pause length='60'/></Response>")
        self.store.node = "ND1"
        self.peers = FakePeers()
        self.services = replace(self.services, lease=self.peers)
        self.registry = Registry(self.services, cast(Store, self.store), self.peers)

    @staticmethod
    def request() -> CallRequest:
        return CallRequest(to="12025550123", from_="12025550100", url=APP)

    async def place(self) -> CallRecord:
        return await self.registry.place(self.request(), "dev")

    def a_call(self, node: str, state: str = "queued", age_s: float = 0.0) -> CallRecord:
        """One that is in the store without this registry's doing."""
        sid = ids.new(ids.CALL)
        call = CallRecord(
            sid, sid, "outbound", "12025550100", "12025550123", "", state,
            self.services.clock.now() - age_s, "dev", request=self.request().to_json(), node=node,
        )  # fmt: skip
        self.store.calls.append(call)
        return call


async def started(**limits: float) -> SharingWorld:
    world = SharingWorld(**limits)
    await world.registry.start()
    return world


async def test_a_call_without_room_is_announced_and_room_without_calls_is_offered() -> None:
    world = await started(concurrent_calls=1)
    await world.place()
    assert world.peers.announced == 0
    far = await world.signalling.next_leg()
    second = await world.place()
    assert world.peers.announced == 1
    world.registry.let_go([second.sid])
    far.say(Rejected(486, "Busy Here"))
    await until(lambda: world.peers.offered)


async def test_what_another_node_has_claimed_is_forgotten_without_a_word() -> None:
    world = await started(concurrent_calls=1)
    first, second = await world.place(), await world.place()
    world.registry.let_go([second.sid, first.sid, "CA unknown"])
    assert world.registry.health()["queued"] == 0
    await until(lambda: world.registry.health()["live"] == 1)
    assert world.store.states(second.sid) == []
    assert sum(world.registry.ended().values()) == 0
    assert not world.services.journal.is_open(second.sid)


async def test_a_call_that_another_node_dials_first_is_not_dialled_here() -> None:
    world = await started(concurrent_calls=1)
    await world.place()
    far = await world.signalling.next_leg()
    second = await world.place()
    world.store.elsewhere.add(second.sid)
    far.say(Rejected(486, "Busy Here"))
    await until(lambda: world.registry.health()["live"] == 0)
    await until(lambda: not len(world.services.tasks))
    assert world.store.states(second.sid) == []
    assert sum(world.registry.ended().values()) == 1
    third = await world.place()  # its room is free again
    assert third.state == "dialling"


async def test_hanging_up_reaches_the_node_that_holds_the_call() -> None:
    world = await started()
    there = world.a_call("ND2", "answered")
    assert await world.registry.hang_up(there.sid, "ops")
    assert world.peers.sent == [("ND2", there.sid, "hang-up", {"by": "ops"})]
    between = world.a_call("")
    with pytest.raises(Refused) as refused:
        await world.registry.hang_up(between.sid)
    assert (refused.value.status, refused.value.retry_after_s) == (503, 1)
    over = world.a_call("ND2", "completed")
    over.ended_at = 5.0
    assert not await world.registry.hang_up(over.sid)
    with pytest.raises(Refused, match="no call"):
        await world.registry.hang_up(ids.new(ids.CALL))
    assert len(world.peers.sent) == 1


async def test_a_command_reaches_the_node_that_holds_the_call() -> None:
    world = await started()
    there = world.a_call("ND2", "answered")
    assert not await world.registry.command(there.sid, SendDigits("12"), "ops")  # no answer yet
    world.peers.answer = {}
    assert await world.registry.command(there.sid, Record("start"), "ops")
    assert world.peers.sent == [
        ("ND2", there.sid, "digits", {"digits": "12", "by": "ops"}),
        ("ND2", there.sid, "recording", {"action": "start", "by": "ops"}),
    ]
    world.peers.answer = {
        "status": 409,
        "code": codes.RECORDED,
        "message": "it is recorded already",
        "field": "recording",
        "retry_after_s": None,
    }
    with pytest.raises(Refused, match="recorded already") as refused:
        await world.registry.command(there.sid, Record("start"), "ops")
    assert (refused.value.status, refused.value.code) == (409, codes.RECORDED)
    world.peers.answer = {"live": False}
    assert not await world.registry.hang_up(there.sid, "ops")
    there.ended_at, there.outcome, there.cause = 5.0, "completed", "time-limit"
    with pytest.raises(Refused, match="completed, time-limit"):
        await world.registry.command(there.sid, Record("start"), "ops")
    assert len(world.peers.sent) == 4
    for node in ("", "ND1"):  # on its way, or not taken up here yet
        with pytest.raises(Refused) as refused:
            await world.registry.command(world.a_call(node).sid, Record("start"), "ops")
        assert (refused.value.status, refused.value.retry_after_s) == (503, 1)


async def test_the_asking_node_is_told_what_came_of_its_command() -> None:
    world = await started()
    call = await world.place()
    answer = await world.registry.obey(call.sid, "mute", {"muted": True, "by": "ops"})
    assert (answer["status"], answer["code"]) == (409, codes.NOT_ANSWERED)
    far = await world.signalling.next_leg()
    far.answers(Answered(ANSWER))
    await until(lambda: "verb.started" in world.store.kinds(call.sid))
    assert await world.registry.obey(call.sid, "mute", {"muted": True, "by": "ops"}) == {}
    assert "hush" in world.media.legs[0].done
    world.store.away = True
    answer = await world.registry.obey(call.sid, "mute", {"muted": False, "by": "ops"})
    assert (answer["status"], answer["retry_after_s"]) == (503, 2)
    world.store.away = False
    assert await world.registry.obey(call.sid, "mute", {}) == {}  # of another version, perhaps
    assert await world.registry.obey(call.sid, "hang-up", {"by": "ops"}) == {"live": True}
    assert await world.registry.obey(ids.new(ids.CALL), "hang-up", {})  # says that there is none


async def test_a_waiting_call_that_another_node_takes_is_hung_up_there() -> None:
    world = await started(concurrent_calls=1)
    await world.place()
    second = await world.place()
    world.store.elsewhere.add(second.sid)
    second.node = "ND2"
    world.peers.answer = {"live": True}
    assert await world.registry.hang_up(second.sid, "ops")
    assert world.peers.sent == [("ND2", second.sid, "hang-up", {"by": "ops"})]
    assert world.store.states(second.sid) == []
    assert "command" not in world.store.kinds(second.sid)  # that node numbers its events now
    assert not world.services.journal.is_open(second.sid)


async def test_a_command_of_another_node_is_obeyed() -> None:
    world = await started(concurrent_calls=1)
    await world.place()
    second = await world.place()
    await world.registry.obey(second.sid, "hang-up", {"by": "ops"})
    assert world.store.states(second.sid)[-1] == "completed"
    await world.registry.obey(ids.new(ids.CALL), "hang-up", {})  # there is none: nobody to be told
    await world.registry.obey(second.sid, "sing", {})


async def test_only_calls_that_would_start_at_once_are_chosen() -> None:
    world = await started(concurrent_calls=3)
    waiting = [QueuedCall(f"CA{n}", "dev", "12025550123", "") for n in range(5)]
    assert world.registry.choose(waiting) == ["CA0", "CA1", "CA2"]
    await world.place()
    assert world.registry.choose(waiting) == ["CA0", "CA1"]
    nowhere = [QueuedCall("CA9", "dev", "12025550123", "no such trunk")]
    assert world.registry.choose(nowhere) == []
    await world.place()
    await world.place()
    await world.place()
    assert world.registry.choose(waiting) == []
    world.registry.refuse()
    assert world.registry.choose(waiting) == []


async def test_a_claimed_call_is_dialled_however_long_it_has_waited() -> None:
    """One of a node that is gone, only if it is younger than its timeout."""
    world = await started()
    claimed, inherited = world.a_call("ND1", age_s=500.0), world.a_call("ND1", age_s=500.0)
    answered = world.a_call("ND1", "answered")
    await world.registry.take_up({claimed.sid})
    await world.signalling.next_leg()
    assert world.store.states(claimed.sid) == ["dialling"]
    assert world.store.states(inherited.sid) == ["completed"]
    assert answered.cause == "server-restart"
    await world.registry.take_up()  # nothing is taken up twice
    assert world.store.states(inherited.sid) == ["completed"]
    assert world.store.states(claimed.sid) == ["dialling"]


async def test_without_a_lease_a_node_is_not_ready() -> None:
    world = await started()
    assert world.registry.health()["ready"]
    assert world.registry.health()["checks"]["node"] == "one"
    world.peers.holds_lease = False
    assert not world.registry.health()["ready"]


async def test_a_leg_asks_again_before_it_dials_when_the_lease_is_in_doubt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("outdial.calls.dialled_leg.STORE_RETRY_S", 0.01)
    world = await started()
    world.peers.holds_lease = False
    world.peers.is_away = True
    await world.place()
    await until(lambda: world.peers.asked > 2)
    assert world.signalling.legs == []
    world.peers.is_away = False
    await world.signalling.next_leg()
    world.peers.is_away = True
    second = await world.place()
    await world.registry.hang_up(second.sid)
    await until(lambda: world.registry.health()["live"] == 1)
    assert len(world.signalling.legs) == 1
