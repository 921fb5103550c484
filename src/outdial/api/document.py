"""The OpenAPI document: what FastAPI knows, and the V2 endpoint, which it does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from outdial.api import (
    api_keys,
    bodies,
    calls,
    changes,
    deliveries,
    forms,
    meetings,
    numbers,
    problems,
    schemas,
    scopes,
)

V2_PATH = "/didforsaleapi/index.php/api/V2/CallTermination/"

_DESCRIPTION = (
    "Place telephone calls over your own SIP trunk and follow them. `/v1` is the native API; the "
    "CallTermination path takes what programs written for the V2 API send."
)
_ONLY_HERE: Sequence[type[BaseModel]] = (
    *api_keys.BODIES,
    *calls.BODIES,
    *changes.BODIES,
    *deliveries.BODIES,
    *meetings.BODIES,
    *numbers.BODIES,
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
        components["schemas"]["Number"] = forms.number()
        components["schemas"]["CallTermination"] = forms.termination()
        components["schemas"]["CallTerminationJson"] = forms.termination_json()
        forms.new_call(components["schemas"]["NewCall"]["properties"])
        forms.redirect(components["schemas"]["Redirect"]["properties"])
        components["parameters"] = {"IdempotencyKey": forms.idempotency_key()}
        components.setdefault("securitySchemes", {})["apikey"] = {
            "type": "apiKey",
            "in": "header",
            "name": "apikey",
            "description": "An API key; it may also be sent as the body parameter `apikey`.",
        }
        _name_scopes(document)
        document["paths"][V2_PATH] = {"post": _termination()}
        app.openapi_schema = document
    return app.openapi_schema


def _name_scopes(document: dict[str, Any]) -> None:
    """Which scope of the key each operation needs, as the roles of its security requirement."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for requirement in operation.get("security", ()):
                for scheme in requirement:
                    requirement[scheme] = [scopes.of(method.upper(), path)]


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
    form = {"schema": {"$ref": "#/components/schemas/CallTermination"}}
    in_json = {"schema": {"$ref": "#/components/schemas/CallTerminationJson"}}
    return {
        "summary": "CallTermination V2: place a call",
        "description": (
            "Names fold case, empty values are absent, unknown names are ignored. The path is also "
            f"answered without its last slash and with a small v. {forms.REPEATABLE}"
        ),
        "operationId": "call_termination_v2",
        "security": [{"apikey": [scopes.V2]}, {"bearer": [scopes.V2]}],
        "requestBody": {
            "required": True,
            "content": {bodies.FORM: form, bodies.MULTIPART: form, bodies.JSON: in_json},
        },
        "responses": {
            "200": {
                "description": "The call is durably stored and will be placed.",
                "content": {bodies.JSON: {"schema": {"$ref": "#/components/schemas/Accepted"}}},
            },
            **problems.rejections(400, 401, 403, 404, 408, 413, 415, 422, 429, 500, 503),
        },
    }
