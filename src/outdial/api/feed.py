"""`/v1/events`: what happened to all calls, in one order, for whoever wants to follow."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from outdial.api import problems, schemas
from outdial.api.record import Record
from outdial.calls import codes
from outdial.calls.service import CallService
from outdial.errors import Refused

MOST_WAIT_S = 30
_LOOKS_EVERY_S = 0.2
_MOST_WAITING = 256
"""Requests that may wait at once; others are answered at once."""


class FeedRoutes:
    """The handlers."""

    def __init__(self, record: Record, calls: CallService) -> None:
        self._record = record
        self._calls = calls
        self._waiting = 0

    def add_to(self, routes: APIRouter) -> None:
        """Adds the handler with what the OpenAPI document says of it."""
        routes.get("/events", **_FEED)(self.feed)

    async def feed(
        self,
        request: Request,
        after: Annotated[str, Query(max_length=200)] = "",
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        wait: Annotated[int, Query(ge=0, le=MOST_WAIT_S)] = 0,
    ) -> schemas.Feed:
        """Give `next` as `after` to go on, also when the page was empty."""
        try:
            found = await self._record.feed(after, limit)
        except ValueError:
            message = "after is not a cursor that a page of events gave; leave it out to start"
            raise Refused(404, codes.UNKNOWN_PAGE, message, field="after") from None
        if not found and wait and self._waiting < _MOST_WAITING:
            self._waiting += 1
            try:
                found = await self._wait(request, after, limit, wait)
            finally:
                self._waiting -= 1
        following = found[-1].cursor if found else after
        return schemas.Feed(events=[schemas.FeedEvent.of(one) for one in found], next=following)

    async def _wait(self, request: Request, after: str, limit: int, wait_s: int) -> Any:
        """Looks again and again: another node may have written the next event."""
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_s
        found: Any = []
        while not found and loop.time() < until:
            await asyncio.sleep(_LOOKS_EVERY_S)
            found = await self._record.feed(after, limit)
            if self._calls.health()["draining"] or await request.is_disconnected():
                break  # nobody is kept waiting by, or waits for, a server that ends
        return found


_FEED: dict[str, Any] = {
    "response_model": schemas.Feed,
    "responses": problems.documented(400, 401, 404, 422, 503),
    "summary": "Events of all calls, oldest first",
    "operation_id": "list_events",
}
