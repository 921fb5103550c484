"""What the API reads of the record; `store.store.Store` fulfils it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

from outdial import ids
from outdial.calls import codes
from outdial.errors import Refused
from outdial.legs import TracedMessage
from outdial.speech.mp3_shape import Shape
from outdial.store.records import (
    CallFilter,
    CallPage,
    CallRecord,
    DeliveryFilter,
    DeliveryPage,
    DeliveryRecord,
    EventRecord,
    FaxRecord,
    FeedEvent,
    IdempotencyRecord,
    RecordingRecord,
    Usage,
)


class Record(Protocol):
    """The reading half of the store. Everything raises StoreUnavailable."""

    async def call(self, sid: str) -> CallRecord | None: ...

    async def calls(
        self, wanted: CallFilter | None = None, cursor: str = "", limit: int = 50
    ) -> CallPage: ...

    async def events(
        self, call_sid: str, after_seq: int = -1, limit: int = 1000
    ) -> list[EventRecord]: ...

    async def ladder(self, call_sid: str) -> list[TracedMessage]: ...

    async def deliveries(self, call_sid: str) -> list[DeliveryRecord]: ...

    async def queue_position(self, call: CallRecord) -> int: ...

    async def delivery(self, sid: str) -> DeliveryRecord | None: ...

    async def delivery_page(
        self, wanted: DeliveryFilter | None = None, cursor: str = "", limit: int = 50
    ) -> DeliveryPage: ...

    async def feed(self, after: str = "", limit: int = 100) -> list[FeedEvent]: ...

    async def usage(self, since: float, until: float) -> list[Usage]: ...

    async def fax(self, sid: str) -> FaxRecord | None: ...

    async def recording(self, sid: str) -> RecordingRecord | None: ...

    async def idempotent(self, key_name: str, token: str) -> IdempotencyRecord | None: ...


class Replays(Protocol):
    """Delivers callbacks once more; `webhooks.replay.Replays`. Everything raises
    StoreUnavailable."""

    async def replay(self, delivery: DeliveryRecord) -> None: ...

    async def replay_dead(self, call_sid: str = "", since: float | None = None) -> int: ...


class Mp3s(Protocol):
    """Makes MP3 of recordings; `speech.mp3.Mp3s`."""

    def chunks(
        self, path: Path, shape: Shape, start: int, end: int, key: bytes = b""
    ) -> AsyncIterator[bytes]: ...


async def known_call(record: Record, sid: str, field: str = "sid") -> CallRecord:
    """The call of that sid. Raises Refused (404)."""
    call = await record.call(sid) if ids.is_sid(sid, ids.CALL) else None
    if call is None:
        raise Refused(404, codes.UNKNOWN_CALL, "There is no call with this sid", field=field)
    return call
