"""How often a number was called in the last 24 hours. Pure."""

from __future__ import annotations

from collections import deque

SPAN_S = 86_400.0
_GARBAGE = 1024


class Frequency:
    """Calls to each number, by when they were asked for. Times are wall times, seconds.

    It keeps as many moments as there may be calls to a number, and forgets numbers that were not
    called for so long.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        """Calls to a number within the span; 0: any number, and nothing is counted."""
        self._asked: dict[str, deque[float]] = {}
        self._forget_above = _GARBAGE

    def __len__(self) -> int:
        return len(self._asked)

    def next_at(self, number: str, now: float) -> float | None:
        """When the number may be called again, if that is not now."""
        asked = self._asked.get(number)
        if not asked or len(asked) < self._most:
            return None
        again_at = asked[-self._most] + SPAN_S
        return again_at if again_at > now else None

    def take(self, number: str, at: float) -> None:
        """It is called, at the earliest after those that were taken before."""
        if not self._most:
            return
        self._asked.setdefault(number, deque(maxlen=self._most)).append(at)
        if len(self._asked) > self._forget_above:
            self._forget(at - SPAN_S)

    def give_back(self, number: str) -> None:
        """The call that was taken last did not come to be."""
        asked = self._asked.get(number)
        if asked:
            asked.pop()

    def _forget(self, before: float) -> None:
        self._asked = {n: asked for n, asked in self._asked.items() if asked and asked[-1] > before}
        self._forget_above = 2 * len(self._asked) + _GARBAGE
