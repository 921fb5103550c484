"""The order of what is written, and what becomes of it when the store is away."""

from __future__ import annotations

import asyncio

import pytest

from doubles.legs import FakeCallbacks
from outdial.calls import journal as journal_module
from outdial.calls.journal import Journal
from outdial.clock import SystemClock
from outdial.errors import StoreConflict, StoreUnavailable
from outdial.store.records import CallRecord, Change, DeliveryRecord, EventRecord

SID = "CA" + "0" * 32


class SlowStore:
    """Every write waits for the test."""

    def __init__(self) -> None:
        self.writes: list[tuple[Change, float, asyncio.Future[None]]] = []
        self.full = False
        self.ended: CallRecord | None = None
        self.timeline: list[EventRecord] = []
        self.away = False

    async def call(self, sid: str) -> CallRecord | None:
        return self.ended

    async def events(self, call_sid: str, after_seq: int = -1) -> list[EventRecord]:
        return [event for event in self.timeline if event.seq > after_seq][:2]

    async def flush(self) -> None:
        if self.away:
            raise StoreUnavailable("the disk is away")

    async def create_call(self, call: CallRecord, *rest: object) -> None:
        raise AssertionError("nobody creates calls here")

    async def commit(self, change: Change) -> None:
        raise AssertionError("nobody waits here")

    def commit_soon(self, change: Change, within_s: float) -> asyncio.Future[None]:
        if self.full:
            raise StoreUnavailable("too much is waiting")
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.writes.append((change, within_s, future))
        return future

    def note(self, event: EventRecord) -> None:
        self.timeline.append(event)

    def save_ladder(self, call_sid: str, messages: object) -> None: ...

    async def settle(self, place: int, error: Exception | None = None) -> None:
        future = self.writes[place][2]
        future.set_exception(error) if error else future.set_result(None)
        await asyncio.sleep(0)


def delivery(event: str) -> DeliveryRecord:
    return DeliveryRecord(event, SID, "lane", 0, event, "http://x", "POST", (), 0.0)


def change(state: str) -> Change:
    return Change(SID, {"state": state}, deliveries=(delivery(state),))


class World:
    def __init__(self) -> None:
        self.store = SlowStore()
        self.callbacks = FakeCallbacks()
        self.journal = Journal(self.store, self.callbacks, SystemClock())

    @property
    def told(self) -> list[str]:
        return [delivery.event for delivery in self.callbacks.submitted]

    @property
    def states(self) -> list[object]:
        return [written.fields["state"] for written, _, _ in self.store.writes]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(journal_module, "RETRY_S", 0.01)
    return World()


async def test_what_somebody_waits_for_is_urgent_and_told_once_durable(world: World) -> None:
    done: list[str] = []
    world.journal.write(change("ringing"))
    world.journal.write(change("answered"), lambda: done.append("answered"))
    assert [within_s for _, within_s, _ in world.store.writes] == [
        journal_module.SOON_S,
        journal_module.URGENT_S,
    ]
    await world.store.settle(0)
    assert done == []
    await world.store.settle(1)
    assert done == ["answered"]
    assert world.told == ["ringing", "answered"]


async def test_what_was_held_back_is_told_once_durable(world: World) -> None:
    done: list[str] = []
    world.store.full = True
    world.journal.write(change("ringing"))
    world.journal.write(change("answered"), lambda: done.append("answered"))
    world.store.full = False
    assert (world.journal.held_back, world.store.writes) == (2, [])
    await asyncio.sleep(0.02)
    assert world.states == ["ringing", "answered"]
    await world.store.settle(0)
    await world.store.settle(1)
    assert done == ["answered"]
    assert world.told == ["ringing", "answered"]
    assert world.journal.held_back == 0


async def test_a_change_that_overtook_one_that_failed_is_written_over_it_again(
    world: World,
) -> None:
    done: list[str] = []
    world.journal.write(change("ringing"))
    world.journal.write(change("answered"), lambda: done.append("answered"))
    await world.store.settle(0, StoreUnavailable("locked"))
    await world.store.settle(1)
    assert done == ["answered"], "it is on the disk"
    assert world.told == [], "but its callback comes after the one before"
    await asyncio.sleep(0.02)
    assert world.states == ["ringing", "answered", "ringing", "answered"]
    assert world.store.writes[3][0].deliveries == (), "it is stored once only"
    await world.store.settle(2)
    await world.store.settle(3)
    assert world.told == ["ringing", "answered"]
    assert world.journal.held_back == 0


async def test_a_change_that_no_longer_applies_is_dropped_and_nobody_told(world: World) -> None:
    done: list[str] = []
    world.journal.write(change("answered"), lambda: done.append("answered"))
    await world.store.settle(0, StoreConflict("somebody else has it"))
    assert (done, world.told, world.journal.held_back) == ([], [], 0)


def ended_call() -> CallRecord:
    call = CallRecord(SID, SID, "outbound", "18005797676", "19499300360", "", "completed", 0.0)
    call.outcome = "completed"
    return call


def given_up(event: str = "completed") -> DeliveryRecord:
    dead = delivery(event)
    dead.state, dead.attempts, dead.last_error = "dead", 9, "answered 500"
    return dead


async def test_a_callback_given_up_long_after_the_end_is_behind_the_last_event(
    world: World,
) -> None:
    world.store.ended = ended_call()
    world.store.timeline = [EventRecord(SID, n, 0.0, "state.queued") for n in range(5)]
    world.journal.delivered(given_up(), 3.0)
    world.journal.delivered(given_up("answered"), 3.0)
    await world.journal._late_notes.wait(5.0)
    assert [event.seq for event in world.store.timeline] == list(range(7))
    last = world.store.timeline[-1]
    assert (last.kind, last.data["event"]) == ("callback.dead", "answered")
    assert (last.data["attempt"], last.data["error"]) == (9, "answered 500")


async def test_other_late_news_and_a_timeline_that_others_write_are_left_alone(
    world: World,
) -> None:
    failed = given_up()
    failed.state = "pending"
    world.journal.delivered(failed, 3.0)
    world.journal.delivered(given_up(), 3.0)  # the store has no such call
    world.store.ended = ended_call()
    world.store.ended.state = "answered"  # on another node
    world.journal.delivered(given_up(), 3.0)
    world.store.ended.state = "completed"
    world.store.away = True
    world.journal.delivered(given_up(), 3.0)
    await world.journal._late_notes.wait(5.0)
    assert world.store.timeline == []
