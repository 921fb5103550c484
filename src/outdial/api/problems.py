"""Errors of everything but V2, as problem+json (RFC 9457)."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from outdial import log
from outdial.api import v2
from outdial.calls import codes
from outdial.errors import Refused, StoreUnavailable

PROBLEM = "application/problem+json"
_V2_PREFIX = "/didforsaleapi/"
_log = log.get("api")


def install(app: FastAPI) -> None:
    """Every error that leaves the application has its shape from here."""

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)  # noqa: S101 - Starlette looks handlers up by class
        return answer(request, error)

    async def store_away(request: Request, error: Exception) -> Response:
        _log.warning("store.unavailable", error=str(error))
        message = "The record cannot be reached now; try again"
        return answer(request, Refused(503, codes.STORE_AWAY, message, retry_after_s=2))

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = _allowed(request)
        return answer(request, _of_status(error), headers)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101
        return answer(request, invalid_value(error.errors()[0]))

    async def defect(request: Request, error: Exception) -> Response:
        _log.error("request failed", path=request.url.path, error=repr(error))
        message = "An internal error; the server's log has it"
        return answer(request, Refused(500, codes.INTERNAL, message))

    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(StoreUnavailable, store_away)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Exception, defect)


def answer(request: Request, refused: Refused, headers: Any = None) -> Response:
    """The error in the shape of the door that was knocked at."""
    given = dict(headers or {})
    for name, value in v2.refusal_headers(refused, given.pop("Allow", "GET")):
        given[name.decode()] = value.decode()
    if request.url.path.startswith(_V2_PREFIX):
        return Response(
            v2.refusal_json(refused), refused.status, given, media_type="application/json"
        )
    problem = {
        "type": f"urn:outdial:error:{refused.code}",
        "title": HTTPStatus(refused.status).phrase,
        "status": refused.status,
        "detail": refused.message,
        "code": refused.code,
    }
    if refused.field:
        problem["field"] = refused.field
    return Response(json.dumps(problem), refused.status, given, media_type=PROBLEM)


def _allowed(request: Request) -> str:
    """The methods of all routes of the path; Starlette names only those of the first.

    A path that stands for itself is not one with a parameter that happens to have its last word.
    """
    methods: set[str] = set()
    fitting = [r for r in request.app.routes if r.matches(request.scope)[0] is not Match.NONE]
    exact = [route for route in fitting if getattr(route, "path", "") == request.url.path]
    for route in exact or fitting:
        methods |= getattr(route, "methods", None) or set()
    return ", ".join(sorted(methods))


def _of_status(error: HTTPException) -> Refused:
    if error.status_code == 404:
        return Refused(404, codes.UNKNOWN_PATH, "Nothing is served at this path")
    if error.status_code == 405:
        return Refused(405, codes.BAD_METHOD, "This path does not take this HTTP method")
    return Refused(error.status_code, error.status_code * 100, str(error.detail))


_PLACES = ("query", "path", "body", "header")


def invalid_value(error: Any) -> Refused:
    """What pydantic found, as a refusal: 400 for what is missing, 422 for a value out of range."""
    place = [str(part) for part in error["loc"] if part not in _PLACES]
    field = place[0] if place else ""
    kind = error["type"]
    if kind == "missing":
        return Refused(400, codes.MISSING_FIELD, f"{field} is missing", field=field)
    if kind == "extra_forbidden":
        message = f"{field[:64]} is not a parameter of this path"
        return Refused(400, codes.BAD_VALUE, message, field=field[:64])
    said = error["msg"].removeprefix("Value error, ")
    message = f"{field}: {said[:1].lower()}{said[1:]}"
    if kind.startswith(("greater_than", "less_than", "string_too", "too_long")):
        return Refused(422, codes.OUT_OF_RANGE, message, field=field)
    return Refused(400, codes.BAD_VALUE, message, field=field)


def first_invalid(error: ValidationError) -> Refused:
    """The first thing wrong with a body."""
    return invalid_value(error.errors(include_url=False, include_context=False)[0])


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses` of a `/v1` route: these errors, besides those that every route has.

    Where a key is asked for (401), one without the scope is refused (403)."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            **({"headers": _HEADERS[status]} if status in _HEADERS else {}),
        }
        for status in sorted({*statuses, *([403] if 401 in statuses else [])})
    }


def rejections(*statuses: int) -> dict[str, Any]:
    """The same for V2."""
    return {
        str(status): {
            "description": HTTPStatus(status).phrase,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Rejection"}}},
            **({"headers": _HEADERS[status]} if status in _HEADERS else {}),
        }
        for status in statuses
    }


_RETRY = {
    "Retry-After": {
        "description": "Seconds to wait.",
        "required": True,
        "schema": {"type": "integer"},
    }
}
_HEADERS: dict[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": {"required": True, "schema": {"type": "string"}}},
    405: {"Allow": {"required": True, "schema": {"type": "string"}}},
    429: _RETRY,
    503: _RETRY,
}
