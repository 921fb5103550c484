"""`limits.posts_per_second`, at both doors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contract.conftest import KEY, V2, running
from outdial.calls import codes
from outdial.config import Limits

SLOW = Limits(destinations=["1"], posts_per_second=0.01)
CALL = {"from": "18005797676", "to": "19499300360"}


@pytest.mark.parametrize(
    ("path", "how", "first"),
    [
        (V2, {"data": CALL | {"apikey": KEY}}, 200),
        (V2, {"data": CALL, "headers": {"apikey": KEY}}, 200),
        ("/v1/calls", {"json": CALL, "headers": {"Authorization": f"Bearer {KEY}"}}, 201),
    ],
)
async def test_the_second_post_is_too_many(
    tmp_path: Path, path: str, how: dict[str, Any], first: int
) -> None:
    async with running(tmp_path, SLOW) as door:
        assert (await door.post(path, **how))[0] == first
        async with door.http.post(door.base + path, **how) as response:
            answer = await response.json(content_type=None)
            assert response.status == 429
            assert 98 <= int(response.headers["Retry-After"]) <= 100
        assert answer["code"] == codes.POST_RATE
        assert len(door.record.placed) == 1
        # reading is not posting
        assert (await door.get("/v1/calls"))[0] == 200


async def test_both_doors_count_together(tmp_path: Path) -> None:
    async with running(tmp_path, SLOW) as door:
        assert (await door.v2())[0] == 200
        bearer = {"Authorization": f"Bearer {KEY}"}
        assert (await door.post("/v1/calls", json=CALL, headers=bearer))[0] == 429


async def test_posts_without_a_valid_key_take_nothing_from_it(tmp_path: Path) -> None:
    async with running(tmp_path, SLOW) as door:
        for _ in range(3):
            assert (await door.v2(apikey="wrong"))[0] == 401
        assert (await door.v2())[0] == 200
