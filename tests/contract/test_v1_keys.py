"""`/v1/keys`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contract.conftest import KEY, Door
from outdial.calls import codes
from outdial.clock import iso8601
from outdial.key_rules import KeyRules
from outdial.keys import digest

HEADERS = {"Authorization": f"Bearer {KEY}"}
FULL = {
    "name": "crm",
    "scopes": ["call", "read"],
    "from": ["1800*", "+19495550100"],
    "destinations": ["1949"],
    "calls_per_second": 0.5,
    "concurrent_calls": 2,
    "minutes_per_day": 30,
    "expires_in_s": 86400,
}
OWN = ("id", "key", "prefix", "created_at")


async def test_a_key_is_made_shown_once_rotated_and_revoked(door: Door) -> None:
    status, made = await door.post("/v1/keys", json=FULL, headers=HEADERS)
    assert status == 201
    assert digest(made["key"]) == door.record.stored_keys.kept[0].digest
    shown = FULL | {"from": ["1800*", "19495550100"]}
    del shown["expires_in_s"]
    assert {name: made[name] for name in shown} == shown
    kept = door.record.stored_keys.kept[0]
    assert kept.expires_at == pytest.approx(kept.created_at + 86400, abs=1)
    assert kept.expires_at and made["expires_at"] == iso8601(kept.expires_at)
    assert made["source"] == "store" and made["key"].startswith(made["prefix"])
    _, listed = await door.get("/v1/keys")
    assert made["key"] not in json.dumps(listed)
    assert [one["name"] for one in listed["keys"]] == ["crm"]
    path = f"/v1/keys/{made['id']}/rotate"
    status, second = await door.post(path, json={"grace_s": 60}, headers=HEADERS)
    assert status == 201 and second["key"] != made["key"]
    assert all(second[name] == made[name] for name in made if name not in OWN)
    _, listed = await door.get("/v1/keys")
    assert [one["revoked_at"] is None for one in listed["keys"]] == [False, True]
    async with door.http.delete(door.base + "/v1/keys/crm", headers=HEADERS) as gone:
        assert gone.status == 204
    _, listed = await door.get("/v1/keys")
    assert all(one["revoked_at"] for one in listed["keys"])


async def test_a_name_alone_makes_a_key_that_may_do_all(door: Door) -> None:
    status, made = await door.post("/v1/keys", json={"name": "all"}, headers=HEADERS)
    assert status == 201
    assert made["scopes"] == ["call", "read", "admin"]
    assert (made["from"], made["destinations"], made["expires_at"]) == (None, None, None)
    status, _ = await door.post("/v1/keys/all/rotate", headers=HEADERS)
    assert status == 201


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"name": ""}, 422, "name"),
        ({"name": "a\nb"}, 400, "name"),
        ({"name": "given"}, 409, "name"),
        ({"scopes": ["all"]}, 400, "scopes"),
        ({"scopes": []}, 400, "scopes"),
        ({"from": ["0180*x"]}, 400, "from"),
        ({"from": "1800"}, 400, "from"),
        ({"destinations": ["one"]}, 400, "destinations"),
        ({"calls_per_second": -1}, 422, "calls_per_second"),
        ({"expires_in_s": 0}, 422, "expires_in_s"),
        ({"expires_in_s": "tomorrow"}, 400, "expires_in_s"),
        ({"colour": "red"}, 400, "colour"),
    ],
)
async def test_what_is_wrong_is_named(
    door: Door, change: dict[str, Any], status: int, field: str
) -> None:
    answered, problem = await door.post("/v1/keys", json=FULL | change, headers=HEADERS)
    assert (answered, problem["field"]) == (status, field), problem
    assert door.record.stored_keys.kept == []


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [("nobody", 404, codes.UNKNOWN_KEY), ("given", 409, codes.KEY_OF_SETTINGS)],
)
async def test_keys_that_are_not_there(door: Door, name: str, status: int, code: int) -> None:
    answered, problem = await door.post(f"/v1/keys/{name}/rotate", headers=HEADERS)
    assert (answered, problem["code"]) == (status, code)
    async with door.http.delete(f"{door.base}/v1/keys/{name}", headers=HEADERS) as gone:
        assert gone.status == status


async def test_a_narrow_key_makes_no_wide_one(door: Door) -> None:
    door.record.rules["dev"] = KeyRules("dev", destinations=("1949",))
    for method, path in (
        ("POST", "/v1/keys"),
        ("POST", "/v1/keys/crm/rotate"),
        ("DELETE", "/v1/keys/crm"),
    ):
        url = door.base + path
        async with door.http.request(method, url, headers=HEADERS, json={"name": "x"}) as refused:
            assert refused.status == 403
            assert "destinations of its own" in await refused.text()
    assert door.record.stored_keys.kept == []
