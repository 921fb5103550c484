"""How many posts a second each API key may make: a token bucket a key. Pure but for its clock."""

from __future__ import annotations

import math
from dataclasses import dataclass

from outdial.calls import codes
from outdial.clock import Clock
from outdial.errors import Refused

_ROUNDING = 1e-9


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


class PostRate:
    """Takes `per_second` posts a second from each key, with bursts of up to one second's worth
    (at least one); 0: any number.

    Only keys that are valid get here, so there are as many buckets as keys.
    """

    def __init__(self, per_second: float, clock: Clock) -> None:
        self._rate = per_second
        self._burst = max(1.0, per_second)
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def take(self, key_name: str) -> None:
        """Counts a post. Raises Refused (429) with the whole seconds until one is taken again."""
        if not self._rate:
            return
        now = self._clock.monotonic()
        bucket = self._buckets.get(key_name)
        if bucket is None:
            bucket = self._buckets[key_name] = _Bucket(self._burst, now)
        elapsed = max(0.0, now - bucket.filled_at)
        bucket.tokens = min(self._burst, bucket.tokens + elapsed * self._rate)
        bucket.filled_at = now
        if bucket.tokens < 1 - _ROUNDING:
            raise self._too_many(bucket)
        bucket.tokens -= 1

    def _too_many(self, bucket: _Bucket) -> Refused:
        return Refused(
            429,
            codes.POST_RATE,
            f"This key makes more than the {self._rate:g} posts a second allowed by "
            "limits.posts_per_second",
            retry_after_s=math.ceil((1 - bucket.tokens) / self._rate - _ROUNDING),
        )
