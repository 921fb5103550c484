"""`/v1/calls`: place a call, list calls, show one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from outdial.api import bodies, forms, problems, schemas
from outdial.api.intake import Intake
from outdial.api.models import Moment, json_body, read_model, seconds
from outdial.api.record import Record, known_call
from outdial.calls import codes, repeats
from outdial.calls.checks import FIELDS
from outdial.errors import Refused
from outdial.store.records import CallFilter, CallRecord

_SPELLING = {name: name for name in FIELDS}
_Number = Annotated[str, Query(max_length=32)]


class CallRoutes:
    """The handlers."""

    def __init__(self, intake: Intake, record: Record) -> None:
        self._intake = intake
        self._record = record

    def add_to(self, routes: APIRouter) -> None:
        """Adds each handler with what the OpenAPI document says of it."""
        routes.post("/calls", **_CREATE)(self.create)
        routes.get("/calls", **_LIST)(self.index)
        routes.get("/calls/{sid}", **_SHOW)(self.show)

    async def create(self, request: Request) -> Response:
        """With an Idempotency-Key the same post may be sent again: there is one call, and every
        post gets its answer."""
        key_name = request.state.key_name
        self._intake.rate.take(key_name)
        token = repeats.token_of(request.headers.getlist(repeats.HEADER))
        values = (await read_model(request, self._intake.max_body_bytes, schemas.NewCall)).values()
        if token:
            once = await self._intake.place_once(values, _SPELLING, key_name, token)
            sid, answer = once.call_sid, once.answer
        else:
            call = await self._intake.place(values, _SPELLING, key_name)
            sid, answer = call.sid, self._intake.answer(call)
        headers = {"location": f"/v1/calls/{sid}"}
        return Response(answer, 201, headers, media_type=bodies.JSON)

    async def index(
        self,
        state: schemas.State | None = None,
        outcome: schemas.Outcome | None = None,
        to: _Number = "",
        from_: Annotated[str, Query(alias="from", max_length=32)] = "",
        parent_sid: Annotated[str, Query(max_length=34)] = "",
        direction: schemas.Direction | None = None,
        created_after: Moment | None = None,
        created_before: Moment | None = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 50,
        cursor: Annotated[str, Query(max_length=200)] = "",
    ) -> schemas.Calls:
        """Filters are joined by "and"."""
        wanted = CallFilter(
            state=state or "",
            outcome=outcome or "",
            to_number=to.strip().removeprefix("+"),  # an unescaped + in a query is a space
            from_number=from_.strip().removeprefix("+"),
            parent_sid=parent_sid,
            direction=direction or "",
            created_after=seconds(created_after),
            created_before=seconds(created_before),
        )
        try:
            page = await self._record.calls(wanted, cursor, limit)
        except ValueError:
            message = "cursor is not one that a page of calls gave; leave it out to start"
            raise Refused(404, codes.UNKNOWN_PAGE, message, field="cursor") from None
        return schemas.Calls(
            calls=[schemas.Call.of(call) for call in page.calls], next_cursor=page.next_cursor
        )

    async def show(self, sid: str) -> schemas.Call:
        """The call as it stands now."""
        call = await known_call(self._record, sid)
        return schemas.Call.of(call, await self._position(call))

    async def _position(self, call: CallRecord) -> int | None:
        """The call's place in the queue: this server's, else that of all who share the record."""
        if call.state != "queued":
            return None
        here = self._intake.calls.position(call.sid)
        return await self._record.queue_position(call) if here is None else here


_LINKS = {
    name: {"operationId": operation, "parameters": {parameter: "$response.body#/sid"}}
    for name, operation, parameter in (
        ("call", "show_call", "sid"),
        ("change", "change_call", "sid"),
        ("events", "call_events", "sid"),
        ("ladder", "call_ladder", "sid"),
        ("deliveries", "list_deliveries", "call_sid"),
    )
}
_CREATE: dict[str, Any] = {
    "status_code": 201,
    "response_model": schemas.Call,
    "responses": {
        201: {
            "headers": {"Location": {"required": True, "schema": {"type": "string"}}},
            "links": _LINKS,
        },
        **problems.documented(400, 401, 403, 404, 408, 413, 415, 422, 429, 503),
    },
    "openapi_extra": json_body(schemas.NewCall),
    "description": f"Answered once the call is durably stored. {forms.REPEATABLE}",
    "summary": "Place a call",
    "operation_id": "create_call",
}
_LIST: dict[str, Any] = {
    "response_model": schemas.Calls,
    "responses": problems.documented(400, 401, 404, 422, 503),
    "summary": "List calls, newest first",
    "operation_id": "list_calls",
}
_SHOW: dict[str, Any] = {
    "response_model": schemas.Call,
    "responses": problems.documented(401, 404, 503),
    "summary": "Show a call",
    "operation_id": "show_call",
}
BODIES: Sequence[type[BaseModel]] = (schemas.NewCall,)
"""Models that only request bodies refer to; the OpenAPI document must be told of them."""
