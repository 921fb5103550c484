"""Minutes a day: of the server, of a key, on a trunk."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from doubles.legs import ANSWER
from doubles.world import Page, World, until
from outdial.calls import codes
from outdial.calls.registry import Registry
from outdial.calls.request import CallRequest
from outdial.config import Key, Limits, Settings, Trunk
from outdial.errors import Refused
from outdial.legs import Answered
from outdial.store.records import CallRecord, Talked
from outdial.store.store import Store

APP = "http://app.test/start"
STAYS = Page(b"<Response><Pause length='60'/></Response>")
A, B = Trunk(name="a", address="192.0.2.1"), Trunk(name="b", address="192.0.2.2")


class TalkingWorld(World):
    """A registry whose calls stay."""

    def __init__(
        self,
        *trunks: Trunk,
        keys: tuple[Key, ...] = (),
        talked: tuple[Talked, ...] = (),
        **more: Any,
    ) -> None:
        settings = Settings(limits=Limits(calls_per_second=1000, **more), keys=list(keys))
        super().__init__(*(trunks or (A,)), settings=settings)
        self.web.pages[APP] = STAYS
        self.talked = talked
        self.registry = Registry(self.services, cast(Store, self))

    def __getattr__(self, name: str) -> Any:
        """Of the store all but what was talked."""
        return getattr(self.store, name)

    async def talked_since(self, since: float) -> list[Talked]:
        return list(self.talked)

    async def place(self, key: str = "dev", **more: Any) -> CallRecord:
        request = CallRequest("12025550123", "12025550100", APP, **more)
        return await self.registry.place(request, key)

    async def answer(self, count: int) -> None:
        await self.signalling.next_leg(count)
        self.signalling.legs[count - 1].answers(Answered(ANSWER))

    async def over(self) -> None:
        await until(lambda: not self.registry.health()["live"])


async def refused(world: TalkingWorld, **more: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        await world.place(**more)
    return caught.value


@pytest.mark.parametrize(
    ("world", "setting"),
    [
        (lambda **more: TalkingWorld(minutes_per_day=10, **more), "limits.minutes_per_day"),
        (
            lambda **more: TalkingWorld(
                keys=(Key(name="dev", key="k", minutes_per_day=10),), **more
            ),
            "keys.minutes_per_day",
        ),
        (
            lambda **more: TalkingWorld(A.model_copy(update={"minutes_per_day": 10}), **more),
            "trunks.minutes_per_day",
        ),
    ],
)
async def test_who_has_talked_them_is_refused_and_told_until_when(world: Any, setting: str) -> None:
    made = world(talked=(Talked("dev", "a", 599.0), Talked("dev", "a", 1.0)))
    await made.registry.start()
    why = await refused(made)
    assert (why.status, why.code) == (429, codes.MINUTES_USED_UP)
    assert "10 minutes" in why.message
    assert setting in why.message
    assert 0 < (why.retry_after_s or 0) <= 86_400
    assert made.signalling.legs == []


async def test_others_may_talk_on() -> None:
    keys = (Key(name="dev", key="k", minutes_per_day=1), Key(name="other", key="l"))
    world = TalkingWorld(keys=keys, talked=(Talked("dev", "a", 60.0), Talked("other", "a", 500.0)))
    await world.registry.start()
    assert (await refused(world)).code == codes.MINUTES_USED_UP
    await world.place("other")
    await world.answer(1)


async def test_a_trunk_that_has_none_left_is_passed_over() -> None:
    world = TalkingWorld(
        A.model_copy(update={"minutes_per_day": 1}), B, talked=(Talked("dev", "a", 60.0),)
    )
    await world.registry.start()
    await world.place()
    assert (await world.signalling.next_leg()).target.trunk == "b"
    assert "trunk.spent" in world.store.kinds()


async def test_live_calls_are_hung_up_together_when_they_are_used_up() -> None:
    """A hundred posts at once talk no longer than one would."""
    world = TalkingWorld(minutes_per_day=10, talked=(Talked("dev", "a", 590.0),))
    await world.registry.start()
    await asyncio.gather(*(world.place() for _ in range(100)))
    for count in range(1, 101):
        await world.answer(count)
    await world.over()
    assert {call.cause for call in world.store.calls} == {"minutes-used-up"}
    assert {call.outcome for call in world.store.calls} == {"completed"}
    seconds = sum((c.ended_at or 0) - (c.answered_at or 0) for c in world.store.calls)
    assert seconds < 10 + 100 * 2, "ten seconds each would be a thousand; a busy machine is late"
    assert (await refused(world)).code == codes.MINUTES_USED_UP


async def test_a_call_that_waited_is_not_dialled_when_they_are_used_up() -> None:
    world = TalkingWorld(
        minutes_per_day=10, concurrent_calls=1, talked=(Talked("dev", "a", 599.9),)
    )
    await world.registry.start()
    await world.place()
    await world.place()
    await world.answer(1)
    await until(lambda: all(call.ended_at for call in world.store.calls))
    assert [call.cause for call in world.store.calls] == ["minutes-used-up"] * 2
    assert [call.outcome for call in world.store.calls] == ["completed", "failed"]
    assert len(world.signalling.legs) == 1


async def test_without_limits_the_record_is_not_asked() -> None:
    world = World()
    assert not world.services.minutes.is_limited
    await Registry(world.services, cast(Store, world.store)).start()
