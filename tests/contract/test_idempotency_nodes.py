"""One Idempotency-Key posted to two servers at once that share a PostgreSQL database."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from contract.conftest import KEY, V2, Door, Record, running
from outdial.calls.repeats import Repeatable
from outdial.calls.request import CallRequest
from outdial.clock import SystemClock
from outdial.config import Limits
from outdial.store.records import CallRecord
from outdial.store.store import Store

CALL = {"from": "18005797676", "to": "19499300360"}


class Placing(Record):
    """Calls are placed into a real store, with their tokens."""

    store: Store

    async def place(
        self, request: CallRequest, key_name: str, repeatable: Repeatable | None = None
    ) -> CallRecord:
        call = await super().place(request, key_name)
        repeat = repeatable.record_of(call) if repeatable else None
        await self.store.create_call(call, (), (), repeat)
        return call


async def _post(door: Door, path: str, token: str) -> tuple[int, bytes]:
    headers = {"Authorization": f"Bearer {KEY}", "Idempotency-Key": token}
    async with door.http.post(door.base + path, json=CALL, headers=headers) as response:
        return response.status, await response.read()


async def test_a_hundred_posts_to_two_servers_make_one_call(
    new_database: object, tmp_path: Path
) -> None:
    assert callable(new_database)
    url = new_database()
    stores = [await Store.open(url, SystemClock()) for _ in range(2)]
    limits = Limits(destinations=["1"])
    try:
        async with (
            running(tmp_path, limits, stores[0], Placing()) as one,
            running(tmp_path, limits, stores[1], Placing()) as other,
        ):
            for door, store in zip((one, other), stores, strict=True):
                assert isinstance(door.record, Placing)
                door.record.store = store
            for path in (V2, "/v1/calls"):
                for number in range(5):
                    token = f"{path} {number}".replace(" ", "-")
                    doors = [one, other] * 50
                    answers = Counter(
                        await asyncio.gather(*(_post(door, path, token) for door in doors))
                    )
                    assert len(answers) == 1, answers
                    ((status, _),) = answers
                    assert status in (200, 201)
        page = await stores[0].calls(limit=100)
        assert len(page.calls) == 10
    finally:
        for store in stores:
            await store.close()
