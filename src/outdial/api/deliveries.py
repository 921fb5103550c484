"""Status callbacks: how each stands, every attempt, and sending them again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from outdial import ids
from outdial.api import problems, schemas
from outdial.api.intake import Intake
from outdial.api.models import Moment, json_body, read_model, seconds
from outdial.api.record import Record, Replays, known_call
from outdial.calls import codes
from outdial.errors import Refused
from outdial.store.records import DeliveryFilter, DeliveryRecord


class ReplayAll(BaseModel):
    """Which callbacks to deliver once more."""

    model_config = ConfigDict(extra="forbid")

    state: schemas.Dead = Field(description="Only those that were given up.")
    call_sid: str = Field("", max_length=34, description="Only those of this call.")
    since: Moment | None = Field(None, description="Only those made since then.")


class ReplayOne(BaseModel):
    """Nothing needs to be said."""

    model_config = ConfigDict(extra="forbid")


class DeliveryRoutes:
    """The handlers."""

    def __init__(self, intake: Intake, record: Record, replays: Replays) -> None:
        self._intake = intake
        self._record = record
        self._replays = replays

    def add_to(self, routes: APIRouter) -> None:
        """Adds each handler with what the OpenAPI document says of it."""
        routes.get("/deliveries", **_LIST)(self.index)
        # before the one with an id in its path, which would take the word for one
        routes.post("/deliveries/replay", **_REPLAY_ALL)(self.replay_all)
        routes.get("/deliveries/{id}", **_SHOW)(self.show)
        routes.post("/deliveries/{id}/replay", **_REPLAY)(self.replay)

    async def index(
        self,
        call_sid: Annotated[str, Query(max_length=34)] = "",
        state: schemas.DeliveryState | None = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 50,
        cursor: Annotated[str, Query(max_length=200)] = "",
    ) -> schemas.Deliveries:
        """Newest first; those of one call in the order they were made."""
        if call_sid:
            return await self._of_call(call_sid, state or "", limit, cursor)
        try:
            page = await self._record.delivery_page(
                DeliveryFilter(state=state or ""), cursor, limit
            )
        except ValueError:
            raise _unknown_page() from None
        return schemas.Deliveries(
            deliveries=[schemas.Delivery.of(one) for one in page.deliveries],
            next_cursor=page.next_cursor,
        )

    async def _of_call(
        self, call_sid: str, state: str, limit: int, cursor: str
    ) -> schemas.Deliveries:
        await known_call(self._record, call_sid, "call_sid")
        if cursor and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 10):
            raise _unknown_page()
        found = await self._record.deliveries(call_sid)  # a handful
        wanted = [one for one in found if state in ("", one.state)]
        start = int(cursor or 0)
        end = start + limit
        return schemas.Deliveries(
            deliveries=[schemas.Delivery.of(one) for one in wanted[start:end]],
            next_cursor=str(end) if len(wanted) > end else "",
        )

    async def show(self, id: str) -> schemas.DeliveryInFull:
        """The request, and every attempt with what was answered."""
        return schemas.DeliveryInFull.of_record(await self._known(id))

    async def replay(self, request: Request, id: str) -> schemas.Delivery:
        """It is sent with the `webhook-id` it had, and has all of its attempts again."""
        await read_model(request, self._intake.max_body_bytes, ReplayOne, may_be_empty=True)
        delivery = await self._known(id)
        if delivery.state == "pending":
            message = "The callback is pending: it is being tried already"
            raise Refused(409, codes.STILL_PENDING, message, field="id")
        await self._replays.replay(delivery)
        return schemas.Delivery.of(delivery)

    async def replay_all(self, request: Request) -> schemas.Replayed:
        """In the order they were made, behind what their lanes have under way."""
        wanted = await read_model(request, self._intake.max_body_bytes, ReplayAll)
        if wanted.call_sid:
            await known_call(self._record, wanted.call_sid, "call_sid")
        count = await self._replays.replay_dead(wanted.call_sid, seconds(wanted.since))
        return schemas.Replayed(count=count)

    async def _known(self, sid: str) -> DeliveryRecord:
        """Raises Refused (404)."""
        found = await self._record.delivery(sid) if ids.is_sid(sid, ids.DELIVERY) else None
        if found is None:
            message = "There is no callback with this id"
            raise Refused(404, codes.UNKNOWN_DELIVERY, message, field="id")
        return found


def _unknown_page() -> Refused:
    message = "cursor is not one that a page of callbacks gave; leave it out to start"
    return Refused(404, codes.UNKNOWN_PAGE, message, field="cursor")


_LINKS = {
    "delivery": {
        "operationId": "show_delivery",
        "parameters": {"id": "$response.body#/deliveries/0/id"},
    },
}
_LIST: dict[str, Any] = {
    "response_model": schemas.Deliveries,
    "responses": {200: {"links": _LINKS}, **problems.documented(400, 401, 404, 422, 503)},
    "summary": "Status callbacks",
    "operation_id": "list_deliveries",
}
_SHOW: dict[str, Any] = {
    "response_model": schemas.DeliveryInFull,
    "responses": problems.documented(401, 404, 503),
    "summary": "A status callback, with every attempt",
    "operation_id": "show_delivery",
}
_REPLAY: dict[str, Any] = {
    "status_code": 202,
    "response_model": schemas.Delivery,
    "responses": problems.documented(400, 401, 404, 408, 409, 413, 415, 422, 503),
    "openapi_extra": json_body(ReplayOne, required=False),
    "summary": "Deliver a callback once more",
    "operation_id": "replay_delivery",
}
_REPLAY_ALL: dict[str, Any] = {
    "status_code": 202,
    "response_model": schemas.Replayed,
    "responses": problems.documented(400, 401, 404, 408, 413, 415, 422, 503),
    "openapi_extra": json_body(ReplayAll),
    "summary": "Deliver all callbacks once more that were given up",
    "operation_id": "replay_deliveries",
}

BODIES: Sequence[type[BaseModel]] = (ReplayOne, ReplayAll)
"""Models that only request bodies refer to; the OpenAPI document must be told of them."""
