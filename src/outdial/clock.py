"""Time as an object, so that tests own it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol


class Clock(Protocol):
    """`now()` is wall time, `monotonic()` only ever grows; both in seconds."""

    def now(self) -> float: ...

    def monotonic(self) -> float: ...


class SystemClock:
    """The machine's clocks."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)


def iso8601(seconds: float) -> str:
    """Wall time in seconds since the epoch as RFC 3339 UTC with milliseconds, cut off below."""
    whole = int(seconds // 1)
    micros = round((seconds - whole) * 1_000_000)
    if micros == 1_000_000:
        whole, micros = whole + 1, 0
    return f"{_to_the_second(whole)}.{micros // 1000:03d}Z"


@lru_cache(maxsize=16)
def _to_the_second(seconds: int) -> str:
    """Kept for a while: a busy server writes the same second many times."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:-6]
