"""What is kept of a leg's dialog, and the ACK that waits for it."""

from __future__ import annotations

import asyncio

import pytest

from doubles.legs import ANSWER, FakeSignallingLeg
from doubles.world import World, until
from outdial.calls import kept_dialog
from outdial.calls.dialled_leg import DialledLeg
from outdial.calls.journal import URGENT_S
from outdial.calls.leg_plan import LegPlan
from outdial.calls.timers import Timers
from outdial.config import Trunk
from outdial.legs import (
    Answered,
    Ending,
    Outcome,
    Rejected,
    Reoffer,
    Ringing,
    Source,
    TargetFailed,
)
from outdial.store.records import CallRecord, Change
from outdial.testing.legs import FakeIncomingLeg

SID = "CA" + "0" * 32
HANG_UP = Ending(Outcome.COMPLETED, "normal-clearing", Source.APPLICATION)


class HeldStore:
    """Makes the store of a world hold every change until `release`."""

    def __init__(self, world: World) -> None:
        self.held: list[tuple[Change, float, asyncio.Future[None]]] = []
        self._store = world.store
        self._commit = world.store.commit_soon
        world.store.commit_soon = self._hold  # type: ignore[method-assign]

    def _hold(self, change: Change, within_s: float = 0.0) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.held.append((change, within_s, future))
        return future

    def release(self) -> bool:
        """Writes what is held; False: nothing was."""
        held, self.held = self.held, []
        for change, _, future in held:
            self._commit(change)
            future.set_result(None)
        return bool(held)


class LegWorld(World):
    def __init__(self, *trunks: Trunk) -> None:
        super().__init__(*trunks)
        call = CallRecord(SID, SID, "outbound", "12025550100", "12025550123", "", "queued", 0.0)
        self.leg = DialledLeg(self.services, call, LegPlan("12025550123", "12025550100"), None)
        self.placing: asyncio.Future[bool] | None = None

    async def dialled(self, count: int = 1) -> FakeSignallingLeg:
        if self.placing is None:
            self.placing = asyncio.ensure_future(self.leg.place())
        return await self.signalling.next_leg(count)

    async def over(self) -> None:
        self.leg.hang_up(HANG_UP)
        await asyncio.wait_for(self.leg.retired, 5)

    def kept(self) -> list[object]:
        """What each change says of the dialog, "-" where it says nothing."""
        return [change.fields.get("dialog", "-") for change in self.store.changes]


async def test_ringing_keeps_the_invite_and_answered_the_dialog_and_the_end_nothing() -> None:
    world = LegWorld()
    far = await world.dialled()
    far.say(Ringing(180, "Ringing"))
    far.answers(Answered(ANSWER))
    await asyncio.sleep(0)
    await world.over()
    invite = {"call_id": SID, "branch": "z9hG4bKfake"}
    assert world.kept() == ["-", invite, {"call_id": SID}, None]
    assert world.leg.call.dialog is None


async def test_ack_and_audio_leave_when_the_answer_is_durable_and_nothing_else_waits() -> None:
    world = LegWorld()
    far = await world.dialled()
    store = HeldStore(world)
    far.answers(Answered(ANSWER))
    assert world.placing is not None
    assert await world.placing, "the application runs"
    talks = asyncio.ensure_future(world.leg.answer())
    await asyncio.sleep(0)
    assert (far.acknowledged, world.media.legs[0].done, talks.done()) == (0, [], False)
    ((change, within_s, _),) = store.held
    assert change.fields["state"] == "answered"
    assert change.fields["dialog"] == {"call_id": SID}
    assert within_s == URGENT_S
    store.release()
    await asyncio.sleep(0)
    assert far.acknowledged == 1
    assert await talks
    assert world.media.legs[0].done[0] == "start"
    world.leg.hang_up(HANG_UP)
    await until(lambda: store.release() and world.leg.retired.done())


async def test_without_the_store_the_ack_waits_for_a_second_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kept_dialog, "ACK_WAIT_S", 0.01)
    world = LegWorld()
    far = await world.dialled()
    world.store.away = True
    far.answers(Answered(ANSWER))
    await asyncio.sleep(0)
    assert far.acknowledged == 0
    await until(lambda: far.acknowledged)
    notes = [event for event in world.store.timeline if event.kind == "warning"]
    assert "acknowledged without" in notes[0].data["text"]
    assert world.services.journal.held_back == 1, "it is still to be stored"
    world.store.away = False
    await world.over()


def test_the_wait_is_long_for_a_disk_and_short_for_a_carrier() -> None:
    assert 0.5 <= kept_dialog.ACK_WAIT_S <= 2


async def test_a_leg_that_is_hung_up_leaves_the_ack_to_signalling() -> None:
    world = LegWorld()
    far = await world.dialled()
    store = HeldStore(world)
    far.answers(Answered(ANSWER))
    world.leg.hang_up(HANG_UP)
    assert far.hung_up == 1
    await until(lambda: store.release() and world.leg.retired.done())
    assert world.store.states() == ["dialling", "answered", "completed"]


async def test_an_invite_that_is_under_way_for_long_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kept_dialog, "INVITE_KEPT_AFTER_S", 0.01)
    world = LegWorld(Trunk(name="a", address="192.0.2.1"), Trunk(name="b", address="192.0.2.2"))
    first = await world.dialled()
    await until(lambda: len(world.store.changes) == 2)
    first.say(Ringing(183, "Session Progress"))
    first.say(Rejected(503, "Service Unavailable"))
    second = await world.dialled(2)
    second.data["branch"] = "z9hG4bKsecond"
    await until(lambda: len(world.store.changes) == 4)
    one, two = ({"call_id": SID, "branch": f"z9hG4bK{name}"} for name in ("fake", "second"))
    assert world.kept() == ["-", one, "-", two]
    assert world.store.kinds() == ["state.dialling", "state.ringing", "trunk.failed"]
    second.say(Rejected(486, "Busy Here"))
    await asyncio.wait_for(world.leg.retired, 5)


def failed(to: str) -> TargetFailed:
    return TargetFailed("udp:192.0.2.1:5060", 408, "No response within 4 s", True, f"udp:{to}")


async def test_the_invite_to_another_server_takes_the_place_of_the_one_that_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kept_dialog, "INVITE_KEPT_AFTER_S", 0.01)
    world = LegWorld(Trunk(name="a", address="carrier.example"))
    leg = await world.dialled()
    await until(lambda: len(world.store.changes) == 2)
    monkeypatch.setattr(kept_dialog, "INVITE_KEPT_AFTER_S", 60.0)
    leg.data["branch"] = "z9hG4bKsecond"
    leg.say(failed("192.0.2.2:5060"))
    await until(lambda: len(world.store.changes) == 3)
    one, two = ({"call_id": SID, "branch": f"z9hG4bK{name}"} for name in ("fake", "second"))
    assert world.kept() == ["-", one, two], "at once, not when it has been under way for long"
    event = next(one for one in world.store.timeline if one.kind == "target.failed")
    assert event.data == {
        "trunk": "a",
        "target": "udp:192.0.2.1:5060",
        "status": 408,
        "reason": "No response within 4 s",
        "next": "udp:192.0.2.2:5060",
    }
    leg.say(Rejected(486, "Busy Here"))
    await asyncio.wait_for(world.leg.retired, 5)


async def test_of_an_invite_that_failed_at_once_nothing_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kept_dialog, "INVITE_KEPT_AFTER_S", 0.05)
    world = LegWorld(Trunk(name="a", address="carrier.example"))
    leg = await world.dialled()
    leg.data["branch"] = "z9hG4bKsecond"
    leg.say(failed("192.0.2.2:5060"))
    assert world.kept() == ["-"]
    await until(lambda: len(world.store.changes) == 2)
    assert world.kept() == ["-", {"call_id": SID, "branch": "z9hG4bKsecond"}]
    leg.say(Rejected(486, "Busy Here"))
    await asyncio.wait_for(world.leg.retired, 5)


async def test_a_call_towards_us_is_kept_when_it_is_answered() -> None:
    world = LegWorld()
    call = world.leg.call
    kept = kept_dialog.KeptDialog(
        call, world.services.journal, Timers(asyncio.get_running_loop()), lambda text: None
    )
    assert kept.changes() == {}
    incoming = FakeIncomingLeg("12025550123")
    kept.taken(incoming)
    fields = kept.changes()
    assert fields == {"dialog": {"call_id": incoming.sip_call_id}}
    kept.answered(Change(SID, fields), lambda: None)
    await asyncio.sleep(0)
    assert world.store.changes[-1].fields == fields
    kept.let_go()


async def test_a_reoffer_is_kept_when_it_moves_the_dialog() -> None:
    world = LegWorld()
    far = await world.dialled()
    far.answers(Answered(ANSWER))
    await asyncio.sleep(0)
    changes = len(world.store.changes)
    far.say(Reoffer(ANSWER))
    assert len(world.store.changes) == changes
    far.data["target"] = "sip:moved@192.0.2.1"
    far.say(Reoffer(ANSWER))
    assert world.kept()[changes:] == [{"call_id": SID, "target": "sip:moved@192.0.2.1"}]
    await world.over()
