"""Every endpoint needs the scope that the table names, and no other one opens it."""

from __future__ import annotations

import re

import pytest

from contract.conftest import KEY, V2, Door
from outdial.api import scopes
from outdial.calls import codes
from outdial.key_rules import SCOPES, KeyRules

NO_KEY = {"/healthz", "/readyz", "/metrics"}
"""What anybody may ask for; /openapi.json is not in itself."""


async def routes(door: Door) -> list[tuple[str, str]]:
    """Method and path of everything that the OpenAPI document has and that wants a key."""
    _, document = await door.get("/openapi.json")
    return [
        (method.upper(), path)
        for path, operations in document["paths"].items()
        for method in operations
        if path not in NO_KEY
    ]


def needed(method: str, path: str) -> str:
    return scopes.V2 if path == V2 else scopes.of(method, path)


async def test_the_table_has_every_route_and_no_other(door: Door) -> None:
    found = {("GET" if m == "HEAD" else m, path) for m, path in await routes(door) if path != V2}
    table = [route for listed in scopes.NEEDED.values() for route in listed]
    assert len(table) == len(set(table))
    assert sorted(found) == sorted(table)


async def test_every_scope_at_every_route(door: Door) -> None:
    """With the right one it is let in, whatever becomes of it then; with all others 403."""
    every = await routes(door)
    assert len(every) > 30
    for method, path in every:
        for scope in SCOPES:
            door.record.rules["dev"] = KeyRules("dev", (scope,))
            url = door.base + re.sub(r"\{[^}]*\}", "x", path)
            headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
            async with door.http.request(method, url, headers=headers, data=b"{}") as response:
                answer = await response.read()
                refused = response.status == 403
            assert refused == (scope != needed(method, path)), (method, path, scope, answer)
            assert refused == (str(codes.WRONG_SCOPE).encode() in answer) or method == "HEAD"


async def test_the_refusal_says_which_scope_is_needed_and_there(door: Door) -> None:
    door.record.rules["dev"] = KeyRules("dev", ("read",))
    status, answer = await door.v2()
    assert (status, answer["status"], answer["code"]) == (403, False, codes.WRONG_SCOPE)
    assert "scope call" in answer["message"] and "dev has read" in answer["message"]
    assert door.record.placed == []
    door.record.rules["dev"] = KeyRules("dev", ("call", "admin"))
    status, answer = await door.get("/v1/calls")
    assert (status, answer["code"], answer["field"]) == (403, codes.WRONG_SCOPE, "apikey")
    assert "dev has call, admin" in answer["detail"]


async def test_a_wrong_key_is_a_wrong_key_everywhere(door: Door) -> None:
    """Whoever has no key learns nothing of scopes."""
    for method, path in await routes(door):
        url = door.base + re.sub(r"\{[^}]*\}", "x", path)
        async with door.http.request(method, url, headers={"X-API-Key": "guess"}) as response:
            assert response.status == 401, (method, path)


async def test_the_openapi_document_names_the_scopes(door: Door) -> None:
    _, document = await door.get("/openapi.json")
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if path in NO_KEY:
                assert "security" not in operation
                continue
            named = {tuple(roles) for one in operation["security"] for roles in one.values()}
            assert named == {(needed(method.upper(), path),)}
            assert "403" in operation["responses"]


def test_what_is_not_in_the_table_is_closed() -> None:
    assert scopes.of("POST", "/v1/forgotten") == "admin"


@pytest.mark.parametrize(
    "body",
    [
        {"hangup": True},
        {"url": "https://example.com/other.xml"},
        {"document": "<Response><Dial>19499300361</Dial></Response>"},
        {"send_digits": "1"},
        {"muted": True},
        {"recording": "start"},
    ],
)
async def test_a_narrow_key_changes_only_its_own_calls(door: Door, body: dict[str, object]) -> None:
    """Else it would have another key's call dial where it may not."""
    _, placed = await door.v2()
    target = f"/v1/calls/{placed['callSid']}"
    headers = {"Authorization": f"Bearer {KEY}"}
    door.record.key_names[KEY] = "narrow"
    for rules in (
        KeyRules("narrow", destinations=("1949",)),
        KeyRules("narrow", callers=("18005797676",)),
    ):
        door.record.rules["narrow"] = rules
        status, answer = await door.post(target, json=body, headers=headers)
        assert (status, answer["code"]) == (403, codes.OTHERS_CALL), answer
        assert "narrow" in answer["detail"]
    assert door.record.commands == []
    for rules in (KeyRules("wide"), KeyRules("dev", destinations=("1949",))):
        door.record.key_names[KEY] = rules.name
        door.record.rules[rules.name] = rules
        status, answer = await door.post(target, json=body, headers=headers)
        assert status in (200, 202, 409) and answer.get("code") != codes.OTHERS_CALL, answer
