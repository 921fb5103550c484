"""Delivers callbacks once more that were delivered or given up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from outdial.clock import Clock
from outdial.store.records import DeliveryFilter, DeliveryPage, DeliveryRecord

_PAGE = 200


class ReplayStore(Protocol):
    """What replays need of store.Store. Everything raises StoreUnavailable."""

    async def delivery_page(
        self, wanted: DeliveryFilter | None = None, cursor: str = "", limit: int = 50
    ) -> DeliveryPage: ...

    async def replay(self, deliveries: Iterable[DeliveryRecord]) -> None: ...


class Queue(Protocol):
    """What replays need of the deliverer."""

    def submit(self, deliveries: Iterable[DeliveryRecord]) -> None: ...

    def take_up(self) -> None: ...


class Replays:
    """A replay has the id it had before, and all of the attempts; those so far stay recorded."""

    def __init__(self, store: ReplayStore, queue: Queue, clock: Clock) -> None:
        self._store = store
        self._queue = queue
        self._clock = clock

    async def replay(self, delivery: DeliveryRecord) -> None:
        """Makes one pending again, durable on return. It must not be pending already."""
        self._revive(delivery)
        await self._store.replay((delivery,))
        self._queue.submit((delivery,))

    async def replay_dead(self, call_sid: str = "", since: float | None = None) -> int:
        """All that were given up, of that call only, and made since then only; how many."""
        count, cursor = 0, ""
        wanted = DeliveryFilter(call_sid=call_sid, state="dead")
        try:
            while True:
                page = await self._store.delivery_page(wanted, cursor, _PAGE)
                dead = [d for d in page.deliveries if since is None or d.created_at >= since]
                for delivery in dead:
                    self._revive(delivery)
                if dead:
                    await self._store.replay(dead)
                count += len(dead)
                cursor = page.next_cursor
                if not cursor:
                    return count
        finally:
            # the pages came newest first; from the store they are taken in their order
            if count:
                self._queue.take_up()

    def _revive(self, delivery: DeliveryRecord) -> None:
        delivery.state = "pending"
        delivery.attempts = 0
        delivery.next_at = self._clock.now()
        delivery.done_at = None
