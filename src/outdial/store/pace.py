"""How soon a transaction may follow the one before: seldom enough that many share it. Pure.

A bucket of tokens, `rate` a second and at most `BURST`. A transaction takes one while little is
written, so that a lone call never waits; the more was written lately, the more it takes, up to
`DEAREST`. What waits for one commit goes on together, and a function that ran a moment ago for
another call costs a fraction of one that did not: docs/design/store.md has the figures.
"""

from __future__ import annotations

import math
from typing import Final

BURST: Final = 16.0
FEW_PER_S: Final = 300.0
"""Operations a second, those of some 23 calls, up to which a transaction takes one token; twice as
many make it two."""
DEAREST: Final = 3.0
"""60 ms between transactions at 50 tokens a second: more would be heard by who picks up."""
LATELY_S: Final = 1.0


class Pace:
    """Times are seconds on a clock that never goes back; `rate` is tokens a second."""

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._tokens = BURST
        self._filled_at = now
        self._operations = 0.0
        """Those of about the last `LATELY_S`, the older the less they count."""
        self._counted_at = now

    def wait_s(self, now: float) -> float:
        """Seconds until a transaction may begin; 0: at once."""
        self._fill(now)
        return max(0.0, (1.0 - self._tokens) / self._rate)

    def spend(self, operations: int, now: float) -> None:
        """A transaction of so many operations begins."""
        self._fill(now)
        lately = self._operations * math.exp((self._counted_at - now) / LATELY_S) + operations
        self._operations, self._counted_at = lately, now
        self._tokens -= min(DEAREST, max(1.0, lately / (FEW_PER_S * LATELY_S)))

    def _fill(self, now: float) -> None:
        self._tokens = min(BURST, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
