"""The OpenAPI document: what FastAPI knows, and the V2 endpoint, which it does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from outdial.api import bodies, problems, schemas, v1
from outdial.calls import checks

V2_PATH = "/didforsaleapi/index.php/api/V2/CallTermination/"

_DESCRIPTION = (
    "Place telephone calls over your own SIP trunk and follow them. `/v1` is the native API; the "
    "CallTermination path takes what programs written for the V2 API send."
)
_ONLY_HERE: Sequence[type[BaseModel]] = (
    *v1.BODIES,
    schemas.Problem,
    schemas.Accepted,
    schemas.Rejection,
)
_TEMPLATE = "#/components/schemas/{model}"


def openapi(app: FastAPI) -> dict[str, Any]:
    """The document, made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=_DESCRIPTION,
            routes=app.routes,
            license_info={"name": "Apache-2.0"},
        )
        _drop_default_422(document)
        _, models = models_json_schema(
            [(model, "validation") for model in _ONLY_HERE], ref_template=_TEMPLATE
        )
        components = document.setdefault("components", {})
        components.setdefault("schemas", {}).update(models["$defs"])
        components["schemas"]["CallTermination"] = _parameters()
        components.setdefault("securitySchemes", {})["apikey"] = {
            "type": "apiKey",
            "in": "header",
            "name": "apikey",
            "description": "An API key; it may also be sent as the body parameter `apikey`.",
        }
        document["paths"][V2_PATH] = {"post": _termination()}
        app.openapi_schema = document
    return app.openapi_schema


def _drop_default_422(document: dict[str, Any]) -> None:
    """Our handler answers in place of FastAPI's own validation errors."""
    for path in document["paths"].values():
        for operation in path.values():
            answer = operation["responses"].get("422", {})
            if bodies.JSON in answer.get("content", {}):
                del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        document.get("components", {}).get("schemas", {}).pop(name, None)


def _termination() -> dict[str, Any]:
    reference = {"schema": {"$ref": "#/components/schemas/CallTermination"}}
    return {
        "summary": "CallTermination V2: place a call",
        "description": (
            "Names fold case, empty values are absent, unknown names are ignored. The path is also "
            "answered without its last slash and with a small v."
        ),
        "operationId": "call_termination_v2",
        "security": [{"apikey": []}, {"bearer": []}],
        "requestBody": {
            "required": True,
            "content": dict.fromkeys((bodies.FORM, bodies.JSON, bodies.MULTIPART), reference),
        },
        "responses": {
            "200": {
                "description": "The call is durably stored and will be placed.",
                "content": {bodies.JSON: {"schema": {"$ref": "#/components/schemas/Accepted"}}},
            },
            **problems.rejections(400, 401, 403, 408, 413, 415, 422, 429, 500, 503),
        },
    }


def _parameters() -> dict[str, Any]:
    text = {"type": ["string", "null"]}
    url = {**text, "maxLength": checks.MAX_URL}
    method = {"type": "string", "enum": ["GET", "POST", "get", "post", ""], "default": "POST"}
    number = {"type": ["string", "integer"], "minLength": 1}
    event = {"type": "string", "enum": ["initiated", "ringing", "answered", "completed"]}

    def seconds(most: int, default: int) -> dict[str, Any]:
        return {"type": "integer", "minimum": 1, "maximum": most, "default": default}

    return {
        "type": "object",
        "required": ["to", "from"],
        "properties": {
            "apikey": {"type": "string", "description": "Needed unless a header has the key."},
            "to": {**number, "description": "Number to dial.", "examples": ["19499300360"]},
            "from": {
                **number,
                "description": "Caller ID; dialled as the second leg when there is no `url`.",
                "examples": ["18005797676"],
            },
            "url": {
                **url,
                "description": "The voice application, requested on answer.",
                "examples": ["https://example.com/app.xml"],
            },
            "Method": {**method, "description": "HTTP method for `url`."},
            "sendDigits": {
                "type": "string",
                "pattern": "^[0-9*#A-DwW]*$",
                "maxLength": checks.MAX_DIGITS,
                "description": "DTMF sent on answer; w waits 0.5 s, W 1 s.",
            },
            "statusCallback": {**url, "description": "Told of the events asked for."},
            "statusCallbackEvent": {
                "anyOf": [event, {"type": "array", "items": event, "maxItems": 100}],
                "default": "completed",
                "description": (
                    "Separated by commas or spaces, repeated, or an array; statusCallbackEvents "
                    "is the same."
                ),
            },
            "statusCallbackMethod": method,
            "secretKey": {
                **text,
                "maxLength": checks.MAX_SECRET_KEY,
                "description": "Sent with callbacks as `apikey`.",
            },
            "optional": {
                **text,
                "maxLength": checks.MAX_OPTIONAL,
                "description": "Echoed with callbacks, e.g. token=123456.",
            },
            "timeout": {**seconds(checks.MAX_TIMEOUT_S, 60), "description": "Ringing seconds."},
            "timeLimit": {
                **seconds(checks.MAX_TIME_LIMIT_S, 14_400),
                "description": "Longest answered seconds.",
            },
            "record": {"type": "boolean", "default": False},
            "fallbackUrl": {**url, "description": "Fetched when `url` fails."},
            "trunk": {**text, "maxLength": checks.MAX_TRUNK, "description": "Use only this."},
            "callerName": {**text, "maxLength": checks.MAX_CALLER_NAME},
        },
    }
