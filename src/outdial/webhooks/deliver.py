"""Delivers callbacks: in order within a lane, and no lane waits for another's receiver.

A lane is the callbacks of one call to one URL. Its first callback is tried until it is delivered
or given up; only then comes the second. A lane without work does not exist. `turns` bounds the
attempts under way, so that a receiver that hangs keeps nobody else's callbacks back.

At most `_MOST_HELD` callbacks are held in memory. What comes beyond stays in the store, where it
is anyway, and is loaded from there, in order, once half of the others are gone.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from outdial import config, log
from outdial.clock import Clock
from outdial.errors import StoreUnavailable
from outdial.histogram import Histogram
from outdial.net import overrides
from outdial.store.records import DeliveryRecord
from outdial.stored_file import SealingKeys
from outdial.webhooks.attempt import Attempt, Client, attempt
from outdial.webhooks.schedule import next_attempt_at
from outdial.webhooks.turns import Turn, Turns

_MOST_HELD = 10_000
_PAGE = 1000
_MOST_TRIES = 50
"""Attempts that are kept with a callback; of one that is replayed again and again the last."""
_LAGS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
_LONGEST_NAP_S = 30.0
"""The wall clock may be set: it is looked at again after so long."""

_log = log.get("webhooks")

Settled = Callable[[DeliveryRecord, float], None]


class Outbox(Protocol):
    """What the deliverer needs of store.Store."""

    def settle_delivery(self, delivery: DeliveryRecord) -> None: ...

    async def flush(self) -> None: ...

    async def pending_deliveries(
        self, limit: int, after: int = 0
    ) -> tuple[list[DeliveryRecord], int]: ...


class Deliverer:
    """Delivers what it is given and what an earlier run left in the store.

    `on_settled` is told of every attempt, with the delivery after it (state done: delivered;
    pending: it failed and `next_at` says when it is tried again; dead: given up) and how long it
    took in milliseconds. `is_live` says whether a call is still going on.
    """

    def __init__(
        self,
        store: Outbox,
        client: Client,
        clock: Clock,
        settings: config.Webhooks,
        on_settled: Settled = lambda delivery, elapsed_ms: None,
        is_live: Callable[[str], bool] = lambda call_sid: False,
        keys: SealingKeys | None = None,
    ) -> None:
        self._keys = keys or SealingKeys()
        self._store = store
        self._client = client
        self._clock = clock
        self._settings = settings
        self.on_settled = on_settled
        self._is_live = is_live
        self._lanes: dict[str, deque[DeliveryRecord]] = {}
        self._turns = Turns()
        self._held: set[str] = set()  # ids
        self._later: list[tuple[float, int, str]] = []  # a heap of lanes by their head's next_at
        self._count = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()  # holds on to them
        self._behind = False  # the store has pending callbacks that are not held
        self._missed = False  # some came while the store was being read
        self._rewound = False  # some behind what was read already are pending again
        self._loading: asyncio.Task[None] | None = None
        self._settled_while_loading: list[str] = []
        self._stopped = False
        self.tally = {"delivered": 0, "failed": 0, "dead": 0}
        """Attempts since the start, by what came of them."""
        self.lag = Histogram(_LAGS_S)
        """From the event to the callback's delivery, of each that was delivered."""

    @property
    def held(self) -> int:
        """Callbacks in memory, not yet delivered."""
        return len(self._held)

    @property
    def under_way(self) -> int:
        """Attempts going on now."""
        return self._turns.under_way

    async def start(self) -> None:
        """Takes up what the store holds. Raises StoreUnavailable."""
        self._behind = True
        await self._read_store()

    def submit(self, deliveries: Iterable[DeliveryRecord]) -> None:
        """Delivers these. They must be committed already, and come in order within their lanes."""
        for delivery in deliveries:
            if delivery.id in self._held:
                continue  # replayed twice at once
            if self._behind or len(self._held) >= _MOST_HELD:
                self._behind = self._missed = True
            else:
                self._take(delivery)
        if self._behind:
            self._load_if_room()

    def take_up(self) -> None:
        """The store has pending callbacks that were not submitted: reads them, in their order."""
        self._behind = self._missed = self._rewound = True
        self._load_if_room()

    def wake(self) -> None:
        """Looks at the clock: tries everything again whose time has come."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self._clock.now()
        while self._later and self._later[0][0] <= now:
            self._ready(heapq.heappop(self._later)[2])
        if self._later and not self._stopped:
            nap = min(max(self._later[0][0] - now, 0.001), _LONGEST_NAP_S)
            self._timer = asyncio.get_running_loop().call_later(nap, self.wake)

    async def settle(self, patience_s: float) -> None:
        """Waits until all that is due has been tried, for so long at most."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience_s
        while work := self._tasks | ({self._loading} if self._loading else set()):
            left = deadline - loop.time()
            if left <= 0:
                return
            await asyncio.wait(work, timeout=left, return_when=asyncio.FIRST_COMPLETED)

    async def stop(self, grace_s: float = 1.0) -> None:
        """Starts nothing more, lets what is under way end within `grace_s`, and cuts the rest off.

        What was cut off counts as not tried; everything undelivered stays pending in the store.
        """
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        tasks = set(self._tasks)
        if self._loading is not None:
            self._loading.cancel()
            tasks.add(self._loading)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # ------------------------------------------------------------------ lanes and turns

    def _take(self, delivery: DeliveryRecord) -> None:
        self._held.add(delivery.id)
        lane = self._lanes.get(delivery.lane)
        if lane is not None:
            lane.append(delivery)
            return
        self._lanes[delivery.lane] = deque((delivery,))
        self._await_turn(delivery)

    def _await_turn(self, head: DeliveryRecord) -> None:
        if head.next_at <= self._clock.now():
            self._ready(head.lane)
            return
        heapq.heappush(self._later, (head.next_at, next(self._count), head.lane))
        if self._later[0][2] == head.lane:
            self.wake()

    def _ready(self, lane: str) -> None:
        self._turns.wait(_receiver(self._lanes[lane][0].url), lane)
        self._pump()

    def _pump(self) -> None:
        while not self._stopped and (turn := self._turns.take()) is not None:
            task = asyncio.create_task(self._deliver(turn, self._lanes[turn.lane][0]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _deliver(self, turn: Turn, delivery: DeliveryRecord) -> None:
        url, wanted = overrides.split_leniently(delivery.url)
        answered = False
        try:
            made = await attempt(
                self._client,
                self._clock,
                delivery,
                url,
                wanted,
                self._settings.timeout_s,
                self._keys,
            )
            answered = made.answered
        finally:
            self._turns.end(turn, answered)
        self._record(delivery, made, wanted)
        self.on_settled(delivery, made.ms)
        self._advance(turn.lane, delivery)
        self._pump()

    def _record(self, delivery: DeliveryRecord, made: Attempt, wanted: overrides.Overrides) -> None:
        now = self._clock.now()
        delivery.attempts += 1
        delivery.last_status = made.status
        delivery.last_error = made.error
        delivery.tries = (*delivery.tries, made.to_json())[-_MOST_TRIES:]
        if not made.error:
            delivery.state, delivery.done_at = "done", now
            self.tally["delivered"] += 1
            self.lag.observe(now - delivery.created_at)
        else:
            at = self._next_attempt_at(delivery, made, wanted, now)
            if at is None:
                delivery.state, delivery.done_at = "dead", now
                self._bury(delivery)
            else:
                delivery.next_at = at
                self.tally["failed"] += 1
        self._store.settle_delivery(delivery)

    def _next_attempt_at(
        self, delivery: DeliveryRecord, made: Attempt, wanted: overrides.Overrides, now: float
    ) -> float | None:
        """None: it is given up."""
        # who names no policy wants every failure tried again, as without overrides
        if wanted.policy is not None and not wanted.retried(made.kind, made.status, ()):
            return None
        most = self._settings.attempts if wanted.retries is None else wanted.retries + 1
        return next_attempt_at(
            delivery.attempts,
            now,
            status=made.status,
            retry_after_s=made.retry_after_s,
            live=self._is_live(delivery.call_sid),
            most_attempts=most,
            random=random.random,
        )

    def _bury(self, delivery: DeliveryRecord) -> None:
        self.tally["dead"] += 1
        _log.warning(
            "callback given up",
            delivery=delivery.id,
            call=delivery.call_sid,
            told_of=delivery.event,
            receiver=_receiver(delivery.url),
            attempts=delivery.attempts,
            error=delivery.last_error,
            remedy=f"outdial deliveries replay {delivery.id}",
        )

    def _advance(self, name: str, delivery: DeliveryRecord) -> None:
        lane = self._lanes[name]
        if delivery.state != "pending":
            lane.popleft()
            if self._loading is None:
                self._held.discard(delivery.id)
            else:
                self._settled_while_loading.append(delivery.id)
            if self._behind:
                self._load_if_room()
        if lane:
            self._await_turn(lane[0])
        else:
            del self._lanes[name]

    # ------------------------------------------------------------------ what the store holds

    def _load_if_room(self) -> None:
        if self._loading is None and len(self._held) <= _MOST_HELD // 2 and not self._stopped:
            self._loading = asyncio.create_task(self._load())

    async def _load(self) -> None:
        try:
            await self._store.flush()
            await self._read_store()
        except StoreUnavailable as problem:
            _log.warning("callbacks wait for the store", reason=str(problem))
            await asyncio.sleep(1.0)
        finally:
            self._loading = None
            self._held.difference_update(self._settled_while_loading)
            self._settled_while_loading.clear()
        if self._behind:
            self._load_if_room()

    async def _read_store(self) -> None:
        after = 0
        while len(self._held) < _MOST_HELD:
            self._missed = False
            if self._rewound:
                self._rewound, after = False, 0
            page, after = await self._store.pending_deliveries(_PAGE, after)
            for delivery in page:
                if delivery.id not in self._held:
                    self._take(delivery)
            if len(page) < _PAGE and not self._missed and not self._rewound:
                self._behind = False
                return


def _receiver(url: str) -> str:
    """scheme://host:port of a URL that was checked when it was given."""
    place = "/".join(url.split("/", 3)[:3])
    return place.partition("?")[0].partition("#")[0].lower()
