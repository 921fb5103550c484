"""A clock that only moves when the test says so."""

from __future__ import annotations

import asyncio
import heapq
import itertools


class FakeClock:
    """Fulfils `outdial.clock.Clock`; `sleep` replaces `asyncio.sleep`.

    Sleepers wake in the order of their times while `advance` moves the clock past them, and run
    until they wait again before it moves on.
    """

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._start = start
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now(self) -> float:
        """Wall time in seconds since the epoch."""
        return self._start + self._elapsed

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        """Returns once the clock has been advanced by so much."""
        wake = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + seconds, next(self._order), wake))
        await wake

    @property
    def sleepers(self) -> int:
        """How many tasks sleep on this clock."""
        return sum(not wake.done() for _, _, wake in self._sleepers)

    async def advance(self, seconds: float) -> None:
        """Moves the clock on, waking whoever sleeps up to then."""
        until = self._elapsed + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= until:
            at, _, wake = heapq.heappop(self._sleepers)
            self._elapsed = max(self._elapsed, at)
            if not wake.done():
                wake.set_result(None)
                await settle()
        self._elapsed = until

    def tick(self, seconds: float) -> None:
        """Moves the clock on without waking anybody: for cores that do not sleep."""
        self._elapsed += seconds


async def settle(turns: int = 20) -> None:
    """Lets every task that can run do so, until all of them wait for something."""
    for _ in range(turns):
        await asyncio.sleep(0)
