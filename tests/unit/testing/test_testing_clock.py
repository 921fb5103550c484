"""The clock that tests move."""

from __future__ import annotations

import asyncio

from outdial.testing.clock import FakeClock, settle


async def test_sleepers_wake_in_the_order_of_their_times_at_their_times() -> None:
    clock = FakeClock(start=1000.0)
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.now()))

    tasks = [asyncio.create_task(sleeper(*args)) for args in (("b", 2), ("a", 1), ("c", 5))]
    await clock.advance(3)
    assert woken == [("a", 1001.0), ("b", 1002.0)]
    assert (clock.monotonic(), clock.now(), clock.sleepers) == (3.0, 1003.0, 1)
    await clock.advance(2)
    await asyncio.gather(*tasks)
    assert woken[-1] == ("c", 1005.0)


async def test_a_task_that_sleeps_again_is_woken_within_the_same_advance() -> None:
    clock = FakeClock()
    ticks: list[float] = []

    async def ticker() -> None:
        while True:
            await clock.sleep(1)
            ticks.append(clock.monotonic())

    task = asyncio.create_task(ticker())
    await clock.advance(3.5)
    assert ticks == [1.0, 2.0, 3.0]
    task.cancel()
    await settle()
    assert clock.sleepers == 0


def test_ticking_moves_time_without_a_loop() -> None:
    clock = FakeClock()
    clock.tick(1.5)
    assert clock.monotonic() == 1.5
