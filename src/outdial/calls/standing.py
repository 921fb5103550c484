"""How much goes on now, and how much may: in all, for each API key, and on each trunk. Pure."""

from __future__ import annotations

from outdial.calls.quota import Quota
from outdial.frozen import frozen


@frozen
class Standing:
    """Of one key, one trunk, or the whole server. Limits: 0 where there is none."""

    name: str
    live: int
    queued: int
    """On a trunk: calls that wait and may go to it."""
    calls_per_second: float
    concurrent_calls: int

    @classmethod
    def of(cls, name: str, quota: Quota, queued: int) -> Standing:
        """What the quota says."""
        return cls(name, quota.live, queued, quota.rate, quota.concurrent)


@frozen
class Standings:
    """Everything at one moment."""

    total: Standing
    keys: tuple[Standing, ...]
    """Those of the settings, and those that had calls since the start."""
    trunks: tuple[Standing, ...]
