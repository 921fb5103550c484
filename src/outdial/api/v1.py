"""The native API: `/v1`."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import FileResponse
from fastapi.security import HTTPBearer
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ValidationError

from outdial import ids
from outdial.api import bodies, keys, problems, schemas
from outdial.calls import codes
from outdial.calls.checks import FIELDS, Rules, check
from outdial.calls.service import CallService
from outdial.errors import Refused
from outdial.legs import TracedMessage
from outdial.store.records import (
    CallFilter,
    CallPage,
    CallRecord,
    DeliveryRecord,
    EventRecord,
    RecordingRecord,
)

_SPELLING = {name: name for name in FIELDS}
_KEY_PLACE = "send it as Authorization: Bearer KEY"
_Bearer = Annotated[
    Any, Depends(HTTPBearer(auto_error=False, description="An API key.", scheme_name="bearer"))
]
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


def _rfc3339(text: object) -> object:
    # pydantic alone would also take numbers as seconds
    if not isinstance(text, str) or _RFC3339.fullmatch(text) is None:
        raise ValueError("it must be an RFC 3339 time, e.g. 2026-05-04T12:00:00Z")
    return text


_Moment = Annotated[AwareDatetime, BeforeValidator(_rfc3339)]
_JSON_KINDS = (bodies.JSON, "text/json")

Model = TypeVar("Model", bound=BaseModel)


class Record(Protocol):
    """What the API reads; `store.store.Store` fulfils it."""

    async def call(self, sid: str) -> CallRecord | None: ...

    async def calls(
        self, wanted: CallFilter | None = None, cursor: str = "", limit: int = 50
    ) -> CallPage: ...

    async def events(
        self, call_sid: str, after_seq: int = -1, limit: int = 1000
    ) -> list[EventRecord]: ...

    async def ladder(self, call_sid: str) -> list[TracedMessage]: ...

    async def deliveries(self, call_sid: str) -> list[DeliveryRecord]: ...

    async def recording(self, sid: str) -> RecordingRecord | None: ...


def router(
    calls: CallService,
    store: Record,
    key_ring: keys.Keys,
    rules: Rules,
    recordings: Path,
    max_body_bytes: int,
) -> APIRouter:
    """The routes, every one behind an API key."""

    async def authenticated(request: Request, documented: _Bearer) -> None:
        presented = keys.from_headers(request.scope["headers"])
        request.state.key_name = keys.authenticate(key_ring, presented, _KEY_PLACE)

    routes = APIRouter(prefix="/v1", dependencies=[Depends(authenticated)])

    async def known(sid: str) -> CallRecord:
        call = await store.call(sid) if ids.is_sid(sid, ids.CALL) else None
        if call is None:
            raise Refused(404, codes.UNKNOWN_CALL, "There is no call with this sid", field="sid")
        return call

    async def model(request: Request, kind: type[Model]) -> Model:
        return _parse(request, await bodies.read(request.receive, max_body_bytes), kind)

    @routes.post(
        "/calls",
        status_code=201,
        response_model=schemas.Call,
        responses={
            201: {
                "headers": {"Location": {"required": True, "schema": {"type": "string"}}},
                "links": _LINKS,
            },
            **problems.documented(400, 401, 403, 408, 413, 415, 422, 429, 503),
        },
        openapi_extra=_body(schemas.NewCall),
        summary="Place a call",
        operation_id="create_call",
    )
    async def create(request: Request, response: Response) -> schemas.Call:
        wanted = check((await model(request, schemas.NewCall)).values(), _SPELLING, rules)
        call = await calls.place(wanted, request.state.key_name)
        response.headers["location"] = f"/v1/calls/{call.sid}"
        return schemas.Call.of(call)

    @routes.get(
        "/calls",
        response_model=schemas.Calls,
        responses=problems.documented(400, 401, 404, 422, 503),
        summary="List calls, newest first",
        operation_id="list_calls",
    )
    async def index(
        state: schemas.State | None = None,
        outcome: schemas.Outcome | None = None,
        to: Annotated[str, Query(max_length=32)] = "",
        from_: Annotated[str, Query(alias="from", max_length=32)] = "",
        parent_sid: Annotated[str, Query(max_length=34)] = "",
        created_after: _Moment | None = None,
        created_before: _Moment | None = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 50,
        cursor: Annotated[str, Query(max_length=200)] = "",
    ) -> schemas.Calls:
        wanted = CallFilter(
            state=state or "",
            outcome=outcome or "",
            to_number=to.removeprefix("+"),
            from_number=from_.removeprefix("+"),
            parent_sid=parent_sid,
            created_after=_seconds(created_after),
            created_before=_seconds(created_before),
        )
        try:
            page = await store.calls(wanted, cursor, limit)
        except ValueError:
            message = "cursor is not one that a page of calls gave; leave it out to start"
            raise Refused(404, codes.UNKNOWN_PAGE, message, field="cursor") from None
        return schemas.Calls(
            calls=[schemas.Call.of(call) for call in page.calls], next_cursor=page.next_cursor
        )

    @routes.get(
        "/calls/{sid}",
        response_model=schemas.Call,
        responses=problems.documented(401, 404, 503),
        summary="Show a call",
        operation_id="show_call",
    )
    async def show(sid: str) -> schemas.Call:
        return schemas.Call.of(await known(sid))

    @routes.post(
        "/calls/{sid}",
        response_model=schemas.Call,
        responses={
            200: {"description": "The call was over already."},
            202: {"description": "The call is being ended.", "model": schemas.Call},
            **problems.documented(400, 401, 404, 408, 413, 415, 422, 503),
        },
        openapi_extra=_body(schemas.CallChange),
        summary="Hang up",
        operation_id="change_call",
    )
    async def change(request: Request, response: Response, sid: str) -> schemas.Call:
        await model(request, schemas.CallChange)
        await known(sid)
        if await calls.hang_up(sid):
            response.status_code = 202
        return schemas.Call.of(await known(sid))

    @routes.get(
        "/calls/{sid}/events",
        response_model=schemas.Timeline,
        responses=problems.documented(400, 401, 404, 422, 503),
        summary="A call's timeline",
        operation_id="call_events",
    )
    async def events(
        sid: str, after: Annotated[int, Query(ge=-1, le=2**31)] = -1
    ) -> schemas.Timeline:
        await known(sid)
        found = await store.events(sid, after)
        return schemas.Timeline(events=[schemas.TimelineEvent.of(event) for event in found])

    @routes.get(
        "/calls/{sid}/ladder",
        response_model=schemas.Ladder,
        responses=problems.documented(401, 404, 503),
        summary="A call's SIP messages",
        operation_id="call_ladder",
    )
    async def ladder(sid: str) -> schemas.Ladder:
        await known(sid)
        found = await store.ladder(sid)
        return schemas.Ladder(messages=[schemas.SipMessage.of(message) for message in found])

    @routes.get(
        "/recordings/{sid}.wav",
        response_class=FileResponse,
        responses={
            200: {
                "description": "Left what the far end said, right what it heard.",
                "content": {"audio/wav": {"schema": {"type": "string", "format": "binary"}}},
            },
            **problems.documented(401, 404, 503),
        },
        summary="A recording",
        operation_id="get_recording",
    )
    async def recording(sid: str) -> FileResponse:
        known_here = ids.is_sid(sid, ids.RECORDING) and await store.recording(sid)
        path = recordings / f"{sid}.wav"
        if not known_here or not _is_file(path):
            message = "There is no recording with this sid"
            raise Refused(404, codes.UNKNOWN_RECORDING, message, field="sid")
        return FileResponse(path, media_type="audio/wav")

    @routes.get(
        "/deliveries",
        response_model=schemas.Deliveries,
        responses=problems.documented(400, 401, 404, 503),
        summary="A call's status callbacks",
        operation_id="list_deliveries",
    )
    async def deliveries(call_sid: str) -> schemas.Deliveries:
        found = await store.deliveries((await known(call_sid)).sid)
        return schemas.Deliveries(deliveries=[schemas.Delivery.of(one) for one in found])

    return routes


def _parse(request: Request, body: bytes, kind: type[Model]) -> Model:
    content_type = request.headers.get("content-type", bodies.JSON).partition(";")[0]
    encoding = request.headers.get("content-encoding", "identity").lower()
    if content_type.strip().lower() not in _JSON_KINDS or encoding != "identity":
        raise Refused(415, codes.BAD_TYPE, f"Send the body as plain {bodies.JSON}")
    value = bodies.load_json(body)
    if not isinstance(value, dict):
        raise Refused(400, codes.MALFORMED_BODY, "The JSON body must be an object")
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise problems.first_invalid(error) from None


_LINKS = {
    name: {"operationId": operation, "parameters": {parameter: "$response.body#/sid"}}
    for name, operation, parameter in (
        ("call", "show_call", "sid"),
        ("hang_up", "change_call", "sid"),
        ("events", "call_events", "sid"),
        ("ladder", "call_ladder", "sid"),
        ("deliveries", "list_deliveries", "call_sid"),
    )
}


def _body(kind: type[BaseModel]) -> dict[str, Any]:
    reference = {"$ref": f"#/components/schemas/{kind.__name__}"}
    return {"requestBody": {"required": True, "content": {bodies.JSON: {"schema": reference}}}}


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _is_file(path: Path) -> bool:
    """Whether it is a plain file: a link could lead out of the recordings folder."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


BODIES: Sequence[type[BaseModel]] = (schemas.NewCall, schemas.CallChange)
"""Models that only request bodies refer to; the OpenAPI document must be told of them."""
