"""`/v1/bans`, over HTTP."""

from __future__ import annotations

import pytest

from contract.conftest import KEY, Door

HEADERS = {"Authorization": f"Bearer {KEY}"}


async def lift(door: Door, address: str) -> int:
    url = f"{door.base}/v1/bans/{address}"
    async with door.http.delete(url, headers=HEADERS) as answer:
        return answer.status


async def test_bans_are_listed(door: Door) -> None:
    assert await door.get("/v1/bans") == (
        200,
        {
            "bans": [
                {
                    "address": "198.51.100.7",
                    "reason": "denied",
                    "offences": 1,
                    "since": "1970-01-01T00:00:00.000Z",
                    "until": "1970-01-01T00:10:00.000Z",
                },
                {
                    "address": "2001:db8::",
                    "reason": "malformed",
                    "offences": 1,
                    "since": "1970-01-01T00:01:00.000Z",
                    "until": "1970-01-01T00:11:00.000Z",
                },
            ]
        },
    )


@pytest.mark.parametrize(
    "address", ["198.51.100.7", "2001:db8::", "2001:DB8:0:0:0:0:0:9", "::ffff:198.51.100.7"]
)
async def test_a_ban_is_lifted_once(door: Door, address: str) -> None:
    assert await lift(door, address) == 204
    assert await lift(door, address) == 404
    _, left = await door.get("/v1/bans")
    assert len(left["bans"]) == 1


@pytest.mark.parametrize("address", ["198.51.100.8", "somebody", "198.51.100.7%20", "2001:db8:1::"])
async def test_what_is_not_banned(door: Door, address: str) -> None:
    url = f"{door.base}/v1/bans/{address}"
    async with door.http.delete(url, headers=HEADERS) as answer:
        problem = await answer.json()
    assert (answer.status, problem["code"], problem["field"]) == (404, 40412, "address")


async def test_a_key_is_needed(door: Door) -> None:
    async with door.http.get(f"{door.base}/v1/bans") as answer:
        assert answer.status == 401
    async with door.http.delete(f"{door.base}/v1/bans/198.51.100.7") as answer:
        assert answer.status == 401
    assert len(door.record.bans.listed()) == 2
