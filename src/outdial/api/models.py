"""JSON bodies and times, read strictly, for the routes of `/v1`."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, TypeVar

from fastapi import Request
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ValidationError

from outdial.api import bodies, problems
from outdial.calls import codes
from outdial.errors import Refused

_JSON_KINDS = (bodies.JSON, "text/json")
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")

Model = TypeVar("Model", bound=BaseModel)


def _rfc3339(text: object) -> object:
    # pydantic alone would also take numbers as seconds
    if not isinstance(text, str) or _RFC3339.fullmatch(text) is None:
        raise ValueError("it must be an RFC 3339 time, e.g. 2026-05-04T12:00:00Z")
    return text


Moment = Annotated[AwareDatetime, BeforeValidator(_rfc3339)]


def seconds(moment: datetime | None) -> float | None:
    """Since the epoch."""
    return None if moment is None else moment.timestamp()


async def read_model(
    request: Request, max_bytes: int, kind: type[Model], *, may_be_empty: bool = False
) -> Model:
    """The body as the model has it. Raises Refused: 400, 408, 413, 415, 422."""
    value = await read_object(request, max_bytes, may_be_empty=may_be_empty)
    return validated(kind, value)


async def read_object(
    request: Request, max_bytes: int, *, may_be_empty: bool = False
) -> dict[str, Any]:
    """The body as a JSON object. Raises Refused: 400, 408, 413, 415."""
    body = await bodies.read(request.receive, max_bytes)
    if not body and may_be_empty:
        return {}
    content_type = request.headers.get("content-type", bodies.JSON).partition(";")[0]
    encoding = request.headers.get("content-encoding", "identity").lower()
    if content_type.strip().lower() not in _JSON_KINDS or encoding != "identity":
        raise Refused(415, codes.BAD_TYPE, f"Send the body as plain {bodies.JSON}")
    value = bodies.load_json(body)
    if not isinstance(value, dict):
        raise Refused(400, codes.MALFORMED_BODY, "The JSON body must be an object")
    return value


def validated(kind: type[Model], value: dict[str, Any]) -> Model:
    """The object as the model has it. Raises Refused: 400, 422."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise problems.first_invalid(error) from None


def json_body(kind: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """`openapi_extra` of a route that takes the model."""
    reference = {"$ref": f"#/components/schemas/{kind.__name__}"}
    content = {bodies.JSON: {"schema": reference}}
    return {"requestBody": {"required": required, "content": content}}
