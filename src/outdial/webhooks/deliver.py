"""Delivers callbacks: in order within a lane, and no lane waits for another's receiver.

A lane is the callbacks of one call to one URL. Its first callback is tried until it is delivered
or given up; only then comes the second. A lane without work does not exist. Attempts under way are
bounded for each host and in all, so a receiver that hangs keeps nobody else's callbacks back.

At most `_MOST_HELD` callbacks are held in memory. What comes beyond stays in the store, where it
is anyway, and is loaded from there, in order, once half of the others are gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Protocol

from outdial import config, log
from outdial.clock import Clock
from outdial.errors import FetchError, StoreUnavailable
from outdial.store.records import DeliveryRecord
from outdial.webhooks.schedule import is_delivered, next_attempt_at

_MOST_HELD = 10_000
_MOST_UNDER_WAY = 512
_MOST_PER_HOST = 64
_PAGE = 1000
_MOST_ANSWER_BYTES = 1_000_000
"""Nobody reads the answer's body, but an answer is not a failure for having one."""
_LONGEST_NAP_S = 30.0
"""The wall clock may be set: it is looked at again after so long."""

_log = log.get("webhooks")

Settled = Callable[[DeliveryRecord, float], None]


class Answer(Protocol):
    """What the deliverer needs of net.client.HttpResponse."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...


class Client(Protocol):
    """What the deliverer needs of net.client.HttpClient."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Sequence[tuple[str, str]] = (),
        timeout_s: float = 10.0,
        max_bytes: int = 65536,
    ) -> Answer: ...


class Outbox(Protocol):
    """What the deliverer needs of store.Store."""

    def settle_delivery(self, delivery: DeliveryRecord) -> None: ...

    async def flush(self) -> None: ...

    async def pending_deliveries(
        self, limit: int, after: int = 0
    ) -> tuple[list[DeliveryRecord], int]: ...


class _Host:
    """One receiver: how many attempts are under way, and the lanes that wait for their turn."""

    __slots__ = ("blocked", "name", "under_way", "waiting")

    def __init__(self, name: str) -> None:
        self.name = name
        self.under_way = 0
        self.waiting: deque[str] = deque()
        self.blocked = False  # by the bound on all hosts together


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
    ) -> None:
        self._store = store
        self._client = client
        self._clock = clock
        self._settings = settings
        self.on_settled = on_settled
        self._is_live = is_live
        self._lanes: dict[str, deque[DeliveryRecord]] = {}
        self._hosts: dict[str, _Host] = {}
        self._blocked: deque[_Host] = deque()
        self._held: set[str] = set()  # ids
        self._later: list[tuple[float, int, str]] = []  # a heap of lanes by their head's next_at
        self._count = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._under_way = 0
        self._tasks: set[asyncio.Task[None]] = set()  # holds on to them
        self._behind = False  # the store has pending callbacks that are not held
        self._missed = False  # some came while the store was being read
        self._loading: asyncio.Task[None] | None = None
        self._settled_while_loading: list[str] = []
        self._stopped = False

    @property
    def held(self) -> int:
        """Callbacks in memory, not yet delivered."""
        return len(self._held)

    @property
    def under_way(self) -> int:
        """Attempts going on now."""
        return self._under_way

    async def start(self) -> None:
        """Takes up what the store holds. Raises StoreUnavailable."""
        self._behind = True
        await self._read_store()

    def submit(self, deliveries: Iterable[DeliveryRecord]) -> None:
        """Delivers these. They must be committed already, and come in order within their lanes."""
        for delivery in deliveries:
            if self._behind or len(self._held) >= _MOST_HELD:
                self._behind = self._missed = True
            else:
                self._take(delivery)
        if self._behind:
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

    async def stop(self, grace_s: float = 5.0) -> None:
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
        name = _host(self._lanes[lane][0].url)
        host = self._hosts.get(name)
        if host is None:
            host = self._hosts[name] = _Host(name)
        host.waiting.append(lane)
        self._pump(host)

    def _pump(self, host: _Host) -> None:
        while host.waiting and host.under_way < _MOST_PER_HOST and not self._stopped:
            if self._under_way >= _MOST_UNDER_WAY:
                if not host.blocked:
                    host.blocked = True
                    self._blocked.append(host)
                return
            self._under_way += 1
            host.under_way += 1
            lane = host.waiting.popleft()
            task = asyncio.create_task(self._attempt(host, lane, self._lanes[lane][0]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if not host.waiting and not host.under_way and not host.blocked:
            self._hosts.pop(host.name, None)

    async def _attempt(self, host: _Host, lane: str, delivery: DeliveryRecord) -> None:
        started = self._clock.monotonic()
        status: int | None = None
        retry_after_s: float | None = None
        error = ""
        try:
            answer = await self._client.request(
                delivery.method,
                delivery.url,
                params=delivery.params,
                timeout_s=self._settings.timeout_s,
                max_bytes=_MOST_ANSWER_BYTES,
            )
            status = answer.status
            if not is_delivered(status):
                error = f"answered {status}"
                retry_after_s = _retry_after_s(answer.headers.get("Retry-After"), self._clock.now())
        except FetchError as problem:
            status, error = problem.status, f"{problem.kind}: {problem}"
        except Exception as problem:  # a defect, but the lane must not stand still for it
            _log.exception("callback attempt failed", delivery=delivery.id)
            error = f"internal: {type(problem).__name__}"
        finally:
            self._under_way -= 1
            host.under_way -= 1
        self._record(delivery, status, retry_after_s, error)
        self.on_settled(delivery, (self._clock.monotonic() - started) * 1000.0)
        self._advance(lane, delivery)
        while self._blocked and self._under_way < _MOST_UNDER_WAY:
            other = self._blocked.popleft()
            other.blocked = False
            self._pump(other)
        self._pump(host)

    def _record(
        self,
        delivery: DeliveryRecord,
        status: int | None,
        retry_after_s: float | None,
        error: str,
    ) -> None:
        now = self._clock.now()
        delivery.attempts += 1
        delivery.last_status = status
        delivery.last_error = error
        if not error:
            delivery.state, delivery.done_at = "done", now
        else:
            at = next_attempt_at(
                delivery.attempts,
                now,
                status=status,
                retry_after_s=retry_after_s,
                live=self._is_live(delivery.call_sid),
                most_attempts=self._settings.attempts,
                random=random.random,
            )
            if at is None:
                delivery.state, delivery.done_at = "dead", now
            else:
                delivery.next_at = at
        self._store.settle_delivery(delivery)

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
            page, after = await self._store.pending_deliveries(_PAGE, after)
            for delivery in page:
                if delivery.id not in self._held:
                    self._take(delivery)
            if len(page) < _PAGE and not self._missed:
                self._behind = False
                return


def _host(url: str) -> str:
    """scheme://host:port of a URL that was checked when it was given."""
    return "/".join(url.split("/", 3)[:3]).partition("?")[0].lower()


def _retry_after_s(text: str | None, now: float) -> float | None:
    """RFC 9110 section 10.2.3: seconds or a date; None for anything else."""
    if not text:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    with contextlib.suppress(ValueError, OverflowError, TypeError):
        at = parsedate_to_datetime(text)
        return max(0.0, at.replace(tzinfo=at.tzinfo or UTC).timestamp() - now)
    return None
