"""How much of something there may be: so many a second, and so many at once. Pure."""

from __future__ import annotations

import math

_ROUNDING = 1e-9


class Quota:
    """A token bucket and a ceiling. Times are monotonic seconds.

    `rate` may start in a second, with bursts of up to one second's worth (at least one);
    `concurrent` may be live at once. 0: any number.
    """

    __slots__ = ("_burst", "_filled_at", "_tokens", "concurrent", "live", "rate")

    def __init__(self, rate: float, concurrent: int, now: float) -> None:
        self.rate = rate
        self.concurrent = concurrent
        self.live = 0
        """How many have been taken and not given back."""
        self._burst = max(1.0, rate)
        self._tokens = self._burst
        self._filled_at = now

    def change(self, rate: float, concurrent: int, now: float) -> None:
        """Other limits from now on; what is live stays counted."""
        if (rate, concurrent) == (self.rate, self.concurrent):
            return
        self.rate = rate
        self.concurrent = concurrent
        self._burst = self._tokens = max(1.0, rate)
        self._filled_at = now

    def has_room(self, now: float) -> bool:
        """Whether one may start now."""
        if self.concurrent and self.live >= self.concurrent:
            return False
        if not self.rate:
            return True
        self._refill(now)
        return self._tokens >= 1 - _ROUNDING

    def room(self, now: float, most: int) -> int:
        """How many may start now, counted up to `most`."""
        if self.concurrent:
            most = min(most, self.concurrent - self.live)
        if self.rate:
            self._refill(now)
            most = min(most, int(self._tokens + _ROUNDING))
        return max(0, most)

    def take(self, now: float) -> None:
        """One starts, whether there is room or not: what is too much, those after it wait for."""
        self.live += 1
        if self.rate:
            self._refill(now)
            self._tokens = max(-self._burst, self._tokens - 1)

    def give_back(self, *, unused: bool = False) -> None:
        """One is over; `unused`: it did not even start, and its turn is another's."""
        self.live -= 1
        if unused and self.rate:
            self._tokens = min(self._burst, self._tokens + 1)

    def ready_at(self, now: float) -> float:
        """When time alone lets one start; infinity when one must end first."""
        if self.concurrent and self.live >= self.concurrent:
            return math.inf
        if not self.rate or self._tokens >= 1 - _ROUNDING:
            return now
        return self._filled_at + (1 - self._tokens) / self.rate

    def _refill(self, now: float) -> None:
        elapsed = max(0.0, now - self._filled_at)
        self._tokens = min(self._burst, self._tokens + elapsed * self.rate)
        self._filled_at = now
