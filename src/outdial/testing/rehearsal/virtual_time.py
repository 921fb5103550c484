"""An event loop whose time does not pass: it jumps to the next timer when everything waits.

What goes on outside of the loop is waited for in real time, and takes none of the loop's: a request
that the application answers, a commit to the disk, a prompt that is being made. Only who lets a
request wait for longer than `GRACE_S` is seen to be slow: from then on the loop's time passes as
the real one does, so that time limits on requests are what they are everywhere.

Time stands still while nobody asks for it to pass (`running`), whatever timers there are.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple, Unpack

GRACE_S = 0.5
"""Real seconds that work outside may take without any of the loop's time passing."""
_STEP_S = 0.02
"""How finely time passes beside a slow request."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
Outside = Callable[[], float | None]
"""How long (real seconds) the oldest work outside has been going on; None when there is none."""


class VirtualClock:
    """Fulfils `outdial.clock.Clock` with the time of a loop, from the wall time it was made at."""

    def __init__(self, loop_time: Callable[[], float]) -> None:
        self._loop_time = loop_time
        self._epoch = time.time() - loop_time()
        self._last = 0.0

    def now(self) -> float:
        """Wall time in seconds since the epoch, later each time by a microsecond at least: what
        happens at one moment happens one after the other."""
        self._last = max(self._epoch + self._loop_time(), self._last + 1e-6)
        return self._last

    def monotonic(self) -> float:
        """The loop's time."""
        return self._loop_time()


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """The loop. `outside` are asked, when everything waits, whether something goes on outside."""

    def __init__(self) -> None:
        self._virtual_now = 0.0
        self._in_threads = 0
        self.outside: list[Outside] = []
        self.running = 0
        """How many want time to pass."""
        super().__init__(_Selector(self))

    def time(self) -> float:
        """Seconds of the loop's own."""
        return self._virtual_now

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """As any loop does; time stands still until it is done."""
        future = super().run_in_executor(executor, func, *args)
        self._in_threads += 1
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, _: asyncio.Future[Any]) -> None:
        self._in_threads -= 1

    def wait(self, poll: Callable[[float | None], Any], timeout: float) -> Any:
        """Nothing is ready and the next timer is due in `timeout`: what the selector is to give."""
        while True:
            events = poll(0)
            if events:
                return events
            age_s = self._outside_for()
            if not self.running:
                return poll(None)  # whoever wants something wakes the loop
            if age_s is None:
                self._virtual_now += timeout
                return []
            if age_s < GRACE_S:
                # in short waits: work in threads can end without the selector being told
                if events := poll(min(_STEP_S, GRACE_S - age_s)):
                    return events
                continue
            began = time.monotonic()
            events = poll(min(_STEP_S, timeout))
            self._virtual_now += min(time.monotonic() - began, timeout)
            return events

    def _outside_for(self) -> float | None:
        """How long the oldest work outside has been going on."""
        if self._in_threads:
            return 0.0
        ages = [age for ask in self.outside if (age := ask()) is not None]
        return max(ages, default=None)


class _Selector(selectors.DefaultSelector):
    """The system's selector, asked by the loop how long it may wait."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Waits in real time only for what is outside of the loop."""
        if timeout is not None and timeout <= 0:
            return super().select(0)
        if timeout is None:
            return super().select(None)
        events: list[tuple[selectors.SelectorKey, int]] = self._loop.wait(super().select, timeout)
        return events
