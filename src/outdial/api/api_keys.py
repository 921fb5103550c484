"""`/v1/keys`: the API keys, for whoever has one with the scope `admin`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from outdial.api import problems
from outdial.api.models import json_body, read_model
from outdial.calls import codes
from outdial.clock import iso8601
from outdial.config import Key, checks
from outdial.errors import Refused
from outdial.key_keeper import GRACE_S, LONGEST_GRACE_S, LONGEST_NAME, KeyKeeper, KeyProblem
from outdial.key_rules import SCOPES, KeyRules
from outdial.store.records import KeyRecord

_Scope = Literal["call", "read", "admin"]
_MOST = 1000
LONGEST_LIFE_S = 100 * 366 * 86_400.0
_CODES = {
    "taken": codes.KEY_TAKEN,
    "unknown": codes.UNKNOWN_KEY,
    "given": codes.KEY_OF_SETTINGS,
    "bad": codes.BAD_VALUE,
}


def _whole(given: object) -> object:
    """JSON's 2.0 is a whole number too."""
    return int(given) if isinstance(given, float) and given.is_integer() else given


class NewKey(BaseModel):
    """A key to be made."""

    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=True)

    name: str = Field(
        min_length=1,
        max_length=LONGEST_NAME,
        description="What it is called in logs and listings.",
        examples=["crm"],
        json_schema_extra={"pattern": r"^[A-Za-z0-9_. -]+$"},
    )
    scopes: list[_Scope] = Field(
        ["call", "read", "admin"], min_length=1, max_length=8, description="What it may; else all."
    )
    from_: list[Annotated[str, AfterValidator(checks.caller)]] | None = Field(
        None,
        alias="from",
        max_length=_MOST,
        description="Caller IDs that its calls may show: whole numbers, or beginnings with a * "
        "behind; null: any.",
        json_schema_extra=lambda schema: _pattern(schema, r"^([0-9]{3,15}|[0-9]{1,15}\*)$"),
    )
    destinations: list[Annotated[str, AfterValidator(checks.prefix)]] | None = Field(
        None,
        max_length=_MOST,
        description="Prefixes that its calls may go to, of those that the settings allow; null: "
        "all of them.",
        json_schema_extra=lambda schema: _pattern(schema, r"^[0-9]{1,15}$"),
    )
    calls_per_second: float = Field(0, ge=0, le=1e6, description="0: no limit of its own.")
    concurrent_calls: Annotated[int, BeforeValidator(_whole)] = Field(
        0, ge=0, le=1_000_000_000, description="0: the same."
    )
    minutes_per_day: float = Field(0, ge=0, le=1e9, description="0: the same.")
    expires_in_s: float | None = Field(
        None, ge=1, le=LONGEST_LIFE_S, description="How long it is valid; null: for ever."
    )

    def record(self, now: float) -> KeyRecord:
        """As `KeyKeeper.add` takes it."""
        return KeyRecord(
            "",
            self.name,
            "",
            "",
            0.0,
            scopes=tuple(dict.fromkeys(self.scopes)),
            callers=None if self.from_ is None else tuple(self.from_),
            destinations=None if self.destinations is None else tuple(self.destinations),
            calls_per_second=self.calls_per_second,
            concurrent_calls=self.concurrent_calls,
            minutes_per_day=self.minutes_per_day,
            expires_at=None if self.expires_in_s is None else now + self.expires_in_s,
        )


class Rotation(BaseModel):
    """How a key is given a new secret."""

    model_config = ConfigDict(extra="forbid", strict=True)

    grace_s: float = Field(
        GRACE_S, ge=0, le=LONGEST_GRACE_S, description="How long the old secret is good yet."
    )


class ApiKey(BaseModel):
    """A key, without its secret."""

    id: str | None = Field(description="null: it stands in the settings.")
    name: str
    source: Literal["settings", "store"]
    prefix: str | None = Field(description="How its secret begins.")
    scopes: list[_Scope]
    from_: list[str] | None = Field(alias="from", description="null: any.")
    destinations: list[str] | None = Field(description="null: all that the settings allow.")
    calls_per_second: float
    concurrent_calls: int
    minutes_per_day: float
    created_at: str | None
    expires_at: str | None
    revoked_at: str | None = Field(
        description="In the future: it was rotated, and is good until then."
    )
    last_used_at: str | None = Field(description="Within 15 seconds; null: never, or not known.")


class MadeKey(ApiKey):
    """A key that was just made."""

    key: str = Field(description="Its secret: it cannot be shown again.")


class ApiKeys(BaseModel):
    """Every key."""

    keys: list[ApiKey] = Field(description="Those of the settings, then oldest first.")


class KeyRoutes:
    """The handlers."""

    def __init__(self, keeper: KeyKeeper, given: Sequence[Key], max_body_bytes: int) -> None:
        self._keeper = keeper
        self._given = given
        self._max_body_bytes = max_body_bytes

    def add_to(self, routes: APIRouter) -> None:
        """Adds each handler with what the OpenAPI document says of it."""
        routes.get("/keys", **_LIST)(self.index)
        routes.post("/keys", **_CREATE)(self.create)
        routes.post("/keys/{name_or_id}/rotate", **_ROTATE)(self.rotate)
        routes.delete("/keys/{name_or_id}", **_DELETE)(self.delete)

    async def index(self) -> ApiKeys:
        """Those too that are valid no more."""
        given = [ApiKey.model_validate(shown_given(key)) for key in self._given]
        stored = [ApiKey.model_validate(shown(key)) for key in await self._keeper.listed()]
        return ApiKeys(keys=given + stored)

    async def create(self, request: Request) -> MadeKey:
        """It is taken within a second. A key with caller IDs or destinations of its own makes
        none."""
        _check_wide(request.state.key)
        asked = await read_model(request, self._max_body_bytes, NewKey)
        try:
            made = await self._keeper.add(asked.record(self._keeper.now()))
        except KeyProblem as problem:
            raise _refused(problem, "name") from None
        return MadeKey.model_validate(shown(made.record) | {"key": made.secret})

    async def rotate(self, request: Request, name_or_id: str) -> MadeKey:
        """A new secret with the same rules; the old one goes on for `grace_s`."""
        _check_wide(request.state.key)
        asked = await read_model(request, self._max_body_bytes, Rotation, may_be_empty=True)
        try:
            made = await self._keeper.rotate(name_or_id, asked.grace_s)
        except KeyProblem as problem:
            raise _refused(problem, "name_or_id") from None
        return MadeKey.model_validate(shown(made.record) | {"key": made.secret})

    async def delete(self, request: Request, name_or_id: str) -> None:
        """It is refused within a second; what it has placed goes on."""
        _check_wide(request.state.key)
        try:
            await self._keeper.revoke(name_or_id)
        except KeyProblem as problem:
            raise _refused(problem, "name_or_id") from None


def shown(key: KeyRecord) -> dict[str, Any]:
    """A key of the store, as the API and the command line show it."""
    return {
        "id": key.id,
        "name": key.name,
        "source": "store",
        "prefix": key.prefix,
        "scopes": list(SCOPES if key.scopes is None else key.scopes),
        "from": None if key.callers is None else list(key.callers),
        "destinations": None if key.destinations is None else list(key.destinations),
        "calls_per_second": key.calls_per_second,
        "concurrent_calls": key.concurrent_calls,
        "minutes_per_day": key.minutes_per_day,
        "created_at": iso8601(key.created_at),
        "expires_at": _when(key.expires_at),
        "revoked_at": _when(key.revoked_at),
        "last_used_at": _when(key.last_used_at),
    }


def shown_given(key: Key) -> dict[str, Any]:
    """One of the settings."""
    return {
        "id": None,
        "name": key.name,
        "source": "settings",
        "prefix": None,
        "scopes": list(key.scopes),
        "from": key.from_,
        "destinations": key.destinations,
        "calls_per_second": key.calls_per_second,
        "concurrent_calls": key.concurrent_calls,
        "minutes_per_day": key.minutes_per_day,
        "created_at": None,
        "expires_at": _when(key.expires),
        "revoked_at": None,
        "last_used_at": None,
    }


def _when(at: float | None) -> str | None:
    return None if at is None else iso8601(at)


def _check_wide(rules: KeyRules) -> None:
    """A key with rules of its own could make one without. Raises Refused (403)."""
    if rules.is_narrow:
        raise Refused(
            403,
            codes.WRONG_SCOPE,
            f"{rules.name} has caller IDs or destinations of its own and may not manage keys",
            field="apikey",
        )


def _refused(problem: KeyProblem, field: str) -> Refused:
    code = _CODES[problem.kind]
    return Refused(code // 100, code, f"{field}: {problem}", field=field)


def _pattern(schema: dict[str, Any], pattern: str) -> None:
    """The form of the members of a list that may be null."""
    for one in schema["anyOf"]:
        if "items" in one:
            one["items"]["pattern"] = pattern


_LIST: dict[str, Any] = {
    "response_model": ApiKeys,
    "responses": problems.documented(401, 503),
    "summary": "List API keys",
    "operation_id": "list_keys",
}
_CREATE: dict[str, Any] = {
    "status_code": 201,
    "response_model": MadeKey,
    "responses": {
        201: {
            "links": {
                name: {"operationId": name, "parameters": {"name_or_id": "$response.body#/id"}}
                for name in ("rotate_key", "revoke_key")
            }
        },
        **problems.documented(400, 401, 403, 408, 409, 413, 415, 422, 503),
    },
    "openapi_extra": json_body(NewKey),
    "summary": "Make an API key",
    "operation_id": "create_key",
}
_ROTATE: dict[str, Any] = {
    "status_code": 201,
    "response_model": MadeKey,
    "responses": problems.documented(400, 401, 403, 404, 408, 409, 413, 415, 422, 503),
    "openapi_extra": json_body(Rotation, required=False),
    "summary": "Give an API key a new secret",
    "operation_id": "rotate_key",
}
_DELETE: dict[str, Any] = {
    "status_code": 204,
    "responses": problems.documented(401, 403, 404, 409, 503),
    "summary": "Revoke an API key",
    "operation_id": "revoke_key",
}

BODIES: Sequence[type[BaseModel]] = (NewKey, Rotation)
"""Models that only request bodies refer to; the OpenAPI document must be told of them."""
