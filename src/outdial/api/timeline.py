"""What happened on a call: its events, its SIP messages."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from outdial.api import problems, schemas
from outdial.api.record import Record, known_call


class TimelineRoutes:
    """The handlers."""

    def __init__(self, record: Record) -> None:
        self._record = record

    def add_to(self, routes: APIRouter) -> None:
        """Adds each handler with what the OpenAPI document says of it."""
        routes.get("/calls/{sid}/events", **_EVENTS)(self.events)
        routes.get("/calls/{sid}/ladder", **_LADDER)(self.ladder)

    async def events(
        self, sid: str, after: Annotated[int, Query(ge=-1, le=2**31)] = -1
    ) -> schemas.Timeline:
        """Those behind event `after`."""
        await known_call(self._record, sid)
        found = await self._record.events(sid, after)
        return schemas.Timeline(events=[schemas.TimelineEvent.of(event) for event in found])

    async def ladder(self, sid: str) -> schemas.Ladder:
        """Saved when the leg ends."""
        await known_call(self._record, sid)
        found = await self._record.ladder(sid)
        return schemas.Ladder(messages=[schemas.SipMessage.of(message) for message in found])


_EVENTS: dict[str, Any] = {
    "response_model": schemas.Timeline,
    "responses": problems.documented(400, 401, 404, 422, 503),
    "summary": "A call's timeline",
    "operation_id": "call_events",
}
_LADDER: dict[str, Any] = {
    "response_model": schemas.Ladder,
    "responses": problems.documented(401, 404, 503),
    "summary": "A call's SIP messages",
    "operation_id": "call_ladder",
}
