"""A call's timeline while it happens, as server-sent events (WHATWG HTML, section 9.2).

What is sent is read from the record, so that any server on the database can be asked. A page of
events is read when the one before has left: a slow reader costs one page of memory, and one that
takes nothing is let go.
"""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import Response
from starlette.types import Receive, Scope, Send

from outdial import log
from outdial.api.following import KEEP_ALIVE, RETRY, Following, written
from outdial.api.record import Record
from outdial.calls import codes
from outdial.calls.service import CallService
from outdial.errors import Refused, StoreUnavailable
from outdial.store.records import CallRecord

KIND = "text/event-stream"
MOST_STREAMS = 200
"""Open at once on one server."""
PAGE = 100
STALLED_S = 30.0
"""A reader who takes nothing for so long is let go."""

_log = log.get("api")


def is_wanted(accept: str) -> bool:
    """Whether the Accept header asks for a stream."""
    return any(part.partition(";")[0].strip().lower() == KIND for part in accept.split(","))


class Streams:
    """Those of one server."""

    def __init__(self, record: Record, calls: CallService) -> None:
        self.record = record
        self._calls = calls
        self.open = 0

    def of(self, call: CallRecord, after: int) -> Response:
        """The answer that streams. Raises Refused (429)."""
        if self.open >= MOST_STREAMS:
            problem = f"{self.open} event streams are open; this server has no more"
            raise Refused(429, codes.TOO_MANY_STREAMS, problem, retry_after_s=5)
        return _EventStream(self, call, after)

    @property
    def is_leaving(self) -> bool:
        """Whether this server is about to end: nothing more will happen here."""
        health = self._calls.health()
        return bool(health["draining"]) and not health["live"]


class _EventStream(Response):
    """One stream, as an ASGI application."""

    media_type = KIND

    def __init__(self, streams: Streams, call: CallRecord, after: int) -> None:
        super().__init__(headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._streams = streams
        self._sid = call.sid
        self._is_over = call.ended_at is not None
        self._after = after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Until the call is over, or the reader or this server leaves."""
        streams = self._streams
        streams.open += 1
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await self._follow(send, gone)
            if not gone.done():
                await _send(send, b"", more=False)
        except TimeoutError:
            _log.info("event stream given up", call=self._sid, reason="nobody reads it")
        finally:
            streams.open -= 1
            gone.cancel()

    async def _follow(self, send: Send, gone: asyncio.Future[None]) -> None:
        now = asyncio.get_running_loop().time
        following = Following(self._after, now())
        leaving = False
        await _send(send, RETRY)
        while not gone.done():
            found = await self._look(following)
            ready = following.take(found, now())
            if ready:
                await _send(send, written(ready))
            if following.is_done or (self._is_over and not found) or leaving:
                return
            leaving = self._streams.is_leaving  # what was written last is looked for once more
            if ready and len(found) == PAGE:
                continue
            await asyncio.wait((gone,), timeout=following.nap_s)
            if following.is_to_be_told(now()):
                await _send(send, KEEP_ALIVE)
            if following.is_to_be_checked(now()):
                await self._check()

    async def _look(self, following: Following) -> list[Any]:
        try:
            return await self._streams.record.events(self._sid, following.after, PAGE)
        except StoreUnavailable:
            return []  # it will be back, or the reader comes again

    async def _check(self) -> None:
        try:
            call = await self._streams.record.call(self._sid)
        except StoreUnavailable:
            return
        self._is_over = call is None or call.ended_at is not None


async def _send(send: Send, data: bytes, *, more: bool = True) -> None:
    """Raises TimeoutError when the reader takes nothing."""
    async with asyncio.timeout(STALLED_S):
        await send({"type": "http.response.body", "body": data, "more_body": more})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
