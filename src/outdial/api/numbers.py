"""`/v1/numbers`: which numbers calls are taken for, and the applications that take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from outdial.api import problems
from outdial.api.forms import REQUIRED_URL, URL
from outdial.api.intake import Intake
from outdial.api.models import json_body, read_model
from outdial.calls import checks, codes
from outdial.calls.called_numbers import CalledNumbers, OurNumber, written_as
from outdial.clock import iso8601
from outdial.config.checks import number as checked
from outdial.errors import Refused
from outdial.store.records import NumberRecord

_Method = Literal["GET", "POST"]
_Event = Literal["answered", "completed"]
_FORM = r"^\+?[0-9]{3,15}$"
_URLS = ("url", "fallback_url", "status_callback")
_CURSOR = 15


class OwnNumberChange(BaseModel):
    """What is to be different; what is left out stays."""

    model_config = ConfigDict(extra="forbid", strict=True)

    url: str = Field(
        "",
        max_length=checks.MAX_URL,
        min_length=1,
        description="The voice application that takes its calls.",
        examples=["https://example.com/answer.xml"],
        json_schema_extra={"pattern": REQUIRED_URL},
    )
    method: _Method = Field("POST", description="How `url` is fetched.")
    fallback_url: str = Field(
        "",
        max_length=checks.MAX_URL,
        description="Fetched when the application fails.",
        json_schema_extra={"pattern": URL},
    )
    status_callback: str = Field(
        "",
        max_length=checks.MAX_URL,
        description="Told what becomes of the calls.",
        json_schema_extra={"pattern": URL},
    )
    status_callback_events: list[_Event] = Field(
        ["completed"], max_length=16, description="Which of their events."
    )
    record: bool = Field(False, description="Whether the calls are recorded from the answer on.")

    def fields(self) -> dict[str, Any]:
        """What was given, by the names of `NumberRecord`."""
        given = self.model_dump(exclude_unset=True)
        events = given.get("status_callback_events")
        if events is not None:
            given["status_callback_events"] = tuple(dict.fromkeys(events))
        for name in _URLS:
            if name in given:
                given[name] = given[name].strip(" ")
        return given


class NewOwnNumber(OwnNumberChange):
    """A number that calls are taken for from now on."""

    number: str = Field(
        min_length=1,
        description="The number, country code first; ten digits are North American.",
        examples=["18005550100"],
        json_schema_extra={"pattern": _FORM},
    )
    url: str = Field(
        max_length=checks.MAX_URL,
        min_length=1,
        description="The voice application that takes its calls.",
        examples=["https://example.com/answer.xml"],
        json_schema_extra={"pattern": REQUIRED_URL},
    )


class OwnNumber(BaseModel):
    """A number that calls are taken for."""

    number: str
    source: Literal["settings", "api"] = Field(
        description="Those of the settings can only be changed there."
    )
    url: str
    method: _Method
    fallback_url: str
    status_callback: str
    status_callback_events: list[_Event]
    record: bool
    created_at: str | None = Field(description="null: it stands in the settings.")
    updated_at: str | None

    @classmethod
    def of(cls, number: OurNumber) -> OwnNumber:
        """As the API shows it."""
        record, given = number.record, number.is_given
        return cls.model_validate(
            {
                "number": record.number,
                "source": "settings" if given else "api",
                "url": record.url,
                "method": record.method,
                "fallback_url": record.fallback_url,
                "status_callback": record.status_callback,
                "status_callback_events": list(record.status_callback_events),
                "record": record.record,
                "created_at": None if given else iso8601(record.created_at),
                "updated_at": None if given else iso8601(record.updated_at),
            }
        )


class OwnNumbers(BaseModel):
    """A page of numbers, in their order."""

    numbers: list[OwnNumber]
    next_cursor: str = Field(description='Give it as `cursor` for the next page; "" on the last.')


class NumberRoutes:
    """The handlers."""

    def __init__(self, intake: Intake, numbers: CalledNumbers) -> None:
        self._intake = intake
        self._numbers = numbers

    def add_to(self, routes: APIRouter) -> None:
        """Adds each handler with what the OpenAPI document says of it."""
        routes.get("/numbers", **_LIST)(self.index)
        routes.post("/numbers", **_CREATE)(self.create)
        routes.get("/numbers/{number}", **_SHOW)(self.show)
        routes.post("/numbers/{number}", **_CHANGE)(self.change)
        routes.delete("/numbers/{number}", **_DELETE)(self.delete)

    async def index(
        self,
        limit: Annotated[int, Query(ge=1, le=100)] = 50,
        cursor: Annotated[str, Query(max_length=_CURSOR)] = "",
    ) -> OwnNumbers:
        """Those of the settings too."""
        if cursor and not (cursor.isascii() and cursor.isdigit()):
            message = "cursor is not one that a page of numbers gave; leave it out to start"
            raise Refused(404, codes.UNKNOWN_PAGE, message, field="cursor")
        page, next_cursor = await self._numbers.page(cursor, limit)
        return OwnNumbers(numbers=[OwnNumber.of(one) for one in page], next_cursor=next_cursor)

    async def create(self, request: Request, response: Response) -> OwnNumber:
        """Calls to it are taken once this is answered, on every server of the database."""
        asked = await read_model(request, self._intake.max_body_bytes, NewOwnNumber)
        fields = self._checked(asked)
        number = written_as(fields.pop("number"))
        try:
            checked(number)
        except ValueError:
            message = (
                "number must be 3 to 15 digits, country code first, e.g. 18005550100; "
                "spaces, -, . and parentheses may stand in between"
            )
            raise Refused(400, codes.BAD_VALUE, message, field="number") from None
        added = OwnNumber.of(await self._numbers.add(NumberRecord(number, **fields)))
        response.headers["Location"] = f"/v1/numbers/{added.number}"
        return added

    async def show(self, number: str) -> OwnNumber:
        """One of them."""
        return OwnNumber.of(await self._numbers.one(number))

    async def change(self, request: Request, number: str) -> OwnNumber:
        """It holds for the next call."""
        asked = await read_model(request, self._intake.max_body_bytes, OwnNumberChange)
        return OwnNumber.of(await self._numbers.change(number, self._checked(asked)))

    async def delete(self, number: str) -> None:
        """Calls to it are refused from now on; those that are up go on."""
        await self._numbers.remove(number)

    def _checked(self, asked: OwnNumberChange) -> dict[str, Any]:
        """The fields that were given. Raises Refused: 400, 403, 422."""
        fields = asked.fields()
        if fields.get("url") == "":
            message = "url is missing: the voice application, e.g. https://example.com/answer.xml"
            raise Refused(400, codes.MISSING_FIELD, message, field="url")
        for name in _URLS:
            if fields.get(name):
                checks.check_url(fields[name], name, self._intake.rules)
        return fields


_LINKS = {
    name: {"operationId": operation, "parameters": {"number": "$response.body#/number"}}
    for name, operation in (
        ("show", "show_number"),
        ("change", "change_number"),
        ("delete", "delete_number"),
    )
}
_LIST: dict[str, Any] = {
    "response_model": OwnNumbers,
    "responses": problems.documented(400, 401, 404, 422, 503),
    "summary": "List the numbers that calls are taken for",
    "operation_id": "list_numbers",
}
_CREATE: dict[str, Any] = {
    "status_code": 201,
    "response_model": OwnNumber,
    "responses": {
        201: {
            "headers": {"Location": {"required": True, "schema": {"type": "string"}}},
            "links": _LINKS,
        },
        **problems.documented(400, 401, 403, 408, 409, 413, 415, 422, 503),
    },
    "openapi_extra": json_body(NewOwnNumber),
    "summary": "Take calls to a number",
    "operation_id": "create_number",
}
_SHOW: dict[str, Any] = {
    "response_model": OwnNumber,
    "responses": problems.documented(401, 404, 503),
    "summary": "Show a number",
    "operation_id": "show_number",
}
_CHANGE: dict[str, Any] = {
    "response_model": OwnNumber,
    "responses": problems.documented(400, 401, 403, 404, 408, 409, 413, 415, 422, 503),
    "openapi_extra": json_body(OwnNumberChange),
    "summary": "Change a number",
    "operation_id": "change_number",
}
_DELETE: dict[str, Any] = {
    "status_code": 204,
    "responses": problems.documented(401, 404, 409, 503),
    "summary": "Take no more calls to a number",
    "operation_id": "delete_number",
}

BODIES: Sequence[type[BaseModel]] = (NewOwnNumber, OwnNumberChange)
"""Models that only request bodies refer to; the OpenAPI document must be told of them."""
