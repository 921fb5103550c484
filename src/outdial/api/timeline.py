"""What happened on a call: its events, its SIP messages, its status callbacks."""

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
        routes.get("/deliveries", **_DELIVERIES)(self.deliveries)

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

    async def deliveries(self, call_sid: str) -> schemas.Deliveries:
        """In the order in which they were made."""
        await known_call(self._record, call_sid, "call_sid")
        found = await self._record.deliveries(call_sid)
        return schemas.Deliveries(deliveries=[schemas.Delivery.of(one) for one in found])


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
_DELIVERIES: dict[str, Any] = {
    "response_model": schemas.Deliveries,
    "responses": problems.documented(400, 401, 404, 503),
    "summary": "A call's status callbacks",
    "operation_id": "list_deliveries",
}
