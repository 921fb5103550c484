"""How often a number was called in the last 24 hours."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from doubles.world import World
from outdial.calls import codes
from outdial.calls.frequency import SPAN_S, Frequency
from outdial.calls.registry import Registry
from outdial.calls.request import CallRequest
from outdial.config import Limits, Policy, Settings
from outdial.errors import Refused, StoreUnavailable
from outdial.store.records import CallRecord
from outdial.store.store import Store

ONE, OTHER = "12025550123", "12025550124"


def test_so_many_within_the_span_and_no_more() -> None:
    frequency = Frequency(2)
    assert frequency.next_at(ONE, 0.0) is None
    frequency.take(ONE, 0.0)
    assert frequency.next_at(ONE, 10.0) is None
    frequency.take(ONE, 10.0)
    assert frequency.next_at(ONE, 20.0) == SPAN_S
    assert frequency.next_at(OTHER, 20.0) is None
    assert frequency.next_at(ONE, SPAN_S) is None
    frequency.take(ONE, SPAN_S)
    assert frequency.next_at(ONE, SPAN_S + 1) == SPAN_S + 10
    frequency.give_back(ONE)
    assert frequency.next_at(ONE, SPAN_S + 1) is None


def test_without_a_limit_nothing_is_kept() -> None:
    frequency = Frequency(0)
    frequency.take(ONE, 0.0)
    assert (frequency.next_at(ONE, 0.0), len(frequency)) == (None, 0)


def test_numbers_of_long_ago_are_forgotten() -> None:
    frequency = Frequency(1)
    for number in range(50_000):
        frequency.take(str(number), number * SPAN_S / 100)
    assert len(frequency) < 2500
    assert frequency.next_at("49999", 49_999 * SPAN_S / 100) is not None


class CountingWorld(World):
    """A registry that calls a number three times a day."""

    def __init__(self, called: list[tuple[str, float]]) -> None:
        policy = Policy(calls_per_number_per_day=3)
        super().__init__(settings=Settings(policy=policy, limits=Limits(calls_per_second=1000)))
        self.called = called
        self.registry = Registry(self.services, cast(Store, self))

    def __getattr__(self, name: str) -> Any:
        """Of the store all but what was called."""
        return getattr(self.store, name)

    async def called_since(self, since: float) -> list[tuple[str, float]]:
        return [call for call in self.called if call[1] > since]

    async def post(self, to: str = ONE) -> CallRecord | Refused | StoreUnavailable:
        try:
            return await self.registry.place(CallRequest(to, OTHER, "http://app.test/"), "dev")
        except (Refused, StoreUnavailable) as error:
            return error


async def test_of_a_hundred_posts_at_once_as_many_as_may() -> None:
    world = CountingWorld([])
    now = world.services.clock.now()
    world.called = [(ONE, now - SPAN_S - 60), (ONE, now - 3600)]
    await world.registry.start()
    answers = await asyncio.gather(*(world.post() for _ in range(100)))
    refused = [answer for answer in answers if isinstance(answer, Refused)]
    assert len(world.store.calls) == 2
    assert {(one.status, one.code, one.field) for one in refused} == {
        (429, codes.CALLED_TOO_OFTEN, "to")
    }
    assert "3 times" in refused[0].message
    assert "policy.calls_per_number_per_day" in refused[0].message
    assert 22 * 3600 < (refused[0].retry_after_s or 0) <= 23 * 3600
    assert isinstance(await world.post(OTHER), CallRecord)


async def test_a_post_that_could_not_be_stored_does_not_count() -> None:
    world = CountingWorld([])
    await world.registry.start()
    world.store.away = True
    for _ in range(5):
        assert isinstance(await world.post(), StoreUnavailable)
    world.store.away = False
    assert isinstance(await world.post(), CallRecord)
