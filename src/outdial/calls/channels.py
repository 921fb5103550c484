"""How many calls each trunk carries, and how many more it takes. Pure.

A leg holds a channel from before its INVITE until its signalling is over. First legs wait for one
in `admission`; second legs and those that a trunk has failed cannot wait: they take one if there is
one, and the calls that wait make up for the trunk's rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from outdial.calls.quota import Quota
from outdial.config import Trunk


class Channels:
    """The channels of all trunks. A trunk that is not known has as many as are wanted."""

    def __init__(self, trunks: Iterable[Trunk], now: float) -> None:
        self._quotas = {
            trunk.name: Quota(trunk.calls_per_second, trunk.concurrent_calls, now)
            for trunk in trunks
        }
        self.on_free: Callable[[], None] | None = None
        """Called when a channel has been given back."""

    def find(self, trunks: Sequence[str], now: float) -> str | None:
        """The first of the trunks that takes another call now."""
        for name in trunks:
            if name not in self._quotas or self._quotas[name].has_room(now):
                return name
        return None

    def ready_at(self, trunks: Sequence[str], now: float) -> float:
        """When time alone lets one of the trunks take a call; infinity when none will."""
        return min(
            (self._quotas[name].ready_at(now) if name in self._quotas else now for name in trunks),
            default=math.inf,
        )

    def take(self, trunk: str, now: float) -> None:
        """Another call is dialled on the trunk; `find` has said that there is room."""
        if trunk in self._quotas:
            self._quotas[trunk].take(now)

    def take_at_once(self, trunk: str, now: float) -> bool:
        """As `take` for a call that cannot wait; False when the trunk is full."""
        quota = self._quotas.get(trunk)
        if quota is None:
            return True
        if quota.concurrent and quota.live >= quota.concurrent:
            return False
        quota.take(now)
        return True

    def give_back(self, trunk: str, *, unused: bool = False) -> None:
        """A call on the trunk is over, or was not dialled after all."""
        if trunk in self._quotas:
            self._quotas[trunk].give_back(unused=unused)
        if self.on_free is not None:
            self.on_free()

    def quotas(self) -> Mapping[str, Quota]:
        """What each trunk carries and may carry, in the order of the settings."""
        return self._quotas
