"""The loop whose time jumps: when it does, and for what it waits."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from outdial.testing.rehearsal.virtual_time import GRACE_S, VirtualClock, VirtualTimeLoop

T = TypeVar("T")


@pytest.fixture
def loop() -> Iterator[VirtualTimeLoop]:
    loop = VirtualTimeLoop()
    yield loop
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def run(loop: VirtualTimeLoop, work: Coroutine[Any, Any, T]) -> T:
    """What the work gives, while time passes."""
    loop.running += 1
    try:
        return loop.run_until_complete(work)
    finally:
        loop.running -= 1


def test_an_hour_takes_no_time(loop: VirtualTimeLoop) -> None:
    began = time.monotonic()
    run(loop, asyncio.sleep(3600))
    assert loop.time() == pytest.approx(3600)
    assert time.monotonic() - began < 30


def test_timers_fire_in_order_and_at_their_times(loop: VirtualTimeLoop) -> None:
    fired: list[tuple[str, float]] = []

    async def sleeper(name: str, *naps: float) -> None:
        for nap in naps:
            await asyncio.sleep(nap)
            fired.append((name, round(loop.time(), 6)))

    async def both() -> None:
        await asyncio.gather(sleeper("a", 2, 2), sleeper("b", 1, 2))

    run(loop, both())
    assert fired == [("b", 1.0), ("a", 2.0), ("b", 3.0), ("a", 4.0)]


def test_time_limits_are_virtual(loop: VirtualTimeLoop) -> None:
    async def waits_for_ever() -> None:
        async with asyncio.timeout(500):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        run(loop, waits_for_ever())
    assert loop.time() == pytest.approx(500)


def test_a_thread_takes_no_virtual_time(loop: VirtualTimeLoop) -> None:
    async def works() -> float:
        limit = asyncio.ensure_future(asyncio.sleep(0.01))
        await asyncio.to_thread(time.sleep, 0.1)
        assert not limit.done()
        await limit
        return loop.time()

    assert run(loop, works()) == pytest.approx(0.01)


def test_work_outside_is_waited_for(loop: VirtualTimeLoop) -> None:
    done = asyncio.Event()
    began = time.monotonic()
    loop.outside.append(lambda: None if done.is_set() else time.monotonic() - began)

    async def asks() -> float:
        timer = threading.Timer(0.1, loop.call_soon_threadsafe, (done.set,))
        timer.start()
        async with asyncio.timeout(10):
            await done.wait()
        timer.join()
        return loop.time()

    assert run(loop, asks()) == 0.0


def test_work_that_takes_long_takes_time(loop: VirtualTimeLoop) -> None:
    began = time.monotonic()
    loop.outside.append(lambda: time.monotonic() - began)

    async def hangs() -> None:
        async with asyncio.timeout(0.3):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        run(loop, hangs())
    assert time.monotonic() - began >= GRACE_S + 0.3
    assert loop.time() == pytest.approx(0.3, abs=0.01)


def test_time_stands_still_while_nobody_wants_it_to_pass(loop: VirtualTimeLoop) -> None:
    fired = threading.Event()
    loop.call_later(1, fired.set)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    answered = threading.Event()
    loop.call_soon_threadsafe(answered.set)
    assert answered.wait(10)
    assert (fired.is_set(), loop.time()) == (False, 0.0)

    async def passes() -> None:
        loop.running += 1
        await asyncio.sleep(2)
        loop.running -= 1

    asyncio.run_coroutine_threadsafe(passes(), loop).result(10)
    assert fired.is_set()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def test_the_clock_follows_the_loop_and_never_says_the_same_twice(loop: VirtualTimeLoop) -> None:
    clock = VirtualClock(loop.time)
    first, second = clock.now(), clock.now()
    assert 0 < second - first < 1e-5
    assert abs(first - time.time()) < 10
    run(loop, asyncio.sleep(60))
    assert clock.now() - first == pytest.approx(60, abs=1e-4)
    assert clock.monotonic() == loop.time()
