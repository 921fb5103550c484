"""`POST /v1/calls/{sid}`: what can be done to a call that goes on, one thing a request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, RootModel, field_validator

from outdial.api import problems, schemas
from outdial.api.intake import Intake
from outdial.api.models import json_body, read_object, validated
from outdial.api.record import Record, known_call
from outdial.calls import checks, codes, commands
from outdial.calls.commands import Command
from outdial.calls.key_checks import check_change
from outdial.didml.parse import parse
from outdial.errors import DocumentError, Refused

MAX_DOCUMENT = 16_384
"""Characters; its bytes are limited by `didml.max_document_bytes`, and with all else in the body by
`http.max_body_bytes`."""
_DOCUMENT = (
    r"""^\s*(<\?xml version=["']1\.0["']( encoding=["'][Uu][Tt][Ff]-8["'])?\s*\?>)?"""
    r"""\s*<[Rr]esponse\s*/?>"""
)
"""What is certainly taken; of the rest the parser says what is wrong."""
_DIGITS = r"^[0-9*#A-DwW]+$"


class HangUp(BaseModel):
    """End the call, in whatever state it is."""

    model_config = ConfigDict(extra="forbid", strict=True)

    hangup: Literal[True]


class Redirect(BaseModel):
    """Run another document, at once."""

    model_config = ConfigDict(extra="forbid", strict=True)

    url: str = Field(
        min_length=1,
        max_length=checks.MAX_URL,
        description="Where the document is fetched.",
        examples=["https://example.com/other.xml"],
    )
    method: schemas.Method = Field("POST", description="HTTP method for `url`.")
    fallback_url: str = Field(
        "",
        max_length=checks.MAX_URL,
        description="Fetched when `url` fails; else the one the call was placed with.",
    )


class RunDocument(BaseModel):
    """Run this document, at once."""

    model_config = ConfigDict(extra="forbid", strict=True)

    document: str = Field(
        min_length=1,
        max_length=MAX_DOCUMENT,
        json_schema_extra={"pattern": _DOCUMENT},
        description="didML. Relative URLs are relative to the URL the call was placed with.",
        examples=["<Response><Say>Please hold the line.</Say></Response>"],
    )


class SendDigits(BaseModel):
    """Send digits to the far end, in the middle of whatever plays."""

    model_config = ConfigDict(extra="forbid", strict=True)

    send_digits: str = Field(
        min_length=1,
        max_length=checks.MAX_DIGITS,
        json_schema_extra={"pattern": _DIGITS},
        description="DTMF; w waits 0.5 s, W 1 s.",
    )

    @field_validator("send_digits")
    @classmethod
    def _are_digits(cls, given: str) -> str:
        if re.fullmatch(_DIGITS, given) is None:
            raise ValueError(checks.DIGITS_ARE)
        return given


class Mute(BaseModel):
    """Whether what the far end says is neither heard by others nor recorded."""

    model_config = ConfigDict(extra="forbid", strict=True)

    muted: bool


class ControlRecording(BaseModel):
    """Record the whole call from now on, or stop; paused, silence is recorded."""

    model_config = ConfigDict(extra="forbid", strict=True)

    recording: commands.Action


class CallChange(RootModel[HangUp | Redirect | RunDocument | SendDigits | Mute | ControlRecording]):
    """What to do to a call: one of these."""


_KINDS: dict[str, type[BaseModel]] = {
    "hangup": HangUp,
    "url": Redirect,
    "document": RunDocument,
    "send_digits": SendDigits,
    "muted": Mute,
    "recording": ControlRecording,
}


class ChangeRoutes:
    """The handler."""

    def __init__(self, intake: Intake, record: Record, max_document_bytes: int) -> None:
        self._intake = intake
        self._record = record
        self._max_document_bytes = max_document_bytes

    def add_to(self, routes: APIRouter) -> None:
        """Adds it with what the OpenAPI document says of it."""
        routes.post("/calls/{sid}", **_CHANGE)(self.change)

    async def change(self, request: Request, response: Response, sid: str) -> schemas.Call:
        """Answered when it is done and durably noted, on the call's timeline too, with the name of
        the API key; 202: it will be in a moment."""
        given = await read_object(request, self._intake.max_body_bytes)
        wanted = _kind_of(given)
        call = await known_call(self._record, sid)
        check_change(request.state.key, call.key_name, sid)
        calls, by = self._intake.calls, str(request.state.key_name)
        if isinstance(wanted, HangUp):
            if await calls.hang_up(sid, by):
                response.status_code = 202
        elif not await calls.command(sid, self._command(wanted), by):
            response.status_code = 202
        return schemas.Call.of(await known_call(self._record, sid))

    def _command(self, wanted: BaseModel) -> Command:
        """Raises Refused for what the model cannot say: addresses, documents."""
        match wanted:
            case Redirect():
                checks.check_url(wanted.url, "url", self._intake.rules)
                fallback_url = wanted.fallback_url.strip(" ")
                if fallback_url:
                    checks.check_url(fallback_url, "fallback_url", self._intake.rules)
                return commands.Redirect(wanted.url, wanted.method, fallback_url)
            case RunDocument():
                return commands.Redirect(document=self._runnable(wanted.document))
            case SendDigits():
                return commands.SendDigits(wanted.send_digits)
            case Mute():
                return commands.Mute(wanted.muted)
            case ControlRecording():
                return commands.Record(wanted.recording)
        raise AssertionError(wanted)

    def _runnable(self, document: str) -> str:
        """It without what stands before it. Raises Refused (422)."""
        document = document.lstrip()
        try:
            parse(document.encode(), "text/xml; charset=utf-8", "", self._max_document_bytes)
        except DocumentError as error:
            where = f" (line {error.line}, column {error.column})" if error.line else ""
            problem = f"document cannot be run: {error}{where}"
            raise Refused(422, codes.BAD_DOCUMENT, problem, field="document") from None
        return document


def _kind_of(given: dict[str, Any]) -> BaseModel:
    """The model that the object is meant to be. Raises Refused (400, 422)."""
    names = [name for name in _KINDS if name in given]
    if len(names) != 1:
        said = f"not {' and '.join(names)} at once" if names else "none of them is there"
        raise Refused(
            400,
            codes.BAD_VALUE if names else codes.MISSING_FIELD,
            f"Give one of {', '.join(_KINDS)}: {said}",
            field=names[0] if names else "",
        )
    return validated(_KINDS[names[0]], given)


_CHANGE: dict[str, Any] = {
    "response_model": schemas.Call,
    "responses": {
        200: {"description": "It is done; of `hangup`: the call was over already."},
        202: {
            "description": "The call is being ended; or the server that has it was told to do what "
            "was asked, and has not said yet what came of it.",
            "model": schemas.Call,
        },
        **problems.documented(400, 401, 403, 404, 408, 409, 413, 415, 422, 503),
    },
    "openapi_extra": json_body(CallChange),
    "summary": "Change a call that goes on",
    "operation_id": "change_call",
}

BODIES: Sequence[type[BaseModel]] = (CallChange,)
"""Models that only request bodies refer to; the OpenAPI document must be told of them."""
