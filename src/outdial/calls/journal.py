"""Where sessions write: the store and, once committed, the callbacks.

Changes of one call reach the store in the order they were written, also when the store is away for
a while: what could not be written waits here, at most until the call's own memory is released.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from outdial import log
from outdial.calls.tasks import Tasks
from outdial.clock import Clock
from outdial.errors import StoreConflict, StoreUnavailable
from outdial.frozen import frozen
from outdial.legs import TracedMessage
from outdial.store.records import (
    CallRecord,
    Change,
    DeliveryRecord,
    EventRecord,
    IdempotencyRecord,
)

RETRY_S = 1.0
SOON_S = 0.08
"""How long a change may wait for others to share its transaction."""
URGENT_S = 0.0
"""The same for one that a person waits for: audio begins when an answer is on the disk."""

Told = Callable[[EventRecord], None]

_log = log.get("journal")


class CallStore(Protocol):
    """The part of the store that sessions write to."""

    async def create_call(
        self,
        call: CallRecord,
        events: Sequence[EventRecord] = (),
        deliveries: Sequence[DeliveryRecord] = (),
        idempotency: IdempotencyRecord | None = None,
    ) -> None: ...

    async def commit(self, change: Change) -> None: ...

    def commit_soon(self, change: Change, within_s: float) -> asyncio.Future[None]: ...

    def note(self, event: EventRecord) -> None: ...

    def save_ladder(self, call_sid: str, messages: Sequence[TracedMessage]) -> None: ...

    async def call(self, sid: str) -> CallRecord | None: ...

    async def events(self, call_sid: str, after_seq: int = -1) -> list[EventRecord]: ...

    async def flush(self) -> None: ...


class CallbackQueue(Protocol):
    """The part of the deliverer that sessions feed."""

    def submit(self, deliveries: Sequence[DeliveryRecord]) -> None: ...


@frozen
class _Waiting:
    """A change that the store would not take yet, or whose turn has not come."""

    change: Change
    on_durable: Callable[[], None] | None
    told: Sequence[DeliveryRecord] = ()
    """Callbacks that are stored already, but come after others that are not."""


class Timeline:
    """Numbers a call's events and writes them."""

    __slots__ = ("_clock", "_next_seq", "_store", "_told", "sid")

    def __init__(
        self, sid: str, store: CallStore, clock: Clock, next_seq: int, told: Told | None
    ) -> None:
        self.sid = sid
        self._store = store
        self._clock = clock
        self._next_seq = next_seq
        self._told = told

    def event(self, kind: str, data: Mapping[str, Any]) -> EventRecord:
        """The next event of the call, for a `Change`."""
        seq = self._next_seq
        self._next_seq = seq + 1
        event = EventRecord(self.sid, seq, self._clock.now(), kind, data)
        if self._told is not None:
            self._told(event)
        return event

    def note(self, kind: str, data: Mapping[str, Any]) -> None:
        """Writes an event that changes no state; nobody waits for it."""
        self._store.note(self.event(kind, data))


class Journal:
    """One for the process."""

    def __init__(
        self,
        store: CallStore,
        callbacks: CallbackQueue,
        clock: Clock,
        told: Told | None = None,
    ) -> None:
        """`told` gets every event of every timeline as it is numbered."""
        self._told = told
        self._store = store
        self._callbacks = callbacks
        self._clock = clock
        self._timelines: dict[str, Timeline] = {}
        self._held_back: dict[str, deque[_Waiting]] = {}
        self._retry: asyncio.TimerHandle | None = None
        self._late_notes = Tasks()
        self._one_late_note = asyncio.Lock()

    def open_timeline(self, sid: str, next_seq: int = 0) -> Timeline:
        """The timeline of a call; `close_timeline` lets go of it."""
        timeline = self._timelines[sid] = Timeline(
            sid, self._store, self._clock, next_seq, self._told
        )
        return timeline

    def close_timeline(self, sid: str) -> None:
        """No more notes for that call."""
        self._timelines.pop(sid, None)

    def timeline(self, sid: str) -> Timeline | None:
        """The timeline of a call that is live, or was until a moment ago."""
        return self._timelines.get(sid)

    def note(self, kind: str, sid: str, data: Mapping[str, Any]) -> None:
        """A note for a call, whether it is live or over; nobody waits for it."""
        timeline = self._timelines.get(sid)
        if timeline is not None:
            timeline.note(kind, data)
        else:
            self.note_late(sid, kind, data)

    def note_late(self, sid: str, kind: str, data: Mapping[str, Any]) -> None:
        """A note for a call whose timeline is closed; nobody waits for it."""
        self._late_notes.start(self._note_late(sid, kind, data), f"note {kind} {sid}")

    def is_open(self, sid: str) -> bool:
        """Whether the call is live, or was until a moment ago."""
        return sid in self._timelines

    @property
    def open_timelines(self) -> int:
        """For leak checks."""
        return len(self._timelines)

    async def create(
        self,
        call: CallRecord,
        queued: EventRecord,
        begun: Change | None = None,
        repeat: IdempotencyRecord | None = None,
    ) -> None:
        """A new call, durable on return, `begun` and `repeat` with it. Raises StoreUnavailable,
        and StoreConflict when the token of `repeat` was used before."""
        if begun is None:
            await self._store.create_call(call, (queued,), (), repeat)
            return
        events = (queued, *begun.events)
        await self._store.create_call(call, events, begun.deliveries, repeat)
        if begun.deliveries:
            self._callbacks.submit(begun.deliveries)

    async def durable(self, change: Change) -> None:
        """Durable on return; its callbacks are on their way. Raises StoreUnavailable, and
        StoreConflict when `only_if` does not hold."""
        await self._store.commit(change)
        if change.deliveries:
            self._callbacks.submit(change.deliveries)

    def write(self, change: Change, on_durable: Callable[[], None] | None = None) -> None:
        """Written as soon as the store takes it, in order per call; nobody waits.

        With `on_durable` it is urgent, and that is called once it is on the disk.
        """
        self._write(_Waiting(change, on_durable))

    def _write(self, waiting: _Waiting) -> None:
        change = waiting.change
        if change.call_sid in self._held_back:
            self._held_back[change.call_sid].append(waiting)
            return
        within_s = SOON_S if waiting.on_durable is None else URGENT_S
        try:
            future = self._store.commit_soon(change, within_s)
        except StoreUnavailable as error:
            self._hold_back(waiting, error)
            return
        future.add_done_callback(lambda done: self._settled(waiting, done))

    def save_ladder(self, sid: str, messages: Sequence[TracedMessage]) -> None:
        """Keeps the call's SIP messages as they stand; a later one replaces them."""
        self._store.save_ladder(sid, messages)

    def delivered(self, delivery: DeliveryRecord, elapsed_ms: float) -> None:
        """Notes trouble with a callback on the timeline, while that is open; that a callback was
        given up also later.

        That a callback arrived at the first attempt stands with the delivery; it is the rule.
        """
        timeline = self._timelines.get(delivery.call_sid)
        if delivery.state == "done" and delivery.attempts <= 1:
            return
        if timeline is None and delivery.state != "dead":
            return
        kind = {"done": "callback.delivered", "dead": "callback.dead"}.get(
            delivery.state, "callback.failed"
        )
        data: dict[str, Any] = {"event": delivery.event, "ms": round(elapsed_ms, 1)}
        if delivery.last_status is not None:
            data["status"] = delivery.last_status
        if delivery.state != "done":
            data["error"] = delivery.last_error
            data["attempt"] = delivery.attempts
        if timeline is not None:
            timeline.note(kind, data)
        else:
            self.note_late(delivery.call_sid, kind, data)

    async def _note_late(self, sid: str, kind: str, data: Mapping[str, Any]) -> None:
        """A note for a call whose timeline was closed, behind its last event.

        One at a time, each on the disk before the next counts: nobody else numbers its events.
        """
        try:
            async with self._one_late_note:
                await self._store.flush()
                call = await self._store.call(sid)
                if call is None or call.state != "completed":
                    return  # it is gone, or another process is at its timeline
                seq = -1
                while events := await self._store.events(sid, seq):
                    seq = events[-1].seq
                self._store.note(self._late(sid, seq + 1, kind, data))
                await self._store.flush()
        except StoreUnavailable as error:
            _log.warning("not on the timeline", call=sid, kind=kind, error=str(error))

    def _late(self, sid: str, seq: int, kind: str, data: Mapping[str, Any]) -> EventRecord:
        event = EventRecord(sid, seq, self._clock.now(), kind, data)
        if self._told is not None:
            self._told(event)
        return event

    def _settled(self, waiting: _Waiting, done: asyncio.Future[None]) -> None:
        if done.cancelled():
            return
        change = waiting.change
        error = done.exception()
        if isinstance(error, StoreConflict):
            _log.error("store.conflict", call=change.call_sid, error=str(error))
            return
        if error is not None:
            self._hold_back(waiting, error)
            return
        told = (*waiting.told, *change.deliveries)
        overtaken = self._held_back.get(change.call_sid)
        if overtaken is not None:
            # both were under way and only this one was written: its values must outlast the other's
            overtaken.append(_Waiting(Change(change.call_sid, change.fields), None, told))
        elif told:
            self._callbacks.submit(told)
        if waiting.on_durable is not None:
            waiting.on_durable()

    def _hold_back(self, waiting: _Waiting, error: BaseException) -> None:
        change = waiting.change
        _log.warning("store.held_back", call=change.call_sid, error=str(error))
        self._held_back.setdefault(change.call_sid, deque()).append(waiting)
        if self._retry is None:
            self._retry = asyncio.get_running_loop().call_later(RETRY_S, self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        held_back, self._held_back = self._held_back, {}
        for changes in held_back.values():
            for waiting in changes:
                self._write(waiting)

    @property
    def held_back(self) -> int:
        """How many changes wait for the store."""
        return sum(map(len, self._held_back.values()))
