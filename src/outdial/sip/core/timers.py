"""Timers: the values of RFC 3261 table 4, and a heap of what is due when.

The heap deletes lazily: a stopped timer stays until it comes to the top or until the dead outnumber
the living. It lets go of its target at once, so a finished call is not kept alive by a dead timer.
"""

from __future__ import annotations

import heapq
from typing import Protocol

_TOLERATED_DEAD = 256


class Timings:
    """All in seconds. T1 is the only one that is set; the others keep their ratio to it."""

    __slots__ = ("release_wait", "t1", "t2", "t4", "timeout", "trying")

    def __init__(self, t1: float = 0.5) -> None:
        self.t1 = t1
        self.t2 = 8 * t1
        """The longest interval between repeats: 4 s for T1 = 0.5 s."""
        self.t4 = 10 * t1
        """How long a message stays in the network: 5 s for T1 = 0.5 s."""
        self.timeout = 64 * t1
        """64*T1, the length of timers B, F, H, J, L and M, and of D (32 s or more)."""
        self.trying = 0.4 * t1
        """How long a server may stay silent before 100 is due: 200 ms (section 17.2.1)."""
        self.release_wait = 4 * t1
        """How long `Released` waits for the answer to our BYE, which is only a courtesy."""


class Target(Protocol):
    """What a timer fires at."""

    def on_timer(self, what: int) -> None:
        """The timer started with `what` is due."""


class Timer:
    """A started timer. `target` is None once it is stopped or has fired."""

    __slots__ = ("at", "target", "what")

    def __init__(self, at: float, target: Target, what: int) -> None:
        self.at = at
        self.target: Target | None = target
        self.what = what


class TimerHeap:
    """All timers of one agent, soonest first."""

    __slots__ = ("_entries", "_serial", "live")

    def __init__(self) -> None:
        self._entries: list[tuple[float, int, Timer]] = []
        self._serial = 0
        self.live = 0
        """How many timers are running."""

    def start(self, at: float, target: Target, what: int) -> Timer:
        """`target.on_timer(what)` is called by the first `fire` whose `now` reaches `at`."""
        timer = Timer(at, target, what)
        self._serial += 1
        heapq.heappush(self._entries, (at, self._serial, timer))
        self.live += 1
        return timer

    def stop(self, timer: Timer | None) -> None:
        """Stops a timer. One that has fired or was stopped, or None, is left alone."""
        if timer is None or timer.target is None:
            return
        timer.target = None
        self.live -= 1
        if len(self._entries) > 2 * self.live + _TOLERATED_DEAD:
            self._entries = [entry for entry in self._entries if entry[2].target is not None]
            heapq.heapify(self._entries)

    def next(self) -> float | None:
        """When the soonest timer is due."""
        entries = self._entries
        while entries:
            if entries[0][2].target is not None:
                return entries[0][0]
            heapq.heappop(entries)
        return None

    def fire(self, now: float) -> None:
        """Calls every target that is due, in order of time; those they start may be due as well."""
        entries = self._entries
        while entries and entries[0][0] <= now:
            timer = heapq.heappop(entries)[2]
            target, timer.target = timer.target, None
            if target is not None:
                self.live -= 1
                target.on_timer(timer.what)
                entries = self._entries
