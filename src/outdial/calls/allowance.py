"""How long may be talked in a day (UTC), and how long has been. Pure.

All who talk at once use up the same time, each a second a second. So nothing is set apart when a
call starts, and nothing is exceeded: what is left lasts for so long, divided by how many talk.
"""

from __future__ import annotations

import math

DAY_S = 86_400.0


class Allowance:
    """Seconds of a day. Times are wall times, seconds."""

    __slots__ = ("_at", "live", "most_s", "used_s")

    def __init__(self, most_s: float, now: float) -> None:
        self.most_s = most_s
        self.used_s = 0.0
        """Up to the last call of any method here."""
        self.live = 0
        """How many talk now."""
        self._at = now

    def add(self, seconds: float, now: float) -> None:
        """What was talked today before this was made."""
        self._advance(now)
        self.used_s += seconds

    def begin(self, now: float) -> None:
        """One more talks."""
        self._advance(now)
        self.live += 1

    def end(self, now: float) -> None:
        """One has hung up."""
        self._advance(now)
        self.live -= 1

    def left_s(self, now: float) -> float:
        """How much of today's is left, for all together."""
        self._advance(now)
        return max(0.0, self.most_s - self.used_s)

    def look_again_in_s(self, now: float) -> float:
        """When it is used up, or a new day begins; infinity while nobody talks."""
        if not self.live:
            return math.inf
        return min(self.left_s(now) / self.live, next_day(now) - now)

    def _advance(self, now: float) -> None:
        """A clock that was set back counts nothing twice."""
        today = day(now)
        if today > self._at:
            self.used_s, self._at = 0.0, today
        self.used_s += self.live * max(0.0, now - self._at)
        self._at = max(self._at, now)


def day(now: float) -> float:
    """When the day began."""
    return now - now % DAY_S


def next_day(now: float) -> float:
    """When the next one begins."""
    return day(now) + DAY_S
