"""Who may be dialled now: a token bucket, a ceiling on live calls, and a bounded queue. Pure."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")

_ROUNDING = 1e-9


class Admission(Generic[T]):
    """Calls wait here until there is room.

    `rate` calls a second may start, with bursts of up to one second's worth (at least one);
    `concurrent` may be live at once; `waiting_max` may wait. Times are monotonic seconds.
    """

    def __init__(self, rate: float, concurrent: int, waiting_max: int, now: float) -> None:
        self._rate = rate
        self._burst = max(1.0, rate)
        self._concurrent = concurrent
        self._waiting_max = waiting_max
        self._tokens = self._burst
        self._filled_at = now
        self._waiting: OrderedDict[str, T] = OrderedDict()
        self.live = 0

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether no more may wait."""
        return len(self._waiting) >= self._waiting_max

    def wait(self, sid: str, item: T) -> None:
        """Joins the queue at its end; the caller has looked at `is_full`."""
        self._waiting[sid] = item

    def withdraw(self, sid: str) -> T | None:
        """Leaves the queue; None when it was not in it."""
        return self._waiting.pop(sid, None)

    def take(self, now: float) -> bool:
        """Starts one at once, past the queue, if nobody waits and there is room."""
        self._refill(now)
        if self._waiting or self._tokens < 1 - _ROUNDING or self.live >= self._concurrent:
            return False
        self._tokens -= 1
        self.live += 1
        return True

    def admit(self, now: float) -> list[T]:
        """Takes from the queue all that may start now; they count as live until `release`."""
        self._refill(now)
        admitted: list[T] = []
        while self._waiting and self._tokens >= 1 - _ROUNDING and self.live < self._concurrent:
            _, item = self._waiting.popitem(last=False)
            self._tokens -= 1
            self.live += 1
            admitted.append(item)
        return admitted

    def release(self) -> None:
        """A live call is over."""
        self.live -= 1

    def next_at(self) -> float | None:
        """When time alone lets the next one start; None when a call must end first."""
        if not self._waiting or self.live >= self._concurrent:
            return None
        return self._filled_at + max(0.0, 1 - self._tokens) / self._rate

    def _refill(self, now: float) -> None:
        elapsed = max(0.0, now - self._filled_at)
        self._tokens = min(self._burst, self._tokens + elapsed * self._rate)
        self._filled_at = now
